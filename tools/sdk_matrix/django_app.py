"""dj-stripe with the sandbox: it synchronizes objects, and its webhook view accepts an event. ``django_app.py URL``.

Prints one JSON object, as ``life.py`` does.
"""

# mypy: ignore-errors

import json
import sys
import time
import uuid
from importlib.metadata import version

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

URL, KEY = sys.argv[1], "sk_test_0123456789abcdef01234567"
CARDS = {"enabled": True, "allow_redirects": "never"}

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "djstripe"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for this run",
    STRIPE_LIVE_MODE=False,
    STRIPE_TEST_SECRET_KEY=KEY,
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]

import stripe  # noqa: E402 - after the settings
from django.test import Client  # noqa: E402
from djstripe import models  # noqa: E402

stripe.api_key, stripe.api_base = KEY, URL


def pay(method="pm_card_visa", **more):
    given = {"amount": 1000, "currency": "usd", "confirm": True, "capture_method": "automatic"}
    return stripe.PaymentIntent.create(
        **{**given, "payment_method": method, "automatic_payment_methods": CARDS, **more}
    )


def made():
    """Objects by the name of dj-stripe's model."""
    owner = stripe.Customer.create(email="ann@example.com")
    paid = pay(customer=owner.id)
    pay("pm_card_createDispute")
    stripe.Refund.create(payment_intent=paid.id, amount=100)
    method = stripe.PaymentMethod.attach("pm_card_visa", customer=owner.id)
    setup = stripe.SetupIntent.create(
        customer=owner.id, payment_method=method.id, confirm=True, automatic_payment_methods=CARDS
    )
    return {
        "Account": [stripe.Account.retrieve()],
        "Customer": [stripe.Customer.retrieve(owner.id)],
        "PaymentMethod": [method],
        "PaymentIntent": stripe.PaymentIntent.list().data,
        "Charge": stripe.Charge.list().data,
        "Refund": stripe.Refund.list().data,
        "Dispute": stripe.Dispute.list().data,
        "BalanceTransaction": stripe.BalanceTransaction.list().data,
        "SetupIntent": [setup],
        "Event": stripe.Event.list(limit=5).data,
    }


def view():
    """Return whether the webhook view accepts a signed event, and stores its object."""
    own = str(uuid.uuid4())
    endpoint = stripe.WebhookEndpoint.create(
        url=f"http://testserver/stripe/webhook/{own}/", enabled_events=["*"], metadata={"djstripe_uuid": own}
    )
    known = models.WebhookEndpoint.sync_from_stripe_data(endpoint)
    known.secret = endpoint.secret
    known.djstripe_uuid = own
    known.save()
    paid = pay()
    event = stripe.Event.list(type="payment_intent.succeeded", limit=1).data[0]
    body = json.dumps(event.to_dict_recursive() if hasattr(event, "to_dict_recursive") else event.to_dict())
    at = int(time.time())
    signed = stripe.WebhookSignature._compute_signature(f"{at}.{body}", endpoint.secret)
    answer = Client().post(
        f"/stripe/webhook/{own}/",
        body,
        content_type="application/json",
        headers={"Stripe-Signature": f"t={at},v1={signed}"},
    )
    assert answer.status_code == 200, answer.content
    assert models.Event.objects.filter(id=event.id).exists(), models.WebhookEventTrigger.objects.values()
    assert paid.status == "succeeded"


def main():
    call_command("migrate", verbosity=0)
    steps = {}
    for name, objects in made().items():
        try:
            for each in objects:
                getattr(models, name).sync_from_stripe_data(each)
            steps[f"sync {name}"] = "ok"
        except Exception as error:
            steps[f"sync {name}"] = f"{type(error).__name__}: {error}"[:300]
    try:
        view()
        steps["webhook view"] = "ok"
    except Exception as error:
        steps["webhook view"] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"version": version("dj-stripe"), "api_version": stripe.api_version, "steps": steps}))


if __name__ == "__main__":
    main()
