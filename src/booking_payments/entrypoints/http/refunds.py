"""Routes of refunds: refund, quote, and settlement of a debt without a refund."""

import re
from typing import Annotated, Final

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundView
from booking_payments.domain.booking import ItemCount
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.events import Settlement
from booking_payments.domain.refunds import RefundReason
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import (
    BookingId,
    GivenCommand,
    GivenContext,
    OperationResult,
    PaymentId,
    RequestContext,
)
from booking_payments.entrypoints.http.idempotency import REPLAYED
from booking_payments.entrypoints.http.payments import payment_done
from booking_payments.entrypoints.http.routing import for_token, operation
from booking_payments.presentation import render
from booking_payments.presentation.asked import named_items
from booking_payments.presentation.models import (
    NamedItems,
    PaymentAnswer,
    QuoteAnswer,
    QuoteQuery,
    RefundAnswer,
    RefundPayment,
    SettleDebt,
)

_SETTLED: Final = {"amount": "50.00", "how": "paid_elsewhere", "note": "in cash at the box office"}


class BookingRefundRoutes(Controller):
    """Refunds of the payment that holds a booking."""

    path = "/api/bookings/{booking_id:str}/payment/refund"
    tags = ("payment",)

    @post(
        summary="Refund `amount`, or everything refundable",
        **operation("refund_payment", Access.OWNER_OR_OPERATOR, errors={404, 502}),
    )
    async def refund(
        self,
        booking_id: BookingId,
        data: Annotated[
            RefundPayment, Body(examples=[Example(value={"amount": "25.00", "reason": "requested_by_customer"})])
        ],
        command: GivenCommand,
    ) -> Response[RefundAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.refund_payment(
                booking_id,
                caller,
                amount=data.amount,
                reason=RefundReason(data.reason),
                note=data.note,
                override=data.override,
                items=named_items(data.items),
            )
            return _refund_done(command, view)

        return await command.once(data, RefundAnswer, work)

    @get(
        "/quote",
        summary="What a refund would give now; moves nothing",
        **for_token(Access.OWNER_OR_OPERATOR, errors={404, 422}),
    )
    async def quote(
        self, booking_id: BookingId, parameters: NamedDependency[QuoteQuery], context: GivenContext
    ) -> QuoteAnswer:
        entity = await context.payments.quote_refund(
            booking_id,
            context.caller,
            amount=parameters.amount,
            items=items_of(parameters.items),
            override=parameters.override,
        )
        return render.quote(entity)


class PaymentRefundRoutes(Controller):
    """Refunds and debts of a payment by its own id, also when it does not hold its booking any more."""

    path = "/api/payments/{payment_id:str}"
    tags = ("payment",)

    @post(
        "/refund",
        summary="Give money of this payment back, also when it does not hold its booking any more",
        **operation("refund_payment", Access.OPERATOR, errors={404, 502}),
    )
    async def refund(
        self,
        payment_id: PaymentId,
        data: Annotated[RefundPayment, Body(examples=[Example(value={"amount": "25.00"})])],
        command: GivenCommand,
    ) -> Response[RefundAnswer]:
        async def work(caller: Caller) -> OperationResult:
            _refuse_items(data.items)
            view = await command.payments.refund_payment_by_id(
                payment_id,
                caller,
                amount=data.amount,
                reason=RefundReason(data.reason),
                note=data.note,
                override=data.override,
            )
            return _refund_done(command, view)

        return await command.once(data, RefundAnswer, work)

    @get(
        "/refund/quote",
        summary="What a refund of this payment would give now; moves nothing",
        **for_token(Access.OPERATOR, errors={404, 422}),
    )
    async def quote(
        self, payment_id: PaymentId, parameters: NamedDependency[QuoteQuery], context: GivenContext
    ) -> QuoteAnswer:
        _refuse_items(parameters.items)
        entity = await context.payments.quote_refund_of_payment(
            payment_id, context.caller, amount=parameters.amount, override=parameters.override
        )
        return render.quote(entity)

    @post(
        "/owed/settle",
        summary="Settle a debt to the customer that was paid elsewhere or waived",
        **operation("settle_debt", Access.OPERATOR, errors={404}),
    )
    async def settle(
        self,
        payment_id: PaymentId,
        data: Annotated[SettleDebt, Body(examples=[Example(value=_SETTLED)])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.settle_debt(
                payment_id, caller, amount=data.amount, how=Settlement(data.how), note=data.note
            )
            return payment_done(command, view)

        return await command.once(data, PaymentAnswer, work)


def items_of(text: str | None) -> tuple[ItemCount, ...]:
    """The units in a query: ``adult:2,child``, or the JSON array that the body of a refund has."""
    if text is None:
        return ()
    if text.startswith("["):
        try:
            return named_items(msgspec.json.decode(text, type=NamedItems))
        except msgspec.MsgspecError:
            raise _bad_items() from None
    named = [_ITEM.fullmatch(each) for each in text.split(",")]
    return tuple(_count(each) for each in named)


def _count(match: re.Match[str] | None) -> ItemCount:
    if match is None:
        raise _bad_items()
    return ItemCount(id=match["id"], quantity=int(match["quantity"]) if match["quantity"] else None)


_ITEM: Final = re.compile(r"(?P<id>[A-Za-z0-9_.-]{1,64})(:(?P<quantity>[0-9]{1,5}))?")


def _bad_items() -> InvalidInput:
    return InvalidInput("items: name them as in adult:2,child - ids with their quantities, separated by commas")


def _refuse_items(items: object) -> None:
    if items is not None:
        raise InvalidInput("items belong to a booking: refund them by the booking's own address")


def _refund_done(context: RequestContext, view: RefundView) -> OperationResult:
    return OperationResult(
        content=render.refund(view.payment, view.refund, context.reader, context.now, asked_by_reader=True),
        reference=view.payment.booking_reference,
        intent_id=view.payment.intent_id,
        headers={REPLAYED: "true"} if view.replayed else {},
    )
