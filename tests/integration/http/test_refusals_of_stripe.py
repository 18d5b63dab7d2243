"""Every error code of Stripe, from its response to the HTTP response of this service. The expected results are
written here by hand, independently of the table in the package.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import stripe

from booking_payments.adapters.gateways.stripe.refusals import CODES, Whose
from booking_payments.application.refusals import ADVICE, REFUSALS
from tests.integration.http.api import OPERATOR, Api, moved_in, problem_of
from tests.integration.http.stand_in import StandIn, intent, refusal, stand_in
from tests.nightly import NIGHTLY
from tests.rows import row

OTHER, FIX, AGAIN, BANK = "other_method", "fix_details", "try_again", "ask_bank"
Json = dict[str, Any]

VERDICTS: Final = {
    OTHER: """
        account_closed bank_account_declined bank_account_restricted bank_account_unusable bank_account_unverified
        card_decline_rate_limit_exceeded charge_exceeds_source_limit charge_exceeds_transaction_limit expired_card
        expired_payment_method india_recurring_payment_mandate_canceled invalid_card_type no_account
        payment_method_bank_account_blocked payment_method_customer_decline
        payment_method_microdeposit_verification_attempts_exceeded payment_method_microdeposit_verification_timeout
        payment_method_provider_decline payment_method_restricted three_d_secure_authentication_not_supported
    """,
    FIX: """
        account_number_invalid bank_account_bad_routing_numbers bank_account_verification_failed incorrect_address
        incorrect_cvc incorrect_number incorrect_postal_code incorrect_zip invalid_cvc invalid_expiry_month
        invalid_expiry_year invalid_number payment_intent_konbini_rejected_confirmation_number
        payment_method_microdeposit_failed payment_method_microdeposit_verification_amounts_invalid
        payment_method_microdeposit_verification_amounts_mismatch
        payment_method_microdeposit_verification_descriptor_code_mismatch postal_code_invalid routing_number_invalid
    """,
    AGAIN: """
        insufficient_funds payment_method_microdeposit_processing_error payment_method_provider_timeout processing_error
        three_d_secure_authentication_upstream_error
    """,
    BANK: "authentication_failure authentication_required card_declined debit_not_authorized refer_to_customer",
}

RULES: Final = {
    (422, "amount_not_chargeable", None): "invalid_charge_amount",
    (422, "amount_too_large", None): "amount_too_large",
    (422, "amount_too_small", None): "amount_too_small",
    (422, "payment_method_used", OTHER): "token_already_used",
    (422, "payment_method_of_another_customer", OTHER): "missing payment_method_customer_mismatch",
    (422, "payment_method_unavailable", OTHER): """
        financial_connections_account_inactive financial_connections_account_pending_account_numbers
        financial_connections_account_unavailable_account_numbers invalid_source_usage payment_method_not_available
        payment_method_unactivated
    """,
    (422, "payment_details_missing", FIX): """
        billing_invalid_mandate cardholder_phone_number_required email_invalid payment_intent_mandate_invalid
        payment_method_billing_details_address_missing setup_intent_mandate_invalid shipping_address_invalid
    """,
    (422, "payment_method_incompatible", OTHER): """
        payment_intent_incompatible_payment_method payment_method_currency_mismatch payment_method_unexpected_state
        payment_method_unsupported_type token_card_network_invalid
    """,
    (409, "payment_state_changed", None): """
        acss_debit_session_incomplete capture_unauthorized_payment intent_invalid_state payment_intent_action_required
        payment_intent_unexpected_state status_transition_invalid
    """,
    (409, "payment_state_changed", AGAIN): """
        payment_intent_authentication_failure payment_intent_payment_attempt_expired
        payment_intent_payment_attempt_failed
    """,
    (409, "already_paid", None): "charge_already_captured",
    (409, "authorization_expired", None): "capture_charge_authorization_expired charge_expired_for_capture",
    (409, "disputed", None): "charge_disputed refund_disputed_payment",
    (422, "not_refundable", None): "charge_not_refundable",
    (422, "nothing_left", None): "charge_already_refunded",
    (502, "balance_insufficient", None): "balance_insufficient",
    (503, "gateway_unavailable", AGAIN): "payment_intent_rate_limit_exceeded rate_limit token_in_use",
    (503, "outcome_unknown", None): "idempotency_key_in_use lock_timeout",
}

OURS: Final = (502, "gateway_refused", None)
"""All other codes: about the API key, the account, parameters, and interfaces that are not called."""


def codes_of_the_sdk() -> set[str]:
    """Return the error codes of the installed SDK, read from its types."""
    source = (Path(stripe.__file__).parent / "_payment_intent.py").read_text(encoding="utf-8")
    last_error = source.split("class LastPaymentError", 1)[1].split("\n    class ", 1)[0]
    literal = re.search(r"\n        code: .*?Literal\[(.*?)\]", last_error, re.DOTALL)
    assert literal is not None
    return set(re.findall(r'"(\w+)"', literal[1]))


def expected() -> dict[str, tuple[int, str, str | None]]:
    verdicts = {code: (402, code, advice) for advice, codes in VERDICTS.items() for code in codes.split()}
    rules = {code: answer for answer, codes in RULES.items() for code in codes.split()}
    known = verdicts | rules
    return {code: OURS for code in codes_of_the_sdk()} | known


EXPECTED: Final = expected()


@pytest.fixture(scope="module")
def line(shared_api: Api) -> Iterator[StandIn]:
    with stand_in() as server:
        yield server
        with shared_api.client.portal() as portal:
            portal.call(server.transport.close)


@pytest.fixture
def api(shared_api: Api, line: StandIn) -> Api:
    line.answers.clear()
    line.asked.clear()
    return moved_in(shared_api, line.kit())


def answer_to_a_payment(api: Api, line: StandIn, status: int, body: Json) -> Json:
    """Return the problem of a customer's payment that gets this response from Stripe."""
    line.answer("POST /v1/payment_intents", status, body)
    response = api.pay(api.book(), "pm_1")
    return {"retry_after": response.headers.get("Retry-After"), **problem_of(response)}


