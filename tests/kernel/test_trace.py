"""The trace of a live connection: its frames and the calls that moved it in one file, on one time axis."""

import os
import struct
import tempfile

from harness import Daemon, Net, Pair

USER0, INITIATE_COMPLETE, TERMINATE = 147, 2, 3


def packets(path):
    """(link type, time in ns, bytes) of every packet of a big-endian pcapng file that ends with a whole block."""
    with open(path, "rb") as stream:
        data = stream.read()
    at, links = 0, []
    while at < len(data):
        kind, size = struct.unpack_from(">II", data, at)
        assert size >= 12 and struct.unpack_from(">I", data, at + size - 4)[0] == size, (at, size)
        if kind == 1:
            links.append(struct.unpack_from(">H", data, at + 8)[0])
        if kind == 6:
            interface, high, low, kept = struct.unpack_from(">IIII", data, at + 8)
            yield links[interface], high << 32 | low, data[at + 28:at + 28 + kept]
        at += size
    assert at == len(data)


def test_frames_and_calls():
    """What is sent while the target has the connection stands between the calls that moved it."""
    with tempfile.TemporaryDirectory() as folder, Net() as net:
        path = os.path.join(folder, "a.pcapng")
        net.warm(False)
        with Daemon(net, stack=f"eth0=trace:File={path},passthru") as daemon:
            pair = Pair(net, v6=False)
            daemon.must_move("offload", *pair.selector)
            pair.near.sendall(b"sent by the target")
            assert pair.far.recv(100) == b"sent by the target"
            daemon.must_move("upload", *pair.selector)
            pair.close()
        seen = list(packets(path))
        times = [time for _, time, _ in seen]
        assert times == sorted(times)
        calls = [data[1] if link == USER0 else None for link, _, data in seen]
        frames = [i for i, (link, _, data) in enumerate(seen) if link != USER0 and b"sent by the target" in data]
        assert frames, calls
        assert calls.index(INITIATE_COMPLETE) < frames[0] < calls.index(TERMINATE), (calls, frames)
