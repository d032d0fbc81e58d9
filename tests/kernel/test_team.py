"""A team: a port over two interfaces, whose other ends a bridge joins at the peer."""

import contextlib
import json
import os
import statistics
import tempfile

import test_port
from harness import PATTERN_UNIT, ROOT, Daemon, Net, Pair, Receiver, Sender, run, same_bytes, wait_for
from test_moves import MIB, echo, move_until
from test_port import addresses, datagrams, refused
from test_vlan import tag_far

MEMBERS = ("eth0", "eth1")


def make_two_ways(net):
    """Two pairs of interfaces in the place of the one, the far ends under a bridge that has the far addresses."""
    run("ip", "-n", net.near, "link", "del", "eth0")
    for number, dev in enumerate(MEMBERS):
        # The kernel tells of a carrier at once if the other end has another number, else once a second at most.
        run("ip", "link", "add", dev, "index", str(101 + number), "netns", net.near, "type", "veth",
            "peer", "name", dev, "index", str(201 + number), "netns", net.far)
    run("ip", "-n", net.far, "link", "add", "br0", "type", "bridge", "stp_state", "0")
    for dev in MEMBERS:
        run("ip", "-n", net.near, "link", "set", dev, "up")
        run("ip", "-n", net.far, "link", "set", dev, "master", "br0", "up")
    run("ip", "-n", net.far, "link", "set", "br0", "up")
    addresses(net, net.far, "br0", net.far4, net.far6)


@contextlib.contextmanager
def two_ways():
    with Net() as net:
        make_two_ways(net)
        yield net


@contextlib.contextmanager
def one_aggregate():
    """The far ends as an aggregate would be: nothing goes from one to the other, and answers take either."""
    with two_ways() as net:
        for dev in MEMBERS:
            run("bridge", "-n", net.far, "link", "set", "dev", dev, "isolated", "on")
        yield net


def standing(net, drivers="team"):
    return test_port.standing(net, drivers, "+".join(MEMBERS))


def members(daemon):
    code, answer, errors = daemon.ctl("team", "show")
    assert code == 0, errors
    return {member["member"].rsplit(".", 1)[1]: member for member in answer}


def active(daemon):
    """The member in use, once the connections may follow; None: not yet."""
    for name, member in members(daemon).items():
        if member["active"]:
            return None if member["moving"] else name
    return None


def learnt(net):
    """The bridge's port behind which the port's address is."""
    mac = json.loads(run("ip", "-n", net.near, "-j", "link", "show", "dev", "chim0").stdout)[0]["address"]
    for entry in json.loads(run("bridge", "-n", net.far, "-j", "fdb", "show", "br", "br0").stdout):
        if entry["mac"] == mac and "permanent" not in json.dumps(entry):
            return entry["ifname"]
    return None


def forwards(net, dev):
    """The bridge has heard that its port has a carrier."""
    ports = json.loads(run("bridge", "-n", net.far, "-j", "link", "show", "dev", dev).stdout)
    return bool(ports) and ports[0]["state"] == "forwarding"


def set_link(net, member, administrative, up):
    """Down at our end, or the loss of the carrier because the other end goes."""
    run("ip", "-n", net.near if administrative else net.far, "link", "set", member, "up" if up else "down")


def make_again(net, dev):
    """One of our two under its old name, by another number. The bridge would take the lowest address of its ports."""
    number = MEMBERS.index(dev)
    run("ip", "link", "add", dev, "index", str(301 + number), "netns", net.near, "type", "veth",
        "peer", "name", dev, "index", str(401 + number), "netns", net.far)
    run("ip", "-n", net.near, "link", "set", dev, "up")
    run("ip", "-n", net.far, "link", "set", dev, "master", "br0", "up")


def fail_over(net, daemon, administrative):
    """From the member in use to the other; what was lost is there again when it has moved."""
    was = active(daemon)
    other = MEMBERS[was == MEMBERS[0]]
    set_link(net, was, administrative, False)
    wait_for(lambda: active(daemon) == other, f"{other} to take over from {was}")
    return was


def download(v6, size, rate, turns, drivers="team"):
    """A stream with the target through fail-overs: the near side sends, the far one looks at the clock."""
    gaps = []
    with two_ways() as net, standing(net, drivers) as daemon:
        net.warm(v6)
        pair = Pair(net, v6=v6)
        echo(pair, b"before")
        sender, receiver = Sender(pair.near, rate=rate), Receiver(pair.far)
        receiver.start()
        sender.start()
        daemon.must_move("offload", *pair.selector)
        for turn in range(turns):
            went_on = receiver.got + size // (turns + 2)
            wait_for(lambda: receiver.got >= went_on, "the stream to go on")
            receiver.take_gap()
            was = fail_over(net, daemon, administrative=turn % 2 == 0)
            daemon.must_move("offload", *pair.selector)
            at = receiver.got
            wait_for(lambda: receiver.got > at, "bytes over the other member")
            gaps.append(receiver.take_gap())
            set_link(net, was, turn % 2 == 0, True)
            wait_for(lambda: members(daemon)[was]["link"] and forwards(net, was), f"the link of {was}")
        sender.finish(max(size - sender.sent, 2 * PATTERN_UNIT))
        same_bytes(sender, receiver)
        pair.close()
        assert net.rsts() == 0
        assert members(daemon)["eth0"]["switches"] == turns
    for name, some in (("administratively down", gaps[::2]), ("carrier lost", gaps[1::2])):
        print(f"# {name}: the peer's largest gaps {', '.join(f'{gap * 1000:.0f}' for gap in some)} ms, "
              f"median {statistics.median(some) * 1000:.0f} ms")


