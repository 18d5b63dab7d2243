"""Refunds: giving money back, saying beforehand what would come back, and settling what is owed otherwise."""

from typing import Final

from booking_payments.application.views import RefundView
from booking_payments.domain.events import Settlement
from booking_payments.domain.refunds import RefundReason
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, POST, Answer, Call, endpoint
from booking_payments.entrypoints.http.idempotency import REPLAYED
from booking_payments.entrypoints.http.payments import payment_answer, reader_of
from booking_payments.presentation import render
from booking_payments.presentation.models import (
    PaymentAnswer,
    QuoteAnswer,
    QuoteQuery,
    RefundAnswer,
    RefundPayment,
    SettleDebt,
)

_OF_BOOKING: Final = "/api/bookings/{booking_id}/payment/refund"
_OF_PAYMENT: Final = "/api/payments/{payment_id}/refund"
_REFUSALS: Final = frozenset({409, 422, 502})


def _refund_answer(call: Call[RefundPayment], view: RefundView) -> Answer:
    now, reader = call.services.clock.now(), reader_of(call)
    return Answer(
        content=render.refund(view.payment, view.refund, reader, now, asked_by_reader=True),
        reference=view.payment.booking_reference,
        intent_id=view.payment.intent_id,
        headers={REPLAYED: "true"} if view.replayed else {},
    )


@endpoint(
    POST,
    f"{_OF_BOOKING}/",
    Access.OWNER_OR_OPERATOR,
    summary="Give money back: `amount`, or all that can come back",
    body=RefundPayment,
    answers={200: RefundAnswer},
    errors=_REFUSALS,
    keyed=True,
    operation="refund_payment",
    example={"amount": "25.00", "reason": "requested_by_customer"},
)
async def refund(call: Call[RefundPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.refund_payment(
        call.booking_id,
        call.caller,
        amount=given.amount,
        reason=RefundReason(given.reason),
        note=given.note,
        override=given.override,
    )
    return _refund_answer(call, view)


@endpoint(
    POST,
    f"{_OF_PAYMENT}/",
    Access.OPERATOR,
    summary="Give money of this payment back, also when it does not hold its booking any more",
    body=RefundPayment,
    answers={200: RefundAnswer},
    errors=_REFUSALS | {404},
    keyed=True,
    operation="refund_payment",
    example={"amount": "25.00"},
)
async def refund_of_payment(call: Call[RefundPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.refund_payment_by_id(
        call.payment_id,
        call.caller,
        amount=given.amount,
        reason=RefundReason(given.reason),
        note=given.note,
        override=given.override,
    )
    return _refund_answer(call, view)


@endpoint(
    GET,
    f"{_OF_BOOKING}/quote/",
    Access.OWNER_OR_OPERATOR,
    summary="What a refund would give now; moves nothing",
    query=QuoteQuery,
    answers={200: QuoteAnswer},
    errors=frozenset({422}),
)
async def quote(call: Call[QuoteQuery]) -> Answer:
    given = call.given
    entity = await call.services.payments.quote_refund(
        call.booking_id, call.caller, amount=given.amount, override=given.override
    )
    return Answer(content=render.quote(entity))


@endpoint(
    GET,
    f"{_OF_PAYMENT}/quote/",
    Access.OPERATOR,
    summary="What a refund of this payment would give now; moves nothing",
    query=QuoteQuery,
    answers={200: QuoteAnswer},
    errors=frozenset({404, 422}),
)
async def quote_of_payment(call: Call[QuoteQuery]) -> Answer:
    given = call.given
    entity = await call.services.payments.quote_refund_of_payment(
        call.payment_id, call.caller, amount=given.amount, override=given.override
    )
    return Answer(content=render.quote(entity))


@endpoint(
    POST,
    "/api/payments/{payment_id}/owed/settle/",
    Access.OPERATOR,
    summary="Take off what is owed to the customer: it was paid elsewhere, or waived",
    body=SettleDebt,
    answers={200: PaymentAnswer},
    errors=frozenset({404, 409, 422}),
    keyed=True,
    operation="settle_debt",
    example={"amount": "50.00", "how": "paid_elsewhere", "note": "in cash at the box office"},
)
async def settle(call: Call[SettleDebt]) -> Answer:
    given = call.given
    view = await call.services.payments.settle_debt(
        call.payment_id, call.caller, amount=given.amount, how=Settlement(given.how), note=given.note
    )
    return payment_answer(call, view)


ENDPOINTS: Final = (refund, refund_of_payment, quote, quote_of_payment, settle)
