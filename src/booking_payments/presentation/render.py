"""Converts entities to the API's responses, field by field: a field that is not named here is never sent.

Only operators see the decline reasons that customers may not learn (lost, stolen, fraudulent, ...); all other callers
get a general decline instead.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final

from attrs import asdict, frozen

from booking_payments.application.event_jobs import EventBalance, EventPreview, EventReport
from booking_payments.application.views import BookingView, PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import Amendment
from booking_payments.domain.booking import Item
from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import ANY_METHOD, MethodChoice
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import DeferredRefund, Dispute, Payment, Refund
from booking_payments.domain.refunds import GivenBack, RefundPolicy, RefundQuote, RefundReason
from booking_payments.domain.reports import MethodDetails
from booking_payments.ports.event_jobs import BookingOutcome, EventJob, EventTotals
from booking_payments.presentation.models import (
    BookingAnswer,
    DisputeAnswer,
    EventAnswer,
    EventBalanceAnswer,
    EventJobAnswer,
    EventPreviewAnswer,
    EventReportAnswer,
    EventsAnswer,
    EventTotalsAnswer,
    FeeAnswer,
    ItemAnswer,
    MethodAnswer,
    MethodsChosen,
    PaymentAnswer,
    Policy,
    QuoteAnswer,
    RefundAnswer,
    SumAnswer,
    Tier,
)

HIDDEN_REFUND_FAILURES: Final = frozenset({"lost_or_stolen_card"})
"""Failure reasons of refunds that would reveal a hidden decline code."""


@frozen(kw_only=True)
class Reader:
    """The caller who receives the response: the ``subject`` of its token, and whether it is an ``operator``."""

    subject: str
    operator: bool


# --- bookings --------------------------------------------------------------------------------------------------


def booking(view: BookingView) -> BookingAnswer:
    """Return the response for a booking with its owed refunds."""
    entity = view.booking
    return BookingAnswer(
        id=entity.id,
        version=entity.version,
        reference=entity.reference,
        customer_id=entity.customer_id,
        event_id=entity.event_id,
        items=[_item(each) for each in entity.items],
        metadata=dict(entity.metadata),
        refund_grace_until=moment(entity.refund_grace_until) if entity.refund_grace_until else None,
        amount=entity.amount.major(),
        currency=entity.amount.currency.code,
        event_starts_at=moment(entity.event_starts_at),
        expires_at=moment(entity.expires_at),
        status=entity.status.value,
        reason=entity.end_reason.value if entity.end_reason else None,
        free=entity.free,
        refund_policy=_policy(entity.refund_policy) if entity.refund_policy else None,
        refund_owed=view.refund_owed.major(),
        refund_waiting=view.refund_waiting.major(),
        title=entity.details.title,
        description=entity.details.description,
        customer_email=entity.details.customer_email,
        customer_name=entity.details.customer_name,
        locale=entity.details.locale,
        time_zone=entity.details.time_zone,
        success_url=entity.details.success_url,
        cancel_url=entity.details.cancel_url,
        statement_descriptor_suffix=entity.details.statement_descriptor_suffix,
        payment_methods=_methods(entity.details.methods),
        capture_method=entity.details.capture_method.value if entity.details.capture_method else None,
        customer_refunds=entity.details.customer_refunds.value if entity.details.customer_refunds else None,
    )


def event_report(report: EventReport) -> EventReportAnswer:
    """Return the response for an event with its newest job."""
    return EventReportAnswer(
        event_id=report.event_id,
        totals=[_event_totals(each) for each in report.totals],
        job=event_job(report, report.job) if report.job is not None else None,
    )


def event_job(report: EventReport, job: EventJob) -> EventJobAnswer:
    """Return the response for a job, with the numbers of its bookings by outcome from ``report``."""
    counts = {outcome.value: report.counts.get(outcome, 0) for outcome in BookingOutcome}
    starts_at, grace, ended = job.event_starts_at, job.refund_grace_until, job.finished_at
    return EventJobAnswer(
        id=job.id,
        event_id=job.event_id,
        kind=job.kind.value,
        state=job.state.value,
        total=report.total,
        refund=job.refund.value,
        reason=job.reason,
        event_starts_at=moment(starts_at) if starts_at else None,
        refund_grace_until=moment(grace) if grace else None,
        created_at=moment(job.created_at),
        finished_at=moment(ended) if ended else None,
        **counts,
    )


def event_preview(preview: EventPreview) -> EventPreviewAnswer:
    """Return the response for the preview of a job."""
    return EventPreviewAnswer(
        event_id=preview.event_id,
        preview=True,
        bookings=dict(preview.bookings),
        to_refund=[SumAnswer(currency=each.currency.code, amount=each.major()) for each in preview.to_refund],
        held=preview.held,
        unpaid=preview.unpaid,
        processing=preview.processing,
        disputed=list(preview.disputed),
        balances=[_event_balance(each) for each in preview.balances],
        totals=[_event_totals(each) for each in preview.totals],
    )


def _event_balance(balance: EventBalance) -> EventBalanceAnswer:
    return EventBalanceAnswer(
        gateway=balance.gateway,
        currency=balance.needed.currency.code,
        needed=balance.needed.major(),
        available=balance.available.major() if balance.available is not None else None,
        missing=balance.missing.major() if balance.missing is not None else None,
        unknown=balance.unknown.value if balance.unknown is not None else None,
    )


def _event_totals(totals: EventTotals) -> EventTotalsAnswer:
    return EventTotalsAnswer(
        currency=totals.captured.currency.code,
        bookings=dict(totals.bookings),
        amount=totals.amount.major(),
        unpaid=totals.unpaid.major(),
        captured=totals.captured.major(),
        authorized=totals.authorized.major(),
        processing=totals.processing.major(),
        refunded=totals.refunded.major(),
        refund_pending=totals.refund_pending.major(),
        refund_owed=totals.owed.major(),
    )


def _item(item: Item) -> ItemAnswer:
    return ItemAnswer(
        id=item.id,
        label=item.label,
        quantity=item.quantity,
        unit_amount=item.unit_amount.major(),
        refunded_quantity=item.refunded,
    )


def _methods(chosen: MethodChoice) -> MethodsChosen | None:
    if chosen == ANY_METHOD:
        return None
    return MethodsChosen(allowed=list(chosen.allowed) or None, excluded=list(chosen.excluded) or None)


def _policy(policy: RefundPolicy) -> Policy:
    tiers = [Tier(hours_before=tier.hours_before, percent=f"{tier.percent.normalize():f}") for tier in policy.tiers]
    return Policy(tiers=tiers, fee=policy.fee.value)


# --- payments --------------------------------------------------------------------------------------------------


def payment(view: PaymentView, reader: Reader, now: datetime) -> PaymentAnswer:
    """Return the response for a payment, with the fields that ``reader`` may see."""
    entity = view.payment
    decline = _visible_decline(entity.last_decline, reader)
    secret, action = _client_action(view, reader)
    return PaymentAnswer(
        success=entity.status not in (PaymentStatus.FAILED, PaymentStatus.CANCELED),
        booking_id=entity.booking_id,
        payment_id=entity.id,
        payment_intent_id=entity.intent_id,
        gateway=entity.gateway,
        client_secret=secret,
        status=entity.status.value,
        requires_action=entity.status is PaymentStatus.REQUIRES_ACTION,
        next_action=action,
        outcome_unknown=entity.operation is not None and entity.operation.unknown,
        amount=entity.amount.major(),
        currency=entity.amount.currency.code,
        amount_received=entity.captured.major(),
        fee=_fee(entity.breakdown),
        refunded_amount=entity.refunded.major(),
        refund_pending_amount=entity.refund_pending.major(),
        refund_owed=entity.owed.amount.major(),
        refund_waiting=entity.owed_waiting.major(),
        withdrawn_amount=entity.withdrawn.major(),
        refunds=[refund(entity, each, reader, now) for each in entity.refunds],
        dispute=dispute(entity.dispute) if entity.dispute else None,
        disputes=[dispute(each) for each in entity.disputes],
        capture_before=moment(entity.captured_by) if entity.captured_by else None,
        method=MethodAnswer(**asdict(entity.method)) if entity.method else None,
        receipt_url=entity.receipt_url if entity.captured.minor else None,
        attempts_made=entity.attempts_made,
        attempts_left=entity.attempts_left,
        error=decline.message if decline else None,
        error_code=decline.code if decline else None,
        decline_code=decline.decline_code if decline else None,
        created_at=moment(entity.created_at),
        updated_at=moment(entity.updated_at),
    )


def _visible_decline(decline: Decline | None, reader: Reader) -> Decline | None:
    return decline if decline is None or reader.operator else decline.for_customer()


def _client_action(view: PaymentView, reader: Reader) -> tuple[str | None, dict[str, object] | None]:
    """Return client secret and next action: only for the booking's owner, while the payment waits for the customer."""
    entity = view.payment
    turn = entity.status.is_open and entity.status.awaits_customer
    if view.client_action is None or not turn or reader.subject != entity.customer_id:
        return None, None
    action = view.client_action.next_action if entity.status is PaymentStatus.REQUIRES_ACTION else None
    return view.client_action.client_secret, action


