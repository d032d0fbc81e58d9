#!/usr/bin/python3
"""What must hold of the adapter, each case in a process and a network namespace of its own.

cases.py ADAPTER.SO CASE...   run by tests/kernel/test_adapter.py, which makes the namespace
"""

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from packets import (ACK, CE, CWR, ECE, ECT0, FAR4, FAR6, FIN, KERNEL, LIMIT_S, NEAR4, NEAR6, NOBODY, NOT_ECT,  # noqa: E402
                     RST, SYN, TARGET, Device, Peer, Sockets, message, pieces, sockaddr)

ADAPTER = sys.argv[1] if len(sys.argv) > 1 else None
IOV_MAX = os.sysconf("SC_IOV_MAX")
ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT = 1, 5, 8
SIOCOUTQ, FIONREAD, SIOCGIFCONF, TCP_REPAIR, TCP_ULP = 0x5411, 0x541B, 0x8912, 19, 31


class Rig:
    """A device, the adapter behind it, a listener, and the peer."""

    def __init__(self, tap=False, v6=False, argument="", **peer):
        self.device = Device("tap0" if tap else "tun0", tap)
        self.sockets = Sockets(ADAPTER, self.device.name + argument)
        self.listener = self.sockets.listener(NEAR6 if v6 else NEAR4)
        self.peer = Peer(self.device, v6=v6, **peer)

    def open(self):
        """An accepted connection, which the target has."""
        self.fd = self.peer.passive_open(self.sockets, self.listener)
        self.on_target()
        return self.sockets, self.peer, self.fd

    def on_target(self, downs=1):
        """It is there, or will be in a moment."""
        status = wait_for(lambda: at(self.sockets.status(self.fd), TARGET, downs), "the target")
        assert status.reason == b"none" and status.last_move_was_down, (status.reason, status.last_move_was_down)
        return status

    def end(self):
        """The peer resets, and everything goes."""
        self.sockets.free()
        os.close(self.device.fd)


def at(status, owner, downs):
    return status if status.owner == owner and status.moves_down == downs else None


def wait_for(condition, what):
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.001)
    raise AssertionError(f"waited for: {what}")


@contextlib.contextmanager
def fails(number):
    try:
        yield
    except OSError as error:
        assert error.errno == number, f"{errno.errorcode[error.errno]}: {error.strerror}; {errno.errorcode[number]} was expected"
    else:
        raise AssertionError(f"{errno.errorcode[number]} was expected")


class Calling(threading.Thread):
    """A call that blocks, beside the packets."""

    def __init__(self, call, *arguments):
        super().__init__(daemon=True)
        self.call, self.arguments, self.result, self.error = call, arguments, None, None
        self.start()

    def run(self):
        try:
            self.result = self.call(*self.arguments)
        except OSError as error:
            self.error = error

    def finish(self):
        self.join(LIMIT_S)
        assert not self.is_alive(), "the call does not return"
        if self.error:
            raise self.error
        return self.result


# ---- what the wire sees ----

