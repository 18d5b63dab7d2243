"""Lost calls: the gateway answered with an internal error, and the object that the call should create is not found.

Stripe stores a 500 under the idempotency key and repeats it for 24 hours, so sending the call again reveals nothing.
The first execution may still have had its effect, and Stripe may complete it later ("roll forward"). The rules:

1. A call with a stored error (``Operation.stored_error``) is *lost* when ``WALKS`` complete walks did not find its
   object. A walk reads every page of the gateway's list of intents created since the first sending (minus the allowed
   clock difference), or the refunds of the intent, or, for a call that changes a known intent, that intent. It compares
   the metadata that this service wrote: payment and installation, or refund. A walk counts only when it was complete,
   began at least ``ARRIVES_WITHIN`` after the error was first received (a process may die before it sends anything),
   and at least ``WALKS_APART`` after the previous counted one. Each counted walk is a journal event (``CallNotFound``),
   so that any process continues the count.
2. A lost call no longer blocks the payment. The payment of a lost *intent* ends as canceled: its booking can be
   canceled, expire, or be paid by a new payment with its own intent. A lost *refund* is deferred
   (``Payment.deferred``), so that its amount stays reserved. A lost change of a known intent (confirm, capture, cancel)
   is dropped; it needs no watching, because an intent can be charged, captured or canceled at most once.
3. An abandoned call whose effect is unknown, lost or too old to be sent, is *watched* (``Payment.lost``) until its key
   is ``KEPT_FOR`` old and a complete walk begun after that has found nothing. An intent that appears is linked to its
   payment. While it can be paid it is canceled; money that it holds is released; money that it charged is a late
   payment, unless the booking is pending at the same price and no other payment holds it: then it is paid. All of this
   happens under the booking's lock, so the old charge and a new payment of the customer cannot miss each other.
4. A refund that appears is recorded. While the old call is watched, its replacement is sent under a new key only if
   both together exceed the captured amount: the gateway refuses the excess, so at most one of them is carried out. A
   smaller one could be paid out twice, and is sent again when the watch ends (``may_send_again``).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.decisions.drift import Events
from booking_payments.domain.instructions import CreateIntent, CreateRefund
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import LostCall, Operation, Payment
from booking_payments.domain.reports import IntentReport, RefundReport

ARRIVES_WITHIN: Final = timedelta(minutes=10)
"""After this time a request that the gateway does not have never reached it, and may be replaced by another."""

WALKS: Final = 3
"""Number of complete walks without a find after which a call counts as lost."""

WALKS_APART: Final = timedelta(minutes=1)
"""Smallest time between two counted walks: the gateway's lists lag, so two walks at once prove no more than one."""

KEPT_FOR: Final = timedelta(hours=24)
"""Age of an idempotency key after which the gateway completes nothing more under it."""

NOT_AT_GATEWAY: Final = "not_at_gateway"
"""Refusal code of an operation that is lost."""

NOT_SENT_AGAIN: Final = "not_sent_again"
"""Refusal code of an operation that had no effect and may no longer be sent."""

NEVER_SENT: Final = "never_sent"
"""Failure reason of a refund that did not reach the gateway, as far as can be determined."""

Names = tuple[str | None, str | None]

_NOTHING_FOUND: Final = frozenset({NOT_AT_GATEWAY, NOT_SENT_AGAIN, NEVER_SENT})
"""Refusal codes that only say that no object was found; it may still appear."""


def note_walk(payment: Payment, operation: Operation, begun_at: datetime) -> Events:
    """Return the event that counts a complete walk without a find; nothing when the walk does not count.

    ``begun_at`` is when the walk began.
    """
    now = payment.operation
    if now is None or now.idempotency_key != operation.idempotency_key:
        return ()
    next_at = next_walk_at(now)
    if next_at is None or begun_at < next_at:
        return ()
    return (ev.CallNotFound(idempotency_key=now.idempotency_key, begun_at=begun_at),)