def _fee(breakdown: FeeBreakdown) -> FeeAnswer:
    return FeeAnswer(
        rate=f"{breakdown.rate:f}",
        amount=breakdown.fee.major(),
        payer=breakdown.payer.value,
        net=breakdown.net.major(),
    )


def dispute(entity: Dispute) -> DisputeAnswer:
    """Return the response for a dispute."""
    return DisputeAnswer(
        dispute_id=entity.id,
        status=entity.status.value,
        reason=entity.reason,
        amount=entity.amount.major(),
        withdrawn_amount=entity.withdrawn.major(),
        is_inquiry=entity.status.is_inquiry,
        opened_at=moment(entity.opened_at),
        evidence_due_by=moment(entity.evidence_due_by) if entity.evidence_due_by else None,
    )


# --- refunds ---------------------------------------------------------------------------------------------------


def refund(
    of: Payment, entity: Refund | DeferredRefund, reader: Reader, now: datetime, *, asked_by_reader: bool = False
) -> RefundAnswer:
    """Return the response for a refund; ``asked_by_reader``: the reader requested it, so its reason is never hidden."""
    given = entity.reason.value if isinstance(entity.reason, RefundReason) else entity.reason
    reason = given if asked_by_reader else _refund_reason(given, reader)
    return RefundAnswer(
        success=not entity.status.is_lost,
        refund_id=entity.id,
        gateway_refund_id=entity.gateway_refund_id if isinstance(entity, Refund) else None,
        status=entity.status.value,
        amount=entity.amount.major(),
        currency=entity.amount.currency.code,
        reason=reason,
        refunded_amount=of.refunded.major(),
        remaining_refundable=of.refundable.remaining(now).major(),
        deferred=isinstance(entity, DeferredRefund),
        refund_owed=of.owed.amount.major(),
    )


