"""What a dispute has taken from our balance, by its transactions and not by its status.

Stripe's fees are no part of the amounts here: they are booked apart from the disputed money. Sources:
docs.stripe.com/api/disputes/object (``balance_transactions``), docs.stripe.com/disputes/how-disputes-work.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from attrs import frozen

from booking_payments.domain.money import Money


@frozen(kw_only=True)
class DisputeMovement:
    """One transaction of a dispute on our balance at the gateway.

    Attributes:
        amount: in the smallest unit of the settlement currency; negative when money leaves our balance.
        currency: the settlement currency, lower-case ISO 4217.
        exchange_rate: how much of the settlement currency the gateway gave for one unit of the currency that it
            converted from; None where nothing was converted.
    """

    amount: int
    currency: str
    exchange_rate: Decimal | None = None


def withdrawn_by(movements: Sequence[DisputeMovement], disputed: Money, *, won: bool) -> Money:
    """What of ``disputed`` has left our balance and not come back.

    A debit withdraws the disputed amount; a credit brings back its share of the debit before it. The two may be settled
    at different rates, so sums in the settlement currency are not compared, and a dispute that is ``won`` holds nothing
    after a credit.

    Args:
        movements: the dispute's transactions, oldest first.
        disputed: the disputed amount in the payment's currency.
        won: whether the dispute was decided in our favor.
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
    """The disputed ``amount`` in the currency of the payment, whose captured amount is ``captured``.

    A dispute may be over another currency than its payment. It is then booked by its share of the payment, as the
    exchange rate of its first transaction tells; without one it stands for the whole payment, so that nothing is
    refunded beyond what is left.
    """
    if amount.currency is captured.currency:
        return amount
    rate = next((each.exchange_rate for each in movements if each.exchange_rate), None)
    if rate is None:
        return captured
    units = Fraction(amount.minor, 10**amount.currency.exponent) / Fraction(rate)
    return min(Money(round(units * 10**captured.currency.exponent), captured.currency), captured)
