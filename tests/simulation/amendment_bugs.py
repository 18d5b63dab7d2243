"""Bugs of amendments, items and event jobs, planted on purpose, each with the scenario that finds it.

A scenario plays on an in-memory installation and returns what went wrong; without a bug it returns nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from booking_payments.application import amending, event_jobs, refunding
from booking_payments.application.bookings import cancel_booking
from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.recording import Recorder
from booking_payments.domain import amendments, decisions
from booking_payments.domain.amendments import Amendment, BookingChange
from booking_payments.domain.booking import BookingStatus, ItemCount
from booking_payments.domain.decisions import PriceChange, Step
from booking_payments.domain.errors import OutcomeUnknown, PaymentError
from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import payment_of_booking
from booking_payments.domain.refunds import Reduction, RefundOnCancel, RefundPolicy, RefundReason, RefundTier
from booking_payments.ports.event_jobs import BookingOutcome
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import pay, pay_in_browser, start
from tests.unit.application.failing_gateway import FailingGateway, PowerCut, use_gateway

Patch = pytest.MonkeyPatch
Scenario = Callable[[PaymentsTestKit], Awaitable[list[str]]]
EVENT: Final = "evening"
FORTY_PERCENT: Final = RefundPolicy(tiers=(RefundTier(hours_before=1, percent=Decimal(40)),))
"""So that the gateway would accept a second refund."""


def _price(text: str) -> BookingChange:
    return BookingChange(amount=Money.parse(text, Currency.USD))


async def _amend(kit: PaymentsTestKit, booking_id: str, text: str) -> None:
    try:
        await kit.payments.amend_booking(booking_id, _price(text), OPERATOR)
    except OutcomeUnknown:
        await kit.settle()


# --- scenarios -------------------------------------------------------------------------------------------------


async def cheaper_while_the_page_is_open(kit: PaymentsTestKit) -> list[str]:
    view = await start(kit)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}", "timeout_before", times=3)
    await _amend(kit, view.payment.booking_id, "80.00")
    pay_in_browser(kit, view)
    await kit.settle()
    booking = await kit.payments.get_booking(view.payment.booking_id)
    charged = (await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")).amount_received
    return [] if charged == booking.amount else [f"charged {charged} for {booking.amount}"]


async def dearer_while_the_page_is_open(kit: PaymentsTestKit) -> list[str]:
    view = await start(kit)
    shown = view.payment.amount
    await _amend(kit, view.payment.booking_id, "120.00")
    pay_in_browser(kit, view)
    await kit.settle()
    charged = (await kit.payments.payment_status(view.payment.booking_id)).payment.captured
    return [f"the page showed {shown} and {charged} was charged"] if charged > shown else []


async def one_item_twice(kit: PaymentsTestKit) -> list[str]:
    booking = await kit.book(items={"adult": (1, "40.00"), "child": (2, "30.00")})
    await pay(kit, booking)
    for _ in range(2):
        try:
            await kit.payments.refund_payment(booking.id, OPERATOR, items=[ItemCount(id="adult", quantity=1)])
        except PaymentError:
            continue
    back = (await kit.payments.payment_status(booking.id)).payment.refunded
    return [f"{back} went back for an item of 40.00"] if back.minor > 4000 else []


async def one_request_twice(kit: PaymentsTestKit) -> list[str]:
    booking = await kit.book(items={"adult": (3, "25.00")})
    await pay(kit, booking)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    for _ in range(2):
        try:
            await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="adult", quantity=1)])
        except OutcomeUnknown:
            await kit.settle()
    left = sum(item.quantity for item in (await kit.payments.get_booking(booking.id)).items)
    return [f"{3 - left} units are gone after one request, sent twice"] if left != 2 else []


async def a_request_that_is_refused(kit: PaymentsTestKit) -> list[str]:
    booking = await kit.book(items={"adult": (3, "25.00")})
    await pay(kit, booking)
    use_gateway(kit, FailingGateway(kit, create_refund=[GatewayRefused("no", code="balance_insufficient")]))
    try:
        await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="adult", quantity=1)])
    except PaymentError:
        left = sum(item.quantity for item in (await kit.payments.get_booking(booking.id)).items)
        return [f"{3 - left} units are gone, and the refund was refused"] if left != 3 else []
    return ["the refund was not refused"]


async def an_event_whose_job_dies(kit: PaymentsTestKit) -> list[str]:
    booking = await kit.book(event_id=EVENT)
    view = await pay(kit, booking)
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="40.00")
    job = await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.NONE)
    await kit.payments.run_event_job(job)
    lost = event_jobs._result(kit.deps, job, booking.id, BookingOutcome.WAITING, "died")

    async def before_the_end(uow: UnitOfWork) -> None:
        await uow.events.put(evolve(lost, at=job.created_at))
        await uow.events.save(job)

    await kit.storage.transact(before_the_end)
    calls = len(kit.stripe.calls)
    await kit.payments.run_event_job(job)
    sent = [each for each in list(kit.stripe.calls)[calls:] if each.method == "POST" and "refund" in each.path]
    back = (await kit.payments.payment_status(booking.id)).payment.refunded
    found = [f"{back} went back of {view.payment.amount}"] if back > view.payment.amount else []
    return [*found, *(["a refund was sent again"] if sent else [])]


async def an_event_whose_process_is_killed(_: PaymentsTestKit) -> list[str]:
    found = await asyncio.gather(*[_killed_at(write) for write in range(1, 16)])
    return [each for each in found if each]


async def _killed_at(write: int) -> str:
    """Kill the process that cancels an event before its ``write``, and let another one go on."""
    kit = PaymentsTestKit()
    booking = await kit.book(event_id=EVENT, refund_policy=FORTY_PERCENT)
    await pay(kit, booking)
    await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.POLICY)
    storage, writes = kit.deps.storage, 0

    async def transact(*given: Any, **named: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == write:
            raise PowerCut
        return await storage.transact(*given, **named)

    kit.deps = evolve(kit.deps, storage=SimpleNamespace(transact=transact, read=storage.read))
    try:
        await BookingPayments(kit.deps).continue_event_jobs()
    except (PowerCut, BaseExceptionGroup):
        kit.clock.advance(kit.deps.config.lease)
    for _attempt in range(3):
        await kit.settle()
    refunds = kit.stripe.call("GET", "/v1/refunds", {}, None).body["data"]
    return "" if [each["amount"] for each in refunds] == [4000] else f"killed at write {write}: {len(refunds)} refunds"


async def a_cancel_that_nobody_answers(kit: PaymentsTestKit) -> list[str]:
    booking = await kit.book(items={"adult": (2, "50.00")})
    await kit.payments.start_payment(booking.id, ANN)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}", "timeout_before", times=3)
    try:
        await kit.payments.cancel_booking(booking.id, ANN, items=[ItemCount(id="adult", quantity=1)])
    except PaymentError:
        left = await kit.payments.get_booking(booking.id)
        return [] if left.amount.minor == 10000 else ["a seat is free although nobody knows what its intent charges"]
    return ["the seat was given up although the gateway did not answer"]


# --- bugs ------------------------------------------------------------------------------------------------------


def _applied_at_once(patch: Patch) -> None:
    real = amending._apply

    def apply(deps: Any, recorder: Recorder, amendment: Amendment) -> None:
        before = recorder.payment_or_none
        if before is not None and before.status.awaits_customer:
            recorder.amend(amendment)
        else:
            real(deps, recorder, amendment)

    patch.setattr(amending, "_apply", apply)


def _dearer_in_place(patch: Patch) -> None:
    table = {status: dict(row) for status, row in decisions.AMENDMENTS.items()}
    table[PaymentStatus.REQUIRES_PAYMENT_METHOD][PriceChange.DEARER] = Step.UPDATE
    patch.setattr("booking_payments.domain.decisions.amending.AMENDMENTS", table)


def _items_not_marked(patch: Patch) -> None:
    real = amendments.refunding_items

    def unmarked(booking: Any, named: Any, **more: Any) -> Amendment:
        return evolve(real(booking, named, **more), items=booking.items)

    def reduction(payment: Any, before: Any, after: Any) -> Reduction:
        return Reduction(amount=Money.parse("40.00", Currency.USD), kept_fee=Money.zero(Currency.USD))

    patch.setattr(refunding, "refunding_items", unmarked)
    patch.setattr("booking_payments.domain.decisions.amending.reduction_of", reduction)


def _items_without_identity(patch: Patch) -> None:
    real = decisions.repeated

    def repeated(payment: Any, by: str, amount: Any, now: Any, items: Any = ()) -> Any:
        return None if items else real(payment, by, amount, now)

    patch.setattr(decisions, "repeated", repeated)


def _units_before_the_answer(patch: Patch) -> None:
    patch.setattr("booking_payments.domain.decisions.closing._stands", lambda payment, refund: True)


def _job_repeats(patch: Patch) -> None:
    async def again(deps: Any, job: Any, booking_id: str) -> bool:
        booking, payments = await event_jobs._read(deps, booking_id)
        payment = payment_of_booking(payments)
        if booking.status is BookingStatus.CANCELED and payment is not None and payment.intent_id is not None:
            one_cent = CreateRefund(
                intent_id=payment.intent_id,
                refund_id=booking_id,
                amount=Money(1, Currency.USD),
                reason=RefundReason.REQUESTED_BY_CUSTOMER,
            )
            await deps.gateway.create_refund(one_cent, deps.ids.idempotency_key())
            return True
        return await real(deps, job, booking_id)

    real = event_jobs._carry_out
    patch.setattr(event_jobs, "_carry_out", again)


def _refund_forgotten(patch: Patch) -> None:
    real = event_jobs._carry_out

    async def sent_first(deps: Any, job: Any, booking_id: str) -> bool:
        booking, payments = await event_jobs._read(deps, booking_id)
        payment = payment_of_booking(payments)
        paid = booking.status.is_live and payment is not None and payment.status is PaymentStatus.SUCCEEDED
        if not paid or payment is None or payment.intent_id is None:
            return await real(deps, job, booking_id)
        refund = CreateRefund(
            intent_id=payment.intent_id,
            refund_id=deps.ids.new("rf"),
            amount=payment.refundable.promised_on_cancel(deps.clock.now(), in_full=False),
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
        )
        await deps.gateway.create_refund(refund, deps.ids.idempotency_key())
        caller = Caller(actor=job.actor, cause=job.cause, by_itself=True)
        await cancel_booking(deps, booking_id, caller, reason=None, refund=RefundOnCancel.NONE)
        return True

    patch.setattr(event_jobs, "_carry_out", sent_first)


@frozen
class AmendmentBug:
    """A planted bug: what is wrong, how it is planted, and the scenario that finds it."""

    wrong: str
    plant: Callable[[Patch], None]
    scenario: Scenario


AMENDMENT_BUGS: Final[Mapping[str, AmendmentBug]] = {
    "old_price_after_an_amendment": AmendmentBug(
        "the booking gets its new price before the gateway has confirmed it",
        _applied_at_once,
        cheaper_while_the_page_is_open,
    ),
    "item_twice": AmendmentBug("refunded units are not marked", _items_not_marked, one_item_twice),
    "item_request_repeated": AmendmentBug(
        "an item request repeated gives a second unit back", _items_without_identity, one_request_twice
    ),
    "unit_gone_although_refused": AmendmentBug(
        "a refund of items gives its units up before the gateway has answered",
        _units_before_the_answer,
        a_request_that_is_refused,
    ),
    "dearer_by_an_old_page": AmendmentBug(
        "a dearer price changes the intent in place", _dearer_in_place, dearer_while_the_page_is_open
    ),
    "event_job_repeats": AmendmentBug(
        "a job that goes on after a crash refunds again", _job_repeats, an_event_whose_job_dies
    ),
    "event_job_forgets_its_refunds": AmendmentBug(
        "a job sends a refund before anything of it is stored", _refund_forgotten, an_event_whose_process_is_killed
    ),
    "seat_released_although_unknown": AmendmentBug(
        "a seat is given up before the gateway has confirmed it", _applied_at_once, a_cancel_that_nobody_answers
    ),
}
