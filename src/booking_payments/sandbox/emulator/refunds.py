"""Refunds: asked for, moved by the bank, failed."""

from collections.abc import Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator import objects, settings
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.balance import move
from booking_payments.sandbox.emulator.cards import RefundCourse, behaviour
from booking_payments.sandbox.emulator.errors import Refusal, invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.follow_ups import schedule
from booking_payments.sandbox.emulator.params import (
    choice,
    id_text,
    integer,
    merged_metadata,
    metadata,
    new_metadata,
    opaque,
    text,
)
from booking_payments.sandbox.emulator.records import Account, Record

CREATE_FIELDS: Final = {
    "amount": integer(minimum=1),
    "charge": id_text(),
    "payment_intent": id_text(),
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata(),
    "currency": text(),
    "customer": id_text(),
    "instructions_email": text(),
    "origin": text(),
    "refund_application_fee": opaque(),
    "reverse_transfer": opaque(),
    "expand": opaque(),
}
UPDATE_FIELDS: Final = {"metadata": metadata(), "expand": opaque()}
CANCEL_FIELDS: Final = {"expand": opaque()}

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "pending": frozenset({"succeeded", "failed", "requires_action"}),
    "requires_action": frozenset({"pending", "canceled", "failed"}),
    "succeeded": frozenset({"failed"}),
    "failed": frozenset(),
    "canceled": frozenset(),
}
"""What the bank may still do with a refund (docs.stripe.com/refunds)."""

FAILURE_REASONS: Final = frozenset(
    {
        "charge_for_pending_refund_disputed",
        "declined",
        "expired_or_canceled_card",
        "insufficient_funds",
        "lost_or_stolen_card",
        "merchant_request",
        "unknown",
    }
)

_MONEY_BACK: Final = frozenset({"failed", "canceled"})


def create(account: Account, params: Json, _: str) -> Json:
    """``POST /v1/refunds``."""
    charge = _charge_to_refund(account, params)
    _check_refundable(account, charge)
    left = charge.body["amount_captured"] - _paid_back(charge)
    amount = params.get("amount", left)
    if left == 0:
        raise _already_refunded(charge)
    if amount > left:
        raise _too_much(amount, left, charge)
    return _refund(account, charge, amount, params).body


def _charge_to_refund(account: Account, params: Json) -> Record:
    if params.get("charge"):
        return account.require("charge", params["charge"])
    if not params.get("payment_intent"):
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    intent = account.require("payment_intent", params["payment_intent"], param="payment_intent")
    charge = successful_charge(account, intent)
    if charge is None:
        message = f"This PaymentIntent ({intent.id}) does not have a successful charge to refund."
        raise invalid(message, executed=True)
    return charge


def successful_charge(account: Account, intent: Record) -> Record | None:
    """The one charge of an intent that went through, held or captured."""
    charges = (account.get("charge", id_) for id_ in intent.private["charges"])
    return next((charge for charge in charges if charge.body["status"] == "succeeded"), None)


def _check_refundable(account: Account, charge: Record) -> None:
    if charge.body["status"] != "succeeded":
        message = f"Charge {charge.id} cannot be refunded: its status is {charge.body['status']}."
        raise invalid(message, code="charge_not_refundable", executed=True)
    if not charge.body["captured"]:
        message = f"Charge {charge.id} has not been captured. Cancel its PaymentIntent instead of refunding it."
        raise invalid(message, executed=True)
    disputes = [account.get("dispute", id_) for id_ in charge.private["disputes"]]
    if not all(dispute.body["is_charge_refundable"] for dispute in disputes):
        message = f"Charge {charge.id} has been charged back; cannot issue a refund."
        raise invalid(message, code="charge_disputed", executed=True)


def _already_refunded(charge: Record) -> Refusal:
    message = f"Charge {charge.id} has already been refunded."
    return invalid(message, code="charge_already_refunded", executed=True)


def _too_much(amount: int, left: int, charge: Record) -> Refusal:
    currency = charge.body["currency"]
    message = f"Refund amount ({amount} {currency}) is greater than unrefunded amount on charge ({left} {currency})"
    return invalid(message, param="amount", executed=True)


def _refund(account: Account, charge: Record, amount: int, params: Json) -> Record:
    course = behaviour(charge.private["behaviour"]).refund
    refund = _new_refund(account, charge, amount, params, course)
    previous = _count(account, charge, amount)
    emit(account, "refund.created", refund.body)
    emit(account, "charge.refunded", charge.body, previous)
    _close_inquiries(account, charge)
    _plan(account, refund, course)
    return refund


def _new_refund(account: Account, charge: Record, amount: int, params: Json, course: RefundCourse) -> Record:
    id_ = account.new_id("refund", "re" if charge.id.startswith("ch_") else "pyr")
    given = {"amount": amount, "metadata": new_metadata(params), "reason": params.get("reason")}
    if params.get("instructions_email"):
        given["instructions_email"] = params["instructions_email"]
    body = objects.refund(account, id_, charge.body, **given)
    refund = account.add("refund", id_, body, release=False)
    moved = move(account, "refund" if id_.startswith("re_") else "payment_refund", refund, -amount, "refund")
    account.update(refund, balance_transaction=moved.id, **_first_status(course))
    account.note(charge, refunds=[*charge.private["refunds"], id_])
    return refund


