"""What PaymentIntents and SetupIntents have in common: who may reach one, and what a request says of its methods."""

from collections.abc import Callable
from typing import Final

from booking_payments.sandbox.emulator import payment_methods
from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid
from booking_payments.sandbox.emulator.records import Record, StripeAccount

_NOUNS: Final = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}


def require(account: StripeAccount, kind: str, id_: str) -> Record:
    """The intent of a path; raises 404."""
    return account.require(kind, id_, param="intent")


def check_secret(intent: Record, client_secret: str | None) -> None:
    """Only who holds the client secret may act for the customer; raises 400."""
    if client_secret != intent.body["client_secret"]:
        kind = intent.body["object"]
        message = f"The client_secret provided does not match any associated {_NOUNS[kind]} on this account."
        raise invalid(message, code=f"{kind}_invalid_parameter", param="client_secret", executed=True)


def require_for(account: StripeAccount, kind: str, id_: str, params: Json) -> Record:
    """The intent of a path, for a request that may name its client secret; raises 404, and 400 for another secret."""
    intent = require(account, kind, id_)
    if "client_secret" in params:
        check_secret(intent, params["client_secret"])
    return intent


def retrieving(kind: str) -> Callable[[StripeAccount, Json, str], Json]:
    """What answers ``GET /v1/{kind}s/{id}``."""
    return lambda account, params, id_: require_for(account, kind, id_, params).body


def automatic_methods(params: Json) -> Json | None:
    """On by default, unless the types are listed (docs.stripe.com/upgrades, 2023-08-16)."""
    given = params.get("automatic_payment_methods")
    if given is None:
        listed = params.get("payment_method_types") or params.get("allowed_payment_method_types")
        return None if listed else {"allow_redirects": "always", "enabled": True}
    if not given.get("enabled"):
        return None
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True}


def named_method(account: StripeAccount, params: Json) -> Record | None:
    """The method that a request describes or names; a shared test id becomes a new one. None where there is none."""
    if params.get("payment_method_data"):
        return payment_methods.from_data(account, params["payment_method_data"], typed=params.get("typed", False))
    if params.get("payment_method"):
        return payment_methods.resolve(account, params["payment_method"])
    return None
