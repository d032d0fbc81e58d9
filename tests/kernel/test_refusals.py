"""Bad input: refused with its reason, and the connection goes on working in the kernel."""

import os
import socket
import struct
import threading

from harness import Daemon, Net, Pair, Skip, inside, run, wait_for
from test_drivers import target


def refused(daemon, reason, *selector, direction="offload", code=1):
    got, moves = daemon.moves(direction, *selector)
    assert [move["reason"] for move in moves] == [reason], (moves, reason)
    assert got == code, f"exit {got}, not {code}"


def works(pair):
    pair.near.sendall(b"ping")
    assert pair.far.recv(16) == b"ping"
    pair.far.sendall(b"pong")
    assert pair.near.recv(16) == b"pong"


def test_selection():
    """No such connection, LISTEN, not offloaded, offloaded twice, no daemon, bad usage."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            refused(daemon, "no-such-connection", "--local", ":1")
            refused(daemon, "no-such-connection", "--pid", "999999999")
            with inside(net.near):
                listener = socket.create_server((net.near4, 0))
            refused(daemon, "listening", "--local", f":{listener.getsockname()[1]}")
            listener.close()
            pair = Pair(net)
            refused(daemon, "not-offloaded", *pair.selector, direction="upload")
            daemon.must_move("offload", *pair.selector)
            refused(daemon, "already-offloaded", *pair.selector)
            works(pair)
            daemon.must_move("upload", *pair.selector)
            works(pair)
            for words in (("offload",), ("offload", "--local", "nonsense"), ("offload", "--local", ":0"),
                          ("offload", "--pid", "-3"), ("dance", *pair.selector)):
                assert daemon.ctl("conn", *words)[0] == 2, words
            pair.close()
            socket_path, daemon.socket = daemon.socket, "/nonexistent/chimneyd.sock"
            assert daemon.ctl("status")[0] == 3
            daemon.socket = socket_path


def test_loopback_and_no_stack():
    """Connections on lo, to an address of our own, and on an interface without a stack."""
    with Net() as net:
        net.warm()
        run("ip", "-n", net.near, "link", "add", "other0", "type", "veth", "peer", "name", "other0", "netns", net.far)
        for ns, address in ((net.near, "10.78.0.1/24"), (net.far, "10.78.0.2/24")):
            run("ip", "-n", ns, "addr", "add", address, "dev", "other0")
            run("ip", "-n", ns, "link", "set", "other0", "up")
        with Daemon(net) as daemon:
            for address in ("127.0.0.1", net.near4):
                with inside(net.near):
                    listener = socket.create_server((address, 0))
                    client = socket.create_connection(listener.getsockname())
                host, port = client.getsockname()
                refused(daemon, "loopback", "--local", f"{host}:{port}", "--peer", f":{listener.getsockname()[1]}")
                client.close()
                listener.close()
            with inside(net.far):
                listener = socket.create_server(("10.78.0.2", 0))
            with inside(net.near):
                client = socket.create_connection(listener.getsockname())
            refused(daemon, "no-stack", "--peer", "10.78.0.2")
            client.close()
            listener.close()


def test_interface_down():
    """No carrier, then down: interface-down is the reason, whatever it has done to the routes. Without a route: no-route."""
    with Net() as net:
        net.warm()
        net.warm(v6=True)
        run("sysctl", "-qw", "net.ipv6.conf.eth0.keep_addr_on_down=0", ns=net.near)
        with Daemon(net) as daemon:
            pairs = [Pair(net), Pair(net, v6=True)]
            run("ip", "-n", net.far, "link", "set", "eth0", "down")
            wait_for(lambda: "LOWER_UP" not in run("ip", "-n", net.near, "link", "show", "eth0").stdout, "no carrier")
            for pair in pairs:
                refused(daemon, "interface-down", *pair.selector)
            run("ip", "-n", net.near, "link", "set", "eth0", "down")
            for pair in pairs:
                refused(daemon, "interface-down", *pair.selector)
            for ns, address in ((net.near, net.near6), (net.far, net.far6)):
                run("ip", "-n", ns, "link", "set", "eth0", "up")
                run("ip", "-n", ns, "addr", "replace", address + "/64", "dev", "eth0", "nodad")
            wait_for(lambda: "LOWER_UP" in run("ip", "-n", net.near, "link", "show", "eth0").stdout, "a carrier")
            for pair in pairs:
                works(pair)
            run("ip", "-n", net.near, "route", "flush", "10.77.0.0/24")
            refused(daemon, "no-route", *pairs[0].selector)
            for pair in pairs:
                pair.close()


def test_ecn():
    """ECN negotiated, and a target that does not know it."""
    with Net() as net:
        for ns in (net.near, net.far):
            run("sysctl", "-qw", "net.ipv4.tcp_ecn=1", ns=ns)
        net.warm()
        with target("soft:StateExtension=0") as words, Daemon(net, options=words) as daemon:
            pair = Pair(net)
            refused(daemon, "ecn", *pair.selector)
            works(pair)
            pair.close()


def test_mptcp():
    """An MPTCP subflow."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            try:
                with inside(net.near):
                    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
                with inside(net.far):
                    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
            except OSError as error:
                raise Skip(f"no MPTCP: {error}") from error
            listener.bind((net.near4, 0))
            listener.listen(1)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            client.sendall(b"x")
            assert server.recv(4) == b"x"
            refused(daemon, "mptcp", "--local", f":{listener.getsockname()[1]}", "--peer", f":{client.getsockname()[1]}")
            client.sendall(b"y")
            assert server.recv(4) == b"y"
            for sock in (client, server, listener):
                sock.close()


