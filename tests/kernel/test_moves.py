"""Live connections of unmodified processes, moved down and up in the middle of what they do."""

import random
import threading
import time

from harness import Daemon, Net, Pair, Receiver, Sender, same_bytes

MIB = 1 << 20


def echo(pair, message):
    """One round trip started by the far side."""
    pair.far.sendall(message)
    assert pair.near.recv(65536) == message
    pair.near.sendall(message)
    assert pair.far.recv(65536) == message


def move_until(daemon, pair, condition, between_s=0.0):
    """Down and up again until condition(number of moves down) holds, and down once more."""
    downs = 0
    while True:
        daemon.must_move("offload", *pair.selector)
        downs += 1
        time.sleep(between_s)  # lets the stream run with the target
        if condition(downs):
            return
        daemon.must_move("upload", *pair.selector)
        time.sleep(between_s / 4)


def idle(stack, v6, options=()):
    with Net() as net:
        net.warm(v6)
        with Daemon(net, stack=stack, options=options) as daemon:
            net.count_rst()
            pair = Pair(net, v6=v6)
            echo(pair, b"before")
            for turn in range(10):
                daemon.must_move("offload", *pair.selector)
                echo(pair, b"down %d" % turn)
                code, answer, _ = daemon.ctl("conn", "show", *pair.selector)
                assert code == 0 and answer[0]["owner"] == "target", answer
                daemon.must_move("upload", *pair.selector)
                echo(pair, b"up %d" % turn)
            pair.close()
            assert net.rsts() == 0


def test_idle_ipv4():
    """An idle IPv4 connection goes down and up ten times and still echoes."""
    idle("eth0", False)


def test_idle_ipv6():
    """The same over IPv6."""
    idle("eth0", True)


def test_idle_through_passthru():
    """The same with an intermediate driver between host stack and target."""
    idle("eth0=passthru", False)


def stream(upwards, size, v6=False, stack="eth0", rate=None, relay=None, mtu_frames=False, least=3, between_s=0.02,
           options=()):
    with Net(relay=relay, mtu_frames=mtu_frames) as net:
        net.warm(v6)
        with Daemon(net, stack=stack, options=options) as daemon:
            net.count_rst()
            pair = Pair(net, v6=v6)
            source, sink = (pair.far, pair.near) if upwards else (pair.near, pair.far)
            sender, receiver = Sender(source, rate=rate), Receiver(sink)
            receiver.start()
            sender.start()
            move_until(daemon, pair, lambda downs: downs >= least and sender.sent >= size, between_s)
            sender.finish()
            same_bytes(sender, receiver)
            assert net.rsts() == 0
            pair.close()
            return daemon.nothing_leaked()


def test_download():
    """The near side sends 256 MiB and more while the connection moves."""
    stream(False, 256 * MIB, rate=100 * MIB)


def test_upload():
    """The near side receives 128 MiB and more while the connection moves."""
    stream(True, 128 * MIB, rate=50 * MIB)


def test_download_full_rate():
    """As fast as it goes, no pacing."""
    stream(False, 1024 * MIB, least=2)


def test_download_ipv6():
    """IPv6, through passthru."""
    stream(False, 64 * MIB, v6=True, stack="eth0=passthru", rate=50 * MIB)


def test_upload_ipv6():
    """IPv6, the other way."""
    stream(True, 64 * MIB, v6=True, rate=50 * MIB)


LOSSY = ["--seed", "7", "--loss-ppm", "10000", "--reorder-ppm", "10000", "--reorder-us", "2000"]


def test_download_lossy():
    """1 % loss and reordering in both directions, near sends: the target retransmits what it lost."""
    status = stream(False, 48 * MIB, rate=16 * MIB, relay=LOSSY, mtu_frames=True)
    assert status["wire_retransmits"] > 50, status


def test_upload_lossy():
    """1 % loss and reordering in both directions, near receives: nothing but ACKs to lose, so nothing to retransmit."""
    status = stream(True, 48 * MIB, rate=16 * MIB, relay=LOSSY, mtu_frames=True)
    assert status["wire_segments_out"] > 500, status
    assert status["wire_retransmits"] <= 5, status


def test_download_lossy_down_to_the_end():
    """Offloaded once, early: what the wire loses is the target's to retransmit, the kernel socket sees none of it."""
    with Net(relay=LOSSY, mtu_frames=True) as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            daemon.must_move("offload", *pair.selector)
            sender, receiver = Sender(pair.near, 48 * MIB, 16 * MIB), Receiver(pair.far)
            receiver.start()
            sender.start()
            same_bytes(sender, receiver)
            code, conns, _ = daemon.ctl("conn", "show", *pair.selector)
            assert code == 0 and conns[0]["owner"] == "target" and conns[0]["moves_down"] == 1, conns
            wire, kernel = daemon.nothing_leaked()["wire_retransmits"], conns[0]["kernel_retransmits"]
            print(f"# retransmitted segments: wire {wire}, kernel socket {kernel}", flush=True)
            assert wire > 50, wire
            assert kernel <= wire / 10, (kernel, wire)
            pair.close()


def test_interactive():
    """One-byte messages both ways across moves: each is echoed, in order."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            stop = threading.Event()
            count, failure = [0], []

            def talk():
                try:
                    while not stop.is_set():
                        message = bytes([count[0] & 255])
                        pair.far.sendall(message)
                        assert pair.near.recv(16) == message
                        pair.near.sendall(message)
                        assert pair.far.recv(16) == message
                        count[0] += 1
                except Exception as error:
                    failure.append(error)

            talker = threading.Thread(target=talk, daemon=True)
            talker.start()
            rounds = 0
            while (rounds < 15 or count[0] <= 100) and talker.is_alive():
                daemon.must_move("offload", *pair.selector)
                daemon.must_move("upload", *pair.selector)
                rounds += 1
            stop.set()
            talker.join(30)
            assert not talker.is_alive(), f"stuck after {count[0]} messages"
            assert not failure, failure
            pair.close()
            daemon.nothing_leaked()


def test_both_directions():
    """Streams in both directions at once, moved at random points."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            pairs = [(Sender(pair.near, rate=50 * MIB), Receiver(pair.far)),
                     (Sender(pair.far, rate=50 * MIB), Receiver(pair.near))]
            for sender, receiver in pairs:
                receiver.start()
                sender.start()
            rng = random.Random(1)
            while any(sender.sent < 80 * MIB for sender, _ in pairs):
                daemon.must_move("offload", *pair.selector)
                time.sleep(rng.uniform(0, 0.05))
                daemon.must_move("upload", *pair.selector)
            for sender, _ in pairs:
                sender.finish()
            for sender, receiver in pairs:
                same_bytes(sender, receiver)
            pair.close()
            daemon.nothing_leaked()
