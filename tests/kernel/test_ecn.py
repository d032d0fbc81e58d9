"""Connections that have negotiated ECN: the target goes on with it, in both directions, and nothing of it is lost on the way."""

from harness import ENDLESS, Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for
from traffic import Mover

MIB = 1 << 20


def with_ecn(net):
    for ns in (net.near, net.far):
        run("sysctl", "-qw", "net.ipv4.tcp_ecn=1", ns=ns)


def one_way(net, daemon, pair, upwards, seed=None, size=8 * MIB):
    """A stream, moved all the time, or the target's from before its first byte. What the relay saw of it, by sender."""
    source, sink = (pair.far, pair.near) if upwards else (pair.near, pair.far)
    sender, receiver = Sender(source, ENDLESS, rate=16 * MIB), Receiver(sink)
    mover = Mover(daemon, pair, seed) if seed is not None else None
    if mover:
        mover.start()
    else:
        daemon.must_move("offload", *pair.selector)
    before = net.relay_counts()
    receiver.start()
    sender.start()
    wait_for(lambda: sender.error or mover and mover.error or sender.sent >= size and (not mover or mover.moves["upload"] >= 5),
             "the bytes, and moves")
    counts = [{name: after[name] - early[name] for name in early} for early, after in zip(before, net.relay_counts())]
    if mover:
        mover.stop()
    assert not sum(each["resets"] for each in counts), counts
    sender.finish()
    same_bytes(sender, receiver)
    return counts[::-1] if upwards else counts


def ecn(v6, seed=None):
    """Marks reach the receiver, its echo the sender, and the sender says that it has slowed down."""
    with Net(relay=["--seed", "3", "--ce-ppm", "5000", "--delay-us", "1000"], mtu_frames=True) as net:
        with_ecn(net)
        net.warm(v6)
        with Daemon(net) as daemon:
            for upwards in (False, True):
                pair = Pair(net, v6=v6)
                data, acks = one_way(net, daemon, pair, upwards, seed)
                print(f"# {'up' if upwards else 'down'}: data {data}, acknowledgements {acks}", flush=True)
                assert data["marked"] > 10 and data["ect"] > data["frames"] * 0.9, data
                assert acks["ece"] >= data["marked"] / 10 and data["cwr"] > 5, (data, acks)
                assert data["cwr"] <= data["marked"] + 10, "it slows down for marks, and not all the time"
                pair.close()
            status = daemon.status()
            assert status["leaked"] == 0, status


def test_marks():
    """The connection is the target's: it marks what it sends as capable, echoes, and reacts to echoes."""
    ecn(v6=False)


def test_marks_ipv6():
    """The same over IPv6."""
    ecn(v6=True)


def test_marks_while_it_moves():
    """Out and home all the time: marks are echoed and answered whoever has the wire."""
    ecn(v6=False, seed=1)


def test_marks_while_it_moves_ipv6():
    """The same over IPv6."""
    ecn(v6=True, seed=2)
