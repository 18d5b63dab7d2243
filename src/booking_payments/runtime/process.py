"""Sockets to listen on: one for a process alone, or one for each worker process on the same address.

Workers that accept from one socket leave it to chance who takes what: the one that wakes first takes all that wait, and
connections that are kept open stay with it. With a socket each, Linux spreads connections evenly (``SO_REUSEPORT``,
socket(7)). Each worker opens its own when it is ready, so that nobody waits for one that starts or was killed.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from booking_payments.runtime.settings import Settings

BACKLOG: Final = 2048
SPREADS: Final = sys.platform == "linux"
"""Elsewhere several sockets may have one address, too, but connections all go to the last."""


def listen(settings: Settings) -> socket.socket:
    """The socket at the settings' host and port. Raises ``OSError`` where it can't be had."""
    return _without_delay(socket.create_server(_address(settings), family=_family(settings), backlog=BACKLOG))


def reserve(settings: Settings) -> socket.socket:
    """The settings' host and port for worker processes: to be handed to them, each of which gets a socket of its own.

    Raises ``OSError`` where the address can't be had.
    """
    listening = listen(settings)  # refused where anybody else has the port, which a shared one would not be
    if not SPREADS:
        return listening
    address, family = listening.getsockname(), listening.family
    listening.close()
    return bind_beside(family, address)


class _Shared(socket.socket):
    """A socket that holds its address and does not listen. Where it is unpickled, there is another one beside it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return bind_beside, (int(self.family), self.getsockname())


def bind_beside(family: int, address: Any) -> socket.socket:
    """One more socket at ``address``, for a process of the same user; it does not listen yet."""
    beside = _Shared(family, socket.SOCK_STREAM)
    beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    beside.bind(address)
    _without_delay(beside)
    return beside


def _without_delay(listening: socket.socket) -> socket.socket:
    """Connections inherit it. Without it the kernel holds the second part of an answer back for 40 ms, and asyncio
    sets it only on sockets that name their protocol."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _address(settings: Settings) -> tuple[str, int]:
    return settings.host, settings.port


def _family(settings: Settings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.host else socket.AF_INET
