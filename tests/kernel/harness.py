"""What the kernel tests share: namespaces, the daemon and its control program, peers that check every byte.

Everything a test makes carries the process id in its name and is removed when the test ends, however it ends, but by
SIGKILL: its daemons end then, and the next run removes files and namespaces. Nothing leaves the namespaces. Waiting is always
for a condition, with a bound, never for a time.
"""

import atexit
import contextlib
import hashlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CHIMNEY_BUILD", os.path.join(ROOT, "build"))
CHIMNEYD = os.path.join(BUILD, "programs", "chimneyd")
CHIMNEYCTL = os.path.join(BUILD, "programs", "chimneyctl")
RELAY = os.path.join(BUILD, "tests", "kernel", "relay")
LIMIT_S = 60

# Daemons get the processor as soon as they want it. Their heart needs it every 80 ms (CAVEATS.md), and how busy the
# machine is must not decide what a test finds. Not for what measures.
realtime = False
floors = None  # a stack, from the top down, for the interfaces of tests that are not about floors of their own


class Skip(Exception):
    """The machine cannot do this; the reason is the message."""


def run(*command, check=True, ns=None, **options):
    if ns:
        command = ("ip", "netns", "exec", ns) + command
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {result.returncode}: {result.stderr.strip()}")
    return result


def wait_for(condition, what, limit_s=LIMIT_S, step_s=0.002):
    """The first true value of condition(); fails after limit_s."""
    until = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {limit_s} s for: {what}")
        time.sleep(step_s)


_open_ns = threading.local()


