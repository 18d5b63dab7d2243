"""Every test payment method of Stripe's testing page does what the page says."""

import pytest

from booking_payments.sandbox.emulator.cards import CARDS, COUNTRIES, passes_luhn

from .stripe_account import StripeAccountClient, error, made

# fmt: off
PAYING = [
    "visa", "visa_debit", "mastercard", "mastercard_debit", "mastercard_prepaid", "amex", "discover", "diners",
    "jcb", "unionpay", "jp", "au", "de", "fr", "gb", "pl", "riskLevelElevated", "cvcCheckFail", "avsZipFail",
    "avsLine1Fail", "avsFail", "avsUnchecked", "threeDSecureOptional", "threeDSecureOptionalProcessingError",
    "amex_threeDSecureNotSupported", "createDispute", "createDisputeProductNotReceived", "createDisputeInquiry",
    "createIssuerFraudRecord", "createMultipleDisputes", "pendingRefund", "refundFail", "bypassPending",
    "bypassPendingInternational", "visa_createDispute",
]
# fmt: on

# fmt: off
AUTHENTICATING = [
    "authenticationRequired", "authenticationRequiredOnSetup", "authenticationRequiredSetupForOffSession",
    "authenticationRequiredChargeDeclinedInsufficientFunds", "threeDSecure2Required",
    "threeDSecureRequiredChargeDeclined",
]
# fmt: on