def in_pieces():
    """Each of the calls that take an address, a message or several pieces, and no more pieces than there may be."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    peer.inject(0, 1, 1, b"abcdefghijklmnopqrst")
    peer.expect(ACK, 1, 21, target=True)
    rooms = [ctypes.create_string_buffer(size) for size in (3, 4, 8)]
    assert sockets.call("readv", fd, pieces(*rooms[:2]), 2) == 7
    assert [room.raw for room in rooms[:2]] == [b"abc", b"defg"]
    assert sockets.call("recvfrom", fd, rooms[2], 5, socket.MSG_PEEK, None, None) == 5 and rooms[2].raw[:5] == b"hijkl"
    assert sockets.call("recvfrom", fd, rooms[2], 5, 0, None, None) == 5 and rooms[2].raw[:5] == b"hijkl"
    assert sockets.call("recvmsg", fd, message(*rooms), 0) == 8
    assert rooms[0].raw + rooms[1].raw + rooms[2].raw[:1] == b"mnopqrst"
    peer.at = 21
    words = [ctypes.create_string_buffer(word, len(word)) for word in (b"one", b"and", b"another")]
    sent = 1
    for call in (lambda: sockets.call("writev", fd, pieces(*words), 3), lambda: sockets.call("sendmsg", fd, message(*words), 0),
                 lambda: sockets.call("sendto", fd, b"oneandanother", 13, 0, None, 0)):
        assert call() == 13
        assert peer.acknowledged(sent, sent + 13) == b"oneandanother"
        sent += 13
    many = pieces(*[ctypes.create_string_buffer(b"x", 1)] * (IOV_MAX + 1))
    for name in ("writev", "readv"):
        for count in (IOV_MAX + 1, -1):
            with fails(errno.EINVAL):
                sockets.call(name, fd, many, count)
    assert sockets.call("writev", fd, many, IOV_MAX) == IOV_MAX
    assert peer.acknowledged(sent, sent + IOV_MAX) == b"x" * IOV_MAX
    rig.end()



def data_both_ways(v6=False, tap=False):
    rig = Rig(tap=tap, v6=v6, timestamps=v6)
    sockets, peer, fd = rig.open()
    peer.seen = 0
    peer.inject(0, 1, 1, b"x" * 1000)
    peer.expect(ACK, 1, 1001, target=True)
    assert sockets.read_all(fd, 1000) == b"x" * 1000
    text = os.urandom(5000)
    assert sockets.write(fd, text) == 5000
    peer.at = 1001
    assert peer.acknowledged(1, 5001) == text
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    status = sockets.status(fd)
    assert status.owner == TARGET and status.moves_down == 1, (status.owner, status.moves_down)
    # Everything that came behind the handshake is the target's, by its own statistics.
    assert status.wire_segments + status.wire_retransmits == peer.seen, (status.wire_segments, peer.seen)
    assert status.bytes_in == 1000 and status.bytes_out == 5000, (status.bytes_in, status.bytes_out)
    assert status.moves_up == 0
    rig.end()


def passive_open():
    """A connection that is accepted is the target's: data both ways, and the hand-over shows no segment."""
    data_both_ways()


def passive_open_ipv6():
    """The same over IPv6, with timestamps."""
    data_both_ways(v6=True)


def passive_open_tap():
    """The same over a TAP, with ARP."""
    data_both_ways(tap=True)


def passive_open_tap_ipv6():
    """The same over a TAP and IPv6, with neighbour discovery."""
    data_both_ways(v6=True, tap=True)


def congestion_marks(v6):
    rig = Rig(v6=v6)
    sockets, peer = rig.sockets, rig.peer
    peer.inject(SYN | ECE | CWR, 0)
    peer.expect(SYN | ACK | ECE, 0, 1)
    peer.inject(0, 1, 1)
    rig.fd = fd = sockets.accept(rig.listener)
    rig.on_target()
    peer.inject(0, 1, 1, b"x" * 1000, ecn=CE)
    peer.expect(ACK | ECE, 1, 1001, target=True)
    peer.inject(0, 1001, 1, b"x" * 1000, ecn=ECT0)
    peer.expect(ACK | ECE, 1, 2001, target=True)  # until it is heard
    peer.inject(CWR, 2001, 1, b"x" * 1000, ecn=ECT0)
    assert peer.expect(ACK, 1, 3001, target=True).ecn == NOT_ECT
    sockets.write(fd, b"y" * 1000)
    assert peer.expect(ACK, 1, 3001, 1000, target=True).ecn == ECT0
    peer.inject(ECE, 3001, 1001)
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    sockets.write(fd, b"z" * 1000)
    assert peer.expect(ACK | CWR, 1001, 3001, 1000, target=True).ecn == ECT0
    assert peer.expect(ACK, 1001, 3001, 1000, target=True).ecn == NOT_ECT  # again: it may not be marked
    peer.inject(0, 3001, 2001)
    assert sockets.info(fd)["ssthresh"] < 0x7fffffff
    rig.end()


def ecn():
    """Marks are echoed until the peer has slowed down; echoes slow the target down, and it says so, once."""
    congestion_marks(False)


def ecn_ipv6():
    """The same over IPv6."""
    congestion_marks(True)


