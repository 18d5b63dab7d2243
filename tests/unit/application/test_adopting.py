"""Adoption after a backup was restored: which lost charges get a payment again, and which are reported for a person."""

from datetime import timedelta
from typing import Any

import anyio
import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.adopting import Adoption, adopt
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.application.reconcile import Reconciliation
from booking_payments.application.views import NewBooking, PaymentView
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import NotPossibleNow
from booking_payments.domain.events import PaymentAdopted
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import authorize, book_and_pay, pay, pay_in_browser, payment_of, start

OURS = PaymentConfig(installation_id="inst_a", capture_by_customer=True)
FEE_ON_TOP = attrs.evolve(OURS, fees=FeePolicy(payer=FeePayer.CUSTOMER))
SUCCEEDED = "payment_intent.succeeded"


def before_the_loss(terms: PaymentConfig = OURS) -> PaymentsTestKit:
    """The installation before the restore, whose database gets lost."""
    return PaymentsTestKit(config=terms, storage=MemoryStorage(), seed=7)


def restored(lost: PaymentsTestKit, storage: Storage, terms: PaymentConfig = OURS) -> PaymentsTestKit:
    """The same installation on the same gateway account, with the database ``storage``."""
    kit = PaymentsTestKit(config=terms, storage=storage)
    kit.clock, kit.stripe = lost.clock, lost.stripe
    kit.deps = attrs.evolve(kit.deps, clock=lost.clock, gateway=FakeGateway(lost.stripe, lost.clock))
    kit.payments = BookingPayments(kit.deps)
    return kit


def with_gateway(kit: PaymentsTestKit, gateway: FakeGateway) -> BookingPayments:
    return BookingPayments(attrs.evolve(kit.deps, gateway=gateway))


def left(found: Reconciliation) -> list[tuple[str, str | None]]:
    return [(each.code, each.gateway_id) for each in found.left]


def adopted(found: Reconciliation) -> list[str | None]:
    return [each.payment_id for each in found.healed if each.code == "adopted"]


async def only_payment(kit: PaymentsTestKit, booking: Booking) -> Payment:
    [payment] = await kit.storage.read(lambda uow: uow.payments.of_booking(booking.id))
    return payment


async def status_of(kit: PaymentsTestKit, booking: Booking) -> BookingStatus:
    return (await kit.payments.get_booking(booking.id)).status


async def require_agreement(kit: PaymentsTestKit) -> None:
    """Check that the ledger is consistent and that the gateway has the same state."""
    ledger = await kit.payments.check_ledger()
    assert ledger.agrees, ledger.faults
    assert left(await kit.payments.reconcile()) == []


# --- what is adopted


@pytest.mark.parametrize("terms", [OURS, FEE_ON_TOP], ids=["fee from the organizer", "fee on top"])
async def test_a_lost_charge_is_adopted_by_the_booking_registered_anew(storage: Storage, terms: PaymentConfig) -> None:
    lost = before_the_loss(terms)
    paid = await book_and_pay(lost)
    kit = restored(lost, storage, terms)
    booking = await kit.book()

    found = await kit.payments.reconcile()

    payment = await only_payment(kit, booking)
    assert (adopted(found), left(found), found.foreign) == ([paid.payment.id], [], 0)
    assert (payment.id, payment.intent_id) == (paid.payment.id, paid.payment.intent_id)
    assert (payment.status, payment.captured, payment.breakdown) == (
        PaymentStatus.SUCCEEDED,
        paid.payment.captured,
        paid.payment.breakdown,
    )
    assert booking.id != paid.payment.booking_id
    assert await status_of(kit, booking) is BookingStatus.CONFIRMED
    await require_agreement(kit)


