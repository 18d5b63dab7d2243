"""Refund rules as values, and the one function that both a quote and a refund use.

A refund is possible only after success, only before the event starts, never while disputed, and never beyond what
is left. Tiers narrow it further by the hours before the event; what they give is rounded down to what the gateway can
give back. When the organizer cancels the event, all comes
back, fee included, whatever the tiers and the clock say. So does what a canceled booking owes: a refund of it came to
nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction

from attrs import field, frozen

from booking_payments.domain.errors import (
    InvalidAmount,
    InvalidInput,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
)
from booking_payments.domain.fees import FeeBreakdown, FeeOnRefund, FeePayer
from booking_payments.domain.money import Money

MAX_TIERS = 20
MAX_TIER_HOURS = 24 * 366


@frozen(kw_only=True)
class RefundTier:
    """Until ``hours_before`` hours before the event's start, ``percent`` (0 to 100) of the charge comes back."""

    hours_before: int = field()
    percent: Decimal = field()

    @hours_before.validator
    def _hours(self, _: object, hours: int) -> None:
        if not 0 <= hours <= MAX_TIER_HOURS:
            raise InvalidInput(f"hours_before lies between 0 and {MAX_TIER_HOURS}")

    @percent.validator
    def _percent(self, _: object, percent: Decimal) -> None:
        if not (percent.is_finite() and 0 <= percent <= 100):
            raise InvalidInput("percent lies between 0 and 100")


def _widest_first(tiers: Sequence[RefundTier]) -> tuple[RefundTier, ...]:
    return tuple(sorted(tiers, key=lambda tier: -tier.hours_before))


@frozen(kw_only=True)
class RefundPolicy:
    """Tiers, widest first (none: all comes back until the event starts), and what happens to the fee."""

    tiers: tuple[RefundTier, ...] = field(default=(), converter=_widest_first)
    fee: FeeOnRefund = FeeOnRefund.KEPT

    @tiers.validator
    def _distinct(self, _: object, tiers: tuple[RefundTier, ...]) -> None:
        if len(tiers) > MAX_TIERS or len({tier.hours_before for tier in tiers}) != len(tiers):
            raise InvalidInput(f"a refund policy has at most {MAX_TIERS} tiers, each with its own hours_before")

    def share_at(self, now: datetime, event_starts_at: datetime) -> tuple[Fraction, datetime]:
        """The share of the charge (0 to 1) that may come back at ``now``, and until when that holds."""
        for tier in self.tiers:
            deadline = event_starts_at - timedelta(hours=tier.hours_before)
            if now < deadline:
                return Fraction(tier.percent) / 100, deadline
        return Fraction(0 if self.tiers else 1), event_starts_at


class RefundReason(Enum):
    """The gateway's three reasons for a refund. ``fraudulent`` also blocks the card, so it is never a default."""

    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"

    @classmethod
    def read(cls, text: str) -> "tuple[RefundReason, str | None]":
        """One of the three, or any other text as the note to the usual reason."""
        try:
            return cls(text), None
        except ValueError:
            return cls.REQUESTED_BY_CUSTOMER, text


class QuoteReason(Enum):
    """Why a refund is possible or not: a stable code and a text fit for the customer."""

    REFUNDABLE = "refundable", "this much comes back"
    ORGANIZER_CANCELED = "organizer_canceled", "the organizer canceled; everything comes back"
    REFUND_OWED = "refund_owed", "a refund of this canceled booking came to nothing; this much still has to come back"
    NOT_PAID = "not_paid", "only a payment that succeeded can be refunded"
    DISPUTED = "disputed", "the payment is disputed with the bank; it can't be refunded until that is settled"
    EVENT_STARTED = "event_started", "the event has started; the booking can no longer be refunded"
    TOO_LATE = "too_late", "the refund policy of this booking gives nothing back so close to the event"
    NOTHING_LEFT = "nothing_left", "everything that can come back has been refunded"
    EXCEEDS_REFUNDABLE = "exceeds_refundable", "the amount is larger than what can still be refunded"

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    @property
    def allows(self) -> bool:
        return self in (QuoteReason.REFUNDABLE, QuoteReason.ORGANIZER_CANCELED, QuoteReason.REFUND_OWED)

    def error(self) -> PaymentError:
        """The error that tells the caller so."""
        if self in (QuoteReason.NOT_PAID, QuoteReason.DISPUTED):
            return NotPossibleNow(self.message, code=self.code)
        return RefusedByRule(self.message, code=self.code)


@frozen(kw_only=True)
class RefundQuote:
    """What a refund would give now. ``fee_refunded`` is the part of the fee that comes back with ``amount``;
    ``refundable_until`` is the last moment at which this holds, None when nothing is refundable."""

    reason: QuoteReason
    amount: Money
    fee_refunded: Money
    refundable_until: datetime | None

    @property
    def allowed(self) -> bool:
        return self.reason.allows


@frozen(kw_only=True)
class GivenBack:
    """What refunds give back, those on their way included, with the part of the fee that lies in it."""

    amount: Money
    fee: Money


