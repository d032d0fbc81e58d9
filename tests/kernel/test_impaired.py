"""Transfers in both directions at once over a network that loses, doubles, reorders, delays and corrupts frames by seed,
while the connection goes out and home every 5 to 50 ms. What the relay does to superframes would be none of this, so the
hosts send frames of one segment."""

import random
import time

from harness import ENDLESS, LIMIT_S, Daemon, Net, Pair, Receiver, Sender, same_bytes, wait_for
from traffic import Mover

MIB = 1 << 20
LOSS, DUPLICATES = ["--loss-ppm", "20000"], ["--duplicate-ppm", "20000"]
REORDERING, DELAY = ["--reorder-ppm", "20000", "--reorder-us", "3000"], ["--delay-us", "2000"]
CORRUPTION = ["--corrupt-ppm", "20000"]
ALL = LOSS + DUPLICATES + REORDERING + DELAY + CORRUPTION
DID = {"--loss-ppm": "lost", "--duplicate-ppm": "duplicated", "--reorder-ppm": "reordered", "--corrupt-ppm": "corrupted"}
MOVES = 3  # out and home


def streams(pair, size, rate):
    both = [(Sender(pair.near, size, rate), Receiver(pair.far)), (Sender(pair.far, size, rate), Receiver(pair.near))]
    for sender, receiver in both:
        receiver.start()
        sender.start()
    return both


def run_out(both, more=65536, limit_s=LIMIT_S):
    """So much more each way, no less than one write may be, and the ends."""
    for sender, _ in both:
        sender.finish(more)
    for sender, receiver in both:
        same_bytes(sender, receiver, limit_s)


def resets(net):
    """That anybody sent: the relay sees them before a wrong bit can make one."""
    return sum(counts["resets"] for counts in net.relay_counts())


def transfer(net, daemon, v6, seed):
    pair, before = Pair(net, v6=v6), resets(net)
    mover = Mover(daemon, pair, seed)
    both = streams(pair, ENDLESS, 2 * MIB)
    mover.start()
    wait_for(lambda: mover.error or all(sender.error or sender.sent >= MIB for sender, _ in both)
             and mover.moves["upload"] >= MOVES, f"1 MiB and {MOVES} times home: {mover.moves}")
    moves = mover.stop()
    # Until here: what comes late or twice behind the end finds no socket any more, and is reset. That is as it should be.
    assert resets(net) == before, "a reset"
    run_out(both)
    pair.close()
    return moves, mover.refused


def impaired(relay, seeds=(1,)):
    """Over IPv4 and IPv6, for every seed."""
    for seed in seeds:
        with Net(relay=["--seed", str(seed)] + relay, mtu_frames=True) as net:
            net.warm()
            net.warm(v6=True)
            with Daemon(net) as daemon:
                for v6 in (False, True):
                    moves, refused = transfer(net, daemon, v6, seed)
                    print(f"# seed {seed}, IPv{6 if v6 else 4}: {moves}, not now {refused}", flush=True)
                for counts in net.relay_counts():
                    assert all(counts[did] for option, did in DID.items() if option in relay), counts
                daemon.nothing_leaked()


def test_loss():
    """2 % loss."""
    impaired(LOSS)


def test_duplicates():
    """2 % of the frames come twice."""
    impaired(DUPLICATES)


def test_reordering():
    """2 % of the frames are 3 ms late."""
    impaired(REORDERING)


def test_delay():
    """2 ms each way."""
    impaired(DELAY)


def test_corruption():
    """In 2 % of the frames a bit is wrong, and found by a checksum."""
    impaired(CORRUPTION)


def test_all_together():
    """All of it, by three seeds."""
    impaired(ALL, seeds=(1, 2, 3))


def test_ends():
    """Short transfers over all of it, with moves from the first byte to behind the end, wherever that falls between them."""
    draw = random.Random(5)
    moves = 0
    with Net(relay=["--seed", "5"] + ALL, mtu_frames=True) as net:
        net.warm()
        net.warm(v6=True)
        with Daemon(net) as daemon:
            for turn in range(12):
                pair = Pair(net, v6=turn % 2 == 1, connect_from_near=draw.random() < 0.5)
                mover = Mover(daemon, pair, turn, between_ms=(1, 30), closed_meanwhile=True)
                mover.start()
                for sender, receiver in streams(pair, draw.randint(1, MIB // 2), draw.choice((None, 2 * MIB))):
                    same_bytes(sender, receiver)
                pair.close()
                moves += mover.stop()["offload"]
            assert moves > 12, moves
            daemon.nothing_leaked()


# ---- what takes minutes: tests/kernel/run --long ----

GIB = 1 << 30
MILD = ["--loss-ppm", "1000", "--duplicate-ppm", "1000", "--reorder-ppm", "1000", "--reorder-us", "500", "--delay-us", "200",
        "--corrupt-ppm", "1000"]
HARSH = ["--loss-ppm", "50000", "--duplicate-ppm", "10000", "--reorder-ppm", "10000", "--reorder-us", "500", "--delay-us", "200",
         "--corrupt-ppm", "10000"]
HOURS_S = 4 * 3600


def timed(net, pair, size, mover=None):
    """The rate of a transfer of so much in each direction, MiB a second both together."""
    begin, before = time.monotonic(), resets(net)
    both = streams(pair, ENDLESS, None)
    if mover:
        mover.start()
    wait_for(lambda: mover and mover.error or all(r.error or r.got >= size for _, r in both), "the bytes", HOURS_S, step_s=0.2)
    took_s, got = time.monotonic() - begin, sum(receiver.got for _, receiver in both)
    moves = mover.stop() if mover else None
    assert resets(net) == before, "a reset"
    run_out(both, more=MIB)
    pair.close()
    return got / MIB / took_s, moves


def gigabyte(relay, v6, seed=1, size=GIB):
    """So much each way, out and home all the time; beside it, with a sixteenth, the kernel alone."""
    with Net(relay=["--seed", str(seed)] + relay, mtu_frames=True) as net:
        net.warm(v6)
        control, _ = timed(net, Pair(net, v6=v6), size // 16)
        with Daemon(net) as daemon:
            pair = Pair(net, v6=v6)
            mover = Mover(daemon, pair, seed)
            rate, moves = timed(net, pair, size, mover)
            assert moves["upload"] > 10, moves
            assert daemon.nothing_leaked()["wire_retransmits"] > 0
            print(f"# {size // MIB} MiB each way, IPv{6 if v6 else 4}: {rate:.2f} MiB/s, {moves}, not now {mover.refused}, "
                  f"missed beats {mover.beats}; never handed over: {control:.2f} MiB/s", flush=True)
        print(f"# the relay: {net.relay_counts()}", flush=True)


def long_gibibyte_mild():
    """1 GiB each way with 0.1 % of everything, over IPv4."""
    gigabyte(MILD, v6=False)


def long_gibibyte_mild_ipv6():
    """The same over IPv6."""
    gigabyte(MILD, v6=True, seed=2)


def long_gibibyte_harsh():
    """1 GiB each way with 5 % loss and 1 % of everything else, over IPv4."""
    gigabyte(HARSH, v6=False)


def long_gibibyte_harsh_ipv6():
    """The same over IPv6."""
    gigabyte(HARSH, v6=True, seed=2)
