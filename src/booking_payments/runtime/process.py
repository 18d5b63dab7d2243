"""Set-up of a process of this service: event loop, sockets, garbage collection, traces, and its parent's end.

Importing this module changes nothing. Decision 20 has the measured gain of each part. An application that embeds the
library decides all of this for itself.

Worker processes that accept from one shared socket get an uneven load: the one that wakes first accepts every waiting
connection, and connections that are kept open stay with it. With one socket for each worker, Linux distributes the
connections evenly (``SO_REUSEPORT``, socket(7)). Each worker opens its socket when it is ready, so that no connection
waits for a worker that starts or was killed.
"""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, Final

import structlog

from booking_payments.adapters.telemetry.traces import MissingExtraError, set_up_traces
from booking_payments.runtime.settings import Settings

BACKLOG: Final = 2048
SPREADS: Final = sys.platform == "linux"
"""On other systems several sockets may share an address, too, but the last one gets all connections."""

_YOUNG_OBJECTS: Final = 50_000
"""Allocations before the youngest generation is collected. A request makes thousands, and reference counts free nearly
all of them."""

log = structlog.get_logger("booking_payments.serve")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop of uvloop if it is installed (extra ``http``), otherwise of asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def collect_garbage_less() -> None:
    """Exclude all present objects from garbage collection, and collect later ones less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


@contextmanager
def collecting_traces() -> Iterator[None]:
    """Send the traces of this process to the collector that the environment names, until the context ends.

    If the packages for traces are missing, a warning is logged and no traces are sent.
    """
    try:
        provider = set_up_traces(os.environ)
    except MissingExtraError:
        log.warning("serve.traces_unavailable", remedy="run: pip install 'booking-payments[otel]'")
        provider = None
    try:
        yield
    finally:
        if provider is not None:
            provider.shutdown()


def end_with_parent() -> None:
    """End this process, as after SIGTERM, when the process that started it has ended.

    Does nothing in a process that ``multiprocessing`` did not start. A killed parent cannot notify its workers; without
    this watchdog they would keep the port from the next ``serve``, and would not be replaced when they end.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True, name="end_with_parent").start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    log.warning("serve.parent_ended")
    os.kill(os.getpid(), signal.SIGTERM)


def listen(settings: Settings) -> socket.socket:
    """Return a listening socket at the settings' host and port. Raises ``OSError`` when that is not possible."""
    return _without_delay(socket.create_server(_address(settings), family=_family(settings), backlog=BACKLOG))


def reserve(settings: Settings) -> socket.socket:
    """Reserve the settings' host and port for worker processes.

    Returns a socket to pass to them: each worker that unpickles it gets another socket at the same address.

    Raises:
        OSError: When the address is in use or does not exist.
    """
    listening = listen(settings)  # fails if the port is in use, which a socket with SO_REUSEPORT would not
    if not SPREADS:
        return listening
    address, family = listening.getsockname(), listening.family
    listening.close()
    return bind_beside(family, address)


class _Shared(socket.socket):
    """A socket that reserves its address and does not listen. Unpickling it opens another socket at that address."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return bind_beside, (int(self.family), self.getsockname())


def bind_beside(family: int, address: Any) -> socket.socket:
    """Return another socket at ``address``, for a process of the same user; it does not listen yet."""
    beside = _Shared(family, socket.SOCK_STREAM)
    beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    beside.bind(address)
    _without_delay(beside)
    return beside


def _without_delay(listening: socket.socket) -> socket.socket:
    """Set TCP_NODELAY, which connections inherit.

    Without it the kernel delays the second part of a response by 40 ms; asyncio sets it only on sockets that name their
    protocol.
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _address(settings: Settings) -> tuple[str, int]:
    return settings.host, settings.port


def _family(settings: Settings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.host else socket.AF_INET
