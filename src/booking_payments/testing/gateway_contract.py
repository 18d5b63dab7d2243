"""What every gateway adapter has to keep: the contract of ``ports.gateway`` as tests.

Subclass ``GatewayContract`` in a test module and give it a ``harness`` fixture: a gateway with a test account, and
what customers and banks do there. A gateway that takes cards subclasses ``CardGatewayContract``, which
is the same and what cards bring with them: declines, 3-D Secure, holds, disputes. Its payment methods are Stripe's test
ids; a gateway with other methods maps them in its harness.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from attrs import evolve

from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundReason
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway import Declined, Gateway, GatewayRefused, KeyMisused, ObjectNotFound
from booking_payments.ports.webhooks import GatewayEvent, WebhookReader, WebhookRefused, WebhookRequest

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOBODY_HAS_THIS = "nobody_has_this"


def _as_kept(event: GatewayEvent) -> GatewayEvent:
    """The event without what lets its holder go on with the payment: that is not kept."""
    return evolve(event, intent=evolve(event.intent, client_secret=None, next_action=None)) if event.intent else event


class GatewayHarness(Protocol):
    """A gateway under test, and what its customers do."""

    @property
    def gateway(self) -> Gateway:
        """The adapter under test."""
        ...

    @property
    def webhooks(self) -> WebhookReader:
        """What reads its events."""
        ...

    def new_key(self) -> str:
        """An idempotency key that was never used."""
        ...

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        """Make the intent, and have the customer pay it."""
        ...

    async def end_refund(self, refund_id: str) -> None:
        """Return when a refund that is being sent has been sent."""
        ...


class CardGatewayHarness(GatewayHarness, Protocol):
    """A gateway that takes cards, and what its customers and their banks do."""

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


async def unpaid(harness: GatewayHarness) -> IntentReport:
    """Return an unpaid intent."""
    return await harness.gateway.create_intent(creation(), harness.new_key())


async def charged(harness: GatewayHarness, method: str = "pm_card_visa", *, manual: bool = False) -> IntentReport:
    """An intent that was charged with ``method``."""
    return await harness.gateway.create_intent(creation(method, manual=manual), harness.new_key())


async def declined_by(harness: GatewayHarness, call: Callable[[], Awaitable[object]]) -> Declined:
    """The decline that ``call`` ends with."""
    with pytest.raises(Declined) as declined:
        await call()
    return declined.value


def by_card(instruction: CreateIntent, method: str = "pm_card_visa") -> CreateIntent:
    """The same instruction, charged at once."""
    return evolve(instruction, payment_method_id=method, confirm=True)


def abandoning(intent: IntentReport) -> CancelIntent:
    """An instruction to give the intent up."""
    return CancelIntent(intent_id=intent.id, reason=CancellationReason.ABANDONED)


class GatewayContract:
    """What holds for every gateway, however the money comes."""

    async def test_an_unpaid_intent_gets_another_amount_or_the_gateway_refuses_and_cancels_it(
        self, harness: GatewayHarness
    ) -> None:
        intent, update = await unpaid(harness), usd(8000)

        try:
            changed = await harness.gateway.update_intent(
                UpdateIntent(intent_id=intent.id, amount=update), harness.new_key()
            )
        except GatewayRefused:
            canceled = await harness.gateway.cancel_intent(abandoning(intent), harness.new_key())
            assert (canceled.status, canceled.amount) == (PaymentStatus.CANCELED, usd(10000))
        else:
            read = await harness.gateway.retrieve_intent(intent.id)
            assert (changed.amount, read.amount) == (update, update)

    async def test_other_texts_of_an_unpaid_intent_change_neither_its_amount_nor_its_state(
        self, harness: GatewayHarness
    ) -> None:
        intent = await unpaid(harness)
        update = UpdateIntent(intent_id=intent.id, description="Another evening", receipt_email="")

        changed = await harness.gateway.update_intent(update, harness.new_key())

        assert (changed.id, changed.amount, changed.status) == (intent.id, intent.amount, intent.status)

    async def test_a_paid_intent_keeps_its_amount(self, harness: GatewayHarness) -> None:
        paid = await harness.pay(creation())
        update = UpdateIntent(intent_id=paid.id, amount=usd(8000))

        with pytest.raises(GatewayRefused):
            await harness.gateway.update_intent(update, harness.new_key())

        assert (await harness.gateway.retrieve_intent(paid.id)).amount == usd(10000)

    async def test_a_new_intent_waits_for_a_payment_method(self, harness: GatewayHarness) -> None:
        intent = await unpaid(harness)

        assert (intent.status, intent.amount) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, usd(10000))

    async def test_a_new_intent_carries_our_ids(self, harness: GatewayHarness) -> None:
        intent = await unpaid(harness)

        assert intent.metadata["payment_id"] == "pay_1"

    async def test_an_intent_is_read_as_it_was_answered(self, harness: GatewayHarness) -> None:
        intent = await unpaid(harness)

        assert await harness.gateway.retrieve_intent(intent.id) == intent

    async def test_a_paid_intent_has_its_money(self, harness: GatewayHarness) -> None:
        paid = await harness.pay(creation())

        intent = await harness.gateway.retrieve_intent(paid.id)

        assert (intent.status, intent.amount_received) == (PaymentStatus.SUCCEEDED, usd(10000))

    async def test_an_open_intent_is_canceled(self, harness: GatewayHarness) -> None:
        intent = await unpaid(harness)

        canceled = await harness.gateway.cancel_intent(abandoning(intent), harness.new_key())

        assert (canceled.id, canceled.status) == (intent.id, PaymentStatus.CANCELED)

    async def test_the_same_key_cancels_once_and_says_so(self, harness: GatewayHarness) -> None:
        intent, key = await unpaid(harness), harness.new_key()

        first = await harness.gateway.cancel_intent(abandoning(intent), key)
        again = await harness.gateway.cancel_intent(abandoning(intent), key)

        assert (again.status, again.replayed, first.replayed) == (PaymentStatus.CANCELED, True, False)

    async def test_a_paid_intent_is_not_canceled(self, harness: GatewayHarness) -> None:
        paid = await harness.pay(creation())

        with pytest.raises(GatewayRefused) as refused:
            await harness.gateway.cancel_intent(abandoning(paid), harness.new_key())

        assert refused.value.code == "payment_intent_unexpected_state"

    async def test_an_intent_in_a_final_state_is_not_charged_again(self, harness: GatewayHarness) -> None:
        paid = await harness.pay(creation())
        canceled = await harness.gateway.cancel_intent(abandoning(await unpaid(harness)), harness.new_key())

        for intent in (paid, canceled):
            before = await harness.gateway.retrieve_intent(intent.id)
            again = ConfirmIntent(intent_id=intent.id, payment_method_id=None, return_url=None)
            with pytest.raises(GatewayRefused) as refused:
                await harness.gateway.confirm_intent(again, harness.new_key())
            assert refused.value.code == "payment_intent_unexpected_state"
            assert await harness.gateway.retrieve_intent(intent.id) == before

    async def test_an_unknown_method_is_refused_by_its_own_code(self, harness: GatewayHarness) -> None:
        with pytest.raises(GatewayRefused) as refused:
            await charged(harness, "pm_nobody_has_this")

        assert refused.value.code == "payment_method_unknown"

    async def test_an_unknown_intent_is_not_there(self, harness: GatewayHarness) -> None:
        with pytest.raises(ObjectNotFound):
            await harness.gateway.retrieve_intent(f"pi_{NOBODY_HAS_THIS}")

    async def test_the_same_key_has_one_effect(self, harness: GatewayHarness) -> None:
        key = harness.new_key()
        first = await harness.gateway.create_intent(creation(), key)
        again = await harness.gateway.create_intent(creation(), key)

        assert (again.id, again.replayed, first.replayed) == (first.id, True, False)
        assert [intent.id for intent in await harness.gateway.list_intents(LONG_AGO)].count(first.id) == 1

    async def test_the_same_key_for_something_else_is_an_alarm(self, harness: GatewayHarness) -> None:
        key = harness.new_key()
        await harness.gateway.create_intent(creation(amount=10000), key)

        with pytest.raises(KeyMisused):
            await harness.gateway.create_intent(creation(amount=20000), key)

    async def test_a_refund_gives_money_back(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())

        refund = await harness.gateway.create_refund(refund_of(intent, 2500), harness.new_key())
        await harness.end_refund(refund.id)

        ended = await harness.gateway.retrieve_refund(refund.id)
        assert (ended.status, ended.amount, ended.intent_id) == (RefundStatus.SUCCEEDED, usd(2500), intent.id)

    async def test_the_same_key_gives_back_once(self, harness: GatewayHarness) -> None:
        intent, key = await harness.pay(creation()), harness.new_key()

        first = await harness.gateway.create_refund(refund_of(intent, 2500), key)
        again = await harness.gateway.create_refund(refund_of(intent, 2500), key)

        assert (again.id, again.replayed) == (first.id, True)
        assert [refund.id for refund in await harness.gateway.list_refunds(intent.id)] == [first.id]

    async def test_refunds_are_listed_oldest_first(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())
        await harness.gateway.create_refund(refund_of(intent, 2500, "rf_1"), harness.new_key())
        await harness.gateway.create_refund(refund_of(intent, 1000, "rf_2"), harness.new_key())

        of_intent = await harness.gateway.list_refunds(intent.id)
        of_all = [refund for refund in await harness.gateway.list_refunds_made(LONG_AGO) if refund in of_intent]

        assert [refund.metadata["refund_id"] for refund in of_intent] == ["rf_1", "rf_2"]
        assert of_all == list(of_intent)

    async def test_a_refund_beyond_the_charge_is_refused(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())

        with pytest.raises(GatewayRefused) as refused:
            await harness.gateway.create_refund(refund_of(intent, 10001), harness.new_key())

        assert refused.value.code == "refund_exceeds_charge"

    async def test_a_second_whole_refund_is_refused(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())
        await harness.gateway.create_refund(refund_of(intent, 10000), harness.new_key())

        with pytest.raises(GatewayRefused) as refused:
            await harness.gateway.create_refund(refund_of(intent, 10000), harness.new_key())

        assert refused.value.code == "charge_already_refunded"

    async def test_an_unknown_refund_is_not_there(self, harness: GatewayHarness) -> None:
        with pytest.raises(ObjectNotFound):
            await harness.gateway.retrieve_refund(f"re_{NOBODY_HAS_THIS}")

    async def test_an_unknown_dispute_is_not_there(self, harness: GatewayHarness) -> None:
        with pytest.raises(ObjectNotFound):
            await harness.gateway.retrieve_dispute(f"dp_{NOBODY_HAS_THIS}")

    async def test_a_charge_without_a_dispute_has_none_in_the_list(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())

        assert list(await harness.gateway.list_disputes(intent.id)) == []

    async def test_the_balance_is_by_currency_or_the_gateway_has_none(self, harness: GatewayHarness) -> None:
        await harness.pay(creation())

        balance = await harness.gateway.available_balance()

        assert balance is None or all(amount.currency is currency for currency, amount in balance.items())

    async def test_intents_can_be_listed_since_a_time(self, harness: GatewayHarness) -> None:
        first = await unpaid(harness)
        second = await unpaid(harness)

        listed = [intent.id for intent in await harness.gateway.list_intents(LONG_AGO)]

        assert listed.index(first.id) < listed.index(second.id)

    async def test_a_list_ends_before_its_end(self, harness: GatewayHarness) -> None:
        intent = await unpaid(harness)

        listed = [each.id for each in await harness.gateway.list_intents(LONG_AGO, LONG_AGO + timedelta(days=1))]

        assert intent.id not in listed

    async def test_events_can_be_read_back(self, harness: GatewayHarness) -> None:
        intent = await harness.pay(creation())

        events = await harness.gateway.list_events(LONG_AGO)

        assert "payment_intent.succeeded" in [event.type for event in events if event.intent_id == intent.id]

    async def test_an_event_that_is_kept_is_read_again(self, harness: GatewayHarness) -> None:
        await harness.pay(creation())

        for event in await harness.gateway.list_events(LONG_AGO):
            assert harness.webhooks.read_again(event.body) == _as_kept(event)

    async def test_an_unsigned_event_is_refused(self, harness: GatewayHarness) -> None:
        await harness.pay(creation())
        event = (await harness.gateway.list_events(LONG_AGO))[-1]

        for headers in ({}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=1,v1=00"}):
            request = WebhookRequest(body=event.body.encode(), headers=headers, received_at=datetime.now(UTC))
            with pytest.raises(WebhookRefused):
                await harness.webhooks.read(request)

    def test_a_kept_body_that_is_no_event_is_refused(self, harness: GatewayHarness) -> None:
        for body in ("", "[]", "{}", "nothing of the kind"):
            with pytest.raises(WebhookRefused):
                harness.webhooks.read_again(body)

    def test_an_amount_of_one_step_can_be_expressed(self, harness: GatewayHarness) -> None:
        step = harness.gateway.amount_step(Currency.USD)

        harness.gateway.check_amount(usd(step))

        assert step >= 1


class CardGatewayContract(GatewayContract):
    """What holds besides where the money comes from cards."""

    async def test_money_that_is_available_at_once_is_in_the_balance(self, harness: CardGatewayHarness) -> None:
        before = dict(await harness.gateway.available_balance() or {})

        await harness.gateway.create_intent(creation("pm_card_bypassPending"), harness.new_key())

        after = dict(await harness.gateway.available_balance() or {})
        assert any(amount.minor > before.get(currency, usd(0)).minor for currency, amount in after.items())

    async def test_a_new_intent_has_a_secret_for_the_front_end(self, harness: CardGatewayHarness) -> None:
        intent = await harness.gateway.create_intent(creation(), harness.new_key())

        assert intent.client_secret

    async def test_the_secret_does_not_show(self, harness: CardGatewayHarness) -> None:
        intent = await harness.gateway.create_intent(creation(), harness.new_key())

        assert str(intent.client_secret) not in repr(intent)

    async def test_a_good_card_is_charged_in_the_same_call(self, harness: CardGatewayHarness) -> None:
        intent = await charged(harness)

        assert (intent.status, intent.amount_received) == (PaymentStatus.SUCCEEDED, usd(10000))

    async def test_an_intent_is_confirmed_later(self, harness: CardGatewayHarness) -> None:
        made = await harness.gateway.create_intent(creation(), harness.new_key())
        instruction = ConfirmIntent(intent_id=made.id, payment_method_id="pm_card_visa", return_url=None)

        intent = await harness.gateway.confirm_intent(instruction, harness.new_key())

        assert intent.status is PaymentStatus.SUCCEEDED

    async def test_an_intent_is_charged_with_the_method_that_it_was_given_last(
        self, harness: CardGatewayHarness
    ) -> None:
        made = await harness.gateway.create_intent(creation(), harness.new_key())
        for method in ("pm_card_chargeDeclined", "pm_card_mastercard"):
            update = UpdateIntent(intent_id=made.id, payment_method_id=method)
            given = await harness.gateway.update_intent(update, harness.new_key())

        confirm = ConfirmIntent(intent_id=made.id, payment_method_id=None, return_url=None)
        paid = await harness.gateway.confirm_intent(confirm, harness.new_key())

        assert (given.status, paid.status) == (PaymentStatus.REQUIRES_CONFIRMATION, PaymentStatus.SUCCEEDED)
        assert paid.payment_method_id == given.payment_method_id

    async def test_a_paid_intent_takes_no_other_method(self, harness: CardGatewayHarness) -> None:
        paid = await charged(harness)
        update = UpdateIntent(intent_id=paid.id, payment_method_id="pm_card_mastercard")

        with pytest.raises(GatewayRefused) as refused:
            await harness.gateway.update_intent(update, harness.new_key())

        assert refused.value.code == "payment_intent_unexpected_state"

    async def test_while_the_customer_is_to_act_another_method_is_charged_or_refused_for_the_state(
        self, harness: CardGatewayHarness
    ) -> None:
        waiting = await charged(harness, "pm_card_authenticationRequired")
        update = UpdateIntent(intent_id=waiting.id, payment_method_id="pm_card_visa")
        confirm = ConfirmIntent(intent_id=waiting.id, payment_method_id="pm_card_visa", return_url=None)

        refusal = None
        try:
            await harness.gateway.update_intent(update, harness.new_key())
            intent = await harness.gateway.confirm_intent(confirm, harness.new_key())
        except GatewayRefused as refused:
            refusal = refused.code
            intent = await harness.gateway.cancel_intent(abandoning(waiting), harness.new_key())

        assert (refusal, intent.status) in (
            (None, PaymentStatus.SUCCEEDED),
            ("payment_intent_unexpected_state", PaymentStatus.CANCELED),
        )

    async def test_a_confirmation_while_the_customer_is_to_act_charges_or_is_refused_for_the_state(
        self, harness: CardGatewayHarness
    ) -> None:
        waiting = await charged(harness, "pm_card_authenticationRequired")
        confirm = ConfirmIntent(intent_id=waiting.id, payment_method_id="pm_card_visa", return_url=None)

        refusal = None
        try:
            status = (await harness.gateway.confirm_intent(confirm, harness.new_key())).status
        except GatewayRefused as refused:
            refusal = refused.code
            status = (await harness.gateway.retrieve_intent(waiting.id)).status

        assert (refusal, status) in (
            (None, PaymentStatus.SUCCEEDED),
            ("payment_intent_unexpected_state", PaymentStatus.REQUIRES_ACTION),
        )

    async def test_a_decline_says_why_and_leaves_the_intent(self, harness: CardGatewayHarness) -> None:
        declined = await declined_by(harness, lambda: charged(harness, "pm_card_visa_chargeDeclinedInsufficientFunds"))

        assert declined.failure.decline.decline_code == "insufficient_funds"
        assert declined.intent is not None
        assert declined.intent.status is PaymentStatus.REQUIRES_PAYMENT_METHOD

    async def test_a_declined_intent_shows_its_decline_when_it_is_read(self, harness: CardGatewayHarness) -> None:
        declined = await declined_by(harness, lambda: charged(harness, "pm_card_visa_chargeDeclined"))
        assert declined.intent is not None

        intent = await harness.gateway.retrieve_intent(declined.intent.id)

        assert intent.failure is not None
        assert intent.failure.charge_id == declined.failure.charge_id

    async def test_three_d_secure_waits_for_the_customer(self, harness: CardGatewayHarness) -> None:
        intent = await charged(harness, "pm_card_authenticationRequired")

        assert (intent.status, intent.next_action is not None) == (PaymentStatus.REQUIRES_ACTION, True)

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [("succeeded", PaymentStatus.SUCCEEDED), ("failed", PaymentStatus.REQUIRES_PAYMENT_METHOD)],
    )
    async def test_the_customer_ends_three_d_secure(
        self, harness: CardGatewayHarness, outcome: str, status: PaymentStatus
    ) -> None:
        intent = await charged(harness, "pm_card_authenticationRequired")
        await harness.authenticate(intent, outcome)

        assert (await harness.gateway.retrieve_intent(intent.id)).status is status

    async def test_held_money_is_captured_in_part(self, harness: CardGatewayHarness) -> None:
        held = await charged(harness, manual=True)
        instruction = CaptureIntent(intent_id=held.id, amount=usd(6000))

        intent = await harness.gateway.capture_intent(instruction, harness.new_key())

        assert (held.amount_capturable, intent.amount_received) == (usd(10000), usd(6000))

    async def test_an_authorization_is_released(self, harness: CardGatewayHarness) -> None:
        held = await charged(harness, manual=True)

        intent = await harness.gateway.cancel_intent(abandoning(held), harness.new_key())

        assert intent.status is PaymentStatus.CANCELED

    async def test_a_refund_may_stay_pending_for_a_while(self, harness: CardGatewayHarness) -> None:
        intent = await charged(harness, "pm_card_pendingRefund")
        refund = await harness.gateway.create_refund(refund_of(intent, 10000), harness.new_key())
        await harness.wait(timedelta(seconds=5))

        later = await harness.gateway.retrieve_refund(refund.id)

        assert (refund.status, later.status) == (RefundStatus.PENDING, RefundStatus.SUCCEEDED)

    async def test_a_dispute_withdraws_the_money(self, harness: CardGatewayHarness) -> None:
        intent = await charged(harness, "pm_card_createDispute")

        dispute = (await harness.gateway.list_disputes(intent.id))[0]

        assert (dispute.status, [each.amount for each in dispute.movements]) == (DisputeStatus.NEEDS_RESPONSE, [-10000])
        assert (await harness.gateway.retrieve_dispute(dispute.id)).id == dispute.id

    async def test_an_inquiry_withdraws_nothing(self, harness: CardGatewayHarness) -> None:
        intent = await charged(harness, "pm_card_createDisputeInquiry")

        dispute = (await harness.gateway.list_disputes(intent.id))[0]

        assert (dispute.status, dispute.movements) == (DisputeStatus.WARNING_NEEDS_RESPONSE, ())

    def test_an_amount_under_the_minimum_is_named_before_any_call(self, harness: CardGatewayHarness) -> None:
        with pytest.raises(RefusedByRule) as refused:
            harness.gateway.check_charge(usd(49))

        assert refused.value.code == "amount_too_small"
