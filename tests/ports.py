"""Ports for servers of the test's own."""

import random
import socket

BELOW_THE_EPHEMERAL = range(20_000, 32_000)
"""Operating systems hand out ports for outgoing connections from 32768 (Linux) or 49152 on. One below cannot be taken
by some client of another worker between the moment when it was found free and the moment when the server listens."""

_chance = random.SystemRandom()


def free_port() -> int:
    """Return a free port of this machine for a server that is about to start."""
    while True:
        port = _chance.choice(BELOW_THE_EPHEMERAL)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
