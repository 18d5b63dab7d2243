"""Reconciliation: drift that is repaired, drift that is reported, and foreign objects that are ignored."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application import reconcile as reconciling
from booking_payments.application import settling
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.application.reconcile import Reconciliation
from booking_payments.application.views import PaymentView
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import OutcomeUnknown, PaymentError
from booking_payments.domain.ledger import postings_of
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.payment import AttemptOutcome, fold
from booking_payments.domain.reports import DisputeReport, IntentReport, Unreadable
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import (
    CREATE,
    authorize,
    book_and_pay,
    die_while_paying,
    lose_answer,
    paid_booking,
    pay,
    pay_in_browser,
    payment_of,
    postpone_evidence,
    start,
)
from tests.unit.application.failing_gateway import FailingGateway, PowerCut

CAPTURED = 10000


async def _booking(kit: PaymentsTestKit, view: PaymentView) -> Booking:
    return await kit.payments.get_booking(view.payment.booking_id)


def _left(found: Reconciliation) -> list[str]:
    return [each.code for each in found.left]


def _healed(found: Reconciliation) -> list[str]:
    return [each.code for each in found.healed]


def _forget_events(kit: PaymentsTestKit) -> None:
    """The gateway sends and lists no events any more: only comparing can find the difference."""
    for delivery in kit.stripe.deliveries():
        kit.stripe.delivered(delivery.event_id, True, delivery.endpoint_id)
    for event in kit.stripe.events:
        kit.stripe._account.table("event").pop(event["id"])


def _charge(kit: PaymentsTestKit, capture_method: str = "automatic", **metadata: str) -> str:
    """Make a charge that the use cases did not make."""
    methods = {"enabled": True, "allow_redirects": "never"}
    order: dict[str, Any] = {"amount": CAPTURED, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    order |= {"automatic_payment_methods": methods, "metadata": metadata, "capture_method": capture_method}
    answer = kit.stripe.call("POST", "/v1/payment_intents", order)
    assert answer.ok
    return str(answer.body["id"])


# --- nothing to do


async def test_equal_states_have_no_finding(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    await kit.payments.refund_payment(view.payment.booking_id, amount="30.00")
    await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    assert (found.healed, found.left) == ((), ())
    assert (found.payments, found.intents, found.refunds) == (1, 1, 1)


async def test_an_empty_database_has_no_finding(kit: PaymentsTestKit) -> None:
    assert (await kit.payments.reconcile()).left == ()


async def test_equal_states_are_compared_by_lists_only(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit, deliver=True)
    before = len(kit.stripe.calls)

    await kit.payments.reconcile()

    paths = {call.path for call in list(kit.stripe.calls)[before:]}
    assert paths == {"/v1/payment_intents", "/v1/refunds", "/v1/disputes", "/v1/events"}


@pytest.mark.parametrize(
    "card", ["pm_card_chargeDeclined", "pm_card_authenticationRequired", "pm_usBankAccount_success"]
)
async def test_a_waiting_payment_is_not_a_difference(kit: PaymentsTestKit, card: str) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, card)
    await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    assert (found.healed, found.left) == ((), ())


async def test_a_payment_whose_attempts_are_used_up_agrees_with_its_canceled_intent(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    for card in ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"):
        await kit.payments.process_booking_payment(booking, card)
    await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    assert (await payment_of(kit, booking)).status is PaymentStatus.FAILED
    assert (found.healed, found.left) == ((), ())


# --- 1. settling


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_after", "409"])
async def test_an_unknown_outcome_is_settled_at_once(kit: PaymentsTestKit, fault: str) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, fault, times=3)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, booking)

    found = await kit.payments.reconcile()

    payment = await payment_of(kit, booking)
    assert (payment.status, kit.stripe.successful_charges(payment.intent_id or "")) == (PaymentStatus.SUCCEEDED, 1)
    assert (_healed(found), found.left) == (["settled"], ())


async def test_reconciliation_waits_for_the_lease_of_a_dead_process(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)
    before = kit.clock.now()

    found = await kit.payments.reconcile()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED
    assert kit.clock.now() - before >= timedelta(seconds=50)
    assert found.left == ()


async def test_an_operation_of_a_running_process_is_reported(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)
    payment = await payment_of(kit, booking)

    async def renew() -> None:
        async def work(uow: UnitOfWork) -> None:
            poll_state = await uow.payments.poll_state(payment.id)
            await uow.payments.save_poll_state(
                payment.id, attrs.evolve(poll_state, lease_until=kit.clock.now() + timedelta(minutes=1))
            )

        await kit.storage.transact(work)
        kit.clock.meanwhile(renew)

    kit.clock.meanwhile(renew)

    assert _left(await kit.payments.reconcile()) == ["under_way"]


async def test_an_outcome_that_stays_unknown_is_reported(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    kit.stripe.faults.script("GET /v1/*", "503", times=1000)
    kit.stripe.faults.script(CREATE, "503", times=1000)

    found = await kit.payments.reconcile()

    operation = (await payment_of(kit, booking_id)).operation
    assert (operation is not None and operation.unknown, _left(found)) == (True, ["outcome_unknown", "not_compared"])


async def test_events_recorded_by_reconciliation_have_it_as_cause(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")

    await kit.payments.reconcile()

    journal = await kit.payments.journal(booking_id)
    assert (journal[-1].actor, journal[-1].cause) == ("system", "reconcile")


# --- 2. events


async def test_events_that_never_arrived_are_processed(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)

    found = await kit.payments.reconcile()

    rows = await kit.payments.list_webhooks()
    assert (await _booking(kit, view)).status is BookingStatus.CONFIRMED
    assert {row.status for row in rows} == {InboxStatus.PROCESSED}
    assert (found.events, found.left) == (len(rows), ())


async def test_a_processed_event_is_not_processed_again(kit: PaymentsTestKit) -> None:
    pay_in_browser(kit, await start(kit))
    await kit.payments.reconcile()

    assert (await kit.payments.reconcile()).events == 0


async def test_a_redelivery_after_the_catch_up_is_a_duplicate(kit: PaymentsTestKit) -> None:
    pay_in_browser(kit, await start(kit))
    await kit.payments.catch_up()

    acted_on = [each for each in await kit.deliver_webhooks() if each.outcome != "ignored"]
    assert {each.outcome for each in acted_on} == {"duplicate"}


async def test_catching_up_begins_at_the_last_received_event(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    await kit.deliver_webhooks()
    kit.clock.advance(timedelta(days=20))
    await kit.payments.catch_up()
    events = [call.path for call in kit.stripe.calls].count("/v1/events")
    await kit.deliver_event("payment_intent.succeeded", {"id": "pi_x", "object": "payment_intent"})
    pay_in_browser(kit, view)
    await kit.deliver_webhooks()

    await kit.payments.catch_up()

    assert (events, [call.path for call in kit.stripe.calls].count("/v1/events") - events) == (8, 1)


async def test_events_of_a_six_day_outage_are_processed(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    await kit.deliver_webhooks()
    pay_in_browser(kit, view)
    kit.clock.advance(timedelta(days=6))

    results = await kit.payments.catch_up()

    assert "payment_intent.succeeded" in {each.type for each in results}
    assert (await _booking(kit, view)).status is BookingStatus.CONFIRMED


async def test_failed_events_are_retried(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    kit.stripe.faults.script("GET /v1/*", "503", times=3)
    with pytest.raises(PaymentError):
        await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    statuses = {row.status for row in await kit.payments.list_webhooks()}
    assert (InboxStatus.FAILED in statuses, found.left) == (False, ())


async def test_an_event_that_cannot_be_processed_is_reported(kit: PaymentsTestKit) -> None:
    row = InboxEntry(
        gateway="fake",
        event_id="evt_bad",
        type="payment_intent.succeeded",
        status=InboxStatus.FAILED,
        object_id=None,
        received_at=kit.clock.now(),
        body="{}",
    )
    await kit.storage.transact(lambda uow: uow.inbox.put(row))

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id) for each in found.left] == [("event_failed", "evt_bad")]


# --- 3. comparing: repaired differences


async def test_a_payment_whose_events_are_lost_is_healed(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert (await _booking(kit, view)).status is BookingStatus.CONFIRMED
    assert (_healed(found), found.left) == (["healed"], ())
    assert "payment succeeded, booking confirmed" in found.healed[0].text


async def test_a_refund_from_the_dashboard_is_recorded(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe.refund_in_dashboard(view.payment.intent_id or "", 3000)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert ((await payment_of(kit, view)).refunded.minor, found.left) == (3000, ())


async def test_a_late_failure_of_a_refund_is_recorded(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    refund = (await kit.payments.refund_payment(view.payment.booking_id)).refund
    kit.stripe.move_refund(refund.gateway_refund_id or "", "failed")
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert (await payment_of(kit, view)).refunds[0].status is RefundStatus.FAILED
    assert [each.code for each in found.left] == ["refund_owed"]


async def test_an_unreported_dispute_is_recorded(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe.open_dispute(view.payment.intent_id or "")
    _forget_events(kit)

    found = await kit.payments.reconcile()

    dispute = (await payment_of(kit, view)).dispute
    assert dispute is not None
    assert (dispute.status, dispute.withdrawn.minor) == (DisputeStatus.NEEDS_RESPONSE, CAPTURED)
    assert found.left == ()


async def test_an_abandoned_intent_that_exists_is_linked(storage: Storage) -> None:
    too_far = timedelta(hours=2)  # for the resolver, which finds no intent
    kit = PaymentsTestKit(storage=storage, gateway_behind=too_far)
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(timedelta(hours=24))
    await kit.payments.work()
    given_up = await payment_of(kit, booking)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    payment = await payment_of(kit, booking)
    assert (given_up.operation, given_up.intent_id, found.left) == (None, None, ())
    assert payment.intent_id is not None


async def test_a_capture_from_the_dashboard_is_recorded(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)
    kit.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/capture", {"amount_to_capture": 6000})
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert ((await payment_of(kit, view)).captured.minor, found.left) == (6000, ())


async def test_an_unreported_late_payment_is_recorded_and_refunded(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, "pm_usBankAccount_success")
    await kit.payments.cancel_booking(booking.id)
    kit.clock.advance(timedelta(seconds=3))
    kit.stripe.tick()
    _forget_events(kit)

    found = await kit.payments.reconcile()

    payment = await payment_of(kit, view)
    back = payment.refunded + payment.refund_pending
    assert (payment.late, back.minor, found.left) == (True, CAPTURED, ())


async def test_a_healed_difference_is_not_healed_again(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    _forget_events(kit)
    await kit.payments.reconcile()

    assert (await kit.payments.reconcile()).healed == ()


async def test_healing_keeps_journal_snapshot_and_postings_consistent(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe.refund_in_dashboard(view.payment.intent_id or "", 3000)
    kit.stripe.open_dispute(view.payment.intent_id or "")
    _forget_events(kit)

    await kit.payments.reconcile()

    payment = await payment_of(kit, view)
    journal = await kit.payments.journal(view.payment.booking_id)
    postings = await kit.storage.read(lambda uow: uow.payments.postings(payment.id))
    assert (fold(journal), tuple(postings)) == (payment, postings_of(journal))


# --- 3. comparing: reported differences


async def test_a_different_amount_at_the_gateway_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    record = kit.stripe._account.get("payment_intent", view.payment.intent_id or "")
    record.body["amount_received"] = CAPTURED - 1

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id) for each in found.left] == [("amount_differs", view.payment.intent_id)]
    assert (await payment_of(kit, view)).captured.minor == CAPTURED


async def test_a_payment_missing_at_the_gateway_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe._account.table("payment_intent").pop(view.payment.intent_id or "")

    found = await kit.payments.reconcile()

    assert _left(found) == ["not_at_gateway"]
    assert (await payment_of(kit, view)).status is PaymentStatus.SUCCEEDED


async def test_a_refund_missing_at_the_gateway_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    refund = (await kit.payments.refund_payment(view.payment.booking_id, amount="30.00")).refund
    kit.stripe._account.remove(kit.stripe._account.get("refund", refund.gateway_refund_id or ""))

    assert _left(await kit.payments.reconcile()) == ["refund_not_at_gateway"]


async def test_a_dispute_missing_at_the_gateway_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    dispute = kit.stripe.open_dispute(view.payment.intent_id or "").body
    await kit.deliver_webhooks()
    kit.clock.advance(timedelta(hours=2))
    kit.stripe._account.remove(kit.stripe._account.get("dispute", dispute["id"]))

    assert "dispute_not_at_gateway" in _left(await kit.payments.reconcile(kit.clock.now() - timedelta(hours=1)))


async def test_a_charge_missing_in_the_database_is_reported(kit: PaymentsTestKit) -> None:
    intent_id = _charge(kit, payment_id="pay_lost", booking_id="bk_lost", booking_reference="R-9")

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id, each.reference) for each in found.left] == [
        ("unknown_charge", intent_id, "R-9")
    ]


async def test_a_second_charge_for_a_booking_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    intent_id = _charge(kit, payment_id=view.payment.id, booking_id=view.payment.booking_id)

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id) for each in found.left] == [("second_charge", intent_id)]


async def test_a_refunded_second_charge_is_not_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    intent_id = _charge(kit, payment_id=view.payment.id, booking_id=view.payment.booking_id)
    kit.stripe.refund_in_dashboard(intent_id)

    assert (await kit.payments.reconcile()).left == ()


async def test_a_second_unpaid_intent_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    order = {"amount": CAPTURED, "currency": "usd", "metadata": {"payment_id": view.payment.id}}
    intent = kit.stripe.call("POST", "/v1/payment_intents", order).body
    before = _left(await kit.payments.reconcile())
    kit.stripe.call("POST", f"/v1/payment_intents/{intent['id']}/cancel")

    assert (before, _left(await kit.payments.reconcile())) == (["second_intent"], [])


async def test_foreign_intents_on_the_account_are_ignored(kit: PaymentsTestKit) -> None:
    intent_id = _charge(kit)
    kit.stripe.refund_in_dashboard(intent_id, 100)
    kit.stripe.open_dispute(intent_id)

    found = await kit.payments.reconcile()

    assert (found.left, found.foreign) == ((), 1)


def _unreadable(kit: PaymentsTestKit, kind: str, gateway_id: str) -> None:
    """The object is in an unknown currency."""
    kit.stripe._account.get(kind, gateway_id).body["currency"] = "xxx"


async def test_an_unreadable_foreign_intent_does_not_stop_the_healing_of_payments(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    intent_id = _charge(kit)
    refund_id = kit.stripe.refund_in_dashboard(intent_id, 100).body["id"]
    dispute_id = kit.stripe.open_dispute(intent_id).body["id"]
    for kind, gateway_id in (("payment_intent", intent_id), ("refund", refund_id), ("dispute", dispute_id)):
        _unreadable(kit, kind, gateway_id)
    pay_in_browser(kit, view)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert (found.left, found.foreign, len(found.healed)) == ((), 1, 1)
    assert (await payment_of(kit, view)).status is PaymentStatus.SUCCEEDED


async def test_an_unreadable_own_intent_is_reported_and_does_not_stop_others(kit: PaymentsTestKit) -> None:
    unread, healed = (
        await book_and_pay(kit, deliver=True),
        await start(kit, reference="R-2"),
    )
    _unreadable(kit, "payment_intent", unread.payment.intent_id or "")
    pay_in_browser(kit, healed)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    left = [(each.code, each.payment_id, each.gateway_id) for each in found.left]
    assert left == [("unreadable", unread.payment.id, unread.payment.intent_id)]
    assert (found.foreign, (await payment_of(kit, healed)).status) == (0, PaymentStatus.SUCCEEDED)


@pytest.mark.parametrize("payment_id", [None, "pay_of_a_lost_database"])
async def test_an_unreadable_intent_is_recognized_as_own_by_its_metadata(
    kit: PaymentsTestKit, payment_id: str | None
) -> None:
    booking_id = (await kit.book()).id
    intent_id = _charge(kit, booking_id=booking_id, **({"payment_id": payment_id} if payment_id else {}))
    _unreadable(kit, "payment_intent", intent_id)

    (finding,) = (await kit.payments.reconcile()).left

    said = (finding.code, finding.gateway_id, finding.booking_id, finding.payment_id)
    assert said == ("unreadable", intent_id, booking_id, payment_id)


@pytest.mark.parametrize("kind", ["refund", "dispute"])
async def test_an_unreadable_part_of_a_payment_is_reported(kit: PaymentsTestKit, kind: str) -> None:
    view = await book_and_pay(kit, deliver=True)
    intent_id = view.payment.intent_id or ""
    makes = kit.stripe.refund_in_dashboard if kind == "refund" else kit.stripe.open_dispute
    made = makes(intent_id).body["id"]
    _forget_events(kit)
    _unreadable(kit, kind, made)

    found = await kit.payments.reconcile()

    left = [(each.code, each.payment_id, each.gateway_id) for each in found.left]
    assert left == [("unreadable", view.payment.id, made)]


async def test_a_second_charge_with_unreadable_refunds_is_reported_and_does_not_stop_others(
    kit: PaymentsTestKit,
) -> None:
    view = await book_and_pay(kit, deliver=True)
    intent_id = _charge(kit, payment_id=view.payment.id)
    _unreadable(kit, "refund", kit.stripe.refund_in_dashboard(intent_id).body["id"])
    later = await start(kit, reference="R-2")
    pay_in_browser(kit, later)
    _forget_events(kit)

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id) for each in found.left] == [("not_read", intent_id)]
    assert (await payment_of(kit, later)).status is PaymentStatus.SUCCEEDED


async def test_a_late_payment_whose_refund_failed_is_reported(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, "pm_usBankAccount_success")
    await kit.payments.cancel_booking(booking.id)
    kit.clock.advance(timedelta(seconds=3))
    await kit.settle()
    refund = (await payment_of(kit, view)).refunds[0]
    kit.stripe.move_refund(refund.gateway_refund_id or "", "failed")

    assert _left(await kit.payments.reconcile()) == ["refund_owed"]


async def test_an_unreadable_gateway_is_compared_by_a_later_run(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit, deliver=True)
    kit.stripe.faults.script("GET /v1/*", "503", times=1000)

    assert _left(await kit.payments.reconcile()) == ["not_compared"]


async def test_an_unreadable_payment_does_not_stop_the_healing_of_others(kit: PaymentsTestKit) -> None:
    unread, healed = (
        await start(kit),
        await start(kit, reference="R-2"),
    )
    for view in (unread, healed):
        pay_in_browser(kit, view)
    _forget_events(kit)
    kit.stripe.faults.script(f"GET /v1/payment_intents/{unread.payment.intent_id}", "503", times=1000)

    found = await kit.payments.reconcile()

    assert ([each.payment_id for each in found.healed], _left(found)) == ([healed.payment.id], ["not_read"])


# --- how far back


async def test_old_final_payments_are_not_compared(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(days=40))

    found = await kit.payments.reconcile()

    assert (found.payments, found.intents) == (0, 0)


async def test_since_extends_the_compared_period(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(days=40))

    found = await kit.payments.reconcile(kit.clock.now() - timedelta(days=41))

    assert (found.payments, found.intents) == (1, 1)


async def test_payments_that_are_not_final_are_compared_at_any_age(kit: PaymentsTestKit) -> None:
    view = await start(kit, starts_in=timedelta(days=90))
    kit.clock.advance(timedelta(days=60))
    pay_in_browser(kit, view)
    _forget_events(kit)

    await kit.payments.reconcile(kit.clock.now() - timedelta(days=1))

    assert (await _booking(kit, view)).status is BookingStatus.CONFIRMED


async def test_open_disputes_are_compared_at_any_age(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    dispute = kit.stripe.open_dispute(view.payment.intent_id or "").body
    await kit.deliver_webhooks()
    kit.clock.advance(timedelta(days=60))
    kit.stripe.call("POST", f"/v1/disputes/{dispute['id']}/close")
    _forget_events(kit)

    await kit.payments.reconcile()

    assert [each.status for each in (await payment_of(kit, view)).disputes] == [DisputeStatus.LOST]


async def test_a_refund_of_an_old_payment_is_compared(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(days=40))
    kit.stripe.refund_in_dashboard(view.payment.intent_id or "", 3000)
    _forget_events(kit)

    await kit.payments.reconcile()

    assert (await payment_of(kit, view)).refunded.minor == 3000


async def test_a_gateway_with_a_slow_clock_is_compared_completely(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, gateway_behind=timedelta(minutes=10))
    await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(minutes=5))

    found = await kit.payments.reconcile(kit.clock.now() - timedelta(minutes=6))

    assert (found.intents, found.left) == (1, ())


async def test_an_old_payment_that_is_final_again_is_not_read_separately(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, starts_in=timedelta(days=90))
    kit.clock.advance(timedelta(days=40))
    await kit.payments.refund_payment(booking.id, amount="30.00")
    await kit.deliver_webhooks()

    assert (await _paths(kit))["/v1/payment_intents/{id}"] == 0


async def test_a_refund_that_never_arrived_is_sent_again_and_not_looked_up(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_before", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(view.payment.booking_id)
    kit.clock.advance(timedelta(hours=24))
    await kit.payments.work()
    assert (await payment_of(kit, view)).owed.amount.minor == 10000
    kit.clock.advance(timedelta(hours=1))
    await kit.settle()

    assert [refund.status for refund in (await payment_of(kit, view)).refunds] == [RefundStatus.SUCCEEDED]
    assert (await _paths(kit))["/v1/payment_intents/{id}"] == 0


async def _paths(kit: PaymentsTestKit) -> Counter[str]:
    """Return how often reconciliation calls each path."""
    before = len(kit.stripe.calls)
    await kit.payments.reconcile()
    paths = [call.path for call in list(kit.stripe.calls)[before:]]
    return Counter("/v1/payment_intents/{id}" if "/v1/payment_intents/" in path else path for path in paths)


async def test_a_recent_dispute_missing_in_the_list_is_looked_up(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(hours=2))
    dispute = kit.stripe.open_dispute(view.payment.intent_id or "").body
    kit.stripe.call("POST", f"/v1/disputes/{dispute['id']}/close")
    await kit.deliver_webhooks()
    kit.stripe._account.remove(kit.stripe._account.get("dispute", dispute["id"]))

    assert _left(await kit.payments.reconcile()) == ["dispute_not_at_gateway"]


async def test_a_pending_refund_missing_in_the_list_is_looked_up_at_any_age(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_pendingRefund")
    await kit.deliver_webhooks()
    refund = (await kit.payments.refund_payment(view.payment.booking_id)).refund
    kit.clock.advance(timedelta(minutes=30))
    hidden = kit.stripe._account.get("refund", refund.gateway_refund_id or "").body
    hidden |= {"payment_intent": "pi_of_somebody_else", "created": 0}

    found = await kit.payments.reconcile(kit.clock.now() - timedelta(minutes=10))

    assert (refund.status, _left(found)) == (RefundStatus.PENDING, ["refund_not_at_gateway"])


async def test_an_intent_at_the_boundary_of_two_intervals_is_counted_once(kit: PaymentsTestKit) -> None:
    since = kit.clock.now() - timedelta(days=3) + timedelta(hours=1)
    await book_and_pay(kit, deliver=True)
    kit.clock.advance(timedelta(days=5))

    found = await kit.payments.reconcile(since)

    assert found.intents == 1


async def test_events_are_requested_only_for_the_gateways_retention_period(kit: PaymentsTestKit) -> None:
    await kit.payments.catch_up(kit.clock.now() - timedelta(days=300))

    assert [call.path for call in kit.stripe.calls].count("/v1/events") == 10


async def test_more_payments_than_one_batch_are_compared(kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "AT_ONCE", 2)
    monkeypatch.setattr(reconciling, "AT_ONCE", 2)
    for number in range(5):
        booking = await kit.book(reference=f"R-{number}")
        await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    assert (found.payments, found.intents, found.left) == (5, 5, ())


# --- concurrent requests


async def test_an_operation_completed_by_another_process_does_not_count_as_healed(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)

    async def somebody_else_takes_over() -> None:
        await kit.payments.work()

    kit.clock.meanwhile(somebody_else_takes_over)
    found = await kit.payments.reconcile()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED
    assert (found.healed, found.left) == ((), ())


async def test_an_operation_that_began_meanwhile_is_left_to_its_process(kit: PaymentsTestKit) -> None:
    gateway = _DiesMeanwhile(kit)

    found = await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    assert gateway.booking is not None
    payment = await payment_of(kit, gateway.booking.id)
    assert (found.left, payment.operation is not None, payment.intent_id) == ((), True, None)


class _DiesMeanwhile(FailingGateway):
    """A customer's payment starts and stops with an unknown outcome just before the first events are listed."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit)
        self._kit = kit
        self.booking: Booking | None = None

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        if self.booking is None:
            self.booking = await die_while_paying(self._kit)
        return await super().list_intents(since, until)


