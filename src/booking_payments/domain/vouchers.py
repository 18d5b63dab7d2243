"""Vouchers: methods that the customer is shown, and pays in a shop or at a bank hours or days later.

A booking's hold is never prolonged by the choice of a method. So a voucher is offered only while one that is issued now
expires before the hold ends; a payment that came later would find the seat given away.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs
from attrs import frozen

from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import MethodChoice
from booking_payments.domain.money import Currency


@frozen
class VoucherType:
    """One type of voucher.

    Attributes:
        currency: the code of the only currency that it is offered in.
        lasts: the longest time from its issue to its expiry, under the gateway's defaults.
    """

    currency: str
    lasts: timedelta


EXPIRES_AFTER_DAYS: Final = 3
"""Days until boleto, Konbini and OXXO vouchers expire, at the end of that day where they are paid
(docs.stripe.com/payments/vouchers)."""

_TO_THE_END_OF_A_DAY: Final = timedelta(days=EXPIRES_AFTER_DAYS + 1)

VOUCHER_TYPES: Final[Mapping[str, VoucherType]] = {
    "boleto": VoucherType("brl", _TO_THE_END_OF_A_DAY),
    "konbini": VoucherType("jpy", _TO_THE_END_OF_A_DAY),
    "multibanco": VoucherType("eur", timedelta(days=7)),
    "oxxo": VoucherType("mxn", _TO_THE_END_OF_A_DAY),
}


def offered_vouchers(methods: MethodChoice, currency: Currency) -> tuple[str, ...]:
    """The types of vouchers that ``methods`` can offer in ``currency``."""
    named = methods.allowed or VOUCHER_TYPES
    return tuple(
        name
        for name, each in VOUCHER_TYPES.items()
        if each.currency == currency.code and name in named and name not in methods.excluded
    )


def longest_voucher(methods: MethodChoice, currency: Currency) -> timedelta:
    """How long a voucher that ``methods`` offer can be paid, at the longest; zero where they offer none."""
    return max((VOUCHER_TYPES[name].lasts for name in offered_vouchers(methods, currency)), default=timedelta())


def within_hold(methods: MethodChoice, currency: Currency, hold: timedelta) -> MethodChoice:
    """``methods`` without the vouchers that can be paid after the end of a hold of this length.

    Raises:
        RefusedByRule: only vouchers are allowed, and each outlives the hold (``no_payment_method_left``).
    """
    outlive = tuple(name for name in offered_vouchers(methods, currency) if VOUCHER_TYPES[name].lasts > hold)
    if not outlive:
        return methods
    if not methods.allowed:
        return attrs.evolve(methods, excluded=(*methods.excluded, *outlive))
    allowed = tuple(name for name in methods.allowed if name not in outlive)
    if not allowed:
        message = "a voucher could be paid after the hold of this booking has ended; choose other payment methods"
        raise RefusedByRule(message, code="no_payment_method_left")
    return MethodChoice(allowed=allowed)
