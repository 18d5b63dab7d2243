"""Worker processes share an address, and connections are spread over them."""

import pickle
import select
import socket

import pytest

from booking_payments.runtime.process import SPREADS, bind_beside, listen, reserve
from booking_payments.runtime.settings import Settings, load_settings
from tests.ports import free_port

MANY = 64


def settings(**changes: str) -> Settings:
    return load_settings({"PORT": str(free_port()), **changes}, env_file=None)


def copies(reserved: socket.socket, count: int) -> list[socket.socket]:
    """What ``count`` worker processes get, listening."""
    found: list[socket.socket] = [pickle.loads(pickle.dumps(reserved)) for _ in range(count)]  # noqa: S301 - our own
    for each in found:
        each.listen(MANY)
    return found


@pytest.mark.skipif(not SPREADS, reason="only Linux spreads connections over sockets of one address")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_worker_gets_a_share_of_the_connections(host: str) -> None:
    with reserve(settings(HOST=host)) as reserved:
        workers = copies(reserved, 2)

        clients = [socket.create_connection(reserved.getsockname()[:2]) for _ in range(MANY)]
        waiting, _, _ = select.select(workers, [], [], 5)

    for each in (*workers, *clients):
        each.close()
    assert len(waiting) == 2


def test_a_port_that_is_in_use_is_refused_to_workers() -> None:
    mine = settings()

    with listen(mine), pytest.raises(OSError, match="in use"):
        reserve(mine)


@pytest.mark.skipif(not SPREADS, reason="elsewhere workers share one socket")
def test_a_reserved_address_accepts_no_connections() -> None:
    with reserve(settings()) as reserved, pytest.raises(ConnectionRefusedError):
        socket.create_connection(reserved.getsockname())


@pytest.mark.skipif(not SPREADS, reason="elsewhere workers share one socket")
def test_answers_leave_at_once() -> None:
    with reserve(settings()) as reserved, bind_beside(reserved.family, reserved.getsockname()) as beside:
        assert beside.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