async def test_a_payment_being_confirmed_is_left_to_the_response(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(max_attempts=2))
    view = await book_and_pay(kit, "pm_card_threeDSecure2Required")
    kit.authenticate(view, "failed")
    await kit.deliver_webhooks()
    gateway = _ConfirmsMeanwhile(kit, view.payment.booking_id)

    await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    attempts = (await payment_of(kit, view)).attempts
    assert [attempt.outcome for attempt in attempts] == [AttemptOutcome.REFUSED, AttemptOutcome.OPEN]


class _ConfirmsMeanwhile(FailingGateway):
    """The list shows an intent in processing that has changed by the time it is read. A customer confirms, and the
    process dies before the call, while that response is on its way.
    """

    def __init__(self, kit: PaymentsTestKit, booking_id: str) -> None:
        super().__init__(kit, confirm_intent=[PowerCut()])
        self._payments = BookingPayments(attrs.evolve(kit.deps, gateway=self))
        self._booking_id = booking_id
        self._confirmed = False

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport]:
        reports = await super().list_intents(since, until)
        intents = [report for report in reports if isinstance(report, IntentReport)]
        return [attrs.evolve(intent, status=PaymentStatus.PROCESSING) for intent in intents]

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        report = await super().retrieve_intent(intent_id)
        if not self._confirmed:
            self._confirmed = True
            with pytest.raises(PowerCut):
                await self._payments.confirm_payment(
                    self._booking_id, ANN, payment_method_id="pm_card_threeDSecure2Required"
                )
        return report


