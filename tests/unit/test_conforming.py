"""The judge of the model's answers hears all of them, and says when one does not conform."""

from collections.abc import Callable
from typing import Any

import pytest

from booking_payments.sandbox.emulator import objects
from tests.conforming import Judge, judging
from tests.integration.sandbox.emulator.shop import Shop, made


def _without(name: str, make: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda *given, **named: {key: value for key, value in make(*given, **named).items() if key != name}


def _call(shop: Shop) -> None:
    shop.refunded(shop.paid())


def _list(shop: Shop) -> None:
    shop.get("charges")


def _act(shop: Shop) -> None:
    intent = shop.paid("pm_card_authenticationRequired")
    shop.stripe.authenticate(intent["id"], intent["client_secret"], "succeeded")


def _deliver(shop: Shop) -> None:
    shop.paid()
    shop.stripe.pending_deliveries()


def _heard(play: Callable[[Shop], None], shop: Shop) -> Judge:
    with judging() as judge:
        play(shop)
    return judge


@pytest.mark.parametrize(
    ("kind", "play", "where"),
    [
        ("refund", _call, "refund : 'created'"),
        ("charge", _list, "list data/0: 'created'"),
        ("payment_intent", _act, "payment_intent : 'created'"),
        ("charge", _deliver, "charge : 'created'"),
    ],
)
def test_what_does_not_conform_is_found(
    monkeypatch: pytest.MonkeyPatch, kind: str, play: Callable[[Shop], None], where: str
) -> None:
    shop = Shop()
    monkeypatch.setattr(objects, kind, _without("created", getattr(objects, kind)))
    shop.paid()

    assert any(each.startswith(where) for each in _heard(play, shop).found)


def test_calls_verbs_refusals_events_and_deliveries_are_heard() -> None:
    def play(shop: Shop) -> None:
        intent = made(shop.pay())
        shop.stripe.refund_in_dashboard(intent["id"], 100)
        shop.stripe.open_dispute("pi_nobody")
        shop.get("refunds/re_nobody")
        shop.stripe.pending_deliveries()

    judge = _heard(play, Shop())

    assert judge.found == []
    assert {
        "POST /v1/payment_intents 200",
        "verb 200",
        "verb 404",
        "GET /v1/refunds/re_nobody 404",
        "delivery refund.created",
        "event charge.refunded",
    } <= set(judge.heard)


def test_the_model_is_left_as_it_was() -> None:
    with judging() as judge:
        pass
    Shop().paid()

    assert judge.heard == []
