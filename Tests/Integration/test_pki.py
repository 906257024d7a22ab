"""Certificates from outside: what openssl says of them, REST over TLS as curl and the command line meet it, and gateways that call by
certificate: enrolled by their token once, renewed over the link under traffic, refused from their revocation on.
"""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import unittest

from processes import Platform, eventually, folder, run
from rest import Rest, document
from test_secrets import search
from test_tls import Authority
from upstream import Upstream

# Seconds. What renews itself does so at two thirds of it.
GATEWAY_LIFETIME = 10


def openssl(*arguments, code=0):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if code is not None and done.returncode != code:
        raise AssertionError(f"openssl {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def needles(pem):
    """Forms in which a private key would be readable: lines of its PEM, its bytes."""
    lines = [line for line in pem.strip().splitlines() if not line.startswith("-")]
    raw = base64.b64decode("".join(lines))
    # The middle is the key itself; what is before says of what kind it is, and stands in every key of that kind.
    return [lines[1].encode(), raw[40:64]]


class CertificateCase(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)

    def command(self, platform, token, *arguments, code=0):
        done = run(*arguments, environment={
            "PASSERELLE_URL": platform.control_plane, "PASSERELLE_TOKEN": token, "PASSERELLE_TENANT": "acme",
            "PASSERELLE_CA": platform.authorities or ""})
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def write(self, name, text):
        path = f"{self.place}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class IssuingTests(CertificateCase):
    def verify(self, root, file):
        """What openssl makes of a certificate, with the lists at the addresses that certificates name."""
        lists = ""
        for text in (openssl("x509", "-in", file, "-noout", "-text"), self.issuing(file)):
            address = re.search(r"URI:(http\S+/crl)", text)[1]
            der = f"{self.place}/list.der"
            subprocess.run(["curl", "-sSf", "-o", der, address], check=True, timeout=30)
            lists += openssl("crl", "-inform", "DER", "-in", der)
        path = self.write("lists.pem", lists)
        return openssl(
            "verify", "-x509_strict", "-crl_check_all", "-CRLfile", path, "-CAfile", root, "-untrusted", file, "-purpose", "sslserver",
            "-verify_hostname", "api.example.com", file, code=None)

    def issuing(self, file):
        """The second certificate of a file, as text."""
        with open(file, encoding="ascii") as chain:
            second = chain.read().split("-----END CERTIFICATE-----\n")[1]
        return openssl("x509", "-in", self.write("second.pem", second + "-----END CERTIFICATE-----\n"), "-noout", "-text")

    def test_certificates_are_issued_verified_renewed_and_revoked_and_no_key_is_in_clear(self):
        backup = self.write("backup.key", "a passphrase for backups\n")
        platform = Platform(self, f"{self.place}/data", arguments=(
            "--backup-folder", f"{self.place}/backups", "--backup-key-file", backup)).start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)

        def command(*arguments, code=0):
            return self.command(platform, rest.token, "certificates", *arguments, code=code)

        root, file, key = (f"{self.place}/{name}" for name in ("root.pem", "api.pem", "api.key"))
        refused = command("issue", "--name", "api.example.com", "--out", file, "--key-out", key, code=1)
        self.assertIn("may have certificates for", refused.stderr)
        command("issue", "--name", "api.example.com", code=2)
        command("ca", "--allow", "example.com,127.0.0.0/8", "--out", root)
        issued = json.loads(command(
            "issue", "--name", "api.example.com", "--name", "127.0.0.1", "--lifetime", "30d", "--out", file, "--key-out", key,
            "--output", "json").stdout)
        self.assertNotIn("private_key", issued)
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.assertIn("OK", self.verify(root, file))
        openssl("x509", "-in", file, "-noout", "-checkhost", "api.example.com")
        # A request's key stays where it is.
        own = f"{self.place}/own.key"
        request = f"{self.place}/own.csr"
        openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", own, "-out", request, "-subj", "/CN=own",
                "-addext", "subjectAltName=DNS:own.example.com")
        command("issue", "--request", request, "--out", f"{self.place}/own.pem")
        self.assertIn("own.example.com", openssl("x509", "-in", f"{self.place}/own.pem", "-noout", "-text"))
        next_file = f"{self.place}/next.pem"
        command("renew", issued["id"], "--out", next_file, "--key-out", f"{self.place}/next.key")
        self.assertIn("OK", self.verify(root, next_file))
        shown = json.loads(command("show", issued["id"], "--output", "json").stdout)
        self.assertEqual(shown["state"], "valid")
        command("revoke", issued["id"], "--reason", "key-compromise")
        self.assertIn("certificate revoked", self.verify(root, file))
        self.assertIn("OK", self.verify(root, next_file))
        listed = json.loads(command("list", "--state", "revoked", "--output", "json").stdout)
        self.assertEqual([one["id"] for one in listed], [issued["id"]])
        made = rest.expect(202, "POST", "/v1/backups", {}).json
        eventually(lambda: rest.get(f"/v1/backups/{made['id']}")["state"] == "done", seconds=60)
        events = json.dumps(rest.events("audit-log"))
        platform.stop()
        planted = [b"PRIVATE KEY"]
        for name in ("api.key", "next.key"):
            with open(f"{self.place}/{name}", encoding="ascii") as kept:
                planted += needles(kept.read())
        self.assertEqual(search(platform.data, planted), [])
        self.assertEqual(search(f"{self.place}/backups", planted), [])
        for needle in planted:
            self.assertNotIn(needle, platform.log().encode() + events.encode())
        self.assertEqual(len(search(self.place, needles(open(key, encoding="ascii").read())[:1])), 1, "the search finds what is there")


