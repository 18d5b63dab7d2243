"""Refunds: asked for, moved by the bank, failed."""

from collections.abc import Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator import objects, settings
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.balance import book_charge, covers, move
from booking_payments.sandbox.emulator.cards import RefundCourse, behaviour
from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.errors import Refusal, invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.follow_ups import schedule
from booking_payments.sandbox.emulator.params import (
    choice,
    email,
    expand,
    id_text,
    integer,
    merged_metadata,
    metadata,
    new_metadata,
    not_modelled,
)
from booking_payments.sandbox.emulator.records import Record, StripeAccount
from booking_payments.sandbox.emulator.reviews import close_of_charge

CREATE_FIELDS: Final = {
    "amount": integer(minimum=1),
    "charge": id_text(),
    "payment_intent": id_text(),
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata(),
    "instructions_email": email(),
    **not_modelled("currency", "customer", "origin", "refund_application_fee", "reverse_transfer"),
    "expand": expand(),
}
UPDATE_FIELDS: Final = {"metadata": metadata(), "expand": expand()}
CANCEL_FIELDS: Final = {"expand": expand()}

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


def create(account: StripeAccount, params: Json, _: str) -> Json:
    """``POST /v1/refunds``."""
    charge = _charge_to_refund(account, params)
    _check_refundable(account, charge)
    left = charge.body["amount_captured"] - _paid_back(charge)
    amount = params.get("amount", left)
    if left == 0:
        raise _already_refunded(charge)
    if amount > left:
        raise _too_much(amount, left, charge)
    _check_step(amount, charge)
    return _refund(account, charge, amount, params).body


def _check_step(amount: int, charge: Record) -> None:
    """A refund, as a charge, is a multiple of the currency's smallest step."""
    currency = charge.body["currency"]
    step = CURRENCIES[currency].multiple
    if amount % step:
        message = f"Amounts in {currency} must be multiples of {step}"
        raise invalid(message, code="invalid_charge_amount", param="amount", executed=True)


def _charge_to_refund(account: StripeAccount, params: Json) -> Record:
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


def successful_charge(account: StripeAccount, intent: Record) -> Record | None:
    """The one charge of an intent that went through, held or captured."""
    charges = (account.get("charge", id_) for id_ in intent.private["charges"])
    return next((charge for charge in charges if charge.body["status"] == "succeeded"), None)


def _check_refundable(account: StripeAccount, charge: Record) -> None:
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


def _refund(account: StripeAccount, charge: Record, amount: int, params: Json) -> Record:
    course = behaviour(charge.private["behaviour"]).refund
    if charge.body["balance_transaction"] is None:
        book_charge(account, charge)
    refund = _new_refund(account, charge, amount, params)
    covered = not account.refunds_need_balance or covers(account, amount, charge.body["currency"])
    if not covered and charge.id.startswith("py_"):
        return _fail_uncovered(account, refund)
    previous = _count(account, charge, amount)
    if covered:
        _send(account, refund)
        account.update(refund, **_first_status(account, charge, params, course))
    else:
        account.waiting_refunds[refund.id] = None
        account.update(refund, status="pending", pending_reason=NO_FUNDS)
    emit(account, "refund.created", refund.body)
    emit(account, "charge.refunded", charge.body, previous)
    if charge.body["refunded"]:
        close_of_charge(account, charge, "refunded")
    _close_inquiries(account, charge)
    if covered:
        _plan(account, refund, course)
    return refund


NO_FUNDS: Final = "insufficient_funds"
"""Why a refund waits, or has failed, that the balance does not cover (docs.stripe.com/refunds)."""


def _new_refund(account: StripeAccount, charge: Record, amount: int, params: Json) -> Record:
    id_ = account.new_id("refund", "re" if charge.id.startswith("ch_") else "pyr")
    given = {"amount": amount, "metadata": new_metadata(params), "reason": params.get("reason")}
    if params.get("instructions_email"):
        given["instructions_email"] = params["instructions_email"]
    body = objects.refund(account, id_, charge.body, **given)
    refund = account.add("refund", id_, body, release=False)
    account.note(charge, refunds=[*charge.private["refunds"], id_])
    return refund


def _send(account: StripeAccount, refund: Record) -> None:
    """Take the money of a refund from the balance."""
    type_ = "refund" if refund.id.startswith("re_") else "payment_refund"
    moved = move(account, type_, refund, -refund.body["amount"], "refund")
    account.update(refund, balance_transaction=moved.id)


