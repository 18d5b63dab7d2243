"""Rows and entities: one pair of functions for each."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from attrs import evolve, field, fields, frozen
from sqlalchemy import RowMapping

from booking_payments.adapters.sql.codec import event_from_json, event_name, event_to_json, from_json, to_json
from booking_payments.adapters.unit_of_work import StoredPayment
from booking_payments.domain.booking import (
    NO_DETAILS,
    Booking,
    BookingDetails,
    BookingStatus,
    EndReason,
    Item,
    ItemsRequest,
)
from booking_payments.domain.events import AuthorizationReleased, BurntMethod, DriftFound, Recorded
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, Client
from booking_payments.domain.ledger import Account, Line, Posting, PostingKind
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Attempt, DeferredRefund, Dispute, LostCall, Operation, Payment, Refund
from booking_payments.domain.refunds import GivenBack, RefundPolicy
from booking_payments.domain.reports import MethodDetails
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.payments import ClientAction, PollState, search_email, search_text
from booking_payments.ports.publisher import Message, MessageDelivery

Row = Mapping[str, Any] | RowMapping
Values = dict[str, Any]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


@frozen(kw_only=True)
class _Content:
    """The fields of a booking that change and have no column of their own."""

    items: tuple[Item, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict)
    expiry_follows_event: bool = False
    refund_grace_until: datetime | None = None
    registered_as: str | None = None
    amended_by: tuple[str, ...] = ()
    unanswered: tuple[ItemsRequest, ...] = ()


_NO_CONTENT: Final = _Content()


def booking_values(booking: Booking) -> Values:
    """The columns of a booking's row."""
    policy = booking.refund_policy
    return {
        "id": booking.id,
        "reference": booking.reference,
        "customer_id": booking.customer_id,
        "currency": booking.amount.currency.code,
        "refund_policy": to_json(policy, RefundPolicy) if policy else None,
        "event_id": booking.event_id,
        **booking_changes(booking),
        "created_at": booking.created_at,
    }


def booking_changes(booking: Booking) -> Values:
    """The columns that change with the booking."""
    content = _Content(
        items=booking.items,
        metadata=booking.metadata,
        expiry_follows_event=booking.expiry_follows_event,
        refund_grace_until=booking.refund_grace_until,
        registered_as=booking.registered_as,
        amended_by=booking.amended_by,
        unanswered=booking.unanswered,
    )
    return {
        "status": booking.status.value,
        "end_reason": booking.end_reason.value if booking.end_reason else None,
        "amount_minor": booking.amount.minor,
        "event_starts_at": booking.event_starts_at,
        "expires_at": booking.expires_at,
        "version": booking.version,
        "details": to_json(booking.details, BookingDetails) if booking.details != NO_DETAILS else None,
        "content": to_json(content, _Content) if content != _NO_CONTENT else None,
        "search_text": search_text(booking),
        "search_email": search_email(booking) or None,
    }


def booking_from(row: Row) -> Booking:
    """The booking in a row."""
    policy = row["refund_policy"]
    content = from_json(row["content"], _Content) if row["content"] else _NO_CONTENT
    return Booking(
        id=row["id"],
        reference=row["reference"],
        customer_id=row["customer_id"],
        amount=Money(row["amount_minor"], Currency.of(row["currency"])),
        event_starts_at=row["event_starts_at"],
        expires_at=row["expires_at"],
        status=BookingStatus(row["status"]),
        refund_policy=from_json(policy, RefundPolicy) if policy else None,
        details=from_json(row["details"], BookingDetails) if row["details"] else NO_DETAILS,
        created_at=row["created_at"],
        end_reason=EndReason(row["end_reason"]) if row["end_reason"] else None,
        event_id=row["event_id"],
        version=row["version"],
        items=content.items,
        metadata=content.metadata,
        expiry_follows_event=content.expiry_follows_event,
        refund_grace_until=content.refund_grace_until,
        registered_as=content.registered_as,
        amended_by=content.amended_by,
        unanswered=content.unanswered,
    )


