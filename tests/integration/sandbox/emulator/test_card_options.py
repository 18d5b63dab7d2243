"""``payment_method_options[card]``, and parameters that only some values fit."""

from typing import Any

import pytest

from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, error, made


def test_a_card_can_be_held_by_its_own_option(account: StripeAccountClient) -> None:
    held = account.paid(payment_method_options={"card": {"capture_method": "manual"}})

    assert (held["status"], held["capture_method"], held["amount_received"]) == ("requires_capture", "automatic", 0)
    assert held["payment_method_options"]["card"]["capture_method"] == "manual"
    captured = made(account.post(f"payment_intents/{held['id']}/capture"))
    assert (captured["status"], captured["amount_received"]) == ("succeeded", 1000)


def test_an_option_is_given_with_update_and_confirm_as_well(account: StripeAccountClient) -> None:
    first, second = account.intent(capture_method="automatic"), account.intent(capture_method="automatic")
    manual = {"card": {"capture_method": "manual"}}
    made(account.post(f"payment_intents/{first['id']}", payment_method_options=manual))

    by_update = made(account.post(f"payment_intents/{first['id']}/confirm", payment_method="pm_card_visa"))
    path = f"payment_intents/{second['id']}/confirm"
    by_confirm = made(account.post(path, payment_method="pm_card_visa", payment_method_options=manual))

    assert (by_update["status"], by_confirm["status"]) == ("requires_capture", "requires_capture")


@pytest.mark.parametrize(
    ("card", "asked", "status"),
    [
        ("pm_card_visa", "automatic", "succeeded"),
        ("pm_card_visa", "any", "requires_action"),
        ("pm_card_visa", "challenge", "requires_action"),
        ("pm_card_threeDSecureOptional", "automatic", "succeeded"),
        ("pm_card_threeDSecureOptional", "any", "requires_action"),
        ("pm_card_amex_threeDSecureNotSupported", "any", "succeeded"),
    ],
)
def test_a_request_can_ask_for_3d_secure(account: StripeAccountClient, card: str, asked: str, status: str) -> None:
    assert account.paid(card, payment_method_options={"card": {"request_three_d_secure": asked}})["status"] == status


def test_3d_secure_that_was_asked_for_is_noted_in_the_charge(account: StripeAccountClient) -> None:
    waiting = account.paid(payment_method_options={"card": {"request_three_d_secure": "any"}})
    account.stripe.authenticate(waiting["id"], waiting["client_secret"], "succeeded")

    secure = account.charge_of(waiting)["payment_method_details"]["card"]["three_d_secure"]
    assert (secure["result"], account.read(waiting)["status"]) == ("authenticated", "succeeded")


