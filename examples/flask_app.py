"""A booking service on Flask that takes its own payments: `flask --app examples/flask_app.py run`.

Flask has no event loop, so the payments run on one of their own, in a thread; any number of requests may call them.
"""

import atexit
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from flask import Flask, Response, jsonify, request

from booking_payments import Caller, Currency, Money, NewBooking, PaymentError, WebhookRefused, open_payments_sync

PRICE = Money.parse("100.00", Currency.USD)

closing = ExitStack()
atexit.register(closing.close)
payments = closing.enter_context(open_payments_sync(migrate=True))
app = Flask(__name__)


@app.post("/seats/<seat>/hold")
def hold(seat: str) -> Response:
    starts = datetime.now(UTC) + timedelta(days=30)
    new = NewBooking(reference=seat, customer_id=request.form["customer"], amount=PRICE, event_starts_at=starts)
    return jsonify(booking=payments.register_booking(new).booking.id)


@app.post("/bookings/<booking_id>/pay")
def pay(booking_id: str) -> Response:
    customer = Caller.customer(request.form["customer"], "checkout")
    card = request.form["card"]
    view = payments.start_payment(booking_id, customer, payment_method_id=card, confirm_immediately=True)
    return jsonify(status=view.payment.status.value)


@app.post("/webhooks/stripe")
def webhook() -> Response:
    result = payments.receive_webhook(request.get_data(), request.headers.get("Stripe-Signature"))
    return jsonify(outcome=result.outcome)


@app.errorhandler(PaymentError)
@app.errorhandler(WebhookRefused)
def refused(error: Exception) -> tuple[Response, int]:
    """For the customer a reason, for Stripe a reason to send its webhook again."""
    return jsonify(error=str(error)), 400 if request.path == "/webhooks/stripe" else 402