def test_download():
    """IPv4: 1 GiB, ten fail-overs."""
    download(False, 1024 * MIB, 60 * MIB, 10)


def test_download_6_below_passthru():
    """IPv6, with a floor over the team."""
    download(True, 128 * MIB, 30 * MIB, 10, "passthru,team")


def test_by_order():
    """chimneyctl fails a member whose link is up: only what the host says tells the bridge where the port is now."""
    with two_ways() as net, standing(net) as daemon:
        assert "chim0: a port over eth0+eth1," in daemon.log()
        net.warm()
        pair = Pair(net)
        echo(pair, b"before")
        assert learnt(net) == "eth0"
        daemon.must_move("offload", *pair.selector)
        code, _, errors = daemon.ctl("team", "fail", "eth0")
        assert code == 0, errors
        wait_for(lambda: active(daemon) == "eth1", "eth1 to take over")
        wait_for(lambda: learnt(net) == "eth1", "the bridge to hear of it")
        assert members(daemon)["eth0"]["failed"] and members(daemon)["eth0"]["link"]
        daemon.must_move("offload", *pair.selector)
        echo(pair, b"over the other")
        datagrams(net, True)
        for words, code, reason in ((("fail", "eth0"), 1, "failed already"), (("fail", "eth1"), 1, "no other member"),
                                    (("fail", "eth7"), 1, "no member is called so"), (("restore", "eth1"), 1, "not failed")):
            said, _, errors = daemon.ctl("team", *words)
            assert said == code and reason in errors, (words, said, errors)
        assert daemon.ctl("team", "restore", "chim0/soft.eth0")[0] == 0
        assert active(daemon) == "eth1"
        echo(pair, b"and stays there")
        pair.close()
        assert net.rsts() == 0


def examples():
    """The examples in chimney-team(7): lists of commands, each of which begins with a daemon."""
    with open(os.path.join(ROOT, "packaging", "chimney-team.7.scd"), encoding="utf-8") as page:
        blocks = page.read().split("# EXAMPLE")[1].split("```")[1::2]
    found = []
    for line in (line for block in blocks for line in block.strip().splitlines()):
        if line.startswith("chimneyd "):
            found.append([])
        found[-1].append(line.split())
    return found


def follow(net, start, *others):
    """Does what an example says; the answer of its last command, and the members then."""
    assert start[:2] == ["chimneyd", "--port"], start
    with Daemon(net, port=start[2]) as daemon:
        for command in others:
            if command[0] == "ip":
                run("ip", "-n", net.near, *command[1:])
                continue
            assert command[0] == "chimneyctl", command
            code, answer, errors = daemon.ctl(*command[1:])
            assert code == 0, (command, errors)
        if others[-1][1:3] == ["team", "fail"]:
            wait_for(lambda: active(daemon) == "eth1", "eth1 to take over")
        return answer


def test_the_page():
    """What chimney-team(7) shows, word for word."""
    backup, spread = examples()
    with two_ways() as net:
        follow(net, *backup)
    with one_aggregate() as net:
        assert [(member["mode"], member["active"], member["connections"])
                for member in follow(net, *spread)] == [("hash", True, 0)] * 2


def test_gone():
    """A member whose interface is deleted is told apart from one that is down, and is no other that gets its name."""
    with two_ways() as net, standing(net) as daemon:
        net.warm()
        pair = Pair(net)
        echo(pair, b"before")
        daemon.must_move("offload", *pair.selector)
        set_link(net, "eth1", True, False)
        wait_for(lambda: not members(daemon)["eth1"]["link"], "eth1 to be down")
        assert not members(daemon)["eth1"]["gone"]
        set_link(net, "eth1", True, True)
        wait_for(lambda: members(daemon)["eth1"]["link"] and forwards(net, "eth1"), "the link of eth1")
        bridge = json.loads(run("ip", "-n", net.far, "-j", "link", "show", "dev", "br0").stdout)[0]["address"]
        run("ip", "-n", net.far, "link", "set", "br0", "address", bridge)
        run("ip", "-n", net.near, "link", "del", "eth0")
        wait_for(lambda: active(daemon) == "eth1", "eth1 to take over")
        echo(pair, b"after")
        assert members(daemon)["eth0"]["gone"] and not members(daemon)["eth1"]["gone"]
        make_again(net, "eth0")
        wait_for(lambda: forwards(net, "eth0"), "the other eth0 to be there")
        member = members(daemon)["eth0"]
        assert member["gone"] and not member["link"] and not member["active"], member
        daemon.must_move("offload", *pair.selector)
        echo(pair, b"offloaded")
        pair.close()


