"""Bookings: registering, reading, canceling."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final
from zoneinfo import available_timezones

from litestar import Controller, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Response
from msgspec import UNSET, UnsetType

from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.amendments import KEEP, BookingChange, Keep
from booking_payments.domain.booking import BookingDetails, BookingStatus, Item, ItemCount
from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy, RefundTier
from booking_payments.domain.texts import require_identifier, require_line
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
    AmendBooking,
    BookingAnswer,
    BookingsAnswer,
    BookingsQuery,
    CancelBooking,
    ItemAsked,
    ItemNamed,
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
        _require_allowed(data, command)

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
        _require_allowed(data, command)

        async def work(caller: Caller) -> OperationResult:
            booking = await command.payments.get_booking(booking_id, caller)
            entity = await command.payments.amend_booking(
                booking_id,
                _change(data, booking.amount.currency),
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


def _require_allowed(given: RegisterBooking | AmendBooking, context: RequestContext) -> None:
    """Raise ``RequestRefused`` (400) when the checkout would lead to a page whose origin is not allowed."""
    origins = context.services.settings.return_url_origins
    for name, url in (("success_url", given.success_url), ("cancel_url", given.cancel_url)):
        if url is not UNSET:
            parsing.require_allowed_origin(url, origins, name)


async def _described(context: RequestContext, booking_id: str) -> BookingAnswer:
    return render.booking(await context.payments.describe_booking(booking_id, context.caller))


def _new_booking(given: RegisterBooking) -> NewBooking:
    currency = Currency.of(given.currency)
    starts_at = parsing.utc(given.event_starts_at, "event_starts_at")
    expires_at = parsing.utc(given.expires_at, "expires_at") if given.expires_at else None
    if expires_at is not None and expires_at > starts_at:
        raise RefusedByRule("expires_at must not be after event_starts_at", code="expires_after_event")
    return NewBooking(
        reference=require_identifier(given.reference, "reference"),
        customer_id=require_identifier(given.customer_id, "customer_id"),
        amount=Money.parse(given.amount, currency) if given.amount is not None else None,
        items=_items(given.items, currency) if given.items else (),
        event_id=given.event_id,
        metadata=given.metadata or {},
        event_starts_at=starts_at,
        expires_at=expires_at,
        refund_policy=_policy(given.refund_policy) if given.refund_policy else None,
        details=_details(given),
    )


def _details(given: RegisterBooking) -> BookingDetails:
    if given.time_zone is not None and given.time_zone not in available_timezones():
        raise InvalidInput("time_zone: must be the name of a time zone such as Europe/Vienna")
    return BookingDetails(
        title=given.title,
        description=given.description,
        customer_email=given.customer_email,
        customer_name=given.customer_name,
        locale=given.locale,
        time_zone=given.time_zone,
        success_url=given.success_url,
        cancel_url=given.cancel_url,
        statement_descriptor_suffix=given.statement_descriptor_suffix,
        methods=_methods(given.payment_methods),
        capture_method=CaptureMethod(given.capture_method) if given.capture_method else None,
        customer_refunds=CustomerRefunds(given.customer_refunds) if given.customer_refunds else None,
    )


def _items(given: Sequence[ItemAsked], currency: Currency) -> tuple[Item, ...]:
    return tuple(
        Item(
            id=each.id,
            label=require_line(each.label, "label") if each.label else each.id,
            quantity=each.quantity,
            unit_amount=Money.parse(each.unit_amount, currency),
        )
        for each in given
    )


def named_items(given: Sequence[ItemNamed] | None) -> tuple[ItemCount, ...]:
    """The units that a request names."""
    return tuple(ItemCount(id=each.id, quantity=each.quantity) for each in given or ())


def _change(given: AmendBooking, currency: Currency) -> BookingChange:
    starts_at, expires_at, grace = given.event_starts_at, given.expires_at, given.refund_grace_until
    return BookingChange(
        amount=KEEP if given.amount is UNSET else Money.parse(given.amount, currency),
        items=KEEP if given.items is UNSET else _items(given.items, currency),
        event_starts_at=KEEP if starts_at is UNSET else parsing.utc(starts_at, "event_starts_at"),
        expires_at=KEEP if expires_at is UNSET else parsing.utc(expires_at, "expires_at"),
        refund_grace_until=KEEP if grace is UNSET else grace and parsing.utc(grace, "refund_grace_until"),
        metadata=KEEP if given.metadata is UNSET else given.metadata,
        title=_or_keep(given.title),
        description=_or_keep(given.description),
        customer_email=_or_keep(given.customer_email),
        customer_name=_or_keep(given.customer_name),
        locale=_or_keep(given.locale),
        success_url=_or_keep(given.success_url),
        cancel_url=_or_keep(given.cancel_url),
    )


def _or_keep(value: str | UnsetType | None) -> str | Keep | None:
    return KEEP if value is UNSET else value


def _methods(given: MethodsChosen | None) -> MethodChoice:
    if given is None:
        return ANY_METHOD
    if (given.allowed is None) == (given.excluded is None):
        raise InvalidInput("payment_methods: say either which are allowed or which are excluded")
    return MethodChoice(allowed=tuple(given.allowed or ()), excluded=tuple(given.excluded or ()))


def _policy(given: Policy) -> RefundPolicy:
    tiers = [RefundTier(hours_before=tier.hours_before, percent=Decimal(tier.percent)) for tier in given.tiers]
    return RefundPolicy(tiers=tuple(tiers), fee=FeeOnRefund(given.fee))
