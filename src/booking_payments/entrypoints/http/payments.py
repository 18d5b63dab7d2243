"""Payments: starting, confirming, retrying, capturing, canceling, and looking at them."""

from typing import Annotated, Final

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, JSONBody
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.views import PaymentView
from booking_payments.domain.instructions import CaptureMethod, Client
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.domain.texts import require_identifier, require_line
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import (
    BookingId,
    GivenCommand,
    GivenContext,
    OperationResult,
    RequestContext,
)
from booking_payments.entrypoints.http.routing import for_token, operation
from booking_payments.ports.payments import PaymentFilter, Refunded
from booking_payments.presentation import render
from booking_payments.presentation.asked import utc
from booking_payments.presentation.models import (
    CapturePayment,
    ConfirmPayment,
    EventsAnswer,
    Nothing,
    PageAnswer,
    PaymentAnswer,
    PaymentConditions,
    PaymentsQuery,
    RecordPayment,
    RetryPayment,
    StartPayment,
)
from booking_payments.presentation.origins import require_allowed_origin

_CHARGING: Final = frozenset({402, 404, 502})
_HOLDING: Final = frozenset({404, 502})

_REFUNDED: Final = {
    "true": Refunded.ANY,
    "false": Refunded.NONE,
    "none": Refunded.NONE,
    "partly": Refunded.PARTLY,
    "fully": Refunded.FULLY,
}

_RECORD: Final = {"amount": "100.00", "kind": "cash", "reference": "17-204"}
_START: Final = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}


class PaymentRoutes(Controller):
    """The routes of a booking's payment."""

    path = "/api/bookings/{booking_id:str}/payment"
    tags = ("payment",)

    @post(
        "/intent",
        summary="Start to pay, or go on with the open payment; charged at once with `confirm_immediately`",
        **operation("start_payment", Access.OWNER, errors=_CHARGING),
    )
    async def start(
        self,
        booking_id: BookingId,
        data: Annotated[StartPayment, Body(examples=[Example(value=_START)])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.start_payment(
                booking_id,
                caller,
                payment_method_id=data.payment_method_id,
                confirm_immediately=data.confirm_immediately,
                capture_method=CaptureMethod(data.capture_method) if data.capture_method else None,
                return_url=_return_url(command, data.return_url),
                client=Client(data.client) if data.client else None,
                gateway=data.gateway,
            )
            return payment_done(command, view)

        return await command.once(data, PaymentAnswer, work)

    @post(
        "/record",
        summary="Record that the price was received by hand, at the gateway `manual`",
        **operation("record_payment", Access.OPERATOR, errors=_HOLDING),
    )
    async def record(
        self,
        booking_id: BookingId,
        data: Annotated[RecordPayment, Body(examples=[Example(value=_RECORD)])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.record_payment(
                booking_id, caller, amount=data.amount, kind=ReceiptKind(data.kind), reference=data.reference
            )
            return payment_done(command, view)

        return await command.once(data, PaymentAnswer, work)

    @post(
        "/confirm",
        summary="Charge the payment, with `payment_method_id` or the method that it has",
        **operation("confirm_payment", Access.OWNER, errors=_CHARGING),
    )
    async def confirm(
        self,
        booking_id: BookingId,
        data: Annotated[ConfirmPayment, Body(examples=[Example(value={"payment_method_id": "pm_card_visa"})])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.confirm_payment(
                booking_id,
                caller,
                payment_method_id=data.payment_method_id,
                return_url=_return_url(command, data.return_url),
            )
            return payment_done(command, view)

        return await command.once(data, PaymentAnswer, work)

    @post(
        "/retry",
        summary="Try again after a decline, with another payment method",
        **operation("retry_payment", Access.OWNER, errors=_CHARGING),
    )
    async def retry(
        self,
        booking_id: BookingId,
        data: Annotated[RetryPayment, Body(examples=[Example(value={"payment_method_id": "pm_card_mastercard"})])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            view = await command.payments.retry_payment(
                booking_id,
                caller,
                payment_method_id=data.payment_method_id,
                return_url=_return_url(command, data.return_url),
            )
            return payment_done(command, view)

        return await command.once(data, PaymentAnswer, work)

    @post(
        "/capture",
        summary="Capture the held money or `amount` of it; the rest is released",
        **operation("capture_payment", Access.OPERATOR, errors=_HOLDING),
    )
    async def capture(
        self,
        booking_id: BookingId,
        data: Annotated[CapturePayment, Body(examples=[Example(value={"amount": "60.00"})])],
        command: GivenCommand,
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            return payment_done(command, await command.payments.capture_payment(booking_id, caller, amount=data.amount))

        return await command.once(data, PaymentAnswer, work)

    @post(
        "/cancel",
        summary="Give the payment up; the booking stays pending",
        **operation("cancel_payment", Access.OWNER_OR_OPERATOR, errors=_HOLDING),
    )
    async def cancel(
        self, booking_id: BookingId, data: JSONBody[Nothing], command: GivenCommand
    ) -> Response[PaymentAnswer]:
        async def work(caller: Caller) -> OperationResult:
            return payment_done(command, await command.payments.cancel_payment(booking_id, caller))

        return await command.once(data, PaymentAnswer, work)

    @get("/status", summary="The booking's payment as it is now", **for_token(Access.READER, errors={404}))
    async def status(self, booking_id: BookingId, context: GivenContext) -> PaymentAnswer:
        view = await context.payments.payment_status(booking_id, context.caller)
        return render.payment(view, context.reader, context.now)

    @get("/events", summary="The payment's journal, oldest first", **for_token(Access.READER, errors={404}))
    async def events(self, booking_id: BookingId, context: GivenContext) -> EventsAnswer:
        recorded = await context.payments.journal(booking_id, context.caller)
        return render.journal(list(recorded), context.reader)


@get("/api/payments", summary="Payments, newest first", tags=["payment"], **for_token(Access.OPERATOR))
async def listing(parameters: NamedDependency[PaymentsQuery], context: GivenContext) -> PageAnswer:
    page = await context.payments.list_payments(filter_of(parameters), cursor=parameters.cursor, limit=parameters.limit)
    items = [render.payment(PaymentView(payment=each), context.reader, context.now) for each in page.items]
    return PageAnswer(items=items, next_cursor=page.next_cursor)


def payment_done(context: RequestContext, view: PaymentView) -> OperationResult:
    """The answer that shows a payment."""
    content = render.payment(view, context.reader, context.now)
    return OperationResult(content=content, reference=view.payment.booking_reference, intent_id=view.payment.intent_id)


def _return_url(context: RequestContext, url: str | None) -> str | None:
    return require_allowed_origin(url, context.services.settings.return_url_origins)


def filter_of(given: PaymentConditions) -> PaymentFilter:
    """Return the conditions of a query. Raises ``InvalidInput`` for text that is no line, time or amount."""
    return PaymentFilter(
        status=PaymentStatus(given.status) if given.status else None,
        customer_id=require_identifier(given.customer_id, "customer_id") if given.customer_id else None,
        reference=require_identifier(given.reference, "reference") if given.reference else None,
        created_from=utc(given.created_from, "created_from") if given.created_from else None,
        created_to=utc(given.created_to, "created_to") if given.created_to else None,
        event_id=require_identifier(given.event_id, "event_id") if given.event_id else None,
        text=require_line(given.q, "q") if given.q else None,
        email=require_line(given.email, "email") if given.email else None,
        amount=Money.major_units(given.amount) if given.amount else None,
        last4=given.last4,
        refunded=_REFUNDED[given.refunded] if given.refunded else None,
        disputed=given.disputed == "true" if given.disputed else None,
    )
