"""A small packet-level test tool: one end of a TCP is written by hand, the other is reached by the adapter's calls.

It owns a TUN or TAP in the network namespace it runs in. Sequence numbers are relative: 0 is the SYN, 1 the first byte.
Nothing is decided by the clock: what is expected is waited for, up to LIMIT_S, and what comes before it is an error.
"""

import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import time

LIMIT_S = 20
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
NOT_ECT, ECT0, CE = 0, 2, 3
LETTERS = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (ACK, "."), (URG, "U"), (ECE, "E"), (CWR, "W"))
NEAR4, FAR4, NEAR6, FAR6 = "192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:db8::9"
FAR_MAC = b"\x02\0\0\0\0\x99"


def words(flags):
    return "".join(letter for bit, letter in LETTERS if flags & bit)


# ---- the device ----

class Device:
    """A TUN, or with tap a TAP, with addresses, up; its descriptor is the wire."""

    def __init__(self, name="tun0", tap=False, up=True, addresses=(NEAR4 + "/24", NEAR6 + "/64")):
        self.name, self.tap = name, tap
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = (0x0002 if tap else 0x0001) | 0x1000  # IFF_TAP, IFF_TUN; IFF_NO_PI
        fcntl.ioctl(self.fd, 0x400454CA, struct.pack("16sH22x", name.encode(), flags))
        for address in addresses:
            more = ["nodad"] if ":" in address else []
            subprocess.run(["ip", "addr", "add", address, "dev", name, *more], check=True)
        if up:
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:  # SIOCGIFHWADDR
            self.mac = fcntl.ioctl(asking, 0x8927, struct.pack("40s", name.encode()))[18:24]

    def write(self, packet):
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        os.write(self.fd, self.mac + FAR_MAC + kind + packet if self.tap else packet)

    def read(self, until):
        """The next IP packet. On a TAP neighbours are answered on the way."""
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return None
            frame = os.read(self.fd, 70000)
            if not self.tap:
                return frame
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1":
                os.write(self.fd, frame[6:12] + FAR_MAC + frame[12:20] + b"\0\2" + FAR_MAC + frame[38:42] + frame[22:32])
            elif frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 135:
                self.advertise(*(bytes(frame[at:at + 16]) for at in (22, 62)))
            elif frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                return frame[14:]

    def advertise(self, asking, target):
        """Answers a neighbour solicitation, if it is about the peer."""
        if target != socket.inet_pton(socket.AF_INET6, FAR6):
            return
        said = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + target + b"\2\1" + FAR_MAC  # solicited, override; its address
        said = said[:2] + struct.pack("!H", checksum(pseudo(target, asking, len(said), 58) + said)) + said[4:]
        self.write(struct.pack("!IHBB", 0x60000000, len(said), 58, 255) + target + asking + said)


# ---- packets ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(source, destination, length, protocol=6):
    return source + destination + (struct.pack("!BBH", 0, protocol, length) if len(source) == 4
                                   else struct.pack("!IxxxB", length, protocol))


class Segment:
    """One TCP segment that came out of the device. from_target: by its IPv4 identification; None: it has none."""

    def __init__(self, packet):
        if packet[0] >> 4 == 4:
            header, protocol = 4 * (packet[0] & 15), packet[9]
            self.source, self.destination, end = packet[12:16], packet[16:20], int.from_bytes(packet[2:4], "big")
            self.from_target = int.from_bytes(packet[4:6], "big") >= 0x8000
            assert checksum(packet[:header]) == 0, "IP checksum"
        else:
            header, protocol = 40, packet[6]
            self.source, self.destination, end = packet[8:24], packet[24:40], 40 + int.from_bytes(packet[4:6], "big")
            self.from_target = None
        self.ecn = (packet[1] if packet[0] >> 4 == 4 else packet[1] >> 4) & 3
        self.is_tcp = protocol == 6
        if not self.is_tcp:
            return
        tcp = packet[header:end]
        assert checksum(pseudo(self.source, self.destination, len(tcp)) + tcp) == 0, "TCP checksum"
        self.sport, self.dport, self.seq, self.ack, offset, self.flags, self.window = struct.unpack("!HHIIBBH", tcp[:16])
        self.data = tcp[offset >> 4 << 2:]
        self.read_options(tcp[20:offset >> 4 << 2])

    def read_options(self, text):
        self.mss = self.wscale = self.timestamps = None
        self.sack_ok, self.sacks = False, []
        while text and text[0]:
            if text[0] == 1:
                text = text[1:]
                continue
            kind, value, text = text[0], text[2:text[1]], text[text[1]:]
            if kind == 2:
                self.mss = int.from_bytes(value, "big")
            elif kind == 3:
                self.wscale = value[0]
            elif kind == 4:
                self.sack_ok = True
            elif kind == 5:
                self.sacks = [struct.unpack("!II", value[at:at + 8]) for at in range(0, len(value), 8)]
            elif kind == 8:
                self.timestamps = struct.unpack("!II", value)