def told(problem: Json) -> tuple[int, str, str | None]:
    return problem["status"], problem["code"], problem.get("advice")


def test_every_code_of_the_sdk_has_a_row() -> None:
    assert codes_of_the_sdk() - set(CODES) == set()


def test_every_code_of_the_sdk_is_found() -> None:
    assert len(codes_of_the_sdk()) > 200


def test_every_rule_has_its_error() -> None:
    words = {row.word for row in CODES.values() if row.whose is Whose.RULE}

    assert words - set(REFUSALS) == set()
    assert set(ADVICE) - set(REFUSALS) == set()


@pytest.mark.parametrize("letter", sorted({code[0] for code in EXPECTED}))
def test_each_code_of_a_payment_gives_the_expected_problem(api: Api, line: StandIn, letter: str) -> None:
    """By day each code that has a problem of its own, and every fourth of the others; at night all."""
    codes = sorted(code for code in EXPECTED if code.startswith(letter))
    others = [code for code in codes if EXPECTED[code] == OURS]
    left_out = set() if NIGHTLY else set(others) - set(others[::4])
    for code, answer in sorted(EXPECTED.items()):
        if code in codes and code not in left_out:
            with row(code):
                assert told(answer_to_a_payment(api, line, 400, refusal(code=code))) == answer


@pytest.mark.parametrize("type_", ["card_error", "invalid_request_error"])
@pytest.mark.parametrize("advice", VERDICTS)
def test_a_verdict_is_recognized_with_each_error_type(api: Api, line: StandIn, advice: str, type_: str) -> None:
    """By day each code with one of the two types, at night with both."""
    codes = sorted(VERDICTS[advice].split())
    for code in codes if NIGHTLY else codes[("card_error", "invalid_request_error").index(type_) :: 2]:
        with row(code):
            assert told(answer_to_a_payment(api, line, 402, refusal(type_=type_, code=code))) == EXPECTED[code]


