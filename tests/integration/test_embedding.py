"""The library inside another service: with an event loop, and without one."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import Enum
from inspect import iscoroutinefunction
from pathlib import Path
from typing import get_args, get_type_hints

import anyio
import attrs
import pytest

import booking_payments
from booking_payments import (
    BookingPayments,
    Currency,
    Money,
    NewBooking,
    OwnGateway,
    SyncBookingPayments,
    WebhookRefused,
    open_payments,
    open_payments_sync,
)
from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.adapters.gateways.fake.settings import DEVELOPMENT_WEBHOOK_SECRET
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.domain.amendments import Keep
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.publisher import Message
from booking_payments.ports.webhooks import WebhooksNotTaken
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.signature import sign
from tests import preloaded
from tests.certificate_gateway import CertificateGateway


@pytest.fixture
def without_tables(tmp_path: Path) -> Mapping[str, str]:
    return {"DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}"}


@pytest.fixture
def env(without_tables: Mapping[str, str], tmp_path: Path, sqlite_template: Path) -> Mapping[str, str]:
    """A migrated database: to migrate an empty one in each test would cost more than most of these tests."""
    shutil.copy(sqlite_template, tmp_path / "books.db")
    return without_tables


def _seat(number: int = 1) -> NewBooking:
    starts = datetime.now(UTC) + timedelta(days=30)
    return NewBooking(
        reference=f"SEAT-{number}", customer_id="ann", amount=Money(10000, Currency.USD), event_starts_at=starts
    )


async def test_a_service_with_a_loop_pays_a_booking(without_tables: Mapping[str, str]) -> None:
    async with open_payments(without_tables, env_file=None, migrate=True) as payments:
        booking = (await payments.register_booking(_seat())).booking
        result = await payments.process_booking_payment(booking, "pm_card_visa")

    assert (result.success, result.status) == (True, "succeeded")


def test_a_script_without_a_loop_pays_a_booking(without_tables: Mapping[str, str]) -> None:
    with open_payments_sync(without_tables, env_file=None, migrate=True) as payments:
        booking = payments.register_booking(_seat()).booking
        paid = payments.process_booking_payment(booking, "pm_card_visa")
        refunded = payments.process_booking_refund(booking, "25.00", "rain")

    assert (paid.success, refunded.success) == (True, True)


def test_a_payment_is_still_paid_after_a_restart(env: Mapping[str, str]) -> None:
    with open_payments_sync(env, env_file=None, migrate=True) as payments:
        booking = payments.register_booking(_seat()).booking
        payments.process_booking_payment(booking, "pm_card_visa")

    with open_payments_sync(env, env_file=None) as payments:
        again = payments.process_booking_refund(booking)
        status = payments.get_booking(booking.id).status

    assert (again.success, status) == (True, BookingStatus.CONFIRMED)


def test_a_function_that_takes_messages_may_call_back(env: Mapping[str, str]) -> None:
    statuses: list[str] = []

    def look(message: Message) -> None:
        statuses.append(payments.payment_status(message.booking_id).payment.status.value)

    with open_payments_sync(env, env_file=None, migrate=True, background=False, consumers=[look]) as payments:
        payments.process_booking_payment(payments.register_booking(_seat()).booking, "pm_card_visa")
        delivered = payments.deliver_messages()

    assert (delivered, statuses) == (2, ["succeeded"] * 2)


def test_many_threads_may_call_at_once(env: Mapping[str, str]) -> None:
    with open_payments_sync(env, env_file=None, migrate=True) as payments:

        def pay(number: int) -> bool:
            booking = payments.register_booking(_seat(number)).booking
            return payments.process_booking_payment(booking, "pm_card_visa").success

        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(pay, range(8)))

    assert results == [True] * 8


async def test_events_of_the_fake_gateway_arrive_without_a_listening_server(env: Mapping[str, str]) -> None:
    """They were posted to port 8000 of this machine, where another service may be."""
    async with open_payments(env, env_file=None, migrate=True) as payments:
        booking = (await payments.register_booking(_seat())).booking
        await payments.process_booking_payment(booking, "pm_card_visa")
        kinds = await _kinds_once_there(payments, "charge.succeeded")

    assert {"payment_intent.created", "charge.succeeded"} <= kinds


async def test_an_embedded_fake_gateway_needs_neither_an_address_nor_a_secret(env: Mapping[str, str]) -> None:
    everywhere = {**env, "HOST": "0.0.0.0"}
    async with open_payments(everywhere, env_file=None, migrate=True) as payments:
        with pytest.raises(WebhookRefused):  # the public development secret is refused
            await payments.receive_webhook(
                b"{}", {"Stripe-Signature": sign(b"{}", DEVELOPMENT_WEBHOOK_SECRET, datetime.now(UTC))}
            )
        booking = (await payments.register_booking(_seat())).booking
        await payments.process_booking_payment(booking, "pm_card_visa")

        assert await _kinds_once_there(payments, "payment_intent.succeeded")


async def _kinds_once_there(payments: BookingPayments, kind: str) -> set[str]:
    """The types of the events that were taken in, once one of ``kind`` was."""
    kinds: set[str] = set()
    with anyio.fail_after(30):
        while kind not in kinds:
            await anyio.sleep(0.02)
            kinds = {entry.type for entry in await payments.list_webhooks()}
    return kinds


async def test_a_database_of_a_newer_release_is_named_when_it_was_to_be_migrated(tmp_path: Path) -> None:
    env = {"DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}"}
    async with open_payments(env, env_file=None, migrate=True, background=False):
        pass
    with sqlite3.connect(tmp_path / "books.db") as books:
        books.execute("UPDATE booking_payments_version SET version_num = '9999'")

    with pytest.raises(SettingsError, match="newer release"):
        await open_payments(env, env_file=None, migrate=True).__aenter__()


async def test_so_is_one_that_can_not_be_reached() -> None:
    env = {"DATABASE_URL": "sqlite:////no/such/folder/books.db"}

    with pytest.raises(SettingsError, match="DATABASE_URL"):
        await open_payments(env, env_file=None, migrate=True).__aenter__()


async def test_an_old_schema_is_named_before_anything_is_done(without_tables: Mapping[str, str]) -> None:
    with pytest.raises(SettingsError, match="booking-payments migrate"):
        async with open_payments(without_tables, env_file=None):
            pytest.fail("it opened")


def test_the_sync_face_has_every_method() -> None:
    methods = {name for name, value in vars(BookingPayments).items() if iscoroutinefunction(value)}
    names = set(SyncBookingPayments.__init__.__code__.co_names)

    assert {name for name in methods if not name.startswith("_")} <= names


@pytest.mark.parametrize("name", booking_payments.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    value = getattr(booking_payments, name)
    assert (value.name if isinstance(value, Enum) else value.__name__) == name


def test_every_class_that_a_method_takes_or_returns_is_a_promised_name() -> None:
    public = {name: value for name, value in vars(BookingPayments).items() if not name.startswith("_")}
    methods = [value.fget if isinstance(value, property) else value for value in public.values()]
    hints = [hint for method in methods if method for hint in get_type_hints(method).values()]

    assert {each.__name__ for hint in hints for each in _our_classes(hint)} <= {*booking_payments.__all__}


def test_every_choice_that_a_promised_class_shows_is_a_promised_name() -> None:
    promised = [getattr(booking_payments, name) for name in booking_payments.__all__]
    values = [each for each in promised if isinstance(each, type) and attrs.has(each)]
    hints = [hint for each in values for hint in get_type_hints(each).values()]
    choices = {each.__name__ for hint in hints for each in _our_classes(hint) if issubclass(each, Enum)}

    assert choices - {"Keep"} <= {*booking_payments.__all__}
    assert isinstance(booking_payments.KEEP, Keep), "its only value stands for it"


def _our_classes(hint: object) -> Iterator[type]:
    """The classes of the package within a type hint."""
    if isinstance(hint, type) and hint.__module__.startswith("booking_payments."):
        yield hint
    for part in get_args(hint):
        yield from _our_classes(part)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        booking_payments.nothing  # noqa: B018 - asking is the test


def test_the_domain_is_imported_without_the_rest() -> None:
    code = (
        "import sys, booking_payments.domain.decisions; print('sqlalchemy' in sys.modules, 'litestar' in sys.modules)"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.split() == ["False", "False"]


# --- a gateway of somebody else's


@pytest.fixture
def own() -> OwnGateway:
    clock = SystemClock()
    return OwnGateway(FakeGateway(FakeStripe(clock.now), clock), StripeWebhooks(["whsec_mine"]))


async def test_a_gateway_from_another_package_works(env: Mapping[str, str], own: OwnGateway) -> None:
    async with open_payments(env, env_file=None, migrate=True, gateway=own) as payments:
        booking = (await payments.register_booking(_seat())).booking
        result = await payments.process_booking_payment(booking, "pm_card_visa")

        assert [intent.id for intent in await own.gateway.list_intents(booking.created_at)] == [
            result.payment_intent_id
        ]


async def test_events_are_read_by_its_own_reader(env: Mapping[str, str], own: OwnGateway) -> None:
    body, now = b'{"id": "evt_1", "type": "payment_intent.created"}', SystemClock().now()
    async with open_payments(env, env_file=None, migrate=True, gateway=own) as payments:
        with pytest.raises(WebhookRefused):
            await payments.receive_webhook(body, {"Stripe-Signature": sign(body, DEVELOPMENT_WEBHOOK_SECRET, now)})


async def test_a_webhook_of_a_gateway_with_other_headers_changes_the_payment(env: Mapping[str, str]) -> None:
    clock, signer = SystemClock(), CertificateGateway()
    stripe = FakeStripe(clock.now)
    own = OwnGateway(FakeGateway(stripe, clock), signer.reader)
    async with open_payments(env, env_file=None, migrate=True, gateway=own) as payments:
        booking = (await payments.register_booking(_seat())).booking
        started = await payments.start_payment(booking.id)
        intent_id = started.payment.intent_id or ""
        [intent] = stripe.call("GET", "/v1/payment_intents", {}).body["data"]
        stripe.confirm_as_customer(intent_id, intent["client_secret"], "pm_card_visa")
        body = signer.event("WH-EVENT-1", intent_id)
        headers = signer.sign(body, clock.now())

        with pytest.raises(WebhookRefused) as refused:
            await payments.receive_webhook(body + b" ", headers)
        result = await payments.receive_webhook(body, headers, gateway="fake")

        assert (refused.value.code, result.event_id, result.outcome) == ("signature_wrong", "WH-EVENT-1", "processed")
        assert (await payments.payment_status(booking.id)).payment.status is PaymentStatus.SUCCEEDED


async def test_webhooks_of_a_gateway_that_is_not_here_are_not_taken(env: Mapping[str, str], own: OwnGateway) -> None:
    body, now = b'{"id": "evt_1", "type": "payment_intent.created"}', SystemClock().now()
    async with open_payments(env, env_file=None, migrate=True, gateway=own) as payments:
        headers = {"Stripe-Signature": sign(body, "whsec_mine", now)}
        with pytest.raises(WebhooksNotTaken):
            await payments.receive_webhook(body, headers, gateway="stripe")


# --- whose logs


HOST = """
import logging
{before}
from datetime import UTC, datetime, timedelta
from booking_payments import Currency, Money, NewBooking, open_payments_sync
seat = NewBooking(reference="SEAT-1", customer_id="ann", amount=Money(10000, Currency.USD),
                  event_starts_at=datetime.now(UTC) + timedelta(days=30))
