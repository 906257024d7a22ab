"""A new process takes over from the running one: under load no connection and no request is lost, and where the new one fails, the old one
goes on as if nothing had been."""

import asyncio
import http.client
import os
import pwd
import signal
import socket
import sqlite3
import threading
import time
import unittest

from processes import Platform, Settings, eventually, folder, free_base, spawn
from rest import Rest, document

FAILED = 1
# Connections that wait in the queue of a listening socket at a time.
QUEUE = 96


class QuickUpstream:
    """Answers everything with `ok`, to very many clients at once: at once, and `/held` when `release` is called."""

    def __init__(self, case):
        self.loop = asyncio.new_event_loop()
        self.requests = 0
        self.held = []
        owner = self

        class Connection(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                self.begun = b""

            def data_received(self, data):
                *heads, self.begun = (self.begun + data).split(b"\r\n\r\n")
                for head in heads:
                    owner.requests += 1
                    if head.split(b" ", 2)[1].endswith(b"/held"):
                        owner.held.append(self)
                    else:
                        self.answer()

            def answer(self):
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        server = self.loop.run_until_complete(self.loop.create_server(Connection, "127.0.0.1", 0, backlog=4096))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        thread.start()

        def close():
            self.loop.call_soon_threadsafe(server.close)
            self.loop.call_soon_threadsafe(self.loop.call_later, 0.1, self.loop.stop)
            thread.join(10)

        case.addCleanup(close)

    def release(self):
        while self.held:
            self.loop.call_soon_threadsafe(self.held.pop().answer)


class Client:
    """One connection that is kept as long as the server keeps it. Whatever goes wrong is an exception."""

    def __init__(self, port, path="/x"):
        self.port = port
        self.path = path
        self.socket = None

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), 30)

    def send(self):
        if not self.socket:
            self.connect()
        self.socket.sendall(f"GET {self.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def receive(self):
        data = b""
        while not (data.endswith(b"\r\n\r\nok") or (b"\r\n\r\n" in data and b" 200 " not in data.split(b"\r\n")[0])):
            got = self.socket.recv(65536)
            if not got:
                raise ConnectionError(f"ended after {data!r}")
            data += got
        if not data.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"answered {data!r}")
        if b"connection: close" in data.lower():
            self.close()

    def finish(self):
        """Asks until an answer says that it is the connection's last: a process that was replaced begins to say so a moment later."""
        def is_over():
            if self.socket:
                self.send()
                self.receive()
            return not self.socket

        eventually(is_over)

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None


class Load:
    """Clients that keep their connections, and others that come in crowds so that they have to queue."""

    def __init__(self, case, port, path="/x", callers=6, crowds=2):
        self.failures = []
        self.done = 0
        self.port = port
        self.path = path
        self._stop = False
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        self._threads += [threading.Thread(target=self._crowd, daemon=True) for _ in range(crowds)]
        for thread in self._threads:
            thread.start()
        case.addCleanup(self.stop)

    def _call(self):
        client = Client(self.port, self.path)
        while not self._stop:
            self._ask([client])
        client.close()

    def _crowd(self):
        while not self._stop:
            clients = [Client(self.port, self.path) for _ in range(QUEUE)]
            self._ask(clients)
            for client in clients:
                client.close()

    def _ask(self, clients):
        try:
            for client in clients:
                if not client.socket:
                    client.connect()
            for client in clients:
                client.send()
            for client in clients:
                client.receive()
                self.done += 1
        except OSError as error:
            if len(self.failures) < 20:
                self.failures.append(f"{type(error).__name__}: {error}")
            for client in clients:
                client.close()

    def more(self, count=300):
        """Waits until so many more requests went well."""
        before = self.done
        eventually(lambda: self.done >= before + count or self.failures, seconds=60)

    def stop(self):
        self._stop = True
        for thread in self._threads:
            thread.join(40)


