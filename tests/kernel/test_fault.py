"""Live connections through a driver on which things go wrong: no byte is lost, and what went wrong is told as documented."""

import contextlib
import os
import re
import tempfile

import test_port
from harness import ROOT, Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for
from test_moves import MIB

NEXT_TIME = ("no-quiet-moment", "busy")
FAILURE, RESOURCES = 0xC0000001, 0xC000009A
TCP_ENTRIES, PATH_ENTRIES, NEIGHBOR_ENTRIES, ADDRESS_ENTRIES = 0xC0231004, 0xC0231005, 0xC0231006, 0xC0231007
XMIT_BUFFER, RCV_BUFFER, REJECTED = 0xC023100A, 0xC023100B, 0xC0231012


@contextlib.contextmanager
def faulty(script, over_port=False, drivers="fault:File={}", **options):
    """A daemon whose driver obeys this script, over the interface or a port."""
    with tempfile.TemporaryDirectory() as folder, Net(mtu_frames=over_port) as net:
        path = os.path.join(folder, "script")
        with open(path, "w", encoding="ascii") as file:
            file.write(script)
        drivers = drivers.format(path)
        if over_port:
            with test_port.standing(net, drivers) as daemon:
                yield net, daemon
            return
        net.count_rst()
        with Daemon(net, stack=f"eth0={drivers}", **options) as daemon:
            yield net, daemon


def owner(daemon, pair):
    code, answer, errors = daemon.ctl("conn", "list", *pair.selector)
    assert code == 0 and len(answer) == 1, (code, answer, errors)
    return answer[0]["owner"]


def move(daemon, pair, direction="offload"):
    """Exit code and what became of it; want of a quiet moment is no answer."""
    while True:
        code, moves = daemon.moves(direction, *pair.selector)
        assert len(moves) == 1, moves
        if moves[0]["reason"] not in NEXT_TIME:
            return code, moves[0]


def refused(daemon, pair, status):
    """The target, as it seems, refuses the connection with this status; the kernel goes on with it."""
    code, answer = move(daemon, pair)
    assert code == 1 and answer["outcome"] == "refused" and answer["reason"] == "target-refused", answer
    assert int(answer["ndis_status"], 16) == status, (answer["ndis_status"], hex(status))
    wait_for(lambda: owner(daemon, pair) == "kernel", "the kernel to have it")


class Streams:
    """One pattern each way at once."""

    def __init__(self, pair, rate=10 * MIB):
        ends = ((pair.near, pair.far), (pair.far, pair.near))
        self.ways = [(Sender(source, rate=rate), Receiver(sink)) for source, sink in ends]
        for way in self.ways:
            for thread in way:
                thread.start()

    def more(self, size=65536):
        """So many more bytes have arrived at both ends."""
        goals = [receiver.got + size for _, receiver in self.ways]
        for goal, (_, receiver) in zip(goals, self.ways):
            wait_for(lambda: receiver.got >= goal or receiver.error or not receiver.is_alive(), "the stream to go on")

    def finish(self):
        for sender, _ in self.ways:
            sender.finish()
        for way in self.ways:
            same_bytes(*way)


def statuses(rules, expected, v6=False, over_port=False):
    """Initiates that fail one after the other while bytes pass both ways, and then one that does not."""
    with faulty(rules, over_port) as (net, daemon):
        net.warm(v6)
        pair = Pair(net, v6=v6)
        streams = Streams(pair)
        for status in expected:
            refused(daemon, pair, status)
            streams.more()
        code, answer = move(daemon, pair)
        assert code == 0, answer
        streams.more()
        assert owner(daemon, pair) == "target"
        assert daemon.status()["refused"] >= len(expected)
        streams.finish()
        pair.close()
        assert net.rsts() == 0


CHOSEN = (("OFFLOAD_TCP_ENTRIES", TCP_ENTRIES), ("OFFLOAD_TCP_XMIT_BUFFER", XMIT_BUFFER),
          ("OFFLOAD_TCP_RCV_BUFFER", RCV_BUFFER), ("OFFLOAD_CONNECTION_REJECTED", REJECTED),
          ("RESOURCES", RESOURCES), ("FAILURE", FAILURE))
INITIATES = "\n".join(f"initiate {number} fail {name}" for number, (name, _) in enumerate(CHOSEN, 1))


def test_initiates_fail():
    """IPv4: the n-th initiate fails with the n-th status, and chimneyctl shows it."""
    statuses(INITIATES, [status for _, status in CHOSEN])


def test_initiates_fail_over_a_port():
    """IPv6, over a port."""
    statuses(INITIATES, [status for _, status in CHOSEN], v6=True, over_port=True)


def test_objects_are_refused():
    """A neighbor, a path and a connection for which there is no room: whatever depends on them is refused with them."""
    # The neighbor that came through is there when the path is refused, and both are for the connection.
    statuses("initiate refuse neighbor 1\ninitiate refuse path 1\ninitiate refuse path 2 OFFLOAD_IP_ADDRESS_ENTRIES\n"
             "initiate refuse tcp 1\ninitiate refuse tcp 2 RESOURCES\n",
             [FAILURE, FAILURE, FAILURE, TCP_ENTRIES, RESOURCES])


def test_others_stay():
    """Of two connections over one neighbor and path the second is refused; the first stays with the target."""
    with faulty("initiate refuse tcp 2") as (net, daemon):
        net.warm()
        first, second = Pair(net), Pair(net)
        streams = [Streams(first), Streams(second)]
        assert move(daemon, first)[0] == 0
        refused(daemon, second, TCP_ENTRIES)
        for both in streams:
            both.more()
        assert owner(daemon, first) == "target"
        assert move(daemon, second)[0] == 0
        for both in streams:
            both.finish()
        first.close()
        second.close()
        assert net.rsts() == 0