async def test_an_outdated_dispute_does_not_overwrite_a_newer_report(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    kit.stripe.open_dispute(view.payment.intent_id or "")
    _forget_events(kit)
    gateway = _WonMeanwhile(kit)

    found = await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    dispute = (await payment_of(kit, view)).dispute
    assert dispute is not None
    assert (dispute.status, dispute.withdrawn.minor, found.left) == (DisputeStatus.WON, 0, ())


class _WonMeanwhile(FailingGateway):
    """A dispute is won, and a webhook reports it, while the response that shows it open is on its way."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit)
        self._kit = kit
        self._won = False

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        reports = await super().list_disputes(intent_id)
        if not self._won:
            self._won = True
            evidence = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
            assert self._kit.stripe.call("POST", f"/v1/disputes/{reports[0].id}", evidence).ok
            self._kit.clock.advance(timedelta(seconds=5))
            await self._kit.deliver_webhooks()
        return reports


async def test_another_deadline_of_a_dispute_is_healed(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute")
    await kit.deliver_webhooks()
    before = (await payment_of(kit, view)).disputes[0]
    postpone_evidence(kit, before.id)

    found = await kit.payments.reconcile()

    dispute = (await payment_of(kit, view)).disputes[0]
    assert before.evidence_due_by is not None
    assert dispute.evidence_due_by == before.evidence_due_by + timedelta(days=7)
    assert ([each.text.rpartition(": ")[2] for each in found.healed], found.left) == (["dispute changed"], ())


async def test_an_outdated_deadline_of_a_dispute_is_not_recorded(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    dispute_id = kit.stripe.open_dispute(view.payment.intent_id or "").body["id"]
    await kit.deliver_webhooks()
    postpone_evidence(kit, dispute_id)
    gateway = _PostponedMeanwhile(kit, dispute_id)

    await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    dispute = (await payment_of(kit, view)).dispute
    report = await kit.deps.gateway.retrieve_dispute(dispute_id)
    assert dispute is not None
    assert dispute.evidence_due_by == report.evidence_due_by


class _PostponedMeanwhile(FailingGateway):
    """The deadline changes again, and a webhook reports it, while the response with the first one is on its way."""

    def __init__(self, kit: PaymentsTestKit, dispute_id: str) -> None:
        super().__init__(kit)
        self._kit = kit
        self._dispute_id: str | None = dispute_id

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        reports = await super().list_disputes(intent_id)
        if self._dispute_id:
            dispute_id, self._dispute_id = self._dispute_id, None
            postpone_evidence(self._kit, dispute_id)
            body = self._kit.stripe.call("GET", f"/v1/disputes/{dispute_id}").body
            await self._kit.deliver_event("charge.dispute.updated", dict(body))
        return reports


async def test_a_finding_is_reported_once(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    refund = (await kit.payments.refund_payment(view.payment.booking_id, amount="30.00")).refund
    kit.stripe._account.remove(kit.stripe._account.get("refund", refund.gateway_refund_id or ""))
    kit.stripe._account.get("payment_intent", view.payment.intent_id or "").body["amount_received"] = CAPTURED - 1

    assert _left(await kit.payments.reconcile()) == ["amount_differs", "refund_not_at_gateway"]


async def test_a_second_authorization_is_reported(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, deliver=True)
    intent_id = _charge(kit, capture_method="manual", payment_id=view.payment.id)

    found = await kit.payments.reconcile()

    assert [(each.code, each.gateway_id) for each in found.left] == [("second_charge", intent_id)]


@pytest.mark.parametrize("verb", ["retrieve_intent", "list_disputes"])
async def test_an_error_in_one_payment_is_reported_and_does_not_stop_others(kit: PaymentsTestKit, verb: str) -> None:
    broken = await start(kit)
    healed = await start(kit, reference="R-2")
    for view in (broken, healed):
        pay_in_browser(kit, view)
    _forget_events(kit)
    gateway = FailingGateway(kit, **{verb: [ValueError("odd")]})

    found = await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    assert ([each.payment_id for each in found.healed], _left(found)) == ([healed.payment.id], ["broke"])


async def test_an_error_in_one_operation_is_reported_and_does_not_stop_others(kit: PaymentsTestKit) -> None:
    bookings = [await kit.book(reference=f"R-{number}") for number in range(2)]
    for booking in bookings:
        kit.stripe.faults.script(CREATE, "timeout_before", times=3)
        await kit.payments.process_booking_payment(booking, "pm_card_visa")
    gateway = FailingGateway(kit, create_intent=[ValueError("odd")])

    found = await BookingPayments(attrs.evolve(kit.deps, gateway=gateway)).reconcile()

    assert (_healed(found), _left(found)) == (["settled"], ["broke"])


async def test_a_payment_that_changes_while_it_is_read_is_read_again(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    _forget_events(kit)
    gateway = _Meddler(kit, view.payment.intent_id or "")
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=gateway))

    found = await payments.reconcile()

    journal = await kit.payments.journal(view.payment.booking_id)
    kinds = [type(each.event).__name__ for each in journal]
    assert (kinds.count("PaymentSucceeded"), found.left) == (1, ())


class _Meddler(FailingGateway):
    """During the first read of an intent, a webhook records its success before the response arrives."""

    def __init__(self, kit: PaymentsTestKit, intent_id: str) -> None:
        super().__init__(kit)
        self._kit, self._intent_id = kit, intent_id
        self._done = False

    async def retrieve_intent(self, intent_id: str) -> Any:
        report = await super().retrieve_intent(intent_id)
        if not self._done:
            self._done = True
            intent = self._kit.stripe.call("GET", f"/v1/payment_intents/{intent_id}").body
            await self._kit.deliver_event("payment_intent.succeeded", intent)
        return report


async def test_progress_is_reported(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit, deliver=True)
    told: list[tuple[str, int, int]] = []

    await kit.payments.reconcile(progress=lambda *each: told.append(each))

    ends = {doing: (done, total) for doing, done, total in told}
    assert all(done == total for done, total in ends.values())
    assert "comparing with the gateway" in ends


# --- several installations on one account


def _installed(name: str | None, beside: PaymentsTestKit | None = None) -> PaymentsTestKit:
    """A test kit on the same gateway account as ``beside``, or on an account of its own."""
    kit = PaymentsTestKit(config=PaymentConfig(installation_id=name), seed=2 if beside else 1)
    if beside is not None:
        kit.clock, kit.stripe = beside.clock, beside.stripe
        gateway = FakeGateway(beside.stripe, beside.clock)
        kit.deps = attrs.evolve(kit.deps, gateway=gateway, clock=beside.clock)
        kit.payments = BookingPayments(kit.deps)
    return kit


async def test_payments_of_another_installation_are_foreign() -> None:
    ours = _installed("inst_a")
    theirs = _installed("inst_b", beside=ours)
    view = await book_and_pay(ours)
    foreign = await book_and_pay(theirs)
    await theirs.payments.refund_payment(foreign.payment.booking_id, amount="40.00")
    found_by_theirs = await theirs.payments.reconcile()

    found = await ours.payments.reconcile()

    assert (found.left, found.foreign, found.payments) == ((), 1, 1)
    assert (found_by_theirs.left, found_by_theirs.foreign) == ((), 1)
    assert (await payment_of(ours, view)).status is PaymentStatus.SUCCEEDED


async def test_a_lost_charge_of_this_installation_is_reported_for_a_person() -> None:
    ours = _installed("inst_a")
    await book_and_pay(ours)
    empty = _installed("inst_a", beside=ours)

    found = await empty.payments.reconcile()

    [finding] = found.left
    assert (finding.code, found.foreign) == ("unknown_charge", 0)
    assert "give it back" not in finding.text


async def test_an_intent_without_an_installation_name_belongs_to_this_installation() -> None:
    """It was created before installations had names, and its response was lost."""
    before = _installed(None)
    view = await start(before)
    pay_in_browser(before, view)
    before.deps = attrs.evolve(before.deps, config=attrs.evolve(before.deps.config, installation_id="inst_a"))
    before.payments = BookingPayments(before.deps)

    found = await before.payments.reconcile()

    assert (found.left, found.foreign, (await payment_of(before, view)).status) == ((), 0, PaymentStatus.SUCCEEDED)


async def test_intents_name_the_installation_and_not_the_customer() -> None:
    kit = _installed("inst_a")
    view = await book_and_pay(kit)
    await kit.payments.refund_payment(view.payment.booking_id, amount="40.00")

    intent = kit.stripe.call("GET", f"/v1/payment_intents/{view.payment.intent_id}").body
    [refund] = kit.stripe.call("GET", "/v1/refunds").body["data"]

    for made in (intent, refund):
        assert made["metadata"]["installation_id"] == "inst_a"
        assert len(made["metadata"]["customer_key"]) == 64
        assert "ann" not in made["metadata"].values()
    assert intent["metadata"]["customer_key"] == refund["metadata"]["customer_key"]
