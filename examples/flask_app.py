"""A booking service on Flask that takes its own payments: `flask --app examples/flask_app.py run`.

Flask has no event loop, so the payments run an event loop in a thread; any number of requests may call them.
"""

import atexit
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache

from flask import Flask, Response, jsonify, request

from booking_payments import (
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
    SyncBookingPayments,
    TryAgainLater,
    WebhookRefused,
    open_payments_sync,
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


app = Flask(__name__)


@cache
def payments() -> SyncBookingPayments:
    """Return the payments of this process: opened at the first call, which is after the server has forked."""
    closing = ExitStack()
    atexit.register(closing.close)
    return closing.enter_context(open_payments_sync(migrate=True))


@app.post("/seats/<seat>/hold")
def hold(seat: str) -> Response:
    new = NewBooking(reference=seat, customer_id=request.form["customer"], amount=PRICE, event_starts_at=STARTS)
    return jsonify(booking=payments().register_booking(new).booking.id)


@app.post("/bookings/<booking_id>/pay")
def pay(booking_id: str) -> Response:
    customer = Caller.customer(request.form["customer"], "checkout")
    card = request.form["card"]
    try:
        view = payments().start_payment(booking_id, customer, payment_method_id=card, confirm_immediately=True)
    except OutcomeUnknown:  # it may have been charged: do not ask for another payment; the outcome is settled later
        return jsonify(status="pending")
    return jsonify(status=view.payment.status.value)


@app.post("/webhooks/stripe")
def webhook() -> Response:
    result = payments().receive_webhook(request.get_data(), request.headers)
    return jsonify(outcome=result.outcome)


@app.errorhandler(PaymentError)
@app.errorhandler(WebhookRefused)
def refused(error: Exception) -> tuple[Response, int]:
    """Return the error with its status; 400 for a webhook, so that Stripe sends it again."""
    on_webhook = request.path == "/webhooks/stripe" or not isinstance(error, PaymentError)
    return jsonify(error=str(error)), 400 if on_webhook else status_of(error)
