"""The checker validates every response of the emulator against Stripe's OpenAPI document, and reports each that does
not conform.
"""

from collections.abc import Callable
from typing import Any

import pytest

from booking_payments.sandbox.emulator import objects
from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, made
from tests.stripe_openapi_checker import StripeOpenApiChecker, checking


def _without(name: str, make: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda *given, **named: {key: value for key, value in make(*given, **named).items() if key != name}


def _call(account: StripeAccountClient) -> None:
    account.refunded(account.paid())


def _list(account: StripeAccountClient) -> None:
    account.get("charges")


def _act(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequired")
    account.stripe.authenticate(intent["id"], intent["client_secret"], "succeeded")


def _deliver(account: StripeAccountClient) -> None:
    account.paid()
    account.stripe.pending_deliveries()


def _heard(play: Callable[[StripeAccountClient], None], account: StripeAccountClient) -> StripeOpenApiChecker:
    with checking() as checker:
        play(account)
    return checker


@pytest.mark.parametrize(
    ("kind", "play", "where"),
    [
        ("refund", _call, "refund : 'created'"),
        ("charge", _list, "list data/0: 'created'"),
        ("payment_intent", _act, "payment_intent : 'created'"),
        ("charge", _deliver, "charge : 'created'"),
    ],
)
def test_a_response_that_does_not_conform_is_reported(
    monkeypatch: pytest.MonkeyPatch, kind: str, play: Callable[[StripeAccountClient], None], where: str
) -> None:
    account = StripeAccountClient()
    monkeypatch.setattr(objects, kind, _without("created", getattr(objects, kind)))
    account.paid()

    assert any(each.startswith(where) for each in _heard(play, account).found)


def test_responses_errors_events_and_deliveries_are_checked() -> None:
    def play(account: StripeAccountClient) -> None:
        intent = made(account.pay())
        account.stripe.refund_in_dashboard(intent["id"], 100)
        account.stripe.open_dispute("pi_nobody")
        account.get("refunds/re_nobody")
        account.stripe.pending_deliveries()

    checker = _heard(play, StripeAccountClient())

    assert checker.found == []
    assert {
        "POST /v1/payment_intents 200",
        "verb 200",
        "verb 404",
        "GET /v1/refunds/re_nobody 404",
        "delivery refund.created",
        "event charge.refunded",
    } <= set(checker.heard)


def test_the_checker_does_not_change_the_emulator() -> None:
    with checking() as checker:
        pass
    StripeAccountClient().paid()

    assert checker.heard == []
