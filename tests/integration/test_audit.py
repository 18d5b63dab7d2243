"""The audit trail: every command that may move money leaves one record, which the database refuses to change."""

import inspect
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
from click.testing import CliRunner

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.errors import CardDeclined, NotFound, OutcomeUnknown, PaymentError, RefusedByRule
from booking_payments.domain.events import Settlement
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.entrypoints.cli import main
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import LockScope, TransactionBody, UnitOfWork
from booking_payments.testing.kit import ANN, NOW, OPERATOR, PaymentsTestKit
from tests.payments import pay
from tests.unit.application.failing_gateway import FailingGateway

READING = {
    "get_booking", "payment_status", "journal", "list_payments", "quote_refund", "check_ledger", "list_webhooks",
    "audit_trail", "undelivered_messages", "poll_payment", "checkout", "figures", "disputes", "drift_reports",
    "list_bookings", "describe_booking", "describe_bookings", "quote_refund_of_payment", "recent_figures",
    "messages", "channel_states", "preview_event", "event_report", "event_lines", "each_event_line",
    "upcoming_events", "event_overview", "export_rows", "preview_amendment", "preview_cancellation",
}  # fmt: skip
WITHOUT_A_COMMAND = {
    "receive_webhook", "work", "settle_payment", "settle_due", "expire_bookings", "catch_up", "forget_answers",
    "deliver_messages", "attach_channels", "announce_expiring", "continue_event_jobs", "run_event_job",
}  # fmt: skip
"""Methods without a record: their changes are recorded elsewhere, or they move no money."""

GUIDES = {"process_booking_payment", "retry_booking_payment", "process_booking_refund", "refund_payment_by_id"}
"""The guide's three calls are made of the commands, and so is a refund by the payment's own id."""

BY_HAND = {"record_payment"}
"""Needs a gateway that this installation has not; tests/integration/test_manual.py looks at its record."""

T = TypeVar("T")
Command = Callable[[PaymentsTestKit, str], Awaitable[object]]


async def _owing(kit: PaymentsTestKit, booking_id: str) -> None:
    """A canceled booking whose refund waits for the end of a dispute."""
    payment = (await pay(kit, booking_id)).payment
    kit.stripe.open_dispute(payment.intent_id or "")
    await kit.deliver_webhooks()
    await kit.payments.cancel_booking(booking_id, refund=RefundOnCancel.FULL)


async def _settle(kit: PaymentsTestKit, booking_id: str) -> object:
    payment = (await kit.payments.payment_status(booking_id)).payment
    return await kit.payments.settle_debt(
        payment.id, OPERATOR, amount="5.00", how=Settlement.PAID_ELSEWHERE, note="in cash"
    )


async def _authorized(kit: PaymentsTestKit, booking_id: str) -> None:
    await pay(kit, booking_id, capture_method=CaptureMethod.MANUAL)


async def _open(kit: PaymentsTestKit, booking_id: str) -> None:
    await kit.payments.start_payment(booking_id, ANN)


async def _nothing(kit: PaymentsTestKit, booking_id: str) -> None:
    return None


COMMANDS: dict[str, tuple[Command, Command]] = {
    "register_booking": (_nothing, lambda kit, _: kit.book(reference="R-2")),
    "cancel_booking": (pay, lambda kit, id_: kit.payments.cancel_booking(id_, OPERATOR)),
    "start_payment": (_nothing, lambda kit, id_: kit.payments.start_payment(id_, OPERATOR)),
    "confirm_payment": (
        _open,
        lambda kit, id_: kit.payments.confirm_payment(id_, OPERATOR, payment_method_id="pm_card_visa"),
    ),
    "retry_payment": (
        _open,
        lambda kit, id_: kit.payments.retry_payment(id_, OPERATOR, payment_method_id="pm_card_visa"),
    ),
    "capture_payment": (_authorized, lambda kit, id_: kit.payments.capture_payment(id_, OPERATOR)),
    "cancel_payment": (_authorized, lambda kit, id_: kit.payments.cancel_payment(id_, OPERATOR)),
    "refund_payment": (pay, lambda kit, id_: kit.payments.refund_payment(id_, OPERATOR, amount=Decimal("1.50"))),
    "settle_debt": (_owing, _settle),
    "amend_booking": (_nothing, lambda kit, id_: kit.payments.amend_booking(id_, BookingChange(title="New"), OPERATOR)),
    "cancel_event": (_nothing, lambda kit, _: kit.payments.cancel_event("evening", OPERATOR)),
    "reschedule_event": (
        lambda kit, _: kit.book(event_id="evening", reference="R-evening"),
        lambda kit, _: kit.payments.reschedule_event("evening", OPERATOR, event_starts_at=NOW + timedelta(days=1)),
    ),
    "reconcile": (pay, lambda kit, _: kit.payments.reconcile(caller=OPERATOR)),
    "replay_webhooks": (pay, lambda kit, _: kit.payments.replay_webhooks(caller=OPERATOR)),
    "replay_messages": (_nothing, lambda kit, _: kit.payments.replay_messages(["msg_1"], OPERATOR)),
    "drop_messages": (_nothing, lambda kit, _: kit.payments.drop_messages(["msg_1"], OPERATOR)),
    "add_channel": (_nothing, lambda kit, _: kit.payments.add_channel("pull:app", OPERATOR)),
    "remove_channel": (
        lambda kit, _: kit.payments.add_channel("pull:app", Caller.system("test")),
        lambda kit, _: kit.payments.remove_channel("pull:app", OPERATOR, force=True),
    ),
}