def lost_acknowledgement():
    """What is not acknowledged is sent again, by the target, and counted."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.write(fd, b"y" * 700)
    for _ in range(3):
        got = peer.expect(ACK, 1, 1, 700, target=True)
        assert got.data == b"y" * 700
    info = sockets.info(fd)
    assert info["retransmits"] >= 1 and info["unacked"] == 1 and info["cwnd"] == 1, info
    peer.inject(0, 1, 701)
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    assert sockets.info(fd)["unacked"] == 0
    assert sockets.status(fd).wire_retransmits >= 1
    rig.end()


def unacknowledged():
    """After a timeout all that is out goes again, bit by bit, and still counts as not acknowledged."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.write(fd, b"u" * 5000)
    for start in range(1, 5001, 1000):
        peer.expect(ACK, start, 1, 1000, target=True)
    wait_for(lambda: sockets.info(fd)["retransmits"], "a timeout")
    info = sockets.info(fd)
    assert info["unacked"] == 5 and info["cwnd"] == 1, info
    peer.inject(0, 1, 3001)
    wait_for(lambda: sockets.info(fd)["unacked"] == 2, "the acknowledgement")
    rig.end()


def out_of_order():
    """Segments behind a hole are acknowledged with SACK blocks, the newest first, and none is lost."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    text = os.urandom(4000)
    peer.inject(0, 1001, 1, text[1000:2000])
    peer.expect(ACK, 1, 1, sacks=[(1001, 2001)], target=True)
    peer.inject(0, 3001, 1, text[3000:])
    peer.expect(ACK, 1, 1, sacks=[(3001, 4001), (1001, 2001)], target=True)
    peer.inject(0, 1, 1, text[:1000])
    peer.expect(ACK, 1, 2001, sacks=[(3001, 4001)], target=True)
    peer.inject(0, 2001, 1, text[2000:3000])
    peer.expect(ACK, 1, 4001, sacks=[], target=True)
    assert sockets.read_all(fd, 4000) == text
    peer.inject(0, 1001, 1, text[1000:2000])  # once more: said to be a duplicate (RFC 2883)
    peer.expect(ACK, 1, 4001, target=True)
    rig.end()


def selective_retransmission():
    """Of what the peer has in part, just the hole is sent again, after three of its answers."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    text = os.urandom(8000)
    sockets.write(fd, text)
    for start in range(1, 8001, 1000):
        peer.expect(ACK, start, 1, 1000, target=True)
    for end in (3001, 4001, 5001):
        peer.inject(0, 1, 1001, sacks=[(2001, end)])
    got = peer.expect(ACK, 1001, 1, 1000, target=True)
    assert got.data == text[1000:2000]
    peer.inject(0, 1, 8001)
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    assert sockets.status(fd).wire_retransmits == 1
    assert sockets.info(fd)["ssthresh"] < 8
    rig.end()


def closed_window():
    """A window that is closed is probed, and what waits goes out when it opens."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.write(fd, b"a" * 1000)
    peer.expect(ACK, 1, 1, 1000, target=True)
    peer.inject(0, 1, 1001, window=0)
    sockets.write(fd, b"b" * 500)
    got = peer.next()  # a probe: a byte of it, or one that is old
    assert got.from_target and got.flags == got.flags | ACK and len(got.data) <= 1, (got.flags, len(got.data))
    peer.inject(0, 1, 1001 + (len(got.data) if got.seq == 1001 else 0))
    data = got.data if got.seq == 1001 else b""
    while len(data) < 500:
        got = peer.next()
        data += got.data if got.seq == 1001 + len(data) else b""
    assert data == b"b" * 500
    rig.end()


def probes():
    """Window probes that nobody has answered count as such, and not as retransmissions; an answer ends the count."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.write(fd, b"a" * 1000)
    peer.expect(ACK, 1, 1, 1000, target=True)
    peer.inject(0, 1, 1001, window=0)
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    sockets.write(fd, b"b" * 500)
    for turn in range(2):
        for count in (1, 2):
            got = peer.next()
            assert got.from_target and len(got.data) <= 1, (got.from_target, len(got.data))
            info = sockets.info(fd)
            assert info["probes"] == count and info["retransmits"] == 0, (turn, info)
        peer.inject(0, 1, 1001 + (len(got.data) if got.seq == 1001 else 0), window=0)
        wait_for(lambda: sockets.info(fd)["probes"] == 0, "the answer")
    rig.end()