def test_stripes_messages_for_developers_are_not_shown_to_customers(api: Api, line: StandIn) -> None:
    problem = answer_to_a_payment(api, line, 402, refusal("Read the docs.", code="payment_method_provider_decline"))

    assert "docs" not in problem["detail"]


SINGLE_USE = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)
OF_A_CUSTOMER = (
    "The PaymentMethod `pm_1` belongs to the Customer `cus_1`. Please include the Customer in the `customer` parameter "
    "on the PaymentIntent."
)
MANDATE = (
    "This PaymentIntent requires a mandate, but no existing mandate was found. Collect mandate acceptance from the "
    "customer and try again, providing acceptance data in the mandate_data parameter."
)
USED, FOREIGN = (422, "payment_method_used", OTHER), (422, "payment_method_of_another_customer", OTHER)
DETAILS, UNAVAILABLE = (422, "payment_details_missing", FIX), (422, "payment_method_unavailable", OTHER)
TYPES = "The payment method type provided: ideal is invalid. Please ensure the provided type is activated."

WITHOUT_CODE: Final = [
    (400, {"message": SINGLE_USE}, USED),
    (402, {"message": SINGLE_USE}, USED),
    (400, {"message": SINGLE_USE, "param": "payment_method"}, USED),
    (400, {"message": "This PaymentMethod was previously used. It may not be used again."}, USED),
    (400, {"message": OF_A_CUSTOMER}, FOREIGN),
    (400, {"message": OF_A_CUSTOMER, "param": "payment_method"}, FOREIGN),
    (400, {"message": OF_A_CUSTOMER, "code": "payment_intent_invalid_parameter", "param": "customer"}, FOREIGN),
    (
        400,
        {"message": "The customer does not have a payment method with the ID pm_1.", "param": "payment_method"},
        FOREIGN,
    ),
    (400, {"message": MANDATE}, DETAILS),
    (
        400,
        {"message": "Missing required param: mandate_data.", "code": "parameter_missing", "param": "mandate_data"},
        DETAILS,
    ),
    (400, {"code": "parameter_missing", "param": "mandate_data[customer_acceptance]"}, DETAILS),
    (400, {"code": "parameter_missing", "param": "billing_details[name]"}, DETAILS),
    (400, {"code": "parameter_missing", "param": "payment_method_data[billing_details][email]"}, DETAILS),
    (400, {"code": "parameter_invalid_empty", "param": "payment_method[billing_details][address]"}, DETAILS),
    (400, {"message": "You must provide billing_details for this payment method."}, DETAILS),
    (400, {"message": TYPES}, UNAVAILABLE),
    (400, {"param": "payment_method"}, UNAVAILABLE),
    (400, {"code": "payment_intent_invalid_parameter", "param": "payment_method"}, UNAVAILABLE),
    (400, {"code": "payment_method_invalid_parameter", "param": "payment_method[card]"}, UNAVAILABLE),
    (400, {"code": "resource_missing", "param": "payment_method"}, (422, "payment_method_unknown", OTHER)),
    (404, {"code": "resource_missing", "param": "payment_method"}, (422, "payment_method_unknown", OTHER)),
    (400, {"code": "parameter_missing", "param": "payment_method"}, (422, "payment_method_required", None)),
    # An unknown code: a 402 means that the parameters were valid.
    (402, {"code": "a_code_of_tomorrow"}, (402, "a_code_of_tomorrow", BANK)),
    (402, {"type_": "card_error", "code": "a_code_of_tomorrow"}, (402, "a_code_of_tomorrow", BANK)),
    (402, {"type_": "card_error"}, (402, "card_declined", BANK)),
    (400, {"code": "card_declined", "decline_code": "expired_card"}, (402, "card_declined", OTHER)),
    (400, {"code": "a_code_of_tomorrow"}, OURS),
    # Errors of this service.
    (400, {}, OURS),
    (402, {"message": "Sending credit card numbers directly to the Stripe API is generally unsafe."}, OURS),
    (400, {"message": TYPES, "param": "payment_method_types"}, OURS),
    (400, {"message": TYPES, "param": "allowed_payment_method_types[0]"}, OURS),
    (400, {"code": "resource_missing", "param": "payment_method_configuration"}, OURS),
    (400, {"code": "resource_missing", "param": "customer"}, OURS),
    (400, {"code": "email_invalid", "param": "receipt_email"}, OURS),
    (400, {"code": "parameter_unknown", "param": "payment_details"}, OURS),
    (400, {"code": "parameter_unknown", "param": "payment_method_data[colour]"}, OURS),
    (400, {"code": "parameter_unknown", "message": "Received unknown parameter: mandate_data[colour]"}, OURS),
    (400, {"code": "parameter_unknown", "param": "mandate_data[colour]"}, OURS),
    (400, {"code": "parameters_exclusive", "param": "payment_method"}, OURS),
    (400, {"message": "No such thing: 'may not be used again'"}, OURS),
    (404, {"code": "resource_missing", "param": "id"}, OURS),
    (400, {"type_": "idempotency_error"}, (503, "outcome_unknown", None)),
    (401, {"code": "api_key_expired"}, OURS),
    (403, {"code": "secret_key_required"}, OURS),
    (500, {"type_": "api_error"}, (503, "outcome_unknown", None)),
]