def _refund_reason(reason: str | None, reader: Reader) -> str | None:
    hidden = reason == RefundReason.FRAUDULENT.value and not reader.operator
    return None if hidden else reason


def quote(entity: RefundQuote) -> QuoteAnswer:
    """Return the response for a quote."""
    return QuoteAnswer(
        allowed=entity.allowed,
        amount=entity.amount.major(),
        currency=entity.amount.currency.code,
        fee_refunded=entity.fee_refunded.major(),
        refundable_until=moment(entity.refundable_until) if entity.refundable_until else None,
        reason_code=entity.reason.code,
        deferred=entity.deferred_by is not None,
        overrides=list(entity.overrides),
    )


# --- the journal -----------------------------------------------------------------------------------------------

SHOWN: Final[Mapping[type, str]] = {
    ev.PaymentStarted: "payment_id booking_id booking_reference customer_id booking_amount breakdown fee_policy "
    "refund_policy event_starts_at capture_method max_attempts gateway amount_step refund_grace_until",
    ev.OperationIntended: "purpose",
    ev.OutcomeLeftUnknown: "reason stored_error",
    ev.CallNotFound: "begun_at",
    ev.CallGivenUp: "",
    ev.LostCallEnded: "found",
    ev.OperationSettled: "",
    ev.ObservationDeferred: "",
    ev.ReturnUrlChosen: "",
    ev.IntentLinked: "intent_id",
    ev.PaymentAdopted: "intent_id made_for",
    ev.AttemptStarted: "number origin payment_method_id",
    ev.AttemptRefused: "number decline charge_id payment_method_id",
    ev.AttemptDropped: "number",
    ev.ClientNamed: "client",
    ev.MethodRequired: "",
    ev.MethodAttached: "",
    ev.ActionRequired: "attempt payment_method_id",
    ev.ProcessingStarted: "attempt payment_method_id",
    ev.PaymentAuthorized: "amount charge_id attempt payment_method_id",
    ev.PaymentSucceeded: "breakdown charge_id attempt late payment_method_id",
    ev.MethodSeen: "charge_id method capture_before",
    ev.PaymentCanceled: "",
    ev.PaymentFailed: "",
    ev.RefundRequested: "refund_id amount fee_refunded reason note override",
    ev.RefundDeferred: "refund_id amount fee_refunded reason note why",
    ev.DeferredRefundDropped: "refund_id",
    ev.PromiseRaised: "promised",
    ev.PromiseConfirmed: "refund_id",
    ev.PromiseWithdrawn: "refund_id promised",
    ev.DebtSettled: "settled how",
    ev.RefundAcknowledged: "refund_id",
    ev.AuthorizationReleased: "gateway_refund_id amount",
    ev.RefundFound: "refund_id gateway_refund_id amount fee_refunded status reason",
    ev.RefundLinked: "refund_id gateway_refund_id",
    ev.RefundMoved: "refund_id status failure_reason",
    ev.DisputeOpened: "dispute_id status reason amount evidence_due_by charge_refundable",
    ev.DisputeMoved: "dispute_id status evidence_due_by charge_refundable contradictory",
    ev.DisputeChanged: "dispute_id amount evidence_due_by charge_refundable",
    ev.DisputeFundsMoved: "dispute_id withdrawn",
    ev.BookingConfirmed: "",
    ev.BookingReleased: "status reason",
    ev.BookingAmended: "changed amount_before amendment reduced given_back",
    ev.Overcaptured: "reduced given_back",
    ev.LatePaymentDecided: "booking_status",
    ev.DriftFound: "",
}
"""The fields of each event that the booking's owner and operators see."""