class CallerTests(CertificateCase):
    """Callers of a gateway that show certificates of their tenant's authority."""

    def test_a_revoked_caller_is_refused_at_once_on_connections_that_are_open_too(self):
        authority = Authority(self.place)
        TLSTests.certificate(self, authority, "gateway")
        upstream = Upstream(self)
        platform = Platform(self, f"{self.place}/data").start()
        rest = platform.sign_in("acme")
        root = f"{self.place}/root.pem"
        self.command(platform, rest.token, "certificates", "ca", "--next", "--out", root)
        rest.close()
        platform.stop()
        platform.arguments = ("--config", self.write("passerelle.yaml", f"""
listen:
  https:
    address: 127.0.0.1:{platform.base + 3}
    certificates: [{{cert: {self.place}/control.pem, key: {self.place}/control.key}}]
    client_certificates: {{authorities: {root}}}
"""))
        platform.start()
        rest = platform.sign_in()
        self.addCleanup(rest.close)
        rest.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": upstream.url, "authentication": "none"})
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")

        def caller(name):
            file, key = f"{self.place}/{name}.pem", f"{self.place}/{name}.key"
            made = self.command(platform, rest.token, "certificates", "issue", "--usage", "client", "--common-name", name,
                                "--out", file, "--key-out", key, "--output", "json")
            one = Rest(f"https://localhost:{platform.base + 3}", authorities=authority.file, certificate=(file, key))
            self.addCleanup(one.close)
            self.assertEqual(one.request("GET", "/shop/orders").status, 200)
            return one, json.loads(made.stdout)["id"]

        (first, name), (second, _) = caller("first"), caller("second")
        self.command(platform, rest.token, "certificates", "revoke", name)

        def refused():
            answer = first.request("GET", "/shop/orders")
            return answer if answer.status == 401 else None

        self.assertIn("certificate-revoked", eventually(refused).body.decode())
        # On another connection, too, and after a restart; nobody else is.
        self.assertEqual(first.request("GET", "/shop/orders").status, 401)
        self.assertEqual(second.request("GET", "/shop/orders").status, 200)
        second.close()
        platform.stop()
        platform.start()
        eventually(lambda: second.request("GET", "/shop/orders").status == 200)
        eventually(refused)


