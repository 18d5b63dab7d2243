"""Bookings: registering, reading, canceling."""

from typing import Annotated, Final

from litestar import Controller, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.texts import require_identifier
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
from booking_payments.presentation.asked import change_asked, named_items, new_booking, require_allowed_pages
from booking_payments.presentation.models import (
    AmendBooking,
    BookingAnswer,
    BookingsAnswer,
    BookingsQuery,
    CancelBooking,
    RegisterBooking,
)

_NEW: Final = {
    "reference": "order-1001",
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2030-01-01T20:00:00Z",
}
_AMEND: Final = {"amount": "80.00", "expected_version": 1}
_CANCEL: Final = {"reason": "the hall is flooded", "refund": "full"}


class BookingRoutes(Controller):
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
        require_allowed_pages(data, command.services.settings.return_url_origins)

        async def work(caller: Caller) -> OperationResult:
            registered = await command.payments.register_booking(new_booking(data), caller)
            entity, status = registered.booking, 201 if registered.created else 200
            return OperationResult(
                content=await _described(command, entity.id), status=status, reference=entity.reference
            )

        return await command.once(data, BookingAnswer, work)

    @get(summary="Bookings, newest first; with `reference` the one that bears it", **for_token(Access.APP_OR_OPERATOR))
    async def listing(self, parameters: NamedDependency[BookingsQuery], context: GivenContext) -> BookingsAnswer:
        which = BookingFilter(
            reference=require_identifier(parameters.reference, "reference") if parameters.reference else None,
            customer_id=require_identifier(parameters.customer_id, "customer_id") if parameters.customer_id else None,
            event_id=parameters.event_id,
            status=BookingStatus(parameters.status) if parameters.status else None,
        )
        page = await context.payments.list_bookings(which, cursor=parameters.cursor, limit=parameters.limit)
        views = await context.payments.describe_bookings(page.items)
        return BookingsAnswer(items=[render.booking(view) for view in views], next_cursor=page.next_cursor)

    @get("/{booking_id:str}", summary="A booking and its status", **for_token(Access.READER, errors={404}))
    async def read(self, booking_id: BookingId, context: GivenContext) -> BookingAnswer:
        return await _described(context, booking_id)

    @patch(
        "/{booking_id:str}",
        summary="Amend a booking: another price, other items, another date or other texts; its payment follows",
        **operation("amend_booking", Access.APP_OR_OPERATOR, errors={404, 502}),
    )
    async def amend(
        self,
        booking_id: BookingId,
        data: Annotated[AmendBooking, Body(examples=[Example(value=_AMEND)])],
        command: GivenCommand,
    ) -> Response[BookingAnswer]:
        require_allowed_pages(data, command.services.settings.return_url_origins)

        async def work(caller: Caller) -> OperationResult:
            booking = await command.payments.get_booking(booking_id, caller)
            entity = await command.payments.amend_booking(
                booking_id,
                change_asked(data, booking.amount.currency),
                caller,
                expected_version=data.expected_version,
                refund=RefundOnCancel(data.refund) if data.refund else None,
            )
            return OperationResult(content=await _described(command, entity.id), reference=entity.reference)

        return await command.once(data, BookingAnswer, work)

    @post(
        "/{booking_id:str}/cancel",
        summary="Cancel a booking. Its open payment is canceled first; a paid one is refunded as `refund` says; "
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
            entity = await command.payments.cancel_booking(
                booking_id, caller, reason=data.reason, refund=refund, items=named_items(data.items)
            )
            return OperationResult(content=await _described(command, entity.id))

        return await command.once(data, BookingAnswer, work)


async def _described(context: RequestContext, booking_id: str) -> BookingAnswer:
    return render.booking(await context.payments.describe_booking(booking_id, context.caller))
