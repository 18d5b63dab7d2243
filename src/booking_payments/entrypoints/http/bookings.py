"""Bookings: registering, reading, canceling."""

from decimal import Decimal
from typing import Annotated, Final

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.booking import BookingDetails, BookingStatus
from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy, RefundTier
from booking_payments.domain.texts import require_email, require_line, require_text
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import (
    BookingId,
    GivenCommand,
    GivenContext,
    OperationResult,
    RequestContext,
)
from booking_payments.entrypoints.http.routing import for_token, operation
from booking_payments.ports.bookings import BookingFilter
from booking_payments.presentation import render
from booking_payments.presentation.models import (
    BookingAnswer,
    BookingsAnswer,
    BookingsQuery,
    CancelBooking,
    MethodsChosen,
    Policy,
    RegisterBooking,
)

_NEW: Final = {
    "reference": "order-1001",
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2030-01-01T20:00:00Z",
}
_CANCEL: Final = {"reason": "the hall is flooded", "refund": "full"}


class Bookings(Controller):
    """The routes of bookings. The use case checks the ownership of the booking under its lock."""

    path = "/api/bookings"
    tags = ("bookings",)

    @post(
        summary="Register a booking; the same reference with the same content again finds it",
        **operation("register_booking", Access.BOOKING_APP, status_code=201, also={200: BookingAnswer}),
    )
    async def register(
        self, data: Annotated[RegisterBooking, Body(examples=[Example(value=_NEW)])], command: GivenCommand
    ) -> Response[BookingAnswer]:
        async def work(caller: Caller) -> OperationResult:
            registered = await command.payments.register_booking(_new_booking(data), caller)
            entity, status = registered.booking, 201 if registered.created else 200
            return OperationResult(
                content=await _described(command, entity.id), status=status, reference=entity.reference
            )

        return await command.once(data, BookingAnswer, work)

    @get(summary="Bookings, newest first; with `reference` the one that bears it", **for_token(Access.APP_OR_OPERATOR))
    async def listing(self, parameters: NamedDependency[BookingsQuery], context: GivenContext) -> BookingsAnswer:
        which = BookingFilter(
            reference=require_line(parameters.reference, "reference") if parameters.reference else None,
            customer_id=require_line(parameters.customer_id, "customer_id") if parameters.customer_id else None,
            status=BookingStatus(parameters.status) if parameters.status else None,
        )
        page = await context.payments.list_bookings(which, cursor=parameters.cursor, limit=parameters.limit)
        views = await context.payments.describe_bookings(page.items)
        return BookingsAnswer(items=[render.booking(view) for view in views], next_cursor=page.next_cursor)

    @get("/{booking_id:str}", summary="A booking and its status", **for_token(Access.READER, errors={404}))
    async def read(self, booking_id: BookingId, context: GivenContext) -> BookingAnswer:
        return await _described(context, booking_id)

    @post(
        "/{booking_id:str}/cancel",
        summary="Cancel a booking: an open payment is given up first, a paid one refunded as `refund` says; "
        "its customer may cancel it while it is not paid",
        **operation("cancel_booking", Access.READER, errors={404, 502}),
    )
    async def cancel(
        self,
        booking_id: BookingId,
        data: Annotated[CancelBooking, Body(examples=[Example(value=_CANCEL)])],
        command: GivenCommand,
    ) -> Response[BookingAnswer]:
        async def work(caller: Caller) -> OperationResult:
            refund = RefundOnCancel(data.refund) if data.refund else None
            entity = await command.payments.cancel_booking(booking_id, caller, reason=data.reason, refund=refund)
            return OperationResult(content=await _described(command, entity.id))

        return await command.once(data, BookingAnswer, work)


async def _described(context: RequestContext, booking_id: str) -> BookingAnswer:
    return render.booking(await context.payments.describe_booking(booking_id, context.caller))


def _new_booking(given: RegisterBooking) -> NewBooking:
    starts_at = parsing.utc(given.event_starts_at, "event_starts_at")
    expires_at = parsing.utc(given.expires_at, "expires_at") if given.expires_at else None
    if expires_at is not None and expires_at > starts_at:
        raise RefusedByRule("expires_at must not lie after event_starts_at", code="expires_after_event")
    return NewBooking(
        reference=require_line(given.reference, "reference"),
        customer_id=require_line(given.customer_id, "customer_id"),
        amount=Money.parse(given.amount, Currency.of(given.currency)),
        event_starts_at=starts_at,
        expires_at=expires_at,
        refund_policy=_policy(given.refund_policy) if given.refund_policy else None,
        details=_details(given),
    )


def _details(given: RegisterBooking) -> BookingDetails:
    for name in ("title", "statement_descriptor_suffix"):
        text = getattr(given, name)
        if text is not None:
            require_line(text, name)
    if given.customer_email is not None:
        require_email(given.customer_email, "customer_email")
    require_text(given.description, "description")
    return BookingDetails(
        title=given.title,
        description=given.description,
        customer_email=given.customer_email,
        statement_descriptor_suffix=given.statement_descriptor_suffix,
        methods=_methods(given.payment_methods),
        capture_method=CaptureMethod(given.capture_method) if given.capture_method else None,
        customer_refunds=CustomerRefunds(given.customer_refunds) if given.customer_refunds else None,
    )


def _methods(given: MethodsChosen | None) -> MethodChoice:
    if given is None:
        return ANY_METHOD
    if (given.allowed is None) == (given.excluded is None):
        raise InvalidInput("payment_methods: say either which are allowed or which are excluded")
    return MethodChoice(allowed=tuple(given.allowed or ()), excluded=tuple(given.excluded or ()))


def _policy(given: Policy) -> RefundPolicy:
    tiers = [RefundTier(hours_before=tier.hours_before, percent=Decimal(tier.percent)) for tier in given.tiers]
    return RefundPolicy(tiers=tuple(tiers), fee=FeeOnRefund(given.fee))
