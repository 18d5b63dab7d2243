"""A booking service on FastAPI that takes its own payments: `uvicorn fastapi_app:app --app-dir examples`.

This service manages the seats; booking-payments manages the payments, in the same event loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from booking_payments import (
    BookingPayments,
    Caller,
    CardDeclined,
    Currency,
    InvalidInput,
    Money,
    NewBooking,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    PaymentError,
    RefusedByRule,
    TryAgainLater,
    WebhookRefused,
    open_payments,
)

PRICE = Money.parse("100.00", Currency.USD)
# All seats are for one show, so that a customer who holds a seat again gets the same booking.
STARTS = datetime(2100, 1, 1, 20, tzinfo=UTC)
STATUSES = {
    CardDeclined: 402,  # the customer has to use another card
    InvalidInput: 400,
    NotFound: 404,
    NotPossibleNow: 409,  # held by another customer, or paid already
    RefusedByRule: 422,
    TryAgainLater: 503,
}


def status_of(error: PaymentError) -> int:
    """Return the HTTP status of an error; 500 for an error of this service."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_payments(migrate=True) as payments:
        app.state.payments = payments
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(PaymentError)
async def refused(request: Request, error: PaymentError) -> JSONResponse:
    return JSONResponse({"error": error.message, "code": error.code}, status_of(error))


def payments_of(request: Request) -> BookingPayments:
    payments: BookingPayments = request.app.state.payments
    return payments


Payments = Annotated[BookingPayments, Depends(payments_of)]


@app.post("/seats/{seat}/hold")
async def hold(seat: str, customer: str, payments: Payments) -> dict[str, str]:
    new = NewBooking(reference=seat, customer_id=customer, amount=PRICE, event_starts_at=STARTS)
    return {"booking": (await payments.register_booking(new)).booking.id}


@app.post("/bookings/{booking_id}/pay")
async def pay(booking_id: str, customer: str, card: str, payments: Payments) -> dict[str, str | None]:
    try:
        view = await payments.start_payment(
            booking_id, Caller.customer(customer, "checkout"), payment_method_id=card, confirm_immediately=True
        )
    except OutcomeUnknown:  # it may have been charged: do not ask for another payment; the outcome is settled later
        return {"status": "pending", "client_secret": None}
    secret = (
        view.client_action.client_secret if view.client_action else None
    )  # for Stripe.js, in this customer's browser
    return {"status": view.payment.status.value, "client_secret": secret}


@app.post("/webhooks/stripe")
async def webhook(request: Request, payments: Payments) -> dict[str, str]:
    try:
        result = await payments.receive_webhook(await request.body(), request.headers)
    except (WebhookRefused, PaymentError) as error:  # anything but 2xx, so that Stripe sends it again
        raise HTTPException(400, str(error)) from error
    return {"outcome": result.outcome}
