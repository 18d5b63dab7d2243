"""A minimal pooler in transaction mode: each transaction gets the server connection that was used last.

Like PgBouncer before 1.21 it does not support prepared statements. It works with servers that need no password, and for
one user and database.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Final

from sqlalchemy import make_url

_NOT_ENCRYPTED: Final = (80877103, 80877104)
"""The codes of requests for TLS and GSS."""


def _read(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _message(peer: socket.socket) -> bytes:
    """One message of the protocol, with its type and length."""
    head = _read(peer, 5)
    return head + _read(peer, struct.unpack("!I", head[1:])[0] - 4)


class _Pool:
    """Idle server connections, the last used one on top, and the server's messages at the start of a session."""

    def __init__(self, host: str, port: int) -> None:
        self._address, self._free = (host, port), list[socket.socket]()
        self._lock = threading.Lock()
        self.welcome = b""

    def take(self, startup: bytes) -> socket.socket:
        with self._lock:
            if self._free:
                return self._free.pop()
        server = socket.create_connection(self._address)
        server.sendall(startup)
        welcome = b""
        while not welcome.endswith(b"Z\x00\x00\x00\x05I"):
            welcome += _message(server)
        self.welcome = welcome
        return server

    def give_back(self, server: socket.socket) -> None:
        with self._lock:
            self._free.append(server)

    def close(self) -> None:
        for server in self._free:
            server.close()


def _startup(client: socket.socket) -> bytes:
    """What the client says first, once it knows that nothing is encrypted."""
    while True:
        head = _read(client, 8)
        length, code = struct.unpack("!II", head)
        rest = _read(client, length - 8)
        if code not in _NOT_ENCRYPTED:
            return head + rest
        client.sendall(b"N")


def _serve(client: socket.socket, pool: _Pool) -> None:
    startup = _startup(client)
    pool.give_back(pool.take(startup))
    client.sendall(pool.welcome)
    server: socket.socket | None = None
    try:
        while (message := _message(client))[:1] != b"X":
            server = server or pool.take(startup)
            server.sendall(message)
            if message[:1] in (b"Q", b"S") and _answered(server, client):
                pool.give_back(server)
                server = None
    finally:
        if server is not None:
            server.close()


def _answered(server: socket.socket, client: socket.socket) -> bool:
    """Hand an answer on; returns whether no transaction is left open."""
    while True:
        message = _message(server)
        client.sendall(message)
        if message[:1] == b"Z":
            return message[5:] == b"I"


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """The address of a pooler before the server of ``url``, which ends with the block."""
    parsed = make_url(url)
    pool = _Pool(parsed.host or "127.0.0.1", parsed.port or 5432)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError, OSError):
                _serve(self.request, pool)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener, closing(pool):
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield parsed.set(host="127.0.0.1", port=listener.server_address[1]).render_as_string(hide_password=False)
        finally:
            listener.shutdown()
            thread.join()
