"""How the daemon starts, or says why it does not; and what it shows of its interfaces."""

import os
import socket

from harness import CHIMNEYCTL, CHIMNEYD, Daemon, Net, Pair, Skip, run, wait_for


def start(net, *words, before=(), code=1):
    """Runs a daemon that cannot start; the sentence it ends with."""
    path = f"/tmp/chimney-test-{os.getpid()}.sock"
    result = run(*before, CHIMNEYD, "--socket", path, *words, ns=net.near, check=False, timeout=30)
    assert result.returncode == code, (result.returncode, result.stderr)
    assert not os.path.exists(path), "it leaves its socket behind"
    return result.stderr.strip().splitlines()[-1]


def test_interfaces_that_cannot_be_served():
    """Loopback, no Ethernet, no such interface: each with its own sentence, and before anything was made."""
    with Net() as net:
        says = start(net, "--stack", "lo", code=2)
        assert says == "error: lo: it is the loopback interface, whose connections have no wire to offload", says
        says = start(net, "--stack", "eth0", "--stack", "nosuch0")
        assert says == "error: nosuch0: there is no such interface in this network namespace", says
        run("ip", "-n", net.near, "tuntap", "add", "tun0", "mode", "tun")
        says = start(net, "--stack", "tun0", code=6)
        assert says.startswith("error: tun0: it carries no Ethernet frames"), says
        assert "chim" not in run("ip", "-n", net.near, "-br", "link").stdout


def test_options_that_are_none():
    """A driver that has no such option, or a value that is none: the daemon does not start, and its log says what there is."""
    path = f"/tmp/chimney-test-{os.getpid()}.sock"
    cases = [("eth0=passthru:Id=5", "driver passthru has no option Id, nor any other"),
             ("eth0=vlan:Id=5:Prio=3", "driver vlan has no option Prio; it has Id, Priority"),
             ("eth0=vlan:Id=five", "Id=five: it is a number from 0 to 4094")]
    with Net() as net:
        for stack, says in cases:
            result = run(CHIMNEYD, "--socket", path, "--stack", stack, ns=net.near, check=False, timeout=30)
            assert result.returncode == 1, (stack, result)
            assert says in result.stderr, (stack, result.stderr)
            assert "it refused, and has said why above" in result.stderr, result.stderr
            assert "chim" not in run("ip", "-n", net.near, "-br", "link").stdout


def test_second_daemon():
    """An interface or a socket that is taken: by whom, and the first daemon goes on."""
    with Net() as net:
        net.warm()
        with Daemon(net) as daemon:
            pair = Pair(net)
            daemon.must_move("offload", *pair.selector)
            pid = daemon.status()["pid"]
            says = start(net, "--stack", "eth0")
            assert says.startswith(f"error: eth0: process {pid} (chimneyd) serves it already, and has its TAP chim"), says
            result = run(CHIMNEYD, "--socket", daemon.socket, "--stack", "eth0", ns=net.near, check=False)
            assert result.returncode == 1, result
            assert f"{daemon.socket}: another daemon answers there (process {pid})" in result.stderr, result.stderr
            pair.near.sendall(b"still here")
            assert pair.far.recv(16) == b"still here"
            assert daemon.status()["offloaded_now"] == 1
            pair.close()


def test_tap_that_nobody_holds():
    """The name of its TAP is taken by an interface of another kind."""
    with Net() as net:
        index = run("ip", "-n", net.near, "-o", "link", "show", "eth0").stdout.split(":")[0]
        run("ip", "-n", net.near, "tuntap", "add", f"chim{index}", "mode", "tap")
        says = start(net, "--stack", "eth0")
        assert says.startswith(f"error: eth0: its TAP chim{index} is there already"), says


def test_without_privileges():
    """Somebody who is not root learns what it takes."""
    with Net() as net:
        nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        if run(*nobody, "test", "-x", CHIMNEYD, check=False).returncode:
            raise Skip(f"others may not execute {CHIMNEYD}")
        says = start(net, "--stack", "eth0", before=nobody, code=7)
        assert "needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF" in says, says
        result = run(*nobody, CHIMNEYD, "--socket", "/run/nobody.sock", "--stack", "eth0", ns=net.near, check=False)
        assert result.returncode == 7 and "/run/nobody.sock: no control socket can be made there: Permission denied" in \
            result.stderr, result


def test_stack_show():
    """stack show follows the interface: up, without carrier, gone; the daemon goes on."""
    with Net() as net:
        net.warm()
        with Daemon(net, stack="eth0=passthru", own=True) as daemon:
            def links():
                code, floors, _ = daemon.ctl("stack", "show")
                assert code == 0 and [floor["adapter"] for floor in floors] == ["eth0/passthru1", "eth0/soft"], floors
                return [floor["link"] for floor in floors]

            pair = Pair(net)
            daemon.must_move("offload", *pair.selector)
            assert links() == [None, "up"]
            run("ip", "-n", net.far, "link", "set", "eth0", "down")
            wait_for(lambda: links() == [None, "down"], "the link to be down")
            run("ip", "-n", net.far, "link", "set", "eth0", "up")
            wait_for(lambda: links() == [None, "up"], "the link to be up")
            run("ip", "-n", net.near, "link", "delete", "eth0")
            wait_for(lambda: links() == [None, "gone"], "the interface to be gone")
            text = run(CHIMNEYCTL, "--socket", daemon.socket, "stack", "show").stdout
            assert "eth0/soft: driver soft state Running on its wire (interface gone) bound passthru" in text, text
            wait_for(lambda: daemon.status()["offloaded_now"] == 0, "the connection to be given back")
            code, moves = daemon.moves("offload", *pair.selector)
            assert code == 1 and moves[0]["reason"] == "interface-down", moves
            assert [conn["owner"] for conn in daemon.ctl("conn", "list", *pair.selector)[1]] == ["kernel"]
            assert "eth0: the interface is gone" in daemon.log()
            pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            pair.close()
