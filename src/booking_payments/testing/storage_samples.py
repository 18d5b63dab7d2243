"""Values for tests of storage in which every field differs from its default, and what each is changed to.

``PREPARE`` and ``STORE`` are the transactions that store all of them, ``CHANGE`` those that change every mutable
field. A new field of one of these classes needs a value here; ``unset`` and ``unchanged`` return the fields without
one.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import attrs
from attrs import frozen

from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingDetails, BookingStatus, EndReason, Item, ItemsRequest
from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, Client
from booking_payments.domain.ledger import Posting, postings_of
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import DeferredRefund, LostCall
from booking_payments.domain.refunds import Deferral, GivenBack, RefundReason
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.payments import ClientAction, PollState
from booking_payments.ports.publisher import Message
from booking_payments.ports.unit_of_work import LockScope, TransactionBody, UnitOfWork
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import booking, payment_with_every_event, started_payment

LATER: Final = NOW + timedelta(hours=3)
EVENT_ID: Final = "evt_1"
INTENT_ID: Final = "pi_1"


def _usd(minor: int) -> Money:
    return Money(minor, Currency.USD)


BOOKING: Final = attrs.evolve(
    booking(),
    details=BookingDetails(title="Night", customer_email="ann@example.com", capture_method=CaptureMethod.MANUAL),
    end_reason=None,
    event_id="evening-1",
    items=(Item(id="adult", label="Adult", quantity=2, unit_amount=_usd(5000), refunded=1),),
    metadata={"table": "7"},
    version=2,
    expiry_follows_event=True,
    refund_grace_until=NOW + timedelta(days=2),
    registered_as="0" * 64,
    amended_by=("req_1",),
    unanswered=(ItemsRequest(digest="0" * 16, at=NOW),),
)
BOOKING_ENDED: Final = attrs.evolve(
    BOOKING,
    status=BookingStatus.EXPIRED,
    end_reason=EndReason.ATTEMPTS_EXHAUSTED,
    amount=_usd(4000),
    event_starts_at=NOW + timedelta(days=31),
    expires_at=NOW + timedelta(days=30),
    details=BookingDetails(title="Matinee", locale="de-AT"),
    items=(Item(id="child", label="Child", quantity=1, unit_amount=_usd(4000)),),
    metadata={"table": "8"},
    version=3,
    expiry_follows_event=False,
    refund_grace_until=None,
    registered_as="1" * 64,
    amended_by=("req_1", "req_2"),
    unanswered=(ItemsRequest(digest="1" * 16, at=NOW),),
)
BOOKING_FIXED: Final = frozenset({"id", "reference", "customer_id", "created_at", "refund_policy", "event_id"})
"""The fields of a booking that never change."""

_LIFE: Final = payment_with_every_event(BOOKING)

PAYMENT: Final = attrs.evolve(
    _LIFE.payment,
    promised=GivenBack(amount=_usd(5000), fee=_usd(0)),
    refund_grace_until=NOW + timedelta(days=1),
    intent_price=_usd(9000),
)
EVENTS: Final[Sequence[ev.Recorded]] = tuple(_LIFE.journal)
POSTINGS: Final[Sequence[Posting]] = tuple(postings_of(EVENTS))

_ADDED: Final = ev.Recorded(
    sequence=PAYMENT.version + 1, at=LATER, actor="operator:olga", cause="req_2", event=ev.BookingConfirmed()
)
PAYMENT_CHANGED: Final = attrs.evolve(
    PAYMENT,
    status=PaymentStatus.CANCELED,
    intent_id="pi_2",
    captured=_usd(5000),
    version=PAYMENT.version + 1,
    updated_at=LATER,
    breakdown=FeePolicy(rate=Decimal("0.05"), payer=FeePayer.ORGANIZER).of_booking(_usd(5900)),
    authorized=_usd(4900),
    attempts=PAYMENT.attempts[:1],
    refunds=(
        attrs.evolve(PAYMENT.refunds[1], amount=_usd(700)),
        attrs.evolve(PAYMENT.refunds[1], id="rf_3", gateway_refund_id="re_3", status=RefundStatus.PENDING),
    ),
    disputes=(),
    operation=None,
    late=True,
    drifts=(),
    promised=GivenBack(amount=_usd(5500), fee=_usd(10)),
    beside=_usd(40),
    settled=GivenBack(amount=_usd(30), fee=_usd(1)),
    deferred=(
        DeferredRefund(
            id="rf_4",
            amount=_usd(300),
            fee_refunded=_usd(3),
            reason=RefundReason.DUPLICATE,
            note="snow",
            why=Deferral.DISPUTE,
            created_at=LATER,
        ),
    ),
    releases=(ev.AuthorizationReleased(gateway_refund_id="re_4", amount=_usd(100)),),
    return_url="https://other.example",
    takes_redirects=False,
    voucher_lasts_s=604800,
    client=Client.STRIPE_JS if PAYMENT.client is not Client.STRIPE_JS else None,
    method=None,
    capture_before=None,
    receipt_url=None,
    lost=(LostCall(idempotency_key="key-11", sent_at=NOW, key_from=LATER, refund_id="rf_1", amount=_usd(20)),),
    attached="pm_9",
    burnt=(ev.BurntMethod(payment_method_id="pm_8", decline=Decline(code="card_declined", message="No.")),),
    booking_amount=_usd(5800),
    event_starts_at=LATER,
    refund_grace_until=LATER,
    reduced=_usd(1200),
    reduced_back=_usd(600),
    intent_price=_usd(9500),
    booking_canceled=not PAYMENT.booking_canceled,
)
PAYMENT_FIXED: Final = frozenset(
    {
        *("id", "booking_id", "booking_reference", "customer_id", "fee_policy", "refund_policy"),
        *("capture_method", "max_attempts", "created_at", "amount_step", "gateway"),
    }
)
"""The fields of a payment that never change."""

POLL_STATE: Final = PollState(next_check_at=NOW, checks=3, lease_until=NOW + timedelta(minutes=1), holder="run_1")
POLL_STATE_CHANGED: Final = PollState(next_check_at=LATER, checks=4, lease_until=LATER, holder="run_2")
HANDOVER: Final = ClientAction(client_secret="pi_1_secret", next_action={"type": "redirect_to_url"})  # noqa: S106
HANDOVER_CHANGED: Final = ClientAction(client_secret="pi_2_secret", next_action={"type": "use_stripe_sdk"})  # noqa: S106

ENTRY: Final = InboxEntry(
    event_id=EVENT_ID,
    type="payment_intent.succeeded",
    gateway="gateway_1",
    status=InboxStatus.FAILED,
    object_id="pi_1",
    received_at=NOW,
    body='{"id": "evt_1"}',
    reason="a reason",
    processed_at=NOW + timedelta(seconds=1),
    tries=2,
    created_at=NOW - timedelta(seconds=5),
    delivered_at=NOW - timedelta(seconds=1),
)
ENTRY_CHANGED: Final = attrs.evolve(
    ENTRY,
    status=InboxStatus.PROCESSED,
    object_id="pi_2",
    received_at=LATER,
    body='{"id": "evt_1", "again": true}',
    reason="another reason",
    processed_at=LATER,
    tries=3,
    created_at=LATER,
    delivered_at=LATER,
)
ENTRY_FIXED: Final = frozenset({"event_id", "type", "gateway"})
"""The fields of an event that never change."""

MESSAGES: Final = tuple(
    Message(
        id=f"msg_{number}",
        type="payment.succeeded",
        booking_id=BOOKING.id,
        payment_id=PAYMENT.id,
        at=NOW + timedelta(seconds=number),
        data={"n": number},
        sequence=number,
    )
    for number in (1, 2)
)
RECORD: Final = AuditRecord(
    at=NOW,
    operation="refund_payment",
    actor="operator:olga",
    cause="req_1 once_1",
    outcome=AuditOutcome.REFUSED,
    code="refund_too_large",
    request_id="req_1",
    key="a-key-of-16-letters",
    booking_id=BOOKING.id,
    payment_id=PAYMENT.id,
    asked={"amount": "100.00"},
)
ANSWER: Final = StoredAnswer(
    caller="ann",
    route="POST /api/bookings/",
    key="key-1",
    fingerprint="f" * 64,
    created_at=NOW,
    locked_until=LATER,
    status=402,
    media_type="application/json",
    body=b"{}",
)
ANSWER_CHANGED: Final = attrs.evolve(
    ANSWER,
    fingerprint="e" * 64,
    created_at=LATER,
    locked_until=LATER + timedelta(hours=1),
    status=200,
    media_type="text/plain",
    body=b"done",
)
ANSWER_FIXED: Final = frozenset({"caller", "route", "key"})
"""What an answer is found by."""

CHANGES: Final[Sequence[tuple[Any, Any, frozenset[str]]]] = (
    (BOOKING, BOOKING_ENDED, BOOKING_FIXED),
    (PAYMENT, PAYMENT_CHANGED, PAYMENT_FIXED),
    (POLL_STATE, POLL_STATE_CHANGED, frozenset()),
    (HANDOVER, HANDOVER_CHANGED, frozenset()),
    (ENTRY, ENTRY_CHANGED, ENTRY_FIXED),
    (ANSWER, ANSWER_CHANGED, ANSWER_FIXED),
)
"""Each value, its changed value, and the fields that never change."""


def fields_of(value: Any) -> dict[str, Any]:
    """All fields of a value, those included that ``==`` leaves out."""
    return {each.name: getattr(value, each.name) for each in attrs.fields(type(value))}


def unchanged(before: Any, after: Any, fixed: frozenset[str]) -> set[str]:
    """The fields that have the same value in both, without those that never change."""
    old, new = fields_of(before), fields_of(after)
    return {name for name in old if old[name] == new[name]} - fixed


def unset(value: Any) -> set[str]:
    """The fields of a value that are None or have their default."""
    found = fields_of(value)
    defaults = {each.name: each.default for each in attrs.fields(type(value))}
    return {name for name, its in found.items() if its is None or its == defaults[name]}


@frozen
class SampleTransaction:
    """A transaction and its scope."""

    name: str
    work: TransactionBody[None]
    subject: LockScope | None = None


async def _register(uow: UnitOfWork) -> None:
    await uow.channels.add("python:app", NOW)
    await uow.bookings.add(BOOKING)


async def _begin_payment(uow: UnitOfWork) -> None:
    await uow.bookings.lock(BOOKING.id)
    await uow.payments.append(PAYMENT, EVENTS, POSTINGS)
    await uow.payments.save_poll_state(PAYMENT.id, POLL_STATE)
    await uow.payments.save_client_action(PAYMENT.id, HANDOVER)
    await uow.outbox.append(*(attrs.evolve(each, sequence=0) for each in MESSAGES))
    await uow.audit.append(RECORD)


async def _receive(uow: UnitOfWork) -> None:
    if not await uow.inbox.find(EVENT_ID):
        await uow.inbox.put(ENTRY)


async def _change_payment(uow: UnitOfWork) -> None:
    await uow.bookings.lock(BOOKING.id)
    await uow.payments.append(PAYMENT_CHANGED, [_ADDED], [])
    await uow.payments.save_poll_state(PAYMENT.id, POLL_STATE_CHANGED)
    await uow.payments.save_client_action(PAYMENT.id, HANDOVER_CHANGED)
    await uow.bookings.save(BOOKING_ENDED)


async def _begin_another(uow: UnitOfWork) -> None:
    another = started_payment(BOOKING, 2, LATER)
    await uow.bookings.lock(BOOKING.id)
    await another.save(uow)


async def _receive_again(uow: UnitOfWork) -> None:
    await uow.inbox.find(EVENT_ID)
    await uow.inbox.put(ENTRY_CHANGED)


async def _answer(uow: UnitOfWork) -> None:
    await uow.answers.put(ANSWER)


async def _answer_again(uow: UnitOfWork) -> None:
    await uow.answers.put(ANSWER_CHANGED)


_ABOUT_BOOKING: Final = LockScope(booking_id=BOOKING.id)
_ABOUT_EVENT: Final = LockScope(event_id=EVENT_ID, intent_id=INTENT_ID)

PREPARE: Final = (SampleTransaction("register", _register),)
STORE: Final = (
    SampleTransaction("begin a payment", _begin_payment, _ABOUT_BOOKING),
    SampleTransaction("receive an event", _receive, _ABOUT_EVENT),
    SampleTransaction("answer", _answer),
)
CHANGE: Final = (
    SampleTransaction("change the payment", _change_payment, _ABOUT_BOOKING),
    SampleTransaction("begin another payment", _begin_another, _ABOUT_BOOKING),
    SampleTransaction("receive the event again", _receive_again),
    SampleTransaction("answer again", _answer_again),
)
"""The steps that have a subject are those that may share a transaction with others."""
