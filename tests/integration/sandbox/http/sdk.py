"""The official SDK, pointed at a sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import stripe

NO_REDIRECTS = {"enabled": True, "allow_redirects": "never"}


@contextmanager
def connected(url: str, key: str = "sk_test_any", timeout_s: float = 10) -> Iterator[stripe.StripeClient]:
    http = stripe.HTTPXClient(timeout=timeout_s, allow_sync_methods=True)
    try:
        yield stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=0, http_client=http)
    finally:
        http.close()  # type: ignore[no-untyped-call]


def card(method: str = "pm_card_visa", **more: Any) -> Any:
    """The parameters of a payment that is confirmed at once."""
    return {
        "amount": 10000,
        "currency": "usd",
        "payment_method": method,
        "automatic_payment_methods": NO_REDIRECTS,
        "confirm": True,
        **more,
    }


def unpaid() -> Any:
    """The parameters of a payment that waits for its method."""
    return {"amount": 500, "currency": "usd", "automatic_payment_methods": NO_REDIRECTS}


def debit(client: stripe.StripeClient, iban: str) -> stripe.PaymentIntent:
    """A payment by a bank debit from ``iban``."""
    method = client.v1.payment_methods.create(
        {
            "type": "sepa_debit",
            "sepa_debit": {"iban": iban},
            "billing_details": {"name": "Ann", "email": "ann@example.com"},
        }
    )
    accepted = {"type": "online", "online": {"ip_address": "127.0.0.1", "user_agent": "test"}}
    params = card(method.id, currency="eur", mandate_data={"customer_acceptance": accepted})
    return client.v1.payment_intents.create(params)
