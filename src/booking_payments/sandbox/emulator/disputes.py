"""Disputes and inquiries: opened by the bank, answered with evidence, decided."""

from datetime import timedelta
from fractions import Fraction
from typing import Final

from attrs import evolve, frozen

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.balance import book, book_charge
from booking_payments.sandbox.emulator.cards import Opening
from booking_payments.sandbox.emulator.currencies import CURRENCIES
from booking_payments.sandbox.emulator.errors import Refusal, invalid
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.follow_ups import schedule
from booking_payments.sandbox.emulator.params import (
    boolean,
    choice,
    expand,
    mapping,
    merged_metadata,
    metadata,
    not_modelled,
    text,
)
from booking_payments.sandbox.emulator.records import Record, StripeAccount
from booking_payments.sandbox.emulator.refunds import move_to
from booking_payments.sandbox.emulator.reviews import close_of_charge
from booking_payments.sandbox.emulator.settings import Settled, settled

ANSWER_WITHIN: Final = timedelta(days=14)
"""Time to send evidence; banks give 7 to 21 days (docs.stripe.com/disputes)."""

APPEAL_WITHIN: Final = timedelta(days=10)
"""Time to send evidence for an appeal (our own choice; Stripe names none)."""

FEE: Final = 1500
"""What a withdrawal costs, in the smallest unit of the settlement currency; it differs by country."""

UPDATE_FIELDS: Final = {
    "evidence": mapping(
        {name: text(longest=150_000) for name in objects.EVIDENCE_FIELDS} | not_modelled("appeal", "enhanced_evidence")
    ),
    "metadata": metadata(),
    "submit": boolean(),
    "intended_submission_method": choice("manual", "prefer_manual", "prefer_smart_disputes", "smart_disputes"),
    "expand": expand(),
}
CLOSE_FIELDS: Final = {"expand": expand()}

# fmt: off
REASONS: Final = frozenset([
    "bank_cannot_process", "check_returned", "credit_not_processed", "customer_initiated",
    "debit_not_authorized", "duplicate", "fraudulent", "general", "incorrect_account_details",
    "insufficient_funds", "noncompliant", "product_not_received", "product_unacceptable",
    "subscription_canceled", "unrecognized",
])
# fmt: on

MAGIC_EVIDENCE: Final = {
    "winning_evidence": "dispute_won",
    "losing_evidence": "dispute_lost",
    "escalate_inquiry_evidence": "inquiry_escalated",
}
"""``evidence[uncategorized_text]`` that decides a test dispute (docs.stripe.com/testing#disputes)."""

# fmt: off
STATUSES: Final = frozenset([
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review",
    "won", "lost", "prevented", "appeal_needs_response", "appeal_under_review",
])
# fmt: on

WARNINGS: Final = frozenset({"warning_needs_response", "warning_under_review", "warning_closed"})
APPEALS: Final = frozenset({"appeal_needs_response", "appeal_under_review"})
OPEN_CHARGEBACKS: Final = frozenset({"needs_response", "under_review"}) | APPEALS
CLOSED: Final = frozenset({"won", "lost", "warning_closed"})
"""What ``charge.dispute.closed`` is sent for; a prevented dispute only gets ``charge.dispute.updated``."""

CASE_TYPES: Final = frozenset({"block", "resolution"})
"""Of a prevented dispute: stopped before money moved, or settled with the disputed money."""

_AFTER_EVIDENCE: Final = {
    "needs_response": "under_review",
    "warning_needs_response": "warning_under_review",
    "appeal_needs_response": "appeal_under_review",
}
_OPEN_WARNINGS: Final = WARNINGS - CLOSED
_OPEN: Final = _OPEN_WARNINGS | OPEN_CHARGEBACKS


# --- opened by the bank