class TLSTests(CertificateCase):
    def shown(self, platform):
        """The certificate the control plane shows to a fresh connection."""
        context = ssl.create_default_context(cafile=platform.authorities)
        with socket.create_connection(("127.0.0.1", platform.base + 1), 10) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as peer:
                return peer.getpeercert(True)

    def curl(self, *arguments):
        return subprocess.run(
            ["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True, timeout=60, check=False)

    def test_a_certificate_of_the_own_authority_changes_while_it_serves(self):
        settings = self.write("passerelle.yaml", "tls: {certificate: own, lifetime: 60s}\n")
        data = f"{self.place}/data"
        platform = Platform(self, data, arguments=("--config", settings), authorities=f"{data}/ca.pem").start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        address = f"https://127.0.0.1:{platform.base + 1}"
        self.assertEqual(self.curl("--cacert", platform.authorities, f"{address}/readyz").returncode, 0)
        self.assertEqual(self.curl(f"{address}/readyz").returncode, 60, "nobody this machine knows vouches for it")
        self.assertEqual(self.curl("--cacert", platform.authorities, "--tls-max", "1.1", f"{address}/readyz").returncode, 35)
        self.assertEqual(rest.get("/.well-known/openid-configuration")["issuer"], address)
        plain = self.curl(f"http://127.0.0.1:{platform.base + 1}/readyz")
        self.assertIn("This port speaks TLS", plain.stdout)
        # The command line trusts the file it is given and nobody else.
        self.command(platform, rest.token, "certificates", "list", "--platform")
        for url, expected in ((address, "PASSERELLE_CA"), (f"http://127.0.0.1:{platform.base + 1}", "begins with https"),
                              (f"https://127.0.0.1:{platform.base}", "begin with http")):
            refused = run("certificates", "list", "--url", url, "--tenant", "acme", environment={"PASSERELLE_TOKEN": rest.token})
            self.assertEqual(refused.returncode, 1)
            self.assertIn(expected, refused.stderr, url)
        # What is revoked is replaced at once; a connection that is open stays, and no call is lost.
        problems, stopping, calls = [], threading.Event(), [0, 0]

        def call(place, keeps):
            other = Rest(platform.control_plane, rest.token, authorities=platform.authorities)
            while not stopping.is_set():
                try:
                    status = other.request("GET", "/v1/me").status
                    calls[place] += 1
                    if status != 200:
                        problems.append(status)
                except OSError as problem:
                    problems.append(repr(problem))
                if not keeps:
                    other.close()
            other.close()

        callers = [threading.Thread(target=call, args=(place, keeps)) for place, keeps in enumerate((True, False))]
        for caller in callers:
            caller.start()
        self.addCleanup(stopping.set)
        for _ in range(3):
            before, made = self.shown(platform), list(calls)
            own = next(one for one in rest.get("/v1/certificates")["items"]
                       if one["purpose"] == "control-plane" and one["state"] == "valid")
            rest.expect(200, "POST", f"/v1/certificates/{own['id']}/revocation", {"reason": "superseded"})
            eventually(lambda before=before: self.shown(platform) != before)
            eventually(lambda made=made: all(now > then for now, then in zip(calls, made)))
        stopping.set()
        for caller in callers:
            caller.join()
        self.assertEqual(problems, [])
        self.assertEqual(rest.get("/v1/me")["name"], "admin")
        self.assertIsNone(platform.process.poll())
        platform.stop()
        self.assertEqual(search(platform.data, [b"PRIVATE KEY"]), [])

    def test_files_change_while_it_serves_and_a_successor_takes_over(self):
        authority = Authority(self.place)
        self.certificate(authority, "first")
        first, key = f"{self.place}/control.pem", f"{self.place}/control.key"
        platform = Platform(self, f"{self.place}/data", arguments=(
            "--control-tls-cert", first, "--control-tls-key", key), authorities=authority.file).start()
        before = self.shown(platform)
        self.certificate(authority, "second")
        eventually(lambda: self.shown(platform) != before)
        second = self.shown(platform)
        # Files that are wrong change nothing.
        with open(first, "w", encoding="ascii") as file:
            file.write("no certificate\n")
        eventually(lambda: "could not be changed" in platform.log())
        self.assertEqual(self.shown(platform), second)
        self.certificate(authority, "third")
        eventually(lambda: self.shown(platform) != second)
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        problems, stopping = [], threading.Event()

        def once():
            with Rest(platform.control_plane, rest.token, authorities=authority.file) as other:
                return other.request("GET", "/v1/me").status

        def calls():
            while not stopping.is_set():
                try:
                    try:
                        status = once()
                    except (http.client.RemoteDisconnected, ssl.SSLEOFError):
                        # Closed before the request had arrived, as any server may: a GET is sent again (RFC 9110 9.2.2).
                        status = once()
                    if status != 200:
                        problems.append(status)
                except OSError as problem:
                    problems.append(repr(problem))

        caller = threading.Thread(target=calls)
        caller.start()
        successor = Platform(self, platform.data, base=platform.base, arguments=(*platform.arguments, "--upgrade"),
                             authorities=authority.file, log=f"{self.place}/successor.log").start()
        platform.wait()
        stopping.set()
        caller.join()
        self.assertEqual(problems, [])
        with successor.rest(rest.token) as other:
            self.assertEqual(other.get("/v1/me")["name"], "admin")

    def test_the_certificate_may_be_a_secret_of_the_platform(self):
        authority = Authority(self.place)
        platform = Platform(self, f"{self.place}/data").start()
        rest = platform.sign_in()
        self.addCleanup(rest.close)

        def put(name):
            self.certificate(authority, name)
            both = "".join(open(f"{self.place}/control.{kind}", encoding="ascii").read() for kind in ("pem", "key"))
            os.remove(f"{self.place}/control.key")
            self.assertIn(rest.request("PUT", "/v1/secrets/control", {"value": both}).status, (200, 201))
            return both.split("-----BEGIN PRIVATE KEY-----")[1].split("-----")[0]

        planted = needles(put("first"))
        platform.stop()
        settings = self.write("passerelle.yaml", "tls: {certificate: {cert: secret://control, key: secret://control}}\n")
        password = platform.password
        platform = Platform(
            self, platform.data, arguments=("--config", settings), authorities=authority.file, log=f"{self.place}/tls.log").start()
        platform.password = password
        before = self.shown(platform)
        rest = platform.sign_in()
        self.addCleanup(rest.close)
        planted += needles(put("second"))
        eventually(lambda: self.shown(platform) != before)
        # What is no certificate changes nothing.
        after = self.shown(platform)
        rest.expect(200, "PUT", "/v1/secrets/control", {"value": "none"})
        eventually(lambda: "could not be changed" in platform.log())
        self.assertEqual(self.shown(platform), after)
        platform.stop()
        self.assertEqual(search(platform.data, planted), [])
        for needle in planted:
            self.assertNotIn(needle, platform.log().encode())

    def certificate(self, authority, name):
        """The control plane's, anew."""
        pem, key = authority.issue(name, name, ["localhost"])
        # Verified by address: openssl's command line of the authority gives names alone.
        with open(f"{self.place}/{name}.ext", "w", encoding="ascii") as file:
            file.write("extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{self.place}/{name}.csr", "-CA", authority.file, "-CAkey", f"{self.place}/ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", f"{self.place}/{name}.ext", "-out", pem)
        os.replace(key, f"{self.place}/control.key")
        os.replace(pem, f"{self.place}/control.pem")


class MutualTests(CertificateCase):
    """A control plane that lets nobody in without a certificate: the command line shows one, and gateways enrol."""

    def serve(self, settings, lists=""):
        self.authority = Authority(self.place)
        self.authority.revoke()
        self.mine = self.authority.issue("operator", "operator", usage="clientAuth")
        path = self.write("passerelle.yaml", f"""
tls:
  certificate: own
  client_certificates: {{authorities: {self.authority.file}{lists}}}
  {settings}
""")
        data = f"{self.place}/data"
        self.platform = Platform(
            self, data, arguments=("--config", path, "--gateway-id", "first"), authorities=f"{data}/ca.pem",
            certificate=self.mine).start()
        self.rest = self.platform.sign_in("acme")
        self.addCleanup(self.rest.close)

    def shown(self, certificate, *arguments, code=0):
        """A command that shows a certificate by the environment."""
        done = run(*arguments, environment={
            "PASSERELLE_URL": self.platform.control_plane, "PASSERELLE_TOKEN": self.rest.token,
            "PASSERELLE_CA": self.platform.authorities, "PASSERELLE_CLIENT_CERTIFICATE": certificate[0],
            "PASSERELLE_CLIENT_KEY": certificate[1]})
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def apart(self, *arguments):
        return Platform(self, f"{self.place}/second", arguments=[
            "--services", "gateway", "--control-plane", self.platform.control_plane, "--gateway-id", "second",
            "--gateway-token-file", f"{self.place}/edge.token", "--ca", self.platform.authorities, *arguments])

    def is_live(self):
        return any(one["id"] == "second" and one["state"] == "live" for one in self.rest.all("/v1/gateways"))

    def issue(self, name):
        """A certificate of the platform's own authority for a client."""
        files = (f"{self.place}/{name}.pem", f"{self.place}/{name}.key")
        made = self.shown(self.mine, "certificates", "issue", "--platform", "--usage", "client", "--common-name", name,
                          "--lifetime", "1h", "--out", files[0], "--key-out", files[1], "--output", "json")
        return files, json.loads(made.stdout)["id"]

    def test_commands_show_a_certificate(self):
        self.serve("gateways: certificate", f", revocation_lists: {self.place}/crl.pem")
        known = {"PASSERELLE_TOKEN": self.rest.token}
        plain = ["gateways", "--url", self.platform.control_plane, "--ca", self.platform.authorities]
        both = self.write("both.pem", "".join(open(file, encoding="ascii").read() for file in self.mine))
        other = Authority(folder(self)).issue("other", "other", usage="clientAuth")
        for arguments, code, expected in (
                ((), 1, "--client-certificate FILE"),
                (("--client-certificate", self.mine[0], "--client-key", self.mine[1]), 0, ""),
                (("--client-certificate", both), 0, ""),
                (("--client-certificate", self.mine[0]), 1, "which has to hold its key"),
                (("--client-certificate", self.mine[0], "--client-key", other[1]), 1, "does not belong"),
                (("--client-certificate", f"{self.place}/none.pem"), 1, "none.pem"),
                (("--client-key", self.mine[1]), 2, "belongs to --client-certificate"),
                (("--client-certificate", other[0], "--client-key", other[1]), 1, "It does not take the certificate in")):
            with self.subTest(arguments):
                done = run(*plain, *arguments, environment=known)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(expected, done.stderr)
        # What login was given, it remembers, wherever it was called from.
        home = {"PASSERELLE_HOME": f"{self.place}/home"}
        password = self.write("password", self.platform.password + "\n")
        done = run("login", *plain[1:], "--user", "admin", "--password-file", password, "--client-certificate", "operator.pem",
                   "--client-key", "operator.key", environment=home, cwd=self.place)
        self.assertEqual(done.returncode, 0, done.stderr)
        for command in ("me", "logout"):
            done = run(command, environment=home)
            self.assertEqual(done.returncode, 0, done.stderr)
        # One of the platform's own authority opens the connection, too, until it is revoked.
        files, name = self.issue("program")
        self.shown(files, "gateways")
        self.shown(self.mine, "certificates", "revoke", name, "--platform")
        self.assertIn("was revoked", self.shown(files, "gateways", code=1).stderr)
        with Rest(self.platform.control_plane, None, authorities=self.platform.authorities, certificate=files) as revoked:
            for path in ("/readyz", "/v1/gateways/second/snapshot"):
                self.assertEqual(revoked.request("GET", path).status, 401)
        # One of another authority: by its list, on a connection that is open, too.
        self.assertEqual(self.rest.request("GET", "/v1/me").status, 200)
        self.authority.revoke(self.mine[0])
        eventually(lambda: self.rest.request("GET", "/v1/me").status == 401)
        self.assertIn("was revoked", self.rest.request("GET", "/v1/me").body.decode())
        self.rest.close()
        with self.assertRaises(OSError):
            self.rest.request("GET", "/v1/me")

    def test_a_gateway_enrols_by_a_certificate_that_opens_the_connection(self):
        self.serve("gateways: certificate")
        self.shown(self.mine, "gateways", "token", "--out", f"{self.place}/edge.token")
        self.assertEqual(os.stat(f"{self.place}/edge.token").st_mode & 0o777, 0o600)
        locked_out = self.apart().start()
        eventually(lambda: "--client-certificate" in locked_out.log())
        locked_out.stop()
        self.assertFalse(self.is_live())
        files, name = self.issue("edge")
        # It says nothing of who calls: that is what the token is for.
        with Rest(self.platform.control_plane, None, authorities=self.platform.authorities, certificate=files) as bare:
            self.assertEqual(bare.request("GET", "/v1/gateways/second/snapshot").status, 401)
            self.assertEqual(bare.request("POST", "/v1/gateways/second/certificate", {"request": "x"}).status, 401)
        second = self.apart("--client-certificate", files[0], "--client-key", files[1], "--keys-url", "env:EDGE_KEY")
        second.environment = {"EDGE_KEY": "0f" * 32}
        second.start()
        eventually(self.is_live)
        # From then on it has its own: what it enrolled by can go.
        self.shown(self.mine, "certificates", "revoke", name, "--platform")
        for file in (*files, f"{self.place}/edge.token"):
            os.remove(file)
        self.write("edge.token", "used\n")
        second.stop()
        # Its own keys are sealed: without its master key it does not start, and says what is needed.
        self.assertEqual(search(second.data, [b"PRIVATE KEY"]), [])
        for environment, expected in (({}, "the environment has no EDGE_KEY"), ({"EDGE_KEY": "1f" * 32}, "wrapped with the master key")):
            second.environment = environment
            second.start(ready=False)
            self.assertEqual(second.wait(), 1)
            self.assertIn(expected, second.log())
        second.environment = {"EDGE_KEY": "1f" * 32, "EDGE_OLD": "0f" * 32}
        second.arguments += ["--keys-old-url", "env:EDGE_OLD"]
        second.start()
        self.deploys()

    def deploys(self):
        self.rest.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": Upstream(self).url, "authentication": "none"})

        def both():
            return sorted(self.rest.deploy("acme", "orders")["gateway_response"]["acknowledged"]) == ["first", "second"]

        eventually(both, seconds=60, every=0.5)

    def test_a_gateway_with_a_token_follows_the_files_of_its_certificate(self):
        self.serve("gateways: token")
        self.shown(self.mine, "gateways", "token", "--out", f"{self.place}/edge.token")
        files = self.authority.issue("edge", "edge", usage="clientAuth")
        second = self.apart("--client-certificate", files[0], "--client-key", files[1]).start()
        eventually(self.is_live)
        # Others vouch for callers from now on.
        self.rest.close()
        self.platform.stop()
        place = folder(self)
        authority = Authority(place)
        for name, target in (("operator", self.mine), ("edge", files)):
            for made, file in zip(authority.issue(name, name, usage="clientAuth"), target):
                os.replace(made, file)
        os.replace(authority.file, self.authority.file)
        eventually(lambda: "shows another certificate" in second.log())
        self.platform.start()
        self.deploys()


class LinkTests(CertificateCase):
    """Gateways that call by certificate alone."""

    def setUp(self):
        super().setUp()
        self.upstream = Upstream(self)
        self.paths = ("/orders",)
        authority = Authority(self.place)
        TLSTests.certificate(self, authority, "control")
        settings = self.write("passerelle.yaml", f"""
tls:
  certificate: {{cert: {self.place}/control.pem, key: {self.place}/control.key}}
  gateways: certificate
  lifetime: {GATEWAY_LIFETIME}s
""")
        self.platform = Platform(
            self, f"{self.place}/data", arguments=("--config", settings, "--gateway-id", "first"),
            authorities=authority.file).start()
        self.rest = self.platform.sign_in("acme")
        self.addCleanup(self.rest.close)
        self.token = self.write("token", open(f"{self.platform.data}/gateway.token", encoding="ascii").read())
        self.second = Platform(self, f"{self.place}/second", arguments=[
            "--services", "gateway", "--control-plane", self.platform.control_plane, "--gateway-id", "second",
            "--gateway-token-file", self.token, "--ca", authority.file])

    def certificates(self):
        return [one for one in self.rest.get("/v1/certificates?limit=200")["items"] if one["purpose"] == "gateway"]

    def state(self):
        return next((one["state"] for one in self.rest.all("/v1/gateways") if one["id"] == "second"), None)

    def call(self, token=None, fields=None):
        with self.platform.rest(token) as rest:
            return rest.request("GET", "/v1/gateways/second/snapshot", fields=fields).status

    def test_a_gateway_enrols_renews_under_traffic_and_is_locked_out(self):
        self.second.start()
        eventually(lambda: self.state() == "live")
        with open(self.token, encoding="ascii") as file:
            token = file.read().strip()
        self.assertEqual(self.call(token), 403, "the token enrols, and nothing else")
        self.rest.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": self.upstream.url, "authentication": "none"})
        self.assertEqual(sorted(self.rest.deploy("acme", "orders")["gateway_response"]["acknowledged"]), ["first", "second"])
        problems, stopping = [], threading.Event()

        def calls():
            with Rest(self.second.gateway) as rest:
                while not stopping.is_set():
                    answer = rest.request("GET", "/shop/orders")
                    if answer.status != 200:
                        problems.append(answer)
                    stopping.wait(0.005)

        caller = threading.Thread(target=calls)
        caller.start()
        self.addCleanup(stopping.set)
        # Renewed by itself, again and again; nothing is restarted.
        eventually(lambda: len(self.certificates()) >= 2, seconds=60)
        self.deployed_to_both()
        kept = open(f"{self.second.data}/gateway/link.pem", "rb").read()
        self.assertEqual(os.stat(f"{self.second.data}/gateway/link.pem").st_mode & 0o777, 0o600)
        # Its certificate is its own: as another gateway it is nobody.
        client = ssl.create_default_context(cafile=self.platform.authorities)
        client.load_cert_chain(self.write("link.pem", kept.decode()))
        self.assertIn(self.asked(client, "/v1/gateways/third/snapshot"), (401, 403))
        # Revoked: refused with the next call, whatever token is there, until there is one made since.
        for one in self.certificates():
            if one["state"] == "valid":
                self.rest.expect(200, "POST", f"/v1/certificates/{one['id']}/revocation", {"reason": "key-compromise"})
        self.assertEqual(self.asked(client, "/v1/gateways/second/snapshot"), 401)
        known = len(self.certificates())
        eventually(lambda: "got no certificate" in self.second.log(), seconds=60)
        self.assertEqual(len(self.certificates()), known)
        made = self.rest.create("/v1/gateways/tokens", {"gateway_group": "default"})
        self.write("token", made["token"] + "\n")
        eventually(lambda: len(self.certificates()) > known, seconds=60)
        self.deployed_to_both()
        stopping.set()
        caller.join()
        self.assertEqual(problems, [], "traffic saw nothing of it")
        self.assertIsNone(self.second.process.poll())

    def deployed_to_both(self):
        def tried():
            self.paths += (f"/more/{len(self.paths)}",)
            self.rest.create("/v1/tenants/acme/apis/orders/revisions", {
                "document": document(paths=self.paths), "upstream": self.upstream.url, "authentication": "none"})
            return sorted(self.rest.deploy("acme", "orders")["gateway_response"]["acknowledged"]) == ["first", "second"]

        eventually(tried, seconds=60, every=0.5)

    def asked(self, client, path):
        with socket.create_connection(("127.0.0.1", self.platform.base + 1), 10) as plain:
            with client.wrap_socket(plain, server_hostname="127.0.0.1") as peer:
                peer.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                return int(peer.recv(4096).split(b" ")[1])


if __name__ == "__main__":
    unittest.main()
