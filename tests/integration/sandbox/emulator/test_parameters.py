"""Parameters are checked as Stripe checks them, and kept where Stripe keeps them."""

from typing import Any

import pytest

from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, error, made

ADDRESS = {"city": "Graz", "line1": "Ring 1"}
SHIPPING = {"address": ADDRESS, "name": "Ann"}


@pytest.mark.parametrize(
    ("address", "status"), [("Graz", 400), ({"line1": {"a": "b"}}, 400), ({"planet": "Mars"}, 400), (ADDRESS, 200)]
)
def test_a_billing_address_is_an_address(account: StripeAccountClient, address: Any, status: int) -> None:
    answer = account.post(
        "payment_methods", type="card", card={"token": "tok_visa"}, billing_details={"address": address}
    )

    assert answer.status == status


def test_an_empty_billing_address_is_none(account: StripeAccountClient) -> None:
    given = {"address": "", "name": "Ann"}
    method = made(account.post("payment_methods", type="card", card={"token": "tok_visa"}, billing_details=given))

    assert method["billing_details"]["name"] == "Ann"
    assert set(method["billing_details"]["address"].values()) == {None}


@pytest.mark.parametrize(
    ("shipping", "param"),
    [
        ({"address": ADDRESS}, "shipping[name]"),
        ({"address": ADDRESS, "name": ""}, "shipping[name]"),
        ({"name": "Ann"}, "shipping[address]"),
        ("", "shipping"),
    ],
)
def test_shipping_has_a_name_and_an_address(account: StripeAccountClient, shipping: Any, param: str) -> None:
    refused = error(account.post("payment_intents", amount=1000, currency="usd", shipping=shipping))

    assert refused["param"] == param


def test_shipping_and_future_usage_can_be_unset(account: StripeAccountClient) -> None:
    intent = account.intent(shipping=SHIPPING, setup_future_usage="off_session")
    assert intent["shipping"]["name"] == "Ann"

    changed = made(account.post(f"payment_intents/{intent['id']}", shipping="", setup_future_usage=""))

    assert (changed["shipping"], changed["setup_future_usage"]) == (None, None)


OLD, SINCE = "2026-08-26.dahlia", "2026-09-30.endive"
NEW_INTENT = {"amount": 1000, "currency": "eur"}


def test_types_of_methods_could_be_changed_in_an_older_version(account: StripeAccountClient) -> None:
    intent = account.intent(currency="eur")
    path, params = f"/v1/payment_intents/{intent['id']}", {"payment_method_types": ["sepa_debit"]}
    made(account.stripe.call("POST", path, params, version=OLD))

    assert account.read(intent)["payment_method_types"] == ["sepa_debit"]


@pytest.mark.parametrize("version", [None, SINCE, "2026-10-28.endive", "2027-01-27.fir"])
@pytest.mark.parametrize("verb", ["", "/{id}", "/{id}/confirm"])
def test_types_of_methods_can_not_be_listed_any_more(
    account: StripeAccountClient, version: str | None, verb: str
) -> None:
    path = f"/v1/payment_intents{verb.format(id=account.intent()['id'])}"
    params = {"payment_method_types": ["card"], **(NEW_INTENT if not verb else {})}

    refused = error(account.stripe.call("POST", path, params, version=version))

    assert refused["code"] == "payment_method_types_no_longer_supported"
    assert refused["param"] == "payment_method_types"


def test_they_could_be_listed_before(account: StripeAccountClient) -> None:
    params = {**NEW_INTENT, "payment_method_types": ["card"]}

    assert made(account.stripe.call("POST", "/v1/payment_intents", params, version=OLD))["payment_method_types"] == [
        "card"
    ]


@pytest.mark.parametrize(
    ("given", "types"),
    [
        ({"allowed_payment_method_types": ["card"]}, ["card"]),
        ({"allowed_payment_method_types": ["sepa_debit", "card"]}, ["sepa_debit", "card"]),
        # What does not fit the currency is dropped without a word.
        ({"allowed_payment_method_types": ["us_bank_account", "card"]}, ["card"]),
        ({"allowed_payment_method_types": ["us_bank_account"]}, []),
        ({"excluded_payment_method_types": ["card"]}, ["sepa_debit"]),
        ({"payment_method_configuration": "pmc_1"}, ["card", "sepa_debit"]),
    ],
)
def test_which_methods_are_taken(account: StripeAccountClient, given: dict[str, Any], types: list[str]) -> None:
    assert made(account.post("payment_intents", **NEW_INTENT, **given))["payment_method_types"] == types


