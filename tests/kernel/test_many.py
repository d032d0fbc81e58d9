"""Many of something: descriptors on the machine, connections in one request. The daemon's heart goes on beating, and it
goes on answering others."""

import os
import resource
import selectors
import socket
import subprocess
import sys
import time

from harness import LIMIT_S, Daemon, Net, Pair, inside
from traffic import LATER, Client

HOARD = """
import os, resource, sys
count = int(sys.argv[1])
each = min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 64, 100_000)
resource.setrlimit(resource.RLIMIT_NOFILE, (each + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range(each):
    os.dup(0)
children = []
for _ in range(count // each):
    children.append(os.fork())
    if not children[-1]:
        sys.stdin.read()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
for child in children:
    os.waitpid(child, 0)
"""


class Hoard:
    """Processes with many open descriptors in all."""

    def __init__(self, count):
        self.process = subprocess.Popen([sys.executable, "-c", HOARD, str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Crowd:
    """Connections within the near namespace, which can never be offloaded: loopback."""

    def __init__(self, net, count):
        with inside(net.near):
            listener = socket.create_server(("127.0.0.1", 0), backlog=count)
            self.socks = [listener]
            for _ in range(count):
                self.socks += [socket.create_connection(listener.getsockname()), listener.accept()[0]]

    def close(self):
        for sock in self.socks:
            sock.close()


def serves_others(daemon, refusals, attempts=20, **request):
    """While one client's request is being served, others are answered: they see how far it has got. The answer to it,
    which is so many refusals, must be short enough for the socket's buffer, or the daemon would wait for us."""
    first, other = Client(daemon), Client(daemon)

    def refused():
        other.ask(op="status")
        return other.rest()[0]["status"]["refused"]

    seen = set()
    for _ in range(attempts):  # we may be the slow ones
        before = refused()
        first.ask(**request)
        while (done := refused() - before) < refusals:
            seen.add(done)
        lines = first.rest()
        if seen - {0}:
            break
    first.close()
    other.close()
    assert seen - {0}, f"{request}: all {refusals} in one go"
    return lines


def test_list_with_many_descriptors():
    """conn list and conn show with a few hundred thousand descriptors open cost no beat."""
    with Net() as net, Hoard(150_000):
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            for words in (("list",), ("show", *pair.selector)):
                for attempt in range(3):  # a busy machine may make it miss one by itself
                    if daemon.ctl("conn", "list", *pair.selector)[1][0]["owner"] != "target":
                        daemon.must_move("offload", *pair.selector)
                    before = daemon.status()["missed_beats"]
                    code, answer, errors = daemon.ctl("conn", *words)
                    assert code == 0, (words, code, errors)
                    missed = daemon.status()["missed_beats"] - before
                    if not missed:
                        break
                assert not missed, f"{words}: missed a beat {attempt + 1} times"
            pid = [conn["pid"] for conn in daemon.ctl("conn", "list", *pair.selector)[1]]
            assert pid and pid[0] > 0, "the process is named"
            pair.near.sendall(b"ping")
            assert pair.far.recv(16) == b"ping"
            pair.close()


def test_others_are_served():
    """Offload starts connections in slices: others are answered in between."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            crowd = Crowd(net, 200)
            lines = serves_others(daemon, 400, op="offload", selector={"all": True})
            assert lines[-1]["code"] == 1 and lines[-1]["count"] == 400, lines[-1]
            assert {line["move"]["reason"] for line in lines[:-1]} == {"loopback"}
            crowd.close()


def test_thousands():
    """Requests that mean thousands of connections: each is answered once."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            crowd, client = Crowd(net, 1500), Client(daemon)
            for op, code, key in (("list", 0, "conn"), ("offload", 1, "move"), ("upload", 1, "move")):
                client.ask(op=op, selector={"all": True})
                lines = client.rest()
                assert lines[-1]["code"] == code and lines[-1]["count"] == 3000 == len(lines) - 1, lines[-1]
                conns = [line["move"]["conn"] if key == "move" else line["conn"] for line in lines[:-1]]
                assert len({(conn["local"], conn["peer"]) for conn in conns}) == 3000
            client.close()
            crowd.close()


def all_move(daemon, direction):
    """Those that find no quiet moment are asked for again."""
    done = 0
    for _ in range(20):
        moves = daemon.moves(direction, "--all")[1]
        reasons = {move["reason"] for move in moves}
        done += sum(move["outcome"] == "done" for move in moves)
        if not reasons.intersection(LATER):
            break
    return done, reasons - {"none", "already-offloaded"}


def test_offload_all():
    """Hundreds of connections down and up again in one request each: every one moves and works, and no beat is missed."""
    count = 300
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pairs = [Pair(net) for _ in range(count)]
            for _ in range(3):  # a busy machine may make it miss a beat by itself
                before = daemon.status()["missed_beats"]
                for direction, owner in (("offload", "target"), ("upload", "kernel")):
                    done, other = all_move(daemon, direction)
                    for pair in pairs:
                        pair.near.sendall(b"ping")
                        pair.far.sendall(b"pong")
                    for pair in pairs:
                        assert pair.far.recv(16) == b"ping" and pair.near.recv(16) == b"pong"
                    owners = {conn["owner"] for conn in daemon.ctl("conn", "list")[1]}
                    missed = daemon.status()["missed_beats"] - before
                    if missed:
                        break
                    assert done == count and not other, (direction, done, other)
                    assert owners <= {owner, "bridge"}, (direction, owners)
                if not missed:
                    break
            assert not missed, f"missed a beat while they were to {direction}"
            daemon.must_move("offload", *pairs[0].selector)
            all_move(daemon, "offload")
            daemon.stop()  # gives them all back
            for pair in pairs:
                pair.near.sendall(b"bye")
                assert pair.far.recv(16) == b"bye"
                pair.close()


class Echo:
    """Far: one server that sends back what it gets, in a process of its own."""

    SERVER = """
import selectors, socket, sys
listener = socket.create_server((sys.argv[1], 0), backlog=1024, family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
ready = selectors.DefaultSelector()
ready.register(listener, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if key.fileobj is listener:
            ready.register(listener.accept()[0], selectors.EVENT_READ)
        elif data := key.fileobj.recv(1 << 16):
            key.fileobj.sendall(data)
        else:
            ready.unregister(key.fileobj)
            key.fileobj.close()
"""

    def __init__(self, net, v6):
        self.address = net.far6 if v6 else net.far4
        self.process = subprocess.Popen(["ip", "netns", "exec", net.far, sys.executable, "-c", self.SERVER, self.address],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def connect(self, net, count):
        with inside(net.near):
            return [socket.create_connection((self.address, self.port), timeout=LIMIT_S) for _ in range(count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def echoes(socks, size):
    """All at once: each sends random bytes of its own and gets them back."""
    texts = {sock: os.urandom(size) for sock in socks}
    left, got = set(socks), {sock: b"" for sock in socks}
    for sock, text in texts.items():
        sock.sendall(text)
    with selectors.DefaultSelector() as ready:
        for sock in socks:
            ready.register(sock, selectors.EVENT_READ)
        while left:
            events = ready.select(LIMIT_S)
            assert events, f"{len(left)} of {len(socks)} wait for their echo"
            for key, _ in events:
                sock = key.fileobj
                got[sock] += sock.recv(1 << 16)
                assert texts[sock].startswith(got[sock]), "another echo"
                if len(got[sock]) == size:
                    left.discard(sock)


def echo_of_many(count, rounds, v6):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server's as well
    with Net() as net, Echo(net, v6) as server:
        net.warm(v6)
        net.count_rst()
        with Daemon(net) as daemon:
            socks = server.connect(net, count)
            for turn in range(rounds):
                for direction, owner, coming_home in (("offload", "target", None), ("upload", "kernel", "bridge")):
                    begin = time.monotonic()
                    done, other = all_move(daemon, direction)
                    assert done == count and not other, (turn, direction, done, other)
                    owners = [conn["owner"] for conn in daemon.ctl("conn", "list")[1]]
                    assert len(owners) == count and set(owners) <= {owner, coming_home}, (turn, direction, set(owners))
                    moved = time.monotonic()
                    echoes(socks, 4096 + turn)
                    print(f"# {count} {direction}: {moved - begin:.2f} s, echo: {time.monotonic() - moved:.2f} s", flush=True)
            assert daemon.status()["leaked"] == 0 and net.rsts() == 0
            for sock in socks:
                sock.close()


def test_echo_of_a_thousand():
    """1,000 connections at once, all the target's: each gets back what it sent; the same at home, three times."""
    echo_of_many(1000, 3, v6=False)


def test_echo_of_a_thousand_ipv6():
    """The same over IPv6, once."""
    echo_of_many(1000, 1, v6=True)


def test_end_while_asked():
    """SIGTERM while requests are being served: they are answered, and the daemon ends cleanly."""
    with Net() as net, Hoard(150_000):
        net.warm()
        daemon = Daemon(net)
        crowd = Crowd(net, 40)
        clients = [Client(daemon) for _ in range(3)]
        clients[0].ask(op="list")
        clients[1].ask(op="offload", selector={"all": True})
        clients[2].ask(op="list")
        assert clients[1].line()["move"]["outcome"] == "refused"
        daemon.stop()
        for client in clients[::2]:
            assert client.rest()[-1]["code"] == 0
        assert clients[1].rest()[-1]["code"] == 1
        for client in clients:
            client.close()
        crowd.close()
