"""The life of a PaymentIntent (docs.stripe.com/payments/paymentintents/lifecycle)."""

from datetime import timedelta
from typing import Any

import pytest

from booking_payments.sandbox.emulator import FakeStripe

from .stripe_account import StripeAccountClient, error, made


def in_status(account: StripeAccountClient, status: str) -> dict[str, Any]:
    makers: dict[str, Any] = {
        "requires_payment_method": account.intent,
        "requires_confirmation": lambda: account.intent(payment_method="pm_card_visa"),
        "requires_action": lambda: account.paid("pm_card_authenticationRequired"),
        "processing": lambda: account.paid("pm_usBankAccount_success"),
        "requires_capture": lambda: account.paid(capture_method="manual"),
        "succeeded": account.paid,
        "canceled": lambda: made(account.post(f"payment_intents/{account.intent()['id']}/cancel")),
    }
    intent: dict[str, Any] = makers[status]()
    assert intent["status"] == status
    return intent


STATUSES = [
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]
UNCONFIRMED = STATUSES[:3]
LEGAL = {
    "confirm": UNCONFIRMED,
    "cancel": [*UNCONFIRMED, "requires_capture"],
    "capture": ["requires_capture"],
}
PARAMS: dict[str, dict[str, Any]] = {"confirm": {"payment_method": "pm_card_visa"}, "cancel": {}, "capture": {}}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("verb", LEGAL)
def test_takes_exactly_the_legal_steps(account: StripeAccountClient, verb: str, status: str) -> None:
    intent = in_status(account, status)

    answer = account.post(f"payment_intents/{intent['id']}/{verb}", **PARAMS[verb])

    if status in LEGAL[verb]:
        assert answer.body["status"] == {"cancel": "canceled"}.get(verb, "succeeded")
    else:
        assert (answer.status, error(answer)["code"]) == (400, "payment_intent_unexpected_state")
        assert error(answer)["payment_intent"]["status"] == status


@pytest.mark.parametrize("status", STATUSES)
def test_the_amount_changes_only_before_the_payment(account: StripeAccountClient, status: str) -> None:
    intent = in_status(account, status)

    answer = account.post(f"payment_intents/{intent['id']}", amount=2000)

    assert answer.ok == (status in ("requires_payment_method", "requires_confirmation"))


def test_an_account_may_let_the_amount_change_during_an_action(account: StripeAccountClient) -> None:
    account.stripe = FakeStripe(lambda: account.now, amount_in_action=True)
    waiting = in_status(account, "requires_action")

    assert made(account.post(f"payment_intents/{waiting['id']}", amount=2000))["amount"] == 2000


@pytest.mark.parametrize("status", STATUSES)
def test_metadata_can_always_change(account: StripeAccountClient, status: str) -> None:
    intent = in_status(account, status)

    answer = account.post(f"payment_intents/{intent['id']}", metadata={"note": "late"})

    assert made(answer)["metadata"] == {"note": "late"}


def test_a_payment_emits_its_events_in_order(account: StripeAccountClient) -> None:
    account.paid()

    assert account.types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_a_decline_emits_its_events_in_order(account: StripeAccountClient) -> None:
    account.pay("pm_card_chargeDeclined")

    assert account.types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_a_refused_create_leaves_the_intent(account: StripeAccountClient) -> None:
    told = error(account.pay("pm_card_chargeDeclined", metadata={"booking_id": "b1"}))

    left = account.read(told["payment_intent"])
    assert left == told["payment_intent"]
    assert (left["status"], left["payment_method"], left["metadata"]) == (
        "requires_payment_method",
        None,
        {"booking_id": "b1"},
    )
    assert left["last_payment_error"]["charge"] == told["charge"] == left["latest_charge"]