@frozen(kw_only=True)
class Owed:
    """What a refund was to give back and did not, with the part of the fee that was to go back in it."""

    amount: Money
    fee: Money

    def part(self, amount: Money) -> "Owed":
        """``amount`` of it, with its share of the fee."""
        return Owed(amount=amount, fee=self.fee.times(Fraction(amount.minor, self.amount.minor)))


@frozen(kw_only=True)
class Refundable:
    """All that decides about a refund, as values: the charge, what has left or is leaving, the rules, the clock.

    ``reserved`` counts refunds that succeeded and those on their way, ``fee_returned`` the part of the fee that lies in
    them. ``paid`` is false until the charge succeeded. ``owed`` may come back whatever the policy and the clock say.
    ``amount_step``: the gateway gives back multiples of so many minor units only.
    """

    breakdown: FeeBreakdown
    reserved: Money
    fee_returned: Money
    policy: RefundPolicy
    event_starts_at: datetime
    paid: bool
    disputed: bool
    owed: Owed | None = None
    amount_step: int = 1

    def quote(self, now: datetime, amount: Money | None, *, organizer_canceled: bool = False) -> RefundQuote:
        """What refunding ``amount`` (None: all that can come back) would give at ``now``.

        Raises ``InvalidAmount`` for an amount that is zero or negative.
        """
        if amount is not None and amount.minor <= 0:
            raise InvalidAmount("the amount to refund must be more than zero")
        reason, ceiling, until = self._ceiling(now, organizer_canceled)
        left = max(ceiling - self.reserved, Money.zero(ceiling.currency)).rounded_down(self.amount_step)
        if reason.allows and amount is not None and amount > left:
            reason = QuoteReason.EXCEEDS_REFUNDABLE if left else QuoteReason.NOTHING_LEFT
        elif reason.allows and not left:
            reason = QuoteReason.NOTHING_LEFT
        return self._answer(reason, amount or left, until)

    def remaining(self, now: datetime) -> Money:
        """What can still be refunded at ``now``; zero when nothing can."""
        quote = self.quote(now, None)
        return quote.amount if quote.allowed else Money.zero(self.reserved.currency)

    def _answer(self, reason: QuoteReason, amount: Money, until: datetime) -> RefundQuote:
        zero = Money.zero(amount.currency)
        if not reason.allows:
            return RefundQuote(reason=reason, amount=zero, fee_refunded=zero, refundable_until=None)
        fee = self._fee_in(amount) if self.policy.fee is FeeOnRefund.RETURNED else zero
        if reason is QuoteReason.ORGANIZER_CANCELED:
            fee = self._fee_left_in(amount)
        elif reason is QuoteReason.REFUND_OWED and self.owed is not None:
            fee = min(self.owed.part(amount).fee, self.breakdown.fee - self.fee_returned)
        return RefundQuote(reason=reason, amount=amount, fee_refunded=fee, refundable_until=until)

    def _fee_in(self, amount: Money) -> Money:
        return self.breakdown.fee_in(self.reserved + amount) - self.breakdown.fee_in(self.reserved)

    def _fee_left_in(self, amount: Money) -> Money:
        """Of a canceled event the house keeps nothing, not even what earlier refunds had left it; with the last of the
        money its whole fee is back."""
        return min(self.breakdown.fee_in(self.reserved + amount) - self.fee_returned, amount)

    def _ceiling(self, now: datetime, organizer_canceled: bool) -> tuple[QuoteReason, Money, datetime]:
        """The verdict before the amount is looked at, the most that may come back in total, and until when."""
        gross, starts = self.breakdown.gross, self.event_starts_at
        if not self.paid:
            return QuoteReason.NOT_PAID, gross, starts
        if self.disputed:
            return QuoteReason.DISPUTED, gross, starts
        if organizer_canceled:
            return QuoteReason.ORGANIZER_CANCELED, gross, max(now, starts)
        reason, ceiling, until = self._by_policy(now)
        owed = self.reserved + self.owed.amount if self.owed else None
        if owed is not None and (not reason.allows or ceiling < owed):
            return QuoteReason.REFUND_OWED, min(owed, gross), max(now, starts)
        return reason, ceiling, until

    def _by_policy(self, now: datetime) -> tuple[QuoteReason, Money, datetime]:
        gross, starts = self.breakdown.gross, self.event_starts_at
        if now >= starts:
            return QuoteReason.EVENT_STARTED, gross, starts
        share, until = self.policy.share_at(now, starts)
        if not share:
            return QuoteReason.TOO_LATE, gross, starts
        return QuoteReason.REFUNDABLE, self._returnable().times(share), until

    def _returnable(self) -> Money:
        """What the tiers apply to: a fee that the customer paid on top and that is kept never comes back."""
        keeps = self.policy.fee is FeeOnRefund.KEPT and self.breakdown.payer is FeePayer.CUSTOMER
        return self.breakdown.net if keeps else self.breakdown.gross
