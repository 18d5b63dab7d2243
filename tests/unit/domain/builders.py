"""Builders of bookings, reports and payments for tests: 100.00 usd, an event in thirty days, noon of 1 June 2026."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from attrs import evolve

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.declines import Decline
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Operation
from booking_payments.domain.refunds import RefundPolicy, RefundReason
from booking_payments.domain.reports import DisputeReport, Failure, IntentReport, RefundReport
from booking_payments.testing.payment_builder import PaymentBuilder

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STARTS = NOW + timedelta(days=30)
TICK = timedelta(microseconds=1)
EXPONENTS = {0: Currency.JPY, 2: Currency.USD, 3: Currency.KWD}


def usd(text: str) -> Money:
    return Money.parse(text, Currency.USD, allow_negative=True)


def eur(text: str) -> Money:
    return Money.parse(text, Currency.EUR, allow_negative=True)


PRICE = usd("100.00")


def a_booking(**changes: Any) -> Booking:
    usual = Booking(
        id="bk_1",
        reference="ref-1",
        customer_id="ann",
        amount=PRICE,
        event_starts_at=STARTS,
        expires_at=NOW + timedelta(days=1),
        created_at=NOW - timedelta(hours=1),
    )
    return evolve(usual, **changes)


def a_start(booking: Booking | None = None, **changes: Any) -> ev.PaymentStarted:
    terms: dict[str, Any] = {
        "payment_id": "pay_1",
        "now": NOW,
        "fee_policy": FeePolicy(rate=Decimal("0.03")),
        "refund_policy": RefundPolicy(),
        "capture_method": CaptureMethod.AUTOMATIC,
        "max_attempts": 3,
        "gateway": "stripe",
        "amount_step": 1,
    }
    return decide.start(booking or a_booking(), **{**terms, **changes})


def a_decline(code: str = "card_declined", decline_code: str | None = "generic_decline", **more: Any) -> Decline:
    return Decline(code=code, message="The bank's own words.", decline_code=decline_code, **more)


def a_failure(charge: str | None = "ch_1", method: str | None = "pm_1", decline: Decline | None = None) -> Failure:
    return Failure(decline=decline or a_decline(), charge_id=charge, payment_method_id=method)


def an_intent(status: PaymentStatus | None, amount: Money = PRICE, **changes: Any) -> IntentReport:
    zero = Money.zero(amount.currency)
    usual = IntentReport(
        id="pi_1",
        status=status,
        amount=amount,
        amount_received=amount if status is PaymentStatus.SUCCEEDED else zero,
        amount_capturable=amount if status is PaymentStatus.REQUIRES_CAPTURE else zero,
        charge_id="ch_1" if status in (PaymentStatus.SUCCEEDED, PaymentStatus.REQUIRES_CAPTURE) else None,
        payment_method_id="pm_1",
    )
    return evolve(usual, **changes)


def a_refund(
    status: RefundStatus | None, amount: str = "100.00", *, amount_money: Money | None = None, **changes: Any
) -> RefundReport:
    """A refund of ``amount`` usd, or of ``amount_money``."""
    money = amount_money or usd(amount)
    usual = RefundReport(id="re_1", intent_id="pi_1", charge_id="ch_1", amount=money, status=status)
    return evolve(usual, **changes)


def movements(*amounts: str, currency: str = "usd", rate: str | None = None) -> tuple[DisputeMovement, ...]:
    """Transactions of a dispute over these signed amounts, oldest first, in a settlement currency of two decimals."""
    exchange_rate = Decimal(rate) if rate else None
    return tuple(
        DisputeMovement(amount=int(Decimal(amount) * 100), currency=currency, exchange_rate=exchange_rate)
        for amount in amounts
    )


def a_dispute(status: DisputeStatus, withdrawn: str = "0.00", **changes: Any) -> DisputeReport:
    """Return a dispute that has withdrawn ``withdrawn``: a debit of the whole amount, and a credit of the rest."""
    usual = DisputeReport(
        id="du_1", intent_id="pi_1", charge_id="ch_1", amount=PRICE, status=status, reason="fraudulent"
    )
    report = evolve(usual, **changes)
    if "movements" in changes or not usd(withdrawn):
        return report
    back = (report.amount - usd(withdrawn)).major()
    return evolve(report, movements=movements(f"-{report.amount.major()}", *([back] if Decimal(back) else [])))


def new_ids() -> decide.NewIds:
    """Return makers of sequential ids: ``rf_new_1``, ``key_new_1``, and so on."""
    refunds, keys = count(1), count(1)
    return decide.NewIds(refund_id=lambda: f"rf_new_{next(refunds)}", idempotency_key=lambda: f"key_new_{next(keys)}")


def a_request(amount: Money | None = None, **changes: Any) -> decide.RefundParameters:
    usual = decide.RefundParameters(
        amount=amount, reason=RefundReason.REQUESTED_BY_CUSTOMER, note=None, made_at=NOW, by="ann"
    )
    return evolve(usual, **changes)


class DecidedPayment(PaymentBuilder):
    """A payment that is built step by step; each method records the events that the domain decided and returns them."""

    def __init__(self, booking: Booking | None = None) -> None:
        super().__init__(at=NOW, actor="system", cause="a test")
        self.booking = booking or a_booking()

    @property
    def operation(self) -> Operation:
        operation = self.payment.operation
        assert operation is not None
        return operation

    def happens(self, *events: ev.Event, at: datetime | None = None) -> decide.Events:
        """Record the events and return them."""
        self.happen(*events, at=at)
        return events

    def charges(self, key: str = "key_1", method: str | None = "pm_1") -> decide.Events:
        if self.payment.intent_id is None:
            how = decide.intend_create(
                self.payment, idempotency_key=key, payment_method_id=method, confirm=True, return_url=None
            )
        else:
            how = decide.intend_confirm(self.payment, idempotency_key=key, payment_method_id=method, return_url=None)
        return self.happens(*how)

    def sees(self, report: IntentReport, *, alone: bool = True) -> decide.Events:
        return self.happens(*decide.observe_intent(self.payment, report, self.booking, alone=alone))

    def sees_refund(self, report: RefundReport) -> decide.Events:
        return self.happens(*decide.observe_refund(self.payment, report))

    def sees_dispute(self, report: DisputeReport) -> decide.Events:
        return self.happens(*decide.observe_dispute(self.payment, report))

    def settles(self, refusal: str | None = None) -> decide.Events:
        return self.happens(*decide.settle(self.payment, self.operation, refusal=refusal))

    def is_declined(self, number: int = 1, method: str = "pm_1", decline: Decline | None = None) -> None:
        """Make one server attempt that is declined."""
        self.charges(key=f"key_{number}", method=method)
        failure = a_failure(charge=f"ch_no_{number}", method=method, decline=decline)
        self.sees(an_intent(PaymentStatus.REQUIRES_PAYMENT_METHOD, failure=failure))
        self.settles()

    def refunds(
        self, amount: str | None = None, *, refund_id: str = "rf_1", key: str = "key_rf_1", **changes: Any
    ) -> decide.Events:
        """Request a refund; ``changes`` are fields of the request."""
        ids = decide.NewIds(refund_id=lambda: refund_id, idempotency_key=lambda: key)
        request = a_request(usd(amount) if amount else None, **changes)
        return self.happens(*decide.request_refund(self.payment, request, ids))


def a_payment(booking: Booking | None = None, **terms: Any) -> DecidedPayment:
    """Return a payment that has just started."""
    builder = DecidedPayment(booking)
    builder.happens(a_start(builder.booking, **terms))
    return builder


def a_paid_payment(**terms: Any) -> DecidedPayment:
    """Return a payment that was charged by the server, at once, for the whole price."""
    builder = a_payment(**terms)
    builder.charges()
    builder.sees(an_intent(PaymentStatus.SUCCEEDED))
    builder.settles()
    return builder


def an_authorized_payment(**terms: Any) -> DecidedPayment:
    """Return a payment with manual capture and held money."""
    builder = a_payment(capture_method=CaptureMethod.MANUAL, **terms)
    builder.charges()
    builder.sees(an_intent(PaymentStatus.REQUIRES_CAPTURE))
    builder.settles()
    return builder


def a_refunded_payment(status: RefundStatus = RefundStatus.SUCCEEDED, amount: str | None = None) -> DecidedPayment:
    """Return a paid payment with one refund in ``status``."""
    builder = a_paid_payment()
    builder.refunds(amount)
    builder.sees_refund(a_refund(status, amount or "100.00", metadata={"refund_id": "rf_1"}))
    builder.settles()
    return builder


def kinds(events: decide.Events) -> list[str]:
    """Return the names of the event types, in order."""
    return [type(event).__name__ for event in events]