@pytest.mark.parametrize(("status", "error", "answer"), WITHOUT_CODE)
def test_an_error_without_a_code_is_classified_by_parameter_and_message(
    api: Api, line: StandIn, status: int, error: Json, answer: tuple[int, str, str | None]
) -> None:
    problem = answer_to_a_payment(api, line, status, refusal(**error))

    assert told(problem) == answer


# --- hidden decline codes


@pytest.mark.parametrize("type_", ["card_error", "invalid_request_error"])
@pytest.mark.parametrize(
    "decline_code", ["lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"]
)
def test_a_hidden_decline_code_has_the_response_of_the_generic_decline(
    api: Api, line: StandIn, type_: str, decline_code: str
) -> None:
    def problem(reason: str) -> Json:
        fields = {"code": "card_declined", "decline_code": reason, "advice_code": "do_not_try_again"}
        return answer_to_a_payment(api, line, 402, refusal("Your card was declined.", type_=type_, **fields))

    hidden, generic = problem(decline_code), problem("generic_decline")

    assert hidden == generic
    assert "advice" not in hidden


@pytest.mark.parametrize("decline_code", ["lost_card", "generic_decline"])
def test_a_hidden_decline_code_has_no_advice_even_for_operators(api: Api, line: StandIn, decline_code: str) -> None:
    line.answer(
        "POST /v1/payment_intents", 402, refusal(type_="card_error", code="card_declined", decline_code=decline_code)
    )
    booking = api.book(customer_id="olga")

    problem = problem_of(api.pay(booking, "pm_1", OPERATOR))

    assert problem["decline_code"] == decline_code
    assert "advice" not in problem


def test_the_advice_do_not_try_again_requires_another_method(api: Api, line: StandIn) -> None:
    fields = {"code": "card_declined", "decline_code": "insufficient_funds", "advice_code": "do_not_try_again"}

    assert answer_to_a_payment(api, line, 402, refusal(type_="card_error", **fields))["advice"] == OTHER


# --- the effect on the payment


def test_a_refusal_of_the_method_uses_up_an_attempt(api: Api, line: StandIn) -> None:
    error = refusal(code="charge_exceeds_source_limit", payment_intent=intent())
    line.answer("POST /v1/payment_intents", 402, error)
    booking = api.book()
    api.pay(booking, "pm_1")

    payment = api.status(booking)

    assert payment["error_code"] == "charge_exceeds_source_limit"
    assert (payment["attempts_made"], payment["attempts_left"]) == (1, 2)


