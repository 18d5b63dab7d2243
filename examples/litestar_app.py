"""A booking service on Litestar that takes its own payments: `uvicorn litestar_app:app --app-dir examples`.

The payments live as long as the app and are injected where a handler names them.
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
# One show for all seats, so that the same customer who holds a seat twice finds the same booking.
STARTS = datetime(2100, 1, 1, 20, tzinfo=UTC)
STATUSES = {
    CardDeclined: 402,  # the customer takes another card
    InvalidInput: 400,
    NotFound: 404,
    NotPossibleNow: 409,  # held by somebody else, paid already
    RefusedByRule: 422,
    TryAgainLater: 503,
}


def status_of(error: PaymentError) -> int:
    """Whose move it is, as an HTTP status; what is left is our own fault."""
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
    except OutcomeUnknown:  # it may have been charged: nobody pays again, and it is found out by itself
        return {"status": "pending"}
    return {"status": view.payment.status.value}


@post("/webhooks/stripe", status_code=HTTP_200_OK)
async def webhook(request: Request[None, None, State], payments: BookingPayments) -> dict[str, str]:
    result = await payments.receive_webhook(await request.body(), request.headers)
    return {"outcome": result.outcome}


def refused(request: Request[None, None, State], error: Exception) -> Response[dict[str, str]]:
    """For the customer a reason, for Stripe a reason to send its webhook again."""
    on_webhook = request.url.path == "/webhooks/stripe" or not isinstance(error, PaymentError)
    status = 400 if on_webhook else status_of(error)
    return Response({"error": str(error)}, status_code=status)


app = Litestar(
    [hold, pay, webhook],
    lifespan=[with_payments],
    dependencies={"payments": Provide(payments_of)},
    exception_handlers={PaymentError: refused, WebhookRefused: refused},
)
