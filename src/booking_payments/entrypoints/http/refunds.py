"""Refunds: giving money back, and saying beforehand what would come back."""

from typing import Final

from booking_payments.domain.refunds import RefundReason
from booking_payments.entrypoints.http import render
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
    view = await call.services.payments.refund_payment(
        call.booking_id,
        call.caller,
        amount=call.given.amount,
        reason=RefundReason(call.given.reason),
        note=call.given.note,
    )
    now, reader = call.services.clock.now(), reader_of(call)
    content = render.refund(view.payment, view.refund, reader, now, asked_by_reader=True)
    return Answer(content=content, reference=view.payment.booking_reference, intent_id=view.payment.intent_id)


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