def test_another_card_pays_after_a_decline(account: StripeAccountClient) -> None:
    intent = error(account.pay("pm_card_chargeDeclined"))["payment_intent"]

    paid = made(account.post(f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa"))

    assert (paid["status"], paid["last_payment_error"]) == ("succeeded", None)
    assert account.stripe.successful_charges(intent["id"]) == 1


def test_metadata_is_copied_to_the_charge_once(account: StripeAccountClient) -> None:
    intent = account.paid(metadata={"booking_id": "b1"})

    account.post(f"payment_intents/{intent['id']}", metadata={"booking_id": "b2"})

    assert account.charge_of(intent)["metadata"] == {"booking_id": "b1"}


def test_a_manual_payment_is_held_then_captured(account: StripeAccountClient) -> None:
    intent = account.paid(capture_method="manual")
    held = account.charge_of(intent)

    captured = made(account.post(f"payment_intents/{intent['id']}/capture"))

    assert (intent["amount_capturable"], held["captured"]) == (1000, False)
    assert held["payment_method_details"]["card"]["capture_before"] == intent["created"] + 7 * 86400
    assert (captured["amount_received"], captured["amount_capturable"]) == (1000, 0)
    assert account.types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


def test_a_partial_capture_releases_the_rest(account: StripeAccountClient) -> None:
    intent = account.paid(capture_method="manual")

    captured = made(account.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=400))

    assert (captured["status"], captured["amount_received"], captured["amount"]) == ("succeeded", 400, 1000)
    assert error(account.post("refunds", payment_intent=intent["id"], amount=401))["param"] == "amount"


def test_no_more_can_be_captured_than_is_held(account: StripeAccountClient) -> None:
    intent = account.paid(capture_method="manual")

    answer = account.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=1001)

    assert error(answer)["code"] == "amount_too_large"
    assert account.read(intent)["status"] == "requires_capture"


def test_an_uncaptured_hold_expires(account: StripeAccountClient) -> None:
    intent = account.paid(capture_method="manual")

    account.wait(days=7)

    after = account.read(intent)
    assert (after["status"], after["amount_capturable"]) == ("canceled", 0)
    assert account.types()[-2:] == ["charge.expired", "payment_intent.canceled"]


def test_cancel_tells_when_and_why(account: StripeAccountClient) -> None:
    intent = account.intent()

    canceled = made(account.post(f"payment_intents/{intent['id']}/cancel", cancellation_reason="abandoned"))

    assert (canceled["cancellation_reason"], canceled["canceled_at"]) == ("abandoned", intent["created"])
    assert account.types()[-1] == "payment_intent.canceled"


# --- authentication


def test_without_return_url_the_action_is_left_to_the_script(account: StripeAccountClient) -> None:
    assert account.paid("pm_card_authenticationRequired")["next_action"]["type"] == "use_stripe_sdk"


def test_with_return_url_the_action_is_a_redirect(account: StripeAccountClient) -> None:
    action = account.paid("pm_card_authenticationRequired", return_url="https://account.example/back")["next_action"]

    assert action["type"] == "redirect_to_url"
    assert action["redirect_to_url"]["return_url"] == "https://account.example/back"


def test_with_stripes_script_there_is_no_redirect_although_there_is_a_way_back(account: StripeAccountClient) -> None:
    back = {"return_url": "https://account.example/back", "use_stripe_sdk": True}

    assert account.paid("pm_card_authenticationRequired", **back)["next_action"]["type"] == "use_stripe_sdk"


# --- methods that redirect


BACK = "https://account.example/back"
REDIRECTS = {"enabled": True, "allow_redirects": "always"}


def at_the_bank(account: StripeAccountClient, type_: str = "ideal", currency: str = "eur") -> dict[str, Any]:
    """An intent whose customer has chosen a method that redirects, with Stripe's script."""
    intent = account.intent(currency=currency, automatic_payment_methods=REDIRECTS)
    return made(account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], type_, BACK))


