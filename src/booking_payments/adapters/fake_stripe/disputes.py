"""Disputes and inquiries: opened by the bank, answered with evidence, decided."""

from datetime import timedelta
from typing import Final

from booking_payments.adapters.fake_stripe import objects
from booking_payments.adapters.fake_stripe.answers import Json
from booking_payments.adapters.fake_stripe.balance import move
from booking_payments.adapters.fake_stripe.cards import Opening
from booking_payments.adapters.fake_stripe.errors import Refusal, invalid
from booking_payments.adapters.fake_stripe.events import emit
from booking_payments.adapters.fake_stripe.follow_ups import schedule
from booking_payments.adapters.fake_stripe.params import (
    boolean,
    mapping,
    merged_metadata,
    metadata,
    opaque,
    text,
)
from booking_payments.adapters.fake_stripe.records import Account, Record
from booking_payments.adapters.fake_stripe.refunds import move_to

ANSWER_WITHIN: Final = timedelta(days=14)
"""Time to send evidence; banks give 7 to 21 days (docs.stripe.com/disputes)."""

UPDATE_FIELDS: Final = {
    "evidence": mapping(
        {name: text(longest=150_000) for name in objects.EVIDENCE_FIELDS} | {"enhanced_evidence": opaque()}
    ),
    "metadata": metadata(),
    "submit": boolean(),
    "intended_submission_method": text(),
    "expand": opaque(),
}
CLOSE_FIELDS: Final = {"expand": opaque()}

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

_AFTER_EVIDENCE: Final = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}
_WARNINGS: Final = frozenset({"warning_needs_response", "warning_under_review"})
_OPEN: Final = _WARNINGS | {"needs_response", "under_review"}


def open_dispute(account: Account, charge: Record, opening: Opening) -> Record:
    """The bank asks about a charge (inquiry) or takes its money back (chargeback)."""
    id_ = account.new_id("dispute", "du")
    body = objects.dispute(
        account,
        id_,
        charge.body,
        reason=opening.reason,
        status="warning_needs_response" if opening.inquiry else "needs_response",
        is_charge_refundable=opening.inquiry,
        evidence_details=_evidence_details(account),
    )
    dispute = account.add("dispute", id_, body)
    account.update(dispute, payment_method_details=_method_details(charge, opening.inquiry))
    account.note(charge, disputes=[*charge.private["disputes"], id_])
    account.update(charge, disputed=True)
    emit(account, "charge.dispute.created", dispute.body)
    if not opening.inquiry:
        _withdraw(account, dispute)
    schedule(account, "dispute_deadline", id_, ANSWER_WITHIN)
    return dispute


def _evidence_details(account: Account) -> Json:
    due_by = account.now() + int(ANSWER_WITHIN.total_seconds())
    return {
        "due_by": due_by,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
    }


def _method_details(charge: Record, inquiry: bool) -> Json:
    details = charge.body["payment_method_details"]
    if details["type"] != "card":
        return {"type": details["type"]}
    case_type = "inquiry" if inquiry else "chargeback"
    brand = details["card"]["brand"]
    return {"card": {"brand": brand, "case_type": case_type, "network_reason_code": "10.4"}, "type": "card"}


def _withdraw(account: Account, dispute: Record) -> None:
    _adjust(account, dispute, -dispute.body["amount"], "dispute")
    emit(account, "charge.dispute.funds_withdrawn", dispute.body)


def _adjust(account: Account, dispute: Record, amount: int, category: str) -> None:
    moved = move(account, "adjustment", dispute, amount, category)
    account.update(dispute, balance_transactions=[*dispute.body["balance_transactions"], dict(moved.body)])


def update(account: Account, params: Json, id_: str) -> Json:
    """``POST /v1/disputes/{id}``: evidence is sent at once unless ``submit`` is false."""
    dispute = _open_dispute(account, id_)
    previous: Json = {}
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


def _submit(account: Account, dispute: Record) -> Json:
    details = dispute.body["evidence_details"]
    sent = details | {"has_evidence": True, "submission_count": details["submission_count"] + 1}
    status = _AFTER_EVIDENCE[dispute.body["status"]]
    previous = account.update(dispute, status=status, evidence_details=sent)
    verdict = MAGIC_EVIDENCE.get((dispute.body["evidence"]["uncategorized_text"] or "").strip())
    if verdict is not None:
        schedule(account, verdict, dispute.id)
    return previous


def close(account: Account, _: Json, id_: str) -> Json:
    """``POST /v1/disputes/{id}/close``: accept it; irreversible. An inquiry ends without money moving."""
    dispute = _open_dispute(account, id_)
    _decide(account, dispute, "warning_closed" if dispute.body["status"] in _WARNINGS else "lost")
    return dispute.body


def _open_dispute(account: Account, id_: str) -> Record:
    dispute = account.require("dispute", id_)
    if dispute.body["status"] not in _OPEN:
        raise _closed(dispute)
    return dispute


def _closed(dispute: Record) -> Refusal:
    return invalid(f"This dispute is already closed: its status is {dispute.body['status']}.", executed=True)


def _charge(account: Account, dispute: Record) -> Record:
    return account.get("charge", dispute.body["charge"])


def _decide(account: Account, dispute: Record, status: str) -> None:
    account.update(dispute, status=status, is_charge_refundable=status != "lost")
    if status == "won":
        _adjust(account, dispute, dispute.body["amount"], "dispute_reversal")
        emit(account, "charge.dispute.funds_reinstated", dispute.body)
    emit(account, "charge.dispute.closed", dispute.body)
    emit(account, "charge.updated", _charge(account, dispute).body, {})


# --- what the bank does later; each is harmless when the dispute has moved on meanwhile


def win(account: Account, dispute: Record) -> None:
    """The bank accepts the evidence."""
    if dispute.body["status"] == "under_review":
        _decide(account, dispute, "won")
    elif dispute.body["status"] == "warning_under_review":
        _decide(account, dispute, "warning_closed")


def lose(account: Account, dispute: Record) -> None:
    """The bank refuses the evidence."""
    if dispute.body["status"] == "under_review":
        _decide(account, dispute, "lost")


def escalate(account: Account, dispute: Record) -> None:
    """An inquiry becomes a chargeback.

    Refunds made during it are taken back, as seen in Stripe's test mode.
    """
    if dispute.body["status"] not in _WARNINGS:
        return
    details = _method_details(_charge(account, dispute), inquiry=False)
    previous = account.update(
        dispute, status="needs_response", is_charge_refundable=False, payment_method_details=details
    )
    emit(account, "charge.dispute.updated", dispute.body, previous)
    _withdraw(account, dispute)
    _fail_refunds_since(account, dispute)


def _fail_refunds_since(account: Account, dispute: Record) -> None:
    for id_ in _charge(account, dispute).private["refunds"]:
        refund = account.get("refund", id_)
        if refund.seq > dispute.seq and refund.body["status"] in ("pending", "succeeded"):
            move_to(account, refund, "failed", "charge_for_pending_refund_disputed")


def pass_deadline(account: Account, dispute: Record) -> None:
    """Nobody answered in time."""
    if dispute.body["status"] == "needs_response":
        _decide(account, dispute, "lost")
    elif dispute.body["status"] in _WARNINGS:
        _decide(account, dispute, "warning_closed")


def close_refunded_inquiry(account: Account, dispute: Record) -> None:
    """The customer got everything back, so the inquiry is over."""
    if dispute.body["status"] in _WARNINGS and _charge(account, dispute).body["refunded"]:
        _decide(account, dispute, "warning_closed")
