"""A network between the platform and a server of the test that can be cut: a namespace with a cable where the machine allows
one (root, `ip`), else a relay that takes bytes and lets none through."""

import os
import random
import selectors
import socket
import subprocess
import threading


def network(case):
    try:
        return Namespace(case)
    except (OSError, subprocess.SubprocessError):
        return Relay(case)


class Namespace:
    """A network namespace. What runs in it (`prefix`) is reached at `address`, as long as the cable is in."""

    kind = "a network namespace"

    def __init__(self, case):
        mark = f"{random.randrange(1 << 24):06x}"
        self.name, self.outside, self.inside = f"passerelle-{mark}", f"psr{mark}a", f"psr{mark}b"
        net = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        self.address, self.here = f"{net}.2", f"{net}.1"
        if os.getuid() != 0:
            raise PermissionError("a network namespace needs root")
        self._ip("netns", "add", self.name)
        case.addCleanup(self._ip, "netns", "del", self.name)
        self._ip("link", "add", self.outside, "type", "veth", "peer", "name", self.inside, "netns", self.name)
        self._ip("addr", "add", f"{self.here}/30", "dev", self.outside)
        self._ip("link", "set", self.outside, "up")
        self._ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", self.inside)
        self._ip("-n", self.name, "link", "set", "lo", "up")
        self.mend()

    @property
    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    def reach(self, port):
        """Where a server that listens at `port` in there is reached from here."""
        return self.address, port

    def cut(self):
        """Nothing gets through, and nobody is told."""
        self._ip("-n", self.name, "link", "set", self.inside, "down")

    def mend(self):
        self._ip("-n", self.name, "link", "set", self.inside, "up")

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Relay:
    """A port of 127.0.0.1 that relays to another one. While cut, bytes wait, and new connections get no answer. `sent` counts what
    came from clients; with a `limit` it is cut by itself when so much came."""

    kind = "a relay"
    address = here = "127.0.0.1"
    prefix = []

    def __init__(self, case):
        self._open = threading.Event()
        self._open.set()
        self._port = None
        self.sent, self.limit = 0, None
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        case.addCleanup(self._listener.close)

    def reach(self, port):
        self._port = port
        return self._listener.getsockname()

    def cut(self):
        self._open.clear()

    @property
    def is_cut(self):
        return not self._open.is_set()

    def mend(self):
        self._open.set()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
        self._open.wait()
        with client, socket.socket() as server, selectors.DefaultSelector() as ready:
            try:
                server.connect(("127.0.0.1", self._port))
                ready.register(client, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65536)
                        if key.fileobj is client:
                            self.sent += len(data)
                            if self.limit is not None and self.sent >= self.limit:
                                self.cut()
                        self._open.wait()
                        if not data:
                            return
                        key.data.sendall(data)
            except OSError:
                pass