def open_dispute(account: StripeAccount, charge: Record, opening: Opening) -> Record:
    """The bank asks about a charge (inquiry) or takes its money back (chargeback).

    A dispute that is ``won`` from the start was withdrawn and reinstated in between.

    Raises:
        Refusal: 400 for an unknown reason, status or case type, and an amount that does not fit the charge.
    """
    status = opening.status or ("warning_needs_response" if opening.inquiry else "needs_response")
    _check_opening(charge, opening, status)
    if charge.body["balance_transaction"] is None:
        book_charge(account, charge)
    id_ = account.new_id("dispute", "du")
    body = objects.dispute(
        account,
        id_,
        charge.body,
        reason=opening.reason,
        status=status,
        is_charge_refundable=_refundable(status) if opening.refundable is None else opening.refundable,
        evidence_details=_evidence_details(account, status),
        payment_method_details=_method_details(charge, _case_type(status, opening.case_type)),
        **_other_money(opening),
    )
    dispute = account.add("dispute", id_, body, **_NOTHING_MOVED)
    account.note(charge, disputes=[*charge.private["disputes"], id_])
    account.update(charge, disputed=True)
    close_of_charge(account, charge, "disputed")
    emit(account, "charge.dispute.created", dispute.body)
    if status not in WARNINGS and opening.case_type != "block":
        _fail_pending_refunds(account, dispute)
        _withdraw(account, dispute, dispute.body["amount"])
    if status == "won":
        _reinstate(account, dispute, None)
    _tell_end(account, dispute)
    schedule(account, "dispute_deadline", id_, _time_to_answer(status))
    return dispute


_NOTHING_MOVED: Final[Json] = {"withdrawn": 0, "taken": 0, "debit": 0, "fee": 0}
"""Private notes about a dispute's money.

``withdrawn``: the amount withdrawn at present, in the disputed currency; ``taken``: the last withdrawal, and ``debit``
the same in the settlement currency; ``fee``: its cost, as far as it was not given back.
"""


def _check_opening(charge: Record, opening: Opening, status: str) -> None:
    if opening.reason not in REASONS:
        raise invalid(f"Invalid reason: {opening.reason!r} must be one of {', '.join(sorted(REASONS))}", param="reason")
    _check_status(status, opening.case_type)
    if opening.inquiry and status not in WARNINGS:
        message = f"Invalid status: an inquiry is one of {', '.join(sorted(WARNINGS))}, not {status}."
        raise invalid(message, param="status")
    _check_amount(charge, opening)


def _check_amount(charge: Record, opening: Opening) -> None:
    own, captured = charge.body["currency"], charge.body["amount_captured"]
    if opening.currency not in (None, own):
        if opening.currency not in CURRENCIES:
            raise invalid(f"Invalid currency: {opening.currency!r}", param="currency")
        if opening.amount is None:
            message = f"Invalid amount: a dispute in another currency than the charge's ({own}) needs an amount."
            raise invalid(message, param="amount")
    elif opening.amount is not None and opening.amount > captured:
        message = f"Invalid amount: {opening.amount} is more than was captured ({captured} {own})."
        raise invalid(message, param="amount")
    if opening.amount is not None and opening.amount < 1:
        raise invalid("Invalid amount: it must be at least 1.", param="amount")


def _check_status(status: str, case_type: str | None) -> None:
    if status not in STATUSES:
        raise invalid(f"Invalid status: {status!r} must be one of {', '.join(sorted(STATUSES))}", param="status")
    if case_type is None:
        return
    if case_type not in CASE_TYPES:
        raise invalid(f"Invalid case_type: must be one of {', '.join(sorted(CASE_TYPES))}", param="case_type")
    if status != "prevented":
        raise invalid("Invalid case_type: only a dispute with the status prevented has a choice.", param="case_type")


def _other_money(opening: Opening) -> Json:
    given = {"amount": opening.amount, "currency": opening.currency}
    return {name: value for name, value in given.items() if value is not None}


def _refundable(status: str) -> bool:
    """What a dispute says of its charge unless told otherwise."""
    return status not in OPEN_CHARGEBACKS


def _time_to_answer(status: str) -> timedelta:
    return APPEAL_WITHIN if status in APPEALS else ANSWER_WITHIN


def _evidence_details(account: StripeAccount, status: str) -> Json:
    sent = status in _AFTER_EVIDENCE.values()
    return {
        "due_by": account.now() + int(_time_to_answer(status).total_seconds()),
        "enhanced_eligibility": {},
        "has_evidence": sent,
        "past_due": False,
        "submission_count": int(sent),
        "submission_method": "manual" if sent else "not_submitted",
    }