def is_lost(payment: Payment, operation: Operation) -> bool:
    """True when ``operation`` is still in flight and ``WALKS`` walks were counted for it."""
    now = payment.operation
    ours = now is not None and now.idempotency_key == operation.idempotency_key
    return ours and now is not None and now.walks >= WALKS


def next_walk_at(operation: Operation) -> datetime | None:
    """Return the time from which the next walk counts; None for an operation without a stored error.

    Such an operation is sent again.
    """
    if operation.stored_at is None:
        return None
    first = operation.stored_at + ARRIVES_WITHIN
    return first if operation.walked_at is None else max(first, operation.walked_at + WALKS_APART)


# --- watching abandoned calls ----------------------------------------------------------------------------------


def watch(payment: Payment, operation: Operation, refusal: str | None) -> Events:
    """Return the event that starts the watch of a call that is about to be closed with ``refusal``.

    Nothing when the call is closed already, when it creates no object, or when its effect is known.
    """
    now = payment.operation
    if now is None or now.idempotency_key != operation.idempotency_key:
        return ()
    makes = isinstance(operation.instruction, CreateRefund) or _makes_first_intent(payment, operation)
    if refusal not in _NOTHING_FOUND or not makes:
        return ()
    return (ev.CallGivenUp(idempotency_key=operation.idempotency_key),)


def ends_payment(payment: Payment, operation: Operation, refusal: str | None) -> bool:
    """True when the payment ends with its lost intent, so that another payment can start."""
    return refusal == NOT_AT_GATEWAY and _makes_first_intent(payment, operation)


def _makes_first_intent(payment: Payment, operation: Operation) -> bool:
    return isinstance(operation.instruction, CreateIntent) and payment.intent_id is None


def watched_until(lost: LostCall) -> datetime:
    """Return the time from which a complete walk without a find ends the watch."""
    return lost.key_from + KEPT_FOR


def may_send_again(payment: Payment, refund_id: str, amount: Money) -> bool:
    """True when ``amount`` of this refund may be sent.

    Either no earlier call for it is watched, or both together exceed the captured amount, so that the gateway refuses
    one.
    """
    watched = (lost.amount for lost in payment.lost if lost.refund_id == refund_id)
    return all(earlier is None or earlier + amount > payment.captured for earlier in watched)


# --- objects that appear later ---------------------------------------------------------------------------------


def observe_lost_intent(payment: Payment, report: IntentReport) -> Events:
    """Return the end of the watch of an intent that has appeared and is final.

    Any other intent may still be charged, and stays watched.
    """
    if report.id != payment.intent_id or report.status not in (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED):
        return ()
    return tuple(_ended(lost, report.id) for lost in payment.lost if lost.refund_id is None)


def observe_lost_refund(payment: Payment, report: RefundReport) -> Events:
    """Return the end of the watch of a refund that has appeared."""
    made = names_of_sending(report.metadata)
    return tuple(_ended(lost, report.id) for lost in payment.lost if lost.refund_id and _names(lost) == made)


def names_of_sending(metadata: Mapping[str, str]) -> Names:
    """Return what identifies the call that created a refund: its refund id, and the idempotency key.

    The key is None for the first call for a refund, which does not write it to the metadata.
    """
    return metadata.get(metadata_keys.REFUND_ID), metadata.get(metadata_keys.IDEMPOTENCY_KEY)


def _names(lost: LostCall) -> Names:
    return lost.refund_id, lost.idempotency_key if lost.named else None


def end_watch(payment: Payment, walked_at: datetime) -> Events:
    """Return the end of all expired watches, after a complete walk begun at ``walked_at`` whose finds are recorded."""
    return tuple(_ended(lost, None) for lost in _watched(payment) if walked_at >= watched_until(lost))


def _watched(payment: Payment) -> Iterator[LostCall]:
    """Iterate over the lost calls without a find.

    A find that is an intent ends its watch when it is final.
    """
    return (lost for lost in payment.lost if lost.refund_id is not None or payment.intent_id is None)


def _ended(lost: LostCall, found: str | None) -> ev.LostCallEnded:
    return ev.LostCallEnded(idempotency_key=lost.idempotency_key, found=found)