def test_both_down():
    """Without any link connections wait; the first that is back carries them on."""
    with two_ways() as net, standing(net) as daemon:
        net.warm()
        pair = Pair(net)
        echo(pair, b"before")
        daemon.must_move("offload", *pair.selector)
        for dev in MEMBERS:
            run("ip", "-n", net.far, "link", "set", dev, "down")
        wait_for(lambda: not any(member["link"] for member in members(daemon).values()), "the links to be lost")

        def repeats():
            """Of whoever has the connection: the target, or the kernel if it came home on the way."""
            return daemon.status()["wire_retransmits"] + net.tcp_counter(net.near, "TCPTimeouts")

        before = repeats()
        pair.near.send(b"waits")
        wait_for(lambda: repeats() > before, "what was lost to be sent again")
        run("ip", "-n", net.far, "link", "set", "eth1", "up")
        assert pair.far.recv(5, 0x100) == b"waits"
        assert active(daemon) in MEMBERS
        pair.close()
        assert net.rsts() == 0


def offload_each(daemon, pairs):
    for pair in pairs:
        daemon.must_move("offload", *pair.selector)


def spread_over(daemon):
    """How many connections each member has."""
    return {name: member["connections"] for name, member in members(daemon).items()}


def count_strays(net):
    """Segments that come from another link address than the port's, in the table `strays` of the far side."""
    links = json.loads(run("ip", "-n", net.near, "-j", "link", "show").stdout)
    mac = next(link["address"] for link in links if link["ifname"] == "chim0")
    devices = ", ".join(MEMBERS)
    run("nft", "-f", "-", ns=net.far,
        input=f"add table inet strays\nadd chain inet strays in {{ type filter hook ingress devices = {{ {devices} }} "
              f"priority 0; }}\nadd rule inet strays in meta l4proto tcp ether saddr != {mac} counter\n")


def test_hash():
    """Connections over both; one is lost, all are over the other; and it comes back."""
    with one_aggregate() as net, standing(net, "team:Mode=hash") as daemon:
        net.warm()
        net.warm(True)
        count_strays(net)
        pairs = [Pair(net, v6=number % 2 == 1) for number in range(16)]
        for turn in range(4):
            gone = MEMBERS[turn % 2]
            offload_each(daemon, pairs)
            count = spread_over(daemon)
            assert sum(count.values()) == len(pairs) and all(count.values()), count
            for pair in pairs:
                echo(pair, b"over both")
            sender, receiver = Sender(pairs[0].near, rate=50 * MIB), Receiver(pairs[0].far)
            receiver.start()
            sender.start()
            wait_for(lambda: sender.sent >= 4 * MIB, "the stream to begin")
            set_link(net, gone, turn < 2, False)
            wait_for(lambda: not members(daemon)[gone]["active"] and sum(spread_over(daemon).values()) == 0,
                     "the connections to come home")
            wait_for(lambda: not any(member["moving"] for member in members(daemon).values()), "the move to end")
            offload_each(daemon, pairs)
            assert spread_over(daemon)[gone] == 0
            sender.finish()
            same_bytes(sender, receiver)
            for pair in pairs[1:]:
                echo(pair, b"over one")
            set_link(net, gone, turn < 2, True)
            wait_for(lambda: members(daemon)[gone]["active"] and forwards(net, gone), f"the link of {gone}")
            wait_for(lambda: not any(member["moving"] for member in members(daemon).values()), "the move to end")
            pairs[0].close()
            pairs[0] = Pair(net)
        for pair in pairs:
            pair.close()
        assert net.counted("strays") == 0
        assert net.rsts() == 0


def test_all_the_drivers():
    """A fail-over under a VLAN, beside a trace and a fault without a script."""
    with tempfile.TemporaryDirectory() as folder, two_ways() as net:
        tag_far(net, *MEMBERS)
        with standing(net, f"trace:File={folder}/a.pcapng,vlan:Id=10:Priority=3,fault,team") as daemon:
            net.warm()
            pair = Pair(net)
            echo(pair, b"before")
            sender, receiver = Sender(pair.near, rate=50 * MIB), Receiver(pair.far)
            receiver.start()
            sender.start()
            move_until(daemon, pair, lambda downs: downs >= 5 and sender.sent >= 16 * MIB, 0.02)
            was = fail_over(net, daemon, administrative=False)
            daemon.must_move("offload", *pair.selector)
            sender.finish()
            same_bytes(sender, receiver)
            pair.close()
            assert net.rsts() == 0
            assert was == "eth0"


def test_refusals():
    """Several interfaces need a driver that joins them, as the lowest."""
    with two_ways() as net:
        refused(net, "chim0=eth0+eth1", "several interfaces need a driver that joins them")
        refused(net, "chim0=eth0+eth1,team,passthru", "chim0=eth0+eth1,team")
        refused(net, "chim0=eth0+eth1,team:Mode=other", "Mode=other", code=1)
