"""Instructions are encoded as Stripe's parameters."""

import importlib
import re
from typing import Any

import attrs
import pytest

from booking_payments.adapters.gateways.stripe.limits import check_amount, check_charge
from booking_payments.adapters.gateways.stripe.requests import path_and_params
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ChargeTexts,
    Client,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
    MethodChoice,
)
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundReason

USD_10 = Money(1000, Currency.USD)


def _creation(*, confirm: bool, return_url: str | None = None) -> CreateIntent:
    return CreateIntent(
        amount=USD_10,
        capture_method=CaptureMethod.AUTOMATIC,
        payment_method_id="pm_1",
        confirm=confirm,
        return_url=return_url,
        metadata={"payment_id": "pay_1"},
    )


def test_without_a_return_url_methods_that_redirect_are_left_out() -> None:
    _, params = path_and_params(_creation(confirm=True))

    assert params["automatic_payment_methods"] == {"enabled": True, "allow_redirects": "never"}
    assert "return_url" not in params


def test_with_a_return_url_methods_may_redirect() -> None:
    _, params = path_and_params(_creation(confirm=True, return_url="https://shop.example/paid"))

    assert params["automatic_payment_methods"]["allow_redirects"] == "always"
    assert params["return_url"] == "https://shop.example/paid"


def test_a_return_url_is_only_sent_with_a_confirmation() -> None:
    _, params = path_and_params(_creation(confirm=False, return_url="https://shop.example/paid"))

    assert ("return_url" in params, "confirm" in params) == (False, False)


AUTOMATIC = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}


@pytest.mark.parametrize(
    ("chosen", "sent"),
    [
        (MethodChoice(allowed=("card", "sepa_debit")), {"allowed_payment_method_types": ["card", "sepa_debit"]}),
        (MethodChoice(excluded=("klarna",)), {"excluded_payment_method_types": ["klarna"], **AUTOMATIC}),
        (
            MethodChoice(allowed=("card", "konbini", "multibanco")),
            {
                "allowed_payment_method_types": ["card", "konbini", "multibanco"],
                "payment_method_options": {"konbini": {"expires_after_days": 3}},
            },
        ),
        (MethodChoice(configuration="pmc_1"), {"payment_method_configuration": "pmc_1", **AUTOMATIC}),
        (MethodChoice(), AUTOMATIC),
    ],
)
def test_the_choice_of_methods_is_sent(chosen: MethodChoice, sent: dict[str, Any]) -> None:
    _, params = path_and_params(attrs.evolve(_creation(confirm=True), methods=chosen))

    assert {name: params[name] for name in params if "payment_method_" in name or "automatic" in name} == sent