def test_every_method_of_the_facade_is_a_command_or_known_to_be_none() -> None:
    methods = {name for name, _ in inspect.getmembers(BookingPayments, inspect.isfunction) if not name.startswith("_")}

    known = set(COMMANDS) | READING | WITHOUT_A_COMMAND | GUIDES | BY_HAND
    assert methods == known, "list a new method: in READING if it changes nothing, in COMMANDS if it leaves a record"


async def _trail(kit: PaymentsTestKit) -> list[AuditRecord]:
    return list(reversed(await kit.payments.audit_trail(limit=1000)))


@pytest.mark.parametrize("operation", COMMANDS)
async def test_a_command_leaves_one_record(kit: PaymentsTestKit, operation: str) -> None:
    prepare, command = COMMANDS[operation]
    booking = await kit.book()
    await prepare(kit, booking.id)
    before = len(await _trail(kit))

    await command(kit, booking.id)

    new = [each for each in (await _trail(kit))[before:] if not each.actor.startswith(("system", "gateway"))]
    assert [(each.operation, each.outcome, each.code) for each in new] == [(operation, AuditOutcome.DONE, None)]
    assert new[0].actor in (OPERATOR.actor, "service:backend")
    assert new[0].cause


async def test_a_record_names_messages_and_channel_and_keeps_no_other_text(kit: PaymentsTestKit) -> None:
    await kit.payments.replay_messages(["msg_1", "msg_2"], OPERATOR, channel="webhook")
    await kit.payments.drop_messages([f"msg_{number:03}" for number in range(200)], OPERATOR, channel="any text")

    many, few = await kit.payments.audit_trail(limit=2)
    assert (few.actor, few.asked) == (OPERATOR.actor, {"messages": "msg_1 msg_2", "channel": "webhook"})
    assert many.asked.keys() == {"messages"}
    assert many.asked["messages"].startswith("200 messages: msg_000 msg_001")


async def test_a_record_has_the_booking_its_owner_and_the_request(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)

    await kit.payments.refund_payment(booking.id, OPERATOR, amount="1.50")

    [record] = await kit.payments.audit_trail(booking.id, limit=1)
    assert record.asked == {"amount": "1.50", "reason": "requested_by_customer"}


