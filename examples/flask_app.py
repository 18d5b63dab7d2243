"""A booking service on Flask that takes its own payments: `flask --app examples/flask_app.py run`.

Flask has no event loop, so the payments run on one of their own, in a thread; any number of requests may call them.
"""

import atexit
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache

from flask import Flask, Response, jsonify, request

from booking_payments import (
    Caller,
    Currency,
    Money,
    NewBooking,
    OutcomeUnknown,
    PaymentError,
    SyncBookingPayments,
    WebhookRefused,
    open_payments_sync,
)

PRICE = Money.parse("100.00", Currency.USD)

app = Flask(__name__)


@cache
def payments() -> SyncBookingPayments:
    """One for the process: opened when it is first needed, which is after the server has forked."""
    closing = ExitStack()
    atexit.register(closing.close)
    return closing.enter_context(open_payments_sync(migrate=True))


@app.post("/seats/<seat>/hold")
def hold(seat: str) -> Response:
    starts = datetime.now(UTC) + timedelta(days=30)
    new = NewBooking(reference=seat, customer_id=request.form["customer"], amount=PRICE, event_starts_at=starts)
    return jsonify(booking=payments().register_booking(new).booking.id)


@app.post("/bookings/<booking_id>/pay")
def pay(booking_id: str) -> Response:
    customer = Caller.customer(request.form["customer"], "checkout")
    card = request.form["card"]
    try:
        view = payments().start_payment(booking_id, customer, payment_method_id=card, confirm_immediately=True)
    except OutcomeUnknown:  # it may have been charged: nobody pays again, and it is found out by itself
        return jsonify(status="pending")
    return jsonify(status=view.payment.status.value)


@app.post("/webhooks/stripe")
def webhook() -> Response:
    result = payments().receive_webhook(request.get_data(), request.headers.get("Stripe-Signature"))
    return jsonify(outcome=result.outcome)


@app.errorhandler(PaymentError)
@app.errorhandler(WebhookRefused)
def refused(error: Exception) -> tuple[Response, int]:
    """For the customer a reason, for Stripe a reason to send its webhook again."""
    return jsonify(error=str(error)), 400 if request.path == "/webhooks/stripe" else 402
