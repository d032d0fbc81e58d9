"""What changes under an offloaded connection: link addresses, links, MTUs, routes. The stream goes on or goes home."""

import contextlib
import ctypes
import errno
import json
import os
import socket
import struct

from harness import Daemon, Net, Pair, Receiver, Sender, inside, run, same_bytes, wait_for

MIB = 1 << 20


def sysctl(ns, key, value):
    run("sysctl", "-qw", f"{key}={value}", ns=ns)


class Routed(Net):
    """near — router — end: what Net calls far stands behind a router."""

    def __init__(self, mtu_frames=False):
        super().__init__(mtu_frames=mtu_frames)
        self.router, self.end = self.far, self.far + "e"
        try:
            run("ip", "netns", "add", self.end)
            self.namespaces.append(self.end)
            self._veth(self.router, "eth1", self.end, "eth0")
            for ns, dev, address in ((self.router, "eth1", "10.78.0.1/24"), (self.end, "eth0", "10.78.0.2/24")):
                run("ip", "-n", ns, "addr", "add", address, "dev", dev)
                run("ip", "-n", ns, "link", "set", dev, "up")
            sysctl(self.router, "net.ipv4.ip_forward", 1)
            run("ip", "-n", self.router, "addr", "add", "10.77.0.3/24", "dev", "eth0")
            run("ip", "-n", self.near, "route", "add", "10.78.0.0/24", "via", self.far4)
            run("ip", "-n", self.end, "route", "add", "10.77.0.0/24", "via", "10.78.0.1")
            self.warm()
        except BaseException:
            self.close()
            raise
        self.far, self.far4 = self.end, "10.78.0.2"

    def warm(self, v6=False):
        far, self.far4 = self.far4, "10.77.0.2"
        super().warm(v6)
        self.far4 = far


class Flow:
    """A stream of the near side's (or, upwards, of the far side's) that the target carries."""

    def __init__(self, net, daemon, rate=40 * MIB, upwards=False, v6=False):
        self.net, self.daemon = net, daemon
        net.count_rst()
        self.pair = Pair(net, v6=v6)
        source, sink = (self.pair.far, self.pair.near) if upwards else (self.pair.near, self.pair.far)
        self.sender, self.receiver = Sender(source, rate=rate), Receiver(sink)
        self.receiver.start()
        self.sender.start()
        self.passes(MIB)
        self.down()

    def down(self):
        return self.daemon.must_move("offload", *self.pair.selector)

    def info(self):
        code, answer, errors = self.daemon.ctl("conn", "show", *self.pair.selector)
        assert code == 0 and len(answer) == 1, (code, answer, errors)
        return answer[0]

    def owner(self):
        return self.info()["owner"]

    def passes(self, count):
        """At least count more bytes arrive."""
        until = self.receiver.got + count
        wait_for(lambda: self.receiver.got >= until or not self.receiver.is_alive(), f"{count} more bytes", 20)
        assert self.receiver.got >= until, f"the stream ended at {self.receiver.got}, {self.receiver.error}"

    def stayed(self):
        """The stream goes on and the target still has it."""
        self.passes(4 * MIB)
        info = self.info()
        assert info["owner"] == "target" and info["moves_up"] == 0, (info, self.daemon.log()[-2000:])

    def goes_home(self, reason):
        """The daemon gives it back by itself, with this reason."""
        wait_for(lambda: f"up {self.pair.near.getsockname()[1]}→" in self.daemon.log(), "the upload", 10)
        line = [line for line in self.daemon.log().splitlines() if "→" in line and "up " in line][-1]
        assert f": {reason}," in line, line

    def end(self):
        self.sender.finish()
        same_bytes(self.sender, self.receiver)
        assert self.net.rsts() == 0
        self.pair.close()


@contextlib.contextmanager
def flow(net, **options):
    with net:
        net.warm(options.get("v6", False))
        with Daemon(net) as daemon:
            stream = Flow(net, daemon, **options)
            yield stream
            stream.end()


# ---- link addresses ----