def brought_home(script, why, over_port=False):
    """What the target has it gives back by itself, for one reason after the other, while bytes pass both ways."""
    with faulty(script, over_port) as (net, daemon):
        net.warm()
        pair = Pair(net)
        streams = Streams(pair)
        for turn in range(len(why)):
            code, answer = move(daemon, pair)
            assert code == 0, answer
            wait_for(lambda: daemon.status()["moves_up"] > turn, "the upload that was asked for")
            wait_for(lambda: owner(daemon, pair) == "kernel", "the kernel to have it")
            streams.more()
        assert re.findall(r" up: (\w+) \(([\w-]+)\)", daemon.log()) == [("done", reason) for reason in why]
        streams.finish()
        pair.close()
        assert net.rsts() == 0


def test_sends_without_memory():
    """REQUEST_UPLOAD on a send: what did not go down is the kernel's again."""
    brought_home("send every 20 no-memory", ["target-asked"] * 5)


def test_sends_without_memory_over_a_port():
    """The same over a port."""
    brought_home("send every 20 no-memory", ["target-asked"] * 5, over_port=True)


REASONS = ("HardwareFailure", "InvalidState", "ReceivedUrgentData", "TimeoutExpiration", "UploadRequested",
           "HighDropRate", "HighFragmentation", "HighOutofOrderPackets", "LowActivity", "NoBufferProposting", "SmallIO")


def test_uploads_for_every_reason():
    """Uploads that are asked for, once for each documented reason."""
    script = "\n".join(f"request-upload {reason} on send {20 * number}" for number, reason in enumerate(REASONS, 1))
    brought_home(script, ["timeout" if reason == "TimeoutExpiration" else "target-asked" for reason in REASONS])


def test_uploads_again_and_again():
    """Asked for after so much that was sent or received, each time."""
    brought_home("request-upload HighDropRate after 100 segments", ["target-asked"] * 5)


def counted(ns, *wanted):
    """The sum of what the kernel in ns has counted under these names."""
    lines = [line.split() for line in run("cat", "/proc/net/snmp", ns=ns).stdout.splitlines()]
    return sum(int(value) for names, values in zip(lines[::2], lines[1::2])
               for name, value in zip(names, values) if name in wanted)


def moving(script, over_port, turns=6, drivers="fault:File={}"):
    """Streams both ways that move, are refused, come home by themselves; what near and far have thrown away."""
    with faulty(script, over_port, drivers) as (net, daemon):
        if over_port:  # what is left to the adapter to add up cannot be damaged
            run("ethtool", "-K", "chim0", "tx", "off", ns=net.near)
        net.warm()
        pair = Pair(net)
        streams = Streams(pair)
        for _ in range(turns):
            code, answer = move(daemon, pair)
            assert code == 0 or answer["reason"] in ("target-refused", "already-offloaded"), (code, answer)
            streams.more()
            code, answer = move(daemon, pair, "upload")
            assert code == 0 or answer["reason"] == "not-offloaded", (code, answer)
            streams.more()
        streams.finish()
        downs, sides = daemon.status()["moves_down"], (net.near, net.far)
        thrown_away = [counted(ns, "InCsumErrors", "InHdrErrors") for ns in sides]
        pair.close()
        if "frames" in script:  # a damaged frame may look like a reset, and one that is late may find no socket
            assert [counted(ns, "EstabResets") for ns in sides] == [0, 0]
        else:
            assert net.rsts() == 0
    assert downs >= turns // 2, downs
    return thrown_away


def test_completions_wait():
    """Completions that are late, out of order, or told inside another call."""
    moving("complete initiate delay 5ms 50%\ncomplete terminate delay 5ms 50%\ncomplete terminate reorder\n"
           "complete query delay 3ms 30%\ncomplete update delay 5ms\ncomplete send delay 2ms 10%\n"
           "complete send inline 30%\n", False)


def test_other_operations_fail():
    """Queries and updates fail: the connection comes home, and goes down again."""
    moving("query every 2 fail\nupdate every 2 fail\n", False)


FRAMES = "".join(f"frames {way} {what} 1%\n" for way in ("in", "out")
                 for what in ("drop", "duplicate", "reorder", "corrupt", "delay 2ms"))


def test_frames_over_a_port():
    """Frames of the regular path dropped, doubled, reordered, damaged and late, both ways."""
    thrown_away = moving("seed 7\n" + FRAMES, True)
    assert min(thrown_away) > 0, thrown_away


def test_frames_during_moves():
    """The same where only what passes on the way down and up is regular."""
    moving("seed 8\n" + FRAMES.replace("1%", "5%"), False)


def a_bad_day():
    with open(os.path.join(ROOT, "packaging", "chimney-fault.7.scd"), encoding="ascii") as page:
        return page.read().split("# EXAMPLE")[1].split("```")[1]


def test_a_bad_day():
    """The example of the man page, between two floors."""
    moving(a_bad_day(), False, drivers="passthru,fault:File={},passthru")


def test_a_bad_day_over_a_port():
    """The same over a port."""
    moving(a_bad_day(), True)


def test_a_script_that_is_none():
    """What is not understood is told with its place, and nothing is served."""
    with tempfile.TemporaryDirectory() as folder, Net() as net:
        path = os.path.join(folder, "script")
        with open(path, "w", encoding="ascii") as file:
            file.write("# fine so far\ninitiate 3 fial\n")
        run("ip", "-n", net.near, "addr", "flush", "dev", "eth0")
        test_port.refused(net, f"chim0=eth0,fault:File={path}", f"{path}:2:12:", code=1)
        test_port.refused(net, f"chim0=eth0,fault:File={path}x", "cannot be read", code=1)
