"""Checks of amounts against Stripe's limits, before anything is stored or sent."""

from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.adapters.gateways.stripe.requests import stripe_amount
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.money import Money


def check_amount(amount: Money) -> None:
    """Raise ``RefusedByRule`` for an amount that Stripe cannot express (docs.stripe.com/currencies)."""
    code = amount.currency.code
    if code not in amounts.SUPPORTED:
        raise RefusedByRule(f"payments in {code} are not supported", code="currency_not_supported")
    try:
        stripe_amount(amount)
    except amounts.AmountNotRepresentable:
        message = f"{amount} cannot be charged exactly; round it as docs.stripe.com/currencies requires for {code}"
        raise RefusedByRule(message, code="amount_not_chargeable") from None


def check_charge(amount: Money, digits: int = amounts.DIGITS) -> None:
    """Raise ``RefusedByRule`` for an amount that Stripe would not charge; ``digits`` as in ``amounts.maximum``."""
    check_amount(amount)
    charged, code = stripe_amount(amount), amount.currency.code
    if charged < amounts.minimum(code):
        raise RefusedByRule(f"{amount} is below the smallest amount that can be charged", code="amount_too_small")
    if charged > amounts.maximum(code, digits):
        raise RefusedByRule(f"{amount} is above the largest amount that can be charged", code="amount_too_large")
