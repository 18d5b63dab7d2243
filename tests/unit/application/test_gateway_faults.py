"""Errors of the gateway that are rare, and the worse for it."""

from collections.abc import Sequence
from datetime import timedelta

import attrs
import pytest

from booking_payments.application.dependencies import LONGEST_TRY
from booking_payments.application.payments import BookingPayments
from booking_payments.application.webhooks import WebhookFailed
from booking_payments.domain.errors import GatewayRefusedUs, OutcomeUnknown, TryAgainLater
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import DisputeReport
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.gateway import GatewayRefused, KeyMisused, Misconfigured, NotSent, OutcomeAmbiguous
from booking_payments.ports.inbox import InboxStatus
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import book_and_pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

SILENT = OutcomeAmbiguous("nothing came back", code="timeout")
AWAY = NotSent("no connection", code="connect")
LOCKED_OUT = Misconfigured("wrong key", code="http_401")
MISUSED = KeyMisused("used for something else", code="idempotency_error")


async def _only_payment(kit: PaymentsTestKit) -> Payment:
    page = await kit.payments.list_payments()
    return page.items[0]


async def test_wrong_keys_are_our_fault_and_leave_no_operation(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[LOCKED_OUT]))

    with pytest.raises(GatewayRefusedUs):
        await book_and_pay(kit)

    payment = await _only_payment(kit)
    assert (payment.operation, payment.attempts_made) == (None, 0)


async def test_what_the_gateway_calls_hopeless_is_not_tried_again(kit: PaymentsTestKit) -> None:
    hopeless = OutcomeAmbiguous("the same answer will come", code="http_500")
    hopeless.worth_another_try = False
    use_gateway(kit, FailingGateway(kit, create_intent=[hopeless]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)

    assert [call.path for call in kit.stripe.calls] == []


async def test_the_last_try_ends_within_the_lease(kit: PaymentsTestKit) -> None:
    kit.deps = attrs.evolve(kit.deps, retry=RetryPolicy(max_tries=9, first_delay=timedelta(seconds=16)))
    kit.payments = BookingPayments(kit.deps)
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_before", times=9)
    began = kit.clock.now()

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)

    assert 1 < len(kit.stripe.calls) < 9
    assert kit.clock.now() - began <= kit.deps.config.lease - LONGEST_TRY


async def test_wrong_keys_after_a_silence_leave_the_outcome_unknown(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[SILENT, LOCKED_OUT]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)


async def test_no_connection_after_a_silence_leaves_the_outcome_unknown(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[SILENT, AWAY, AWAY]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)


async def test_no_connection_at_all_is_no_unknown_outcome(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[AWAY, AWAY, AWAY]))

    with pytest.raises(TryAgainLater) as refusal:
        await book_and_pay(kit)

    assert not refusal.value.outcome_unknown


async def test_a_misused_key_is_an_unknown_outcome(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[MISUSED]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)

    await kit.settle()
    assert (await _only_payment(kit)).status is PaymentStatus.SUCCEEDED


async def test_a_replay_that_can_not_be_read_anew_is_an_unknown_outcome(kit: PaymentsTestKit) -> None:
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after")
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[SILENT] * 3))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)

    await kit.settle()
    assert (await _only_payment(kit)).status is PaymentStatus.SUCCEEDED