def new_peer_mac(net, v6=False):
    """The far side's address changes and it says so, as a replaced router does."""
    if v6:
        sysctl(net.far, "net.ipv6.conf.eth0.ndisc_notify", 1)
    else:
        sysctl(net.far, "net.ipv4.conf.eth0.arp_notify", 1)
    run("ip", "-n", net.far, "link", "set", "eth0", "address", "02:77:00:00:00:99")


def peer_mac(upwards=False, v6=False):
    with flow(Net(), upwards=upwards, v6=v6) as stream:
        new_peer_mac(stream.net, v6)
        stream.stayed()


def test_peer_mac_download():
    """The peer's link address changes while near sends: the target follows."""
    peer_mac()


def test_peer_mac_upload():
    """The same while near receives: its acknowledgements find the peer."""
    peer_mac(upwards=True)


def test_peer_mac_ipv6():
    """The same over IPv6 (unsolicited neighbour advertisement)."""
    peer_mac(v6=True)


def test_peer_mac_unannounced():
    """Nobody announces it: near finds out by asking again (the entry is flushed), and the target follows."""
    with flow(Net()) as stream:
        run("ip", "-n", stream.net.far, "link", "set", "eth0", "address", "02:77:00:00:00:98")
        run("ip", "-n", stream.net.near, "neigh", "flush", "dev", "eth0")
        stream.stayed()


def test_gateway_mac():
    """The peer is behind a router whose link address changes."""
    with flow(Routed()) as stream:
        sysctl(stream.net.router, "net.ipv4.conf.eth0.arp_notify", 1)
        run("ip", "-n", stream.net.router, "link", "set", "eth0", "address", "02:77:00:00:00:97")
        stream.stayed()


def test_own_mac():
    """Near's own link address changes."""
    for upwards in (False, True):
        with flow(Net(), upwards=upwards) as stream:
            sysctl(stream.net.near, "net.ipv4.conf.eth0.arp_notify", 1)
            run("ip", "-n", stream.net.near, "link", "set", "eth0", "address", "02:77:00:00:00:11")
            stream.stayed()


def test_two_hops_one_mac():
    """Two next hops share one link address, then one moves away: both streams go on, the other one in the kernel."""
    with Net() as net:
        net.warm()
        net.warm(v6=True)
        with Daemon(net) as daemon:
            four, six = Flow(net, daemon), Flow(net, daemon, v6=True)
            run("ip", "-n", net.near, "neigh", "replace", net.far4, "lladdr", "02:77:00:00:00:96", "dev", "eth0",
                "nud", "permanent")
            six.goes_home("route-changed")
            six.passes(MIB)
            sysctl(net.far, "net.ipv6.conf.eth0.ndisc_notify", 1)
            run("ip", "-n", net.far, "link", "set", "eth0", "address", "02:77:00:00:00:96")
            four.stayed()
            six.end()
            four.end()


# ---- links ----


def comes_back(stream, reason):
    """Home, on with the kernel, and down again."""
    stream.passes(MIB)
    assert stream.info()["owner"] != "target", stream.info()
    wait_for(lambda: stream.owner() == "kernel", "the kernel")
    stream.net.warm()
    stream.down()
    stream.passes(MIB)


def link_cut(ns_of, upwards):
    with flow(Net(), upwards=upwards) as stream:
        ns = ns_of(stream.net)
        run("ip", "-n", ns, "link", "set", "eth0", "down")
        stream.goes_home("interface-down")
        run("ip", "-n", ns, "link", "set", "eth0", "up")
        comes_back(stream, "interface-down")


def test_interface_down_download():
    """Near's interface goes down and up: the connection is given back, survives, and may go down again."""
    link_cut(lambda net: net.near, False)


def test_interface_down_upload():
    """The same while near receives."""
    link_cut(lambda net: net.near, True)


def test_carrier_loss():
    """The cable is pulled and put back."""
    link_cut(lambda net: net.far, False)
    link_cut(lambda net: net.far, True)