@frozen(kw_only=True)
class _Terms:
    """A payment as it was started. An amendment may change its price and its date, which ``_State`` has then."""

    booking_amount: Money
    fee_policy: FeePolicy
    refund_policy: RefundPolicy
    event_starts_at: datetime
    capture_method: CaptureMethod
    max_attempts: int
    amount_step: int = 1


_NONE: Final = msgspec.Raw(b"null")


class _State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields of a payment that change and have no column of their own.

    Most have their default most of the time; these are left out of the JSON, which is half as long then. An amount of
    zero is None.
    """

    breakdown: FeeBreakdown
    authorized: Money | None = None
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    operation: msgspec.Raw = _NONE
    drifts: tuple[DriftFound, ...] = ()
    late: bool = False
    promised: GivenBack | None = None
    beside: Money | None = None
    settled: GivenBack | None = None
    deferred: tuple[DeferredRefund, ...] = ()
    releases: tuple[AuthorizationReleased, ...] = ()
    return_url: str | None = None
    takes_redirects: bool = False
    voucher_lasts_s: int = 0
    client: Client | None = None
    method: MethodDetails | None = None
    capture_before: datetime | None = None
    receipt_url: str | None = None
    lost: tuple[LostCall, ...] = ()
    attached: str | None = None
    burnt: tuple[BurntMethod, ...] = ()
    booking_amount: Money | None = None
    event_starts_at: datetime | None = None
    refund_grace_until: datetime | None = None
    reduced: Money | None = None
    reduced_back: Money | None = None
    intent_price: Money | None = None
    booking_canceled: bool = False


# fmt: off
_TERMS: Final = (
    "booking_amount", "fee_policy", "refund_policy", "event_starts_at", "capture_method", "max_attempts", "amount_step",
)
# fmt: on


def payment_values(payment: Payment) -> Values:
    """The columns that change with the payment."""
    promised = payment.promised
    state = _State(
        booking_amount=payment.booking_amount,
        event_starts_at=payment.event_starts_at,
        breakdown=payment.breakdown,
        authorized=payment.authorized or None,
        attempts=payment.attempts,
        refunds=payment.refunds,
        disputes=payment.disputes,
        operation=msgspec.Raw(to_json(payment.operation, Operation).encode()) if payment.operation else _NONE,
        drifts=payment.drifts,
        late=payment.late,
        promised=promised if promised.amount or promised.fee else None,
        beside=payment.beside or None,
        settled=payment.settled if payment.settled.amount else None,
        deferred=payment.deferred,
        releases=payment.releases,
        return_url=payment.return_url,
        takes_redirects=payment.takes_redirects,
        voucher_lasts_s=payment.voucher_lasts_s,
        client=payment.client,
        method=payment.method,
        capture_before=payment.capture_before,
        receipt_url=payment.receipt_url,
        lost=payment.lost,
        attached=payment.attached,
        burnt=payment.burnt,
        refund_grace_until=payment.refund_grace_until,
        reduced=payment.reduced or None,
        reduced_back=payment.reduced_back or None,
        intent_price=payment.intent_price,
        booking_canceled=payment.booking_canceled,
    )
    return {
        "status": payment.status.value,
        "intent_id": payment.intent_id,
        "amount_minor": payment.amount.minor,
        "captured_minor": payment.captured.minor,
        "refunded_minor": payment.refunded.minor,
        "refund_pending_minor": payment.refund_pending.minor,
        "owed_minor": payment.owed.amount.minor,
        "holds_booking": int(payment.holds_booking),
        "version": payment.version,
        "updated_at": payment.updated_at,
        "state": to_json(state, _State),
        "last4": payment.method.last4 if payment.method else None,
        "disputed": int(bool(payment.disputes)),
    }


def new_payment_values(payment: Payment) -> Values:
    """All columns of a payment that is new."""
    terms = _Terms(**{name: getattr(payment, name) for name in _TERMS})
    return {
        **payment_values(payment),
        "id": payment.id,
        "booking_id": payment.booking_id,
        "reference": payment.booking_reference,
        "customer_id": payment.customer_id,
        "gateway": payment.gateway,
        "currency": payment.amount.currency.code,
        "created_at": payment.created_at,
        "terms": to_json(terms, _Terms),
    }


@lru_cache(maxsize=4096)
def _terms_from(text: str) -> _Terms:
    """Payments of the same show at the same price have the same terms, word for word."""
    return from_json(text, _Terms)


def payment_from(row: Row) -> Payment:
    """The payment in a row."""
    terms, state = _terms_from(row["terms"]), from_json(row["state"], _State)
    zero = Money.zero(Currency.of(row["currency"]))
    return Payment(
        id=row["id"],
        booking_id=row["booking_id"],
        booking_reference=row["reference"],
        customer_id=row["customer_id"],
        status=PaymentStatus(row["status"]),
        gateway=row["gateway"],
        intent_id=row["intent_id"],
        captured=Money(row["captured_minor"], Currency.of(row["currency"])),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        booking_amount=terms.booking_amount if state.booking_amount is None else state.booking_amount,
        fee_policy=terms.fee_policy,
        refund_policy=terms.refund_policy,
        event_starts_at=state.event_starts_at or terms.event_starts_at,
        capture_method=terms.capture_method,
        max_attempts=terms.max_attempts,
        amount_step=terms.amount_step,
        breakdown=state.breakdown,
        authorized=state.authorized or zero,
        attempts=state.attempts,
        refunds=state.refunds,
        disputes=state.disputes,
        operation=from_json(bytes(state.operation), Operation) if state.operation != _NONE else None,
        drifts=state.drifts,
        late=state.late,
        promised=state.promised or GivenBack.zero(zero),
        beside=state.beside or zero,
        settled=state.settled or GivenBack.zero(zero),
        deferred=state.deferred,
        releases=state.releases,
        return_url=state.return_url,
        takes_redirects=state.takes_redirects,
        voucher_lasts_s=state.voucher_lasts_s,
        client=state.client,
        method=state.method,
        capture_before=state.capture_before,
        receipt_url=state.receipt_url,
        lost=state.lost,
        attached=state.attached,
        burnt=state.burnt,
        refund_grace_until=state.refund_grace_until,
        reduced=state.reduced or zero,
        reduced_back=state.reduced_back or zero,
        intent_price=state.intent_price,
        booking_canceled=state.booking_canceled,
    )


def stale_columns(row: Row, payment: Payment) -> tuple[str, ...]:
    """The columns of a payment's row that disagree with the payment. Its JSON may be spelled in more than one way."""
    values = payment_values(payment)
    return tuple(name for name, value in values.items() if name != "state" and row[name] != value)


