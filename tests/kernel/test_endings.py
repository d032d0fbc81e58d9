"""How connections end while they are offloaded, and around their moves."""

import errno
import socket
import struct

from harness import Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for

MIB = 1 << 20


class Stage:
    """A warm network, a daemon and one connection that the target owns."""

    def __init__(self, offload=True, **pair):
        self.net = Net()
        try:
            self.net.warm(pair.get("v6", False))
            self.daemon = Daemon(self.net)
            self.net.count_rst()
            self.pair = Pair(self.net, **pair)
            self.pair.near.sendall(b"hello")
            assert self.pair.far.recv(16) == b"hello"
            if offload:
                self.daemon.must_move("offload", *self.pair.selector)
        except BaseException:
            self.net.close()
            raise

    def owner(self):
        _, answer, _ = self.daemon.ctl("conn", "list", *self.pair.selector)
        return [conn["owner"] for conn in answer]

    def gone(self):
        """Nothing of the connection is left with the daemon."""
        wait_for(lambda: "target" not in self.owner(), "the daemon to let go")

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        try:
            self.daemon.__exit__(kind, *rest)
        finally:
            self.pair.close()
            self.net.close()


def abort(sock):
    """close() with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_near_closes():
    """FIN from the offloading side: the far side reads all, then end of file; then it closes, too."""
    with Stage() as stage:
        sender, receiver = Sender(stage.pair.near, 4 * MIB), Receiver(stage.pair.far)
        receiver.start()
        sender.start()
        same_bytes(sender, receiver)
        stage.pair.far.sendall(b"answer")
        assert stage.pair.near.recv(16) == b"answer", "the other half stays open"
        stage.pair.far.close()
        assert stage.pair.near.recv(16) == b""
        stage.gone()
        assert stage.net.rsts() == 0


def test_far_closes():
    """FIN from the peer: everything arrives, then end of file; the connection is the kernel's again and works."""
    with Stage() as stage:
        sender, receiver = Sender(stage.pair.far, 4 * MIB), Receiver(stage.pair.near)
        receiver.start()
        sender.start()
        same_bytes(sender, receiver)
        stage.gone()
        stage.pair.near.sendall(b"still open")
        assert stage.pair.far.recv(16) == b"still open"
        stage.daemon.must_move("offload", *stage.pair.selector)
        stage.pair.near.sendall(b"in CLOSE_WAIT")
        assert stage.pair.far.recv(16) == b"in CLOSE_WAIT"
        stage.pair.near.close()
        assert stage.pair.far.recv(16) == b""
        stage.gone()


def test_near_resets():
    """RST from the offloading side reaches the peer."""
    with Stage() as stage:
        abort(stage.pair.near)
        try:
            assert stage.pair.far.recv(16) != b"", "a reset is not an end of file"
            raise AssertionError("data after a reset")
        except ConnectionResetError:
            pass
        stage.gone()


def test_far_resets():
    """RST from the peer reaches the process."""
    with Stage() as stage:
        abort(stage.pair.far)
        try:
            stage.pair.near.recv(16)
            raise AssertionError("no reset")
        except ConnectionResetError:
            pass
        stage.gone()


def test_close_with_unread_data():
    """close() with data unread resets, offloaded or not."""
    with Stage() as stage:
        stage.pair.far.sendall(b"never read")
        wait_for(lambda: b"never" in stage.pair.near.recv(5, socket.MSG_PEEK), "the data")
        stage.pair.near.close()
        try:
            while stage.pair.far.recv(16):
                pass
            raise AssertionError("end of file instead of a reset")
        except ConnectionResetError:
            pass
        stage.gone()


def test_silent_death():
    """A kernel socket that dies silently (killed by an administrator) resets the wire."""
    with Stage() as stage:
        port = stage.pair.near.getsockname()[1]
        stage.pair.near.settimeout(1)
        run("ss", "-K", "sport", "=", f":{port}", ns=stage.net.near, check=False)
        try:
            stage.pair.far.settimeout(10)
            data = stage.pair.far.recv(16)
            raise AssertionError(f"no reset, got {data!r}")
        except ConnectionResetError:
            pass
        stage.gone()


def test_user_timeout():
    """TCP_USER_TIMEOUT kills the kernel socket without a packet while its process holds on to it: the wire is reset."""
    with Stage() as stage:
        stage.pair.near.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        rules = ("add table inet deaf\nadd chain inet deaf in { type filter hook input priority -400; }\n"
                 "add rule inet deaf in tcp flags & rst == 0 drop\n")
        run("nft", "-f", "-", ns=stage.net.far, input=rules)
        stage.pair.near.sendall(b"nobody hears")
        try:
            stage.pair.near.recv(16)
            raise AssertionError("still alive")
        except TimeoutError as error:
            assert error.errno == errno.ETIMEDOUT, "the test's own patience ended first"
        try:
            data = stage.pair.far.recv(16)
            raise AssertionError(f"no reset, got {data!r}")
        except ConnectionResetError:
            pass
        stage.gone()


def test_half_closed_moves():
    """Both half-closed states go down and up."""
    with Stage(offload=False) as stage:
        stage.pair.near.shutdown(socket.SHUT_WR)
        assert stage.pair.far.recv(16) == b""
        stage.daemon.must_move("offload", *stage.pair.selector)
        stage.pair.far.sendall(b"down")
        assert stage.pair.near.recv(16) == b"down"
        stage.daemon.must_move("upload", *stage.pair.selector)
        stage.pair.far.sendall(b"up")
        assert stage.pair.near.recv(16) == b"up"
        stage.pair.far.close()
        assert stage.pair.near.recv(16) == b""
        assert stage.net.rsts() == 0


def test_close_after_peer():
    """Offloaded in CLOSE_WAIT, then closed: the peer gets everything and no reset."""
    with Stage(offload=False) as stage:
        stage.pair.far.shutdown(socket.SHUT_WR)
        assert stage.pair.near.recv(16) == b""
        stage.daemon.must_move("offload", *stage.pair.selector)
        stage.pair.near.sendall(b"x" * 1000)
        stage.pair.near.close()
        got = b""
        while data := stage.pair.far.recv(4096):
            got += data
        assert got == b"x" * 1000
        stage.gone()
        assert stage.net.rsts() == 0


def test_urgent_out():
    """Urgent data sent while offloaded: the connection goes home with its reason, and every byte arrives."""
    with Stage() as stage:
        stage.pair.far.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        stage.pair.near.sendall(b"abc")
        stage.pair.near.send(b"U", socket.MSG_OOB)
        for _ in range(50):
            stage.pair.near.sendall(b"def")
        got = b""
        while len(got) < 154:
            got += stage.pair.far.recv(4096)
        assert got == b"abcU" + b"def" * 50
        stage.gone()
        assert "urgent-data" in stage.daemon.log()


def test_urgent_in():
    """Urgent data from the peer while offloaded: the same."""
    with Stage() as stage:
        stage.pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        stage.pair.far.sendall(b"abc")
        stage.pair.far.send(b"U", socket.MSG_OOB)
        stage.pair.far.sendall(b"def")
        got = b""
        while len(got) < 7:
            got += stage.pair.near.recv(4096)
        assert got == b"abcUdef"
        stage.gone()