def _first_status(course: RefundCourse) -> Json:
    if course is RefundCourse.SUCCEEDS_LATER:
        return {"status": "pending", "pending_reason": "processing"}
    return {"status": "succeeded"}


def _count(account: Account, charge: Record, change: int) -> Json:
    everything = _paid_back(charge) + change == charge.body["amount_captured"]
    return account.update(charge, amount_refunded=charge.body["amount_refunded"] + change, refunded=everything)


def _paid_back(charge: Record) -> int:
    """What was refunded of the captured amount. A release that is listed as a refund was never captured."""
    return int(charge.body["amount_refunded"]) - int(charge.private["released"])


def release(account: Account, charge: Record, amount: int, reason: str | None = None) -> None:
    """List ``amount`` of an authorization, which is released, as a refund, if the account's settings ask for it.

    Versions before 2025-03-31.basil did this. The refund has no metadata and moves no money.

    ``reason``: the refund's, unless the settings name one.
    """
    as_refund = settings.current(account)["release_as_refund"]
    if not as_refund or not amount:
        return
    id_ = account.new_id("refund", "re")
    given = {"amount": amount, "reason": reason if as_refund is True else as_refund, "status": "succeeded"}
    refund = account.add("refund", id_, objects.refund(account, id_, charge.body, **given), release=True)
    account.note(charge, refunds=[*charge.private["refunds"], id_], released=amount)
    previous = _count(account, charge, amount)
    emit(account, "refund.created", refund.body)
    emit(account, "charge.refunded", charge.body, previous)


def _close_inquiries(account: Account, charge: Record) -> None:
    """A full refund answers an inquiry."""
    if not charge.body["refunded"]:
        return
    for dispute_id in charge.private["disputes"]:
        schedule(account, "inquiry_refunded", dispute_id)


def _plan(account: Account, refund: Record, course: RefundCourse) -> None:
    if course is RefundCourse.SUCCEEDS_LATER:
        schedule(account, "refund_succeeds", refund.id)
    elif course is RefundCourse.FAILS_LATER:
        schedule(account, "refund_fails", refund.id)


def move_to(account: Account, refund: Record, status: str, failure_reason: str = "unknown") -> None:
    """The bank moves a refund; money of a failed or canceled one returns to the balance."""
    fields: dict[str, Any] = {"status": status}
    if refund.body.get("pending_reason"):
        fields["pending_reason"] = None
    if status in _MONEY_BACK:
        back = move(account, "refund_failure", refund, refund.body["amount"])
        fields |= {"failure_reason": failure_reason, "failure_balance_transaction": back.id}
        _count(account, account.get("charge", refund.body["charge"]), -refund.body["amount"])
    previous = account.update(refund, **fields)
    emit(account, "refund.updated", refund.body, previous)
    emit(account, "charge.refund.updated", refund.body, previous)
    if status == "failed":
        emit(account, "refund.failed", refund.body)


def check_move(refund: Record, status: str, failure_reason: str) -> None:
    """Raises 400 for a status that cannot follow, an unknown reason, and a release, which moves no money."""
    if status not in TRANSITIONS[refund.body["status"]] or refund.private["release"]:
        what = "A released authorization" if refund.private["release"] else "A refund"
        raise invalid(f"{what} cannot go from {refund.body['status']} to {status}.", param="status", executed=True)
    if failure_reason not in FAILURE_REASONS:
        message = f"Invalid failure_reason: must be one of {', '.join(sorted(FAILURE_REASONS))}"
        raise invalid(message, param="failure_reason")


def succeed_later(account: Account, refund: Record) -> None:
    """A pending refund has arrived."""
    if refund.body["status"] == "pending":
        move_to(account, refund, "succeeded")


def fail_later(account: Account, refund: Record) -> None:
    """The bank sends a refund back."""
    if refund.body["status"] in ("pending", "succeeded"):
        move_to(account, refund, "failed")


def update(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/refunds/{id}``: only metadata can change."""
    refund = account.require("refund", id_)
    if "metadata" in params:
        merged = merged_metadata(refund.body["metadata"], params["metadata"])
        previous = account.update(refund, metadata=merged)
        emit(account, "refund.updated", refund.body, previous)
        emit(account, "charge.refund.updated", refund.body, previous)
    return refund.body


def cancel(account: Account, _: Json, id_: str) -> Json:
    """``POST /v1/refunds/{id}/cancel``: only while the customer still has to act."""
    refund = account.require("refund", id_)
    if refund.body["status"] != "requires_action":
        message = "Canceling this refund is unsupported: only refunds that require action can be canceled."
        raise invalid(message, executed=True)
    move_to(account, refund, "canceled", "merchant_request")
    return refund.body
