"""Payment methods belong to one customer, or pay once."""

from typing import Any

import pytest

from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, error, made

BILLING = {"name": "Ann", "email": "ann@example.com"}


def _method(account: StripeAccountClient) -> str:
    return str(made(account.post("payment_methods", type="card", card={"token": "tok_visa"}))["id"])


def _customer(account: StripeAccountClient) -> str:
    return str(made(account.post("customers", name="Ann"))["id"])


def _attached(account: StripeAccountClient, customer: str) -> str:
    return str(made(account.post("payment_methods/pm_card_visa/attach", customer=customer))["id"])


def test_a_method_without_a_customer_pays_once(account: StripeAccountClient) -> None:
    method = _method(account)
    account.paid(method)

    refused = error(account.pay(method))

    assert (refused["type"], refused.get("code")) == ("invalid_request_error", None)
    assert "may not be used again" in refused["message"]


def test_a_shared_test_id_pays_any_number_of_times(account: StripeAccountClient) -> None:
    first, second = account.paid("pm_card_visa"), account.paid("pm_card_visa")

    assert first["payment_method"] != second["payment_method"]
    assert account.pay(first["payment_method"]).status == 400


def test_a_decline_uses_nothing_up(account: StripeAccountClient) -> None:
    method = made(account.post("payment_methods", type="card", card={"token": "tok_chargeCustomerFail"}))["id"]

    assert [account.pay(method).status, account.pay(method).status] == [402, 402]


def test_a_used_method_cannot_be_attached(account: StripeAccountClient) -> None:
    method = _method(account)
    account.paid(method)

    assert account.post(f"payment_methods/{method}/attach", customer=_customer(account)).status == 400


def test_a_customer_pays_with_an_attached_method_again_and_again(account: StripeAccountClient) -> None:
    customer = _customer(account)
    method = _attached(account, customer)

    assert [account.paid(method, customer=customer)["status"] for _ in range(2)] == ["succeeded", "succeeded"]
    assert "payment_method.attached" in account.types()


@pytest.mark.parametrize("own", [True, False])
def test_an_attached_method_is_the_customers_alone(account: StripeAccountClient, own: bool) -> None:
    method = _attached(account, _customer(account))
    other = {"customer": _customer(account)} if own else {}

    answer = account.pay(method, **other)

    assert (answer.status, error(answer)["param"]) == (400, "payment_method")


def test_another_customer_cannot_attach_it(account: StripeAccountClient) -> None:
    method = _attached(account, _customer(account))

    assert account.post(f"payment_methods/{method}/attach", customer=_customer(account)).status == 400


def test_a_detached_method_cannot_be_used(account: StripeAccountClient) -> None:
    customer = _customer(account)
    method = _attached(account, customer)
    detached = made(account.post(f"payment_methods/{method}/detach"))

    assert (detached["customer"], account.types()[-1]) == (None, "payment_method.detached")
    assert account.pay(method, customer=customer).status == 400
    assert account.post(f"payment_methods/{method}/attach", customer=customer).status == 400
    assert account.post(f"payment_methods/{method}/detach").status == 400


def test_a_card_that_declines_when_attached_is_not_attached(account: StripeAccountClient) -> None:
    answer = account.post("payment_methods/pm_card_chargeDeclined/attach", customer=_customer(account))

    assert (answer.status, error(answer)["code"]) == (402, "card_declined")


@pytest.mark.parametrize(
    "asked",
    [{"setup_future_usage": "off_session"}, {"payment_method_options": {"card": {"setup_future_usage": "on_session"}}}],
)
def test_future_usage_attaches_the_method(account: StripeAccountClient, asked: dict[str, Any]) -> None:
    customer = _customer(account)
    paid = account.paid("pm_card_visa", customer=customer, **asked)

    kept = account.get(f"customers/{customer}/payment_methods").body["data"]
    assert [each["id"] for each in kept] == [paid["payment_method"]]
    assert account.get(f"customers/{customer}/payment_methods/{kept[0]['id']}").body["customer"] == customer


