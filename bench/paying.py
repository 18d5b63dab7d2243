"""Two hundred customers who pay at the same time, in front of a gateway that says yes after a while."""

import asyncio
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import jwt
from attrs import frozen

from bench.load import Load, arrive, drive

CUSTOMERS: Final = 200
CLERKS: Final = 8
"""How many register bookings at the same time."""

JWT_SECRET: Final = "the-secret-of-a-benchmark-on-one-machine"  # noqa: S105 - nobody else can call
SETTINGS: Final = {
    "PAYMENT_GATEWAY": "stripe",
    "STRIPE_SECRET_KEY": "sk_test_of_the_benchmark",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_of_the_benchmark",
    "JWT_SECRET": JWT_SECRET,
    "LOG_LEVEL": "INFO",
    "RATE_LIMIT_ENABLED": "false",
    "GATEWAY_MAX_PER_S": "100000",
    "GATEWAY_MAX_CONCURRENT": "1000",
    "MAX_UNPAID_BOOKINGS_PER_CUSTOMER": "0",
}


@frozen
class Paid:
    """Payments a second, and how long one took."""

    per_second: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, p50 {self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms"


# --- the gateway -----------------------------------------------------------------------------------------------


@contextmanager
def gateway(delay_s: float) -> Iterator[str]:
    """The address of a gateway that lets every charge succeed after ``delay_s``."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    addresses: list[str] = []

    async def serve() -> None:
        server = await asyncio.start_server(lambda reader, writer: _connection(reader, writer, delay_s), "127.0.0.1", 0)
        addresses.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ready.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next((line for line in head.split("\r\n") if line.startswith("content-length:")), ":0")
            body = await reader.readexactly(int(length.partition(":")[2]))
            await asyncio.sleep(delay_s)
            answer = json.dumps(_intent(dict(parse_qsl(body.decode())))).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            )
            writer.write(answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _intent(asked: dict[str, str]) -> dict[str, Any]:
    """What the gateway says of a charge that was asked for."""
    amount, name = int(asked.get("amount", "0")), time.time_ns()
    metadata = {key[9:-1]: value for key, value in asked.items() if key.startswith("metadata[")}
    return {
        "id": f"pi_{name}",
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount,
        "currency": asked.get("currency", "usd"),
        "status": "succeeded",
        "client_secret": f"pi_{name}_secret_x",
        "latest_charge": f"ch_{name}",
        "payment_method": asked.get("payment_method"),
        "metadata": metadata,
        "livemode": False,
        "created": int(time.time()),
    }


# --- the customers ---------------------------------------------------------------------------------------------


async def pay(port: int, count: int, seconds: float) -> Paid:
    """Register ``count`` bookings, then let 200 customers pay them, each the next as soon as one is answered."""
    booked = await _book(port, count)
    return _paid(await drive(port, iter(booked), connections=CUSTOMERS, seconds=seconds))


async def pay_one_by_one(port: int, per_second: float, seconds: float) -> Paid:
    """Register bookings, then let ``per_second`` customers come and pay, each once."""
    booked = await _book(port, int(per_second * seconds))
    return _paid(await arrive(port, iter(booked), per_second=per_second, seconds=seconds))


def _paid(load: Load) -> Paid:
    if set(load.statuses) != {200}:
        raise RuntimeError(f"payments were answered with {dict(load.statuses)}")
    return Paid(load.per_second, load.percentile_ms(50), load.percentile_ms(99))


async def _book(port: int, count: int) -> list[bytes]:
    """The requests that pay ``count`` new bookings."""
    numbers, requests = iter(range(count)), list[bytes]()
    await asyncio.gather(*[_book_some(port, numbers, requests) for _ in range(CLERKS)])
    return requests


async def _book_some(port: int, numbers: Iterator[int], requests: list[bytes]) -> None:
    ann = _token("ann")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in booking_requests(numbers):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        made = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
        asked = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
        requests.append(_request(f"/api/bookings/{made['id']}/payment/intent/", asked, ann))
    writer.close()


def booking_requests(numbers: Iterable[int]) -> Iterator[bytes]:
    """Requests that each register a new booking of Ann's."""
    operator = _token("shop", "bookings:write")
    starts = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    for number in numbers:
        booking = {
            "reference": f"P-{time.time_ns()}-{number}",
            "customer_id": "ann",
            "amount": "10.99",
            "currency": "usd",
            "event_starts_at": starts,
        }
        yield _request("/api/bookings/", booking, operator)


def _token(subject: str, scope: str = "") -> str:
    claims = {"sub": subject, "scope": scope, "exp": datetime.now(UTC) + timedelta(hours=4)}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256")


def _request(path: str, content: dict[str, Any], token: str) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