def recorded_values(payment_id: str, recorded: Recorded) -> Values:
    """The columns of a journal row."""
    return {
        "payment_id": payment_id,
        "sequence": recorded.sequence,
        "type": event_name(recorded.event),
        "at": recorded.at,
        "actor": recorded.actor,
        "cause": recorded.cause,
        "data": event_to_json(recorded.event),
    }


def recorded_from(row: Row) -> Recorded:
    """The recorded event in a row."""
    return Recorded(
        sequence=row["sequence"],
        at=row["at"],
        actor=row["actor"],
        cause=row["cause"],
        event=event_from_json(row["type"], row["data"]),
    )


def posting_values(payment_id: str, sequence: int, posting: Posting) -> Values:
    """The columns of a posting's row."""
    debit, credit = posting.lines
    return {
        "payment_id": payment_id,
        "sequence": sequence,
        "kind": posting.kind.value,
        "at": posting.at,
        "subject": posting.subject,
        "currency": debit.amount.currency.code,
        "debit": debit.account.value,
        "credit": credit.account.value,
        "amount_minor": debit.amount.minor,
    }


def posting_from(row: Row) -> Posting:
    """The posting in a row."""
    amount = Money(row["amount_minor"], Currency.of(row["currency"]))
    lines = (Line(account=Account(row["debit"]), amount=amount), Line(account=Account(row["credit"]), amount=-amount))
    return Posting(kind=PostingKind(row["kind"]), at=row["at"], subject=row["subject"], lines=lines)


