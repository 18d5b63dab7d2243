"""Tens of thousands of requests of every kind: memory, file descriptors and connections of the service stay bounded."""

import os
import socket
from pathlib import Path

import pytest

from tests.e2e.serving import printed, process, wait_until_ready
from tests.e2e.test_http_limits import MIB, resident
from tests.integration.http.api import JWT_SECRET, token
from tests.nightly import NIGHTLY
from tests.ports import free_port

REQUESTS, MOST_MIB = (50_000, 20) if NIGHTLY else (300, 2)
"""Requests that are measured, and by how much the memory may grow with them."""
WARM = 300
PER_CONNECTION = 50


FORM = "application/x-www-form-urlencoded"


def requests(number: int) -> bytes:
    """Valid requests, invalid ones and ones without a token, each with different values."""
    text, auth = f"{number:08}", f"Authorization: Bearer {token(f'customer-{number % 500}')}\r\n"
    app = f"Authorization: Bearer {token('app', 'bookings:write')}\r\n"
    booking = (
        f'{{"reference": "R-{text}", "customer_id": "c-{text}", "amount": "10.00", "currency": "usd",'
        f' "event_starts_at": "2099-01-01T00:00:00Z"}}'
    )
    method, target, headers, body = [
        ("GET", "/health/live", "", ""),
        ("GET", f"/api/bookings/bk_{text}/payment/status/", auth, ""),
        ("GET", f"/api/payments/?reference={text}", auth, ""),
        ("GET", f"/checkout/bk_{text}?token={text * 20}", "", ""),
        ("POST", "/api/bookings/", app + f"Idempotency-Key: key-of-this-booking-{text}\r\n", booking),
        ("POST", "/api/bookings/", app, booking[:-2]),
        ("POST", "/api/webhooks/stripe/", f"Stripe-Signature: t=1,v1={text * 8}\r\n", f'{{"id": "evt_{text}"}}'),
        ("GET", f"/nowhere/{text}", "", ""),
        ("GET", "/console/", f"Cookie: booking_payments_console={text * 20}\r\n", ""),
        ("POST", "/console/login", f"Origin: http://service\r\nContent-Type: {FORM}\r\n", f"token={text}&next="),
    ][number % 10]
    head = f"{method} {target} HTTP/1.1\r\nHost: service\r\n{headers}"
    if body and "Content-Type" not in headers:
        head += "Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def send(port: int, first: int, count: int) -> set[int]:
    """The statuses of ``count`` requests, ``PER_CONNECTION`` on each connection."""
    found = set[int]()
    for begin in range(first, first + count, PER_CONNECTION):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as line, line.makefile("rb") as answers:
            for number in range(begin, min(begin + PER_CONNECTION, first + count)):
                line.sendall(requests(number))
                found.add(int(answers.readline().split()[1]))
                length = 0
                while (header := answers.readline().lower()) != b"\r\n":
                    length = int(header.partition(b":")[2]) if header.startswith(b"content-length:") else length
                answers.read(length)
    return found


def descriptors(pid: int) -> list[str]:
    """What the process has open, without the numbers."""
    return [os.readlink(each).split(":")[0] for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]


@pytest.mark.timeout(900)
def test_many_requests_keep_neither_memory_nor_descriptors_nor_connections(tmp_path: Path) -> None:
    settings = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "ERROR", "JWT_SECRET": JWT_SECRET}
    printed(tmp_path, "migrate", settings=settings)
    port = free_port()
    with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as started:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", started)
        send(port, 0, WARM)
        memory, opened = resident(started.pid), descriptors(started.pid)
        statuses = send(port, WARM, REQUESTS)
        grown, now = resident(started.pid) - memory, descriptors(started.pid)

    print(
        f"{REQUESTS} requests: memory {memory / MIB:.1f} + {grown / MIB:.1f} MiB,"
        f" {len(opened)} and then {len(now)} descriptors"
    )
    assert statuses <= {200, 201, 303, 400, 401, 403, 404}
    assert grown < MOST_MIB * MIB
    assert len(now) <= len(opened) + 3
