"""Encoding of instructions as Stripe's parameters.

The parameters depend on the instruction alone, so every repetition is identical.
"""

from collections.abc import Mapping
from typing import Any, Final, assert_never
from urllib.parse import quote

from booking_payments.adapters.gateways.stripe.amounts import AmountNotRepresentable, to_stripe
from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    CaptureMethod,
    ChargeTexts,
    Client,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
    UpdateIntent,
)
from booking_payments.domain.money import Money
from booking_payments.domain.vouchers import EXPIRES_AFTER_DAYS
from booking_payments.ports.gateway import GatewayRefused

Params = dict[str, Any]

WITH_CHARGE: Final[Mapping[str, Any]] = {"expand": ["latest_charge"]}
"""Expands the charge, for its method and its capture deadline."""


def path_and_params(instruction: Instruction) -> tuple[str, Params]:
    """Return the path and the parameters of an instruction's request.

    Raises ``GatewayRefused`` for an amount that Stripe cannot express: Stripe would refuse it as well, and the
    operation ends.
    """
    try:
        return _path_and_params(instruction)
    except AmountNotRepresentable as error:
        raise GatewayRefused(str(error), code="amount_not_chargeable", param="amount") from error


def _path_and_params(instruction: Instruction) -> tuple[str, Params]:
    match instruction:
        case CreateIntent():
            return "/v1/payment_intents", _create(instruction)
        case UpdateIntent():
            return f"/v1/payment_intents/{escaped(instruction.intent_id)}", _update(instruction)
        case ConfirmIntent():
            return f"/v1/payment_intents/{escaped(instruction.intent_id)}/confirm", _confirm(instruction)
        case CaptureIntent():
            amount = stripe_amount(instruction.amount)
            path = f"/v1/payment_intents/{escaped(instruction.intent_id)}/capture"
            return path, {"amount_to_capture": amount, **WITH_CHARGE}
        case CancelIntent():
            reason = instruction.reason.value
            return f"/v1/payment_intents/{escaped(instruction.intent_id)}/cancel", {"cancellation_reason": reason}
        case CreateRefund():
            return "/v1/refunds", _refund(instruction)
    assert_never(instruction)


def escaped(id_: str) -> str:
    """Return an id escaped for a path. Ids come from webhooks as well, and must not lead to another path."""
    return quote(id_, safe="")


def stripe_amount(amount: Money) -> int:
    """Return the amount in Stripe's minor units. Raises ``AmountNotRepresentable``."""
    return to_stripe(amount.minor, amount.currency.exponent, amount.currency.code)


def _create(instruction: CreateIntent) -> Params:
    manual = instruction.capture_method is CaptureMethod.MANUAL
    params: Params = {
        "amount": stripe_amount(instruction.amount),
        "currency": instruction.amount.currency.code,
        "capture_method": "manual" if manual else "automatic",
        **_methods(instruction),
        "metadata": dict(instruction.metadata),
        **WITH_CHARGE,
    }
    params |= _texts(instruction.texts)
    if instruction.payment_method_id:
        params["payment_method"] = instruction.payment_method_id
    if instruction.confirm:
        params |= {"confirm": True, **_return_url(instruction.return_url), **_client(instruction.client)}
    return params


def _update(instruction: UpdateIntent) -> Params:
    """Return the values that change. Stripe removes an address for which it gets an empty text."""
    given = {
        "payment_method": instruction.payment_method_id,
        "amount": stripe_amount(instruction.amount) if instruction.amount is not None else None,
        "description": instruction.description,
        "receipt_email": instruction.receipt_email,
    }
    return {name: value for name, value in given.items() if value is not None} | dict(WITH_CHARGE)


def _texts(texts: ChargeTexts) -> Params:
    """Return the text parameters.

    Stripe uses the suffix for card charges only (docs.stripe.com/get-started/account).
    """
    given = {
        "description": texts.description,
        "statement_descriptor_suffix": texts.statement_descriptor_suffix,
        "receipt_email": texts.receipt_email,
        "payment_details": {"order_reference": texts.order_reference} if texts.order_reference else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _methods(instruction: CreateIntent) -> Params:
    """Return the choice of payment methods.

    Allowed types exclude the other parameters (docs.stripe.com/changelog/dahlia/2026-07-29).
    """
    chosen = instruction.methods
    if chosen.allowed:
        return {"allowed_payment_method_types": list(chosen.allowed), **_voucher_options(chosen.allowed)}
    redirects = "always" if instruction.return_url else "never"
    return {
        "automatic_payment_methods": {"enabled": True, "allow_redirects": redirects},
        **({"excluded_payment_method_types": list(chosen.excluded)} if chosen.excluded else {}),
        **({"payment_method_configuration": chosen.configuration} if chosen.configuration else {}),
    }


def _voucher_options(allowed: tuple[str, ...]) -> Params:
    """Return how long vouchers last, so that a longer time in the Dashboard does not outlive the booking's hold."""
    days = {"expires_after_days": EXPIRES_AFTER_DAYS}
    options = {name: days for name in _WITH_EXPIRY if name in allowed}
    return {"payment_method_options": options} if options else {}


_WITH_EXPIRY: Final = ("boleto", "konbini", "oxxo")
"""Vouchers of Multibanco take no expiry."""


def _confirm(instruction: ConfirmIntent) -> Params:
    method = {"payment_method": instruction.payment_method_id} if instruction.payment_method_id else {}
    return {**method, **_return_url(instruction.return_url), **_client(instruction.client), **WITH_CHARGE}


def _return_url(url: str | None) -> Params:
    return {"return_url": url} if url else {}


def _client(client: Client | None) -> Params:
    """Return ``use_stripe_sdk`` for Stripe.js, whose next action stays on the page.

    Without it, and with a return URL, the next action redirects to the bank's page
    (docs.stripe.com/payments/3d-secure/authentication-flow).
    """
    return {"use_stripe_sdk": True} if client is Client.STRIPE_JS else {}


def _refund(instruction: CreateRefund) -> Params:
    return {
        "payment_intent": instruction.intent_id,
        "amount": stripe_amount(instruction.amount),
        "reason": instruction.reason.value,
        "metadata": dict(instruction.metadata),
    }
