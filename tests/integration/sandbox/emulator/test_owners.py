"""Payment methods belong to one customer, or pay once."""

from typing import Any

import pytest

from tests.integration.sandbox.emulator.shop import Shop, error, made

BILLING = {"name": "Ann", "email": "ann@example.com"}


def _method(shop: Shop) -> str:
    return str(made(shop.post("payment_methods", type="card", card={"token": "tok_visa"}))["id"])


def _customer(shop: Shop) -> str:
    return str(made(shop.post("customers", name="Ann"))["id"])


def _attached(shop: Shop, customer: str) -> str:
    return str(made(shop.post("payment_methods/pm_card_visa/attach", customer=customer))["id"])


def test_a_method_without_a_customer_pays_once(shop: Shop) -> None:
    method = _method(shop)
    shop.paid(method)

    refused = error(shop.pay(method))

    assert (refused["type"], refused.get("code")) == ("invalid_request_error", None)
    assert "may not be used again" in refused["message"]


def test_a_shared_test_id_pays_any_number_of_times(shop: Shop) -> None:
    first, second = shop.paid("pm_card_visa"), shop.paid("pm_card_visa")

    assert first["payment_method"] != second["payment_method"]
    assert shop.pay(first["payment_method"]).status == 400


def test_a_decline_uses_nothing_up(shop: Shop) -> None:
    method = made(shop.post("payment_methods", type="card", card={"token": "tok_chargeCustomerFail"}))["id"]

    assert [shop.pay(method).status, shop.pay(method).status] == [402, 402]


def test_a_used_method_cannot_be_attached(shop: Shop) -> None:
    method = _method(shop)
    shop.paid(method)

    assert shop.post(f"payment_methods/{method}/attach", customer=_customer(shop)).status == 400


def test_a_customer_pays_with_an_attached_method_again_and_again(shop: Shop) -> None:
    customer = _customer(shop)
    method = _attached(shop, customer)

    assert [shop.paid(method, customer=customer)["status"] for _ in range(2)] == ["succeeded", "succeeded"]
    assert "payment_method.attached" in shop.types()


@pytest.mark.parametrize("own", [True, False])
def test_an_attached_method_is_the_customers_alone(shop: Shop, own: bool) -> None:
    method = _attached(shop, _customer(shop))
    other = {"customer": _customer(shop)} if own else {}

    answer = shop.pay(method, **other)

    assert (answer.status, error(answer)["param"]) == (400, "payment_method")


def test_another_customer_cannot_attach_it(shop: Shop) -> None:
    method = _attached(shop, _customer(shop))

    assert shop.post(f"payment_methods/{method}/attach", customer=_customer(shop)).status == 400


def test_a_detached_method_cannot_be_used(shop: Shop) -> None:
    customer = _customer(shop)
    method = _attached(shop, customer)
    detached = made(shop.post(f"payment_methods/{method}/detach"))

    assert (detached["customer"], shop.types()[-1]) == (None, "payment_method.detached")
    assert shop.pay(method, customer=customer).status == 400
    assert shop.post(f"payment_methods/{method}/attach", customer=customer).status == 400
    assert shop.post(f"payment_methods/{method}/detach").status == 400


def test_a_card_that_declines_when_attached_is_not_attached(shop: Shop) -> None:
    answer = shop.post("payment_methods/pm_card_chargeDeclined/attach", customer=_customer(shop))

    assert (answer.status, error(answer)["code"]) == (402, "card_declined")


@pytest.mark.parametrize(
    "asked",
    [{"setup_future_usage": "off_session"}, {"payment_method_options": {"card": {"setup_future_usage": "on_session"}}}],
)
def test_future_usage_attaches_the_method(shop: Shop, asked: dict[str, Any]) -> None:
    customer = _customer(shop)
    paid = shop.paid("pm_card_visa", customer=customer, **asked)

    kept = shop.get(f"customers/{customer}/payment_methods").body["data"]
    assert [each["id"] for each in kept] == [paid["payment_method"]]
    assert shop.get(f"customers/{customer}/payment_methods/{kept[0]['id']}").body["customer"] == customer


def test_a_type_can_be_excepted_from_future_usage(shop: Shop) -> None:
    customer = _customer(shop)
    options = {"card": {"setup_future_usage": "none"}}
    shop.paid("pm_card_visa", customer=customer, setup_future_usage="off_session", payment_method_options=options)

    assert shop.get(f"customers/{customer}/payment_methods").body["data"] == []