def test_interface_gone():
    """The interface is deleted: the connection is given back and the daemon lives on."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            stream = Flow(net, daemon)
            run("ip", "-n", net.near, "link", "del", "eth0")
            stream.goes_home("interface-down")
            code, answer, _ = daemon.ctl("conn", "list")
            assert code == 0 and all(conn["owner"] != "target" for conn in answer), answer
            stream.pair.near.close()
            stream.pair.far.close()


# ---- MTU ----


def test_mtu_of_both_links():
    """Both interfaces' MTU falls from 1500 to 1300 and rises again."""
    for upwards in (False, True):
        with flow(Net(mtu_frames=True), upwards=upwards, rate=16 * MIB) as stream:
            for mtu in ("1300", "1500"):
                for ns in (stream.net.near, stream.net.far):
                    run("ip", "-n", ns, "link", "set", "eth0", "mtu", mtu)
                stream.stayed()
            assert "path MTU 1500 → 1300" in stream.daemon.log(), stream.daemon.log()
            assert "path MTU 1300 → 1500" in stream.daemon.log(), stream.daemon.log()


def test_mtu_of_route():
    """The far side takes 1300 bytes only and near's route says so."""
    with flow(Net(mtu_frames=True), rate=16 * MIB) as stream:
        run("ip", "-n", stream.net.far, "link", "set", "eth0", "mtu", "1300")
        run("ip", "-n", stream.net.near, "route", "change", "10.77.0.0/24", "dev", "eth0", "mtu", "1300")
        stream.stayed()
        assert "path MTU 1500 → 1300" in stream.daemon.log(), stream.daemon.log()


def test_mtu_of_path():
    """A router further on takes 1300 bytes only and says so by ICMP: the kernel socket hears it, the target follows."""
    for frames in (False, True):
        with flow(Routed(mtu_frames=frames), rate=16 * MIB) as stream:
            run("ip", "-n", stream.net.router, "link", "set", "eth1", "mtu", "1300")
            run("ip", "-n", stream.net.end, "link", "set", "eth0", "mtu", "1300")
            stream.stayed()
            assert "path MTU 1500 → 1300" in stream.daemon.log(), stream.daemon.log()


def test_mtu_raised_beyond_the_tap():
    """MTU 3000 on both sides after the daemon started: connections with large segments still move both ways."""
    with Net(mtu_frames=True) as net:
        net.warm()
        with Daemon(net) as daemon:
            for ns in (net.near, net.far):
                run("ip", "-n", ns, "link", "set", "eth0", "mtu", "3000")
            stream = Flow(net, daemon, upwards=True)
            stream.stayed()
            daemon.must_move("upload", *stream.pair.selector)
            stream.end()


# ---- routes ----


def test_other_gateway():
    """The route gets another gateway: the connection is given back and goes on over it."""
    with flow(Routed()) as stream:
        run("ip", "-n", stream.net.near, "route", "change", "10.78.0.0/24", "via", "10.77.0.3")
        stream.goes_home("route-changed")
        comes_back(stream, "route-changed")


def test_no_route():
    """The route goes away for a while."""
    with flow(Routed()) as stream:
        run("ip", "-n", stream.net.near, "route", "del", "10.78.0.0/24")
        stream.goes_home("no-route")
        run("ip", "-n", stream.net.near, "route", "add", "10.78.0.0/24", "via", "10.77.0.2")
        comes_back(stream, "no-route")


def test_routes_of_others():
    """Routes that do not concern the connection come and go: it stays."""
    with flow(Net()) as stream:
        for n in range(20):
            run("ip", "-n", stream.net.near, "route", "add", "blackhole", f"10.99.{n}.0/24")
            run("ip", "-n", stream.net.near, "route", "del", "blackhole", f"10.99.{n}.0/24")
        stream.stayed()


# ---- options of the socket ----


def count_bare(net, pair):
    """Counts the segments without data that reach the far side."""
    rules = ("add table inet bare\n"
             "add chain inet bare in { type filter hook input priority -500; }\n"
             f"add rule inet bare in tcp dport {pair.far.getsockname()[1]} meta length 52 counter\n")
    run("nft", "-f", "-", ns=net.far, input=rules)
    return lambda: net.counted("bare")


