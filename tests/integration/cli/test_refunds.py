"""``payments quote``, ``refund`` and ``settle``, and how other commands show refunds, debts and disputes."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from booking_payments.application.views import NewBooking
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.entrypoints.cli import main
from booking_payments.presentation.models import PaymentAnswer, QuoteAnswer, RefundAnswer
from booking_payments.runtime.composition import build
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.sandbox.emulator import FakeStripe

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _migrated_directory(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    shutil.copy(sqlite_template, tmp_path / "booking-payments.db")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def answered(*args: str, status: int = 0) -> dict[str, Any]:
    """Return the JSON that ``payments ... --json`` prints."""
    done = run("payments", *args, "--json")
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def inside(work: Callable[[Services], Awaitable[T]]) -> T:
    async def run_it() -> T:
        async with build(load_settings()) as services:
            return await work(services)

    return asyncio.run(run_it())


Then = Callable[[FakeStripe, str], object]
_made: dict[tuple[str, Then | None], tuple[Payment, dict[str, bytes]]] = {}
"""Payments made by earlier tests, and the files of their databases."""


def paid(method: str = "pm_card_visa", *, then: Then | None = None) -> Payment:
    """Register a paid booking R-1 of 100.00 in the empty database of the test; ``then`` is run at the gateway, and its
    webhooks are delivered. Copy the files if an earlier test has made the same.
    """
    if (method, then) not in _made:
        payment = _paid(method, then)
        _made[method, then] = payment, {each.name: each.read_bytes() for each in Path.cwd().iterdir()}
    payment, files = _made[method, then]
    for name, content in files.items():
        Path(name).write_bytes(content)
    return payment


def _paid(method: str, then: Then | None) -> Payment:
    async def work(services: Services) -> Payment:
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=datetime.now(UTC) + timedelta(days=30),
        )
        booking = (await services.payments.register_booking(new)).booking
        await services.payments.process_booking_payment(booking, method)
        payment = (await services.payments.payment_status(booking.id)).payment
        if then is not None and services.sandbox is not None:
            then(services.sandbox, payment.intent_id or "")
        await services.payments.reconcile()
        return payment

    return inside(work)


def open_inquiry(stripe: FakeStripe, intent_id: str) -> None:
    assert stripe.open_dispute(intent_id, inquiry=True).ok


def open_chargeback(stripe: FakeStripe, intent_id: str) -> None:
    assert stripe.open_dispute(intent_id, amount=3000).ok


def cancel(payment: Payment) -> None:
    inside(lambda services: services.payments.cancel_booking(payment.booking_id, refund=RefundOnCancel.FULL))


FIELDS = {
    "quote": set(QuoteAnswer.__struct_fields__),
    "refund": set(RefundAnswer.__struct_fields__),
    "settle": set(PaymentAnswer.__struct_fields__),
}


# --- quote and refund


def test_a_quote_shows_the_refund_and_moves_no_money() -> None:
    payment = paid()

    found = answered("quote", "R-1", "--amount", "25.00")

    assert set(found) == FIELDS["quote"]
    assert (found["allowed"], found["amount"], found["reason_code"]) == (True, "25.00", "refundable")
    assert answered("show", payment.id)["refunds"] == []


def test_an_impossible_refund_makes_quote_exit_with_1_and_the_reason() -> None:
    paid()

    done = run("payments", "quote", "R-1", "--amount", "100.01")

    assert (done.exit_code, "(exceeds_refundable)" in done.stdout) == (1, True)


@pytest.mark.parametrize("named_by", ["id", "booking_id", "booking_reference", "intent_id"])
def test_a_refund_accepts_each_id_of_its_payment(named_by: str) -> None:
    payment = paid()

    made = answered("refund", getattr(payment, named_by), "--amount", "25.00")

    assert set(made) == FIELDS["refund"]
    assert (made["status"], made["refunded_amount"], made["remaining_refundable"]) == ("succeeded", "25.00", "75.00")


def test_a_refund_without_an_amount_refunds_the_refundable_amount() -> None:
    paid()

    assert run("payments", "refund", "R-1").stdout.startswith("100.00 USD succeeded, refund rf_")


def test_reason_and_note_are_stored_and_the_note_is_not_sent_to_the_gateway() -> None:
    payment = paid()

    answered("refund", "R-1", "--amount", "25.00", "--reason", "duplicate", "--note", "booked twice")

    shown = run("payments", "show", payment.id).stdout
    assert "reason: duplicate" in shown
    assert "note: booked twice" in shown
    assert "by operator:cli" in shown


def test_a_refund_against_the_rules_exits_with_1_and_the_reason() -> None:
    paid()

    done = run("payments", "refund", "R-1", "--amount", "100.01")

    assert (done.exit_code, done.stdout) == (1, "")
    assert "larger than what can still be refunded" in done.stderr


def test_an_operator_can_override_the_rules_with_a_note() -> None:
    paid(then=open_inquiry)
    waits = answered("quote", "R-1", "--amount", "25.00")
    passes = answered("quote", "R-1", "--amount", "25.00", "--override")

    made = answered("refund", "R-1", "--amount", "25.00", "--override", "--note", "they are regulars")

    assert (waits["deferred"], passes["deferred"], passes["overrides"]) == (True, False, ["inquiry"])
    assert (made["deferred"], made["status"]) == (False, "succeeded")


@pytest.mark.parametrize(
    "args",
    [
        ["refund", "R-1", "--override"],
        ["refund", "R-1", "--override", "--note", " "],
        ["refund", "R-1", "--reason", "because"],
        ["refund"],
        ["quote"],
        ["settle", "R-1"],
        ["settle", "R-1", "--amount", "1.00", "--how", "waived"],
        ["settle", "R-1", "--amount", "1.00", "--how", "stolen", "--note", "x"],
    ],
)
def test_a_usage_error_exits_with_2(args: list[str]) -> None:
    assert run("payments", *args).exit_code == 2


@pytest.mark.parametrize("command", ["quote", "refund", "settle"])
def test_help_has_examples(command: str) -> None:
    assert "Examples:" in run("payments", command, "--help").output


@pytest.mark.parametrize("args", [["quote", "R-9"], ["refund", "R-9"]])
def test_an_unknown_id_is_an_error_that_names_the_next_command(args: list[str]) -> None:
    done = run("payments", *args)

    assert (done.exit_code, "see: booking-payments payments list" in done.stderr) == (1, True)


def test_a_partial_refund_during_an_inquiry_is_deferred() -> None:
    paid(then=open_inquiry)

    said = run("payments", "refund", "R-1", "--amount", "25.00").stdout

    assert "25.00 USD is promised and is sent automatically" in said
    assert "owed to the customer: 25.00 USD, of which 25.00 USD is sent by itself" in said


# --- settle


def test_a_debt_paid_elsewhere_is_settled() -> None:
    payment = paid(then=open_chargeback)
    cancel(payment)
    owed = answered("show", "R-1")["refund_owed"]

    found = answered("settle", "R-1", "--amount", "20.00", "--how", "paid_elsewhere", "--note", "in cash")

    assert set(found) == FIELDS["settle"]
    assert (owed, found["refund_owed"]) == ("100.00", "80.00")
    assert "note: in cash" in run("payments", "show", "R-1").stdout


def test_a_settlement_above_the_owed_amount_is_refused() -> None:
    paid()

    done = run("payments", "settle", "R-1", "--amount", "1.00", "--how", "waived", "--note", "x")

    assert (done.exit_code, "only 0.00 usd is owed" in done.stderr.lower()) == (1, True)


# --- show and reconcile


def test_a_payment_shows_owed_and_waiting_amounts_and_its_disputes() -> None:
    payment = paid(then=open_chargeback)
    cancel(payment)

    found, said = answered("show", "R-1"), run("payments", "show", "R-1").stdout

    [dispute], [deferred] = found["disputes"], found["deferred_refunds"]
    assert (found["refund_owed"], found["refund_waiting"], found["withdrawn_amount"]) == ("100.00", "100.00", "30.00")
    assert (dispute["amount"], dispute["withdrawn_amount"], dispute["is_inquiry"]) == ("30.00", "30.00", False)
    assert (deferred["amount"], deferred["deferred"]) == ("100.00", True)
    assert "owed to the customer: 100.00 USD, of which 100.00 USD is sent by itself" in said
    assert f"dispute {dispute['dispute_id']} over 30.00 USD: needs response, 30.00 USD withdrawn" in said
    assert f"refund {deferred['refund_id']} of 100.00 USD waits: dispute" in said


def test_an_inquiry_is_shown_as_such() -> None:
    paid(then=open_inquiry)

    said = run("payments", "show", "R-1").stdout

    assert "over 100.00 USD: warning needs response, 0.00 USD withdrawn, to be answered until " in said
    assert "\ninquiry du_" in said


def test_amounts_that_wait_for_a_dispute_are_listed_apart_and_exit_with_0() -> None:
    payment = paid(then=open_chargeback)
    cancel(payment)

    done, found = run("reconcile"), json.loads(run("reconcile", "--json").stdout)

    assert done.exit_code == 0, done.output
    assert f"waiting  waiting                R-1 {payment.id}" in done.stdout
    assert ([each["code"] for each in found["waiting"]], found["left"], found["ok"]) == (["waiting"], [], True)


def test_a_failed_refund_is_reported_for_a_person_and_exits_with_1() -> None:
    paid("pm_card_refundFail")
    answered("refund", "R-1", "--amount", "40.00")
    _fail_the_refund()
    done = run("reconcile")

    assert done.exit_code == 1, done.output
    assert "refund_owed" in done.stdout
    assert "40.00" in done.stdout


def _fail_the_refund() -> None:
    refund_id = answered("show", "R-1")["refunds"][0]["gateway_refund_id"]

    async def work(services: Services) -> None:
        assert services.sandbox is not None
        services.sandbox.fail_refund(refund_id)

    inside(work)


# --- an outcome that is unknown


def test_a_repeated_command_after_an_unknown_outcome_returns_the_refund(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYMENT_RETRY_DELAY", "0")
    paid()
    strike = FakeStripe.__init__

    def struck(stripe: FakeStripe, *given: Any, **more: Any) -> None:
        strike(stripe, *given, **more)
        stripe.faults.script("POST /v1/refunds", "reset_after", times=10)

    with monkeypatch.context() as silent:
        silent.setattr(FakeStripe, "__init__", struck)
        first = run("payments", "refund", "R-1", "--amount", "25.00")
    run("reconcile")
    second = answered("refund", "R-1", "--amount", "25.00")
    third = answered("refund", "R-1", "--amount", "25.00")

    assert (first.exit_code, "the outcome is being checked" in first.stderr) == (1, True)
    assert (second["refunded_amount"], third["refunded_amount"]) == ("25.00", "50.00")
