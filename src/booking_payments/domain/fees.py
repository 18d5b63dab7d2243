"""The processing fee: how much it is, who pays it, and what of it comes back on a refund.

A ``FeeBreakdown`` always adds up to the minor unit: ``gross == fee + net``. The only rounding is rate x amount,
half-even; a fee on top is rounded to what the gateway takes.
"""

from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.money import Money, in_currency


class FeePayer(Enum):
    """Who bears the fee: ``organizer``, it comes off the net; ``customer``, it is added on top."""

    ORGANIZER = "organizer"
    CUSTOMER = "customer"


class FeeOnRefund(Enum):
    """Whether a refund gives the fee back, in proportion to the amount refunded."""

    KEPT = "kept"
    RETURNED = "returned"


@frozen(kw_only=True)
class FeeBreakdown:
    """How a charge divides: ``gross`` is what the customer is charged, ``net`` what the organizer is left with."""

    rate: Decimal
    payer: FeePayer
    gross: Money
    fee: Money

    @property
    def net(self) -> Money:
        return self.gross - self.fee

    def to_dict(self) -> dict[str, Any]:
        """The breakdown as the HTTP API shows it: the rate as decimal text, amounts in major units."""
        return {
            "rate": f"{self.rate:f}",
            "amount": self.fee.major(),
            "payer": self.payer.value,
            "net": self.net.major(),
        }

    def fee_in(self, refunded: Money) -> Money:
        """The part of the fee that lies in the first ``refunded`` of ``gross``; all of it in the whole.

        Taken of running totals, so that many partial refunds return the fee to the minor unit.
        """
        if not self.gross:
            return Money.zero(self.gross.currency)
        return Money(round_share(self.fee.minor, refunded.minor, self.gross.minor), self.gross.currency)


def round_share(whole: int, part: int, of: int) -> int:
    """``whole`` x ``part`` / ``of``, rounded half-even, in integers."""
    quotient, remainder = divmod(whole * part, of)
    twice = 2 * remainder
    return quotient + (twice > of or (twice == of and quotient % 2 == 1))


@frozen(kw_only=True)
class FeePolicy:
    """Rate, optional fixed part and bounds (in major units of whatever currency the booking has), and the payer.

    ``rate`` is a fraction, 0.03 for 3 %. Amounts finer than a currency are rounded half-even to it, in a fee on top to
    the gateway's step. A payment keeps the policy that it was started with.
    """

    rate: Decimal = field(default=Decimal("0.03"))
    fixed: Decimal | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    payer: FeePayer = FeePayer.ORGANIZER
    on_refund: FeeOnRefund = FeeOnRefund.KEPT

    def __attrs_post_init__(self) -> None:
        parts = [part for part in (self.rate, self.fixed, self.minimum, self.maximum) if part is not None]
        if any(not part.is_finite() or part < 0 for part in parts) or self.rate >= 1:
            raise InvalidInput("fee parts are finite and not negative, and the rate is below 1")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise InvalidInput("the smallest fee is above the largest")

    def of_booking(self, amount: Money, step: int = 1) -> FeeBreakdown:
        """The breakdown of a booking's ``amount``: with payer ``customer`` the fee is added to it, in multiples of
        ``step`` minor units, so that the sum can be charged where the amount can. Of nothing there is no fee."""
        return _breakdown_of(self, amount, step)

    def _of_booking(self, amount: Money, step: int) -> FeeBreakdown:
        if not amount:
            return self._breakdown(gross=amount, fee=amount)
        if self.payer is FeePayer.CUSTOMER:
            fee = self._fee(amount, step)
            return self._breakdown(gross=(amount + fee).single(), fee=fee)
        return self._breakdown(gross=amount, fee=min(self._fee(amount), amount))

    def of_captured(self, captured: Money, authorized: FeeBreakdown) -> FeeBreakdown:
        """The breakdown after ``captured`` of an authorized charge was collected.

        The organizer's fee is that of the captured amount; the customer's is in proportion, since it is a part of
        what was charged.
        """
        if captured == authorized.gross:
            return authorized
        if self.payer is FeePayer.CUSTOMER:
            return self._breakdown(gross=captured, fee=authorized.fee_in(captured))
        return self._breakdown(gross=captured, fee=min(self._fee(captured), captured))

    def _fee(self, amount: Money, step: int = 1) -> Money:
        currency = amount.currency
        fee = (amount.times(self.rate, step) + in_currency(self.fixed or Decimal(0), currency, step)).single()
        if self.minimum is not None:
            fee = max(fee, in_currency(self.minimum, currency, step))
        return fee if self.maximum is None else min(fee, in_currency(self.maximum, currency, step))

    def _breakdown(self, *, gross: Money, fee: Money) -> FeeBreakdown:
        return FeeBreakdown(rate=self.rate, payer=self.payer, gross=gross, fee=fee)


@lru_cache(maxsize=4096)
def _breakdown_of(policy: FeePolicy, amount: Money, step: int) -> FeeBreakdown:
    """Asked for each time that the gateway speaks of a payment; seats of a show cost the same."""
    return policy._of_booking(amount, step)