@contextlib.contextmanager
def inside(ns):
    """This thread's sockets are made in ns."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{ns}", os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(here, 0x40000000)
        os.close(here)
        os.close(there)


def outside(script):
    """What a shell script says that knows $EXAMPLES, the built drivers of examples/, and can build others like them."""
    options = json.loads(run("meson", "introspect", "--buildoptions", BUILD).stdout)
    kind = next(option["value"] for option in options if option["name"] == "b_sanitize")
    place = os.path.join(ROOT, "tests", "drivers", "run")
    done = run(place, BUILD, ROOT, "cc", kind, "--", "/bin/sh", "-ec", script, check=False)
    if "# SKIP" in done.stdout:
        raise Skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Net:
    """near (the offloading host) and far (an unmodified peer), joined by a veth pair, or by two with a relay between."""

    count = 0

    def __init__(self, relay=None, mtu_frames=False, congctl="cubic"):
        Net.count += 1
        tag = f"ch{os.getpid()}-{Net.count}"
        self.near, self.far, self.mid = tag + "n", tag + "f", tag + "m"
        self.namespaces = [self.near, self.far]
        self.relay_process = None
        self.near4, self.far4 = "10.77.0.1", "10.77.0.2"
        self.near6, self.far6 = "fd77::1", "fd77::2"
        self.dev = "eth0"
        atexit.register(self.close)
        if relay is not None:
            self.namespaces.append(self.mid)
        for ns in self.namespaces:
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        if relay is None:
            self._veth(self.near, "eth0", self.far, "eth0")
        else:
            self._veth(self.near, "eth0", self.mid, "left")
            self._veth(self.far, "eth0", self.mid, "right")
            for dev in ("left", "right"):
                run("ip", "netns", "exec", self.mid, "sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
                run("ip", "-n", self.mid, "link", "set", dev, "up")
        for ns, v4, v6 in ((self.near, self.near4, self.near6), (self.far, self.far4, self.far6)):
            run("ip", "-n", ns, "addr", "add", v4 + "/24", "dev", "eth0")
            run("ip", "-n", ns, "addr", "add", v6 + "/64", "dev", "eth0", "nodad")
            run("ip", "-n", ns, "link", "set", "eth0", "up")
            run("ip", "-n", ns, "route", "change", "10.77.0.0/24", "dev", "eth0", "congctl", congctl, check=False)
            run("ip", "-n", ns, "-6", "route", "change", "fd77::/64", "dev", "eth0", "congctl", congctl, check=False)
            if mtu_frames:
                run("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off", ns=ns, check=False)
        if relay is not None:
            self.relay_process = subprocess.Popen(
                ["ip", "netns", "exec", self.mid, RELAY, "left", "right"] + relay,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            line = self.relay_process.stdout.readline()
            assert line.strip() == "ready", f"relay said {line!r}"

    @staticmethod
    def _veth(ns_a, dev_a, ns_b, dev_b):
        run("ip", "link", "add", dev_a, "netns", ns_a, "type", "veth", "peer", "name", dev_b, "netns", ns_b)

    def relay_counts(self):
        """What the relay did so far to the frames from near and to those from far."""
        self.relay_process.stdin.write("?")
        self.relay_process.stdin.flush()
        counts = json.loads(self.relay_process.stdout.readline())
        return counts["left"], counts["right"]

    def warm(self, v6=False):
        """Both neighbours are resolved."""
        target = self.far6 if v6 else self.far4
        with inside(self.near):
            probe = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            probe.sendto(b"x", (target, 9))
            probe.close()
        wait_for(lambda: "lladdr" in run("ip", "-n", self.near, "neigh", "show", target).stdout, "a neighbour")

    def count_rst(self):
        """Starts counting RSTs that reach the far side."""
        rules = ("add table inet count\n"
                 "add chain inet count in { type filter hook input priority -500; }\n"
                 "add rule inet count in tcp flags & rst == rst counter\n")
        run("nft", "-f", "-", ns=self.far, input=rules)

    def rsts(self):
        return self.counted("count")

    def counted(self, table):
        """Packets that the rules of a table of the far side have counted."""
        listing = json.loads(run("nft", "-j", "list", "table", "inet", table, ns=self.far).stdout)
        return sum(e["counter"]["packets"] for o in listing["nftables"] if "rule" in o
                   for e in o["rule"]["expr"] if "counter" in e)

    def mute_far(self):
        """Nothing that the far side says is heard."""
        run("nft", "-f", "-", ns=self.far,
            input="add table inet mute\nadd chain inet mute out { type filter hook output priority -400; policy drop; }\n")

    def unmute_far(self):
        run("nft", "delete", "table", "inet", "mute", ns=self.far)

    def tcp_counter(self, ns, name):
        """A counter of the kernel's TCP in ns: everything under TcpExt: in /proc/net/netstat."""
        lines = [line.split() for line in run("cat", "/proc/net/netstat", ns=ns).stdout.splitlines()]
        names, values = (line for line in lines if line[0] == "TcpExt:")
        return int(values[names.index(name)])

    def close(self):
        atexit.unregister(self.close)
        if self.relay_process:
            self.relay_process.kill()
            self.relay_process.wait()
            self.relay_process.stdin.close()
            self.relay_process.stdout.close()
            self.relay_process = None
        for ns in self.namespaces:
            run("ip", "netns", "del", ns, check=False)
        self.namespaces = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Daemon:
    """chimneyd in the near namespace, with the verifier watching. own: the test is about this very stack."""

    def __init__(self, net, stack="eth0", debug=False, verify=True, options=(), port=None, own=False):
        self.net = net
        if floors and not own and stack in ("eth0", "eth0=passthru"):
            stack = "eth0=" + floors
        self.serves = ["--port", port] if port else ["--stack", stack]
        self.options = list(options)
        self.verify, self.verified = verify, None
        self.socket = f"/run/chimney-test-{os.getpid()}-{net.near}.sock"
        self.debug = debug
        self.process = None
        self.log_path = f"/tmp/chimney-test-{os.getpid()}-{net.near}.log"
        self.start()
        atexit.register(self.stop)

    def start(self):
        self.beats = 0  # that this process has missed, when it was last asked
        read_end, write_end = os.pipe()
        environment = dict(os.environ)
        command = ["setpriv", "--pdeathsig", "TERM", "ip", "netns", "exec", self.net.near, CHIMNEYD, "--socket", self.socket,
                   "--ready-fd", str(write_end)] + self.serves + self.options
        if self.verify:
            command.append("--verify")
        if self.debug or environment.get("CHIMNEY_DEBUG"):
            command += ["--log", "debug"]
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, pass_fds=[write_end], stdout=log, stderr=log, env=environment)
        if realtime:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(self.process.pid, os.SCHED_RR, os.sched_param(1))
        os.close(write_end)
        ready, _, _ = select.select([read_end], [], [], 30)
        said = os.read(read_end, 16) if ready else b""
        os.close(read_end)
        if not said:
            self.process.kill()
            self.process.wait()
            raise AssertionError("chimneyd did not become ready: " + self.log()[-2000:])

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def standing_still(self):
        def state():
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0]

        self.kill(signal.SIGSTOP)
        try:
            wait_for(lambda: state() == "T", "the stop", step_s=0.0005)
            yield
        finally:
            self.kill(signal.SIGCONT)

    def wait(self):
        return self.process.wait(timeout=30)

    def stop(self):
        """Asks it to end; anything but a clean end is a failure."""
        atexit.unregister(self.stop)
        if not self.process:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError("chimneyd did not end on SIGTERM: " + self.log()[-3000:]) from None
        text = self.log()
        os.unlink(self.log_path)
        complaints = [line for line in text.splitlines() if line.startswith("error:")]
        if complaints:
            raise AssertionError("chimneyd complained: " + "; ".join(complaints[:5]))
        self.verified = self._verified(text)
        if process.returncode != 0 or "AddressSanitizer" in text or "LeakSanitizer" in text or "runtime error" in text:
            raise AssertionError(f"chimneyd ended with {process.returncode}: {text[-6000:]}")

    def _verified(self, text):
        """What the verifier counted; a complaint of it is a failure."""
        if not self.verify:
            return None
        lines = [line for line in text.splitlines() if "verified:" in line]
        assert lines, "the verifier said nothing at the end: " + text[-3000:]
        numbers = [int(word) for word in lines[-1].replace(",", " ").split() if word.isdigit()]
        counts = dict(zip(("crossings", "frames", "errors", "warnings", "consequential"), numbers))
        assert not counts["errors"] and not counts["warnings"], text[-6000:]
        return counts

    def abandon(self):
        """It was killed on purpose."""
        atexit.unregister(self.stop)
        if self.process:
            self.process.wait(timeout=30)
            self.process = None
        for path in (self.log_path, self.socket):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        return int(fields["VmHWM"].split()[0])

    def sanitized(self):
        """Built with AddressSanitizer, whose own memory says nothing about ours."""
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii") as maps:
            return "libasan" in maps.read()

    def ctl(self, *words):
        """Exit code and the JSON that chimneyctl printed."""
        result = run(CHIMNEYCTL, "--socket", self.socket, *words, "-j", check=False)
        try:
            answer = json.loads(result.stdout) if result.stdout.strip() else None
        except json.JSONDecodeError as error:
            raise AssertionError(f"chimneyctl {words}: not JSON: {result.stdout!r} {result.stderr!r}") from error
        return result.returncode, answer, result.stderr

    def status(self):
        code, answer, errors = self.ctl("status")
        if code != 0:
            raise AssertionError(f"chimneyctl status: exit {code}: {errors}")
        return answer

    def moves(self, *words):
        code, answer, errors = self.ctl("conn", *words)
        if answer is None:
            raise AssertionError(f"chimneyctl {words}: exit {code}: {errors}")
        return code, answer

    def missed_beat(self):
        """Whether the daemon says that it has missed one since this was last asked."""
        before, self.beats = self.beats, self.status()["missed_beats"]
        return self.beats > before

    def nothing_leaked(self):
        """No frame of a moved connection passed its steering, unless that has let go because a beat was missed; its figures."""
        status = self.status()
        assert status["leaked"] == 0 or status["missed_beats"], status
        return status

    def must_move(self, direction, *selector):
        """Moves one connection; a refusal for want of a quiet moment is tried again. A machine that is so busy that the daemon
        misses a beat may have sent it home: then it is there, or offloaded once more."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            code, moves = self.moves(direction, *selector)
            if code == 0:
                assert len(moves) == 1, moves
                return moves[0]
            reason = moves[0]["reason"] if moves else None
            if reason in ("not-offloaded", "missed-beat") and self.missed_beat():
                if direction == "upload":
                    return moves[0]
            elif reason not in (None, "no-quiet-moment", "busy"):
                break
        raise AssertionError(f"{direction} {selector}: exit {code}: {moves}\n{self.log()[-3000:]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self.process:
            code = self.process.poll()
            sys.stderr.write(self.log()[-4000:] + ("" if code is None else f"chimneyd had ended: {code}\n"))
            self.process.kill()
            self.abandon()


def pattern(offset, size):
    """Bytes of an endless stream in which every 8-byte word is its own position: a shift by any amount shows."""
    start = offset // 8
    count = (offset % 8 + size + 7) // 8
    block = struct.pack(f"<{count}Q", *((n * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF for n in range(start, start + count)))
    return block[offset % 8:offset % 8 + size]


PATTERN_UNIT = 1 << 20
_pattern_cache = {}


def pattern_unit(index):
    """The stream repeats after 64 MiB to keep the generator cheap."""
    index %= 64
    if index not in _pattern_cache:
        _pattern_cache[index] = pattern(index * PATTERN_UNIT, PATTERN_UNIT)
    return _pattern_cache[index]


ENDLESS = 1 << 60


class Sender(threading.Thread):
    """Writes size bytes of the pattern, paced if rate is given (bytes a second), then closes its half."""

    def __init__(self, sock, size=ENDLESS, rate=None):
        super().__init__(daemon=True)
        self.sock, self.size, self.rate = sock, size, rate
        self.sent = 0
        self.error = None
        self.hash = hashlib.sha256()

    def finish(self, more=2 * PATTERN_UNIT):
        """So much more, which is no less than one write may be, and then the end."""
        self.size = self.sent + more

    def run(self):
        try:
            begin = time.monotonic()
            while self.sent < self.size:
                unit = pattern_unit(self.sent // PATTERN_UNIT)
                at = self.sent % PATTERN_UNIT
                piece = unit[at:min(PATTERN_UNIT, at + (65536 if self.rate else PATTERN_UNIT), at + self.size - self.sent)]
                done = self.sock.send(piece)
                self.hash.update(piece[:done])
                self.sent += done
                if self.rate:
                    ahead = self.sent / self.rate - (time.monotonic() - begin)
                    if ahead > 0.001:
                        time.sleep(ahead)  # pacing, not synchronisation
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error


class Receiver(threading.Thread):
    """Reads to the end; remembers the hash, the count and the longest time without a byte."""

    def __init__(self, sock, delay_s=0.0):
        super().__init__(daemon=True)
        self.sock, self.delay_s = sock, delay_s
        self.got = 0
        self.gap_s = 0.0
        self.error = None
        self.hash = hashlib.sha256()

    def take_gap(self):
        gap, self.gap_s = self.gap_s, 0.0
        return gap

    def run(self):
        last = time.monotonic()
        try:
            while True:
                data = self.sock.recv(1 << 18)
                now = time.monotonic()
                if not data:
                    break
                if self.got:
                    self.gap_s = max(self.gap_s, now - last)
                last = now
                self.hash.update(data)
                self.got += len(data)
                if self.delay_s:
                    time.sleep(self.delay_s)  # a slow reader
        except OSError as error:
            self.error = error


class Pair:
    """One TCP connection between near and far; near listens unless connect_from_near."""

    def __init__(self, net, v6=False, connect_from_near=False, congctl="cubic"):
        family = socket.AF_INET6 if v6 else socket.AF_INET
        server_ns, client_ns = (net.far, net.near) if connect_from_near else (net.near, net.far)
        address = {(False, False): net.near4, (False, True): net.far4,
                   (True, False): net.near6, (True, True): net.far6}[(v6, connect_from_near)]
        with inside(server_ns):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, 0))
            listener.listen(1)
        with inside(client_ns):
            client = socket.create_connection((address, listener.getsockname()[1]), timeout=LIMIT_S)
        server, _ = listener.accept()
        listener.close()
        for sock in (client, server):
            sock.settimeout(LIMIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congctl.encode())
        self.near, self.far = (client, server) if connect_from_near else (server, client)
        host, port = self.near.getsockname()[:2]
        self.local = f"[{host}]:{port}" if v6 else f"{host}:{port}"
        host, port = self.near.getpeername()[:2]
        self.peer = f"[{host}]:{port}" if v6 else f"{host}:{port}"
        self.selector = ("--local", self.local, "--peer", self.peer)

    def close(self):
        self.near.close()
        self.far.close()


def same_bytes(sender, receiver, limit_s=LIMIT_S):
    """Both ended, nothing lost, doubled or changed."""
    sender.join(limit_s)
    receiver.join(limit_s)
    assert not sender.is_alive(), f"the sender hangs at {sender.sent} of {sender.size}, receiver got {receiver.got}"
    assert not receiver.is_alive(), f"the receiver hangs at {receiver.got} of {sender.size}"
    assert sender.error is None, f"sender: {sender.error}"
    assert receiver.error is None, f"receiver: {receiver.error} after {receiver.got}"
    assert receiver.got == sender.sent == sender.size, (receiver.got, sender.sent, sender.size)
    assert receiver.hash.digest() == sender.hash.digest(), "the bytes differ"


def orphans(folder, pattern):
    """What is there by such a name, and carries the number of a process that is no more."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            match = re.fullmatch(pattern, name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                yield name


def sweep():
    """Removes what runs have left that were killed. Another may be at it, too."""
    for folder in ("/run", "/tmp"):
        for name in orphans(folder, r"chimney-test-(\d+)(-[\w-]+)?\.(sock|log|ini)"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
    for name in orphans("/run/netns", r"ch(\d+)-\d+[nfm]"):
        run("ip", "netns", "del", name, check=False)


def require_kernel():
    """Root and what the live attachment needs; otherwise every test is skipped, with the reason."""
    if os.geteuid() != 0:
        raise Skip("needs root: namespaces, BPF and packet sockets")
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise Skip("the kernel has no BTF (/sys/kernel/btf/vmlinux)")
    if not os.path.exists("/dev/net/tun"):
        raise Skip("no /dev/net/tun")
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if release < (6, 6):
        raise Skip(f"kernel {os.uname().release} has no TCX links (needs 6.6)")