@pytest.mark.parametrize(
    "other",
    [
        {"automatic_payment_methods": {"enabled": True}},
        {"excluded_payment_method_types": ["sepa_debit"]},
        {"payment_method_configuration": "pmc_1"},
    ],
)
def test_allowed_methods_go_with_nothing_else(account: StripeAccountClient, other: dict[str, Any]) -> None:
    answer = account.post("payment_intents", **NEW_INTENT, allowed_payment_method_types=["card"], **other)

    assert (answer.status, "only specify one" in error(answer)["message"]) == (400, True)


def test_an_unknown_type_is_refused(account: StripeAccountClient) -> None:
    refused = error(account.post("payment_intents", **NEW_INTENT, allowed_payment_method_types=["shells"]))

    assert refused["param"] == "allowed_payment_method_types"


def test_allowed_methods_came_with_a_version(account: StripeAccountClient) -> None:
    params = {**NEW_INTENT, "allowed_payment_method_types": ["card"]}

    refused = error(account.stripe.call("POST", "/v1/payment_intents", params, version="2026-06-24.dahlia"))

    assert refused["code"] == "parameter_unknown"


def test_a_charge_belongs_to_the_group_of_its_intent(account: StripeAccountClient) -> None:
    intent = account.paid(transfer_group="tour")

    assert [each["id"] for each in account.get("charges", transfer_group="tour").body["data"]] == [
        intent["latest_charge"]
    ]


def test_a_capture_can_name_itself_on_the_statement(account: StripeAccountClient) -> None:
    intent = account.paid(capture_method="manual")
    captured = made(account.post(f"payment_intents/{intent['id']}/capture", statement_descriptor_suffix="ROW 7"))

    assert captured["statement_descriptor_suffix"] == "ROW 7"
    assert account.charge_of(intent)["statement_descriptor_suffix"] == "ROW 7"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"balance": "-500"}, {"balance": -500}),
        ({"preferred_locales": ["de"]}, {"preferred_locales": ["de"]}),
        ({"tax_exempt": "exempt"}, {"tax_exempt": "exempt"}),
        ({"business_name": "Kino"}, {"business_name": "Kino"}),
        ({"address": "", "shipping": ""}, {"address": None, "shipping": None}),
    ],
)
def test_data_of_a_customer_is_kept(account: StripeAccountClient, given: dict[str, Any], kept: dict[str, Any]) -> None:
    customer = account.read(made(account.post("customers", **given)))

    assert {name: customer[name] for name in kept} == kept


def test_data_of_other_objects_is_kept(account: StripeAccountClient) -> None:
    method = made(account.post("payment_methods", type="card", card={"token": "tok_visa"}, allow_redisplay="always"))
    refund = account.refunded(account.paid(), instructions_email="ann@example.com")
    endpoint = made(
        account.post("webhook_endpoints", url="https://example.com/", enabled_events=["*"], api_version="2024-06-20")
    )

    assert method["allow_redisplay"] == "always"
    assert refund["instructions_email"] == "ann@example.com"
    assert endpoint["api_version"] == "2024-06-20"


def test_methods_of_kinds_that_are_not_modelled_are_refused_by_their_type(account: StripeAccountClient) -> None:
    assert error(account.post("payment_methods", type="ideal", ideal={}))["param"] == "type"


def test_the_method_of_a_charge_cannot_be_expanded(account: StripeAccountClient) -> None:
    intent = account.paid()

    assert account.get(f"charges/{intent['latest_charge']}", expand=["payment_method"]).status == 400
    assert account.get("charges", expand=["data.payment_method"]).status == 400


def test_a_wrong_expansion_is_refused_before_anything_is_done(account: StripeAccountClient) -> None:
    answer = account.pay("pm_card_visa", expand=["latest_charge.payment_method"])

    assert answer.status == 400
    assert account.get("payment_intents").body["data"] == []


def test_the_source_of_a_balance_transaction_can_be_expanded(account: StripeAccountClient) -> None:
    account.refunded(account.paid("pm_card_createDisputeInquiry"))
    account.paid("pm_card_createDispute")
    moved = made(account.get("balance_transactions", expand=["data.source"]))["data"]

    assert [each["source"]["object"] for each in moved] == ["dispute", "charge", "refund", "charge"]


@pytest.mark.parametrize(("suffix", "status"), [("ROW 7", 200), ("2026", 400), ("A*B", 400), ("x" * 23, 400)])
def test_a_statement_takes_only_some_characters(account: StripeAccountClient, suffix: str, status: int) -> None:
    assert account.post("payment_intents", **NEW_INTENT, statement_descriptor_suffix=suffix).status == status


def test_the_order_of_a_payment_is_kept(account: StripeAccountClient) -> None:
    intent = account.intent(payment_details={"order_reference": "R-1"})

    assert intent["payment_details"] == {"customer_reference": None, "order_reference": "R-1"}
    refused = error(account.post("payment_intents", **NEW_INTENT, payment_details={"seat": "7"}))
    assert refused["param"] == "payment_details[seat]"