@pytest.mark.parametrize(
    ("currency", "redirects", "types"),
    [
        ("eur", "always", ["card", "sepa_debit", "bancontact", "ideal", "klarna", "paypal"]),
        ("eur", "never", ["card", "sepa_debit"]),
        ("usd", "always", ["card", "us_bank_account", "klarna", "paypal"]),
        ("pln", "always", ["card"]),
    ],
)
def test_methods_that_redirect_are_offered_where_redirects_are_allowed(
    account: StripeAccountClient, currency: str, redirects: str, types: list[str]
) -> None:
    automatic = {"enabled": True, "allow_redirects": redirects}

    assert account.intent(currency=currency, automatic_payment_methods=automatic)["payment_method_types"] == types


@pytest.mark.parametrize("type_", ["ideal", "bancontact", "klarna", "paypal"])
def test_they_lead_to_a_page_of_their_own_also_with_stripes_script(account: StripeAccountClient, type_: str) -> None:
    intent = at_the_bank(account, type_)

    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    assert intent["next_action"]["redirect_to_url"]["return_url"] == BACK


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("succeeded", "succeeded"), ("failed", "requires_payment_method"), ("processing", "processing")],
)
def test_they_end_as_the_customer_and_the_bank_decide(account: StripeAccountClient, outcome: str, status: str) -> None:
    intent = at_the_bank(account)
    left = made(account.stripe.authenticate(intent["id"], intent["client_secret"], outcome))

    assert (left["status"], left["next_action"]) == (status, None)


def test_a_bank_that_takes_its_time_pays_in_the_end(account: StripeAccountClient) -> None:
    intent = at_the_bank(account)
    account.stripe.authenticate(intent["id"], intent["client_secret"], "processing")
    account.now += timedelta(minutes=1)

    assert account.read(intent)["status"] == "succeeded"


def test_the_bank_of_a_card_decides_at_once(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequired")

    assert error(account.stripe.authenticate(intent["id"], intent["client_secret"], "processing"))["param"] == "outcome"


def test_without_a_way_back_they_are_refused(account: StripeAccountClient) -> None:
    intent = account.intent(currency="eur", automatic_payment_methods=REDIRECTS)
    refused = error(account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], "ideal"))

    assert refused["param"] == "return_url"


def test_one_that_is_not_offered_is_refused(account: StripeAccountClient) -> None:
    intent = account.intent(currency="usd", automatic_payment_methods=REDIRECTS)
    refused = error(account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], "ideal", BACK))

    assert refused["code"] == "payment_intent_incompatible_payment_method"


