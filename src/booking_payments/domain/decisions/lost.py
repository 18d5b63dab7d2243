"""Lost calls: the gateway answered with an error of its own and shows nothing of what the call was to make.

Stripe stores a 500 under the idempotency key and repeats it for 24 hours, so sending the call again tells nothing. The
first execution may have had its effect all the same, and Stripe may complete it later ("roll forward"). The rule:

1. A call whose error is stored (``Operation.stored_error``) is *lost* when ``WALKS`` complete walks did not find what
   it was to make. A walk reads every page of the gateway's list of intents made since the first sending (minus the time
   that clocks may be apart), or the refunds of the intent, or, where only a known intent was to change, that intent.
   It compares our metadata: payment and installation, or refund. It counts only when it came to its end, began at
   least ``ARRIVES_WITHIN`` after the error was first answered (a process may die before it sends anything), and at
   least ``WALKS_APART`` after the one counted before. Each one counted is a fact (``CallNotFound``), so that other
   processes, and this one after a restart, go on counting.
2. A lost call no longer blocks. The payment of a lost *intent* ends as canceled: its booking can be canceled, expire,
   or be paid by a new payment with an intent of its own. A lost *refund* is deferred (``Payment.deferred``), so that
   its amount stays reserved. A lost change of a known intent (confirm, capture, cancel) is dropped; the intent itself
   makes sure that it is charged, captured or canceled at most once, so that such a call needs no watching.
3. A call that was given up without its effect being known, lost or too old to be sent, is *watched* (``Payment.lost``)
   until its key is ``KEPT_FOR`` old and a complete walk begun after that has found nothing. An intent that turns up is
   linked to its payment. While it can be paid it is canceled; money that it holds is released; money that it charged is
   late money, unless the booking still waits and no other payment holds it: then it is paid. Everything happens with
   the booking locked, so whichever comes first, the old charge or the customer's new payment, the other one sees it.
4. A refund that turns up is booked. Its replacement is sent under a new key while the old one is watched only if both
   together are more than was captured: the gateway refuses what goes beyond that, so that at most one of them is
   carried out. A smaller one could be paid out twice, and is sent again when the watch is over (``may_send_again``).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.decisions.facts import Facts
from booking_payments.domain.instructions import CreateIntent, CreateRefund
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import LostCall, Operation, Payment
from booking_payments.domain.reports import IntentReport, RefundReport

ARRIVES_WITHIN: Final = timedelta(minutes=10)
"""A request that the gateway does not have after this time has got lost on its way, and may be replaced by another."""

WALKS: Final = 3
"""How many complete walks have to miss what a call was to make."""

WALKS_APART: Final = timedelta(minutes=1)
"""How long after the last one a walk has to begin to be counted: lists lag behind, and two at once say the same."""

KEPT_FOR: Final = timedelta(hours=24)
"""How old a key has to be that the gateway has completed nothing more under it."""

NOT_AT_GATEWAY: Final = "not_at_gateway"
"""The refusal of an operation that is lost."""

NOT_SENT_AGAIN: Final = "not_sent_again"
"""The refusal of an operation that had no effect and may not be sent any more."""

NEVER_SENT: Final = "never_sent"
"""The failure reason of a refund that never reached the gateway, as far as it shows."""

Names = tuple[str | None, str | None]

_NOTHING_FOUND: Final = frozenset({NOT_AT_GATEWAY, NOT_SENT_AGAIN, NEVER_SENT})
"""The refusals that only say that nothing was found: what the call was to make may still turn up."""


def note_walk(payment: Payment, operation: Operation, begun_at: datetime) -> Facts:
    """Count a complete walk, begun at ``begun_at``, that did not find what ``operation`` was to make; nothing where it
    does not count."""
    now = payment.operation
    if now is None or now.idempotency_key != operation.idempotency_key:
        return ()
    next_at = next_walk_at(now)
    if next_at is None or begun_at < next_at:
        return ()
    return (ev.CallNotFound(idempotency_key=now.idempotency_key, begun_at=begun_at),)


def is_lost(payment: Payment, operation: Operation) -> bool:
    """Whether enough walks were counted for ``operation``, which is still in flight."""
    now = payment.operation
    ours = now is not None and now.idempotency_key == operation.idempotency_key
    return ours and now is not None and now.walks >= WALKS


def next_walk_at(operation: Operation) -> datetime | None:
    """From when on the next walk counts; None for an operation whose error is not stored, which is sent again."""
    if operation.stored_at is None:
        return None
    first = operation.stored_at + ARRIVES_WITHIN
    return first if operation.walked_at is None else max(first, operation.walked_at + WALKS_APART)


# --- giving up, and watching -----------------------------------------------------------------------------------


def watch(payment: Payment, operation: Operation, refusal: str | None) -> Facts:
    """Watch the call that is about to end with ``refusal``, where that only says that nothing was found of what it was
    to make; nothing where it has ended."""
    now = payment.operation
    if now is None or now.idempotency_key != operation.idempotency_key:
        return ()
    makes = isinstance(operation.instruction, CreateRefund) or _makes_first_intent(payment, operation)
    if refusal not in _NOTHING_FOUND or not makes:
        return ()
    return (ev.CallGivenUp(idempotency_key=operation.idempotency_key),)


def ends_payment(payment: Payment, operation: Operation, refusal: str | None) -> bool:
    """Whether the payment is over with its lost intent, so that another payment can be begun."""
    return refusal == NOT_AT_GATEWAY and _makes_first_intent(payment, operation)


def _makes_first_intent(payment: Payment, operation: Operation) -> bool:
    return isinstance(operation.instruction, CreateIntent) and payment.intent_id is None


def watched_until(lost: LostCall) -> datetime:
    """From when on a complete walk that finds nothing ends the watch."""
    return lost.key_from + KEPT_FOR


def may_send_again(payment: Payment, refund_id: str, amount: Money) -> bool:
    """Whether ``amount`` of this refund may be sent: no earlier sending of it is watched, or both together are more
    than the gateway can give back."""
    watched = (lost.amount for lost in payment.lost if lost.refund_id == refund_id)
    return all(earlier is None or earlier + amount > payment.captured for earlier in watched)


# --- what turns up ---------------------------------------------------------------------------------------------


def observe_lost_intent(payment: Payment, report: IntentReport) -> Facts:
    """The end of the watch of an intent that has turned up and is final. What is not final may still be charged, so it
    stays watched."""
    if report.id != payment.intent_id or report.status not in (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED):
        return ()
    return tuple(_ended(lost, report.id) for lost in payment.lost if lost.refund_id is None)


def observe_lost_refund(payment: Payment, report: RefundReport) -> Facts:
    """The end of the watch of a refund that has turned up."""
    made = names_of_sending(report.metadata)
    return tuple(_ended(lost, report.id) for lost in payment.lost if lost.refund_id and _names(lost) == made)


def names_of_sending(metadata: Mapping[str, str]) -> Names:
    """By what a refund at the gateway tells which sending of which refund has made it: its id, and the idempotency key,
    which is None for the first sending."""
    return metadata.get("refund_id"), metadata.get("idempotency_key")


def _names(lost: LostCall) -> Names:
    return lost.refund_id, lost.idempotency_key if lost.named else None


def end_watch(payment: Payment, walked_at: datetime) -> Facts:
    """The end of all watches that are over, after a complete walk begun at ``walked_at`` whose finds are booked."""
    return tuple(_ended(lost, None) for lost in _watched(payment) if walked_at >= watched_until(lost))


def _watched(payment: Payment) -> Iterator[LostCall]:
    """Lost calls of which nothing has turned up. An intent that has turned up ends its watch with its own end."""
    return (lost for lost in payment.lost if lost.refund_id is not None or payment.intent_id is None)


def _ended(lost: LostCall, found: str | None) -> ev.LostCallEnded:
    return ev.LostCallEnded(idempotency_key=lost.idempotency_key, found=found)