def peer_closes_first():
    """FIN of the peer, end of file; then data and FIN of ours, from the target again."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    peer.inject(FIN, 1, 1, b"last words")
    while peer.next().ack != 12:
        pass
    assert sockets.read_all(fd, 10) == b"last words"
    assert sockets.poll(fd, select.POLLIN | select.POLLRDHUP) & select.POLLRDHUP
    assert sockets.read(fd) == b""
    rig.on_target(downs=2)
    assert sockets.info(fd)["state"] == CLOSE_WAIT
    sockets.write(fd, b"more")
    peer.expect(ACK, 1, 12, 4, target=True)
    peer.inject(0, 12, 5)
    sockets.call("close", fd)
    peer.expect(FIN | ACK, 5, 12, target=True)
    peer.inject(0, 12, 6)
    peer.insist(0, 12, 6, b"nobody")  # the connection is no more, or will be in a moment
    peer.expect(RST)
    rig.end()


def we_close_first():
    """FIN of ours from the target; data and FIN of the peer behind it; the kernel's TIME-WAIT."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.write(fd, b"all")
    sockets.call("shutdown", fd, socket.SHUT_WR)
    got = peer.next()
    assert got.from_target and got.data == b"all", got.data
    if not got.flags & FIN:
        peer.expect(FIN | ACK, 4, 1, target=True)
    with fails(errno.EPIPE):
        sockets.write(fd, b"more")
    peer.inject(0, 1, 5)
    wait_for(lambda: sockets.info(fd)["state"] == FIN_WAIT_2, "FIN-WAIT-2")
    peer.inject(0, 1, 5, b"late")
    peer.expect(ACK, 5, 5, target=True)
    assert sockets.read_all(fd, 4) == b"late"
    peer.inject(FIN, 5, 5)
    peer.expect(ACK, 5, 6)
    assert sockets.read(fd) == b""
    sockets.call("close", fd)
    peer.insist(FIN, 5, 5)  # once more: TIME-WAIT answers
    peer.expect(ACK, 5, 6)
    rig.end()


def peer_resets():
    """A reset is heard by every call, and there is nothing more."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    peer.inject(RST, 1)
    assert sockets.poll(fd, select.POLLIN) & (select.POLLERR | select.POLLHUP)
    with fails(errno.ECONNRESET):
        sockets.read(fd)
    with fails(errno.EPIPE):
        sockets.write(fd, b"x")
    status = wait_for(lambda: at(sockets.status(fd), NOBODY, 0), "the end")
    assert status.reason == b"reset-by-peer", status.reason
    rig.end()


def we_reset():
    """Closed with SO_LINGER 0: a reset of the target's, at what the peer expects."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    sockets.setsockopt(fd, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sockets.call("close", fd)
    got = peer.next()
    assert got.flags & RST and got.seq == 1 and got.from_target, (got.flags, got.seq)
    with fails(errno.ENOTSOCK):
        sockets.status(fd)
    rig.end()


def active(v6):
    rig = Rig(v6=v6, near=9090)
    sockets, peer = rig.sockets, rig.peer
    rig.fd = fd = sockets.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    address = (NEAR6 if v6 else NEAR4), 9090
    text = sockaddr(*address)
    sockets.call("bind", fd, text, len(text))
    calling = Calling(sockets.connect, fd, FAR6 if v6 else FAR4, 40000)
    peer.expect(SYN, 0)
    peer.inject(SYN, 0, 1)
    peer.expect(ACK, 1, 1)
    assert calling.finish() == 0
    rig.on_target()
    sockets.write(fd, b"hello")
    peer.expect(ACK, 1, 1, 5, target=True)
    peer.inject(0, 1, 6, b"hello yourself")
    peer.expect(ACK, 6, 15, target=True)
    assert sockets.read_all(fd, 14) == b"hello yourself"
    with fails(errno.EISCONN):
        sockets.connect(fd, FAR4, 40000)
    rig.end()


def active_open():
    """A connect that waits returns with the target's connection."""
    active(False)


def active_open_ipv6():
    """The same over IPv6."""
    active(True)


