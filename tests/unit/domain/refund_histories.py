"""Histories of a paid payment for property tests: refunds, cancellations and disputes in any order.

``RefundHistory`` performs steps as the application does, and checks the invariants after every event.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Literal

from attrs import frozen
from hypothesis import strategies as st

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.errors import InvalidAmount, NotPossibleNow, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import DeferredRefund, Payment, Refund, evolve
from booking_payments.domain.refunds import RefundPolicy, RefundTier, not_negative
from tests.unit.domain.builders import (
    NOW,
    STARTS,
    DecidedPayment,
    a_booking,
    a_dispute,
    a_refund,
    a_request,
    a_start,
    an_intent,
)

End = Literal["succeeded", "pending", "failed", "refused", "never_sent", "charge_disputed", "in flight"]
ENDS: tuple[End, ...] = ("succeeded", "pending", "failed", "refused", "never_sent", "charge_disputed")
HALF = RefundTier(hours_before=1, percent=Decimal(50))


@frozen(kw_only=True)
class ChargeConfig:
    """The charge and its configuration."""

    currency: Currency = Currency.USD
    price: int = 10_000
    payer: FeePayer = FeePayer.ORGANIZER
    fee: FeeOnRefund = FeeOnRefund.KEPT
    rate: Decimal = Decimal("0.03")
    tiers: tuple[RefundTier, ...] = ()
    step: int = 1


class RefundHistory(DecidedPayment):
    """A payment that succeeded in time, with refunds and disputes."""

    def __init__(self, config: ChargeConfig | None = None, *, late: bool = False) -> None:
        self.config = config or ChargeConfig()
        super().__init__(a_booking(amount=Money(self.config.price, self.config.currency)))
        self._folded: Payment | None = None
        self.now: datetime = NOW
        self.sent: list[str] = []
        """Our ids of all refunds that were sent, in order."""
        self._numbers = count(1)
        self.ids = decide.NewIds(
            refund_id=lambda: f"rf_{next(self._numbers)}", idempotency_key=lambda: f"key_rf_{next(self._numbers)}"
        )
        started = a_start(
            self.booking,
            fee_policy=FeePolicy(rate=self.config.rate, payer=self.config.payer),
            refund_policy=RefundPolicy(tiers=self.config.tiers, fee=self.config.fee),
            gateway="stripe",
            amount_step=self.config.step,
        )
        self.happens(started)
        self.charges()
        self.sees(an_intent(PaymentStatus.SUCCEEDED, self.payment.amount), alone=not late)
        self.settles()

    @property
    def payment(self) -> Payment:
        """The payment that results from the journal, folded once."""
        for recorded in self.journal[self._folded.version if self._folded else 0 :]:
            self._folded = evolve(self._folded, recorded)
        assert self._folded is not None
        return self._folded

    def money(self, minor: int) -> Money:
        return Money(minor, self.config.currency)

    # --- what must hold after every event

    def happens(self, *events: ev.Event, at: datetime | None = None) -> decide.Events:
        for event in events:
            if isinstance(event, ev.RefundRequested):
                assert self.payment.refund(event.refund_id) is None, f"{event.refund_id} is sent twice"
            super().happens(event, at=at or self.now)
            if isinstance(event, ev.RefundRequested):
                self.sent.append(event.refund_id)
                self._keeps_the_bound(event)
            self._holds_together(self.payment)
        return events

    def _keeps_the_bound(self, event: ev.RefundRequested) -> None:
        payment = self.payment
        left = payment.given_back.amount + payment.held_by_disputes
        assert event.amount.minor > 0
        assert event.amount.minor % self.config.step == 0
        assert left <= payment.captured, f"{event} makes it {left} of {payment.captured}"

    def _holds_together(self, payment: Payment) -> None:
        nothing, fee = self.money(0), payment.breakdown.fee
        of_customer = payment.breakdown.payer is FeePayer.CUSTOMER
        both: list[Refund | DeferredRefund] = [*payment.refunds, *payment.deferred]
        for each in both:
            assert nothing <= each.fee_refunded <= fee
            assert not of_customer or each.fee_refunded <= each.amount
        assert nothing <= payment.fee_returned <= fee
        assert payment.fee_returned + payment.owed.fee <= fee
        assert nothing <= payment.promised.amount <= payment.captured
        assert nothing <= payment.promised.fee <= fee
        gone = payment.given_back.amount + max(payment.taken_by_disputes, payment.beside)
        assert payment.owed.amount == not_negative(payment.promised.amount - gone)
        assert nothing <= payment.owed_waiting <= payment.owed.amount
        assert payment.refundable.deferred.amount <= payment.owed.amount

    # --- refunds

    def asks(self, minor: int | None = None, end: End = "succeeded", **changes: Any) -> str | None:
        """Request a refund and end its call; returns the error's code if the request is refused."""
        amount = None if minor is None else self.money(minor)
        try:
            request = a_request(amount, **{"made_at": self.now, **changes})
            self.happens(*decide.request_refund(self.payment, request, self.ids))
        except (NotPossibleNow, RefusedByRule, InvalidAmount) as refused:
            return refused.code
        self.ends(end)
        return None

    def cancels(self, *, in_full: bool, end: End = "succeeded") -> decide.Events:
        """Cancel the booking (again), with a refund by its policy or in full."""
        again = any(isinstance(recorded.event, ev.BookingReleased) for recorded in self.journal)
        if not again:
            self.happens(ev.BookingReleased(status="canceled"))
        request = a_request(by=None, made_at=self.now)
        busy = self.payment.operation is not None
        events = decide.promise_on_cancel(self.payment, request, self.ids, in_full=in_full, again=again)
        self.happens(*events)
        if not busy:
            self.ends(end)
        return events

    def ends(self, end: End, *, unknown: bool = False) -> None:
        """End the call in flight; unless it is refused, send deferred refunds afterwards."""
        if self.payment.operation is None or end == "in flight":
            return
        operation = self.operation
        if unknown:
            self.happens(ev.OutcomeLeftUnknown(idempotency_key=operation.idempotency_key, reason="timeout"))
        if end in ("refused", "never_sent", "charge_disputed"):
            refusal = "no" if end == "refused" else end
            if unknown:  # a process without knowledge of the sending continues the operation
                self.happens(*decide.watch(self.payment, operation, refusal))
            self.happens(*decide.settle(self.payment, operation, refusal=refusal))
            return
        refund = next(r for r in self.payment.refunds if r.idempotency_key == operation.idempotency_key)
        self.reports(refund.id, RefundStatus(end))
        self.happens(*decide.settle(self.payment, self.operation))
        self.sends()

    def reports(self, refund_id: str, status: RefundStatus) -> None:
        """Let the gateway report a refund."""
        refund = self.payment.refund(refund_id)
        assert refund is not None
        ours = {"refund_id": refund_id} if refund.origin is ev.Origin.SERVER else {}
        name = refund.gateway_refund_id or f"re_{refund_id}"
        report = a_refund(status, id=name, metadata=ours, amount_money=refund.amount)
        self.happens(*decide.observe_refund(self.payment, report))

    def fails_late(self, number: int = 0) -> None:
        """Let the bank return the refund with this number, of those that did not fail."""
        alive = [r for r in self.payment.refunds if not r.status.is_lost and r.gateway_refund_id]
        if alive and self.payment.operation is None:
            self.reports(alive[number % len(alive)].id, RefundStatus.FAILED)
            self.sends()

    def sends(self, end: End = "succeeded") -> None:
        """Send deferred refunds as far as possible."""
        while events := decide.send_deferred(self.payment, self.ids, None):
            self.happens(*events)
            if self.payment.operation is not None:
                self.ends(end)

    def stops_watching(self) -> None:
        """Let a complete walk find nothing of the abandoned calls a day later."""
        ends = [decide.watched_until(lost) for lost in self.payment.lost]
        if ends:
            self.happens(*decide.end_watch(self.payment, max(ends)))

    def gives_back_elsewhere(self, minor: int) -> None:
        """Make a refund in the gateway's dashboard."""
        name = f"re_dashboard_{next(self._numbers)}"
        report = a_refund(RefundStatus.SUCCEEDED, id=name, amount_money=self.money(minor))
        self.happens(*decide.observe_refund(self.payment, report))
        self.sends()

    def settles_debt(self, minor: int) -> None:
        """Let an operator pay a part of the owed amount elsewhere."""
        if self.payment.operation is None and self.payment.owed.amount:
            part = min(self.money(minor), self.payment.owed.amount)
            self.happens(*decide.settle_debt(self.payment, part, ev.Settlement.PAID_ELSEWHERE, "cash"))
            self.sends()

    # --- the bank

    def bank(
        self,
        status: DisputeStatus,
        minor: int | None = None,
        moved: Sequence[int] = (),
        *,
        name: str = "du_1",
        refundable: bool | None = None,
    ) -> None:
        """Set a dispute over the amount (None: everything) to ``status``.

        ``moved`` are transactions in percent of the amount.
        """
        amount = self.payment.captured if minor is None else self.money(minor)
        movements = tuple(
            DisputeMovement(amount=amount.minor * percent // 100, currency=self.config.currency.code)
            for percent in moved
        )
        report = a_dispute(status, id=name, amount=amount, movements=movements, charge_refundable=refundable)
        self.happens(*decide.observe_dispute(self.payment, report))
        self.happens(*decide.paid_out_beyond(self.payment))
        if self.payment.operation is None:
            self.sends()

    def starts(self) -> None:
        """Let the event start."""
        self.now = max(self.now, STARTS) + timedelta(minutes=1)

    # --- numbers

    @property
    def numbers(self) -> dict[str, str]:
        """The amounts of the payment."""
        payment = self.payment
        return {
            "refunded": payment.refunded.major(),
            "fee": payment.fee_returned.major(),
            "taken": payment.taken_by_disputes.major(),
            "owed": payment.owed.amount.major(),
            "owed_fee": payment.owed.fee.major(),
        }


# --- random ones ---------------------------------------------------------------------------------------------------

CURRENCIES = st.sampled_from([Currency.USD, Currency.JPY, Currency.KWD])
CONFIGS = st.builds(
    lambda currency, price, payer, fee, rate, tiers: ChargeConfig(
        currency=currency,
        price=price * (10 if currency is Currency.KWD else 1),
        payer=payer,
        fee=fee,
        rate=rate,
        tiers=tiers,
        step=10 if currency is Currency.KWD else 1,
    ),
    CURRENCIES,
    st.integers(2, 20_000),
    st.sampled_from(FeePayer),
    st.sampled_from(FeeOnRefund),
    st.sampled_from([Decimal("0.03"), Decimal("0.005"), Decimal("0.0333"), Decimal("0.4")]),
    st.sampled_from([(), (HALF,)]),
)
"""Prices in usd, jpy and kwd; the gateway takes kwd in multiples of ten."""

ASK = st.tuples(st.just("ask"), st.none() | st.integers(1, 1100), st.sampled_from(ENDS), st.booleans(), st.booleans())
CANCEL = st.tuples(st.just("cancel"), st.booleans(), st.sampled_from(ENDS))
FAIL = st.tuples(st.just("fail"), st.integers(0, 5))
BANK = st.tuples(
    st.just("bank"),
    st.sampled_from(DisputeStatus),
    st.sampled_from([200, 500, 1000]),
    st.sampled_from([(), (-100,), (-100, 100), (-100, 30), (-100, 100, -100)]),
    st.sampled_from(["du_1", "du_2"]),
    st.sampled_from([None, None, True, False]),
)
START = st.tuples(st.just("start"))
DASHBOARD = st.tuples(st.just("dashboard"), st.integers(1, 1000))
SETTLE = st.tuples(st.just("settle"), st.integers(1, 1000))
ANYTHING = st.lists(ASK | CANCEL | FAIL | BANK | START | DASHBOARD | SETTLE, max_size=8)


def tell(history: RefundHistory, steps: Sequence[tuple[Any, ...]]) -> None:
    """Perform the steps that are possible. Amounts are thousandths of the captured amount."""
    for name, *how in steps:
        if name == "ask":
            share, end, override, unknown = how
            _ask(history, share, end, override=override, unknown=unknown)
        elif name == "cancel":
            history.cancels(in_full=how[0], end=how[1])
        elif name == "fail":
            history.fails_late(how[0])
        elif name == "bank":
            status, share, moved, name, refundable = how
            history.bank(status, _share(history, share), moved, name=name, refundable=refundable)
        elif name == "start":
            history.starts()
        elif name == "dashboard":
            history.gives_back_elsewhere(_share(history, how[0]))
        elif name == "settle":
            history.settles_debt(_share(history, how[0]))


def _ask(history: RefundHistory, share: int | None, end: End, *, override: bool, unknown: bool) -> None:
    minor = None if share is None else _share(history, share)
    if history.asks(minor, "in flight", override=override) is None:
        history.ends(end, unknown=unknown)


def _share(history: RefundHistory, thousandths: int) -> int:
    step = history.config.step
    return max(history.payment.captured.minor * thousandths // 1000 // step, 1) * step