def test_a_card_can_fail_only_after_3d_secure(account: StripeAccountClient) -> None:
    options = {"card": {"request_three_d_secure": "any"}}
    waiting = account.paid("pm_card_threeDSecureOptionalProcessingError", payment_method_options=options)
    account.stripe.authenticate(waiting["id"], waiting["client_secret"], "succeeded")

    assert account.paid("pm_card_threeDSecureOptionalProcessingError")["status"] == "succeeded"
    assert account.read(waiting)["last_payment_error"]["code"] == "processing_error"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"receipt_email": "nobody"}, "receipt_email"),
        ({"receipt_email": "a@b"}, "receipt_email"),
        ({"confirm": True, "payment_method": "pm_card_visa", "return_url": "nowhere"}, "return_url"),
        ({"confirm": True, "payment_method": "pm_card_visa", "return_url": "https://"}, "return_url"),
        ({"statement_descriptor_suffix": "x" * 30}, "statement_descriptor_suffix"),
        ({"allowed_payment_method_types": ["card", "gold"]}, "allowed_payment_method_types"),
        ({"excluded_payment_method_types": ["gold"]}, "excluded_payment_method_types"),
        ({"payment_method_configuration": "default"}, "payment_method_configuration"),
        ({"payment_method_options": {"gold": {}}}, "payment_method_options[gold]"),
        (
            {"payment_method_options": {"card": {"capture_method": "automatic"}}},
            "payment_method_options[card][capture_method]",
        ),
        ({"mandate_data": {"customer_acceptance": {"type": "offline"}}}, "mandate_data"),
        ({"application_fee_amount": 5000}, "application_fee_amount"),
        ({"transfer_data": {"destination": "acct_1"}}, "transfer_data"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_name(
    account: StripeAccountClient, params: dict[str, Any], param: str
) -> None:
    answer = account.post("payment_intents", amount=1000, currency="usd", **params)

    assert (answer.status, error(answer)["param"]) == (400, param)
    assert account.get("payment_intents").body["data"] == []


@pytest.mark.parametrize("verb", ["", "/capture"])
def test_a_long_suffix_is_refused_later_as_well(account: StripeAccountClient, verb: str) -> None:
    intent = account.paid(capture_method="manual") if verb else account.intent()
    refused = error(account.post(f"payment_intents/{intent['id']}{verb}", statement_descriptor_suffix="x" * 30))

    assert refused["param"] == "statement_descriptor_suffix"


def test_a_card_has_no_full_statement_descriptor(account: StripeAccountClient) -> None:
    with_card = account.pay("pm_card_visa", statement_descriptor="TOUR OF GRAZ")
    cards_only = account.post(
        "payment_intents",
        amount=1000,
        currency="usd",
        statement_descriptor="TOUR OF GRAZ",
        allowed_payment_method_types=["card"],
    )
    held = account.paid(capture_method="manual")
    at_capture = account.post(f"payment_intents/{held['id']}/capture", statement_descriptor="TOUR OF GRAZ")

    assert {error(each)["param"] for each in (with_card, cards_only, at_capture)} == {"statement_descriptor"}
    assert account.get("charges").body["data"] == [account.charge_of(held)]
    assert account.paid("pm_usBankAccount_success", statement_descriptor="TOUR OF GRAZ")["status"] == "processing"


def test_an_excluded_type_is_not_taken(account: StripeAccountClient) -> None:
    answer = account.pay("pm_card_visa", excluded_payment_method_types=["card"])

    assert error(answer)["code"] == "payment_intent_incompatible_payment_method"


def test_types_are_excluded_later_as_well(account: StripeAccountClient) -> None:
    intent = account.intent()
    changed = made(account.post(f"payment_intents/{intent['id']}", excluded_payment_method_types=["card"]))
    back = made(account.post(f"payment_intents/{intent['id']}", excluded_payment_method_types=""))

    assert changed["payment_method_types"] == ["us_bank_account"]
    assert (back["payment_method_types"], back["excluded_payment_method_types"]) == (["card", "us_bank_account"], None)


def test_another_currency_brings_other_types(account: StripeAccountClient) -> None:
    intent = account.intent()

    changed = made(account.post(f"payment_intents/{intent['id']}", currency="eur"))

    assert changed["payment_method_types"] == ["card", "sepa_debit"]


def test_a_configuration_is_shown(account: StripeAccountClient) -> None:
    intent = account.intent(payment_method_configuration="pmc_1")

    assert intent["payment_method_configuration_details"] == {"id": "pmc_1", "parent": None}


@pytest.mark.parametrize("amount", [12345, 1001])
def test_a_capture_is_a_multiple_of_the_currencys_step(account: StripeAccountClient, amount: int) -> None:
    held = account.paid(amount=500_000, currency="ugx", capture_method="manual")

    refused = error(account.post(f"payment_intents/{held['id']}/capture", amount_to_capture=amount))

    assert (refused["code"], refused["param"]) == ("invalid_charge_amount", "amount_to_capture")


@pytest.mark.parametrize(("currency", "total", "amount"), [("ugx", 500_000, 12345), ("kwd", 5000, 1001)])
def test_a_refund_is_a_multiple_of_the_currencys_step(
    account: StripeAccountClient, currency: str, total: int, amount: int
) -> None:
    paid = account.paid(amount=total, currency=currency)

    refused = error(account.post("refunds", payment_intent=paid["id"], amount=amount))

    assert (refused["code"], refused["param"]) == ("invalid_charge_amount", "amount")


@pytest.mark.parametrize("said", ["True", "true", "TRUE", True])
def test_a_boolean_is_written_in_any_case(account: StripeAccountClient, said: Any) -> None:
    given = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "return_url": "https://a.example/"}

    assert made(account.post("payment_intents", confirm=said, **given))["status"] == "succeeded"


@pytest.mark.parametrize("said", ["yes", "1", "truee", "on"])
def test_anything_else_is_no_boolean(account: StripeAccountClient, said: str) -> None:
    assert error(account.post("payment_intents", amount=1000, currency="usd", confirm=said))["param"] == "confirm"
