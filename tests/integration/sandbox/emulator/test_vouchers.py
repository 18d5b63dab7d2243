"""Vouchers are shown, and paid later or not at all."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, error, made

ADDRESS = {"line1": "Rua 1", "city": "Sao Paulo", "state": "SP", "postal_code": "01227-200", "country": "BR"}
BILLING = {"name": "Ann", "email": "ann@example.com", "address": ADDRESS}
DETAILS = {"boleto": {"tax_id": "000.000.000-00"}}
CURRENCIES = {"boleto": "brl", "konbini": "jpy", "multibanco": "eur", "oxxo": "mxn"}


def _show(account: StripeAccountClient, type_: str, **more: Any) -> Any:
    return account.post(
        "payment_intents",
        amount=10000,
        currency=CURRENCIES[type_],
        confirm=True,
        capture_method="automatic",
        allowed_payment_method_types=[type_],
        payment_method_data={"type": type_, type_: DETAILS.get(type_, {}), "billing_details": BILLING},
        **more,
    )


def _ends(intent: dict[str, Any]) -> datetime:
    action = intent["next_action"]
    details = action[action["type"]]
    return datetime.fromtimestamp(details.get("expires_at") or details["expires_after"], UTC)


@pytest.mark.parametrize("type_", sorted(CURRENCIES))
def test_a_voucher_is_shown_and_paid(account: StripeAccountClient, type_: str) -> None:
    shown = made(_show(account, type_))
    assert (shown["status"], shown["next_action"]["type"]) == ("requires_action", f"{type_}_display_details")
    assert (shown["latest_charge"], shown["amount_received"]) == (None, 0)

    paid = made(account.stripe.end_voucher(shown["id"], "paid"))

    assert (paid["status"], paid["next_action"], paid["amount_received"]) == ("succeeded", None, 10000)
    assert account.charge_of(paid)["payment_method_details"]["type"] == type_
    assert account.types()[-3:] == ["payment_intent.requires_action", "charge.succeeded", "payment_intent.succeeded"]


@pytest.mark.parametrize("type_", sorted(CURRENCIES))
def test_a_voucher_expires(account: StripeAccountClient, type_: str) -> None:
    shown = made(_show(account, type_))
    left = (_ends(shown) - account.now).total_seconds()

    account.wait(seconds=left - 1)
    assert account.read(shown)["status"] == "requires_action"
    account.wait(seconds=1)

    after = account.read(shown)
    assert (after["status"], after["payment_method"]) == ("requires_payment_method", None)
    assert after["last_payment_error"]["code"] == "payment_intent_payment_attempt_expired"
    assert account.types()[-1] == "payment_intent.payment_failed"


def test_a_voucher_can_be_let_expire_at_once(account: StripeAccountClient) -> None:
    shown = made(_show(account, "oxxo"))

    assert made(account.stripe.end_voucher(shown["id"], "expired"))["status"] == "requires_payment_method"
    assert account.stripe.end_voucher(shown["id"], "paid").status == 400


@pytest.mark.parametrize(
    ("type_", "options", "ends"),
    [
        ("boleto", {"expires_after_days": 0}, "2026-01-02T02:59:59+00:00"),
        ("boleto", {}, "2026-01-05T02:59:59+00:00"),
        ("oxxo", {"expires_after_days": 1}, "2026-01-03T05:59:59+00:00"),
        ("konbini", {"expires_at": 1767355200}, "2026-01-02T12:00:00+00:00"),
        ("multibanco", {}, "2026-01-08T12:00:00+00:00"),
    ],
)
def test_a_request_says_how_long_a_voucher_lasts(
    account: StripeAccountClient, type_: str, options: dict[str, Any], ends: str
) -> None:
    shown = made(_show(account, type_, payment_method_options={type_: options}))

    assert _ends(shown).isoformat() == ends


def test_an_expired_voucher_does_not_end_a_newer_one(account: StripeAccountClient) -> None:
    shown = made(_show(account, "oxxo", payment_method_options={"oxxo": {"expires_after_days": 1}}))
    made(account.stripe.end_voucher(shown["id"], "expired"))
    account.post(f"payment_intents/{shown['id']}", payment_method_options={"oxxo": {"expires_after_days": 5}})
    data = {"type": "oxxo", "billing_details": BILLING}
    made(account.post(f"payment_intents/{shown['id']}/confirm", payment_method_data=data))
    account.wait(days=3)

    assert account.read(shown)["status"] == "requires_action"


def test_a_canceled_intent_has_no_voucher_to_pay(account: StripeAccountClient) -> None:
    shown = made(_show(account, "boleto"))
    made(account.post(f"payment_intents/{shown['id']}/cancel"))
    account.wait(days=9)

    assert (account.read(shown)["status"], account.stripe.end_voucher(shown["id"], "paid").status) == ("canceled", 400)


def test_vouchers_are_offered_only_where_they_are_named(account: StripeAccountClient) -> None:
    assert account.intent(currency="brl")["payment_method_types"] == ["card"]


def test_vouchers_cannot_be_held(account: StripeAccountClient) -> None:
    assert _show(account, "boleto", payment_method_options={"card": {"capture_method": "manual"}}).status == 200
    intent = account.post(
        "payment_intents",
        amount=10000,
        currency="brl",
        capture_method="manual",
        allowed_payment_method_types=["boleto", "card"],
    ).body
    method = made(account.post("payment_methods", type="boleto", boleto=DETAILS["boleto"], billing_details=BILLING))
    refused = error(account.post(f"payment_intents/{intent['id']}/confirm", payment_method=method["id"]))

    assert refused["code"] == "payment_intent_incompatible_payment_method"


@pytest.mark.parametrize(
    ("left_out", "param"), [("name", "billing_details[name]"), ("email", "billing_details[email]")]
)
def test_a_boleto_needs_billing_details(account: StripeAccountClient, left_out: str, param: str) -> None:
    billing = {name: value for name, value in BILLING.items() if name != left_out}
    data = {"type": "boleto", "boleto": DETAILS["boleto"], "billing_details": billing}
    answer = account.post(
        "payment_intents",
        amount=10000,
        currency="brl",
        confirm=True,
        allowed_payment_method_types=["boleto"],
        payment_method_data=data,
    )

    assert error(answer)["param"] == param


def test_a_refund_of_a_voucher_asks_the_customer(account: StripeAccountClient) -> None:
    paid = made(account.stripe.end_voucher(made(_show(account, "boleto"))["id"], "paid"))

    refund = account.refunded(paid)

    assert refund["status"] == "requires_action"
    assert refund["next_action"]["display_details"]["email_sent"]["email_sent_to"] == "ann@example.com"
    canceled = made(account.post(f"refunds/{refund['id']}/cancel"))
    assert (canceled["status"], "next_action" in canceled) == ("canceled", False)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_voucher_is_not_authenticated(account: StripeAccountClient, outcome: str) -> None:
    shown = made(_show(account, "oxxo"))

    assert account.stripe.authenticate(shown["id"], shown["client_secret"], outcome).status == 400


def test_a_card_shows_no_voucher(account: StripeAccountClient) -> None:
    waiting = account.paid("pm_card_authenticationRequired")

    assert account.stripe.end_voucher(waiting["id"], "paid").status == 400