async def test_the_journal_and_the_audit_trail_name_the_actor_and_cause_of_an_adoption(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()

    await kit.payments.reconcile()

    [recorded] = [each for each in await kit.payments.journal(booking.id) if isinstance(each.event, PaymentAdopted)]
    assert (recorded.actor, recorded.cause) == ("system", "reconcile")
    assert recorded.event == PaymentAdopted(intent_id=paid.payment.intent_id or "", made_for=paid.payment.booking_id)
    records = await kit.storage.read(lambda uow: uow.audit.latest(5, booking.id))
    assert any("PaymentAdopted" in each.asked.get("events", "") for each in records)


async def test_the_booking_app_receives_a_message(storage: Storage) -> None:
    lost = before_the_loss()
    await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.book()

    await kit.payments.reconcile()

    waiting = await kit.storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
    assert [each.message.type for each in waiting] == ["payment.succeeded", "booking.confirmed"]


async def test_an_adopted_payment_can_be_refunded_and_not_paid_again(storage: Storage) -> None:
    lost = before_the_loss()
    await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    await kit.payments.reconcile()

    with pytest.raises(NotPossibleNow) as refused:
        await pay(kit, booking)
    refund = (await kit.payments.refund_payment(booking.id, amount="40.00")).refund

    assert (refused.value.code, refund.status) == ("already_paid", RefundStatus.SUCCEEDED)
    await require_agreement(kit)


async def test_refunds_of_an_adopted_charge_are_recorded(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    await lost.payments.refund_payment(paid.payment.booking_id, amount="40.00")
    kit = restored(lost, storage)
    booking = await kit.book()

    await kit.payments.reconcile()

    assert (await only_payment(kit, booking)).refunded == Money.parse("40.00", Currency.USD)
    await require_agreement(kit)


async def test_a_dispute_of_an_adopted_charge_is_recorded(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    lost.stripe.open_dispute(paid.payment.intent_id or "")
    kit = restored(lost, storage)
    booking = await kit.book()

    await kit.payments.reconcile()

    [dispute] = (await only_payment(kit, booking)).disputes
    assert dispute.status is DisputeStatus.NEEDS_RESPONSE
    await require_agreement(kit)


async def test_an_adopted_authorization_can_be_captured(storage: Storage) -> None:
    lost = before_the_loss()
    await authorize(lost)
    kit = restored(lost, storage)
    booking = await kit.book()

    await kit.payments.reconcile()
    held = await only_payment(kit, booking)
    await kit.payments.capture_payment(booking.id, amount="60.00")

    assert (held.status, held.capture_method) == (PaymentStatus.REQUIRES_CAPTURE, CaptureMethod.MANUAL)
    assert (await only_payment(kit, booking)).captured == Money.parse("60.00", Currency.USD)
    await require_agreement(kit)


async def test_a_partial_capture_is_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    held = await authorize(lost)
    await lost.payments.capture_payment(held.payment.booking_id, amount="60.00")
    kit = restored(lost, storage)
    booking = await kit.book()

    await kit.payments.reconcile()

    assert (await only_payment(kit, booking)).captured == Money.parse("60.00", Currency.USD)
    await require_agreement(kit)


async def test_a_processing_debit_is_adopted_so_that_no_second_payment_can_start(storage: Storage) -> None:
    lost = before_the_loss()
    under_way = await pay(lost, await lost.book(), "pm_usBankAccount_success")
    kit = restored(lost, storage)
    booking = await kit.book()

    found = await kit.payments.reconcile()
    again = await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(timedelta(seconds=3))
    await kit.deliver_webhooks()

    assert adopted(found) == [under_way.payment.id]
    assert again.payment.intent_id == under_way.payment.intent_id
    assert await status_of(kit, booking) is BookingStatus.CONFIRMED
    await require_agreement(kit)


async def test_a_charge_is_adopted_for_a_pending_booking_whose_hold_has_ended(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book(expires_in=timedelta(minutes=5))
    kit.clock.advance(timedelta(minutes=6))

    found = await kit.payments.reconcile()

    assert adopted(found) == [paid.payment.id]
    assert await status_of(kit, booking) is BookingStatus.CONFIRMED


# --- once


async def test_a_second_reconciliation_adopts_nothing(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()

    first, second = await kit.payments.reconcile(), await kit.payments.reconcile()

    assert (adopted(first), adopted(second)) == ([paid.payment.id], [])
    events = [type(each.event).__name__ for each in await kit.payments.journal(booking.id)]
    assert (events.count("PaymentAdopted"), events.count("PaymentSucceeded")) == (1, 1)


class Meanwhile(FakeGateway):
    """Run ``meanwhile`` once, during the first read of an intent."""

    def __init__(self, kit: PaymentsTestKit, work: Any) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._work = work

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        report = await super().retrieve_intent(intent_id)
        work, self._work = self._work, None
        if work is not None:
            await work()
        return report


async def test_when_two_processes_adopt_one_charge_the_second_changes_nothing(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    others: list[Reconciliation] = []

    async def other_process() -> None:
        others.append(await kit.payments.reconcile())

    found = await with_gateway(kit, Meanwhile(kit, other_process)).reconcile()

    assert (adopted(others[0]), adopted(found)) == ([paid.payment.id], [])
    assert (left(others[0]), left(found)) == ([], [])
    assert (await only_payment(kit, booking)).id == paid.payment.id


async def test_concurrent_reconciliations_adopt_a_charge_once(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    adoptions: list[Adoption] = []

    async def process() -> None:
        adoptions.append(await adopt(kit.deps, paid.payment.intent_id or ""))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(process)

    assert sorted(each.made_here for each in adoptions) == [False, False, False, False, True]
    assert {each.payment.id if each.payment else each.not_adopted for each in adoptions} == {paid.payment.id}
    assert (await only_payment(kit, booking)).id == paid.payment.id


async def test_an_event_that_arrives_during_an_adoption_is_not_lost(storage: Storage) -> None:
    """The event is ignored, since the payment is not stored yet; its change is read from the gateway afterwards."""
    lost = before_the_loss()
    under_way = await pay(lost, await lost.book(), "pm_usBankAccount_success")
    kit = restored(lost, storage)
    booking = await kit.book()
    await kit.deliver_webhooks()
    outcomes: list[str] = []

    async def bank_takes_it() -> None:
        kit.clock.advance(timedelta(seconds=3))
        outcomes.extend([each.outcome for each in await kit.deliver_webhooks() if each.type == SUCCEEDED])

    found = await with_gateway(kit, Meanwhile(kit, bank_takes_it)).reconcile()

    assert (outcomes, adopted(found), left(found)) == (["ignored"], [under_way.payment.id], [])
    assert await status_of(kit, booking) is BookingStatus.CONFIRMED


async def test_refunds_and_disputes_are_recorded_together_with_an_adopted_charge(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    intent_id = paid.payment.intent_id or ""
    lost.stripe.refund_in_dashboard(intent_id, 1000)
    lost.stripe.open_dispute(intent_id, inquiry=True)
    kit = restored(lost, storage)
    await kit.book()

    payment = (await adopt(kit.deps, intent_id)).payment

    assert payment is not None
    assert (payment.refunded.minor, len(payment.disputes)) == (1000, 1)


async def test_an_intent_that_has_changed_since_it_was_listed_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await start(lost)
    kit = restored(lost, storage)
    await kit.book()

    adoption = await adopt(kit.deps, view.payment.intent_id or "")

    assert (adoption.payment, adoption.not_adopted) == (None, "it has changed meanwhile; reconcile again")


async def test_an_event_of_an_adopted_charge_changes_nothing(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    await kit.payments.reconcile()
    before = await only_payment(kit, booking)

    await kit.deliver_webhooks()

    assert await only_payment(kit, booking) == before
    assert before.intent_id == paid.payment.intent_id


async def test_a_charge_is_not_adopted_when_the_customer_starts_a_payment_meanwhile(storage: Storage) -> None:
    lost = before_the_loss()
    paid = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()

    async def begin_to_pay() -> None:
        await kit.payments.start_payment(booking.id, ANN)

    found = await with_gateway(kit, Meanwhile(kit, begin_to_pay)).reconcile()

    assert (adopted(found), left(found)) == ([], [("unknown_charge", paid.payment.intent_id)])
    assert "has a payment already" in found.left[0].text


# --- what is left for a person


async def _reconciled(lost: PaymentsTestKit, kit: PaymentsTestKit, view: PaymentView) -> str:
    """Return the text of the finding for the one charge that is not adopted."""
    found = await kit.payments.reconcile()
    assert (adopted(found), left(found)) == ([], [("unknown_charge", view.payment.intent_id)])
    assert "before anything is given back" in found.left[0].text
    assert (found.left[0].payment_id, found.left[0].booking_id, found.left[0].reference) == (
        view.payment.id,
        view.payment.booking_id,
        view.payment.booking_reference,
    )
    return found.left[0].text


async def test_a_charge_without_a_booking_of_its_reference_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.book(reference="R-2")

    assert "no booking has its reference R-1" in await _reconciled(lost, kit, view)


@pytest.mark.parametrize("amount", ["99.99", "100.01"])
async def test_a_charge_of_another_amount_is_not_adopted(storage: Storage, amount: str) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book(amount=amount)

    assert f"would be charged {amount} usd" in await _reconciled(lost, kit, view)
    assert await status_of(kit, booking) is BookingStatus.PENDING


async def test_a_charge_is_not_adopted_when_the_customers_fee_has_changed(storage: Storage) -> None:
    lost = before_the_loss(FEE_ON_TOP)
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.book()

    assert "would be charged 100.00 usd" in await _reconciled(lost, kit, view)


async def test_a_charge_in_another_currency_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.book(currency=Currency.EUR)

    assert "would be charged 100.00 eur" in await _reconciled(lost, kit, view)


async def test_a_charge_of_another_customer_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    new = NewBooking(
        reference="R-1",
        customer_id="bob",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=kit.clock.now() + timedelta(days=30),
    )
    booking = (await kit.payments.register_booking(new)).booking

    assert "belongs to another customer" in await _reconciled(lost, kit, view)
    assert await status_of(kit, booking) is BookingStatus.PENDING


async def test_a_charge_for_a_closed_booking_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.payments.cancel_booking((await kit.book()).id)

    assert "is canceled" in await _reconciled(lost, kit, view)


async def test_a_charge_for_a_booking_with_a_canceled_payment_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)
    await kit.payments.cancel_payment(booking.id)

    assert "has a payment already" in await _reconciled(lost, kit, view)


async def test_a_charge_for_a_booking_in_the_backup_is_not_adopted(storage: Storage) -> None:
    """The database has its booking under the id in the metadata: the backup was made between the registration and
    the payment.
    """
    lost = before_the_loss()
    booking = await lost.book()
    kit = restored(lost, storage)
    await kit.storage.transact(lambda uow: uow.bookings.add(booking))
    view = await pay(lost, booking)

    assert f"the database has its booking {booking.id}, without this payment" in await _reconciled(lost, kit, view)
    assert await status_of(kit, booking) is BookingStatus.PENDING


@pytest.mark.parametrize("name", ["payment_id", "booking_id", "booking_reference", "customer_key", "installation_id"])
async def test_a_charge_with_incomplete_metadata_is_not_adopted(storage: Storage, name: str) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    lost.stripe._account.get("payment_intent", view.payment.intent_id or "").body["metadata"].pop(name)
    kit = restored(lost, storage)
    booking = await kit.book()

    found = await kit.payments.reconcile()

    assert (adopted(found), left(found)) == ([], [("unknown_charge", view.payment.intent_id)])
    assert await kit.storage.read(lambda uow: uow.payments.of_booking(booking.id)) == []


@pytest.mark.parametrize("payment_id", ["", "x" * 65, "pay_1\n", "pay 1", "päy_1"])
async def test_a_charge_with_a_malformed_payment_id_is_not_adopted(storage: Storage, payment_id: str) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    lost.stripe._account.get("payment_intent", view.payment.intent_id or "").body["metadata"]["payment_id"] = payment_id
    kit = restored(lost, storage)
    await kit.book()

    found = await kit.payments.reconcile()

    assert (adopted(found), left(found)) == ([], [("unknown_charge", view.payment.intent_id)])


async def test_a_charge_of_another_installation_is_foreign(storage: Storage) -> None:
    lost = before_the_loss(attrs.evolve(OURS, installation_id="inst_b"))
    await book_and_pay(lost)
    kit = restored(lost, storage)
    booking = await kit.book()

    found = await kit.payments.reconcile()

    assert (adopted(found), left(found), found.foreign) == ([], [], 1)
    assert await status_of(kit, booking) is BookingStatus.PENDING


async def test_of_two_charges_for_one_reference_one_is_adopted(storage: Storage) -> None:
    """The customer had paid twice before the loss: one charge is adopted, and a person decides about the other."""
    lost, twin = before_the_loss(), before_the_loss()
    first = await book_and_pay(lost)
    twin.deps = attrs.evolve(twin.deps, gateway=FakeGateway(lost.stripe, lost.clock), ids=lost.deps.ids)
    twin.payments = BookingPayments(twin.deps)
    second = await book_and_pay(twin)
    kit = restored(lost, storage)
    await kit.book()

    found = await kit.payments.reconcile()

    assert (adopted(found), left(found)) == ([first.payment.id], [("unknown_charge", second.payment.intent_id)])
    assert "is confirmed" in found.left[0].text


async def test_a_refunded_charge_is_neither_adopted_nor_reported(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    lost.stripe.refund_in_dashboard(view.payment.intent_id or "")
    kit = restored(lost, storage)
    booking = await kit.book()

    found = await kit.payments.reconcile()

    assert (adopted(found), left(found)) == ([], [])
    assert await status_of(kit, booking) is BookingStatus.PENDING


@pytest.mark.parametrize("card", [None, "pm_card_authenticationRequired", "pm_card_chargeDeclined"])
async def test_an_unpaid_intent_is_reported_for_cancellation(storage: Storage, card: str | None) -> None:
    """It is not paid, so there is no charge to adopt, but a customer with the page open could still pay it."""
    lost = before_the_loss()
    view = await start(lost)
    if card:
        pay_in_browser(lost, view, card)
    kit = restored(lost, storage)
    booking = await kit.book()

    before = await kit.payments.reconcile()
    lost.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/cancel")
    after = await kit.payments.reconcile()

    assert (adopted(before), left(before)) == ([], [("unknown_intent", view.payment.intent_id)])
    assert "cancel it" in before.left[0].text
    assert left(after) == []
    assert await status_of(kit, booking) is BookingStatus.PENDING


async def test_a_processing_debit_that_is_not_adopted_is_reported_like_a_charge(storage: Storage) -> None:
    lost = before_the_loss()
    view = await pay(lost, await lost.book(), "pm_usBankAccount_success")
    kit = restored(lost, storage)

    text = await _reconciled(lost, kit, view)

    assert text.startswith("100.00 usd is being charged")
    assert "cancel it" not in text


async def test_an_error_in_one_adoption_does_not_stop_the_others(storage: Storage) -> None:
    lost = before_the_loss()
    broken, fine = await book_and_pay(lost), await book_and_pay(lost, reference="R-2")
    kit = restored(lost, storage)
    for reference in ("R-1", "R-2"):
        await kit.book(reference=reference)

    class BrokenIntentGateway(FakeGateway):
        async def retrieve_intent(self, intent_id: str) -> IntentReport:
            if intent_id == broken.payment.intent_id:
                raise ValueError("odd")
            return await super().retrieve_intent(intent_id)

    found = await with_gateway(kit, BrokenIntentGateway(kit.stripe, kit.clock)).reconcile()

    assert (adopted(found), left(found)) == ([fine.payment.id], [("broke", broken.payment.intent_id)])


async def test_a_charge_that_cannot_be_recorded_is_not_adopted(storage: Storage) -> None:
    lost = before_the_loss()
    view = await book_and_pay(lost)
    lost.stripe._account.get("payment_intent", view.payment.intent_id or "").body["amount_received"] = 10001
    kit = restored(lost, storage)
    booking = await kit.book()

    assert "received 100.01" in await _reconciled(lost, kit, view)
    assert await kit.storage.read(lambda uow: uow.payments.of_booking(booking.id)) == []


# --- charges that succeed after the loss


@pytest.mark.parametrize(("installation", "alert"), [("inst_a", True), ("inst_b", False)])
async def test_the_event_of_a_lost_charge_raises_an_alert(storage: Storage, installation: str, alert: bool) -> None:
    lost = before_the_loss(attrs.evolve(OURS, installation_id=installation))
    view = await book_and_pay(lost)
    kit = restored(lost, storage)
    await kit.book()

    results = [each for each in await kit.deliver_webhooks() if each.type == SUCCEEDED]

    assert [(each.outcome, each.alert) for each in results] == [("ignored", alert)]
    assert ("reconcile" in (results[0].reason or "")) is alert
    if alert:
        assert results[0].about["intent_id"] == view.payment.intent_id


async def test_a_charge_made_after_the_loss_is_adopted_by_the_next_run(storage: Storage) -> None:
    lost = before_the_loss()
    view = await start(lost)
    kit = restored(lost, storage)
    booking = await kit.book()
    await kit.payments.reconcile()
    pay_in_browser(lost, view)
    await kit.deliver_webhooks()

    found = await kit.payments.reconcile()

    assert adopted(found) == [view.payment.id]
    assert (await payment_of(kit, booking)).status is PaymentStatus.SUCCEEDED