def connect_again():
    """With AF_UNSPEC a connection is reset; the next one of its descriptor is the target's again."""
    rig = Rig(near=9090)
    sockets = rig.sockets
    rig.fd = fd = sockets.socket()
    text = sockaddr(NEAR4, 9090)
    sockets.call("bind", fd, text, len(text))
    for far in (40000, 40001):
        peer = Peer(rig.device, near=9090, far=far)
        calling = Calling(sockets.connect, fd, FAR4, far)
        peer.expect(SYN, 0)
        peer.inject(SYN, 0, 1)
        peer.expect(ACK, 1, 1)
        assert calling.finish() == 0
        rig.on_target()
        sockets.write(fd, b"hello")
        peer.expect(ACK, 1, 1, 5, target=True)
        peer.inject(0, 1, 6)
        wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
        assert sockets.call("connect", fd, struct.pack("=H14x", socket.AF_UNSPEC), 16) == 0
        got = peer.next()
        assert got.flags & RST and got.seq == 6 and got.from_target, (got.flags, got.seq, got.from_target)
        status = sockets.status(fd)
        assert status.owner == NOBODY and status.moves_down == 0 and status.reason == b"", (status.owner, status.reason)
    with fails(errno.EINVAL):
        sockets.call("connect", fd, struct.pack("=H", socket.AF_UNSPEC), 1)
    rig.end()


def connect_refused():
    """A connect that is answered with a reset."""
    rig = Rig(near=9090)
    fd = rig.sockets.socket()
    text = sockaddr(NEAR4, 9090)
    rig.sockets.call("bind", fd, text, len(text))
    calling = Calling(rig.sockets.connect, fd, FAR4, 40000)
    rig.peer.expect(SYN, 0)
    rig.peer.inject(RST, 0, 1)
    with fails(errno.ECONNREFUSED):
        calling.finish()
    assert rig.sockets.status(fd).owner == NOBODY
    rig.end()


# ---- what the calls say ----