def test_a_declined_payment_attaches_nothing(shop: Shop) -> None:
    customer = _customer(shop)
    shop.pay("pm_card_chargeCustomerFail", customer=customer, setup_future_usage="off_session")

    assert shop.get(f"customers/{customer}/payment_methods").body["data"] == []


def test_a_default_method_is_one_of_the_customers(shop: Shop) -> None:
    customer, stranger = _customer(shop), _customer(shop)
    method = _attached(shop, customer)
    default = {"default_payment_method": method}

    refused = error(shop.post(f"customers/{stranger}", invoice_settings=default))
    own = made(shop.post(f"customers/{customer}", invoice_settings=default))

    assert refused["param"] == "invoice_settings[default_payment_method]"
    assert own["invoice_settings"]["default_payment_method"] == method


def test_a_customer_is_changed_and_deleted(shop: Shop) -> None:
    customer = made(shop.post("customers", name="Ann", business_name="Kino", metadata={"a": "1"}))
    method = _attached(shop, customer["id"])
    changed = made(shop.post(f"customers/{customer['id']}", name="Bea", business_name="", metadata={"b": "2"}))
    found = shop.get("customers", email="nobody@example.com").body["data"]
    gone = made(shop.stripe.call("DELETE", f"/v1/customers/{customer['id']}"))

    assert (changed["name"], changed["metadata"], "business_name" in changed) == ("Bea", {"a": "1", "b": "2"}, False)
    assert (found, gone["deleted"]) == ([], True)
    assert shop.get(f"customers/{customer['id']}").body == gone
    assert shop.pay("pm_card_visa", customer=customer["id"]).status == 400
    assert shop.pay(method).status == 400
    kinds = [each for each in shop.types() if each.startswith("customer.")]
    assert kinds == ["customer.created", "customer.updated", "customer.deleted"]


# --- bank debits


SEPA = {"type": "sepa_debit", "sepa_debit": {"iban": "DE89370400440532013000"}}
ACCEPTED = {
    "customer_acceptance": {"type": "online", "online": {"ip_address": "127.0.0.1", "user_agent": "test"}},
}


def _debit(shop: Shop, data: dict[str, Any], **more: Any) -> Any:
    return shop.post(
        "payment_intents",
        amount=1000,
        currency="eur",
        confirm=True,
        allowed_payment_method_types=["sepa_debit"],
        payment_method_data=data,
        **more,
    )


@pytest.mark.parametrize(
    ("data", "more", "param"),
    [
        (SEPA, {"mandate_data": ACCEPTED}, "billing_details[name]"),
        (SEPA | {"billing_details": {"name": "Ann"}}, {"mandate_data": ACCEPTED}, "billing_details[email]"),
        (SEPA | {"billing_details": BILLING}, {}, "mandate_data"),
        (
            {"type": "sepa_debit", "sepa_debit": {"iban": "GB82WEST12345698765432"}, "billing_details": BILLING},
            {"mandate_data": ACCEPTED},
            "billing_details[address][line1]",
        ),
    ],
)
def test_a_debit_from_a_server_needs_a_mandate_and_billing_details(
    shop: Shop, data: dict[str, Any], more: dict[str, Any], param: str
) -> None:
    answer = _debit(shop, data, **more)

    assert (answer.status, error(answer)["param"]) == (400, param)
    assert shop.get("charges").body["data"] == []


def test_a_debit_with_a_mandate_goes_through(shop: Shop) -> None:
    intent = made(_debit(shop, SEPA | {"billing_details": BILLING}, mandate_data=ACCEPTED))
    shop.wait(seconds=3)

    details = shop.charge_of(intent)["payment_method_details"]["sepa_debit"]
    assert (shop.read(intent)["status"], details["mandate"][:8]) == ("succeeded", "mandate_")


@pytest.mark.parametrize(
    ("number", "status"), [("000123456789", "succeeded"), ("000222222227", "requires_payment_method")]
)
def test_a_us_account_goes_by_its_test_number(shop: Shop, number: str, status: str) -> None:
    account = {"account_number": number, "routing_number": "110000000", "account_holder_type": "company"}
    method = made(shop.post("payment_methods", type="us_bank_account", us_bank_account=account))
    intent = shop.paid(method["id"])
    shop.wait(seconds=3)

    assert (shop.read(intent)["status"], method["us_bank_account"]["account_holder_type"]) == (status, "company")


def test_any_other_account_number_is_refused(shop: Shop) -> None:
    refused = error(shop.post("payment_methods", type="us_bank_account", us_bank_account={"account_number": "12345"}))

    assert refused["param"] == "us_bank_account[account_number]"
