"""TLS of the gateway, as curl and openssl s_client meet it: names, files that change, resumption, mutual TLS, versions and ciphers."""

import os
import re
import shutil
import subprocess
import unittest
import urllib.request

from processes import Platform, Settings, eventually, folder, free_base, run, spawn
from rest import Rest
from upstream import Upstream

USAGE = 2


class Authority:
    """Makes certificates with the openssl command line."""

    def __init__(self, place):
        self.place = place
        self.file = f"{place}/ca.pem"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=Test CA", "-keyout", f"{place}/ca.key", "-out", self.file)

    def issue(self, file, name, names=(), usage="serverAuth", days=30):
        """`file`.pem and `file`.key in the folder."""
        base = f"{self.place}/{file}"
        self._openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{base}.key", "-out", f"{base}.csr")
        with open(f"{base}.ext", "w", encoding="ascii") as file:
            file.write(f"extendedKeyUsage={usage}\n")
            if names:
                file.write("subjectAltName=" + ",".join(f"DNS:{one}" for one in names) + "\n")
        self._openssl(
            "x509", "-req", "-in", f"{base}.csr", "-CA", self.file, "-CAkey", f"{self.place}/ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        return f"{base}.pem", f"{base}.key"

    def revoke(self, *certificates):
        """The list of those that were ever revoked, as `crl.pem`; replaced as a whole."""
        known = f"{self.place}/index.txt"
        for path in (known, f"{known}.attr"):
            with open(path, "a", encoding="ascii"):
                pass
        with open(f"{self.place}/ca.cnf", "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=it\n[it]\ndatabase={known}\ndefault_md=sha256\ndefault_crl_days=2\n")
        own = ["ca", "-config", f"{self.place}/ca.cnf", "-cert", self.file, "-keyfile", f"{self.place}/ca.key"]
        for certificate in certificates:
            self._openssl(*own, "-revoke", certificate)
        self._openssl(*own, "-gencrl", "-out", f"{self.place}/crl.new")
        os.replace(f"{self.place}/crl.new", f"{self.place}/crl.pem")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class TLSTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.authority = Authority(self.place)
        self.authority.issue("first", "first", ["localhost", "first.test"])
        self.authority.issue("second", "second", ["second.test", "*.wild.test"])
        self.authority.issue("caller", "caller", usage="clientAuth")
        self.upstream = Upstream(self)
        self.base = free_base()
        self.log_path = f"{self.place}/gateway.log"

    def serve(self, settings="", policies="[]"):
        """A gateway alone with two certificates, and more settings of the listener."""
        path = f"{self.place}/gateway.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""
version: 1
listen:
  https:
    address: 127.0.0.1:{self.base}
    certificates: [{{cert: first.pem, key: first.key}}, {{cert: second.pem, key: second.key}}]
    {settings}
  admin: 127.0.0.1:{self.base + 1}
workers: 2
apis:
  - id: all
    routes: [{{path: /*}}]
    upstream: {{targets: [{{url: "{self.upstream.url}"}}]}}
    policies: {policies}
""")
        with open(self.log_path, "wb") as log:
            process = spawn([Settings.binary, "gateway", "--config", path], stdout=log, stderr=log)
        self.addCleanup(lambda: (process.terminate(), process.wait(30)))
        eventually(lambda: process.poll() is not None or "Serving " in self.log())
        self.assertIsNone(process.poll(), self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.base + 1}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {labels: float(value) for labels, value in re.findall(rf"^{name}(\S*) (\S+)$", text, re.MULTILINE)}

    def curl(self, host, *arguments):
        """Status, or the error of curl as a negative number."""
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", "--cacert", self.authority.file,
             "--resolve", f"{host}:{self.base}:127.0.0.1", *arguments, f"https://{host}:{self.base}/x"],
            capture_output=True, text=True, timeout=60, check=False)
        return int(done.stdout) if done.returncode == 0 else -done.returncode

    def connect(self, *arguments):
        """What openssl s_client says about one request."""
        return subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.base}", "-CAfile", self.authority.file, "-ign_eof",
             *arguments],
            input="GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", capture_output=True, text=True, timeout=60,
            check=False).stdout

    def subject(self, *arguments):
        return re.search(r"subject=.*CN ?= ?(\S+)", self.connect(*arguments))[1]

    def test_certificates_are_chosen_by_name(self):
        self.serve()
        for name, expected in (
                ("first.test", "first"), ("second.test", "second"), ("a.wild.test", "second"), ("A.Wild.Test", "second"),
                ("a.b.wild.test", "first"), ("wild.test", "first"), ("nobody.test", "first")):
            with self.subTest(name):
                self.assertEqual(self.subject("-servername", name), expected)
        self.assertEqual(self.subject("-noservername"), "first")
        for host, status in (("first.test", 200), ("a.wild.test", 200), ("nobody.test", -60)):
            self.assertEqual(self.curl(host), status)
        self.assertEqual(self.curl("first.test", "--http1.1"), 200)

    def replace(self, name, by):
        for end in ("pem", "key"):
            shutil.copy(f"{self.place}/{by}.{end}", f"{self.place}/{name}.{end}.new")
        for end in ("key", "pem"):
            os.rename(f"{self.place}/{name}.{end}.new", f"{self.place}/{name}.{end}")

    def test_changed_files_are_taken_and_wrong_ones_are_refused(self):
        self.serve()
        self.authority.issue("fresh", "fresh", ["first.test"], days=20)
        self.authority.issue("over", "over", ["first.test"], days=-1)
        before = self.metric("passerelle_gateway_certificate_expiry_timestamp_seconds")
        self.assertEqual(set(before), {'{certificate="first.pem"}', '{certificate="second.pem"}'})
        self.assertRegex(self.log(), r'a certificate is served.*first\.pem')

        self.replace("first", "fresh")
        eventually(lambda: self.subject("-servername", "first.test") == "fresh", seconds=60, every=0.2)
        self.assertRegex(self.log(), r'a changed certificate is served.*expires.*20')
        after = self.metric("passerelle_gateway_certificate_expiry_timestamp_seconds")
        self.assertLess(after['{certificate="first.pem"}'], before['{certificate="first.pem"}'])
        self.assertEqual(after['{certificate="second.pem"}'], before['{certificate="second.pem"}'])

        def refused():
            return self.metric("passerelle_gateway_certificate_reloads_total")['{result="refused"}']

        # Text that is no certificate, a key of another, one that is over, no file at all.
        def break_certificate():
            with open(f"{self.place}/first.pem", "w", encoding="ascii") as file:
                file.write("nonsense")

        for what, act in (
                ("not a certificate", break_certificate),
                ("over", lambda: self.replace("first", "over")),
                ("another's key", lambda: shutil.copy(f"{self.place}/second.key", f"{self.place}/first.key")),
                ("missing", lambda: os.remove(f"{self.place}/first.pem"))):
            with self.subTest(what):
                count = refused()
                act()
                eventually(lambda: refused() > count, seconds=60, every=0.2)
                self.assertEqual(self.subject("-servername", "first.test"), "fresh")
        self.assertIn("changed certificates are refused", self.log())
        self.replace("first", "fresh")
        self.replace("second", "fresh")
        eventually(lambda: self.subject("-servername", "first.test") == "fresh", seconds=60, every=0.2)

    def test_sessions_are_resumed_also_after_a_change(self):
        self.serve()
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                session = f"{self.place}/session{version}"
                self.assertIn("New, TLS", self.connect(version, "-sess_out", session))
                self.assertIn("Reused, TLS", self.connect(version, "-sess_in", session))
        self.authority.issue("fresh", "fresh", ["first.test"])
        self.replace("first", "fresh")
        eventually(lambda: self.subject("-servername", "first.test") == "fresh", seconds=60, every=0.2)
        self.assertIn("Reused, TLS", self.connect("-tls1_3", "-sess_in", f"{self.place}/session-tls1_3"))

    def test_no_tickets_where_none_are_wanted(self):
        self.serve("ticket_lifetime: 0s")
        session = f"{self.place}/session"
        for version in ("-tls1_2", "-tls1_3"):
            self.connect(version, "-sess_out", session)
            if os.path.exists(session):
                self.assertNotIn("Reused, TLS", self.connect(version, "-sess_in", session))

    def test_clients_must_show_a_certificate_where_it_is_required(self):
        self.serve("client_certificates: {authorities: ca.pem}")
        mine = ("--cert", f"{self.place}/caller.pem", "--key", f"{self.place}/caller.key")
        self.assertEqual(self.curl("first.test", *mine), 200)
        self.assertEqual(self.curl("first.test", "--tls-max", "1.2", *mine), 200)
        self.assertLess(self.curl("first.test"), 0)
        stranger = Authority(folder(self))
        certificate, key = stranger.issue("caller", "caller", usage="clientAuth")
        self.assertLess(self.curl("first.test", "--cert", certificate, "--key", key), 0)
        # A server's certificate is no client's.
        self.assertLess(self.curl(
            "first.test", "--cert", f"{self.place}/second.pem", "--key", f"{self.place}/second.key"), 0)

    def test_a_certificate_on_a_list_is_refused_also_where_it_is_connected(self):
        self.authority.issue("other", "other", usage="clientAuth")
        self.authority.revoke()
        self.serve("client_certificates: {authorities: ca.pem, revocation_lists: crl.pem}")
        pairs = {name: (f"{self.place}/{name}.pem", f"{self.place}/{name}.key") for name in ("caller", "other")}

        def opened(name):
            rest = Rest(f"https://localhost:{self.base}", authorities=self.authority.file, certificate=pairs[name])
            self.addCleanup(rest.close)
            self.assertEqual(rest.request("GET", "/x").status, 200)
            return rest

        caller, other = opened("caller"), opened("other")
        self.authority.revoke(pairs["caller"][0])

        def refused():
            answer = caller.request("GET", "/x")
            if answer.status == 200:
                return None
            self.assertEqual(answer.status, 401)
            self.assertIn("certificate-revoked", answer.body.decode())
            return answer

        self.assertEqual(eventually(refused, seconds=60).fields["Connection"], "close")
        with self.assertRaises(OSError):
            caller.request("GET", "/x")
        self.assertEqual(other.request("GET", "/x").status, 200)
        opened("other")
        # Text that is none changes nothing.
        count = self.metric("passerelle_gateway_certificate_reloads_total")['{result="refused"}']
        with open(f"{self.place}/crl.pem", "a", encoding="ascii") as file:
            file.write("-----BEGIN X509 CRL-----\n")
        eventually(lambda: self.metric("passerelle_gateway_certificate_reloads_total")['{result="refused"}'] > count)
        opened("other")

    def test_policies_ask_for_a_certificate_where_it_is_optional(self):
        self.serve(
            "client_certificates: {authorities: ca.pem, mode: optional}",
            "[{client_certificate: {application: optional}}, {identity_headers: {X-Who: subject}}]")
        mine = ("--cert", f"{self.place}/caller.pem", "--key", f"{self.place}/caller.key")
        for version in ("--http1.1", "--http2"):
            self.assertEqual(self.curl("first.test", version, *mine), 200)
            self.assertIn("caller", self.upstream.fields["X-Who"])
            self.assertEqual(self.curl("first.test", version), 401)

    def test_only_versions_and_ciphers_that_are_set_are_spoken(self):
        self.serve("min_version: 1.3\n    ciphers: [TLS_CHACHA20_POLY1305_SHA256]")
        self.assertIn("TLS_CHACHA20_POLY1305_SHA256", self.connect("-tls1_3"))
        self.assertLess(self.curl("first.test", "--tls-max", "1.2"), 0)
        self.assertLess(self.curl("first.test", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"), 0)

    def test_old_versions_are_not_spoken(self):
        self.serve()
        self.assertLess(self.curl("first.test", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"), 0)
        self.assertEqual(self.curl("first.test", "--tls-max", "1.2"), 200)
        self.assertLess(self.curl("first.test", "--tls-max", "1.2", "--ciphers", "AES128-SHA"), 0)

    # The platform's own gateway

    def test_the_platform_serves_https_by_flags_and_by_file(self):
        base = free_base()
        first, key = f"{self.place}/first.pem", f"{self.place}/first.key"
        platform = Platform(self, f"{self.place}/data", base, arguments=["--tls-cert", first, "--tls-key", key]).start()
        self.assertIn(f"https://127.0.0.1:{base + 2}", platform.log())
        self.base = base + 2
        # Nothing is deployed: 404 is the gateway's own answer.
        self.assertEqual(self.curl("first.test"), 404)
        self.replace("first", "second")
        eventually(lambda: self.subject("-noservername") == "second", seconds=60, every=0.2)
        self.assertEqual(platform.stop(), 0)
        settings = f"{self.place}/passerelle.yaml"
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"listen: {{https: {{address: '127.0.0.1:{base + 3}', certificates: "
                       f"[{{cert: {first}, key: {key}}}], client_certificates: {{authorities: {self.authority.file}}}}}}}")
        platform.arguments = ["--config", settings]
        platform.start()
        self.base = base + 3
        self.assertLess(self.curl("second.test"), 0)
        self.assertEqual(self.curl(
            "second.test", "--cert", f"{self.place}/caller.pem", "--key", f"{self.place}/caller.key"), 404)

    def test_the_demo_makes_a_certificate_of_its_own(self):
        base = free_base()
        demo = Platform(self, f"{self.place}/demo", base, verb="demo", arguments=[
            "--output", "json", "--https", f"127.0.0.1:{base + 2}"]).start(ready=False)
        line = next(one for one in demo.demo_lines()["try"] if "https://" in one)
        self.assertEqual(subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=False).returncode, 0)
        self.assertEqual(demo.stop(), 0)

    def test_what_is_missing_is_refused_at_the_start(self):
        for arguments, says in (
                (["--https", "127.0.0.1:0"], "needs a certificate"),
                (["--tls-cert", "a.pem"], "belong together"),
                (["--tls-client-ca", "a.pem"], "needs a certificate"),
                (["--https", "nowhere", "--tls-cert", "a.pem", "--tls-key", "a.key"], "is not an address")):
            done = run("serve", "--data", f"{self.place}/none", *arguments)
            self.assertEqual(done.returncode, USAGE, done.stderr)
            self.assertIn(says, done.stderr)
        done = run(
            "serve", "--data", f"{self.place}/none", "--port-base", str(self.base), "--tls-cert", "/missing.pem",
            "--tls-key", "/missing.key")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/missing.pem", done.stderr)
