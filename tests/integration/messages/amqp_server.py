"""As much of RabbitMQ as one publisher needs, which falls silent when it has confirmed one message.

As RabbitMQ does when its memory or its disk is full: connections stay open, and nothing is answered on them.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HEADER_BYTES = 8
METHOD, BODY, END = 1, 3, b"\xce"
OPEN_OK, CHANNEL_OPEN_OK, CONFIRM_OK = struct.pack(">HHB", 10, 41, 0), struct.pack(">HHI", 20, 11, 0), (85, 11)
ANSWERS = {
    (10, 11): struct.pack(">HHHIH", 10, 30, 2047, 131_072, 0),
    (10, 40): OPEN_OK,
    (20, 10): CHANNEL_OPEN_OK,
    (85, 10): struct.pack(">HH", *CONFIRM_OK),
    (50, 10): struct.pack(">HHB", 50, 11, 1) + b"q" + struct.pack(">II", 0, 0),
}
"""Requests by class and method: tune, open, open a channel, select confirms, declare a queue."""

START = (
    struct.pack(">HHBBI", 10, 10, 0, 9, 0) + struct.pack(">I", 14) + b"PLAIN AMQPLAIN" + struct.pack(">I", 5) + b"en_US"
)
ACK = struct.pack(">HHQB", 60, 80, 1, 0)


@contextmanager
def rabbitmq_that_falls_silent() -> Iterator[str]:
    """Its address; every connection is closed with the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened: list[socket.socket] = []
        threading.Thread(target=_accept, args=(server, opened), daemon=True).start()
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}//"
        server.shutdown(socket.SHUT_RDWR)
        for each in opened:
            each.close()


def _accept(server: socket.socket, opened: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        opened.append(connection)
        threading.Thread(target=_speak, args=(connection,), daemon=True).start()


def _speak(connection: socket.socket) -> None:
    stream = connection.makefile("rb")
    stream.read(HEADER_BYTES)
    _send(connection, 0, START)
    while header := stream.read(7):
        kind, channel, size = struct.unpack(">BHI", header)
        body, _ = stream.read(size), stream.read(1)
        if kind == METHOD and (answer := ANSWERS.get(struct.unpack(">HH", body[:4]))):
            _send(connection, channel, answer)
        elif kind == BODY:
            _send(connection, channel, ACK)
            return


def _send(connection: socket.socket, channel: int, method: bytes) -> None:
    connection.sendall(struct.pack(">BHI", METHOD, channel, len(method)) + method + END)
