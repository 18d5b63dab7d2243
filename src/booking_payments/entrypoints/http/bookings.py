"""Bookings: registering, reading, canceling."""

from decimal import Decimal
from typing import Any, Final

from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.booking import BookingDetails, BookingStatus
from booking_payments.domain.errors import InvalidInput, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy, RefundTier
from booking_payments.domain.texts import require_email, require_line, require_text
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, POST, Answer, Call, endpoint
from booking_payments.ports.storage import BookingFilter
from booking_payments.presentation import render
from booking_payments.presentation.models import (
    BookingAnswer,
    BookingsAnswer,
    BookingsQuery,
    CancelBooking,
    MethodsChosen,
    Nothing,
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


@endpoint(
    POST,
    "/api/bookings/",
    Access.BOOKING_APP,
    summary="Register a booking; the same reference with the same content again finds it",
    body=RegisterBooking,
    answers={201: BookingAnswer, 200: BookingAnswer},
    errors=frozenset({409, 422}),
    keyed=True,
    operation="register_booking",
    example=_NEW,
)
async def register(call: Call[RegisterBooking]) -> Answer:
    registered = await call.services.payments.register_booking(_new_booking(call.given), call.caller)
    entity, status = registered.booking, 201 if registered.created else 200
    return Answer(content=await _described(call, entity.id), status=status, reference=entity.reference)


async def _described(call: Call[Any], booking_id: str) -> BookingAnswer:
    return render.booking(await call.services.payments.describe_booking(booking_id, call.caller))


def _new_booking(given: RegisterBooking) -> NewBooking:
    starts_at = door.utc(given.event_starts_at, "event_starts_at")
    expires_at = door.utc(given.expires_at, "expires_at") if given.expires_at else None
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


@endpoint(
    GET,
    "/api/bookings/",
    Access.APP_OR_OPERATOR,
    summary="Bookings, newest first; with `reference` the one that bears it",
    query=BookingsQuery,
    answers={200: BookingsAnswer},
)
async def listing(call: Call[BookingsQuery]) -> Answer:
    given = call.given
    which = BookingFilter(
        reference=require_line(given.reference, "reference") if given.reference else None,
        customer_id=require_line(given.customer_id, "customer_id") if given.customer_id else None,
        status=BookingStatus(given.status) if given.status else None,
    )
    page = await call.services.payments.list_bookings(which, cursor=given.cursor, limit=given.limit)
    views = await call.services.payments.describe_bookings(page.items)
    items = [render.booking(view) for view in views]
    return Answer(content=BookingsAnswer(items=items, next_cursor=page.next_cursor))


@endpoint(
    GET,
    "/api/bookings/{booking_id}/",
    Access.READER,
    summary="A booking and its status",
    answers={200: BookingAnswer},
)
async def read(call: Call[Nothing]) -> Answer:
    return Answer(content=await _described(call, call.booking_id))


@endpoint(
    POST,
    "/api/bookings/{booking_id}/cancel/",
    Access.READER,
    summary="Cancel a booking: an open payment is given up first, a paid one refunded as `refund` says; "
    "its customer may cancel it while it is not paid",
    body=CancelBooking,
    answers={200: BookingAnswer},
    errors=frozenset({409, 422, 502}),
    keyed=True,
    operation="cancel_booking",
    example={"reason": "the hall is flooded", "refund": "full"},
)
async def cancel(call: Call[CancelBooking]) -> Answer:
    given = call.given
    entity = await call.services.payments.cancel_booking(
        call.booking_id, call.caller, reason=given.reason, refund=RefundOnCancel(given.refund) if given.refund else None
    )
    return Answer(content=await _described(call, entity.id))


ENDPOINTS: Final = (register, listing, read, cancel)
