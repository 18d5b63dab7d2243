"""The steps of a merchant, with whichever release of Stripe's Python SDK is importable: ``life.py URL``.

Prints one JSON object: the version of the SDK, and for each step ``"ok"`` or the error. Imports nothing else of
this repository, since it runs in environments that have the SDK only.
"""

# mypy: ignore-errors
# The names differ between the releases, and no single release's types fit.

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import stripe

URL = sys.argv[1]
CARDS = {"enabled": True, "allow_redirects": "never"}
stripe.api_key = "sk_test_matrix"
stripe.api_base = URL
stripe.max_network_retries = 2


def play(path, **body):
    """A request to ``/_sandbox``."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/_sandbox{path}", json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def pay(method="pm_card_visa", **more):
    given = {"amount": 10000, "currency": "usd", "automatic_payment_methods": CARDS, "capture_method": "automatic"}
    return stripe.PaymentIntent.create(**{**given, "payment_method": method, "confirm": True, **more})


def raised(kind, work):
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def customer():
    made = stripe.Customer.create(email="ann@example.com", metadata={"a": "1"})
    changed = stripe.Customer.modify(made.id, name="Ann")
    assert (changed.name, stripe.Customer.retrieve(made.id).email) == ("Ann", "ann@example.com")
    assert [each.id for each in stripe.Customer.list(email="ann@example.com", limit=1).data] == [made.id]
    assert stripe.Customer.delete(made.id).deleted is True


def method():
    owner = stripe.Customer.create()
    made = stripe.PaymentMethod.create(type="card", card={"token": "tok_visa"})
    stripe.PaymentMethod.attach(made.id, customer=owner.id)
    paid = [pay(made.id, customer=owner.id).status for _ in range(2)]
    assert paid == ["succeeded", "succeeded"]
    assert [each.id for each in stripe.Customer.list_payment_methods(owner.id).data] == [made.id]
    assert stripe.PaymentMethod.detach(made.id).customer is None


def setup_intent():
    owner = stripe.Customer.create()
    done = stripe.SetupIntent.create(
        customer=owner.id, payment_method="pm_card_visa", confirm=True, automatic_payment_methods=CARDS
    )
    assert (done.status, pay(done.payment_method, customer=owner.id, off_session=True).status) == (
        "succeeded",
        "succeeded",
    )


def intent():
    made = stripe.PaymentIntent.create(amount=500, currency="usd", automatic_payment_methods=CARDS)
    changed = stripe.PaymentIntent.modify(made.id, amount=700, metadata={"seat": "7"})
    assert (made.status, changed.amount, changed.metadata["seat"]) == ("requires_payment_method", 700, "7")
    assert stripe.PaymentIntent.confirm(made.id, payment_method="pm_card_visa").status == "succeeded"


def decline():
    error = raised(
        stripe.error.CardError if hasattr(stripe, "error") else stripe.CardError,
        lambda: pay("pm_card_visa_chargeDeclinedInsufficientFunds"),
    )
    assert (error.code, error.error.decline_code) == ("card_declined", "insufficient_funds")
    assert error.error.payment_intent["status"] == "requires_payment_method"


def three_d_secure():
    waiting = pay("pm_card_authenticationRequired")
    assert waiting.status == "requires_action"
    play(f"/payment_intents/{waiting.id}/authenticate", client_secret=waiting.client_secret, outcome="succeeded")
    assert stripe.PaymentIntent.retrieve(waiting.id).status == "succeeded"


def capture():
    held = pay(capture_method="manual")
    captured = stripe.PaymentIntent.capture(held.id, amount_to_capture=4000)
    assert (held.status, captured.amount_received) == ("requires_capture", 4000)


def cancel():
    held = pay(capture_method="manual")
    assert stripe.PaymentIntent.cancel(held.id, cancellation_reason="abandoned").status == "canceled"


def refund():
    paid = pay()
    part = stripe.Refund.create(payment_intent=paid.id, amount=2500, reason="duplicate")
    error = raised(stripe.InvalidRequestError, lambda: stripe.Refund.create(payment_intent=paid.id, amount=9000))
    assert (part.status, error.param) == ("succeeded", "amount")


def dispute():
    paid = pay("pm_card_createDispute")
    opened = stripe.Dispute.list(payment_intent=paid.id).data[0]
    stripe.Dispute.modify(opened.id, evidence={"uncategorized_text": "winning_evidence"}, submit=True)
    play("/clock", advance_s=10)
    assert stripe.Dispute.retrieve(opened.id).status == "won"


def paging():
    owner = stripe.Customer.create()
    made = [pay(customer=owner.id).id for _ in range(7)]
    listed = [each.id for each in stripe.PaymentIntent.list(customer=owner.id, limit=3).auto_paging_iter()]
    assert listed == made[::-1]


def expand():
    paid = pay(expand=["latest_charge.balance_transaction", "customer"])
    assert (paid.latest_charge.balance_transaction.amount, paid.customer) == (10000, None)


def search():
    pay(metadata={"order": "matrix"})
    found = stripe.PaymentIntent.search(query="metadata['order']:'matrix' AND status:'succeeded'")
    assert len(found.data) >= 1


def balance():
    pay("pm_card_bypassPending")
    moved = stripe.BalanceTransaction.list(limit=1, type="charge").data[0]
    assert moved.net == moved.amount - moved.fee
    assert stripe.Balance.retrieve().available[0].currency == "usd"
    assert stripe.Account.retrieve().charges_enabled is True


def errors():
    assert raised(stripe.InvalidRequestError, lambda: stripe.Charge.retrieve("ch_none")).http_status == 404
    assert raised(stripe.AuthenticationError, lambda: stripe.Charge.list(api_key="sk_live_1")).http_status == 401
    assert raised(stripe.InvalidRequestError, lambda: pay(seat="7")).code == "parameter_unknown"


def idempotency():
    key = f"key-{time.time()}"
    first, again = pay(idempotency_key=key), pay(idempotency_key=key)
    assert first.id == again.id
    raised(stripe.IdempotencyError, lambda: pay(amount=20000, idempotency_key=key))


def retries():
    owner = stripe.Customer.create()
    for fault in ("503", "reset_after"):
        play("/faults", match="POST /v1/payment_intents", fault=fault, times=1)
        pay(customer=owner.id)
    assert len(stripe.PaymentIntent.list(customer=owner.id).data) == 2


def webhook():
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((body, self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = stripe.WebhookEndpoint.create(
        url=f"http://127.0.0.1:{server.server_address[1]}/",
        enabled_events=["payment_intent.succeeded"],
        api_version=stripe.api_version,
    )
    paid = pay()
    limit = time.monotonic() + 10
    while not got and time.monotonic() < limit:
        time.sleep(0.01)
    stripe.WebhookEndpoint.delete(endpoint.id)
    server.shutdown()
    event = stripe.Webhook.construct_event(*got[0], endpoint.secret)
    assert (event.data.object.id, event.api_version) == (paid.id, stripe.api_version)


def events():
    pay()
    newest = stripe.Event.list(type="payment_intent.succeeded", limit=1).data[0]
    assert stripe.Event.retrieve(newest.id).data.object["amount"] == 10000


STEPS = (
    customer,
    method,
    setup_intent,
    intent,
    decline,
    three_d_secure,
    capture,
    cancel,
    refund,
    dispute,
    paging,
    expand,
    search,
    balance,
    errors,
    idempotency,
    retries,
    webhook,
    events,
)


def main():
    results = {}
    for step in STEPS:
        try:
            step()
            results[step.__name__] = "ok"
        except Exception as error:
            results[step.__name__] = f"{type(error).__name__}: {error}"[:300]
    version = getattr(stripe, "VERSION", None) or stripe._version.VERSION
    print(json.dumps({"version": version, "api_version": stripe.api_version, "steps": results}))


if __name__ == "__main__":
    main()