async def test_the_record_of_a_new_booking_names_it(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    [record] = await kit.payments.audit_trail(booking.id)
    assert record.asked == {"reference": "R-1", "amount": "100.00 usd"}


async def _outcome(
    kit: PaymentsTestKit, work: Awaitable[object], error: type[PaymentError]
) -> tuple[AuditOutcome, str | None]:
    with pytest.raises(error):
        await work
    [record] = await kit.payments.audit_trail(limit=1)
    return record.outcome, record.code


async def test_a_decline_is_on_record(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    work = pay(kit, booking, "pm_card_visa_chargeDeclined")

    assert await _outcome(kit, work, CardDeclined) == (AuditOutcome.REFUSED, "card_declined")


async def test_a_refusal_is_on_record(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)
    work = kit.payments.refund_payment(booking.id, ANN, amount="100.01")

    assert await _outcome(kit, work, RefusedByRule) == (AuditOutcome.REFUSED, "exceeds_refundable")


async def test_a_request_for_another_customers_booking_is_recorded(kit: PaymentsTestKit) -> None:
    work = kit.payments.cancel_payment("bk_of_nobody", ANN)

    assert await _outcome(kit, work, NotFound) == (AuditOutcome.REFUSED, "not_found")


async def test_an_unknown_outcome_and_the_actor_who_settles_it_are_recorded(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=9)
    work = pay(kit, booking)

    assert await _outcome(kit, work, OutcomeUnknown) == (AuditOutcome.UNKNOWN, "outcome_unknown")

    kit.stripe.faults.clear()
    await kit.settle()
    settled = (await _trail(kit))[-1]
    assert (settled.actor, settled.operation) in {("system", "resolve"), ("gateway", "webhook")}


async def test_an_unexpected_error_is_recorded_without_its_text(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    gateway = FailingGateway(kit, create_intent=[RuntimeError("canary")])
    with pytest.raises(RuntimeError):
        await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).start_payment(booking.id, ANN)

    [record] = await kit.payments.audit_trail(limit=1)
    assert (record.outcome, record.code) == (AuditOutcome.FAILED, "RuntimeError")
    assert "canary" not in repr(record)


# --- without a command


async def test_an_expiry_leaves_a_record(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(hours=1))
    kit.clock.advance(timedelta(hours=2))

    await kit.payments.work()

    [record] = await kit.payments.audit_trail(booking.id, limit=1)
    assert (record.actor, record.operation, record.asked) == ("system", "expiry", {"events": "BookingReleased"})


async def test_a_webhook_that_changes_something_leaves_a_record(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, "pm_card_authenticationRequired")
    kit.authenticate(view, "succeeded")

    await kit.deliver_webhooks()

    records = [each for each in await _trail(kit) if each.operation == "webhook"]
    assert records
    assert all(each.cause.startswith("evt_") and each.payment_id for each in records)


async def test_a_webhook_that_changes_nothing_leaves_none(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)
    before = await _trail(kit)

    await kit.deliver_webhooks()

    assert await _trail(kit) == before


async def test_every_fact_belongs_to_a_record(kit: PaymentsTestKit) -> None:
    """Every event of the journal belongs to a recorded command, or was recorded without a command."""
    booking = await kit.book()
    view = await pay(kit, booking, "pm_card_authenticationRequired")
    kit.authenticate(view, "succeeded")
    await kit.settle()
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="1.00")
    await kit.settle()

    told = {(each.actor, each.cause) for each in await _trail(kit)}
    assert {(each.actor, each.cause) for each in await kit.payments.journal(booking.id)} <= told


async def test_forgetting_old_answers_leaves_the_trail_alone(kit: PaymentsTestKit) -> None:
    await kit.book()
    before = await _trail(kit)

    await kit.payments.forget_answers(kit.clock.now() + timedelta(days=1))

    assert await _trail(kit) == before


class Crowded(MemoryStorage):
    """Too busy for records of the audit trail, and for nothing else."""

    async def transact(self, work: TransactionBody[T], about: LockScope | None = None) -> T:
        async def crowded(uow: UnitOfWork) -> T:
            before = len(await uow.audit.latest(1))
            result = await work(uow)
            if len(await uow.audit.latest(1)) > before:
                raise StorageConflict
            return result

        return await super().transact(crowded, about)


async def test_a_storage_too_busy_for_the_record_does_not_undo_the_command() -> None:
    kit = PaymentsTestKit(storage=Crowded())
    booking = await kit.book()

    await kit.payments.start_payment(booking.id, ANN)

    assert (await kit.payments.payment_status(booking.id, ANN)).payment.intent_id
    assert await kit.payments.audit_trail() == []


def test_the_command_line_leaves_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run: Any = CliRunner().invoke
    run(main, ["migrate"])

    words = "--reference R-1 --customer ann --amount 1.00 --currency usd --starts 2030-01-01T20:00:00Z"
    assert run(main, ["booking", "create", *words.split()]).exit_code == 0
    assert run(main, ["reconcile"]).exit_code == 0
    assert run(main, ["webhooks", "replay", "--failed"]).exit_code == 0

    with sqlite3.connect(tmp_path / "booking-payments.db") as connection:
        rows = connection.execute("SELECT actor, operation, cause FROM bp_audit ORDER BY id").fetchall()
    connection.close()
    assert rows == [
        ("service:cli", "register_booking", "booking create"),
        ("service:cli", "reconcile", "reconcile"),
        ("service:cli", "replay_webhooks", "webhooks replay"),
    ]
