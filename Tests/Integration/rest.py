"""A small REST client over one kept connection, and one raw request over a socket."""

import http.client
import json
import socket
import ssl
import time
import urllib.parse


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    @property
    def json(self):
        return json.loads(self.body) if self.body else None

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Refused(AssertionError):
    """An answer other than the one a step needs."""

    def __init__(self, what, answer):
        super().__init__(f"{what}: {answer!r}")
        self.answer = answer


class Rest:
    """One caller. Not for several threads at once."""

    def __init__(self, url, token=None, timeout=60, authorities=None, certificate=None):
        """Where the URL begins with https: `authorities` is the file with those to trust, `certificate` the files of what is shown."""
        self.url = url
        self.authorities = authorities
        self.certificate = certificate
        self.token = token
        self.timeout = timeout
        self._address = urllib.parse.urlsplit(url).netloc
        self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def _connect(self):
        if not self.url.startswith("https:"):
            return http.client.HTTPConnection(self._address, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.authorities)
        if self.certificate:
            context.load_cert_chain(*self.certificate)
        return http.client.HTTPSConnection(self._address, timeout=self.timeout, context=context)

    def request(self, method, path, body=None, fields=None, raw=None):
        """Sends once; a connection that broke is for the caller to judge, and is made anew next time."""
        sent = dict(fields or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.request(method, path, raw, sent)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer

    def expect(self, status, method, path, body=None, fields=None):
        answer = self.request(method, path, body, fields)
        if answer.status != status:
            raise Refused(f"{method} {path} expected {status}", answer)
        return answer

    def get(self, path):
        return self.expect(200, "GET", path).json

    def create(self, path, body, fields=None):
        return self.expect(201, "POST", path, body, fields).json

    def all(self, path):
        """Every item of a paged list."""
        items, cursor = [], ""
        while cursor is not None:
            mark = "&" if "?" in path else "?"
            page = self.get(f"{path}{mark}limit=200" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else ""))
            items += page["items"]
            cursor = page["next"]
        return items

    def events(self, topic, tenant=None):
        """Every event of a topic from the beginning."""
        items, start = [], "earliest"
        scope = f"&tenant={tenant}" if tenant else ""
        while True:
            page = self.get(f"/v1/events/{topic}?from={urllib.parse.quote(start)}&limit=1000{scope}")
            items += page["items"]
            start = page["next"]
            if page["at_end"]:
                return items

    def sign_in(self, user, password):
        self.token = self.create("/v1/sessions", {"user": user, "password": password})["access_token"]

    def deploy(self, tenant, api, environment="dev", seconds=40, **body):
        """Deploys and waits for the end. Returns the finished deployment."""
        path = f"/v1/tenants/{tenant}/apis/{api}/deployments"
        made = self.expect(202, "POST", path, {"environment": environment, **body}).json
        return self.finished(f"{path}/{made['id']}", seconds)

    def finished(self, path, seconds=40):
        deadline = time.monotonic() + seconds
        while True:
            deployment = self.get(path)
            if deployment["state"] in ("success", "failed"):
                return deployment
            if time.monotonic() > deadline:
                raise AssertionError(f"the deployment did not end: {deployment}")
            time.sleep(0.02)


def document(title="Orders", paths=("/orders",), base="/shop"):
    """A small OpenAPI document with GET on each path."""
    operation = {"get": {"responses": {"200": {"description": "fine"}}}}
    return json.dumps({
        "openapi": "3.1.0", "info": {"title": title, "version": "1"}, "servers": [{"url": base}],
        "paths": {path: operation for path in paths}})


def speak(url, data, seconds=10):
    """Sends raw bytes and returns (status of the first answer, all bytes until the peer closes, whether it closed)."""
    parts = urllib.parse.urlsplit(url)
    received = b""
    with socket.create_connection((parts.hostname, parts.port), seconds) as peer:
        peer.sendall(data)
        closed = False
        try:
            while len(received) < 1 << 20:
                chunk = peer.recv(65536)
                if not chunk:
                    closed = True
                    break
                received += chunk
        except ConnectionResetError:
            closed = True
        except TimeoutError:
            pass
    head = received.split(b"\r\n", 1)[0].split(b" ")
    return (int(head[1]) if len(head) > 1 else None), received, closed
