"""Currencies with an amount step: every amount that this package computes is a multiple that the gateway accepts."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import GatewayRefusedUs, PaymentError, RefundRefused, RefusedByRule
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import QuoteReason, RefundPolicy, RefundTier
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.nightly import NIGHTLY
from tests.payments import paid_booking, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

REPEATABLE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=6 if NIGHTLY else 3,
    phases=(Phase.explicit, Phase.generate),
)
"""Hypothesis does not shrink here: a failure in every currency would take minutes."""
TAKEN = sorted(amounts.SUPPORTED & {currency.code for currency in Currency})


def _one_of_each_kind() -> list[str]:
    """The first currency of each kind: decimal places, amount step, and bounds of a charge."""
    kinds: dict[tuple[int, ...], str] = {}
    for code in TAKEN:
        bounds = (amounts.minimum(code), amounts.maximum(code))
        kinds.setdefault((Currency.of(code).exponent, amounts.MULTIPLES.get(code, 1), *bounds), code)
    return sorted(kinds.values())


TRIED = TAKEN if NIGHTLY else _one_of_each_kind()
COARSE = ["bhd", "jod", "kwd", "mga", "omr", "tnd"]
SHARES = st.decimals(0, 100, places=2)
EMPTY = GatewayRefused("the balance does not cover it", code="balance_insufficient")
A_MONTH = timedelta(days=31)


def _half() -> RefundPolicy:
    return _policy(Decimal(50))


def _policy(percent: Decimal) -> RefundPolicy:
    return RefundPolicy(tiers=(RefundTier(hours_before=48, percent=percent),))


def _charges(code: str, up_to: Fraction = Fraction(1)) -> st.SearchStrategy[Money]:
    """All chargeable amounts in this currency, up to this fraction of the largest."""
    multiple, currency = amounts.MULTIPLES.get(code, 1), Currency.of(code)
    most = int(amounts.maximum(code) * up_to)
    return st.integers(-(-amounts.minimum(code) // multiple), most // multiple).map(
        lambda count: Money(amounts.from_stripe(count * multiple, currency.exponent, code), currency)
    )


async def _paid_amount(kit: PaymentsTestKit, amount: Money, policy: RefundPolicy) -> Booking:
    return await paid_booking(kit, amount=amount.major(), currency=amount.currency, refund_policy=policy)


def _refuse_refunds(kit: PaymentsTestKit, errors: Sequence[Exception]) -> None:
    use_gateway(kit, FailingGateway(kit, create_refund=errors))


def kwd(text: str) -> Money:
    return Money.parse(text, Currency.KWD)


# --- refunds by policy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", TRIED)
@REPEATABLE
@given(st.data())
def test_the_quoted_amount_is_refunded_in_every_currency(code: str, data: st.DataObject) -> None:
    amount, share = data.draw(_charges(code)), data.draw(SHARES)

    async def scenario() -> None:
        kit = PaymentsTestKit()
        booking = await _paid_amount(kit, amount, _policy(share))

        quote = await kit.payments.quote_refund(booking.id)

        kit.deps.gateway.check_amount(quote.amount)
        assert quote.amount <= amount
        if quote.allowed:
            view = await kit.payments.refund_payment(booking.id, ANN)
            assert (view.refund.amount, view.refund.status) == (quote.amount, RefundStatus.SUCCEEDED)
        assert (await payment_of(kit, booking)).refunded == quote.amount

    asyncio.run(scenario())


@pytest.mark.parametrize("code", COARSE)
@REPEATABLE
@given(st.data())
def test_after_a_partial_refund_the_remainder_can_be_refunded(code: str, data: st.DataObject) -> None:
    amount, share, part = data.draw(_charges(code)), data.draw(SHARES), data.draw(SHARES)

    async def scenario() -> None:
        kit = PaymentsTestKit()
        booking = await _paid_amount(kit, amount, _policy(share))
        whole = (await kit.payments.quote_refund(booking.id)).amount
        some = whole.times(part / 100).rounded_down(kit.deps.gateway.amount_step(amount.currency))

        for asked in (some or None, None):
            if (await kit.payments.quote_refund(booking.id, amount=asked)).allowed:
                await kit.payments.refund_payment(booking.id, ANN, amount=asked)

        assert (await payment_of(kit, booking)).refunded == whole

    asyncio.run(scenario())


@pytest.mark.parametrize("code", COARSE)
@REPEATABLE
@given(st.data())
def test_a_cancellation_by_the_organizer_refunds_the_full_amount(code: str, data: st.DataObject) -> None:
    amount, share = data.draw(_charges(code)), data.draw(SHARES)

    async def scenario() -> None:
        kit = PaymentsTestKit()
        booking = await _paid_amount(kit, amount, _policy(share))
        if (await kit.payments.quote_refund(booking.id)).allowed:
            await kit.payments.refund_payment(booking.id, ANN)
        before = await payment_of(kit, booking)

        await kit.payments.cancel_booking(booking.id, refund=RefundOnCancel.FULL)

        payment = await payment_of(kit, booking)
        # A customer's refund of everything keeps the fee and ends the booking, so the organizer has nothing to cancel.
        fee = before.fee_returned if before.refunded == amount else payment.breakdown.fee
        assert (payment.refunded, payment.fee_returned) == (amount, fee)

    asyncio.run(scenario())


async def test_a_full_refund_before_the_organizer_cancels_keeps_the_fee() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, Money.parse("138.270", Currency.JOD), _policy(Decimal(100)))
    await kit.payments.refund_payment(booking.id, ANN)

    await kit.payments.cancel_booking(booking.id, refund=RefundOnCancel.FULL)

    payment = await payment_of(kit, booking)
    assert (payment.refunded, payment.fee_returned.minor) == (payment.breakdown.gross, 0)


async def test_a_policy_refund_is_rounded_down_to_the_amount_step() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("5.130"), _half())

    quote = await kit.payments.quote_refund(booking.id)

    assert (quote.reason, quote.amount) == (QuoteReason.REFUNDABLE, kwd("2.560"))


async def test_a_cancellation_by_policy_refunds_the_rounded_share() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("5.130"), _half())

    canceled = await kit.payments.cancel_booking(booking.id, refund=RefundOnCancel.POLICY)

    assert (canceled.status, (await payment_of(kit, booking)).refunded) == (BookingStatus.CANCELED, kwd("2.560"))


async def test_the_refundable_amount_is_a_multiple_of_the_amount_step() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("5.130"), _half())

    view = await kit.payments.refund_payment(booking.id, ANN, amount="1.000")

    assert view.payment.refundable.remaining(kit.clock.now()) == kwd("1.560")


async def test_a_share_below_one_amount_step_is_not_refunded() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("0.010"), _half())

    quote = await kit.payments.quote_refund(booking.id)

    assert (quote.allowed, quote.reason, quote.amount) == (False, QuoteReason.NOTHING_LEFT, kwd("0.000"))


async def test_an_amount_between_two_steps_is_refused_and_nothing_is_stored() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("5.130"), _half())

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking.id, OPERATOR, amount="2.555")

    assert (refusal.value.code, (await payment_of(kit, booking)).refunds) == ("amount_not_chargeable", ())


async def test_a_late_payment_is_refunded_in_full() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book("5.130", currency=Currency.KWD, refund_policy=_half())
    view = await kit.payments.start_payment(booking.id, ANN)
    use_gateway(kit, FailingGateway(kit, cancel_intent=[EMPTY] * 2))
    for _ in range(2):
        with suppress(PaymentError):
            await kit.payments.cancel_booking(booking.id)
    client_action = view.client_action
    assert client_action is not None
    kit.stripe.confirm_as_customer(view.payment.intent_id or "", client_action.client_secret or "", "pm_card_visa")

    await kit.settle()

    payment = await payment_of(kit, booking)
    assert (payment.late, payment.refunded) == (True, kwd("5.130"))


async def test_a_canceled_booking_owes_the_quoted_amount() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_amount(kit, kwd("5.130"), _half())
    _refuse_refunds(kit, [EMPTY])
    with pytest.raises(RefundRefused):
        await kit.payments.cancel_booking(booking.id)
    kit.clock.advance(A_MONTH)

    quote = await kit.payments.quote_refund(booking.id)
    await kit.payments.cancel_booking(booking.id)

    assert (quote.reason, quote.amount) == (QuoteReason.REFUND_OWED, kwd("2.560"))
    assert (await payment_of(kit, booking)).refunded == kwd("2.560")


# --- a fee on top ----------------------------------------------------------------------------------------------

FEES = st.builds(
    FeePolicy,
    rate=st.decimals(0, Decimal("0.2"), places=4),
    fixed=st.none() | st.decimals(0, 3, places=3),
    payer=st.just(FeePayer.CUSTOMER),
)


@pytest.mark.parametrize("code", TRIED)
@REPEATABLE
@given(st.data())
def test_every_accepted_price_can_be_paid_with_the_fee_on_top(code: str, data: st.DataObject) -> None:
    amount, fees = data.draw(_charges(code, up_to=Fraction(1, 2))), data.draw(FEES)

    async def scenario() -> None:
        kit = PaymentsTestKit(config=PaymentConfig(fees=fees))
        booking = await kit.book(amount.major(), currency=amount.currency)
        shown = await kit.payments.checkout(booking.id, ANN)
        await kit.payments.process_booking_payment(booking, "pm_card_visa")

        payment = await payment_of(kit, booking)

        assert (payment.status, payment.drifts) == (PaymentStatus.SUCCEEDED, ())
        assert payment.captured == shown.price.gross == payment.breakdown.fee + amount

    asyncio.run(scenario())


async def test_an_authorization_with_a_fee_on_top_can_be_captured_in_part() -> None:
    kit = PaymentsTestKit(
        config=PaymentConfig(fees=FeePolicy(payer=FeePayer.CUSTOMER), capture_method=CaptureMethod.MANUAL)
    )
    booking = await paid_booking(kit, amount="5.130", currency=Currency.KWD)

    view = await kit.payments.capture_payment(booking.id, OPERATOR, amount="2.640")

    assert (view.payment.amount, view.payment.breakdown.fee, view.payment.drifts) == (kwd("2.640"), kwd("0.075"), ())


# --- safeguard -------------------------------------------------------------------------------------------------


class Unaware(FakeGateway):
    """A gateway with an amount step that the domain does not know."""

    def amount_step(self, currency: Currency) -> int:
        return 1


async def _paid_to_the_unaware(kit: PaymentsTestKit) -> Booking:
    use_gateway(kit, Unaware(kit.stripe, kit.clock))
    return await _paid_amount(kit, kwd("5.130"), _half())


async def test_a_refund_that_the_gateway_cannot_express_fails() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_to_the_unaware(kit)

    with pytest.raises(GatewayRefusedUs):
        await kit.payments.refund_payment(booking.id, ANN)

    payment = await payment_of(kit, booking)
    assert (payment.operation, payment.refund_pending) == (None, kwd("0.000"))
    assert [(each.status, each.failure_reason) for each in payment.refunds] == [
        (RefundStatus.FAILED, "amount_not_chargeable")
    ]


async def test_after_a_refund_that_cannot_be_expressed_another_amount_can_be_refunded() -> None:
    kit = PaymentsTestKit()
    booking = await _paid_to_the_unaware(kit)
    with pytest.raises(RefundRefused):
        await kit.payments.cancel_booking(booking.id)

    await kit.payments.refund_payment(booking.id, OPERATOR, amount="2.560")

    assert (await payment_of(kit, booking)).refunded == kwd("2.560")
