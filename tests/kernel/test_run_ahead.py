"""The kernel is not let run ahead of the wire, and memory does not grow with what is sent."""

import array
import fcntl
import termios
import time

from harness import Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for

MIB = 1 << 20


def test_slow_wire():
    """On a wire of 20 Mbit/s a give-back stalls the stream for no more than 150 ms."""
    relay = ["--rate-bps", "20000000", "--queue-bytes", "120000", "--delay-us", "5000"]
    with Net(relay=relay, mtu_frames=True) as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            sender, receiver = Sender(pair.near), Receiver(pair.far)
            receiver.start()
            sender.start()
            gaps = []
            for _ in range(5):
                daemon.must_move("offload", *pair.selector)
                start = receiver.got
                wait_for(lambda: receiver.got > start + MIB, "a running stream")
                receiver.take_gap()
                daemon.must_move("upload", *pair.selector)
                start = receiver.got
                wait_for(lambda: receiver.got > start + MIB // 2, "the stream after the give-back")
                gaps.append(receiver.take_gap())
            sender.finish(MIB)
            same_bytes(sender, receiver)
            pair.close()
            print("# stalls ms: " + " ".join(f"{gap * 1e3:.0f}" for gap in gaps), flush=True)
            assert sorted(gaps)[len(gaps) // 2] <= 0.15, gaps


def test_late_drain():
    """Given back before the wire has sent everything: what is left over is not too old for the peer (RFC 7323, PAWS)."""
    relay = ["--rate-bps", "4000000", "--queue-bytes", "30000", "--delay-us", "5000"]
    with Net(relay=relay, mtu_frames=True) as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            sender, receiver = Sender(pair.near), Receiver(pair.far)
            receiver.start()
            sender.start()
            waited_ms = []
            for _ in range(5):
                daemon.must_move("offload", *pair.selector)
                start = receiver.got
                wait_for(lambda: receiver.got > start + MIB // 8, "a running stream")
                waited_ms.append(daemon.must_move("upload", *pair.selector)["total_us"] / 1e3)
            sender.finish(MIB)
            same_bytes(sender, receiver)
            pair.close()
            print("# uploads ms: " + " ".join(f"{ms:.0f}" for ms in waited_ms), flush=True)
            assert max(waited_ms) > 100, "every drain was in time"
            assert net.tcp_counter(net.far, "PAWSEstab") == 0


def test_slow_reader():
    """1 GiB towards a slow reader: back-pressure is the kernel's own, chimneyd stays under 64 MiB."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            sender = Sender(pair.near, 1024 * MIB)
            receiver = Receiver(pair.far, delay_s=0.003)
            daemon.must_move("offload", *pair.selector)
            receiver.start()
            sender.start()
            wait_for(lambda: receiver.got > 16 * MIB, "a stream")
            time.sleep(1)  # stays slow for a while: the time in which memory would grow
            assert sender.sent - receiver.got < 64 * MIB
            receiver.delay_s = 0
            same_bytes(sender, receiver)
            peak = daemon.rss_kib()
            print(f"# chimneyd's peak: {peak} KiB", flush=True)
            assert peak < (1024 if daemon.sanitized() else 64) * 1024, f"{peak} KiB"
            pair.close()


def stuck(sender):
    """A condition: the sender has not been able to write anything for a while."""
    last = [-1, 0]

    def condition():
        last[1] = last[1] + 1 if sender.sent == last[0] else 0
        last[0] = sender.sent
        return last[1] > 300

    return condition


def unread(sock):
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]


def test_closed_window():
    """A reader that stops altogether and goes on later: zero windows and probes, nothing lost."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            sender = Sender(pair.near, 64 * MIB)
            daemon.must_move("offload", *pair.selector)
            sender.start()
            wait_for(stuck(sender), "the sender to be blocked")
            daemon.must_move("upload", *pair.selector)
            daemon.must_move("offload", *pair.selector)
            receiver = Receiver(pair.far)
            receiver.start()
            same_bytes(sender, receiver)
            pair.close()


def lost_window_update(offloaded_before):
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            sender, receiver = Sender(pair.near, 64 * MIB), Receiver(pair.far)
            if offloaded_before:
                daemon.must_move("offload", *pair.selector)
            sender.start()
            wait_for(stuck(sender), "the sender to be blocked")
            if not offloaded_before:
                daemon.must_move("offload", *pair.selector)
            net.mute_far()
            begin = time.monotonic()
            receiver.start()
            wait_for(lambda: receiver.got and not unread(pair.far), "the reader to drain everything", 5)
            time.sleep(max(0, 0.5 - (time.monotonic() - begin)))  # nothing said meanwhile is ever heard
            assert not unread(pair.far), "the sender did not need the update"
            drained = receiver.got
            net.unmute_far()
            wait_for(lambda: receiver.got > drained, "the stream to go on", 5)
            print(f"# went on after {time.monotonic() - begin:.1f} s, {drained >> 10} KiB drained", flush=True)
            same_bytes(sender, receiver)
            pair.close()


def test_lost_window_update():
    """Adopted with a closed window and nothing to send, the peer's update lost: the target asks, the stream goes on."""
    lost_window_update(False)


def test_lost_window_update_while_down():
    """The same when the window closes while the connection is offloaded."""
    lost_window_update(True)