class Peer:
    """The end that is written by hand: port far of the peer, port near of the stack under test."""

    def __init__(self, device, near=8080, far=40000, v6=False, isn=0x7ffffff0, sack=True, timestamps=False, mss=1000):
        self.device, self.near, self.far, self.isn, self.their_isn = device, near, far, isn, None
        self.family = socket.AF_INET6 if v6 else socket.AF_INET
        self.near_address, self.far_address = (NEAR6, FAR6) if v6 else (NEAR4, FAR4)
        self.sack, self.stamp, self.mss, self.seen = sack, 1000 if timestamps else None, mss, 0
        self.their_stamp = 0

    def address(self):
        return socket.inet_pton(self.family, self.near_address), socket.inet_pton(self.family, self.far_address)

    def options(self, flags, sacks):
        text = b""
        if flags & SYN:
            text += struct.pack("!BBH", 2, 4, self.mss) + b"\1\3\3\7" + (b"\1\1\4\2" if self.sack else b"")
        if self.stamp is not None:
            self.stamp += 1
            text += b"\1\1\x08\x0a" + struct.pack("!II", self.stamp, self.their_stamp)
        if sacks:
            pairs = b"".join(struct.pack("!II", *((self.their_isn + at) & 0xFFFFFFFF for at in pair)) for pair in sacks)
            text += b"\1\1\5" + bytes([2 + len(pairs)]) + pairs
        return text

    def inject(self, flags, seq, ack=None, data=b"", window=1000, sacks=(), urgent=0, ecn=0):
        """ack: relative to what the other end began with; None: no ACK flag. The window is scaled by 7 behind the SYN. ecn: of
        the IP header."""
        near, far = self.address()
        options = self.options(flags, sacks)
        flags |= 0 if ack is None else ACK
        acked = 0 if ack is None else (self.their_isn + ack) & 0xFFFFFFFF
        tcp = struct.pack("!HHIIBBHHH", self.far, self.near, (self.isn + seq) & 0xFFFFFFFF, acked, (20 + len(options)) << 2,
                          flags | (URG if urgent else 0), window, 0, urgent) + options + data
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo(far, near, len(tcp)) + tcp)) + tcp[18:]
        if self.family == socket.AF_INET:
            ip = struct.pack("!BBHHHBBH", 0x45, ecn, 20 + len(tcp), 1, 0, 64, 6, 0) + far + near
            ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        else:
            ip = struct.pack("!IHBB", 0x60000000 | ecn << 20, len(tcp), 6, 64) + far + near
        self.device.write(ip + tcp)

    def next(self):
        """The next segment of this connection, whatever it is."""
        until = time.monotonic() + LIMIT_S
        while True:
            packet = self.device.read(until)
            assert packet is not None, "nothing came"
            segment = Segment(packet)
            if segment.is_tcp and (segment.sport, segment.dport) == (self.near, self.far):
                break
        if segment.flags & SYN:
            self.their_isn = segment.seq
        if segment.timestamps:
            self.their_stamp = segment.timestamps[0]
        segment.seq = (segment.seq - self.their_isn) & 0xFFFFFFFF
        segment.ack = (segment.ack - self.isn) & 0xFFFFFFFF
        segment.sacks = [tuple((at - self.isn) & 0xFFFFFFFF for at in pair) for pair in segment.sacks]
        self.seen += 1
        return segment

    def expect(self, flags, seq=None, ack=None, length=0, sacks=None, target=None):
        """The next segment is this one; PSH does not matter. target: whose it is, where that can be told."""
        got = self.next()
        said = f"{words(got.flags)} {got.seq}:{got.seq + len(got.data)}({len(got.data)}) ack {got.ack} sacks {got.sacks}"
        assert got.flags & ~PSH == flags & ~PSH, f"{said}; {words(flags)} was expected"
        for name, wanted, is_ in (("seq", seq, got.seq), ("ack", ack, got.ack), ("length", length, len(got.data)),
                                  ("sacks", sacks, got.sacks)):
            assert wanted is None or wanted == is_, f"{said}; {name} {wanted} was expected"
        if target is not None and got.from_target is not None:
            assert got.from_target or not target, f"{said}: not the target's"
        return got

    def insist(self, *what):
        """Injects until there is an answer to be read: as a peer does that hears nothing."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            self.inject(*what)
            if select.select([self.device.fd], [], [], 0.05)[0]:
                return
        raise AssertionError("no answer")

    def passive_open(self, sockets, listener):
        """The handshake of a connection that the stack accepts. The accepted descriptor."""
        self.inject(SYN, 0)
        self.expect(SYN | ACK, 0, 1)
        self.inject(0, 1, 1)
        return sockets.accept(listener)

    def acknowledged(self, total, upto):
        """Takes data up to upto and acknowledges all of it; the bytes from total on. Once more is no error here: the
        acknowledgement may have been late."""
        data = b""
        while total + len(data) < upto:
            got = self.next()
            assert got.flags & ~PSH == ACK and got.seq <= total + len(data), f"{words(got.flags)} {got.seq}"
            data += got.data[total + len(data) - got.seq:]
            self.inject(0, self.at, total + len(data))
        return data

    at = 1  # our own next sequence number, for acknowledged


# ---- the calls ----

class Status(ctypes.Structure):
    _fields_ = [("owner", ctypes.c_int), ("last_move_was_down", ctypes.c_int), ("reason", ctypes.c_char * 32),
                ("words", ctypes.c_char * 96), ("moves_down", ctypes.c_uint32), ("moves_up", ctypes.c_uint32),
                ("bytes_out", ctypes.c_uint64), ("bytes_in", ctypes.c_uint64), ("wire_segments", ctypes.c_uint64),
                ("wire_retransmits", ctypes.c_uint64)]


NOBODY, KERNEL, MOVING, TARGET = range(4)
_int, _ssize, _size, _any = ctypes.c_int, ctypes.c_ssize_t, ctypes.c_size_t, ctypes.c_void_p
_PROTOTYPES = [
    ("free", None, []), ("socket", _int, [_int, _int, _int]), ("bind", _int, [_int, _any, _int]), ("listen", _int, [_int, _int]),
    ("accept", _int, [_int, _any, _any]), ("accept4", _int, [_int, _any, _any, _int]), ("connect", _int, [_int, _any, _int]),
    ("read", _ssize, [_int, _any, _size]), ("readv", _ssize, [_int, _any, _int]), ("recv", _ssize, [_int, _any, _size, _int]),
    ("recvfrom", _ssize, [_int, _any, _size, _int, _any, _any]), ("recvmsg", _ssize, [_int, _any, _int]),
    ("write", _ssize, [_int, _any, _size]), ("writev", _ssize, [_int, _any, _int]), ("send", _ssize, [_int, _any, _size, _int]),
    ("sendto", _ssize, [_int, _any, _size, _int, _any, _int]), ("sendmsg", _ssize, [_int, _any, _int]),
    ("poll", _int, [_any, ctypes.c_ulong, _int]), ("shutdown", _int, [_int, _int]), ("close", _int, [_int]),
    ("getsockopt", _int, [_int, _int, _int, _any, _any]), ("setsockopt", _int, [_int, _int, _int, _any, _int]),
    ("ioctl", _int, [_int, ctypes.c_ulong, _any]), ("status", _int, [_int, ctypes.POINTER(Status)])]


class Calls(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("size", ctypes.c_uint32), ("why", ctypes.c_char * 192), ("adapter", _any)] + [
        (name, ctypes.CFUNCTYPE(result, _any, *arguments, use_errno=True)) for name, result, arguments in _PROTOTYPES]


def pieces(*buffers):
    """An array of struct iovec over buffers that can be written to, as writev takes it."""
    array = (_any * (2 * len(buffers)))()
    for number, buffer in enumerate(buffers):
        array[2 * number], array[2 * number + 1] = ctypes.addressof(buffer), len(buffer)
    return array


def message(*buffers):
    """A struct msghdr with these pieces and no address; whoever holds it holds them."""
    array = pieces(*buffers)
    header = (_any * 7)(None, None, ctypes.addressof(array), len(buffers))
    header.pieces, header.buffers = array, buffers
    return header


def sockaddr(host, port):
    if ":" in host:
        return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, socket.inet_pton(socket.AF_INET6, host), 0)
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(host))


class Sockets:
    """The adapter in Python: every call by its name, with plain arguments; an error is an OSError."""

    def __init__(self, path, argument, version=1, size=None):
        library = ctypes.CDLL(path, use_errno=True)
        self.calls = Calls(version=version, size=ctypes.sizeof(Calls) if size is None else size)
        if library.adapter_init(argument.encode(), ctypes.byref(self.calls)) != 0:
            raise OSError(ctypes.get_errno(), self.calls.why.decode())

    def call(self, name, *arguments):
        result = getattr(self.calls, name)(self.calls.adapter, *arguments)
        if name != "free" and result < 0:
            raise OSError(ctypes.get_errno(), name)
        return result

    def free(self):
        self.call("free")

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        return self.call("socket", family, kind, protocol)

    def listener(self, host=NEAR4, port=8080):
        fd = self.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.setsockopt(fd, socket.SOL_SOCKET, socket.SO_REUSEADDR, struct.pack("i", 1))
        address = sockaddr(host, port)
        self.call("bind", fd, address, len(address))
        self.call("listen", fd, 5)
        return fd

    def accept(self, fd, flags=0):
        return self.call("accept4", fd, None, None, flags)

    def connect(self, fd, host, port):
        address = sockaddr(host, port)
        return self.call("connect", fd, address, len(address))

    def read(self, fd, count=65536):
        room = ctypes.create_string_buffer(count)
        got = self.call("read", fd, room, count)
        return room.raw[:got]

    def read_all(self, fd, count):
        data = b""
        while len(data) < count:
            more = self.read(fd, count - len(data))
            assert more, f"the end after {len(data)} bytes of {count}"
            data += more
        return data

    def write(self, fd, data):
        return self.call("write", fd, data, len(data))

    def poll(self, fd, events, timeout_ms=LIMIT_S * 1000):
        """What is ready; 0: nothing within the time."""
        entry = ctypes.create_string_buffer(struct.pack("ihh", fd, events, 0), 8)
        self.call("poll", entry, 1, timeout_ms)
        return struct.unpack("ihh", entry.raw)[2]

    def getsockopt(self, fd, level, name, size=4):
        room, length = ctypes.create_string_buffer(size), ctypes.c_uint32(size)
        self.call("getsockopt", fd, level, name, room, ctypes.byref(length))
        return room.raw[:length.value]

    def setsockopt(self, fd, level, name, value):
        self.call("setsockopt", fd, level, name, value, len(value))

    def ioctl(self, fd, request):
        value = ctypes.c_int(0)
        self.call("ioctl", fd, request, ctypes.byref(value))
        return value.value

    def status(self, fd):
        status = Status()
        self.call("status", fd, ctypes.byref(status))
        return status

    def info(self, fd):
        """The fields of TCP_INFO that the target has a say in, and total_retrans."""
        raw = self.getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, 512)
        u32 = struct.unpack_from("=24I", raw, 8)
        return {"state": raw[0], "retransmits": raw[2], "probes": raw[3], "snd_mss": u32[2], "unacked": u32[4], "rtt": u32[15],
                "rttvar": u32[16], "ssthresh": u32[17], "cwnd": u32[18], "total_retrans": u32[23]}
