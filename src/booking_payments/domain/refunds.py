"""Refund rules as values, and the one function that both a quote and a refund use.

Three limits apply to a refund, each in one place:

1. *The rules* (``Refundable._allowed``): only after success, before the event starts, and the share of the tier,
   rounded down to the gateway's step. When the organizer cancels, when the event was moved and the customer asks in
   time, when the money came late, or when an operator overrides, the rules allow everything. The cancellation of the
   booking decides what goes back: after it the rules allow its customer nothing more (``Refundable.canceled``).
2. *The debt* (``Refundable.failed``): a promised refund that failed may be requested again independent of rules and
   deadlines, with the fee that was promised.
3. *The limit* (``Refundable.room``): refunds that succeeded or are pending, deferred ones, the amounts held by
   disputes, and what was settled without a refund never exceed the captured amount.

A refund within these limits that the gateway does not accept now is deferred, not refused (``Refundable.deferral_of``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from attrs import field, frozen

from booking_payments.domain.errors import (
    InvalidAmount,
    InvalidInput,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
)
from booking_payments.domain.fees import FeeBreakdown, FeeOnRefund, FeePayer
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.texts import rfc3339_or_none

MAX_TIERS = 20
MAX_TIER_HOURS = 24 * 366


@frozen(kw_only=True)
class RefundTier:
    """Until ``hours_before`` hours before the event starts, ``percent`` (0 to 100) of the charge can be refunded."""

    hours_before: int = field()
    percent: Decimal = field()

    @hours_before.validator
    def _hours(self, _: object, hours: int) -> None:
        if not 0 <= hours <= MAX_TIER_HOURS:
            raise InvalidInput(f"hours_before must be between 0 and {MAX_TIER_HOURS}")

    @percent.validator
    def _percent(self, _: object, percent: Decimal) -> None:
        if not (percent.is_finite() and 0 <= percent <= 100):
            raise InvalidInput("percent must be between 0 and 100")


def _widest_first(tiers: Sequence[RefundTier]) -> tuple[RefundTier, ...]:
    return tuple(sorted(tiers, key=lambda tier: -tier.hours_before))


@frozen(kw_only=True)
class RefundPolicy:
    """Refund tiers, the earliest deadline first, and whether the fee is returned.

    Without tiers everything can be refunded until the event starts.
    """

    tiers: tuple[RefundTier, ...] = field(default=(), converter=_widest_first)
    fee: FeeOnRefund = FeeOnRefund.KEPT

    @tiers.validator
    def _distinct(self, _: object, tiers: tuple[RefundTier, ...]) -> None:
        if len(tiers) > MAX_TIERS or len({tier.hours_before for tier in tiers}) != len(tiers):
            raise InvalidInput(f"a refund policy has at most {MAX_TIERS} tiers, each with its own hours_before")

    def share_at(self, now: datetime, event_starts_at: datetime) -> tuple[Fraction, datetime]:
        """Return the share of the charge (0 to 1) that can be refunded at ``now``, and until when."""
        for share, deadline in self._steps(event_starts_at):
            if now < deadline:
                return share, deadline
        return Fraction(0 if self.tiers else 1), event_starts_at

    def shares_ahead(self, now: datetime, event_starts_at: datetime) -> tuple[tuple[Fraction, datetime], ...]:
        """Return the shares (above 0, at most 1) that can be refunded from ``now`` on, each with its deadline.

        The earliest deadline comes first. Empty when nothing can be refunded any more.
        """
        if now >= event_starts_at:
            return ()
        steps = self._steps(event_starts_at) or ((Fraction(1), event_starts_at),)
        return tuple((share, deadline) for share, deadline in steps if share and now < deadline)

    def _steps(self, event_starts_at: datetime) -> tuple[tuple[Fraction, datetime], ...]:
        return tuple(
            (Fraction(tier.percent) / 100, event_starts_at - timedelta(hours=tier.hours_before)) for tier in self.tiers
        )

    def to_dict(self) -> dict[str, Any]:
        """The policy as the HTTP API shows it; ``percent`` is decimal text."""
        tiers = [{"hours_before": tier.hours_before, "percent": f"{tier.percent.normalize():f}"} for tier in self.tiers]
        return {"tiers": tiers, "fee": self.fee.value}


class RefundReason(Enum):
    """The gateway's three reasons for a refund. ``fraudulent`` also blocks the card, so it is never a default."""

    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"

    @classmethod
    def read(cls, text: str) -> "tuple[RefundReason, str | None]":
        """Return the reason with this value and no note; other text becomes the note of the default reason."""
        try:
            return cls(text), None
        except ValueError:
            return cls.REQUESTED_BY_CUSTOMER, text


