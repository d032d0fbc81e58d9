"""What moves connections while they are in use: by the control protocol itself, because a program to be started for every
move takes longer than the move."""

import json
import random
import socket
import threading

from harness import LIMIT_S, Daemon

LATER = ("no-quiet-moment", "busy")  # not now, perhaps soon


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