GENERIC = "Your card was declined."
DECLINES = [
    ("visa_chargeDeclined", "card_declined", "generic_decline", "try_again_later", None, GENERIC),
    ("chargeDeclined", "card_declined", "generic_decline", "try_again_later", None, GENERIC),
    (
        "visa_chargeDeclinedInsufficientFunds",
        "card_declined",
        "insufficient_funds",
        "try_again_later",
        None,
        "Your card has insufficient funds.",
    ),
    ("visa_chargeDeclinedLostCard", "card_declined", "lost_card", "do_not_try_again", None, GENERIC),
    ("visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", "do_not_try_again", None, GENERIC),
    (
        "chargeDeclinedExpiredCard",
        "expired_card",
        None,
        "confirm_card_data",
        "exp_month",
        "Your card has expired.",
    ),
    (
        "chargeDeclinedIncorrectCvc",
        "incorrect_cvc",
        None,
        "confirm_card_data",
        "cvc",
        "Your card's security code is incorrect.",
    ),
    (
        "chargeDeclinedProcessingError",
        "processing_error",
        None,
        "try_again_later",
        None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    (
        "visa_chargeDeclinedVelocityLimitExceeded",
        "card_declined",
        "card_velocity_exceeded",
        None,
        None,
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ),
    ("chargeDeclinedFraudulent", "card_declined", "fraudulent", None, None, GENERIC),
    ("chargeCustomerFail", "card_declined", "generic_decline", "try_again_later", None, GENERIC),
    ("radarBlock", "card_declined", "fraudulent", None, None, GENERIC),
    ("riskLevelHighest", "card_declined", "fraudulent", None, None, GENERIC),
    ("threeDSecureRequiredProcessingError", "card_declined", "generic_decline", None, None, GENERIC),
]


@pytest.mark.parametrize("name", PAYING)
def test_pays_at_once(account: StripeAccountClient, name: str) -> None:
    intent = account.paid(f"pm_card_{name}")

    assert (intent["status"], intent["amount_received"]) == ("succeeded", 1000)


@pytest.mark.parametrize(("name", "code", "decline_code", "advice", "param", "message"), DECLINES)
def test_declines_with_its_own_codes(
    account: StripeAccountClient,
    name: str,
    code: str,
    decline_code: str | None,
    advice: str | None,
    param: str | None,
    message: str,
) -> None:
    answer = account.pay(f"pm_card_{name}")

    told = error(answer)
    assert (answer.status, told["type"]) == (402, "card_error")
    assert (told["code"], told.get("decline_code"), told.get("advice_code")) == (code, decline_code, advice)
    assert (told.get("param"), told["message"]) == (param, message)


@pytest.mark.parametrize("name", AUTHENTICATING)
def test_asks_for_authentication_on_session(account: StripeAccountClient, name: str) -> None:
    assert account.paid(f"pm_card_{name}")["status"] == "requires_action"


@pytest.mark.parametrize(
    ("name", "decline_code"),
    [
        ("authenticationRequiredChargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("threeDSecureRequiredChargeDeclined", "generic_decline"),
    ],
)
def test_declines_after_a_passed_authentication(account: StripeAccountClient, name: str, decline_code: str) -> None:
    intent = account.paid(f"pm_card_{name}")

    after = made(account.stripe.authenticate(intent["id"], intent["client_secret"], "succeeded"))

    assert after["status"] == "requires_payment_method"
    assert after["last_payment_error"]["decline_code"] == decline_code


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_a_country_card_carries_its_country(account: StripeAccountClient, country: str) -> None:
    intent = account.paid(f"pm_card_{country}")

    assert account.charge_of(intent)["payment_method_details"]["card"]["country"] == country.upper()


@pytest.mark.parametrize("name", sorted(CARDS))
def test_every_card_has_a_token_twin(account: StripeAccountClient, name: str) -> None:
    answer = account.post("payment_methods", type="card", card={"token": f"tok_{name}"})

    assert made(answer)["card"]["brand"] == CARDS[name].brand


@pytest.mark.parametrize("card", [card for card in CARDS.values() if card.number])
def test_listed_numbers_are_valid_card_numbers(card: object) -> None:
    assert passes_luhn(card.number)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["pm_card_unheard_of", "pm_1", "tok_visa", "pm_usBankAccount_rich", "cus_1"])
def test_refuses_an_unknown_method(account: StripeAccountClient, name: str) -> None:
    answer = account.pay(name)

    told = error(answer)
    assert (answer.status, told["code"], told["param"]) == (400, "resource_missing", "payment_method")
    assert told["message"].startswith(f"No such PaymentMethod: '{name}'; ")


def test_each_use_of_a_shared_id_makes_a_new_method(account: StripeAccountClient) -> None:
    first, second = account.paid()["payment_method"], account.paid()["payment_method"]

    assert first.startswith("pm_")
    assert first not in ("pm_card_visa", second)


def test_blocked_payments_never_reach_the_network(account: StripeAccountClient) -> None:
    intent = error(account.pay("pm_card_radarBlock"))["payment_intent"]

    outcome = account.charge_of(intent)["outcome"]
    assert (outcome["type"], outcome["network_status"]) == ("blocked", "not_sent_to_network")
    assert outcome["reason"] == "highest_risk_level"


def test_an_early_fraud_warning_follows_the_payment(account: StripeAccountClient) -> None:
    account.paid("pm_card_createIssuerFraudRecord")

    assert account.types()[-1] == "radar.early_fraud_warning.created"


def test_a_raw_card_number_is_402_but_no_decline(account: StripeAccountClient) -> None:
    answer = account.post("payment_methods", type="card", card={"number": "4242424242424242"})

    assert (answer.status, error(answer)["type"]) == (402, "invalid_request_error")


@pytest.mark.parametrize(
    ("number", "code"), [("4242424242424241", "incorrect_number"), ("4929000000006", "card_declined")]
)
def test_a_mistyped_number_is_refused_in_the_browser(account: StripeAccountClient, number: str, code: str) -> None:
    intent = account.intent()

    answer = account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], number)

    assert (answer.status, error(answer)["code"]) == (402, code)
    assert account.read(intent)["status"] == "requires_payment_method"


def test_a_listed_number_pays_in_the_browser(account: StripeAccountClient) -> None:
    intent = account.intent()

    answer = account.stripe.confirm_as_customer(intent["id"], intent["client_secret"], "4242 4242 4242 4242")

    assert made(answer)["status"] == "succeeded"


def test_a_card_that_always_declines_cannot_be_attached(account: StripeAccountClient) -> None:
    refused = account.post("customers", payment_method="pm_card_chargeDeclined")
    taken = account.post("customers", payment_method="pm_card_chargeCustomerFail")

    assert (refused.status, taken.status) == (402, 200)
