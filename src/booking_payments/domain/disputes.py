"""The funds that a dispute withdraws from the balance, computed from its transactions and not from its status.

The amounts exclude Stripe's dispute fees, which are booked separately from the disputed amount. Sources:
docs.stripe.com/api/disputes/object (``balance_transactions``), docs.stripe.com/disputes/how-disputes-work.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from attrs import frozen

from booking_payments.domain.money import Money


@frozen(kw_only=True)
class DisputeMovement:
    """One transaction of a dispute on the merchant's balance at the gateway.

    Attributes:
        amount: in the smallest unit of the settlement currency; negative for a withdrawal.
        currency: the settlement currency, lower-case ISO 4217.
        exchange_rate: units of the settlement currency per unit of the original currency; None without a conversion.
    """

    amount: int
    currency: str
    exchange_rate: Decimal | None = None


def withdrawn_by(movements: Sequence[DisputeMovement], disputed: Money, *, won: bool) -> Money:
    """Return the part of ``disputed`` that was withdrawn and not returned.

    A debit withdraws the disputed amount; a credit returns its share of the debit before it. The two may be settled at
    different rates, so sums in the settlement currency are not compared, and a dispute that is ``won`` holds nothing
    after a credit.

    Args:
        movements: the dispute's transactions, oldest first.
        disputed: the disputed amount in the payment's currency.
        won: the dispute was decided in the merchant's favor.
    """
    withdrawn, debit, credited = 0, 0, False
    for movement in movements:
        if movement.amount < 0:
            withdrawn, debit, credited = disputed.minor, -movement.amount, False
        elif movement.amount > 0 and debit:
            share = Fraction(movement.amount, debit) * disputed.minor
            withdrawn, credited = max(withdrawn - round(share), 0), True  # ``round`` of a Fraction is half-even
    return Money(0 if won and credited else withdrawn, disputed.currency)


def in_currency_of(amount: Money, captured: Money, movements: Sequence[DisputeMovement]) -> Money:
    """Return the disputed ``amount`` in the currency of the payment, whose captured amount is ``captured``.

    A dispute may be in another currency than its payment. It is converted with the exchange rate of its first
    transaction. Without a rate the whole captured amount counts as disputed, so that refunds cannot exceed the
    remaining balance.
    """
    if amount.currency is captured.currency:
        return amount
    rate = next((each.exchange_rate for each in movements if each.exchange_rate), None)
    if rate is None:
        return captured
    units = Fraction(amount.minor, 10**amount.currency.exponent) / Fraction(rate)
    return min(Money(round(units * 10**captured.currency.exponent), captured.currency), captured)
