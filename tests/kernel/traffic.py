"""What moves connections while they are in use: by the control protocol itself, because a program to be started for every
move takes longer than the move."""

import json
import random
import socket
import threading

from harness import LIMIT_S, Daemon

LATER = ("no-quiet-moment", "busy")  # not now, perhaps soon
# The owners close it: on its way home by itself, or gone, or about to be.
ENDING = ("not-offloaded", "not-established", "no-such-connection", "died-during-move")


class Client:
    """Speaks the control protocol itself; in which order things are answered can be seen."""

    def __init__(self, daemon: Daemon):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(daemon.socket)
        self.buffer = b""

    def ask(self, **request):
        self.sock.sendall(json.dumps(request).encode() + b"\n")

    def line(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(1 << 16)
            assert data, "the daemon hung up"
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def rest(self):
        """The lines up to the end, which is the last of them."""
        lines = [self.line()]
        while not lines[-1].get("end"):
            lines.append(self.line())
        return lines

    def move(self, op, **selector):
        """The moves that a request made."""
        self.ask(op=op, selector=selector)
        return [line["move"] for line in self.rest()[:-1]]

    def close(self):
        self.sock.close()


class Mover(threading.Thread):
    """Hands one connection out and home, by seed every so many milliseconds, until it is told to stop, or until the end of a
    connection that is closed meanwhile. On a machine that is so busy that the daemon misses a beat the connection goes home by
    itself, and then out again."""

    def __init__(self, daemon, pair, seed, between_ms=(5, 50), closed_meanwhile=False):
        super().__init__(daemon=True)
        self.client, self.selector = Client(daemon), {"local": pair.local, "peer": pair.peer}
        self.random, self.between_ms = random.Random(seed), between_ms
        self.closed_meanwhile = closed_meanwhile
        self.moves = {"offload": 0, "upload": 0}
        self.refused = self.beats = 0
        self.error = None
        self.stopping = threading.Event()

    def run(self):
        op = "offload"
        try:
            while not self.stopping.wait(self.random.uniform(*self.between_ms) / 1000):
                move, = self.client.move(op, **self.selector)
                if move["outcome"] == "done":
                    self.moves[op] += 1
                    op = "upload" if op == "offload" else "offload"
                elif move["reason"] in LATER:
                    self.refused += 1
                else:
                    assert self.closed_meanwhile and move["reason"] in ENDING or self.missed_beat(), move
                    op = "offload"
        except (AssertionError, OSError, ValueError) as error:
            self.error = error

    def missed_beat(self):
        """Since it was last asked."""
        self.client.ask(op="status")
        before, self.beats = self.beats, self.client.rest()[0]["status"]["missed_beats"]
        return self.beats > before

    def stop(self):
        """No more moves; what was refused for a moment is in refused, the rest must not have been."""
        self.stopping.set()
        self.join(LIMIT_S)
        assert not self.is_alive(), "a move does not end"
        self.client.close()
        if self.error:
            raise self.error
        return self.moves