def _case_type(status: str, given: str | None, before: str | None = None) -> str:
    """A resolution that ends as lost stays one; everything else follows from the status."""
    if status in WARNINGS:
        return "inquiry"
    if status == "prevented":
        return given or (before if before in CASE_TYPES else None) or "resolution"
    return before if before == "resolution" else "chargeback"


def _method_details(charge: Record, case_type: str) -> Json:
    details = charge.body["payment_method_details"]
    if details["type"] != "card":
        return {"type": details["type"]}
    brand = details["card"]["brand"]
    card = {"brand": brand, "case_type": case_type, "network": brand, "network_reason_code": "10.4"}
    return {"card": card, "type": "card"}


# --- its money


def _withdraw(account: StripeAccount, dispute: Record, amount: int) -> None:
    """Take ``amount`` of the disputed money, and a fee, from the balance."""
    moved = settled(account, -amount, dispute.body["currency"])
    _adjust(account, dispute, moved, "dispute", FEE)
    account.note(dispute, withdrawn=dispute.body["amount"], taken=amount, debit=-moved.amount, fee=FEE)
    emit(account, "charge.dispute.funds_withdrawn", dispute.body)


def _reinstate(account: StripeAccount, dispute: Record, amount: int | None) -> None:
    """Give money back: ``amount`` in the smallest unit of the settlement currency, ``None`` for all withdrawn money.

    A won dispute gives the fee back as well. The whole amount is converted at the present rate, so it may differ from
    the one that was withdrawn.
    """
    won, out, fee = dispute.body["status"] == "won", dispute.private["withdrawn"], dispute.private["fee"]
    back = settled(account, out, dispute.body["currency"])
    if amount is not None:
        back = evolve(back, amount=amount)
    if not back.amount:
        return
    _adjust(account, dispute, back, "dispute_reversal", -fee if won else 0)
    left, debit = 0, dispute.private["debit"]
    if amount is not None and debit:
        left = max(0, out - round(Fraction(amount * dispute.private["taken"], debit)))
    account.note(dispute, withdrawn=left, fee=0 if won else fee)
    emit(account, "charge.dispute.funds_reinstated", dispute.body)


def _adjust(account: StripeAccount, dispute: Record, moved: Settled, category: str, fee: int) -> None:
    written = book(account, "adjustment", dispute, moved, category, fee=fee)
    account.update(dispute, balance_transactions=[*dispute.body["balance_transactions"], dict(written.body)])


# --- moved by the bank


@frozen
class Move:
    """What the bank does to a dispute.

    Attributes:
        status: Any status; no move is impossible.
        reinstated: Money given back, in the smallest unit of the settlement currency; ``None``: the whole withdrawn
            amount when the dispute becomes ``won``, else nothing.
        refundable: ``is_charge_refundable`` from now on; ``None``: false while a chargeback is open, else true.
        case_type: ``block`` or ``resolution`` for a prevented dispute.
        keeps_refunds: Refunds made during an inquiry stay succeeded although it becomes a chargeback.
    """

    status: str
    reinstated: int | None = None
    refundable: bool | None = None
    case_type: str | None = None
    keeps_refunds: bool = False


def move_dispute(account: StripeAccount, dispute: Record, move: Move) -> None:
    """Move a dispute, with its money and its events.

    The part of the disputed amount that is not withdrawn yet is withdrawn when an inquiry, a block or a won dispute
    becomes a chargeback, a resolution or lost. An inquiry into a charge that was refunded in full withdraws nothing
    more.

    Raises:
        Refusal: 400 for an unknown status or case type, and for money given back that was never withdrawn.
    """
    _check_status(move.status, move.case_type)
    before = dispute.body["status"]
    _check_reinstated(account, dispute, move)
    takes = _to_withdraw(account, dispute, move)
    previous = _enter(account, dispute, move)
    if move.status not in CLOSED or before == move.status:
        emit(account, "charge.dispute.updated", dispute.body, previous)
    if takes:
        _fail_pending_refunds(account, dispute)
        _withdraw(account, dispute, takes)
        if before in WARNINGS and not move.keeps_refunds:
            _fail_refunds_since(account, dispute)
    if move.reinstated is not None or (move.status == "won" and dispute.private["withdrawn"]):
        _reinstate(account, dispute, move.reinstated)
    if before != move.status:
        _tell_end(account, dispute)


