"""Refunds: giving money back, and saying beforehand what would come back."""

from typing import Final

from booking_payments.application.views import RefundView
from booking_payments.domain import events as ev
from booking_payments.domain.errors import NotFound
from booking_payments.domain.refunds import RefundReason
from booking_payments.entrypoints.http import door, render
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, POST, Answer, Call, endpoint
from booking_payments.entrypoints.http.models import QuoteAnswer, QuoteQuery, RefundAnswer, RefundPayment
from booking_payments.entrypoints.http.payments import reader_of

_PATH: Final = "/api/bookings/{booking_id}/payment/refund"


@endpoint(
    POST,
    f"{_PATH}/",
    Access.OWNER_OR_OPERATOR,
    summary="Give money back: `amount`, or all that can come back",
    body=RefundPayment,
    answers={200: RefundAnswer},
    errors=frozenset({409, 422, 502}),
    keyed=True,
    operation="refund_payment",
    example={"amount": "25.00", "reason": "requested_by_customer"},
)
async def refund(call: Call[RefundPayment]) -> Answer:
    note = door.require_note(call.given.note)
    view = await _already_made(call) if call.resumed else None
    if view is None:
        view = await call.services.payments.refund_payment(
            call.booking_id,
            call.caller,
            amount=call.given.amount,
            reason=RefundReason(call.given.reason),
            note=note,
        )
    now, reader = call.services.clock.now(), reader_of(call)
    content = render.refund(view.payment, view.refund, reader, now, asked_by_reader=True)
    return Answer(content=content, reference=view.payment.booking_reference, intent_id=view.payment.intent_id)


async def _already_made(call: Call[RefundPayment]) -> RefundView | None:
    """The refund that an earlier run with the same idempotency key requested, if it came that far.

    Without this a second partial refund would follow an answer that got lost.
    """
    try:
        recorded = await call.services.payments.journal(call.booking_id, call.caller)
        payment = (await call.services.payments.payment_status(call.booking_id, call.caller)).payment
    except NotFound:
        return None
    ours = [each.fact for each in recorded if each.cause == call.caller.cause]
    requested = next((fact for fact in ours if isinstance(fact, ev.RefundRequested)), None)
    made = payment.refund(requested.refund_id) if requested else None
    return RefundView(payment=payment, refund=made) if made else None


@endpoint(
    GET,
    f"{_PATH}/quote/",
    Access.OWNER_OR_OPERATOR,
    summary="What a refund would give now; moves nothing",
    query=QuoteQuery,
    answers={200: QuoteAnswer},
    errors=frozenset({422}),
)
async def quote(call: Call[QuoteQuery]) -> Answer:
    entity = await call.services.payments.quote_refund(call.booking_id, call.caller, amount=call.given.amount)
    return Answer(content=render.quote(entity))


ENDPOINTS: Final = (refund, quote)