def test_keepalive_set_while_down():
    """SO_KEEPALIVE set while the target has an idle connection: its probes reach the peer, and nobody else's would."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            probes = count_bare(net, pair)
            daemon.must_move("offload", *pair.selector)
            before = probes()
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                pair.near.setsockopt(socket.IPPROTO_TCP, option, 1)
            pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            wait_for(lambda: probes() >= before + 2, "two probes", 20)
            code, answer, _ = daemon.ctl("conn", "show", *pair.selector)
            assert code == 0 and answer[0]["owner"] == "target" and answer[0]["moves_up"] == 0, answer
            pair.near.sendall(b"alive")
            assert pair.far.recv(16) == b"alive"
            pair.close()


def test_dead_peer_found_by_new_keepalive():
    """… and when the peer does not answer them, the connection goes home and dies in the kernel as it would have."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            daemon.must_move("offload", *pair.selector)
            net.mute_far()
            for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1)):
                pair.near.setsockopt(socket.IPPROTO_TCP, option, value)
            pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            try:
                data = pair.near.recv(16)
                raise AssertionError(f"still alive, got {data!r}")
            except TimeoutError as error:
                assert error.errno == errno.ETIMEDOUT, "the test's own patience ended first"
            port = pair.near.getsockname()[1]
            assert any(f"up {port}→" in line and ": timeout," in line for line in daemon.log().splitlines()), daemon.log()
            pair.close()


# ---- lost news ----


def daemon_socket(daemon, group):
    """A copy of the daemon's own rtnetlink socket that listens to this group (a bit)."""
    pid = daemon.process.pid
    with open(f"/proc/{pid}/net/netlink", encoding="ascii") as table:
        rows = [row.split() for row in table][1:]
    inodes = {row[9] for row in rows if row[1] == "0" and int(row[3], 16) & group}
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in (f"socket:[{inode}]" for inode in inodes):
                    copy = libc.syscall(438, pidfd, int(fd), 0)  # pidfd_getfd
                    if copy < 0:
                        raise OSError(ctypes.get_errno(), "pidfd_getfd")
                    return socket.socket(fileno=copy)
    finally:
        os.close(pidfd)
    raise AssertionError("chimneyd has no such socket")


RTMGRP_NEIGH = 4


def arp(operation, mac, address, to_mac, to_address):
    """Who has this address has that link address: a request (1) or an answer (2)."""
    mac, to_mac = (bytes.fromhex(text.replace(":", "")) for text in (mac, to_mac))
    address, to_address = socket.inet_aton(address), socket.inet_aton(to_address)
    return to_mac + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + mac + address + to_mac + to_address


def test_lost_news():
    """More news than there is room for, the new link address among what is lost: it is found by looking."""
    moved, other, everybody = "02:77:00:00:00:95", "10.77.0.3", "ff:ff:ff:ff:ff:ff"
    with Net() as net:
        net.warm()
        run("ip", "-n", net.near, "neigh", "add", other, "lladdr", "02:77:00:00:01:ff", "dev", "eth0", "nud", "stale")
        with Daemon(net) as daemon:
            stream = Flow(net, daemon)
            with daemon_socket(daemon, RTMGRP_NEIGH) as news:
                news.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least there is: a few messages
            run("ip", "-n", net.far, "link", "set", "eth0", "address", moved)
            near_mac = json.loads(run("ip", "-n", net.near, "-j", "link", "show", "eth0").stdout)[0]["address"]
            with inside(net.far):
                speaker = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
                speaker.bind(("eth0", 0))
            # The stop must be shorter than the heart's patience: nothing in it waits for anybody.
            with daemon.standing_still():
                for n in range(32):
                    speaker.send(arp(1, f"02:77:00:00:01:{n:02x}", other, everybody, other))
                speaker.send(arp(1, moved, net.far4, everybody, net.far4))
                # an answer makes the entry fresh: near has no reason to ask, and to make news of it, later
                speaker.send(arp(2, moved, net.far4, near_mac, net.near4))
            speaker.close()
            wait_for(lambda: "news of links and routes were lost" in daemon.log(), "an overrun", 10)
            assert "missed beat" not in daemon.log(), "stopped for too long to see it: " + daemon.log()[-1000:]
            stream.stayed()
            stream.end()
