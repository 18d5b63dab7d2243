"""The processing fee: its amount, who pays it, and the part that is returned with a refund.

A ``FeeBreakdown`` adds up to the minor unit: ``gross == fee + net``. Three computations of this module round, all
half-even: rate x amount, the conversion of a configured amount (``FeePolicy.fixed`` and its limits), and the part of
the fee in a refund (``FeeBreakdown.fee_in``). All places that round are in ``docs/decisions/0004-rounding.md``. A fee
added on top is rounded to a multiple of the gateway's amount step.
"""

from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.money import Money, in_currency, round_share


class FeePayer(Enum):
    """Who pays the fee: ``organizer`` deducts it from the net, ``customer`` adds it to the charge."""

    ORGANIZER = "organizer"
    CUSTOMER = "customer"


class FeeOnRefund(Enum):
    """Whether a refund returns the fee, in proportion to the refunded amount."""

    KEPT = "kept"
    RETURNED = "returned"


@frozen(kw_only=True)
class FeeBreakdown:
    """How a charge divides.

    Attributes:
        rate: the fraction that was applied.
        payer: who pays the fee.
        gross: the amount charged to the customer.
        fee: the part that is the processing fee.
    """

    rate: Decimal
    payer: FeePayer
    gross: Money
    fee: Money

    @property
    def net(self) -> Money:
        """The organizer's part: gross minus fee."""
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
        """Return the part of the fee in the first ``refunded`` of ``gross``; the whole fee for the whole amount.

        Callers use running totals, so that partial refunds return the fee exactly, to the minor unit.
        """
        if not self.gross:
            return Money.zero(self.gross.currency)
        return Money(round_share(self.fee.minor, refunded.minor, self.gross.minor), self.gross.currency)


@frozen(kw_only=True)
class FeePolicy:
    """The rule for the processing fee. A payment keeps the policy that it started with.

    Amounts with more decimals than the currency are rounded half-even; a fee on top is rounded to the gateway's step.

    Attributes:
        rate: a fraction, 0.03 for 3 %.
        fixed: added to the rate's part; in major units of the booking's currency, as the following two.
        minimum: the smallest fee; None: no lower limit.
        maximum: the largest fee; None: no upper limit.
        payer: who pays the fee.
        on_refund: whether a refund returns the fee.
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
            raise InvalidInput("fee parts must be finite and not negative, and the rate below 1")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise InvalidInput("the minimum fee is above the maximum")

    def of_booking(self, amount: Money, step: int = 1) -> FeeBreakdown:
        """Return the breakdown of a booking's ``amount``.

        With payer ``customer`` the fee is added, in multiples of ``step`` minor units, so that the sum can be charged
        where the amount can. A booking of amount zero has no fee.
        """
        return _breakdown_of(self, amount, step)

    def _of_booking(self, amount: Money, step: int) -> FeeBreakdown:
        if not amount:
            return self._breakdown(gross=amount, fee=amount)
        if self.payer is FeePayer.CUSTOMER:
            fee = self._fee(amount, step)
            return self._breakdown(gross=(amount + fee).single(), fee=fee)
        return self._breakdown(gross=amount, fee=min(self._fee(amount), amount))

    def of_captured(self, captured: Money, authorized: FeeBreakdown) -> FeeBreakdown:
        """Return the breakdown after ``captured`` of an authorized charge was collected.

        The organizer's fee is computed from the captured amount; the customer's is reduced in proportion, since it is a
        part of the charge.
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
    """Cached because it is computed for every report of a payment, and seats of one event have few different prices."""
    return policy._of_booking(amount, step)
