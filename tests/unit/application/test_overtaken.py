"""State changes during a gateway call or read: reports older than the stored state change nothing, an overdue call
is not sent, and a refund is identified by its id.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway, due_deliveries
from booking_payments.application.payments import BookingPayments
from booking_payments.application.resolve import resolve_payment
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import book_and_pay, paid_booking, payment_of

Callback = Callable[[], Awaitable[None]]


class OvertakenLater(FakeGateway):
    """A gateway that runs ``act`` once, after a refund was made, an intent was read or disputes were listed, and before
    the response arrives.
    """

    def __init__(self, kit: PaymentsTestKit, *, after: str, act: Callback) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._after, self._act = after, act

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        report = await super().create_refund(instruction, idempotency_key)
        await self._overtake("refund")
        return report

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        report = await super().retrieve_intent(intent_id)
        await self._overtake("read")
        return report

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        reports = await super().list_disputes(intent_id)
        await self._overtake("look")
        return reports

    async def _overtake(self, after: str) -> None:
        if after == self._after:
            self._after = ""
            await self._act()


def _failing(kit: PaymentsTestKit) -> Callback:
    """The bank returns the newest refund, and the failure is recorded."""

    async def act() -> None:
        refunds: Any = kit.stripe.call("GET", "/v1/refunds", {}).body["data"]
        assert kit.stripe.fail_refund(refunds[0]["id"]).ok
        await kit.deliver_webhooks()

    return act


def _is_failed_without_doubt(payment: Payment) -> None:
    assert [each.status for each in payment.refunds] == [RefundStatus.FAILED]
    assert payment.drifts == ()


async def test_a_response_older_than_a_webhook_is_read_again(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit)
    gateway = OvertakenLater(kit, after="refund", act=_failing(kit))
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=gateway))

    await payments.refund_payment(booking.id, ANN, amount="20.00")

    _is_failed_without_doubt(await payment_of(kit, booking))


async def test_a_read_for_a_webhook_is_repeated_when_the_state_has_changed_meanwhile(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit)
    await kit.deliver_webhooks()
    payment = await payment_of(kit, booking)
    made = kit.stripe.refund_in_dashboard(payment.intent_id or "", 2000).body
    gateway = OvertakenLater(kit, after="look", act=_failing(kit))
    overtaken = PaymentsTestKit(storage=kit.storage)
    overtaken.clock, overtaken.stripe = kit.clock, kit.stripe
    overtaken.payments = BookingPayments(attrs.evolve(kit.deps, gateway=gateway))

    await overtaken.deliver_event("refund.updated", made)

    _is_failed_without_doubt(await payment_of(kit, booking))


async def test_a_poll_that_is_older_than_a_webhook_changes_nothing(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit)
    payment = (await kit.payments.refund_payment(booking.id, ANN, amount="20.00")).payment
    await kit.deliver_webhooks()
    gateway = OvertakenLater(kit, after="look", act=_failing(kit))

    await resolve_payment(attrs.evolve(kit.deps, gateway=gateway), payment.id)

    _is_failed_without_doubt(await payment_of(kit, booking))


async def test_a_poll_is_repeated_when_a_webhook_has_changed_the_open_payment_meanwhile(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_authenticationRequired")
    await kit.deliver_webhooks()
    kit.authenticate(view, "succeeded")
    versions = []

    async def charge_seen() -> None:
        bodies = [body for _, _, body in due_deliveries(kit.stripe)]
        (charge,) = [body for body in bodies if json.loads(body)["type"] == "charge.succeeded"]
        await kit.deliver(charge)
        versions.append((await payment_of(kit, view)).version)

    gateway = OvertakenLater(kit, after="read", act=charge_seen)
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=gateway))

    polled = await payments.poll_payment(view.payment.booking_id, ANN)

    assert polled.payment.status is PaymentStatus.SUCCEEDED
    assert versions > [view.payment.version]


async def test_a_refund_whose_process_was_suspended_for_a_day_is_not_sent(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = await paid_booking(kit)
    transact = kit.storage.transact

    async def slow(*args: Any, **kwargs: Any) -> Any:
        result = await transact(*args, **kwargs)
        if (await payment_of(kit, booking)).operation is not None:
            kit.clock.advance(timedelta(hours=24))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(kit.storage, "transact", slow)
        with pytest.raises(OutcomeUnknown):
            await kit.payments.refund_payment(booking.id, ANN, amount="20.00")

    assert [call for call in kit.stripe.calls if call.path == "/v1/refunds" and call.method == "POST"] == []


async def test_an_unknown_refund_is_not_confused_with_another_of_the_same_amount(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit)
    await kit.deliver_webhooks()
    payment = await payment_of(kit, booking)
    assert kit.stripe.refund_in_dashboard(payment.intent_id or "", 2000).ok
    await kit.deliver_webhooks()
    kit.stripe.faults.script("POST /v1/refunds", "reset_before", times=3)

    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking.id, ANN, amount="20.00")
    await kit.settle()

    payment = await payment_of(kit, booking)
    assert [(each.status, each.amount.minor) for each in payment.refunds] == [(RefundStatus.SUCCEEDED, 2000)] * 2
    assert payment.operation is None