def without_blocking():
    """EAGAIN, EINPROGRESS, and poll that makes the hand-over of a connect that did not wait."""
    rig = Rig(near=9090)
    sockets, peer = rig.sockets, rig.peer
    with fails(errno.EAGAIN):
        sockets.call("accept4", nonblocking(sockets), None, None, 0)
    rig.fd = fd = sockets.socket(kind=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    text = sockaddr(NEAR4, 9090)
    sockets.call("bind", fd, text, len(text))
    with fails(errno.EINPROGRESS):
        sockets.connect(fd, FAR4, 40000)
    with fails(errno.EALREADY):
        sockets.connect(fd, FAR4, 40000)
    assert sockets.poll(fd, select.POLLOUT, 0) == 0
    assert sockets.status(fd).owner == NOBODY
    peer.expect(SYN, 0)
    peer.inject(SYN, 0, 1)
    peer.expect(ACK, 1, 1)
    assert sockets.poll(fd, select.POLLOUT | select.POLLIN) == select.POLLOUT
    assert sockets.getsockopt(fd, socket.SOL_SOCKET, socket.SO_ERROR) == b"\0\0\0\0"
    assert sockets.status(fd).moves_down == 1
    with fails(errno.EAGAIN):
        sockets.read(fd)
    peer.inject(0, 1, 1, b"now")
    assert sockets.poll(fd, select.POLLIN) == select.POLLIN
    assert sockets.ioctl(fd, FIONREAD) == 3
    assert sockets.read(fd) == b"now"
    rig.end()


def nonblocking(sockets):
    """A listener that does not wait."""
    fd = sockets.socket(kind=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sockets.call("listen", fd, 1)
    return fd


def full_buffers():
    """A peer that takes nothing: writing says EAGAIN, poll no longer POLLOUT, and again when it has taken."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    os.set_blocking(fd, False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sockets.write(fd, b"z" * 50000)
    assert sockets.poll(fd, select.POLLOUT, 0) == 0
    assert sockets.ioctl(fd, SIOCOUTQ) == sent
    taken = 1
    while not sockets.poll(fd, select.POLLOUT, 0):
        got = peer.next()
        assert got.data == b"z" * len(got.data)
        if got.seq == taken:
            taken += len(got.data)
        peer.inject(0, 1, taken)
    assert sockets.write(fd, b"z") == 1
    rig.end()


def tcp_info():
    """CWnd grows on the wire, and TCP_INFO says so; a short one is not written beyond its end."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    before = sockets.info(fd)
    assert before["state"] == ESTABLISHED and before["ssthresh"] == 0x7fffffff and before["unacked"] == 0, before
    for turn in range(4):
        sockets.write(fd, b"i" * 8000)
        peer.acknowledged(1 + 8000 * turn, 8001 + 8000 * turn)
    wait_for(lambda: sockets.ioctl(fd, SIOCOUTQ) == 0, "the acknowledgement")
    after = sockets.info(fd)
    assert after["cwnd"] > before["cwnd"], (before, after)
    assert len(sockets.getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, 8)) == 8
    rig.end()


def reset_of_information():
    """TCP_INFO while a connection is the kernel's, or none."""
    rig = Rig()
    assert rig.sockets.info(rig.listener)["state"] == 10  # LISTEN
    sockets, peer, fd = rig.open()
    peer.inject(RST, 1)
    sockets.poll(fd, select.POLLIN)
    assert sockets.info(fd)["state"] == 7  # CLOSE
    rig.end()


def refused_hand_over():
    """The kernel keeps what cannot be handed over; it works, and status says why."""
    rig = Rig()
    sockets, peer = rig.sockets, rig.peer
    peer.inject(SYN, 0)
    peer.expect(SYN | ACK, 0, 1)
    peer.inject(0, 1, 1)
    peer.inject(0, 1, 1, b"u", urgent=1)
    while peer.next().ack != 2:
        pass
    fd = sockets.accept(rig.listener)
    status = sockets.status(fd)
    assert status.owner == KERNEL and status.reason == b"urgent-data" and status.moves_down == 0, (status.owner, status.reason)
    assert status.words == b"urgent data is pending", status.words
    sockets.write(fd, b"still here")
    peer.expect(ACK, 1, 2, 10)
    assert sockets.status(fd).wire_segments == 0
    rig.end()


def impatient():
    """With a short wait_ms accept returns while the connection is on its way; it arrives."""
    rig = Rig(argument=",wait_ms=1,log=error")
    rig.fd = rig.peer.passive_open(rig.sockets, rig.listener)
    rig.on_target()
    rig.end()


def settings():
    """What is set for TCP in the tool's namespace holds for sockets that are made afterwards."""
    rig = Rig()
    for value, seen in (("0", False), ("1", True)):
        with open("/proc/sys/net/ipv4/tcp_sack", "w", encoding="ascii") as file:
            file.write(value)
        rig.sockets.listener(port=8081 + seen)
        peer = Peer(rig.device, near=8081 + seen)
        peer.inject(SYN, 0)
        assert peer.expect(SYN | ACK, 0, 1).sack_ok == seen
    rig.end()


def silent_device():
    """On the device the kernel neither speaks nor answers by itself; when the adapter is gone it does."""
    rig = Rig()
    with open("/proc/sys/net/ipv4/conf/tun0/forwarding", "w", encoding="ascii") as file:
        file.write("1")
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # of the tool's namespace
    with contextlib.suppress(OSError):
        probe.sendto(b"x", (FAR4, 9))
    stranger = Peer(rig.device, near=7)
    stranger.their_isn = 0
    stranger.inject(0, 5, 5)
    stranger.expect(RST)  # one: of the namespace behind the device
    rig.open()
    rig.sockets.free()
    while rig.device.read(time.monotonic() + 0.05):  # the end of that connection
        pass
    stranger.inject(0, 5, 5)
    stranger.expect(RST)
    os.close(rig.device.fd)


def several():
    """Two adapters in one process, several connections, ended with everything open."""
    first, second = Rig(), Rig(tap=True, far=50000)
    for rig in (first, second):
        rig.open()
    others = [Peer(first.device, far=41000 + n) for n in range(5)]
    fds = [peer.passive_open(first.sockets, first.listener) for peer in others]
    for fd, peer in zip(fds, others):
        first.sockets.write(fd, b"to each his own")
        assert peer.expect(ACK, 1, 1, 15, target=True).data == b"to each his own"
    assert all(first.sockets.status(fd).owner == TARGET for fd in fds)
    with fails(errno.ENOTSOCK):
        second.sockets.read(fds[0])
    first.end()
    second.sockets.write(second.fd, b"alive")
    second.peer.expect(ACK, 1, 1, 5, target=True)
    second.end()


# ---- what cannot be ----

def not_made(argument, number, words, **options):
    try:
        Sockets(ADAPTER, argument, **options)
    except OSError as error:
        assert error.errno == number and words in error.strerror, error
    else:
        raise AssertionError(f"{argument}: {errno.errorcode[number]} was expected")


def devices_that_will_not_do():
    """No device, the wrong kind, down, without an address, taken; words that mean nothing."""
    not_made("tun7", errno.ENODEV, "no such device")
    not_made("", errno.EINVAL, "DEVICE")
    not_made("lo", errno.EPROTONOSUPPORT, "neither IP packets")
    down = Device("tun1", up=False)
    not_made("tun1", errno.ENETDOWN, "not up")
    bare = Device("tun2", addresses=())
    with open("/proc/sys/net/ipv6/conf/tun2/disable_ipv6", "w", encoding="ascii") as file:
        file.write("1")  # no address of its own choice
    not_made("tun2", errno.EADDRNOTAVAIL, "no address")
    device = Device("tun0", addresses=("192.0.2.77/24",))
    not_made("tun0,colour=red", errno.EINVAL, "wait_ms=N")
    not_made("tun0,wait_ms=0", errno.EINVAL, "wait_ms=N")
    not_made("tun0,wait_ms=7x", errno.EINVAL, "wait_ms=N")
    not_made("tun0" + "," * 200, errno.EINVAL, "is wanted")
    not_made("tun0", errno.EINVAL, "version 1", version=2)
    not_made("tun0", errno.EINVAL, "", size=100)
    sockets = Sockets(ADAPTER, "tun0")
    not_made("tun0", errno.EBUSY, "another adapter")
    sockets.free()
    Sockets(ADAPTER, "tun0").free()
    for one in (down, bare, device):
        os.close(one.fd)


def without_privileges():
    """Nobody may, and is told so."""
    device = Device()
    os.setuid(65534)
    not_made(device.name, errno.EPERM, "tun0")


def calls_that_are_not_there():
    """Other sockets, descriptors of others, what the target cannot do: a clear errno each, and nothing happens."""
    rig = Rig()
    sockets, peer, fd = rig.open()
    for arguments, number in (((socket.AF_UNIX,), errno.EAFNOSUPPORT), ((socket.AF_INET, socket.SOCK_DGRAM), errno.ESOCKTNOSUPPORT),
                              ((socket.AF_INET, socket.SOCK_STREAM, 262), errno.EPROTONOSUPPORT)):
        with fails(number):
            sockets.socket(*arguments)
    for call in (lambda: sockets.read(rig.device.fd), lambda: sockets.write(rig.device.fd, b"x"), lambda: sockets.read(-1),
                 lambda: sockets.call("close", rig.device.fd), lambda: sockets.status(9999), lambda: sockets.accept(0),
                 lambda: sockets.connect(0, FAR4, 1), lambda: sockets.info(0), lambda: sockets.call("shutdown", 0, 1)):
        with fails(errno.ENOTSOCK):
            call()
    for call in (lambda: sockets.call("send", fd, b"x", 1, socket.MSG_OOB), lambda: sockets.call("recv", fd, b"x", 1, socket.MSG_OOB),
                 lambda: sockets.call("ioctl", fd, SIOCGIFCONF, None),
                 lambda: sockets.setsockopt(fd, socket.IPPROTO_TCP, TCP_REPAIR, b"\1\0\0\0"),
                 lambda: sockets.setsockopt(fd, socket.IPPROTO_TCP, TCP_ULP, b"tls\0")):
        with fails(errno.EOPNOTSUPP):
            call()
    with fails(errno.ENOPROTOOPT):  # the kernel's own word
        sockets.setsockopt(fd, socket.IPPROTO_TCP, 9999, b"\0\0\0\0")
    sockets.write(fd, b"unharmed")
    peer.expect(ACK, 1, 1, 8, target=True)
    rig.end()


CASES = [in_pieces, passive_open, passive_open_ipv6, passive_open_tap, passive_open_tap_ipv6, ecn, ecn_ipv6,
         lost_acknowledgement, unacknowledged, out_of_order, selective_retransmission, closed_window, probes, peer_closes_first,
         we_close_first, peer_resets, we_reset, active_open, active_open_ipv6, connect_again, connect_refused, without_blocking, full_buffers,
         tcp_info, reset_of_information, refused_hand_over, impatient, settings, silent_device, several,
         devices_that_will_not_do, without_privileges, calls_that_are_not_there]

if __name__ == "__main__":
    with contextlib.suppress(OSError):  # how busy the machine is must not decide what is found
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    for case in CASES:
        if case.__name__ in sys.argv[2:]:
            case()