class QuoteReason(Enum):
    """Why a refund is possible or not: a stable ``code`` and a ``message`` for the customer."""

    REFUNDABLE = "refundable", "this amount can be refunded"
    ORGANIZER_CANCELED = "organizer_canceled", "the organizer canceled; everything is refunded"
    REFUND_OWED = "refund_owed", "a promised refund failed; this amount is still owed"
    OVERRIDDEN = "overridden", "the operator overrides the refund rules of this booking"
    NOT_PAID = "not_paid", "only a payment that succeeded can be refunded"
    NOT_CAPTURED = "not_captured", "the money was not captured yet; cancel the payment instead of refunding it"
    DISPUTED = "disputed", "the payment is disputed with the bank; it can't be refunded until that is settled"
    EVENT_STARTED = "event_started", "the event has started; the booking can no longer be refunded"
    BOOKING_CANCELED = (
        "booking_canceled",
        "this booking was canceled, which decided what goes back; only the organizer can give back more",
    )
    EVENT_MOVED = "event_moved", "the event was moved; everything is refunded to customers who ask for it in time"
    TOO_LATE = "too_late", "the refund policy of this booking allows no refund so close to the event"
    NOTHING_LEFT = "nothing_left", "everything refundable has been refunded"
    ITEMS_FREE = "items_free", "these items cost nothing, so nothing can go back; give them up by a cancel with items"
    REFUNDED_BY_ORGANIZER = (
        "refunded_by_organizer",
        "only the organizer gives refunds of this booking; please ask them",
    )
    EXCEEDS_REFUNDABLE = "exceeds_refundable", "the amount is larger than what can still be refunded"

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    @property
    def allows(self) -> bool:
        """True when a refund is possible."""
        return self in _ALLOWING

    @property
    def keeps_money(self) -> bool:
        """True when units that cost nothing may be given up although no refund is possible for this reason."""
        return self in _KEEPING_MONEY

    def error(self) -> PaymentError:
        """Return the error to raise for a refund that is refused for this reason."""
        if self in _NOT_POSSIBLE_NOW:
            return NotPossibleNow(self.message, code=self.code)
        return RefusedByRule(self.message, code=self.code)


_NOT_POSSIBLE_NOW = frozenset(
    {
        *(QuoteReason.NOT_PAID, QuoteReason.NOT_CAPTURED, QuoteReason.DISPUTED),
        QuoteReason.BOOKING_CANCELED,
    }
)

_ALLOWING = frozenset(
    {
        *(QuoteReason.REFUNDABLE, QuoteReason.ORGANIZER_CANCELED, QuoteReason.EVENT_MOVED),
        *(QuoteReason.REFUND_OWED, QuoteReason.OVERRIDDEN),
    }
)


_KEEPING_MONEY = frozenset(
    {
        *(QuoteReason.TOO_LATE, QuoteReason.NOTHING_LEFT, QuoteReason.REFUNDED_BY_ORGANIZER, QuoteReason.DISPUTED),
    }
)


class Deferral(Enum):
    """Why a promised refund cannot be sent now; the system sends it when the obstacle is gone."""

    DISPUTE = "dispute"
    INQUIRY = "inquiry"
    GATEWAY_UNAVAILABLE = "gateway_unavailable"


class CustomerRefunds(Enum):
    """Which refunds customers may request themselves: what the refund policy allows, or none."""

    POLICY = "policy"
    NONE = "none"


class RefundOnCancel(Enum):
    """What the cancellation of a booking refunds: nothing, what its policy allows, or everything."""

    NONE = "none"
    POLICY = "policy"
    FULL = "full"


