"""One ``serve`` for each SQLite file: real processes, one of them killed in the middle of a refund."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from attrs import frozen

from booking_payments import Currency, Money, NewBooking, open_payments_sync
from tests import preloaded
from tests.e2e.serving import (
    READY_S,
    environment,
    printed,
    process,
    sandboxed,
    wait_until_ready,
)
from tests.ports import free_port

KEY = {"Idempotency-Key": "one-refund-and-no-second"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Settings with a lease that is longer than any test, so that only a takeover can end it."""
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}", "OPERATION_LEASE_S": "3600"}
    printed(tmp_path, "migrate", settings=settings)
    return settings


@contextmanager
def _serve(folder: Path, settings: Mapping[str, str], *words: str) -> Iterator[tuple[preloaded.ForkedProcess, str]]:
    port = free_port()
    with process("serve", "--port", str(port), *words, directory=folder, settings=settings) as started:
        yield started, f"http://127.0.0.1:{port}"


@contextmanager
def _serving(folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[preloaded.ForkedProcess, str]]:
    with _serve(folder, settings) as (started, address):
        wait_until_ready(f"{address}/health/ready", started)
        yield started, address


def _second(folder: Path, settings: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """What a ``serve`` says that ends by itself."""
    serve = ["-m", "booking_payments", "serve", "--port", str(free_port()), *words]
    return preloaded.ran(serve, cwd=folder, env=environment(settings))


def test_a_second_serve_on_one_file_stops_with_an_error(tmp_path: Path, settings: dict[str, str]) -> None:
    with _serving(tmp_path, settings) as (first, address):
        second = _second(tmp_path, settings, "--wait", "0")

        assert printed(tmp_path, "reconcile", "--json", settings=settings)  # commands share the file
        assert httpx2.get(f"{address}/health/ready", trust_env=False).status_code == 200

    said = (
        f"Error: DATABASE_URL: process {first.pid} serves {tmp_path}/books.db already, and only one serve may use a "
        "SQLite file; stop that one, give this one another file, or use PostgreSQL, which any number of processes may "
        "share\n"
    )
    assert (second.returncode, second.stderr.splitlines(keepends=True)[-1]) == (1, said)


# --- killed in the middle of a refund


@frozen
class Refunding:
    """A paid booking of a service in front of a sandbox."""

    sandbox: httpx2.Client
    booking_id: str
    token: str

    def refund(self, address: str) -> httpx2.Response:
        """The same request with the same key, each time."""
        return httpx2.post(
            f"{address}/api/bookings/{self.booking_id}/payment/refund/",
            json={"amount": "20.00"},
            headers={"Authorization": f"Bearer {self.token}", **KEY},
            timeout=60,
            trust_env=False,
        )

    def in_flight(self, address: str) -> threading.Thread:
        """A client whose refund Stripe has made, while its answer takes very long."""
        fault = {"match": "POST /v1/refunds", "fault": "slow", "delay_s": 600}
        assert self.sandbox.post("/_sandbox/faults", json=fault).is_success
        client = threading.Thread(target=self._refund_in_vain, args=(address,))
        client.start()
        _until(lambda: not self.sandbox.get("/_sandbox/faults").json()["faults"])
        return client

    def _refund_in_vain(self, address: str) -> None:
        with pytest.raises(httpx2.TransportError):
            self.refund(address)

    def refunds(self) -> list[int]:
        return [refund["amount"] for refund in self.sandbox.get("/v1/refunds").json()["data"]]


def _until(happens: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_S
    while not happens():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def sandbox(tmp_path: Path, settings: dict[str, str]) -> Iterator[httpx2.Client]:
    """What plays Stripe for the service of ``settings``."""
    with sandboxed(tmp_path) as address, httpx2.Client(base_url=address, trust_env=False) as client:
        client.auth = ("sk_test_one", "")
        settings |= {
            "PAYMENT_GATEWAY": "stripe",
            "STRIPE_API_BASE": address,
            "STRIPE_SECRET_KEY": "sk_test_one",
            "STRIPE_PUBLISHABLE_KEY": "pk_test_one",
            "STRIPE_WEBHOOK_SECRET": "whsec_one",
            "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        }
        yield client


@pytest.fixture
def refunding(tmp_path: Path, settings: dict[str, str], sandbox: httpx2.Client) -> Refunding:
    with open_payments_sync(environment(settings), env_file=None, background=False) as payments:
        seat = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=datetime(2100, 1, 1, tzinfo=UTC),
        )
        booking = payments.register_booking(seat).booking
        assert payments.process_booking_payment(booking, "pm_card_visa").success
    return Refunding(sandbox, booking.id, printed(tmp_path, "token", "--sub", "ann", settings=settings))


def test_the_next_one_takes_over_at_once_when_the_first_is_killed(
    tmp_path: Path, settings: dict[str, str], refunding: Refunding
) -> None:
    with _serve(tmp_path, settings) as (first, address):
        wait_until_ready(f"{address}/health/ready", first)
        client = refunding.in_flight(address)
        with _serve(tmp_path, settings, "--wait", "600") as (second, other):
            _until(lambda: "serve.waiting_for_other_serve" in (tmp_path / "serve.log").read_text())
            first.kill()
            client.join()
            wait_until_ready(f"{other}/health/ready", second)
            _until(lambda: refunding.refund(other).status_code == 200)

            assert refunding.refund(other).headers["idempotent-replayed"] == "true"
            assert refunding.refunds() == [2000]


def test_an_embedded_process_does_not_end_a_request_of_serve(
    tmp_path: Path, settings: dict[str, str], refunding: Refunding
) -> None:
    with _serving(tmp_path, settings) as (first, address):
        client = refunding.in_flight(address)
        with open_payments_sync(environment(settings), env_file=None) as payments:
            payments.settle_due()
            answer = refunding.refund(address)
            operation = payments.payment_status(refunding.booking_id).payment.operation
        first.kill()
        client.join()

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_use")
    assert operation is not None
    assert refunding.refunds() == [2000]