def poll_state_values(poll_state: PollState) -> Values:
    """The columns of a payment's row that hold its watch."""
    return {
        "next_check_at": poll_state.next_check_at,
        "checks": poll_state.checks,
        "lease_until": poll_state.lease_until,
        "lease_holder": poll_state.holder,
    }


def poll_state_from(row: Row) -> PollState:
    """The watch in a row."""
    return PollState(
        next_check_at=row["next_check_at"],
        checks=row["checks"],
        lease_until=row["lease_until"],
        holder=row["lease_holder"],
    )


def client_action_values(client_action: ClientAction) -> Values:
    """Return the columns of a payment's row that hold its client action."""
    action = client_action.next_action
    return {"client_secret": client_action.client_secret, "next_action": _json(action) if action else None}


def client_action_from(row: Row) -> ClientAction | None:
    """Return the client action in a row; None when it has none."""
    secret, action = row["client_secret"], row["next_action"]
    if secret is None and action is None:
        return None
    return ClientAction(client_secret=secret, next_action=msgspec.json.decode(action) if action else None)


def stored_payment_from(row: Row) -> StoredPayment:
    """The payment of a row, with the values that are stored beside its journal."""
    return StoredPayment(
        payment=payment_from(row), poll_state=poll_state_from(row), client_action=client_action_from(row)
    )


def inbox_values(entry: InboxEntry) -> Values:
    """The columns of an inbox row."""
    return {
        "event_id": entry.event_id,
        "type": entry.type,
        "gateway": entry.gateway,
        "status": entry.status.value,
        "object_id": entry.object_id,
        "received_at": entry.received_at,
        "processed_at": entry.processed_at,
        "reason": entry.reason,
        "tries": entry.tries,
        "body": entry.body,
        "created_at": entry.created_at,
        "delivered_at": entry.delivered_at,
    }


_INBOX: Final = tuple(each.name for each in fields(InboxEntry) if each.name != "status")


def inbox_from(row: Row) -> InboxEntry:
    """The inbox entry in a row."""
    return InboxEntry(status=InboxStatus(row["status"]), **{name: row[name] for name in _INBOX})


_ANSWER: Final = (
    "caller",
    "route",
    "key",
    "fingerprint",
    "created_at",
    "locked_until",
    "status",
    "media_type",
    "body",
)


def answer_values(answer: StoredAnswer) -> Values:
    """The columns of a stored answer's row."""
    return {name: getattr(answer, name) for name in _ANSWER}


def answer_from(row: Row) -> StoredAnswer:
    """The answer in a row."""
    found = StoredAnswer(**{name: row[name] for name in _ANSWER})
    return found if found.body is None else evolve(found, body=bytes(found.body))


def message_values(message: Message) -> Values:
    """The columns of an outbox row."""
    return {
        "id": message.id,
        "booking_id": message.booking_id,
        "sequence": message.sequence,
        "payment_id": message.payment_id,
        "type": message.type,
        "at": message.at,
        "data": _json(dict(message.data)),
    }


def message_from(row: Row) -> Message:
    """The message in a row."""
    names = ("id", "booking_id", "sequence", "payment_id", "type", "at")
    return Message(data=msgspec.json.decode(row["data"]), **{name: row[name] for name in names})


def numbered_message_from(row: Row) -> Message:
    """The message in a row, with its number on its channel as cursor."""
    return evolve(message_from(row), cursor=str(row["number"]))


def delivery_from(row: Row) -> MessageDelivery:
    """The delivery of a message, from a row."""
    names = ("channel", "tries", "next_try_at", "dead_at", "error")
    return MessageDelivery(message=message_from(row), **{name: row[name] for name in names})


def delivery_values(delivery: MessageDelivery) -> Values:
    """The columns that change with a delivery, and those of its key."""
    return {
        "its_id": delivery.message.id,
        "tries": delivery.tries,
        "next_try_at": delivery.next_try_at,
        "dead_at": delivery.dead_at,
        "error": delivery.error,
    }
