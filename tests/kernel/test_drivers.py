"""Drivers from outside the tree under chimneyd: live connections through what is in examples/."""

import contextlib
import os
import tempfile

from harness import Daemon, Net, Pair, outside
from test_moves import LOSSY, MIB, echo, idle, stream



def example(name):
    return os.path.join(outside('echo "$EXAMPLES"'), name + ".so")


@contextlib.contextmanager
def target(path):
    """Options of a daemon whose target is that."""
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as config:
        config.write(f"[stack eth0]\ntarget = {path}\n")
        config.flush()
        yield ["-c", config.name]


def over_target(test, *arguments, **options):
    with target(example("minimal-target")) as words:
        test(*arguments, options=words, **options)


def test_idle_through_mux():
    """An idle connection goes down through mux and up again, ten times."""
    idle("eth0=" + example("mux"), False)


def test_idle_ipv6_through_mux():
    """The same over IPv6."""
    idle("eth0=" + example("mux"), True)


def test_idle_on_minimal_target():
    """The same on minimal-target."""
    over_target(idle, "eth0", False)


def test_stream_through_mux():
    """Both directions through mux to soft, moving."""
    stack = "eth0=" + example("mux")
    stream(False, 16 * MIB, stack=stack, rate=16 * MIB)
    stream(True, 16 * MIB, stack=stack, rate=16 * MIB)


def test_stream_on_minimal_target():
    """Both directions to minimal-target, moving."""
    over_target(stream, False, 16 * MIB, rate=16 * MIB)
    over_target(stream, True, 16 * MIB, rate=16 * MIB)


def test_stream_through_both_lossy():
    """Through mux to minimal-target, with 1 % loss and reordering."""
    stack = "eth0=" + example("mux")
    over_target(stream, False, 4 * MIB, stack=stack, rate=2 * MIB, relay=LOSSY, mtu_frames=True)
    over_target(stream, True, 4 * MIB, stack=stack, rate=2 * MIB, relay=LOSSY, mtu_frames=True)


def test_target_that_acknowledges_early():
    """A target that cannot leave undelivered bytes with the kernel gets no connection; the kernel carries on."""
    with tempfile.TemporaryDirectory() as folder:
        outside(f"""
            cp -r "$EXAMPLES/../src/minimal-target" {folder}/early && cd {folder}/early && rm -f ./*.so
            grep -q NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED driver.c
            sed -i /NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED/d driver.c
            make""")
        with target(f"{folder}/early/minimal-target.so") as options, Net() as net:
            net.warm()
            with Daemon(net, options=options) as daemon:
                pair = Pair(net)
                for turn in range(3):
                    code, moves = daemon.moves("offload", *pair.selector)
                    assert code == 1 and moves[0]["reason"] == "target-refused", moves
                    echo(pair, b"still here %d" % turn)
                pair.close()