def test_a_passed_authentication_completes_the_payment(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequired")

    after = made(account.stripe.authenticate(intent["id"], intent["client_secret"], "succeeded"))

    assert (after["status"], after["next_action"]) == ("succeeded", None)
    assert account.charge_of(after)["payment_method_details"]["card"]["three_d_secure"]["result"] == "authenticated"
    assert account.types()[1] == "payment_intent.requires_action"


def test_a_failed_authentication_asks_for_another_method(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequired")

    after = made(account.stripe.authenticate(intent["id"], intent["client_secret"], "failed"))

    assert (after["status"], after["latest_charge"]) == ("requires_payment_method", None)
    assert after["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert account.types()[-1] == "payment_intent.payment_failed"


def test_authentication_needs_the_client_secret_and_an_open_action(account: StripeAccountClient) -> None:
    waiting, paid = account.paid("pm_card_authenticationRequired"), account.paid()

    stranger = account.stripe.authenticate(waiting["id"], paid["client_secret"], "succeeded")
    late = account.stripe.authenticate(paid["id"], paid["client_secret"], "succeeded")

    assert (stranger.status, late.status) == (400, 400)
    assert account.read(waiting)["status"] == "requires_action"


def test_manual_confirmation_comes_back_for_a_second_confirm(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequired", confirmation_method="manual")
    after = made(account.stripe.authenticate(intent["id"], intent["client_secret"], "succeeded"))

    paid = made(account.post(f"payment_intents/{intent['id']}/confirm"))

    assert (after["status"], paid["status"]) == ("requires_confirmation", "succeeded")


def test_off_session_authentication_is_a_decline(account: StripeAccountClient) -> None:
    told = error(account.pay("pm_card_authenticationRequired", off_session=True))

    assert (told["code"], told["decline_code"]) == ("authentication_required", "authentication_required")
    assert told["payment_intent"]["status"] == "requires_payment_method"


def test_off_session_pays_with_a_card_set_up_for_it(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_authenticationRequiredSetupForOffSession", off_session=True)

    assert intent["status"] == "succeeded"


def test_a_card_set_up_by_us_pays_off_session_later(account: StripeAccountClient) -> None:
    first = account.paid("pm_card_authenticationRequiredOnSetup", setup_future_usage="off_session")
    account.stripe.authenticate(first["id"], first["client_secret"], "succeeded")

    later = account.paid(first["payment_method"], off_session=True)

    assert later["status"] == "succeeded"


def test_error_on_requires_action_refuses_and_leaves_the_intent(account: StripeAccountClient) -> None:
    answer = account.pay("pm_card_authenticationRequired", error_on_requires_action=True)

    told = error(answer)
    assert (answer.status, told["code"]) == (402, "authentication_required")
    assert told["decline_code"] == "authentication_not_handled"
    assert told["payment_intent"]["status"] == "requires_payment_method"


# --- parameters


def test_a_server_confirm_with_automatic_methods_needs_a_return_url(account: StripeAccountClient) -> None:
    answer = account.post("payment_intents", amount=1000, currency="usd", confirm=True, payment_method="pm_card_visa")

    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")
    assert account.get("payment_intents").body["data"] == []


def test_a_later_confirm_with_automatic_methods_needs_a_return_url(account: StripeAccountClient) -> None:
    intent = made(account.post("payment_intents", amount=1000, currency="usd", payment_method="pm_card_visa"))

    bare = account.post(f"payment_intents/{intent['id']}/confirm")
    led = account.post(f"payment_intents/{intent['id']}/confirm", return_url="https://account.example/back")

    assert (bare.status, led.body["status"]) == (400, "succeeded")


def test_a_confirm_without_method_is_refused(account: StripeAccountClient) -> None:
    answer = account.post(f"payment_intents/{account.intent()['id']}/confirm")

    assert error(answer)["code"] == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": 100}, "parameter_missing", "currency"),
        ({"amount": "ten", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 10.5, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 0, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 49, "currency": "usd"}, "amount_too_small", "amount"),
        ({"amount": 100_000_000, "currency": "usd"}, "amount_too_large", "amount"),
        ({"amount": 5125, "currency": "kwd"}, "invalid_charge_amount", "amount"),
        ({"amount": 550, "currency": "isk"}, "invalid_charge_amount", "amount"),
        ({"amount": 100, "currency": "zzz"}, None, "currency"),
        ({"amount": 100, "currency": ""}, "parameter_invalid_empty", "currency"),
        ({"amount": 100, "currency": "usd", "colour": "red"}, "parameter_unknown", "colour"),
        (
            {"amount": 100, "currency": "usd", "automatic_payment_methods": {"on": True}},
            "parameter_unknown",
            "automatic_payment_methods[on]",
        ),
        ({"amount": 100, "currency": "usd", "capture_method": "maybe"}, None, "capture_method"),
        ({"amount": 100, "currency": "usd", "confirm": "perhaps"}, None, "confirm"),
        ({"amount": 100, "currency": "usd", "metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 41}]"),
        ({"amount": 100, "currency": "usd", "metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"amount": 100, "currency": "usd", "metadata": {str(n): "v" for n in range(51)}}, None, "metadata"),
        ({"amount": 100, "currency": "usd", "off_session": True}, "payment_intent_invalid_parameter", "off_session"),
        ({"amount": 100, "currency": "usd", "customer": "cus_no"}, "resource_missing", "customer"),
    ],
)
def test_bad_parameters_are_named(
    account: StripeAccountClient, params: dict[str, Any], code: str | None, param: str
) -> None:
    answer = account.post("payment_intents", **params)

    told = error(answer)
    assert (answer.status, told["type"]) == (400, "invalid_request_error")
    assert (told.get("code"), told["param"]) == (code, param)
    assert account.stripe.events == []


def test_form_text_is_as_good_as_numbers_and_booleans(account: StripeAccountClient) -> None:
    automatic = {"enabled": "true", "allow_redirects": "never"}
    answer = account.post(
        "payment_intents",
        amount="1000",
        currency="USD",
        confirm="true",
        payment_method="pm_card_visa",
        automatic_payment_methods=automatic,
    )

    assert (made(answer)["amount"], answer.body["currency"]) == (1000, "usd")


@pytest.mark.parametrize("path", ["payment_intents/pi_no", "charges/ch_no", "refunds/re_no", "disputes/du_no"])
def test_an_unknown_object_is_404(account: StripeAccountClient, path: str) -> None:
    answer = account.get(path)

    assert (answer.status, error(answer)["code"]) == (404, "resource_missing")
    assert error(answer)["message"].startswith("No such ")


def test_an_unknown_url_is_404(account: StripeAccountClient) -> None:
    answer = account.get("coffee")

    assert (answer.status, error(answer)["message"][:24]) == (404, "Unrecognized request URL")


# --- bank debits


def test_a_bank_debit_settles_after_the_delay(account: StripeAccountClient) -> None:
    intent = account.paid("pm_usBankAccount_success")

    applied = account.wait(seconds=2)

    assert (intent["status"], applied, account.read(intent)["status"]) == ("processing", 1, "succeeded")
    assert account.types() == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


@pytest.mark.parametrize(
    ("iban", "status"),
    [
        ("DE89370400440532013000", "succeeded"),
        ("DE62370400440532013001", "requires_payment_method"),
        ("AT86 1904 3002 3547 3202", "requires_payment_method"),
    ],
)
def test_a_sepa_debit_goes_by_its_iban(account: StripeAccountClient, iban: str, status: str) -> None:
    billing = {"name": "Ann", "email": "a@example.com"}
    data = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": billing}
    accepted = {"type": "offline"}
    intent = made(
        account.post(
            "payment_intents",
            amount=1000,
            currency="eur",
            confirm=True,
            payment_method_data=data,
            mandate_data={"customer_acceptance": accepted},
            allowed_payment_method_types=["sepa_debit"],
        )
    )

    account.wait(seconds=2)

    assert (intent["status"], account.read(intent)["status"]) == ("processing", status)


def test_a_failed_debit_says_why_and_may_be_repeated(account: StripeAccountClient) -> None:
    intent = account.paid("pm_usBankAccount_insufficientFunds")
    account.wait(seconds=2)

    failed = account.read(intent)

    assert failed["last_payment_error"]["code"] == "payment_intent_payment_attempt_failed"
    assert account.types()[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert account.post(f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa").ok


def test_a_bad_iban_is_refused(account: StripeAccountClient) -> None:
    answer = account.post("payment_methods", type="sepa_debit", sepa_debit={"iban": "DE00370400440532013000"})

    assert error(answer)["code"] == "invalid_bank_account_iban"


def test_a_debit_cannot_be_held(account: StripeAccountClient) -> None:
    answer = account.pay("pm_usBankAccount_success", capture_method="manual")

    assert error(answer)["code"] == "payment_intent_incompatible_payment_method"
    assert account.stripe.events == []


# --- lists and expand


def test_pages_follow_the_cursor_newest_first(account: StripeAccountClient) -> None:
    ids = [account.intent()["id"] for _ in range(5)][::-1]

    first = account.get("payment_intents", limit=2).body
    second = account.get("payment_intents", limit=2, starting_after=ids[1]).body
    back = account.get("payment_intents", limit=2, ending_before=ids[3]).body

    assert ([each["id"] for each in first["data"]], first["has_more"]) == (ids[:2], True)
    assert [each["id"] for each in second["data"]] == ids[2:4]
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (ids[1:3], True)


def test_lists_filter_by_time(account: StripeAccountClient) -> None:
    account.intent()
    account.wait(minutes=1)
    young = account.intent()

    found = account.get("payment_intents", created={"gte": str(young["created"])}).body["data"]

    assert [each["id"] for each in found] == [young["id"]]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"starting_after": "pi_no"}, {"colour": "red"}])
def test_bad_list_parameters_are_400(account: StripeAccountClient, params: dict[str, Any]) -> None:
    assert account.get("payment_intents", **params).status == 400


def test_expand_puts_objects_in_place_of_ids(account: StripeAccountClient) -> None:
    intent = account.paid()
    refund = account.refunded(intent, amount=100)

    read = account.get(f"payment_intents/{intent['id']}", expand=["latest_charge.refunds", "payment_method"]).body
    listed = account.get("refunds", expand=["data.charge.balance_transaction"]).body["data"][0]

    assert read["latest_charge"]["refunds"]["data"][0]["id"] == refund["id"]
    assert read["payment_method"]["card"]["last4"] == "4242"
    assert listed["charge"]["balance_transaction"]["amount"] == 1000


def test_what_cannot_be_expanded_is_400(account: StripeAccountClient) -> None:
    assert account.post("payment_intents", amount=100, currency="usd", expand=["amount"]).status == 400
    assert account.stripe.events == []


def test_answers_are_snapshots(account: StripeAccountClient) -> None:
    intent = account.intent()

    account.post(f"payment_intents/{intent['id']}/cancel")
    intent["metadata"]["mine"] = "only"

    assert intent["status"] == "requires_payment_method"
    assert account.read(intent)["metadata"] == {}


def test_the_same_seed_gives_the_same_ids() -> None:
    first, second = StripeAccountClient(seed=7), StripeAccountClient(seed=7)

    assert first.paid() == second.paid()


def test_the_browser_needs_the_client_secret(account: StripeAccountClient) -> None:
    intent = account.intent()

    refused = account.stripe.confirm_as_customer(intent["id"], "guess", "pm_card_visa")
    paid = account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], "pm_card_visa")

    assert (refused.status, paid.body["status"]) == (400, "succeeded")
    assert account.stripe.events[-1]["request"]["idempotency_key"] is None


# --- whose method it is, and how often


def own_method(account: StripeAccountClient) -> str:
    card = {"type": "card", "card": {"token": "tok_visa"}}
    return str(made(account.post("payment_methods", **card))["id"])


def test_a_method_without_a_customer_is_used_up_by_a_success(account: StripeAccountClient) -> None:
    method = own_method(account)
    account.paid(method)

    again = error(account.pay(method))

    assert (again["type"], again.get("code")) == ("invalid_request_error", None)
    assert "may not be used again" in again["message"]


@pytest.mark.parametrize("manual", [True, False])
def test_a_hold_uses_it_up_as_well(account: StripeAccountClient, manual: bool) -> None:
    method = own_method(account)
    made(account.pay(method, capture_method="manual" if manual else "automatic"))

    assert "may not be used again" in error(account.pay(method))["message"]


def test_a_decline_does_not_use_it_up(account: StripeAccountClient) -> None:
    card = {"type": "card", "card": {"token": "tok_chargeDeclined"}}
    method = str(made(account.post("payment_methods", **card))["id"])

    assert [error(account.pay(method))["code"] for _ in range(2)] == ["card_declined"] * 2


def test_a_method_of_a_customer_is_for_that_customer_only(account: StripeAccountClient) -> None:
    ann = made(account.post("customers", payment_method="pm_card_visa"))["id"]
    bob = made(account.post("customers"))["id"]
    [method] = made(account.get("payment_methods", customer=ann))["data"]

    for _ in range(2):
        account.paid(method["id"], customer=ann)

    assert "belongs to the Customer" in error(account.pay(method["id"]))["message"]
    assert error(account.pay(method["id"], customer=bob))["code"] == "payment_method_customer_mismatch"


def test_a_refused_method_leaves_no_intent_behind(account: StripeAccountClient) -> None:
    method = own_method(account)
    account.paid(method)
    account.pay(method)

    assert len(made(account.get("payment_intents"))["data"]) == 1
