"""A booking service on Litestar that takes its own payments: `uvicorn litestar_app:app --app-dir examples`.

The payments are opened and closed with the app, and injected into handlers that name them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.status_codes import HTTP_200_OK

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
async def with_payments(app: Litestar) -> AsyncIterator[None]:
    async with open_payments(migrate=True) as payments:
        app.state.payments = payments
        yield


async def payments_of(state: State) -> BookingPayments:
    payments: BookingPayments = state.payments
    return payments


@post("/seats/{seat:str}/hold")
async def hold(seat: str, customer: str, payments: BookingPayments) -> dict[str, str]:
    new = NewBooking(reference=seat, customer_id=customer, amount=PRICE, event_starts_at=STARTS)
    return {"booking": (await payments.register_booking(new)).booking.id}


@post("/bookings/{booking_id:str}/pay", status_code=HTTP_200_OK)
async def pay(booking_id: str, customer: str, card: str, payments: BookingPayments) -> dict[str, str]:
    try:
        view = await payments.start_payment(
            booking_id, Caller.customer(customer, "checkout"), payment_method_id=card, confirm_immediately=True
        )
    except OutcomeUnknown:  # it may have been charged: do not ask for another payment; the outcome is settled later
        return {"status": "pending"}
    return {"status": view.payment.status.value}


@post("/webhooks/stripe", status_code=HTTP_200_OK)
async def webhook(request: Request[None, None, State], payments: BookingPayments) -> dict[str, str]:
    result = await payments.receive_webhook(await request.body(), request.headers)
    return {"outcome": result.outcome}


def refused(request: Request[None, None, State], error: Exception) -> Response[dict[str, str]]:
    """Return the error with its status; 400 for a webhook, so that Stripe sends it again."""
    on_webhook = request.url.path == "/webhooks/stripe" or not isinstance(error, PaymentError)
    status = 400 if on_webhook else status_of(error)
    return Response({"error": str(error)}, status_code=status)


app = Litestar(
    [hold, pay, webhook],
    lifespan=[with_payments],
    dependencies={"payments": Provide(payments_of)},
    exception_handlers={PaymentError: refused, WebhookRefused: refused},
)
