"""Rare gateway errors with serious consequences."""

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


async def test_invalid_api_keys_are_reported_as_a_configuration_error_and_leave_no_operation(
    kit: PaymentsTestKit,
) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[LOCKED_OUT]))

    with pytest.raises(GatewayRefusedUs):
        await book_and_pay(kit)

    payment = await _only_payment(kit)
    assert (payment.operation, payment.attempts_made) == (None, 0)


async def test_a_call_that_the_gateway_marks_as_not_retryable_is_not_retried(kit: PaymentsTestKit) -> None:
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


async def test_an_authentication_error_after_a_timeout_leaves_the_outcome_unknown(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[SILENT, LOCKED_OUT]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)


async def test_a_connection_error_after_a_timeout_leaves_the_outcome_unknown(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, create_intent=[SILENT, AWAY, AWAY]))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)


async def test_a_connection_error_on_the_first_try_is_not_an_unknown_outcome(kit: PaymentsTestKit) -> None:
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


async def test_a_replayed_response_that_cannot_be_read_again_is_an_unknown_outcome(kit: PaymentsTestKit) -> None:
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after")
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[SILENT] * 3))

    with pytest.raises(OutcomeUnknown):
        await book_and_pay(kit)

    await kit.settle()
    assert (await _only_payment(kit)).status is PaymentStatus.SUCCEEDED


async def test_a_replayed_refund_response_is_read_again(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after")

    view = await kit.payments.refund_payment(payment.booking_id, ANN)

    paths = [call.path.rpartition("/")[0] for call in kit.stripe.calls if call.method == "GET"]
    assert (view.refund.status, paths) == (RefundStatus.SUCCEEDED, ["/v1", "/v1/refunds"])  # disputes, the refund


async def test_a_refund_refused_for_a_dispute_is_deferred_even_when_reads_fail(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    refused = GatewayRefused("disputed", code="charge_disputed")
    use_gateway(kit, FailingGateway(kit, create_refund=[refused], retrieve_intent=[SILENT] * 3))

    await kit.payments.refund_payment(payment.booking_id, ANN)

    payment = await payment_of(kit, payment.booking_id)
    assert (payment.owed.amount.minor, payment.refund_pending.minor) == (10000, 0)


async def test_a_dispute_read_before_a_refused_refund_does_not_overwrite_a_newer_report(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    await kit.deliver_webhooks()
    kit.stripe.open_dispute(payment.intent_id or "")
    use_gateway(kit, _JustOpened(kit))

    await kit.payments.refund_payment(payment.booking_id, ANN, amount="10.00")

    payment = await payment_of(kit, payment.booking_id)
    assert [dispute.withdrawn.minor for dispute in payment.disputes] == [10000]


class _JustOpened(FailingGateway):
    """The first list of disputes is from before the withdrawal; webhooks report the withdrawal while that response
    is on its way.
    """

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


async def test_a_programming_error_keeps_the_webhook_for_a_retry(kit: PaymentsTestKit) -> None:
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


async def test_an_event_of_a_foreign_intent_is_ignored_even_if_the_intent_is_unreadable(kit: PaymentsTestKit) -> None:
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


async def test_an_event_of_an_own_intent_is_retried_while_the_intent_is_unreadable(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    await kit.deliver_webhooks()
    intent_id = payment.intent_id or ""
    kit.stripe._account.get("payment_intent", intent_id).body["currency"] = "xxx"
    refund = {"id": "re_9", "payment_intent": intent_id, "amount": 1, "currency": "usd", "status": "succeeded"}

    with pytest.raises(WebhookFailed):
        await kit.deliver_event("refund.created", refund)


async def test_a_refund_event_is_retried_while_its_owner_cannot_be_read_from_the_gateway(kit: PaymentsTestKit) -> None:
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[SILENT]))
    refund = {"id": "re_9", "payment_intent": "pi_9", "amount": 1, "currency": "usd", "status": "succeeded"}

    with pytest.raises(WebhookFailed):
        await kit.deliver_event("refund.created", refund)


async def test_a_dispute_of_an_unknown_intent_is_ignored(kit: PaymentsTestKit) -> None:
    dispute = {"id": "du_9", "payment_intent": "pi_9", "amount": 1, "currency": "usd", "status": "needs_response"}

    result = await kit.deliver_event("charge.dispute.created", dispute)

    assert (result.outcome, result.reason) == ("ignored", "the event is about an object that is not ours")