def _first_status(account: StripeAccount, charge: Record, params: Json, course: RefundCourse) -> Json:
    if course is RefundCourse.SUCCEEDS_LATER:
        return {"status": "pending", "pending_reason": "processing"}
    if course is RefundCourse.ASKS_CUSTOMER:
        address = params.get("instructions_email") or charge.body["billing_details"]["email"] or ""
        sent = {"email_sent_at": account.now(), "email_sent_to": address}
        details = {"email_sent": sent, "expires_at": account.now() + _ANSWER_WITHIN_S}
        action = {"type": "display_details", "display_details": details}
        return {"status": "requires_action", "next_action": action}
    return {"status": "succeeded"}


_ANSWER_WITHIN_S: Final = 45 * 86400
"""How long customers may take to name their bank account."""


def _fail_uncovered(account: StripeAccount, refund: Record) -> Record:
    """Other methods than cards do not wait for money: the refund fails at once."""
    account.update(refund, status="failed", failure_reason=NO_FUNDS)
    emit(account, "refund.created", refund.body)
    emit(account, "refund.failed", refund.body)
    return refund


def load(account: StripeAccount) -> None:
    """Find the refunds that wait for money again, after the records were loaded."""
    waiting = (each for each in account.table("refund").values() if each.body.get("pending_reason") == NO_FUNDS)
    account.waiting_refunds = dict.fromkeys(each.id for each in waiting)


def send_waiting(account: StripeAccount) -> None:
    """Send the refunds that the balance covers by now, oldest first."""
    while account.waiting_refunds:
        refund = account.get("refund", next(iter(account.waiting_refunds)))
        if not covers(account, refund.body["amount"], refund.body["currency"]):
            return
        _send(account, refund)
        del account.waiting_refunds[refund.id]
        move_to(account, refund, "succeeded")


def _count(account: StripeAccount, charge: Record, change: int) -> Json:
    everything = _paid_back(charge) + change == charge.body["amount_captured"]
    return account.update(charge, amount_refunded=charge.body["amount_refunded"] + change, refunded=everything)


def _paid_back(charge: Record) -> int:
    """The refunded part of the captured amount. A release that is listed as a refund was never captured."""
    return int(charge.body["amount_refunded"]) - int(charge.private["released"])


def release(account: StripeAccount, charge: Record, amount: int, reason: str | None = None) -> None:
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


def _close_inquiries(account: StripeAccount, charge: Record) -> None:
    """A full refund answers an inquiry."""
    if not charge.body["refunded"]:
        return
    for dispute_id in charge.private["disputes"]:
        schedule(account, "inquiry_refunded", dispute_id)


def _plan(account: StripeAccount, refund: Record, course: RefundCourse) -> None:
    if course is RefundCourse.SUCCEEDS_LATER:
        schedule(account, "refund_succeeds", refund.id)
    elif course is RefundCourse.FAILS_LATER:
        schedule(account, "refund_fails", refund.id)


def move_to(account: StripeAccount, refund: Record, status: str, failure_reason: str = "unknown") -> None:
    """The bank moves a refund; money of a failed or canceled one returns to the balance."""
    fields: dict[str, Any] = {"status": status}
    account.waiting_refunds.pop(refund.id, None)
    previous = account.drop(refund, *(("pending_reason", "next_action") if status != "pending" else ()))
    if status in _MONEY_BACK:
        fields |= {"failure_reason": failure_reason}
        if refund.body["balance_transaction"] is not None:
            back = move(account, "refund_failure", refund, refund.body["amount"])
            fields |= {"failure_balance_transaction": back.id}
        _count(account, account.get("charge", refund.body["charge"]), -refund.body["amount"])
    previous |= account.update(refund, **fields)
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


def succeed_later(account: StripeAccount, refund: Record) -> None:
    """A pending refund has arrived."""
    if refund.body["status"] == "pending" and refund.id not in account.waiting_refunds:
        move_to(account, refund, "succeeded")


def fail_later(account: StripeAccount, refund: Record) -> None:
    """The bank sends a refund back."""
    if refund.body["status"] in ("pending", "succeeded"):
        move_to(account, refund, "failed")


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/refunds/{id}``: only metadata can change."""
    refund = account.require("refund", id_)
    if "metadata" in params:
        merged = merged_metadata(refund.body["metadata"], params["metadata"])
        previous = account.update(refund, metadata=merged)
        emit(account, "refund.updated", refund.body, previous)
        emit(account, "charge.refund.updated", refund.body, previous)
    return refund.body


def cancel(account: StripeAccount, _: Json, id_: str) -> Json:
    """``POST /v1/refunds/{id}/cancel``: only while the customer still has to act."""
    refund = account.require("refund", id_)
    if refund.body["status"] != "requires_action":
        message = "Canceling this refund is unsupported: only refunds that require action can be canceled."
        raise invalid(message, executed=True)
    move_to(account, refund, "canceled", "merchant_request")
    return refund.body