def md5_key(address):
    """struct tcp_md5sig for an IPv4 address."""
    sockaddr = struct.pack("=HH4s8s", socket.AF_INET, 0, socket.inet_aton(address), b"") + bytes(112)
    return sockaddr + struct.pack("=BBHI", 0, 0, 6, 0) + b"secret".ljust(80, b"\0")


def test_md5():
    """TCP MD5 signatures."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            with inside(net.near):
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            with inside(net.far):
                client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.IPPROTO_TCP, 14, md5_key(net.far4))
                client.setsockopt(socket.IPPROTO_TCP, 14, md5_key(net.near4))
            except OSError as error:
                raise Skip(f"no TCP_MD5SIG: {error}") from error
            listener.bind((net.near4, 0))
            listener.listen(1)
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            refused(daemon, "md5", "--local", f":{listener.getsockname()[1]}", "--peer", f":{client.getsockname()[1]}")
            client.sendall(b"y")
            assert server.recv(4) == b"y"
            for sock in (client, server, listener):
                sock.close()


def microsecond_route(net):
    """Gives the near side's route the feature tcp_usec_ts (RTAX_FEATURES bit 4), which this iproute2 may not know."""
    def attribute(kind, data):
        return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)

    with inside(net.near):
        index = socket.if_nametoindex("eth0")
        route = struct.pack("=8BI", socket.AF_INET, 24, 0, 0, 254, 2, 253, 1, 0)
        route += attribute(1, socket.inet_aton("10.77.0.0")) + attribute(4, struct.pack("=I", index))
        route += attribute(7, socket.inet_aton(net.near4)) + attribute(8, attribute(12, struct.pack("=I", 1 << 4)))
        header = struct.pack("=IHHII", 16 + len(route), 24, 0x1 | 0x4 | 0x100 | 0x400, 1, 0)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        netlink.send(header + route)
        error = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        netlink.close()
    if error:
        raise Skip(f"this kernel has no route feature tcp_usec_ts: {os.strerror(-error)}")


def test_microsecond_timestamps():
    """Timestamps with the microsecond clock."""
    with Net() as net:
        microsecond_route(net)
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net, connect_from_near=True)
            refused(daemon, "microsecond-timestamps", *pair.selector)
            works(pair)
            pair.close()


def test_dies_during_move():
    """A connection reset at any moment around its move down: it has moved, or was refused; nothing is left behind."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            for _ in range(10):
                pair = Pair(net)
                pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                closer = threading.Thread(target=pair.near.close)
                closer.start()
                code, moves = daemon.moves("offload", *pair.selector)
                closer.join()
                outcomes = {move["outcome"] for move in moves}
                assert (code, outcomes) in ((0, {"done"}), (1, {"refused"})), (code, moves)
                pair.far.close()
            wait_for(lambda: daemon.status()["offloaded_now"] == 0, "the daemon to let go")


def begin_to_offload(daemon, pair):
    """The thread that asks, and where its answer will be; once more if a busy machine has cost the daemon a beat."""
    while True:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(daemon.moves("offload", *pair.selector)))
        asking.start()
        wait_for(lambda: answers or [c["owner"] for c in daemon.ctl("conn", "list", *pair.selector)[1]] == ["bridge"],
                 "the move to begin")
        if not answers:
            return asking, answers
        asking.join()
        assert answers[0][1][0]["reason"] == "missed-beat", answers


def test_reset_before_the_target():
    """Reset by either end while the kernel still has it: refused, for nothing of ours was lost."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            for end in ("near", "far"):
                pair = Pair(net)
                # What the peer does not acknowledge keeps the move from going on.
                rules = ("add table inet deaf\nadd chain inet deaf in { type filter hook input priority -400; }\n"
                         "add rule inet deaf in tcp flags & rst == 0 drop\n")
                run("nft", "-f", "-", ns=net.far, input=rules)
                pair.near.sendall(b"not acknowledged")
                asking, answers = begin_to_offload(daemon, pair)
                closed, other = (pair.near, pair.far) if end == "near" else (pair.far, pair.near)
                closed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                closed.close()
                asking.join()
                code, moves = answers[0]
                assert code == 1, (end, code, moves)
                assert [(move["outcome"], move["reason"]) for move in moves] == [("refused", "died-during-move")], moves
                run("nft", "delete", "table", "inet", "deaf", ns=net.far)
                try:
                    while other.recv(64):
                        pass
                    raise AssertionError(f"{end} has reset, and the other end does not know")
                except ConnectionResetError:
                    pass
                other.close()
            status = daemon.status()
            assert status["lost"] == 0 and status["offloaded_now"] == 0, status


def test_reset_when_offloaded():
    """Reset while the target has it: that is what lost means."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            daemon.must_move("offload", *pair.selector)
            pair.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.far.close()
            wait_for(lambda: daemon.status()["lost"] == 1, "the end to be counted")
            pair.near.close()