def _of_sdk(name: str) -> set[str]:
    """Return the parameters that the installed SDK declares for a call."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return set(getattr(importlib.import_module(f"stripe.params._{words}"), name).__annotations__)


TEXTS = ChargeTexts(
    description="Night, R-1",
    statement_descriptor_suffix="NIGHT",
    receipt_email="ann@example.com",
    order_reference="R-1",
)


def test_the_texts_of_a_charge_are_sent_where_there_are_any() -> None:
    _, said = path_and_params(attrs.evolve(_creation(confirm=True), texts=TEXTS))
    _, silent = path_and_params(_creation(confirm=True))

    assert {name: said[name] for name in set(said) - set(silent)} == {
        "description": "Night, R-1",
        "statement_descriptor_suffix": "NIGHT",
        "receipt_email": "ann@example.com",
        "payment_details": {"order_reference": "R-1"},
    }


def test_with_stripe_js_the_next_action_is_for_stripe_js() -> None:
    confirmed = ConfirmIntent(intent_id="pi_1", payment_method_id="pm_1", return_url=None, client=Client.STRIPE_JS)
    made = attrs.evolve(_creation(confirm=True), client=Client.STRIPE_JS)

    assert [path_and_params(each)[1]["use_stripe_sdk"] for each in (made, confirmed)] == [True, True]


def test_without_stripe_js_the_next_action_is_a_redirect() -> None:
    unconfirmed = attrs.evolve(_creation(confirm=False), client=Client.STRIPE_JS)

    assert all("use_stripe_sdk" not in path_and_params(each)[1] for each in (_creation(confirm=True), unconfirmed))


EVERYTHING = [
    (attrs.evolve(_creation(confirm=True), client=Client.STRIPE_JS), "PaymentIntentCreateParams"),
    (
        ConfirmIntent(intent_id="pi_1", payment_method_id="pm_1", return_url=None, client=Client.STRIPE_JS),
        "PaymentIntentConfirmParams",
    ),
    (attrs.evolve(_creation(confirm=True), texts=TEXTS), "PaymentIntentCreateParams"),
    (_creation(confirm=True, return_url="https://shop.example/paid"), "PaymentIntentCreateParams"),
    (attrs.evolve(_creation(confirm=True), methods=MethodChoice(allowed=("card",))), "PaymentIntentCreateParams"),
    (
        attrs.evolve(_creation(confirm=True), methods=MethodChoice(excluded=("klarna",), configuration="pmc_1")),
        "PaymentIntentCreateParams",
    ),
    (
        ConfirmIntent(intent_id="pi_1", payment_method_id="pm_1", return_url="https://shop.example/"),
        "PaymentIntentConfirmParams",
    ),
    (CaptureIntent(intent_id="pi_1", amount=USD_10), "PaymentIntentCaptureParams"),
    (CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED), "PaymentIntentCancelParams"),
    (
        CreateRefund(
            intent_id="pi_1",
            refund_id="rf_1",
            amount=USD_10,
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
            metadata={"refund_id": "rf_1"},
        ),
        "RefundCreateParams",
    ),
]


@pytest.mark.parametrize(("instruction", "typed"), EVERYTHING)
def test_every_parameter_is_in_the_installed_sdk(instruction: Instruction, typed: str) -> None:
    """Stripe rejects removed parameters; the installed SDK knows those of its API version."""
    _, params = path_and_params(instruction)

    assert set(params) - _of_sdk(typed) == set()


def test_the_sdk_does_not_know_the_types_that_are_gone() -> None:
    assert "payment_method_types" not in _of_sdk("PaymentIntentCreateParams")


def test_the_same_instruction_gives_the_same_request() -> None:
    assert path_and_params(_creation(confirm=True)) == path_and_params(_creation(confirm=True))


@pytest.mark.parametrize(
    ("instruction", "path", "params"),
    [
        (
            ConfirmIntent(intent_id="pi_1", payment_method_id="pm_1", return_url=None),
            "/v1/payment_intents/pi_1/confirm",
            {"payment_method": "pm_1", "expand": ["latest_charge"]},
        ),
        (
            CaptureIntent(intent_id="pi_1", amount=USD_10),
            "/v1/payment_intents/pi_1/capture",
            {"amount_to_capture": 1000, "expand": ["latest_charge"]},
        ),
        (
            CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED),
            "/v1/payment_intents/pi_1/cancel",
            {"cancellation_reason": "abandoned"},
        ),
        (
            CreateRefund(intent_id="pi_1", refund_id="rf_1", amount=USD_10, reason=RefundReason.DUPLICATE),
            "/v1/refunds",
            {"payment_intent": "pi_1", "amount": 1000, "reason": "duplicate", "metadata": {}},
        ),
    ],
)
def test_each_instruction_has_its_request(
    instruction: ConfirmIntent | CaptureIntent | CancelIntent | CreateRefund, path: str, params: dict[str, object]
) -> None:
    assert path_and_params(instruction) == (path, params)


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (Money(49, Currency.USD), "amount_too_small"),
        (Money(100_000_000, Currency.USD), "amount_too_large"),
        (Money(5124, Currency.KWD), "amount_not_chargeable"),
        (Money(501, Currency.MGA), "amount_not_chargeable"),
        (Money(500, Currency.KPW), "currency_not_supported"),
    ],
)
def test_an_amount_outside_the_limits_is_refused(amount: Money, code: str) -> None:
    with pytest.raises(RefusedByRule) as refused:
        check_charge(amount)

    assert refused.value.code == code


def test_a_partial_amount_may_be_below_the_smallest_charge() -> None:
    assert check_amount(Money(1, Currency.USD)) is None  # type: ignore[func-returns-value]  # it does not raise