class Successor:
    """The other side of the protocol, by hand."""

    def __init__(self, case, path):
        self.path = path
        self.connect()
        case.addCleanup(lambda: self.socket.close())

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(40)
        self.socket.connect(self.path)

    def say(self, message):
        self.socket.send(message.encode())

    def hear(self):
        data, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 60)
        for descriptor in descriptors:
            os.close(descriptor)
        return data.decode()

    def take_until_released(self):
        def taken():
            """The end of the one before may not have been noticed yet: then this one is refused, perhaps before it has said anything."""
            try:
                self.say('{"take_over":1}')
                heard = self.hear()
            except (BrokenPipeError, ConnectionResetError):
                heard = "taking over already"
            if "taking over already" in heard:
                self.socket.close()
                self.connect()
                return False
            assert "sockets" in heard, heard
            return True

        eventually(taken)
        self.say('{"prepared":true}')
        heard = self.hear()
        assert "released" in heard, heard


class GatewayUpgradeTests(unittest.TestCase):
    """`passerelle gateway` from a file."""

    def setUp(self):
        self.upstream = QuickUpstream(self)
        self.place = folder(self)
        self.file = f"{self.place}/gateway.yaml"
        self.port = free_base()
        self.admin = self.port + 1
        self.logs = 0
        self.write(workers=2)

    def write(self, workers, api="orders"):
        with open(f"{self.file}.next", "w", encoding="utf-8") as file:
            file.write(f"""version: 1
listen: {{http: "127.0.0.1:{self.port}", admin: "127.0.0.1:{self.admin}"}}
workers: {workers}
apis:
  - {{id: {api}, routes: [{{path: /*}}], upstream: {{targets: [{{url: "{self.upstream.url}"}}]}}}}
""")
        os.rename(f"{self.file}.next", self.file)

    def start(self, *arguments):
        self.logs += 1
        path = f"{self.place}/log{self.logs}"
        with open(path, "wb") as log:
            process = spawn(
                [Settings.binary, "gateway", "--config", self.file, *arguments], stdout=log, stderr=log)
        process.log = lambda: open(path, encoding="utf-8").read()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def serving(self, process):
        def check():
            if process.poll() is not None:
                raise AssertionError(f"exited with {process.returncode}:\n{process.log()}")
            return "Serving " in process.log()
        eventually(check, seconds=60)
        return process

    def taking_over(self):
        """A process that takes over. The end of the one before may not have been noticed yet: then it is refused, and the next is started."""
        def attempt():
            process = self.start("--upgrade")
            eventually(lambda: process.poll() is not None or "Serving " in process.log())
            if process.poll() is None:
                return process
            self.assertIn("taking over already", process.log())
            return None

        return eventually(attempt)

    def test_nothing_is_lost_under_load(self):
        process = self.serving(self.start())
        load = Load(self, self.port)
        slow = Client(self.port, "/held")
        slow.send()
        eventually(lambda: self.upstream.held)
        # More loops, then fewer: queues of sockets without a loop of their own must not be forgotten.
        for workers in (3, 1, 2):
            load.more()
            self.write(workers)
            successor = self.serving(self.start("--upgrade"))
            if slow:
                self.upstream.release()
                slow.receive()
                slow.path = "/x"
                slow.finish()
                slow = None
            self.assertEqual(process.wait(60), 0, process.log())
            self.assertIn("took over", process.log())
            process = successor
        load.more()
        load.stop()
        self.assertEqual(load.failures, [], f"{load.done} went well")
        with Rest(f"http://127.0.0.1:{self.admin}") as rest:
            self.assertEqual(rest.request("GET", "/readyz").status, 200)
        print(f"    {load.done} requests, 3 upgrades, 0 failed", flush=True)

    def test_a_connection_without_a_request_gets_one_more(self):
        process = self.serving(self.start())
        client = Client(self.port)
        client.send()
        client.receive()
        self.serving(self.start("--upgrade"))
        eventually(lambda: "took over" in process.log())
        client.finish()
        self.assertEqual(process.wait(60), 0)

    def test_without_a_predecessor_it_just_starts(self):
        self.serving(self.start("--upgrade"))
        Client(self.port).send()

    def test_the_old_process_goes_on_when_the_new_one_fails(self):
        process = self.serving(self.start())
        load = Load(self, self.port, crowds=1)
        with open(self.file, encoding="utf-8") as file:
            good = file.read()
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(good.replace("path: /*", "path: nowhere"))
        failed = self.start("--upgrade")
        self.assertEqual(failed.wait(60), FAILED)
        self.assertIn(f"{self.file}:5", failed.log())
        # It is killed after the old one has let go of what only one may hold.
        successor = Successor(self, f"{self.file}.sock")
        successor.take_until_released()
        load.more()
        successor.socket.close()
        eventually(lambda: process.log().count("serving on") == 2)
        load.more()
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(good)
        self.taking_over()
        self.assertEqual(process.wait(60), 0, process.log())
        load.more()
        load.stop()
        self.assertEqual(load.failures, [], f"{load.done} went well")

    def test_one_takes_over_at_a_time(self):
        process = self.serving(self.start())
        first = Successor(self, f"{self.file}.sock")
        first.take_until_released()
        second = self.start("--upgrade")
        self.assertEqual(second.wait(60), FAILED)
        self.assertIn(f"process {os.getpid()} is taking over already", second.log())
        first.socket.close()
        eventually(lambda: "serving on" in process.log())
        third = self.taking_over()
        self.assertEqual(process.wait(60), 0)
        self.assertIsNone(third.poll())

    def test_an_unknown_message_is_no_successor(self):
        process = self.serving(self.start())
        for words in (['{"take_over":2}'], ['{"take_over":1}', "{}"], ["nonsense"], ["x" * 5000]):
            with self.subTest(words[-1][:20]):
                before = process.log().count("successor")

                def say():
                    """The one before may not be over yet; then this one is refused, which is said to nobody else."""
                    stranger = Successor(self, f"{self.file}.sock")
                    try:
                        for word in words:
                            stranger.say(word)
                    except OSError:
                        pass
                    stranger.socket.close()
                    return process.log().count("successor") > before

                eventually(say)
        client = Client(self.port)
        client.send()
        client.receive()
        client.close()
        self.taking_over()
        self.assertEqual(process.wait(60), 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs to become another user")
    def test_another_user_is_refused(self):
        process = self.serving(self.start())
        path = f"{self.file}.sock"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        os.chmod(self.place, 0o755)
        os.chmod(path, 0o666)
        other = pwd.getpwnam("nobody")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgid(other.pw_gid)
                os.setuid(other.pw_uid)
                stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                stranger.connect(path)
                os.write(writing, stranger.recv(4096))
            except OSError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, encoding="utf-8") as heard:
            self.assertIn("belongs to another user", heard.read())
        os.waitpid(child, 0)
        eventually(lambda: "another user" in process.log())
        self.assertIsNone(process.poll())

    def test_a_killed_process_leaves_nothing_in_the_way(self):
        process = self.serving(self.start())
        process.kill()
        process.wait()
        self.assertTrue(os.path.exists(f"{self.file}.sock"))
        process = self.serving(self.start("--upgrade"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(os.path.exists(f"{self.file}.sock"))


class PlatformUpgradeTests(unittest.TestCase):
    """`passerelle serve`: the data folder, the store and the control plane move along."""

    def setUp(self):
        self.upstream = QuickUpstream(self)
        self.platform = Platform(self, f"{folder(self)}/data").start()
        self.token = self.platform.open_api(self.upstream.url)

    def successor(self, name):
        return Platform(
            self, self.platform.data, base=self.platform.base, arguments=["--upgrade"],
            log=f"{self.platform.data}.{name}.log")

    def test_everything_moves_and_nothing_is_lost(self):
        load = Load(self, self.platform.base, "/shop/orders", callers=4, crowds=1)
        acknowledged, failures, stop = [], [], threading.Event()

        def write():
            """Every change on a connection of its own: those that come while nobody accepts have to wait. One that was accepted and had
            brought no request when the control plane stopped is closed, as at every end of one, and opened again."""
            number = 0
            ended = 0
            while not stop.is_set():
                number += 1
                try:
                    with Rest(self.platform.control_plane, self.token, timeout=60) as rest:
                        answer = rest.request("POST", "/v1/tenants/acme/applications", {"name": f"app-{number}"})
                    if answer.status == 201:
                        acknowledged.append(answer.json["id"])
                    else:
                        failures.append(str(answer))
                except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                    ended += 1
                    if ended > 2:
                        failures.append("more connections were ended than there were upgrades")
                except OSError as error:
                    failures.append(f"{type(error).__name__}: {error}")

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        process = self.platform
        for round_ in range(2):
            load.more()
            started = time.monotonic()
            successor = self.successor(f"round{round_}").start()
            took = time.monotonic() - started
            self.assertEqual(process.wait(), 0, process.log())
            process = successor
        load.more()
        load.stop()
        stop.set()
        writer.join(60)
        self.assertEqual(load.failures, [], f"{load.done} went well")
        self.assertEqual(failures, [], f"{len(acknowledged)} went well")
        with Rest(self.platform.control_plane, self.token) as rest:
            there = {application["id"] for application in rest.all("/v1/tenants/acme/applications")}
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        self.assertEqual(set(acknowledged) - there, set(), "acknowledged and lost")
        print(f"    {load.done} requests, {len(acknowledged)} changes, 2 upgrades of {took:.1f} s, 0 failed", flush=True)

    def test_what_the_predecessor_still_answers_is_counted(self):
        with Rest(self.platform.control_plane, self.token) as rest:
            rest.create("/v1/tenants/acme/apis", {
                "document": document("Counted", base="/counted"), "upstream": self.upstream.url, "authentication": "none",
                "policies": [{"quota": {"limit": 100, "window": "year", "by": "api"}}]})
            self.assertEqual(rest.deploy("acme", "counted")["state"], "success")
        clients = [Client(self.platform.base, "/counted/orders") for _ in range(4)]

        def ask():
            for client in clients:
                client.send()
                client.receive()

        ask()
        successor = self.successor("counting").start()
        eventually(lambda: "took over" in self.platform.log())
        ask()
        self.assertEqual([client.socket for client in clients], [None] * 4, "the predecessor answered, for the last time")
        self.assertEqual(self.platform.wait(), 0)
        self.assertEqual(successor.stop(), 0)
        with sqlite3.connect(f"{self.platform.data}/passerelle.db") as database:
            self.assertEqual(database.execute("SELECT sum(total) FROM gateway_counters").fetchall(), [(8,)])

    def test_the_control_plane_comes_back_when_the_new_process_fails(self):
        load = Load(self, self.platform.base, "/shop/orders", callers=2, crowds=1)
        successor = Successor(self, f"{self.platform.data}/passerelle.sock")
        successor.take_until_released()
        load.more()
        # Nobody accepts here now, and nobody is refused.
        waiting = socket.create_connection(("127.0.0.1", self.platform.base + 1), 60)
        self.addCleanup(waiting.close)
        successor.socket.close()
        eventually(lambda: "the control plane runs here again" in self.platform.log())
        waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(b"200", waiting.recv(4096))
        with Rest(self.platform.control_plane, self.token) as rest:
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
            eventually(lambda: rest.request("GET", "/readyz").status == 200)
            metrics = rest.request("GET", "/metrics").body.decode()
        self.assertIn("passerelle_gateway_connections", metrics)
        load.more()
        load.stop()
        self.assertEqual(load.failures, [], f"{load.done} went well")
        self.assertEqual(self.platform.stop(), 0)