SHOWN_TO_OPERATORS: Final[Mapping[type, str]] = {
    ev.OperationIntended: "idempotency_key",
    ev.OutcomeLeftUnknown: "idempotency_key",
    ev.CallNotFound: "idempotency_key",
    ev.CallGivenUp: "idempotency_key",
    ev.LostCallEnded: "idempotency_key",
    ev.OperationSettled: "idempotency_key refusal",
    ev.AttemptStarted: "idempotency_key",
    ev.RefundRequested: "idempotency_key",
    ev.DebtSettled: "note",
    ev.DriftFound: "code detail",
}
"""Further fields for operators only: our idempotency keys, notes, and the details of drift."""


def journal(recorded: list[ev.Recorded], reader: Reader) -> EventsAnswer:
    """Return the response for a journal, with the fields that ``reader`` may see."""
    return EventsAnswer(events=[_event(each, reader) for each in recorded])


def _event(recorded: ev.Recorded, reader: Reader) -> EventAnswer:
    kind = type(recorded.event)
    names = SHOWN[kind].split() + (SHOWN_TO_OPERATORS.get(kind, "").split() if reader.operator else [])
    return EventAnswer(
        sequence=recorded.sequence,
        type=event_type(kind),
        at=moment(recorded.at),
        actor=_actor(recorded.actor, reader),
        cause=recorded.cause,
        data={name: _value(name, getattr(recorded.event, name), reader) for name in names},
    )


def event_type(kind: type) -> str:
    """Return the name of an event in responses, such as ``payment_started``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def _actor(actor: str, reader: Reader) -> str:
    """Return the actor that ``reader`` may see: of an operator or a service, customers see only the role."""
    role, _, _ = actor.partition(":")
    return role if role in ("operator", "service") and not reader.operator else actor


def _value(name: str, value: object, reader: Reader) -> object:
    if isinstance(value, Decline):
        return _decline(value, reader)
    if name == "failure_reason" and value in HIDDEN_REFUND_FAILURES and not reader.operator:
        return None
    plain = _plain(value)
    return _refund_reason(plain, reader) if name == "reason" and isinstance(plain, str) and _of_refund(value) else plain


def _of_refund(value: object) -> bool:
    return isinstance(value, RefundReason) or value == RefundReason.FRAUDULENT.value


def _decline(decline: Decline, reader: Reader) -> dict[str, object]:
    shown = decline if reader.operator else decline.for_customer()
    return {"code": shown.code, "decline_code": shown.decline_code, "message": shown.message}


def _plain(value: object) -> object:
    """Return a value of the domain as JSON values."""
    if isinstance(value, Money):
        return {"amount": value.major(), "currency": value.currency.code}
    if isinstance(value, GivenBack):
        return {"amount": _plain(value.amount), "fee": _plain(value.fee)}
    if isinstance(value, FeeBreakdown):
        return {"gross": _plain(value.gross), "fee": _plain(value.fee), "net": _plain(value.net)}
    if isinstance(value, FeePolicy):
        return {"rate": f"{value.rate:f}", "payer": value.payer.value, "on_refund": value.on_refund.value}
    if isinstance(value, RefundPolicy):
        return _policy(value)
    if isinstance(value, MethodDetails):
        return asdict(value)
    if isinstance(value, Amendment):
        return _amendment(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.value if isinstance(value, Enum) else value


def _amendment(amendment: Amendment) -> dict[str, object]:
    """Return the amounts and times of an amendment; its texts are in the booking."""
    names = ("amount", "event_starts_at", "expires_at", "refund_grace_until", "refund")
    return {name: _plain(getattr(amendment, name)) for name in names}


# --- values ----------------------------------------------------------------------------------------------------


def moment(value: datetime) -> datetime:
    """Return a time in UTC, which is encoded with a Z."""
    return value.astimezone(UTC)
