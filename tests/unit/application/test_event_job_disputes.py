"""A dispute opens while the job of its event runs: nothing goes back twice, and the report says ``disputed``."""

from collections.abc import Sequence

import pytest

from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.reports import DisputeReport, RefundReport
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.testing.kit import OPERATOR, PaymentsTestKit
from tests.payments import pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway
from tests.unit.application.test_event_jobs import counted

EVENT = "evening-1"
NOT_SENT = ("before the disputes are read", "between the reading and the refund")
SENT = ("between the refund and its answer", "instead of the answer", "after the answer")


class DisputingGateway(FailingGateway):
    """A gateway at which the bank opens a dispute of one payment at a given moment of its refund."""

    def __init__(self, kit: PaymentsTestKit, intent_id: str, moment: str) -> None:
        super().__init__(kit)
        self._intent_id, self._moment = intent_id, moment

    def dispute(self, moment: str) -> bool:
        """Open the dispute, once, if this is the moment; return whether it is."""
        if self._moment != moment:
            return False
        self._moment = ""
        assert self.stripe.open_dispute(self._intent_id).ok
        return True

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        concerned = intent_id == self._intent_id
        if concerned:
            self.dispute("before the disputes are read")
        found = await super().list_disputes(intent_id)
        if concerned:
            self.dispute("between the reading and the refund")
        return found

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        report = await super().create_refund(instruction, idempotency_key)
        if instruction.intent_id == self._intent_id:
            self.dispute("between the refund and its answer")
            if self.dispute("instead of the answer"):
                raise OutcomeAmbiguous("no answer", code="timeout")
        return report


async def event_with_a_dispute(kit: PaymentsTestKit, moment: str) -> str:
    """Cancel an event of three paid bookings, one of which is disputed at that moment; return its booking's id."""
    paid = [await pay(kit, await kit.book(reference=f"R-{number}", event_id=EVENT)) for number in range(3)]
    await kit.deliver_webhooks()
    disputed = paid[1].payment
    gateway = DisputingGateway(kit, disputed.intent_id or "", moment)
    use_gateway(kit, gateway)
    await kit.payments.run_event_job(await kit.payments.cancel_event(EVENT, OPERATOR))
    gateway.dispute("after the answer")
    await kit.settle()
    return disputed.booking_id


async def end_dispute(kit: PaymentsTestKit, status: str) -> None:
    [dispute] = kit.stripe.call("GET", "/v1/disputes", {}, None).body["data"]
    assert kit.stripe.move_dispute(dispute["id"], status).ok
    for _ in range(2):
        await kit.settle()


async def assert_disputed_and_refunded_once(kit: PaymentsTestKit, booking_id: str, *, sent: bool) -> None:
    report = await kit.payments.event_report(EVENT)
    assert counted(report) == {"disputed": 1, "done": 2}
    [line] = [each for each in await kit.payments.event_lines(EVENT) if each.booking.id == booking_id]
    assert (line.outcome.value, line.reason) == ("disputed", "needs_response")
    payment = await payment_of(kit, booking_id)
    assert (payment.withdrawn.minor, payment.refunded.minor) == (10000, 10000 if sent else 0)
    assert number_of_refunds(kit, payment.intent_id or "") == int(sent)


def number_of_refunds(kit: PaymentsTestKit, intent_id: str) -> int:
    refunds = kit.stripe.call("GET", "/v1/refunds", {"payment_intent": intent_id}, None).body["data"]
    return sum(each["status"] in ("succeeded", "pending") for each in refunds)


@pytest.mark.parametrize("moment", [*NOT_SENT, *SENT])
async def test_a_dispute_that_opens_during_the_job_is_reported_and_nothing_goes_back_twice(
    kit: PaymentsTestKit, moment: str
) -> None:
    booking_id = await event_with_a_dispute(kit, moment)

    await assert_disputed_and_refunded_once(kit, booking_id, sent=moment in SENT)


@pytest.mark.parametrize(("ends", "refunds"), [("won", 1), ("lost", 0)])
@pytest.mark.parametrize("moment", NOT_SENT)
async def test_a_booking_disputed_before_its_refund_is_refunded_only_if_the_dispute_is_won(
    kit: PaymentsTestKit, moment: str, ends: str, refunds: int
) -> None:
    booking_id = await event_with_a_dispute(kit, moment)

    await end_dispute(kit, ends)

    payment = await payment_of(kit, booking_id)
    assert number_of_refunds(kit, payment.intent_id or "") == refunds
    assert payment.owed.amount.minor == 0
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 3}


@pytest.mark.parametrize("ends", ["won", "lost"])
@pytest.mark.parametrize("moment", SENT)
async def test_a_booking_disputed_after_its_refund_is_not_refunded_again(
    kit: PaymentsTestKit, moment: str, ends: str
) -> None:
    booking_id = await event_with_a_dispute(kit, moment)

    await end_dispute(kit, ends)
    await kit.payments.run_event_job(await kit.payments.cancel_event(EVENT, OPERATOR))

    payment = await payment_of(kit, booking_id)
    assert number_of_refunds(kit, payment.intent_id or "") == 1
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 3}
