"""The daemon dies in every way; kernel and peer go on."""

import array
import fcntl
import random
import signal
import statistics
import termios
import threading
import time

from harness import Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for

MIB = 1 << 20


def report(text):
    print("# " + text, flush=True)


def control_gaps(net, pair_count):
    """The peer's largest gap when the flow is dropped for 10 ms without us."""
    gaps = []
    pair = Pair(net)
    sender, receiver = Sender(pair.near, rate=60 * MIB), Receiver(pair.far)
    receiver.start()
    sender.start()
    for _ in range(pair_count):
        wait_for(lambda start=receiver.got: receiver.got > start + 4 * MIB, "a running stream")
        receiver.take_gap()
        rules = "add table inet hole\nadd chain inet hole in { type filter hook input priority -400; policy drop; }\n"
        run("nft", "-f", "-", ns=net.far, input=rules)
        time.sleep(0.01)  # the hole is 10 ms by definition
        run("nft", "delete", "table", "inet", "hole", ns=net.far)
        wait_for(lambda start=receiver.got: receiver.got > start + 4 * MIB, "the stream after the hole")
        gaps.append(receiver.take_gap())
    pair.close()
    return gaps


def killed(number, times):
    with Net() as net:
        net.warm()
        control = control_gaps(net, 5)
        net.count_rst()
        daemon = Daemon(net)
        pair = Pair(net)
        sender, receiver = Sender(pair.near, rate=60 * MIB), Receiver(pair.far)
        receiver.start()
        sender.start()
        rng, gaps = random.Random(number), []
        for _ in range(times):
            daemon.must_move("offload", *pair.selector)
            time.sleep(rng.uniform(0.01, 0.15))  # a random moment
            receiver.take_gap()
            before = receiver.got
            daemon.kill(number)
            wait_for(lambda: receiver.got > before + 8 * MIB, "the stream to go on")
            gaps.append(receiver.take_gap())
            if number == signal.SIGSTOP:
                daemon.kill(signal.SIGCONT)
                wait_for(lambda: daemon.ctl("status")[1]["offloaded_now"] == 0, "it to give the flow up")
            else:
                daemon.abandon()
                daemon = Daemon(net)
        sender.finish()
        same_bytes(sender, receiver)
        assert net.rsts() == 0
        if number == signal.SIGSTOP:
            daemon.stop()
        else:
            daemon.stop()
        pair.close()
    name = signal.Signals(number).name
    report(f"{name}: gaps ms {' '.join(f'{g * 1e3:.0f}' for g in gaps)}; control {' '.join(f'{g * 1e3:.0f}' for g in control)}")
    assert max(gaps) < 2, f"{name}: a gap of {max(gaps):.2f} s"
    assert statistics.median(gaps) <= statistics.median(control) + 0.1, (gaps, control)


def test_sigkill():
    """kill -9 at a random moment, ten times in a row with restarts."""
    killed(signal.SIGKILL, 10)


def test_sigsegv():
    """SIGSEGV, five times."""
    killed(signal.SIGSEGV, 5)


def test_sigstop():
    """SIGSTOP: the steering lets go by itself; on SIGCONT the daemon gives everything up before it speaks."""
    killed(signal.SIGSTOP, 5)


def unacknowledged(sock):
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]


def test_sigterm_in_the_bridge():
    """SIGTERM while connections wait in the bridge: none goes down first, all go on in the kernel, byte for byte."""
    with Net() as net:
        net.warm()
        net.count_rst()
        daemon = Daemon(net, debug=True)
        pairs = [Pair(net) for _ in range(3)]
        streams = [(Sender(pair.near, rate=20 * MIB), Receiver(pair.far)) for pair in pairs]
        for sender, receiver in streams:
            receiver.start()
            sender.start()
        wait_for(lambda: all(receiver.got > MIB for _, receiver in streams), "running streams")
        net.mute_far()  # what is sent now stays unacknowledged, so the bridge stays a bridge
        wait_for(lambda: all(unacknowledged(pair.near) for pair in pairs), "something unacknowledged")
        asked = threading.Thread(target=lambda: daemon.ctl("conn", "offload", "--peer", net.far4), daemon=True)
        asked.start()
        wait_for(lambda: daemon.log().count("KERNEL → BRIDGE") == 3, "three bridges")
        daemon.kill(signal.SIGTERM)
        daemon.wait()
        asked.join(30)
        log = daemon.log()
        daemon.stop()  # it has ended well
        net.unmute_far()
        assert log.count("BRIDGE → RELEASE, shutting-down") == 3 and "→ INITIATE" not in log, log
        for sender, _ in streams:
            sender.finish()
        for (sender, receiver), pair in zip(streams, pairs):
            same_bytes(sender, receiver)
            pair.close()
        assert net.rsts() == 0


def test_kill_while_receiving():
    """kill -9 while the near side receives."""
    with Net() as net:
        net.warm()
        net.count_rst()
        daemon = Daemon(net)
        pair = Pair(net)
        sender, receiver = Sender(pair.far, rate=60 * MIB), Receiver(pair.near)
        receiver.start()
        sender.start()
        for _ in range(5):
            daemon.must_move("offload", *pair.selector)
            start = receiver.got
            wait_for(lambda: receiver.got > start + 4 * MIB, "a running stream")
            daemon.kill()
            daemon.abandon()
            start = receiver.got
            wait_for(lambda: receiver.got > start + 4 * MIB, "the stream to go on")
            daemon = Daemon(net)
        sender.finish()
        same_bytes(sender, receiver)
        assert net.rsts() == 0
        daemon.stop()
        pair.close()