@frozen(kw_only=True)
class RefundQuote:
    """The result that a refund would have now.

    Attributes:
        reason: why it is possible, or why not.
        amount: the amount for the customer; zero when refused.
        fee_refunded: the part of the fee that is returned with ``amount``.
        refundable_until: the last moment at which this holds; None when nothing is refundable.
        deferred_by: why the refund would be deferred; None when it would be sent at once.
        overrides: codes of the rules that an operator's ``override`` disregards, or would disregard.
    """

    reason: QuoteReason
    amount: Money
    fee_refunded: Money
    refundable_until: datetime | None
    deferred_by: Deferral | None = None
    overrides: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The quote as the HTTP API shows it."""
        return {
            "allowed": self.allowed,
            "amount": self.amount.major(),
            "currency": self.amount.currency.code,
            "fee_refunded": self.fee_refunded.major(),
            "refundable_until": rfc3339_or_none(self.refundable_until),
            "reason_code": self.reason.code,
            "deferred": self.deferred_by is not None,
            "overrides": list(self.overrides),
        }

    @property
    def allowed(self) -> bool:
        return self.reason.allows


@frozen(kw_only=True)
class GivenBack:
    """An amount that is refunded to the customer, and the part of the fee that is returned with it."""

    amount: Money
    fee: Money

    def __add__(self, other: "GivenBack") -> "GivenBack":
        return GivenBack(amount=self.amount + other.amount, fee=self.fee + other.fee)

    def __sub__(self, other: "GivenBack") -> "GivenBack":
        return GivenBack(amount=self.amount - other.amount, fee=self.fee - other.fee)

    def part(self, amount: Money) -> "GivenBack":
        """Return ``amount`` of this with its share of the fee (half-even); the whole amount has the whole fee."""
        if not self.amount or amount == self.amount:
            return GivenBack(amount=amount, fee=self.fee)
        return GivenBack(amount=amount, fee=self.fee.times(Fraction(amount.minor, self.amount.minor)))

    @classmethod
    def zero(cls, of: Money) -> "GivenBack":
        """Return zero amount and fee in the currency of ``of``."""
        return _NOTHING_GIVEN_BACK[of.currency]


_NOTHING_GIVEN_BACK: Final = {each: GivenBack(amount=Money.zero(each), fee=Money.zero(each)) for each in Currency}


@frozen(kw_only=True)
class Reduction:
    """The part of a charge that a booking no longer costs.

    Attributes:
        amount: the part that the tiers apply to.
        kept_fee: the part of a fee on top that is otherwise kept; it goes back where everything does.
    """

    amount: Money
    kept_fee: Money


def fee_within(fee: Money, amount: Money, payer: FeePayer) -> Money:
    """Return the part of ``fee`` that may be returned with ``amount``.

    A fee that the customer paid is a part of the amount. The organizer's fee is deducted from the organizer's share, so
    the last part of a refund may return more fee than its own amount.
    """
    return min(fee, amount) if payer is FeePayer.CUSTOMER or not amount else fee


def fee_by_refunds(promised: GivenBack, bank: Money, breakdown: FeeBreakdown) -> Money:
    """Return the part of the promised fee that refunds return.

    No fee is returned with an amount that the ``bank`` has withdrawn, so that a promise made before a dispute ends has
    the same result as one made after it.
    """
    return promised.fee if not bank else min(promised.fee, breakdown.fee_in(not_negative(promised.amount - bank)))


def not_negative(amount: Money) -> Money:
    """Return ``amount``, or zero when it is negative."""
    return amount if amount.minor >= 0 else Money.zero(amount.currency)


@frozen(kw_only=True)
class Refundable:
    """The values that decide about a refund of one payment.

    Attributes:
        breakdown: the captured charge and its fee.
        given: refunds that succeeded or are pending.
        deferred: promised refunds that wait to be sent by the system.
        promised: the total that the customer was promised back, by refunds or by their bank.
        taken: the amount that disputes have withdrawn for good.
        held: the amount held by all disputes, ``taken`` included.
        policy: the refund policy of the payment.
        event_starts_at: start of the booked event.
        beside: the part of ``promised`` that banks had withdrawn before; None: zero.
        settled: what operators settled without a refund: paid elsewhere, or waived; None: zero. It is not part of
            ``promised``.
        blocked: the gateway accepts no refund of the charge now.
        inquiry: an inquiry is open, so that the bank may still withdraw the whole charge.
        denied: why the payment's state allows no refund; None when it does.
        late: the payment succeeded for a closed booking: everything is refunded.
        amount_step: the gateway refunds multiples of this many minor units.
        grace_until: until then everything may go back, because the event was moved; None without such a time.
        reduced: the part of the charge that the booking no longer costs: it became cheaper, or items were given back.
        reduced_back: the part of ``reduced`` that was given back. The tiers apply to the rest of the charge.
        canceled: the booking was canceled. That decided what goes back, so only failed refunds are given again,
            whatever the tiers and ``grace_until`` say.
    """

    breakdown: FeeBreakdown
    given: GivenBack
    deferred: GivenBack
    promised: GivenBack
    taken: Money
    held: Money
    policy: RefundPolicy
    event_starts_at: datetime
    beside: Money | None = None
    settled: GivenBack | None = None
    blocked: bool = False
    inquiry: bool = False
    denied: QuoteReason | None = None
    late: bool = False
    amount_step: int = 1
    grace_until: datetime | None = None
    reduced: Money | None = None
    reduced_back: Money | None = None
    canceled: bool = False

    @cached_property
    def back(self) -> Money:
        """The amount that the customer has received back, in whatever way, or will receive without another request."""
        return self.given.amount + self.deferred.amount + self.taken + self._settled

    @cached_property
    def failed(self) -> GivenBack:
        """The promised amount that is neither sent nor deferred: its refund failed and has to be requested again."""
        if not self.promised.amount:
            return GivenBack.zero(self.promised.amount)
        bank = self.taken if self.beside is None else max(self.taken, self.beside)
        amount = not_negative(self.promised.amount - self.given.amount - self.deferred.amount - bank)
        fee = fee_by_refunds(self.promised, bank, self.breakdown)
        fee = not_negative(fee - self.given.fee - self.deferred.fee)
        return GivenBack(amount=amount, fee=fee_within(fee, amount, self.breakdown.payer))

    @cached_property
    def sendable(self) -> Money:
        """The largest amount that can be sent now within the captured amount, deferred refunds included."""
        return not_negative(self.breakdown.gross - self.given.amount - self.held)

    @cached_property
    def room(self) -> Money:
        """The largest new refund, in addition to the deferred ones and to what was settled without a refund."""
        return not_negative(self.breakdown.gross - self.given.amount - self.deferred.amount - self.held - self._settled)

    @property
    def is_exceeded(self) -> bool:
        """True when more was refunded or is held by disputes than was captured."""
        return self.given.amount + self.held > self.breakdown.gross

    @property
    def may_send_deferred(self) -> bool:
        """True when the gateway accepts refunds now and no open inquiry requires a partial refund to wait."""
        everything = self.deferred.amount >= self.sendable
        return not self.blocked and (everything or not self.inquiry)

    def quote(
        self,
        now: datetime,
        amount: Money | None,
        *,
        in_full: bool = False,
        override: bool = False,
        by_operator: bool = False,
        denied: QuoteReason | None = None,
    ) -> RefundQuote:
        """Return the result that refunding ``amount`` would have at ``now``.

        Args:
            amount: None for everything that can be refunded.
            in_full: the organizer cancels, and everything is refunded, including the fee.
            override: an operator disregards the tiers, the start of the event and, for a partial refund, an open
                inquiry.
            by_operator: an operator or the booking app asks: what a cancellation kept binds the customer only.
            denied: why this caller may not request refunds, which refuses what the rules allow; None when they may.

        Raises:
            InvalidAmount: the amount is zero or negative.
        """
        if amount is not None and amount.minor <= 0:
            raise InvalidAmount("the amount to refund must be more than zero")
        in_full = in_full or (self.in_grace(now) and not self.canceled)
        reason, allowed, until = self._allowed(now, in_full=in_full, override=override, by_operator=by_operator)
        left = min(allowed, self.room).rounded_down(self.amount_step)
        asked = left if amount is None else amount
        if reason.allows and (asked > left or not left):
            reason = self._beyond(asked, left, allowed)
        if reason.allows and denied is not None:
            reason = denied
        if not reason.allows:
            zero = Money.zero(asked.currency)
            return RefundQuote(reason=reason, amount=zero, fee_refunded=zero, refundable_until=None)
        return RefundQuote(
            reason=reason,
            amount=asked,
            fee_refunded=self._fee_of(asked, in_full=in_full, override=override),
            refundable_until=until,
            deferred_by=self.deferral_of(asked, override=override),
            overrides=self._overridden(now, asked) if override else (),
        )

    @property
    def is_whole(self) -> bool:
        """True when everything that is refundable before any tier applies was returned or promised.

        That is the charge, without a fee that the customer paid on top and that is kept, and without the part of a
        price reduction that was not given back.
        """
        most = (self._given_for_reductions + self.price_left).rounded_down(self.amount_step)
        return self.denied is None and max(self.promised.amount + self._settled, self.back) >= most

    def promised_on_cancel(self, now: datetime, *, in_full: bool) -> Money:
        """Return the total that the customer receives back, by refunds or by their bank, if the booking is canceled.

        ``now`` decides about the tier. What was settled without a refund is not part of it.
        """
        if self.denied is not None:
            return Money.zero(self.taken.currency)
        if in_full or self.late or self.in_grace(now):
            return not_negative(self.breakdown.gross - self._settled)
        reason, ceiling, _ = self._by_policy(now)
        return not_negative(ceiling - self._settled) if reason.allows else Money.zero(ceiling.currency)

    def added_on_cancel(self, now: datetime, *, in_full: bool) -> Money:
        """Return what a cancellation at ``now`` promises in addition to what is promised or has gone back already."""
        so_far = max(self.promised.amount, self.back - self._settled)
        return not_negative(self.promised_on_cancel(now, in_full=in_full) - so_far).rounded_down(self.amount_step)

    def in_grace(self, now: datetime) -> bool:
        """True while the customer may have everything back because the event was moved."""
        return self.grace_until is not None and now < self.grace_until and self.denied is None

    @property
    def price_left(self) -> Money:
        """The part of the charge that the tiers still apply to: without the reductions of the price."""
        return self._returnable() if self.reduced is None else not_negative(self._returnable() - self.reduced)

    def price_beyond(self, charged: FeeBreakdown) -> Money:
        """Return the part of ``price_left`` above what the tiers apply to of ``charged``, a lower charge; or zero."""
        return not_negative(self.price_left - self.returnable_of(charged))

    def returnable_of(self, charged: FeeBreakdown) -> Money:
        """Return the part of ``charged`` that the tiers apply to; a fee on top that is kept is left out."""
        return charged.net if self._keeps_customers_fee else charged.gross

    def for_reduction(self, now: datetime, reduction: Reduction, mode: RefundOnCancel) -> Money:
        """Return the amount that goes back for ``reduction``, by refunds or by the customer's bank.

        It is the tier's share of the reduction (in full also its part of the fee), and at most what the same mode gives
        back for the whole charge. Disputes do not change it: they decide when it is sent, and who pays it.
        """
        zero = Money.zero(self.taken.currency)
        in_full = mode is RefundOnCancel.FULL or self.in_grace(now)
        if mode is RefundOnCancel.NONE or self.denied is not None:
            return zero
        if in_full or self.late:
            part, ceiling = reduction.amount + reduction.kept_fee, self.breakdown.gross
        else:
            reason, ceiling, _ = self._by_policy(now)
            if not reason.allows:
                return zero
            share, _ = self.policy.share_at(now, self.event_starts_at)
            # Rounded down, not half-even: see decision 25.
            part = Money(int(reduction.amount.minor * share), reduction.amount.currency)
        most = not_negative(ceiling - self.by_refunds - self._settled)
        return min(part, most).rounded_down(self.amount_step)

    @property
    def by_refunds(self) -> Money:
        """The amount that refunds have returned, or return for a promise, disregarding what banks have withdrawn."""
        promised = self.promised.amount if self.beside is None else self.promised.amount - self.beside
        return max(promised, self.given.amount + self.deferred.amount)

    @property
    def _settled(self) -> Money:
        return Money.zero(self.taken.currency) if self.settled is None else self.settled.amount

    @property
    def _given_for_reductions(self) -> Money:
        return Money.zero(self.taken.currency) if self.reduced_back is None else self.reduced_back

    def remaining(self, now: datetime) -> Money:
        """Return the amount that can still be refunded at ``now``; zero when nothing can."""
        reason, allowed, _ = self._allowed(now)
        left = min(allowed, self.room).rounded_down(self.amount_step)
        return left if reason.allows else Money.zero(self.taken.currency)

    def deferral_of(self, amount: Money, *, override: bool = False) -> Deferral | None:
        """Return why a refund of ``amount`` cannot be sent now; None when it can.

        During an inquiry a refund of everything that is left is sent, since nothing more is withdrawn after a full
        refund. A partial refund waits for the end of the inquiry: the bank may still withdraw the whole charge
        (docs.stripe.com/disputes/how-disputes-work#inquiries).
        """
        if self.blocked:
            return Deferral.DISPUTE
        everything = amount + self.deferred.amount >= self.sendable
        return None if override or everything or not self.inquiry else Deferral.INQUIRY

    # --- the rules

    def _allowed(
        self, now: datetime, *, in_full: bool = False, override: bool = False, by_operator: bool = False
    ) -> tuple[QuoteReason, Money, datetime]:
        """Return the verdict of the rules, the largest amount that they allow, and until when.

        The limit and the requested amount are checked later.
        """
        gross, starts = self.breakdown.gross, self.event_starts_at
        if self.denied is not None:
            return self.denied, gross, starts
        failed = self.failed.amount
        if self.in_grace(now) and self.grace_until is not None and not self.canceled:
            return QuoteReason.EVENT_MOVED, not_negative(gross - self.back), self.grace_until
        if in_full or self.late:
            return QuoteReason.ORGANIZER_CANCELED, not_negative(gross - self.back), max(now, starts)
        if override:
            return QuoteReason.OVERRIDDEN, not_negative(gross - self.back), max(now, starts)
        if self.canceled and not by_operator:
            over = QuoteReason.BOOKING_CANCELED if self.back < gross else QuoteReason.NOTHING_LEFT
            return QuoteReason.REFUND_OWED if failed else over, failed, max(now, starts)
        reason, ceiling, until = self._by_policy(now)
        by_policy = not_negative(ceiling - self.back) if reason.allows else Money.zero(gross.currency)
        if failed and failed >= by_policy:
            return QuoteReason.REFUND_OWED, failed, max(now, starts)
        return reason, by_policy, until

    def _by_policy(self, now: datetime) -> tuple[QuoteReason, Money, datetime]:
        gross, starts = self.breakdown.gross, self.event_starts_at
        if now >= starts:
            return QuoteReason.EVENT_STARTED, gross, starts
        share, until = self.policy.share_at(now, starts)
        if not share:
            return QuoteReason.TOO_LATE, gross, starts
        return QuoteReason.REFUNDABLE, self._given_for_reductions + self.price_left.times(share), until

    def _returnable(self) -> Money:
        """Return the amount that the tiers apply to: without a fee that the customer paid on top and that is kept."""
        return self.returnable_of(self.breakdown)

    @property
    def _keeps_customers_fee(self) -> bool:
        return self.policy.fee is FeeOnRefund.KEPT and self.breakdown.payer is FeePayer.CUSTOMER

    def _beyond(self, asked: Money, left: Money, allowed: Money) -> QuoteReason:
        """Return why ``asked`` exceeds ``left``, when the rules allow ``allowed``."""
        with_open_disputes = self.room + self._held_by_open_disputes
        if self._held_by_open_disputes and asked <= min(allowed, with_open_disputes) and (asked or allowed):
            return QuoteReason.DISPUTED
        return QuoteReason.EXCEEDS_REFUNDABLE if left else QuoteReason.NOTHING_LEFT

    @property
    def _held_by_open_disputes(self) -> Money:
        return self.held - self.taken

    def _overridden(self, now: datetime, amount: Money) -> tuple[str, ...]:
        """Return the codes of the rules that refuse ``amount`` at ``now`` without an override."""
        reason, allowed, _ = self._allowed(now, by_operator=True)
        if not reason.allows:
            broken: tuple[str, ...] = (reason.code,)
        else:
            broken = ("tier",) if amount > allowed else ()
        waits = self.deferral_of(amount) is Deferral.INQUIRY
        return (*broken, Deferral.INQUIRY.value) if waits else broken

    # --- the fee

    def _fee_of(self, amount: Money, *, in_full: bool = False, override: bool = False) -> Money:
        """Return the part of the fee that is returned with ``amount``, at most the fee that is left.

        A failed refund returns the fee that was promised for it. The rest follows running totals, so that the parts add
        up to the fee exactly, whatever fails in between.
        """
        counted = self.given + self.deferred
        running = self.breakdown.fee_in(counted.amount + amount) - counted.fee
        if in_full or self.late:
            fee = running
        else:
            failed = self.failed.part(min(amount, self.failed.amount)).fee if self.failed.amount else None
            fee = failed or Money.zero(amount.currency)
            if self.policy.fee is FeeOnRefund.RETURNED and amount > self.failed.amount:
                fee = max(fee, running)
            if override and self._keeps_customers_fee:  # an amount above the net contains the customer's fee
                fee = max(fee, counted.amount + amount - self.breakdown.net - counted.fee)
        fee = min(not_negative(fee), not_negative(self.breakdown.fee - counted.fee))
        return fee_within(fee, amount, self.breakdown.payer)