def _check_reinstated(account: StripeAccount, dispute: Record, move: Move) -> None:
    if move.reinstated is None:
        return
    if move.reinstated < 0:
        raise invalid("Invalid reinstated: it must be at least 0.", param="reinstated")
    taken = dispute.private["taken"] or _to_withdraw(account, dispute, move)
    if move.reinstated and not taken:
        raise invalid("Invalid reinstated: nothing of this dispute was withdrawn.", param="reinstated")


def _to_withdraw(account: StripeAccount, dispute: Record, move: Move) -> int:
    """What this move takes from the balance, in the disputed currency."""
    before, status = dispute.body["status"], move.status
    if before == status or status in WARNINGS or status == "won" or move.case_type == "block":
        return 0
    if before in WARNINGS and _is_refunded_for_good(account, dispute):
        return 0
    begins = before in WARNINGS or before == "won" or not dispute.private["taken"]
    return int(dispute.body["amount"]) - int(dispute.private["withdrawn"]) if begins else 0


def _is_refunded_for_good(account: StripeAccount, dispute: Record) -> bool:
    """Whether everything was refunded already, pending refunds excluded."""
    charge = _charge(account, dispute)
    pending = any(refund.body["status"] == "pending" for refund in _refunds(account, dispute))
    return bool(charge.body["refunded"]) and not pending


def _enter(account: StripeAccount, dispute: Record, move: Move) -> Json:
    """Write the new status and the fields that depend on it; returns the values before."""
    before, charge = dispute.body["status"], _charge(account, dispute)
    card = dispute.body["payment_method_details"].get("card", {})
    case_type = _case_type(move.status, move.case_type, card.get("case_type"))
    previous = account.update(
        dispute,
        status=move.status,
        is_charge_refundable=_refundable(move.status) if move.refundable is None else move.refundable,
        payment_method_details=_method_details(charge, case_type),
    )
    if before != move.status and _has_new_deadline(before, move.status):
        within = _time_to_answer(move.status)
        due_by = account.now() + int(within.total_seconds())
        details = dispute.body["evidence_details"] | {"due_by": due_by, "past_due": False}
        previous |= account.update(dispute, evidence_details=details)
        schedule(account, "dispute_deadline", dispute.id, within)
    return previous


def _has_new_deadline(before: str, status: str) -> bool:
    """An answer is asked for (again), or an appeal began; its deadline is then the appeal's."""
    return status in _AFTER_EVIDENCE or (status in APPEALS and before not in APPEALS)


def _tell_end(account: StripeAccount, dispute: Record) -> None:
    if dispute.body["status"] in CLOSED:
        emit(account, "charge.dispute.closed", dispute.body)
        emit(account, "charge.updated", _charge(account, dispute).body, {})


def _fail_pending_refunds(account: StripeAccount, dispute: Record) -> None:
    """Refunds that are pending when the money is taken fail."""
    for refund in _refunds(account, dispute):
        if refund.body["status"] == "pending":
            move_to(account, refund, "failed", "charge_for_pending_refund_disputed")


def _fail_refunds_since(account: StripeAccount, dispute: Record) -> None:
    """Refunds made during an inquiry are taken back when it escalates, as seen in Stripe's test mode."""
    for refund in _refunds(account, dispute):
        if refund.seq > dispute.seq and refund.body["status"] == "succeeded":
            move_to(account, refund, "failed", "charge_for_pending_refund_disputed")


def _refunds(account: StripeAccount, dispute: Record) -> list[Record]:
    return [account.get("refund", id_) for id_ in _charge(account, dispute).private["refunds"]]


# --- answered by the merchant