with open_payments_sync({{"DATABASE_URL": "sqlite:///books.db"}}, env_file=None, migrate=True) as payments:
    payments.process_booking_payment(payments.register_booking(seat).booking, "pm_card_visa")
"""


def _hosted(before: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    done = preloaded.ran(["-c", HOST.format(before=before)], cwd=tmp_path, env=os.environ)
    done.check_returncode()
    return done


def test_a_host_that_wants_no_logs_has_none(tmp_path: Path) -> None:
    ran = _hosted("", tmp_path)

    assert (ran.stdout, ran.stderr) == ("", "")


def test_a_host_hears_us_by_the_standard_librarys_logging(tmp_path: Path) -> None:
    ran = _hosted("logging.basicConfig(level=logging.INFO)", tmp_path)

    assert "INFO:booking_payments.gateway:event='gateway.call' call='create_intent'" in ran.stderr


def test_a_host_with_structlog_hears_us_its_own_way(tmp_path: Path) -> None:
    before = "import structlog; structlog.configure(processors=[structlog.processors.JSONRenderer()])"

    assert '"event": "gateway.call"' in _hosted(before, tmp_path).stdout


async def test_an_exception_of_the_host_is_raised_unchanged(env: Mapping[str, str]) -> None:
    with pytest.raises(LookupError, match="of the host"):
        async with open_payments(env, env_file=None, migrate=True):
            raise LookupError("of the host")


def test_an_exception_of_a_script_is_raised_unchanged(env: Mapping[str, str]) -> None:
    with (
        pytest.raises(LookupError, match="of the script"),
        open_payments_sync(env, env_file=None, migrate=True),
    ):
        raise LookupError("of the script")