def test_a_type_can_be_excepted_from_future_usage(account: StripeAccountClient) -> None:
    customer = _customer(account)
    options = {"card": {"setup_future_usage": "none"}}
    account.paid("pm_card_visa", customer=customer, setup_future_usage="off_session", payment_method_options=options)

    assert account.get(f"customers/{customer}/payment_methods").body["data"] == []


def test_a_declined_payment_attaches_nothing(account: StripeAccountClient) -> None:
    customer = _customer(account)
    account.pay("pm_card_chargeCustomerFail", customer=customer, setup_future_usage="off_session")

    assert account.get(f"customers/{customer}/payment_methods").body["data"] == []


def test_a_default_method_is_one_of_the_customers(account: StripeAccountClient) -> None:
    customer, stranger = _customer(account), _customer(account)
    method = _attached(account, customer)
    default = {"default_payment_method": method}

    refused = error(account.post(f"customers/{stranger}", invoice_settings=default))
    own = made(account.post(f"customers/{customer}", invoice_settings=default))

    assert refused["param"] == "invoice_settings[default_payment_method]"
    assert own["invoice_settings"]["default_payment_method"] == method


def test_a_customer_is_changed_and_deleted(account: StripeAccountClient) -> None:
    customer = made(account.post("customers", name="Ann", business_name="Kino", metadata={"a": "1"}))
    method = _attached(account, customer["id"])
    changed = made(account.post(f"customers/{customer['id']}", name="Bea", business_name="", metadata={"b": "2"}))
    found = account.get("customers", email="nobody@example.com").body["data"]
    gone = made(account.stripe.call("DELETE", f"/v1/customers/{customer['id']}"))

    assert (changed["name"], changed["metadata"], "business_name" in changed) == ("Bea", {"a": "1", "b": "2"}, False)
    assert (found, gone["deleted"]) == ([], True)
    assert account.get(f"customers/{customer['id']}").body == gone
    assert account.pay("pm_card_visa", customer=customer["id"]).status == 400
    assert account.pay(method).status == 400
    kinds = [each for each in account.types() if each.startswith("customer.")]
    assert kinds == ["customer.created", "customer.updated", "customer.deleted"]


# --- bank debits


SEPA = {"type": "sepa_debit", "sepa_debit": {"iban": "DE89370400440532013000"}}
ACCEPTED = {
    "customer_acceptance": {"type": "online", "online": {"ip_address": "127.0.0.1", "user_agent": "test"}},
}


def _debit(account: StripeAccountClient, data: dict[str, Any], **more: Any) -> Any:
    return account.post(
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
    account: StripeAccountClient, data: dict[str, Any], more: dict[str, Any], param: str
) -> None:
    answer = _debit(account, data, **more)

    assert (answer.status, error(answer)["param"]) == (400, param)
    assert account.get("charges").body["data"] == []


def test_a_debit_with_a_mandate_goes_through(account: StripeAccountClient) -> None:
    intent = made(_debit(account, SEPA | {"billing_details": BILLING}, mandate_data=ACCEPTED))
    account.wait(seconds=3)

    details = account.charge_of(intent)["payment_method_details"]["sepa_debit"]
    assert (account.read(intent)["status"], details["mandate"][:8]) == ("succeeded", "mandate_")


@pytest.mark.parametrize(
    ("number", "status"), [("000123456789", "succeeded"), ("000222222227", "requires_payment_method")]
)
def test_a_us_account_goes_by_its_test_number(account: StripeAccountClient, number: str, status: str) -> None:
    given = {"account_number": number, "routing_number": "110000000", "account_holder_type": "company"}
    method = made(account.post("payment_methods", type="us_bank_account", us_bank_account=given))
    intent = account.paid(method["id"])
    account.wait(seconds=3)

    assert (account.read(intent)["status"], method["us_bank_account"]["account_holder_type"]) == (status, "company")


def test_any_other_account_number_is_refused(account: StripeAccountClient) -> None:
    refused = error(
        account.post("payment_methods", type="us_bank_account", us_bank_account={"account_number": "12345"})
    )

    assert refused["param"] == "us_bank_account[account_number]"
