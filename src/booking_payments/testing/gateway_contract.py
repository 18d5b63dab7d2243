"""What every gateway adapter has to keep: the contract of ``ports.gateway`` as tests.

Subclass ``GatewayContract`` in a test module and give it a ``stage`` fixture: a gateway that speaks to a test account,
and the verbs that only its customer, bank and network have. Payment methods are Stripe's test ids; a gateway with
other methods maps them in its stage.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
)
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundReason
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway import Declined, Gateway, KeyMisused, NotThere, Refused

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Stage(Protocol):
    """A gateway, and the people around it."""

    @property
    def gateway(self) -> Gateway:
        """The adapter under test."""
        ...

    def new_key(self) -> str:
        """An idempotency key that was never used."""
        ...

    async def authenticate(self, intent: IntentReport, outcome: str) -> None:
        """The customer leaves the 3-D Secure window: ``succeeded`` or ``failed``."""
        ...

    async def wait(self, duration: timedelta) -> None:
        """Let time pass at the gateway."""
        ...


def usd(minor: int) -> Money:
    """An amount in cents."""
    return Money(minor, Currency.USD)


def creation(method: str | None = None, *, manual: bool = False, amount: int = 10000) -> CreateIntent:
    """An instruction to make an intent, charged at once when a method is given."""
    return CreateIntent(
        amount=usd(amount),
        capture_method=CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC,
        payment_method_id=method,
        confirm=method is not None,
        return_url=None,
        metadata={"booking_id": "bk_1", "payment_id": "pay_1", "booking_reference": "R-1"},
    )


def refund_of(intent: IntentReport, amount: int, refund_id: str = "rf_1") -> CreateRefund:
    """An instruction to give ``amount`` cents of an intent back."""
    return CreateRefund(
        intent_id=intent.id,
        refund_id=refund_id,
        amount=usd(amount),
        reason=RefundReason.REQUESTED_BY_CUSTOMER,
        metadata={"refund_id": refund_id},
    )


async def charged(stage: Stage, method: str = "pm_card_visa", *, manual: bool = False) -> IntentReport:
    """An intent that was charged with ``method``."""
    return await stage.gateway.create_intent(creation(method, manual=manual), stage.new_key())


async def declined_by(stage: Stage, call: Callable[[], Awaitable[object]]) -> Declined:
    """The decline that ``call`` ends with."""
    with pytest.raises(Declined) as declined:
        await call()
    return declined.value


class GatewayContract:
    """The tests."""

    async def test_a_new_intent_waits_for_a_payment_method(self, stage: Stage) -> None:
        intent = await stage.gateway.create_intent(creation(), stage.new_key())

        assert (intent.status, intent.amount) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, usd(10000))

    async def test_a_new_intent_carries_our_ids(self, stage: Stage) -> None:
        intent = await stage.gateway.create_intent(creation(), stage.new_key())

        assert intent.metadata["payment_id"] == "pay_1"

    async def test_a_new_intent_has_a_secret_for_the_front_end(self, stage: Stage) -> None:
        intent = await stage.gateway.create_intent(creation(), stage.new_key())

        assert intent.client_secret

    async def test_the_secret_does_not_show(self, stage: Stage) -> None:
        intent = await stage.gateway.create_intent(creation(), stage.new_key())

        assert str(intent.client_secret) not in repr(intent)

    async def test_a_good_card_is_charged_in_the_same_call(self, stage: Stage) -> None:
        intent = await charged(stage)

        assert (intent.status, intent.amount_received) == (PaymentStatus.SUCCEEDED, usd(10000))

    async def test_an_intent_is_confirmed_later(self, stage: Stage) -> None:
        made = await stage.gateway.create_intent(creation(), stage.new_key())
        instruction = ConfirmIntent(intent_id=made.id, payment_method_id="pm_card_visa", return_url=None)

        intent = await stage.gateway.confirm_intent(instruction, stage.new_key())

        assert intent.status is PaymentStatus.SUCCEEDED

    async def test_a_decline_says_why_and_leaves_the_intent(self, stage: Stage) -> None:
        declined = await declined_by(stage, lambda: charged(stage, "pm_card_visa_chargeDeclinedInsufficientFunds"))

        assert declined.failure.decline.decline_code == "insufficient_funds"
        assert declined.intent is not None
        assert declined.intent.status is PaymentStatus.REQUIRES_PAYMENT_METHOD

    async def test_a_declined_intent_tells_of_it_when_it_is_read(self, stage: Stage) -> None:
        declined = await declined_by(stage, lambda: charged(stage, "pm_card_visa_chargeDeclined"))
        assert declined.intent is not None

        intent = await stage.gateway.retrieve_intent(declined.intent.id)

        assert intent.failure is not None
        assert intent.failure.charge_id == declined.failure.charge_id

    async def test_three_d_secure_waits_for_the_customer(self, stage: Stage) -> None:
        intent = await charged(stage, "pm_card_authenticationRequired")

        assert (intent.status, intent.next_action is not None) == (PaymentStatus.REQUIRES_ACTION, True)

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [("succeeded", PaymentStatus.SUCCEEDED), ("failed", PaymentStatus.REQUIRES_PAYMENT_METHOD)],
    )
    async def test_the_customer_ends_three_d_secure(self, stage: Stage, outcome: str, status: PaymentStatus) -> None:
        intent = await charged(stage, "pm_card_authenticationRequired")
        await stage.authenticate(intent, outcome)

        assert (await stage.gateway.retrieve_intent(intent.id)).status is status

    async def test_held_money_is_captured_in_part(self, stage: Stage) -> None:
        held = await charged(stage, manual=True)
        instruction = CaptureIntent(intent_id=held.id, amount=usd(6000))

        intent = await stage.gateway.capture_intent(instruction, stage.new_key())

        assert (held.amount_capturable, intent.amount_received) == (usd(10000), usd(6000))

    async def test_held_money_is_released(self, stage: Stage) -> None:
        held = await charged(stage, manual=True)
        instruction = CancelIntent(intent_id=held.id, reason=CancellationReason.ABANDONED)

        intent = await stage.gateway.cancel_intent(instruction, stage.new_key())

        assert intent.status is PaymentStatus.CANCELED

    async def test_a_paid_intent_is_not_canceled(self, stage: Stage) -> None:
        paid = await charged(stage)
        instruction = CancelIntent(intent_id=paid.id, reason=CancellationReason.ABANDONED)

        with pytest.raises(Refused) as refused:
            await stage.gateway.cancel_intent(instruction, stage.new_key())

        assert refused.value.code == "payment_intent_unexpected_state"

    async def test_an_unknown_method_is_refused_by_its_own_code(self, stage: Stage) -> None:
        with pytest.raises(Refused) as refused:
            await charged(stage, "pm_nobody_has_this")

        assert refused.value.code == "payment_method_unknown"

    async def test_an_unknown_intent_is_not_there(self, stage: Stage) -> None:
        with pytest.raises(NotThere):
            await stage.gateway.retrieve_intent("pi_nobody_has_this")

    async def test_the_same_key_has_one_effect(self, stage: Stage) -> None:
        key = stage.new_key()
        first = await stage.gateway.create_intent(creation("pm_card_visa"), key)
        again = await stage.gateway.create_intent(creation("pm_card_visa"), key)

        assert (again.id, again.replayed, first.replayed) == (first.id, True, False)

    async def test_the_same_key_for_something_else_is_an_alarm(self, stage: Stage) -> None:
        key = stage.new_key()
        await stage.gateway.create_intent(creation(amount=10000), key)

        with pytest.raises(KeyMisused):
            await stage.gateway.create_intent(creation(amount=20000), key)

    async def test_a_refund_gives_money_back(self, stage: Stage) -> None:
        intent = await charged(stage)

        refund = await stage.gateway.create_refund(refund_of(intent, 2500), stage.new_key())

        assert (refund.status, refund.amount, refund.intent_id) == (RefundStatus.SUCCEEDED, usd(2500), intent.id)

    async def test_refunds_are_listed_oldest_first(self, stage: Stage) -> None:
        intent = await charged(stage)
        await stage.gateway.create_refund(refund_of(intent, 2500, "rf_1"), stage.new_key())
        await stage.gateway.create_refund(refund_of(intent, 1000, "rf_2"), stage.new_key())

        refunds = await stage.gateway.list_refunds(intent.id)

        assert [refund.metadata["refund_id"] for refund in refunds] == ["rf_1", "rf_2"]

    async def test_a_refund_beyond_the_charge_is_refused(self, stage: Stage) -> None:
        intent = await charged(stage)

        with pytest.raises(Refused) as refused:
            await stage.gateway.create_refund(refund_of(intent, 10001), stage.new_key())

        assert refused.value.code == "refund_exceeds_charge"

    async def test_a_second_whole_refund_is_refused(self, stage: Stage) -> None:
        intent = await charged(stage)
        await stage.gateway.create_refund(refund_of(intent, 10000), stage.new_key())

        with pytest.raises(Refused) as refused:
            await stage.gateway.create_refund(refund_of(intent, 10000), stage.new_key())

        assert refused.value.code == "charge_already_refunded"

    async def test_a_refund_may_stay_pending_for_a_while(self, stage: Stage) -> None:
        intent = await charged(stage, "pm_card_pendingRefund")
        refund = await stage.gateway.create_refund(refund_of(intent, 10000), stage.new_key())
        await stage.wait(timedelta(seconds=5))

        later = await stage.gateway.retrieve_refund(refund.id)

        assert (refund.status, later.status) == (RefundStatus.PENDING, RefundStatus.SUCCEEDED)

    async def test_a_dispute_withdraws_the_money(self, stage: Stage) -> None:
        intent = await charged(stage, "pm_card_createDispute")

        dispute = (await stage.gateway.list_disputes(intent.id))[0]

        assert (dispute.status, dispute.withdrawn) == (DisputeStatus.NEEDS_RESPONSE, usd(10000))
        assert (await stage.gateway.retrieve_dispute(dispute.id)).id == dispute.id

    async def test_an_inquiry_withdraws_nothing(self, stage: Stage) -> None:
        intent = await charged(stage, "pm_card_createDisputeInquiry")

        dispute = (await stage.gateway.list_disputes(intent.id))[0]

        assert (dispute.status, dispute.withdrawn) == (DisputeStatus.WARNING_NEEDS_RESPONSE, usd(0))

    async def test_intents_can_be_listed_since_a_time(self, stage: Stage) -> None:
        first = await charged(stage)
        second = await charged(stage)

        listed = [intent.id for intent in await stage.gateway.list_intents(LONG_AGO)]

        assert listed.index(first.id) < listed.index(second.id)

    async def test_events_can_be_read_back(self, stage: Stage) -> None:
        intent = await charged(stage)

        events = await stage.gateway.list_events(LONG_AGO)

        assert "payment_intent.succeeded" in [event.type for event in events if event.intent_id == intent.id]

    def test_an_amount_under_the_minimum_is_named_before_any_call(self, stage: Stage) -> None:
        with pytest.raises(RefusedByRule) as refused:
            stage.gateway.check_charge(usd(49))

        assert refused.value.code == "amount_too_small"