async def test_a_refund_that_was_replayed_is_read_anew(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after")

    view = await kit.payments.refund_payment(payment.booking_id, ANN)

    paths = [call.path.rpartition("/")[0] for call in kit.stripe.calls if call.method == "GET"]
    assert (view.refund.status, paths) == (RefundStatus.SUCCEEDED, ["/v1", "/v1/refunds"])  # disputes, the refund


async def test_a_refund_refused_for_a_dispute_is_deferred_even_when_nothing_can_be_read(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    refused = GatewayRefused("disputed", code="charge_disputed")
    use_gateway(kit, FailingGateway(kit, create_refund=[refused], retrieve_intent=[SILENT] * 3))

    await kit.payments.refund_payment(payment.booking_id, ANN)

    payment = await payment_of(kit, payment.booking_id)
    assert (payment.owed.amount.minor, payment.refund_pending.minor) == (10000, 0)


async def test_a_refusal_tells_no_old_news_of_a_dispute(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    await kit.deliver_webhooks()
    kit.stripe.open_dispute(payment.intent_id or "")
    use_gateway(kit, _JustOpened(kit))

    await kit.payments.refund_payment(payment.booking_id, ANN, amount="10.00")

    payment = await payment_of(kit, payment.booking_id)
    assert [dispute.withdrawn.minor for dispute in payment.disputes] == [10000]


class _JustOpened(FailingGateway):
    """Disputes are listed for the first time before the bank has withdrawn anything; that it has is told by webhooks
    while the answer is on its way."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit)
        self._kit, self._told = kit, False

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        reports = await super().list_disputes(intent_id)
        if self._told:
            return reports
        self._told = True
        await self._kit.deliver_webhooks()
        return [attrs.evolve(report, movements=()) for report in reports]


async def test_a_mistake_in_our_own_work_keeps_the_webhook(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    kit.stripe.open_dispute(payment.intent_id or "")
    use_gateway(kit, FailingGateway(kit, list_disputes=[RuntimeError("a bug")]))

    with pytest.raises(RuntimeError, match="a bug"):
        await kit.deliver_webhooks()

    rows = await kit.storage.read(lambda uow: uow.inbox.unfinished(10))
    assert [(row.type, row.status) for row in rows] == [("charge.dispute.created", InboxStatus.FAILED)]


async def test_a_dispute_over_a_charge_that_is_not_ours_is_ignored(kit: PaymentsTestKit) -> None:
    foreign = kit.stripe.call(
        "POST",
        "/v1/payment_intents",
        {
            "amount": 500,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "return_url": "https://x.example",
        },
    )
    assert foreign.ok
    await kit.deliver_webhooks()
    kit.stripe.open_dispute(str(foreign.body["id"]))

    results = await kit.deliver_webhooks()

    assert {result.outcome for result in results} == {"ignored"}


async def test_what_is_told_of_others_is_ignored_even_if_their_intent_can_not_be_read(kit: PaymentsTestKit) -> None:
    order = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    theirs = str(
        kit.stripe.call("POST", "/v1/payment_intents", {**order, "return_url": "https://x.example"}).body["id"]
    )
    kit.stripe._account.get("payment_intent", theirs).body["currency"] = "xxx"
    kit.stripe.refund_in_dashboard(theirs, 100)
    kit.stripe.open_dispute(theirs)

    results = await kit.deliver_webhooks()

    told = {result.type for result in results}
    assert told >= {"payment_intent.succeeded", "refund.created", "charge.refunded", "charge.dispute.created"}
    assert {result.outcome for result in results} == {"ignored"}


async def test_what_is_told_of_our_intent_comes_again_while_that_can_not_be_read(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    await kit.deliver_webhooks()
    intent_id = payment.intent_id or ""
    kit.stripe._account.get("payment_intent", intent_id).body["currency"] = "xxx"
    refund = {"id": "re_9", "payment_intent": intent_id, "amount": 1, "currency": "usd", "status": "succeeded"}

    with pytest.raises(WebhookFailed):
        await kit.deliver_event("refund.created", refund)


async def test_whose_refund_it_is_stays_open_while_the_gateway_is_silent(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[SILENT]))
    refund = {"id": "re_9", "payment_intent": "pi_9", "amount": 1, "currency": "usd", "status": "succeeded"}

    with pytest.raises(WebhookFailed):
        await kit.deliver_event("refund.created", refund)


async def test_a_dispute_over_an_intent_that_nobody_knows_is_ignored(kit: PaymentsTestKit) -> None:
    dispute = {"id": "du_9", "payment_intent": "pi_9", "amount": 1, "currency": "usd", "status": "needs_response"}

    result = await kit.deliver_event("charge.dispute.created", dispute)

    assert (result.outcome, result.reason) == ("ignored", "the event is about an object that is not ours")
