"""The ASGI application inside a host application: below a prefix, opened by the host's lifespan. And where the fake
gateway's webhooks go then."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from booking_payments import Currency, Money, NewBooking, open_payments_sync
from booking_payments.asgi import Application
from booking_payments.runtime.settings import load_settings
from booking_payments.runtime.settings_error import SettingsError
from tests.integration.http.api import ANN, BOOKING_APP, JWT_SECRET
from tests.integration.sandbox.http.receiver import Receiver

TIMEOUT_S = 30
SECRET = "whsec_of_the_host"
SEAT: dict[str, str] = {
    "reference": "SEAT-1",
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2100-01-01T20:00:00Z",
}


@pytest.fixture
def env(tmp_path: Path, sqlite_template: Path) -> dict[str, str]:
    """Settings with a port that no server listens on."""
    (tmp_path / "books.db").write_bytes(sqlite_template.read_bytes())
    return {"DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}", "JWT_SECRET": JWT_SECRET, "PORT": "9"}


@contextmanager
def mounted(env: Mapping[str, str]) -> Iterator[TestClient]:
    """A client of a FastAPI application with the API at ``/pay`` and one page of the application."""
    payments = Application(load_settings(env, None))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with payments.opened():
            yield

    host = FastAPI(lifespan=lifespan)
    host.get("/")(lambda: "mine")
    host.mount("/pay", payments)
    with TestClient(host) as client:
        yield client


def pay(client: TestClient, prefix: str = "/pay") -> dict[str, Any]:
    booking = client.post(f"{prefix}/api/bookings/", json=SEAT, headers=BOOKING_APP)
    assert booking.status_code == 201, booking.text
    body = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    paid = client.post(f"{prefix}/api/bookings/{booking.json()['id']}/payment/intent/", json=body, headers=ANN)
    assert paid.status_code == 200, paid.text
    content: dict[str, Any] = paid.json()
    return content


def until(look: Callable[[], bool]) -> None:
    """Return when ``look`` says so."""
    end = time.monotonic() + TIMEOUT_S
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_host_application_has_the_api_below_its_prefix_and_its_own_pages(env: Mapping[str, str]) -> None:
    with mounted(env) as client:
        paid = pay(client)
        answers = [client.get(path).status_code for path in ("/", "/pay/health/ready", "/pay/nothing", "/health/ready")]

    assert (paid["status"], paid["amount"]) == ("succeeded", "100.00")
    assert answers == [200, 200, 404, 404]


def test_the_fakes_webhooks_are_handed_over_in_a_mounted_application(env: Mapping[str, str]) -> None:
    with mounted(env) as client, open_payments_sync(env, env_file=None, background=False) as payments:
        pay(client)
        until(lambda: "payment_intent.succeeded" in {each.type for each in payments.list_webhooks()})


def test_or_they_are_posted_to_the_address_that_the_settings_name_signed_with_their_secret(
    env: Mapping[str, str],
) -> None:
    with Receiver() as receiver:
        settings = {**env, "FAKE_WEBHOOK_URL": receiver.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        with mounted(settings) as client:
            pay(client)
            until(lambda: "payment_intent.succeeded" in receiver.types())
        events = receiver.events(SECRET)

    assert {event["object"] for event in events} == {"event"}


def test_an_embedding_process_posts_them_to_that_address_too(env: Mapping[str, str]) -> None:
    with Receiver() as receiver:
        settings = {**env, "FAKE_WEBHOOK_URL": receiver.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        with open_payments_sync(settings, env_file=None) as payments:
            seat = NewBooking(
                reference="SEAT-1",
                customer_id="ann",
                amount=Money.parse("100.00", Currency.USD),
                event_starts_at=datetime(2100, 1, 1, tzinfo=UTC),
            )
            assert payments.process_booking_payment(payments.register_booking(seat).booking, "pm_card_visa").success
            until(lambda: "payment_intent.succeeded" in receiver.types())
            assert not payments.list_webhooks()  # the receiver has them, and did not hand them on

    assert receiver.events(SECRET)


def test_a_mounted_application_that_was_not_opened_raises_with_advice(env: Mapping[str, str]) -> None:
    host = FastAPI()
    host.mount("/pay", Application(load_settings(env, None)))

    with TestClient(host) as client, pytest.raises(RuntimeError, match=r"enter opened\(\)"):
        client.get("/pay/health/live")


@pytest.mark.parametrize("address", ["8000", "ftp://127.0.0.1/hook", "http://user:password@127.0.0.1/hook"])
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^FAKE_WEBHOOK_URL: must be an address"):
        load_settings({"FAKE_WEBHOOK_URL": address}, None)
