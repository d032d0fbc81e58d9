"""A VLAN over a port. The peer is a kernel that knows nothing of it: tc programs take its tags off and put them on."""

import contextlib
import os
import re
import socket
import struct
import threading

from harness import BUILD, ROOT, Net, Pair, Receiver, Sender, inside, run, same_bytes, wait_for
from test_moves import MIB, echo, move_until
from test_port import datagrams, standing

TAGS = os.path.join(BUILD, "tests", "kernel", "tags.bpf.o")
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 23, 8, 1 << 4


class Watch(threading.Thread):
    """Every frame that reaches the far interface, before anything there can change it, by what its tag is."""

    def __init__(self, net):
        super().__init__(daemon=True)
        with inside(net.far):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 * MIB)  # SO_RCVBUFFORCE
        self.sock.bind(("eth0", 3))
        self.sock.settimeout(0.1)
        self.ending = False
        self.seen = {}  # tag, None: no tag -> frames
        self.start()

    def run(self):
        while not self.ending:
            try:
                _, control, _, _ = self.sock.recvmsg(64, 256)
            except TimeoutError:
                continue
            tag = None
            for level, kind, data in control:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, tci = struct.unpack("=I12xHxx", data)
                    tag = tci if status & TP_STATUS_VLAN_VALID else None
            self.seen[tag] = self.seen.get(tag, 0) + 1

    def end(self):
        self.ending = True
        self.join()
        self.sock.close()

    def count(self, tag):
        return self.seen.get(tag, 0)


def tag_far(net, *devs):
    """The far side is in VLAN 10."""
    for dev in devs:
        run("tc", "qdisc", "add", "dev", dev, "clsact", ns=net.far)
        for hook, section in (("ingress", "tc/pop"), ("egress", "tc/push")):
            run("tc", "filter", "add", "dev", dev, hook, "bpf", "direct-action", "obj", TAGS, "sec", section, ns=net.far)
    # What was learnt untagged, before the programs were there, is not needed any more.
    run("ip", "-n", net.far, "neigh", "flush", "all", check=False)


@contextlib.contextmanager
def in_vlan(drivers):
    """A port through these drivers, and a peer that is in VLAN 10."""
    with Net() as net, standing(net, drivers) as daemon:
        tag_far(net, "eth0")
        watch = Watch(net)
        try:
            yield net, daemon, watch
        finally:
            watch.end()


def tagged_all_along(drivers, tag, v6, upwards):
    with in_vlan(drivers) as (net, daemon, watch):
        net.warm(v6)
        pair = Pair(net, v6=v6)

        def more(what):
            """Something has passed, and whatever passed so far was tagged."""
            before = watch.count(tag)
            what()
            wait_for(lambda: watch.count(tag) > before, "a tagged frame")
            assert set(watch.seen) == {tag}, watch.seen

        more(lambda: echo(pair, b"before"))
        more(lambda: datagrams(net, v6))
        daemon.must_move("offload", *pair.selector)
        more(lambda: echo(pair, b"during"))
        code, answer, _ = daemon.ctl("conn", "show", *pair.selector)
        assert code == 0 and answer[0]["owner"] == "target", answer
        daemon.must_move("upload", *pair.selector)
        more(lambda: echo(pair, b"after"))
        source, sink = (pair.far, pair.near) if upwards else (pair.near, pair.far)
        sender, receiver = Sender(source, rate=50 * MIB), Receiver(sink)
        receiver.start()
        sender.start()
        more(lambda: move_until(daemon, pair, lambda downs: downs >= 5 and sender.sent >= 32 * MIB, 0.02))
        sender.finish()
        same_bytes(sender, receiver)
        pair.close()
        assert set(watch.seen) == {tag}, watch.seen
        assert net.rsts() == 0


def test_download():
    """IPv4, sending: every frame has the tag, before, during and after offload."""
    tagged_all_along("vlan:Id=10", 10, False, False)


def test_upload():
    """IPv6, receiving."""
    tagged_all_along("vlan:Id=10", 10, True, True)


def test_as_the_page_says():
    """The example of the man page: with a priority."""
    with open(os.path.join(ROOT, "packaging", "chimney-vlan.7.scd"), encoding="ascii") as page:
        drivers = re.search(r"^# chimneyd --port \w+=\w+,(\S+)$", page.read(), re.MULTILINE).group(1)
    tagged_all_along(drivers, 3 << 13 | 10, False, False)


def test_priority_through_passthru():
    """IPv6, receiving, through three floors of which each knows a part."""
    tagged_all_along("vlan:Id=0:Priority=6,passthru,vlan:Id=10:Priority=3", 6 << 13 | 10, True, True)


def nobody_there(net):
    """Both sides ask for the other's address until they give up."""
    sides = ((net.near, net.far4), (net.far, net.near4))
    for ns, other in sides:
        run("ip", "-n", ns, "neigh", "flush", "to", other, check=False)
        with inside(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"x", (other, 9))
    for ns, other in sides:
        wait_for(lambda: "FAILED" in run("ip", "-n", ns, "neigh", "show", other).stdout, "giving up")


def test_another_vlan():
    """A peer in another VLAN, or in none, is not there; ours is told apart on the wire."""
    with in_vlan("vlan:Id=11") as (net, _daemon, watch):
        nobody_there(net)
        assert set(watch.seen) == {11}, watch.seen
        for hook in ("ingress", "egress"):
            run("tc", "filter", "del", "dev", "eth0", hook, ns=net.far)
        nobody_there(net)
        assert set(watch.seen) == {11}, watch.seen
