"""A port: an interface of ours that the kernel uses like any other; all its traffic passes the driver stack."""

import contextlib
import socket

from harness import CHIMNEYD, LIMIT_S, Daemon, Net, Pair, Receiver, Sender, inside, run, same_bytes
from test_moves import MIB, echo, move_until


def addresses(net, ns, dev, v4, v6):
    run("ip", "-n", ns, "addr", "add", v4 + "/24", "dev", dev)
    run("ip", "-n", ns, "addr", "add", v6 + "/64", "dev", dev, "nodad")
    run("ip", "-n", ns, "route", "change", "10.77.0.0/24", "dev", dev, "congctl", "cubic", check=False)
    run("ip", "-n", ns, "-6", "route", "change", "fd77::/64", "dev", dev, "congctl", "cubic", check=False)


@contextlib.contextmanager
def standing(net, drivers="", wires="eth0", verify=True):
    """The near addresses move from eth0 to a port chim0 over it."""
    run("ip", "-n", net.near, "addr", "flush", "dev", "eth0")
    with Daemon(net, port=f"chim0={wires}{drivers and ','}{drivers}", verify=verify) as daemon:
        addresses(net, net.near, "chim0", net.near4, net.near6)
        net.count_rst()
        yield daemon


def datagrams(net, v6):
    """What is not TCP passes as well."""
    family, address = (socket.AF_INET6, net.near6) if v6 else (socket.AF_INET, net.near4)
    with inside(net.near):
        near = socket.socket(family, socket.SOCK_DGRAM)
    with inside(net.far):
        far = socket.socket(family, socket.SOCK_DGRAM)
    with near, far:
        near.bind((address, 0))
        far.settimeout(LIMIT_S)
        near.settimeout(LIMIT_S)
        far.sendto(b"hello", near.getsockname())
        data, sender = near.recvfrom(100)
        near.sendto(data + b" there", sender)
        assert far.recv(100) == b"hello there"


def moves(v6, upwards, drivers=""):
    """A stream that moves down and up, beside traffic of other kinds."""
    with Net() as net, standing(net, drivers) as daemon:
        net.warm(v6)
        pair = Pair(net, v6=v6)
        echo(pair, b"before")
        source, sink = (pair.far, pair.near) if upwards else (pair.near, pair.far)
        sender, receiver = Sender(source, rate=50 * MIB), Receiver(sink)
        receiver.start()
        sender.start()
        move_until(daemon, pair, lambda downs: downs >= 5 and sender.sent >= 32 * MIB, 0.02)
        code, answer, _ = daemon.ctl("conn", "show", *pair.selector)
        assert code == 0 and answer[0]["owner"] == "target" and answer[0]["interface"] == "chim0", answer
        other = Pair(net, v6=v6)  # a connection that stays the kernel's
        echo(other, b"beside it")
        datagrams(net, v6)
        sender.finish()
        same_bytes(sender, receiver)
        other.close()
        pair.close()
        assert net.rsts() == 0


def test_download():
    """IPv4, sending."""
    moves(False, False)


def test_upload_through_passthru():
    """IPv6, receiving, through two floors."""
    moves(True, True, "passthru,passthru")


def test_goes_with_the_daemon():
    """The port is gone when the daemon is, and what it stood on is as it was."""
    with Net() as net:
        with standing(net) as daemon:
            assert "chim0" in run("ip", "-n", net.near, "-o", "link", "show", "dev", "chim0").stdout
            assert "chim0: a port over eth0" in daemon.log()
        assert run("ip", "-n", net.near, "link", "show", "dev", "chim0", check=False).returncode != 0
        assert "PROMISC" not in run("ip", "-n", net.near, "link", "show", "dev", "eth0").stdout
        run("ip", "-n", net.near, "addr", "add", net.near4 + "/24", "dev", "eth0")
        net.warm()
        pair = Pair(net)
        echo(pair, b"the kernel's again")
        pair.close()


def refused(net, port, words, code=2):
    result = run("ip", "netns", "exec", net.near, CHIMNEYD, "--socket", "/nonexistent", "--port", port, check=False)
    assert result.returncode == code and words in result.stderr, (result.returncode, result.stderr)


def test_refusals():
    """What a port cannot stand on."""
    with Net() as net:
        refused(net, "chim0=eth0", "eth0 has an address, and would answer beside the port", code=1)
        refused(net, "chim0=nothing0", "there is no such interface", code=1)
        refused(net, "chim0=lo", "loopback")
        refused(net, "eth0=eth0", "there is an interface of that name already", code=1)
        refused(net, "chim0", "under which interface?")