def test_a_refusal_by_a_rule_uses_up_no_attempt_and_another_method_pays(api: Api, line: StandIn) -> None:
    line.answer("POST /v1/payment_intents", 400, refusal(SINGLE_USE, payment_intent=intent()))
    line.answer("GET /v1/payment_intents/pi_1", 200, intent())
    booking = api.book()
    api.pay(booking, "pm_1")
    refused = api.status(booking)

    line.answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("succeeded", amount_received=10000))
    paid = api.pay(booking, "pm_2")

    assert (refused["attempts_made"], refused["status"]) == (0, "requires_payment_method")
    assert paid.json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("path", "call"),
    [("capture", "payment/capture/"), ("cancel", "payment/cancel/")],
)
def test_a_decline_outside_a_charge_uses_up_no_attempt(api: Api, line: StandIn, path: str, call: str) -> None:
    held = intent("requires_capture", amount_capturable=10000)
    line.answer("POST /v1/payment_intents", 200, held)
    line.answer("GET /v1/payment_intents/pi_1", 200, held)
    line.answer(f"POST /v1/payment_intents/pi_1/{path}", 402, refusal(type_="card_error", code="expired_card"))
    booking = api.book()
    api.pay(booking, "pm_1", capture_method="manual")

    problem = problem_of(api.post(f"/api/bookings/{booking}/{call}", OPERATOR, json={}))

    assert told(problem) == (422, "payment_method_unavailable", None)
    assert (api.status(booking)["status"], api.status(booking)["attempts_made"]) == ("requires_capture", 1)


REFUNDING: Final = [
    ({"code": "charge_already_refunded"}, (422, "nothing_left", None)),
    ({"code": "charge_not_refundable"}, (422, "not_refundable", None)),
    ({"code": "balance_insufficient"}, (502, "balance_insufficient", None)),
    ({"param": "amount"}, (422, "exceeds_refundable", None)),
    ({"code": "resource_missing", "param": "payment_intent"}, OURS),
    # The bank declines while no customer is present to choose another card.
    ({"type_": "card_error", "code": "expired_card"}, (422, "payment_method_unavailable", None)),
    ({"code": "account_closed"}, (422, "payment_method_unavailable", None)),
    ({"code": "lock_timeout"}, (503, "outcome_unknown", None)),
]


@pytest.mark.parametrize("code", ["charge_disputed", "refund_disputed_payment"])
def test_a_refund_blocked_by_a_dispute_is_deferred(api: Api, line: StandIn, code: str) -> None:
    paid = intent("succeeded", amount_received=10000)
    line.answer("POST /v1/payment_intents", 200, paid)
    line.answer("GET /v1/payment_intents/pi_1", 200, paid)
    for listed in ("refunds", "disputes"):
        line.answer(f"GET /v1/{listed}", 200, {"data": [], "has_more": False})
    booking = api.book()
    api.pay(booking, "pm_1")
    line.answer("POST /v1/refunds", 400, refusal(code=code))

    answer = api.post(f"/api/bookings/{booking}/payment/refund/", OPERATOR, json={"amount": "10.00"}).json()

    assert (answer["status"], answer["deferred"], answer["refund_owed"]) == ("pending", True, "10.00")


@pytest.mark.parametrize(("error", "answer"), REFUNDING)
def test_each_code_of_a_refund_gives_the_expected_problem(
    api: Api, line: StandIn, error: Json, answer: tuple[int, str, str | None]
) -> None:
    paid = intent("succeeded", amount_received=10000)
    line.answer("POST /v1/payment_intents", 200, paid)
    line.answer("GET /v1/payment_intents/pi_1", 200, paid)
    for listed in ("refunds", "disputes"):
        line.answer(f"GET /v1/{listed}", 200, {"data": [], "has_more": False})
    booking = api.book()
    api.pay(booking, "pm_1")
    line.answer("POST /v1/refunds", 400, refusal(**error))

    problem = problem_of(api.post(f"/api/bookings/{booking}/payment/refund/", OPERATOR, json={"amount": "10.00"}))

    assert told(problem) == answer
    assert api.status(booking)["attempts_made"] == 1