def update(account: StripeAccount, params: Json, id_: str) -> Json:
    """``POST /v1/disputes/{id}``: evidence is sent at once unless ``submit`` is false."""
    dispute = _open_dispute(account, id_)
    previous: Json = {}
    if "intended_submission_method" in params:
        previous |= account.update(dispute, intended_submission_method=params["intended_submission_method"])
    if "metadata" in params:
        previous |= account.update(dispute, metadata=merged_metadata(dispute.body["metadata"], params["metadata"]))
    if params.get("evidence"):
        previous |= account.update(dispute, evidence=dispute.body["evidence"] | params["evidence"])
        previous |= account.update(dispute, evidence_details=dispute.body["evidence_details"] | {"has_evidence": True})
    if _submits(dispute, params):
        previous = _submit(account, dispute) | previous
    emit(account, "charge.dispute.updated", dispute.body, previous)
    emit(account, "charge.updated", _charge(account, dispute).body, {})
    return dispute.body


def _submits(dispute: Record, params: Json) -> bool:
    wanted = params.get("submit", bool(params.get("evidence")))
    return bool(wanted and dispute.body["status"] in _AFTER_EVIDENCE)


def _submit(account: StripeAccount, dispute: Record) -> Json:
    details = dispute.body["evidence_details"]
    count = details["submission_count"] + 1
    sent = details | {"has_evidence": True, "submission_count": count, "submission_method": "manual"}
    status = _AFTER_EVIDENCE[dispute.body["status"]]
    previous = account.update(dispute, status=status, evidence_details=sent)
    verdict = MAGIC_EVIDENCE.get((dispute.body["evidence"]["uncategorized_text"] or "").strip())
    if verdict is not None:
        schedule(account, verdict, dispute.id)
    return previous


def close(account: StripeAccount, _: Json, id_: str) -> Json:
    """``POST /v1/disputes/{id}/close``: accept it; irreversible. An inquiry ends without money moving."""
    dispute = _open_dispute(account, id_)
    _decide(account, dispute, "warning_closed" if dispute.body["status"] in _OPEN_WARNINGS else "lost")
    return dispute.body


def _open_dispute(account: StripeAccount, id_: str) -> Record:
    dispute = account.require("dispute", id_)
    if dispute.body["status"] not in _OPEN:
        raise _closed(dispute)
    return dispute


def _closed(dispute: Record) -> Refusal:
    return invalid(f"This dispute is already closed: its status is {dispute.body['status']}.", executed=True)


def _charge(account: StripeAccount, dispute: Record) -> Record:
    return account.get("charge", dispute.body["charge"])


def _decide(account: StripeAccount, dispute: Record, status: str) -> None:
    """End a dispute. A lost one says that the charge cannot be refunded any more, unless a part was not disputed."""
    whole = dispute.body["amount"] >= _charge(account, dispute).body["amount_captured"]
    move_dispute(account, dispute, Move(status, refundable=not (status == "lost" and whole)))


# --- what the bank does later; each is harmless when the dispute has moved on meanwhile


def win(account: StripeAccount, dispute: Record) -> None:
    """The bank accepts the evidence."""
    if dispute.body["status"] in ("under_review", "appeal_under_review"):
        _decide(account, dispute, "won")
    elif dispute.body["status"] == "warning_under_review":
        _decide(account, dispute, "warning_closed")


def lose(account: StripeAccount, dispute: Record) -> None:
    """The bank refuses the evidence."""
    if dispute.body["status"] in ("under_review", "appeal_under_review"):
        _decide(account, dispute, "lost")


def escalate(account: StripeAccount, dispute: Record) -> None:
    """An inquiry becomes a chargeback."""
    if dispute.body["status"] in _OPEN_WARNINGS:
        move_dispute(account, dispute, Move("needs_response"))


def pass_deadline(account: StripeAccount, dispute: Record) -> None:
    """No answer came in time. A deadline that was replaced by a later one passes without effect."""
    if account.now() < dispute.body["evidence_details"]["due_by"]:
        return
    if dispute.body["status"] in ("needs_response", "appeal_needs_response"):
        _decide(account, dispute, "lost")
    elif dispute.body["status"] in _OPEN_WARNINGS:
        _decide(account, dispute, "warning_closed")


def close_refunded_inquiry(account: StripeAccount, dispute: Record) -> None:
    """The customer got everything back, so the inquiry is over."""
    if dispute.body["status"] in _OPEN_WARNINGS and _charge(account, dispute).body["refunded"]:
        _decide(account, dispute, "warning_closed")
