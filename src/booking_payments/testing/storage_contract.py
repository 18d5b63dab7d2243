"""What every storage adapter has to keep: the contract of ``ports.storage`` as tests.

Subclass ``StorageContract`` in a test module and give it a ``storage`` fixture: an empty storage.
"""

from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs
import pytest

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, EndReason
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import (
    ConfirmIntent,
)
from booking_payments.domain.ledger import postings_of
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment, fold
from booking_payments.domain.reports import MethodDetails
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.bookings import BookingFilter, BookingPage
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import InboxEntry, InboxFilter, InboxStatus
from booking_payments.ports.payments import ClientAction, PaymentFilter, PaymentPage, PollState, Refunded
from booking_payments.ports.publisher import Backlog, Channel, Message, MessageDelivery
from booking_payments.ports.storage import AlreadyExists, Storage
from booking_payments.ports.unit_of_work import LockScope, TransactionBody, UnitOfWork
from booking_payments.testing import storage_samples as samples
from booking_payments.testing.kit import CHANNEL, NOW
from booking_payments.testing.payment_builder import (
    USD_100,
    PaymentBuilder,
    booking,
    payment_with_every_event,
    started_payment,
)

TIMEOUT_S = 30
"""Seconds after which a test stops waiting and fails, enough for the slowest machine."""

PULL = "pull:app"


def message(number: int, of: str = "bk_1") -> Message:
    """A message that was never stored."""
    return Message(id=f"msg_{number}", type="payment.succeeded", booking_id=of, payment_id=None, at=NOW, data={"n": 1})


def entry(
    number: int = 1,
    *,
    kind: str = "charge.refunded",
    status: InboxStatus = InboxStatus.RECEIVED,
    gateway: str = "stripe",
) -> InboxEntry:
    """An inbox row that was never stored."""
    return InboxEntry(
        event_id=f"evt_{number}",
        type=kind,
        gateway=gateway,
        status=status,
        object_id="ch_1",
        received_at=NOW + timedelta(seconds=number),
        body='{"id": "evt_1"}',
        tries=1,
        created_at=NOW,
    )


def answer(key: str = "key-1", *, caller: str = "ann", status: int | None = None) -> StoredAnswer:
    """A stored answer that was never stored."""
    body = b'{"success":true}' if status else None
    return StoredAnswer(
        caller=caller,
        route="POST /api/bookings/",
        key=key,
        fingerprint="f" * 64,
        created_at=NOW,
        locked_until=NOW + timedelta(minutes=1),
        status=status,
        media_type="application/json" if status else None,
        body=body,
    )


def audit_record(operation: str = "refund_payment", *, booking_id: str | None = "bk_1") -> AuditRecord:
    """A record that was never stored."""
    return AuditRecord(
        at=NOW,
        operation=operation,
        actor="operator:olga",
        cause="req_1 once_1",
        outcome=AuditOutcome.REFUSED,
        code="refund_too_large",
        request_id="req_1",
        key="a-key-of-16-letters",
        booking_id=booking_id,
        payment_id="pay_1",
        asked={"amount": "100.00", "reason": "duplicate"},
    )


async def store(storage: Storage, *bookings: Booking) -> None:
    """Store bookings."""

    async def work(uow: UnitOfWork) -> None:
        for each in bookings:
            await uow.bookings.add(each)

    await storage.transact(work)


async def stored(storage: Storage, builder: PaymentBuilder) -> Payment:
    """Store what happened to a payment."""
    return await storage.transact(builder.save)


_FILTERS: Final[Sequence[tuple[PaymentFilter, list[str]]]] = [
    (PaymentFilter(event_id="ev_1"), ["pay_2"]),
    (PaymentFilter(event_id="ev_9"), []),
    (PaymentFilter(text="at-r"), ["pay_2"]),
    (PaymentFilter(text="JÖRG"), ["pay_2"]),
    (PaymentFilter(text="hamlet"), ["pay_2"]),
    (PaymentFilter(text="r-1"), ["pay_1"]),
    (PaymentFilter(text="%"), []),
    (PaymentFilter(text="_"), []),
    (PaymentFilter(text="\\"), []),
    (PaymentFilter(email="J@EXAMPLE"), ["pay_2"]),
    (PaymentFilter(email="hamlet"), []),
    (PaymentFilter(email=""), ["pay_2", "pay_1"]),
    (PaymentFilter(amount=Decimal("100")), ["pay_2", "pay_1"]),
    (PaymentFilter(amount=Decimal("100.000")), ["pay_2", "pay_1"]),
    (PaymentFilter(amount=Decimal("100.001")), []),
    (PaymentFilter(amount=Decimal("10000")), []),
    (PaymentFilter(amount=Decimal("100"), currency=Currency.USD), ["pay_2", "pay_1"]),
    (PaymentFilter(amount=Decimal("100"), currency=Currency.EUR), []),
    (PaymentFilter(amount=Decimal(10) ** 40), []),
    (PaymentFilter(last4="4242"), ["pay_2"]),
    (PaymentFilter(last4="424"), []),
    (PaymentFilter(refunded=Refunded.ANY), ["pay_2"]),
    (PaymentFilter(refunded=Refunded.PARTLY), ["pay_2"]),
    (PaymentFilter(refunded=Refunded.FULLY), []),
    (PaymentFilter(refunded=Refunded.NONE), ["pay_1"]),
    (PaymentFilter(disputed=True), ["pay_2"]),
    (PaymentFilter(disputed=False), ["pay_1"]),
    (PaymentFilter(disputed=True, refunded=Refunded.ANY, last4="4242", text="r"), ["pay_2"]),
    (PaymentFilter(disputed=True, status=PaymentStatus.CANCELED), []),
    (PaymentFilter(updated_from=NOW), ["pay_2", "pay_1"]),
    (PaymentFilter(updated_from=NOW + timedelta(seconds=2)), ["pay_2"]),
]
"""Filters, and which of two payments each finds: ``pay_2`` is of a known customer, refunded in part and disputed."""


_NAMES: Final = (
    'Ann "the voice" O\'Neil',
    "Straße 100% AND 5_a*",
    "E\u0301lise Zoe\u0308",  # decomposed, as some keyboards write it
    "\u7530\u4e2d \u592a\u90ce",
    "\uff21\uff22\uff23 (full width)",
    "back\\slash ^ {x:y} -z +q",
    "\U0001f3bb violin",
)
_SEARCHES: Final[Mapping[str, Sequence[str]]] = {
    **{name: [name] for name in _NAMES},
    "the voice\" o'n": [_NAMES[0]],
    '"the': [_NAMES[0]],
    "STRASSE": [_NAMES[1]],
    "100%": [_NAMES[1]],
    "10%": [],
    "s_r": [],
    "  straße \t 100% ": [_NAMES[1]],
    "and 5_a*": [_NAMES[1]],
    "ann AND the": [],
    "ann OR 100": [],
    "NEAR(ann the)": [],
    "str*": [],
    "^ann": [],
    "\u00c9LISE": [_NAMES[2]],
    "zo\u00eb": [_NAMES[2]],
    "elise": [],
    "\u7530\u4e2d": [_NAMES[3]],
    "\u592a": [_NAMES[3]],
    "\u4e2d": [],
    "abc": [_NAMES[4]],
    "fu": [_NAMES[4]],
    "ul": [],
    "k\\s": [_NAMES[5]],
    "{x:y} -z": [_NAMES[5]],
    "sl": [_NAMES[5]],
    "\U0001f3bb": [_NAMES[6]],
    "\U0001f3bb v": [_NAMES[6]],
    "oli": [_NAMES[6]],
    "lee\nann": [],
    "x" * 200: [],
    "": _NAMES,
    "   ": _NAMES,
}
"""Searches, and the names that each finds."""


def _named(name: str, number: int = 1) -> Booking:
    return attrs.evolve(booking(number), details=BookingDetails(customer_name=name))


def _refunded_and_disputed(builder: PaymentBuilder) -> PaymentBuilder:
    """Let the payment succeed with a card that ends in 4242; then 10.00 are refunded and disputed."""
    part, captured = Money(1000, Currency.USD), FeePolicy().of_booking(USD_100)
    return builder.happen(
        ev.PaymentSucceeded(breakdown=captured, charge_id="ch_1", attempt=None, late=False),
        ev.MethodSeen(charge_id="ch_1", method=MethodDetails(type="card", brand="visa", last4="4242", wallet=None)),
        ev.RefundFound(
            refund_id="re_1",
            gateway_refund_id="re_1",
            amount=part,
            fee_refunded=Money(0, Currency.USD),
            status=RefundStatus.SUCCEEDED,
            reason=None,
        ),
        ev.DisputeOpened(
            dispute_id="du_1",
            status=DisputeStatus.NEEDS_RESPONSE,
            reason="fraudulent",
            amount=part,
            evidence_due_by=None,
        ),
    )


async def _set_poll_state(poll_state: PollState, uow: UnitOfWork) -> None:
    await uow.payments.save_poll_state("pay_1", poll_state)


async def _pages(uow: UnitOfWork, filters: Sequence[PaymentFilter]) -> Sequence[PaymentPage]:
    return [await uow.payments.page(each, None, 10) for each in filters]


def _bookings(which: BookingFilter, cursor: str | None = None, limit: int = 2) -> TransactionBody[BookingPage]:
    async def work(uow: UnitOfWork) -> BookingPage:
        return await uow.bookings.page(which, cursor, limit)

    return work


async def _count_refused(hour: datetime, deliveries: int, uow: UnitOfWork, *, gateway: str = "stripe") -> None:
    await uow.inbox.count_refused(gateway, hour, deliveries)


async def _refused_since(at: datetime, uow: UnitOfWork, *, gateway: str = "stripe") -> int:
    return await uow.inbox.refused_since(gateway, at)


async def _done(gateway: str, uow: UnitOfWork) -> Collection[str]:
    return await uow.inbox.done(gateway, ["evt_1"])


async def _lock_customer(customer_id: str, uow: UnitOfWork) -> None:
    await uow.bookings.lock_customer(customer_id)


class StorageContract:
    """The tests."""

    # --- transactions

    async def test_stored_values_are_found(self, storage: Storage) -> None:
        await store(storage, booking())

        assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == booking()

    async def test_a_transaction_that_raises_leaves_nothing_behind(self, storage: Storage) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.bookings.add(booking())
            raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            await storage.transact(work)

        assert await storage.read(lambda uow: uow.bookings.get("bk_1")) is None

    async def test_an_open_transaction_is_not_seen_by_readers(self, storage: Storage) -> None:
        seen: list[Booking | None] = []

        async def work(uow: UnitOfWork) -> None:
            await uow.bookings.add(booking())
            seen.append(await storage.read(lambda reader: reader.bookings.get("bk_1")))

        await storage.transact(work)

        assert seen == [None]

    async def test_a_read_transaction_sees_one_state_while_others_write(self, storage: Storage) -> None:
        await store(storage, booking(1))

        async def work(uow: UnitOfWork) -> tuple[int, int]:
            before = await uow.bookings.count_unpaid("ann")
            await store(storage, booking(2))
            return before, await uow.bookings.count_unpaid("ann")

        assert await storage.read(work) == (1, 1)

    async def test_a_canceled_transaction_is_committed_whole_or_not_at_all_and_releases_its_locks(
        self, storage: Storage
    ) -> None:
        await store(storage, booking(1))

        with anyio.CancelScope() as scope:

            async def work(uow: UnitOfWork) -> None:
                await uow.bookings.lock("bk_1")
                await uow.bookings.add(booking(2))
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                await uow.bookings.add(booking(3))

            await storage.transact(work)

        with anyio.fail_after(TIMEOUT_S):
            assert await storage.transact(lambda uow: uow.bookings.lock("bk_1")) == booking(1)
        second, third = (
            await storage.read(lambda uow: uow.bookings.get("bk_2")),
            await storage.read(lambda uow: uow.bookings.get("bk_3")),
        )
        assert (second is None) == (third is None)

    async def test_the_lock_of_a_booking_excludes_other_transactions(self, storage: Storage) -> None:
        await store(storage, booking())

        async def count(uow: UnitOfWork) -> None:
            await uow.bookings.lock("bk_1")
            seen = await uow.inbox.find("evt_1")
            await anyio.lowlevel.checkpoint()
            tries = seen[0].tries + 1 if seen else 1
            await uow.inbox.put(attrs.evolve(entry(), tries=tries))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(storage.transact, count)

        found = await storage.read(lambda uow: uow.inbox.find("evt_1"))
        assert found[0].tries == 10

    async def test_the_same_new_row_of_two_transactions_is_stored_once(self, storage: Storage) -> None:
        async def receive(uow: UnitOfWork) -> None:
            if not await uow.inbox.find("evt_1"):
                await anyio.lowlevel.checkpoint()
                await uow.inbox.put(entry())

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(storage.transact, receive)

        assert len(await storage.read(lambda uow: uow.inbox.find("evt_1"))) == 1

    # --- every value

    async def test_every_field_is_stored_and_found(self, storage: Storage) -> None:
        await self._take(storage, *samples.PREPARE, *samples.STORE)

        values = (samples.BOOKING, samples.PAYMENT, samples.POLL_STATE, samples.HANDOVER, samples.ENTRY, samples.ANSWER)
        assert await storage.transact(self._stored) == [samples.fields_of(each) for each in values]

    async def test_every_field_that_may_change_is_changed(self, storage: Storage) -> None:
        await self._take(storage, *samples.PREPARE, *samples.STORE, *samples.CHANGE)

        assert await storage.transact(self._stored) == [samples.fields_of(after) for _, after, _ in samples.CHANGES]

    async def test_every_field_of_append_only_values_is_stored(self, storage: Storage) -> None:
        await self._take(storage, *samples.PREPARE, *samples.STORE)

        journal = await storage.read(lambda uow: uow.payments.journal(samples.PAYMENT.id))
        postings = await storage.read(lambda uow: uow.payments.postings(samples.PAYMENT.id))
        records = await storage.read(lambda uow: uow.audit.latest(2))
        deliveries = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        assert tuple(journal) == samples.EVENTS
        assert (tuple(postings), tuple(records)) == (samples.POSTINGS, (samples.RECORD,))
        assert tuple(each.message for each in deliveries) == samples.MESSAGES

    def test_every_field_has_a_value_and_another_one_in_these_tests(self) -> None:
        same = {type(each[0]).__name__: samples.unchanged(*each) for each in samples.CHANGES}
        without = {type(each[0]).__name__: samples.unset(each[0]) & samples.unset(each[1]) for each in samples.CHANGES}

        assert {name: found for name, found in same.items() if found} == {}, (
            "give the changed sample in testing/storage_samples.py another value, or list the field there as fixed"
        )
        assert {name: found for name, found in without.items() if found} == {}, (
            "give a sample in testing/storage_samples.py a value that is not the default of these fields"
        )
        assert samples.unset(samples.RECORD) == set()
        assert [samples.unset(each) for each in samples.MESSAGES] == [{"cursor"}] * len(samples.MESSAGES)

    async def _take(self, storage: Storage, *steps: samples.SampleTransaction) -> None:
        for step in steps:
            await storage.transact(step.work, step.subject)

    async def _stored(self, uow: UnitOfWork) -> list[dict[str, Any]]:
        payment_id, answer = samples.PAYMENT.id, samples.ANSWER
        found = (
            await uow.bookings.get(samples.BOOKING.id),
            await uow.payments.get(payment_id),
            await uow.payments.poll_state(payment_id),
            await uow.payments.client_action(payment_id),
            *await uow.inbox.find(samples.EVENT_ID),
            await uow.answers.get(answer.caller, answer.route, answer.key),
        )
        return [samples.fields_of(each) for each in found]

    # --- bookings

    async def test_a_reference_is_taken_once(self, storage: Storage) -> None:
        await store(storage, booking())

        with pytest.raises(AlreadyExists):
            await store(storage, attrs.evolve(booking(2), reference="R-1"))

    @pytest.mark.parametrize("status", [BookingStatus.CANCELED, BookingStatus.EXPIRED])
    async def test_a_reference_may_be_used_again_when_its_booking_has_ended(
        self, storage: Storage, status: BookingStatus
    ) -> None:
        await store(storage, booking())
        ended = attrs.evolve(booking(), status=status)
        await storage.transact(lambda uow: uow.bookings.save(ended))
        before = await storage.read(lambda uow: uow.bookings.by_reference("R-1"))
        again = attrs.evolve(booking(2), reference="R-1", created_at=NOW + timedelta(hours=1))

        await store(storage, again)

        page = await storage.read(_bookings(BookingFilter(reference="R-1")))
        assert (before, await storage.read(lambda uow: uow.bookings.by_reference("R-1"))) == (None, again)
        assert page.items == (again, ended)

    @pytest.mark.parametrize("status", [BookingStatus.PENDING, BookingStatus.CONFIRMED])
    async def test_a_reference_that_was_used_again_is_taken_again(
        self, storage: Storage, status: BookingStatus
    ) -> None:
        old = attrs.evolve(booking(1), status=BookingStatus.EXPIRED)
        await store(storage, old, attrs.evolve(booking(2), reference="R-1", status=status))

        with pytest.raises(AlreadyExists):
            await store(storage, attrs.evolve(booking(3), reference="R-1"))

    async def test_an_id_is_taken_once(self, storage: Storage) -> None:
        await store(storage, booking())

        with pytest.raises(AlreadyExists):
            await store(storage, attrs.evolve(booking(), reference="R-2"))

    async def test_a_booking_is_found_by_its_reference(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))

        assert await storage.read(lambda uow: uow.bookings.by_reference("R-2")) == booking(2)

    async def test_a_booking_without_a_refund_policy_is_stored_without_one(self, storage: Storage) -> None:
        plain = attrs.evolve(booking(), refund_policy=None)
        await store(storage, plain)

        assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == plain

    async def test_the_status_of_a_booking_is_saved(self, storage: Storage) -> None:
        await store(storage, booking())
        confirmed = attrs.evolve(booking(), status=BookingStatus.CONFIRMED)

        await storage.transact(lambda uow: uow.bookings.save(confirmed))

        assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == confirmed

    @pytest.mark.parametrize("scope", [None, LockScope(booking_id="bk_1")], ids=["alone", "in a group"])
    @pytest.mark.parametrize("reason", EndReason)
    async def test_why_a_booking_has_ended_is_saved(
        self, storage: Storage, scope: LockScope | None, reason: EndReason
    ) -> None:
        await store(storage, booking())
        ended = attrs.evolve(booking(), status=BookingStatus.EXPIRED, end_reason=reason)

        async def end(uow: UnitOfWork) -> None:
            await uow.bookings.lock("bk_1")
            await uow.bookings.save(ended)

        await storage.transact(end, scope)

        assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == ended

    async def test_locking_an_unknown_booking_returns_none(self, storage: Storage) -> None:
        assert await storage.transact(lambda uow: uow.bookings.lock("bk_9")) is None

    async def test_overdue_bookings_come_longest_overdue_first(self, storage: Storage) -> None:
        hours = [timedelta(hours=hour) for hour in (3, 1, 2, 9)]
        await store(storage, *(booking(place, expires_in=hour) for place, hour in enumerate(hours)))

        due = await storage.read(lambda uow: uow.bookings.due_to_expire(NOW + timedelta(hours=3), 2))

        assert due == ["bk_1", "bk_2"]

    async def test_overdue_bookings_without_a_payment_come_first(self, storage: Storage) -> None:
        paying = booking(1, expires_in=timedelta(hours=1))
        await store(storage, paying, booking(2, expires_in=timedelta(hours=2)))
        await stored(storage, started_payment(paying))

        due = await storage.read(lambda uow: uow.bookings.due_to_expire(NOW + timedelta(hours=3), 10))

        assert due == ["bk_2", "bk_1"]

    async def test_a_booking_whose_payment_is_on_its_way_is_not_overdue(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, started_payment(booking()).happen(ev.ProcessingStarted()))

        due = await storage.read(lambda uow: uow.bookings.due_to_expire(NOW + timedelta(days=1), 10))

        assert due == []

    async def test_unpaid_bookings_are_counted_by_customer(self, storage: Storage) -> None:
        lapsed = booking(3, expires_in=timedelta(0))
        paid = attrs.evolve(booking(4), status=BookingStatus.CONFIRMED)
        await store(storage, booking(1), booking(2, customer_id="bob"), lapsed, paid)

        assert await storage.read(lambda uow: uow.bookings.count_unpaid("ann")) == 2

    async def test_the_lock_of_a_customer_excludes_other_transactions(self, storage: Storage) -> None:
        async def add(number: int) -> None:
            async def work(uow: UnitOfWork) -> None:
                await uow.bookings.lock_customer("ann")
                counted = await uow.bookings.count_unpaid("ann")
                await anyio.lowlevel.checkpoint()
                if counted < 3:
                    await uow.bookings.add(booking(number))

            await storage.transact(work)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(add, number)

        assert await storage.read(lambda uow: uow.bookings.count_unpaid("ann")) == 3

    async def test_one_customer_does_not_wait_for_another(self, storage: Storage) -> None:
        async def lock(*customers: str) -> None:
            for customer in customers:
                await storage.transact(partial(_lock_customer, customer))

        with anyio.fail_after(TIMEOUT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lock, "ann", "bob", "ann")
                tasks.start_soon(lock, "bob", "ann", "bob")

    # --- payments

    async def test_every_event_survives_its_storage(self, storage: Storage) -> None:
        await store(storage, booking())
        builder = payment_with_every_event(booking())
        written = list(builder.journal)

        payment = await stored(storage, builder)

        journal = await storage.read(lambda uow: uow.payments.journal("pay_1"))
        assert list(journal) == written
        assert fold(journal) == payment

    async def test_a_payment_is_found_as_it_was_stored(self, storage: Storage) -> None:
        await store(storage, booking())

        payment = await stored(storage, payment_with_every_event(booking()))

        assert await storage.read(lambda uow: uow.payments.get("pay_1")) == payment

    async def test_postings_are_stored_with_their_events(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, payment_with_every_event(booking()))

        kept = await storage.read(lambda uow: uow.payments.postings("pay_1"))
        journal = await storage.read(lambda uow: uow.payments.journal("pay_1"))
        assert tuple(kept) == postings_of(journal) != ()

    async def test_facts_are_added_to_those_that_were_there(self, storage: Storage) -> None:
        await store(storage, booking())
        builder = started_payment(booking())
        await stored(storage, builder)
        payment = await stored(storage, builder.happen(ev.IntentLinked(intent_id="pi_1"), ev.ActionRequired()))

        assert await storage.read(lambda uow: uow.payments.get("pay_1")) == payment

    async def test_a_payment_that_has_moved_on_is_not_overwritten(self, storage: Storage) -> None:
        await store(storage, booking())
        first, second = started_payment(booking()), started_payment(booking())
        await stored(storage, first)
        second.mark_saved()
        await stored(storage, first.happen(ev.ActionRequired()))

        with pytest.raises(AlreadyExists):
            await stored(storage, second.happen(ev.ProcessingStarted()))

    async def test_a_booking_is_held_by_one_payment(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, started_payment(booking(), 1))

        with pytest.raises(AlreadyExists):
            await stored(storage, started_payment(booking(), 2))

    async def test_of_payments_started_at_once_one_holds_the_booking(self, storage: Storage) -> None:
        await store(storage, booking())
        refused: list[int] = []

        async def begin(number: int) -> None:
            try:
                await stored(storage, started_payment(booking(), number))
            except AlreadyExists:
                refused.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(begin, number)

        assert len(refused) == 4
        assert len(await storage.read(lambda uow: uow.payments.of_booking("bk_1"))) == 1

    async def test_a_canceled_payment_makes_room_for_the_next(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, started_payment(booking(), 1).happen(ev.PaymentCanceled()))
        await stored(storage, started_payment(booking(), 2, NOW + timedelta(seconds=1)))

        payments = await storage.read(lambda uow: uow.payments.of_booking("bk_1"))
        assert [payment.id for payment in payments] == ["pay_1", "pay_2"]

    @pytest.mark.parametrize(
        "events",
        [
            (ev.IntentLinked(intent_id="pi_1"),),
            (
                ev.OperationIntended(
                    idempotency_key="key-1",
                    purpose=ev.Purpose.PAY,
                    instruction=ConfirmIntent(intent_id="pi_1", payment_method_id=None, return_url=None),
                ),
            ),
            (
                ev.DisputeOpened(
                    dispute_id="du_1",
                    status=DisputeStatus.WON,
                    reason="general",
                    amount=USD_100,
                    evidence_due_by=None,
                ),
            ),
        ],
    )
    async def test_what_belongs_to_one_payment_is_no_other_payments(
        self, storage: Storage, events: Sequence[ev.Event]
    ) -> None:
        await store(storage, booking(1), booking(2))
        await stored(storage, started_payment(booking(1), 1).happen(*events))

        with pytest.raises(AlreadyExists):
            await stored(storage, started_payment(booking(2), 2).happen(*events))

    @pytest.mark.parametrize("gateway_id", ["pi_1", "ch_1", "ch_2", "re_1", "re_2", "du_1", "rf_1"])
    async def test_a_payment_is_found_by_the_ids_of_its_things(self, storage: Storage, gateway_id: str) -> None:
        await store(storage, booking())
        payment = await stored(storage, payment_with_every_event(booking()))

        assert await storage.read(lambda uow: uow.payments.by_gateway_id(gateway_id)) == payment

    async def test_what_the_gateway_never_named_is_not_found(self, storage: Storage) -> None:
        assert await storage.read(lambda uow: uow.payments.by_gateway_id("pi_9")) is None

    async def test_pages_go_from_the_newest_to_the_oldest(self, storage: Storage) -> None:
        await self._many(storage, 5)

        first = await storage.read(lambda uow: uow.payments.page(PaymentFilter(), None, 2))
        second = await storage.read(lambda uow: uow.payments.page(PaymentFilter(), first.next_cursor, 2))
        third = await storage.read(lambda uow: uow.payments.page(PaymentFilter(), second.next_cursor, 2))

        listed = [payment.id for page in (first, second, third) for payment in page.items]
        assert (listed, third.next_cursor) == (["pay_5", "pay_4", "pay_3", "pay_2", "pay_1"], None)

    @pytest.mark.parametrize(
        ("which", "found"),
        [
            (PaymentFilter(status=PaymentStatus.CANCELED), []),
            (PaymentFilter(status=PaymentStatus.REQUIRES_PAYMENT_METHOD), ["pay_2", "pay_1"]),
            (PaymentFilter(customer_id="ann"), ["pay_2", "pay_1"]),
            (PaymentFilter(customer_id="bob"), []),
            (PaymentFilter(customer_id=""), []),
            (PaymentFilter(reference=""), []),
            (PaymentFilter(reference="R-2"), ["pay_2"]),
            (PaymentFilter(created_from=NOW + timedelta(seconds=2)), ["pay_2"]),
            (PaymentFilter(created_to=NOW + timedelta(seconds=2)), ["pay_1"]),
        ],
    )
    async def test_a_page_lists_what_the_filter_asks_for(
        self, storage: Storage, which: PaymentFilter, found: list[str]
    ) -> None:
        await self._many(storage, 2)

        page = await storage.read(lambda uow: uow.payments.page(which, None, 10))

        assert [payment.id for payment in page.items] == found

    async def test_payments_are_found_by_what_a_customer_knows_of_them(self, storage: Storage) -> None:
        named = BookingDetails(title="Hamlet", customer_name="Jörg", customer_email="J@Example.com")
        seat = attrs.evolve(booking(2), reference="SEAT-R", event_id="ev_1", details=named)
        await store(storage, booking(1), seat)
        await stored(storage, started_payment(booking(1), 1, NOW + timedelta(seconds=1)))
        await stored(storage, _refunded_and_disputed(started_payment(seat, 2, NOW + timedelta(seconds=2))))
        filters = [which for which, _ in _FILTERS]

        pages = await storage.read(lambda uow: _pages(uow, filters))

        for (which, found), page in zip(_FILTERS, pages, strict=True):
            assert [payment.id for payment in page.items] == found, which

    async def test_a_search_takes_its_text_letter_by_letter_in_any_case_and_spelling(self, storage: Storage) -> None:
        await store(storage, *(_named(name, number) for number, name in enumerate(_NAMES, start=1)))

        for looked_for, found in _SEARCHES.items():
            page = await storage.read(_bookings(BookingFilter(text=looked_for), limit=20))

            names = {each.details.customer_name for each in page.items}
            assert names == set(found), looked_for

    async def test_a_changed_booking_is_no_longer_found_by_its_former_name(self, storage: Storage) -> None:
        await store(storage, _named("Carl Lee"))

        await storage.transact(lambda uow: uow.bookings.save(_named("Bob Lee")))

        found = [
            [each.id for each in (await storage.read(_bookings(BookingFilter(text=name)))).items]
            for name in ("carl", "bob", "lee")
        ]
        assert found == [[], ["bk_1"], ["bk_1"]]

    async def test_bookings_are_read_many_at_a_time(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2), booking(3))

        found = await storage.read(lambda uow: uow.bookings.many({"bk_1", "bk_3", "bk_9"}))

        assert found == {"bk_1": booking(1), "bk_3": booking(3)}
        assert await storage.read(lambda uow: uow.bookings.many(())) == {}

    async def test_an_amended_booking_is_found_by_its_new_address(self, storage: Storage) -> None:
        await store(storage, booking(1))
        await stored(storage, started_payment(booking(1), 1))
        amended = attrs.evolve(booking(1), details=BookingDetails(customer_email="new@example.org"))

        await storage.transact(lambda uow: uow.bookings.save(amended))

        page = await storage.read(lambda uow: uow.payments.page(PaymentFilter(email="new@"), None, 10))
        assert [payment.id for payment in page.items] == ["pay_1"]

    async def test_pages_of_one_status_go_from_the_newest_to_the_oldest(self, storage: Storage) -> None:
        await self._many(storage, 3)
        waiting = PaymentFilter(status=PaymentStatus.REQUIRES_PAYMENT_METHOD)

        first = await storage.read(lambda uow: uow.payments.page(waiting, None, 2))
        second = await storage.read(lambda uow: uow.payments.page(waiting, first.next_cursor, 2))

        listed = [payment.id for page in (first, second) for payment in page.items]
        assert (listed, second.next_cursor) == (["pay_3", "pay_2", "pay_1"], None)

    async def test_a_payment_is_listed_under_the_status_that_it_has_come_to(self, storage: Storage) -> None:
        await store(storage, booking())
        builder, captured = started_payment(booking()), FeePolicy().of_booking(USD_100)
        steps: list[tuple[ev.Event, ...]] = [
            (),
            (ev.IntentLinked(intent_id="pi_1"), ev.MethodAttached(), ev.ActionRequired()),
            (ev.ProcessingStarted(),),
            (ev.PaymentSucceeded(breakdown=captured, charge_id="ch_1", attempt=None, late=False),),
        ]

        listed = [await self._listed_after(storage, builder.happen(*events)) for events in steps]

        assert listed == [["requires_payment_method"], ["requires_action"], ["processing"], ["succeeded"]]

    async def _listed_after(self, storage: Storage, builder: PaymentBuilder) -> list[str]:
        """The statuses under which the only payment is listed."""
        await stored(storage, builder)
        filters = [PaymentFilter(status=status) for status in PaymentStatus]
        pages = await storage.read(lambda uow: _pages(uow, filters))
        return [status.value for status, page in zip(PaymentStatus, pages, strict=True) if page.items]

    @pytest.mark.parametrize(
        "place",
        [b"99999999999999999999999:x", b"1:\0", b"1:", b"1", b"1_0:x", b" 1:x", b"+1:x", b"\xd9\xa1:x", b"\xff"],
    )
    async def test_a_forged_place_is_refused(self, storage: Storage, place: bytes) -> None:
        cursor = urlsafe_b64encode(place).decode().rstrip("=")

        with pytest.raises(InvalidInput) as refused:
            await storage.read(lambda uow: uow.payments.page(PaymentFilter(), cursor, 2))

        assert refused.value.code == "bad_cursor"

    @pytest.mark.parametrize("cursor", ["nonsense", "", "!!!", "MTp4=", "MTp4\n"])
    async def test_a_foreign_cursor_is_refused(self, storage: Storage, cursor: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await storage.read(lambda uow: uow.payments.page(PaymentFilter(), cursor, 2))

        assert refused.value.code == "bad_cursor"

    async def _many(self, storage: Storage, count: int) -> None:
        for number in range(1, count + 1):
            await store(storage, booking(number))
            await stored(storage, started_payment(booking(number), number, NOW + timedelta(seconds=number)))

    @pytest.mark.parametrize("secret", ["pi_1_secret_x", None])
    async def test_a_handover_is_kept_apart(self, storage: Storage, secret: str | None) -> None:
        await store(storage, booking())
        await stored(storage, started_payment(booking()))
        client_action = ClientAction(client_secret=secret, next_action={"type": "use_stripe_sdk"})
        assert await storage.read(lambda uow: uow.payments.client_action("pay_1")) is None

        await storage.transact(lambda uow: uow.payments.save_client_action("pay_1", client_action))

        assert await storage.read(lambda uow: uow.payments.client_action("pay_1")) == client_action

    async def test_a_watch_is_kept(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, started_payment(booking()))
        poll_state = PollState(next_check_at=NOW, checks=3, lease_until=NOW + timedelta(minutes=1), holder="run_1")
        assert await storage.read(lambda uow: uow.payments.poll_state("pay_1")) == PollState()

        await storage.transact(lambda uow: uow.payments.save_poll_state("pay_1", poll_state))

        assert await storage.read(lambda uow: uow.payments.poll_state("pay_1")) == poll_state

    async def test_due_payments_come_most_overdue_first_and_without_those_under_a_lease(self, storage: Storage) -> None:
        await self._many(storage, 4)
        poll_states = {
            "pay_1": PollState(next_check_at=NOW),
            "pay_2": PollState(next_check_at=NOW - timedelta(hours=1), lease_until=NOW),
            "pay_3": PollState(next_check_at=NOW - timedelta(hours=2), lease_until=NOW + timedelta(seconds=1)),
            "pay_4": PollState(next_check_at=NOW + timedelta(seconds=1)),
        }

        async def work(uow: UnitOfWork) -> None:
            for payment_id, poll_state in poll_states.items():
                await uow.payments.save_poll_state(payment_id, poll_state)

        await storage.transact(work)

        assert await storage.read(lambda uow: uow.payments.due(NOW, 10)) == ["pay_2", "pay_1"]

    async def test_a_payment_that_has_succeeded_is_due_while_it_is_watched(self, storage: Storage) -> None:
        await store(storage, booking())
        await stored(storage, payment_with_every_event(booking()))
        due = []

        for poll_state in (PollState(next_check_at=NOW), PollState()):
            await storage.transact(partial(_set_poll_state, poll_state))
            due.append(await storage.read(lambda uow: uow.payments.due(NOW, 10)))

        assert due == [["pay_1"], []]

    # --- books

    async def test_the_books_are_gone_through_in_pieces(self, storage: Storage) -> None:
        await self._pay_three(storage)

        first = await storage.read(lambda uow: uow.payment_reader.ids("", 2))
        rest = await storage.read(lambda uow: uow.payment_reader.ids(first[-1], 2))
        end = await storage.read(lambda uow: uow.payment_reader.ids(rest[-1], 2))
        assert ([*first, *rest], end) == (["pay_1", "pay_2", "pay_3"], [])

    async def test_payments_are_read_many_at_once(self, storage: Storage) -> None:
        await self._pay_three(storage)

        found = await storage.read(lambda uow: uow.payment_reader.payments(["pay_1", "pay_3", "pay_9"]))
        alone = await storage.read(lambda uow: uow.payments.get("pay_3"))
        assert (sorted(found), found["pay_3"]) == (["pay_1", "pay_3"], alone)

    async def test_payments_are_found_by_their_intents(self, storage: Storage) -> None:
        await store(storage, booking(1))
        payment = await stored(storage, started_payment(booking(1)).happen(ev.IntentLinked(intent_id="pi_1")))

        found = await storage.read(lambda uow: uow.payment_reader.of_intents(["pi_1", "pi_2"]))
        assert found == {"pi_1": payment}

    async def test_payments_are_found_by_their_bookings_oldest_first(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2), booking(3))
        first = await stored(storage, started_payment(booking(1), 1).happen(ev.PaymentCanceled()))
        second = await stored(storage, started_payment(booking(1), 2))
        other = await stored(storage, started_payment(booking(2), 3))

        found = await storage.read(lambda uow: uow.payment_reader.of_bookings(["bk_1", "bk_2", "bk_3", "bk_9"]))

        oldest_first = sorted([first, second], key=lambda payment: payment.created_at)
        assert {its: list(payments) for its, payments in found.items()} == {"bk_1": oldest_first, "bk_2": [other]}
        assert dict(await storage.read(lambda uow: uow.payment_reader.of_bookings([]))) == {}

    async def test_a_charge_is_no_intent(self, storage: Storage) -> None:
        await store(storage, booking(1))
        await stored(storage, payment_with_every_event(booking(1)))
        charges = await storage.read(lambda uow: uow.payment_reader.of_intents(["ch_1", "re_1", "du_1"]))

        assert charges == {}

    async def test_a_story_has_everything_that_is_stored_about_a_payment(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))
        await stored(storage, started_payment(booking(2), 2))
        payment = await stored(storage, payment_with_every_event(booking(1)))

        history = (await storage.read(lambda uow: uow.payment_reader.histories(["pay_1", "pay_2"])))["pay_1"]
        assert (history.payment, fold(history.journal), history.stale) == (payment, payment, ())
        assert history.postings == postings_of(history.journal)

    async def test_no_names_are_no_payments(self, storage: Storage) -> None:
        await self._pay_three(storage)

        assert await storage.read(lambda uow: uow.payment_reader.histories([])) == {}

    async def test_final_payments_are_left_out_unless_they_have_changed_since(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))
        await stored(storage, started_payment(booking(1), 1).happen(ev.PaymentCanceled()))
        await stored(storage, started_payment(booking(2), 2))

        assert await self._since(storage, NOW) == ["pay_1", "pay_2"]
        assert await self._since(storage, NOW + timedelta(seconds=1)) == ["pay_2"]

    async def test_a_payment_with_an_operation_refund_or_dispute_under_way_is_not_final(self, storage: Storage) -> None:
        part = Money(1000, Currency.USD)
        paid = ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(USD_100), charge_id=None, attempt=None, late=False)
        refund = ev.RefundFound(
            refund_id="re_1",
            gateway_refund_id="re_1",
            amount=part,
            fee_refunded=Money(0, Currency.USD),
            status=RefundStatus.PENDING,
            reason=None,
        )
        opened = ev.DisputeOpened(
            dispute_id="du_1",
            status=DisputeStatus.WARNING_NEEDS_RESPONSE,
            reason="general",
            amount=part,
            evidence_due_by=None,
        )
        closed = attrs.evolve(opened, dispute_id="du_2", status=DisputeStatus.WARNING_CLOSED)
        await store(storage, *(booking(number) for number in range(1, 5)))
        histories: list[tuple[ev.Event, ...]] = [(paid,), (paid, refund), (paid, opened), (paid, closed)]
        for number, events in enumerate(histories, start=1):
            await stored(storage, started_payment(booking(number), number).happen(*events))

        assert await self._since(storage, NOW + timedelta(days=1)) == ["pay_2", "pay_3"]

    async def _since(self, storage: Storage, since: datetime) -> Sequence[str]:
        ids = await storage.read(lambda uow: uow.payment_reader.ids("", 10, since))
        assert await storage.read(lambda uow: uow.payment_reader.count(since)) == len(ids)
        return ids

    async def _pay_three(self, storage: Storage) -> None:
        await store(storage, *(booking(number) for number in (1, 2, 3)))
        for number in (3, 1, 2):
            await stored(storage, started_payment(booking(number), number))

    # --- inbox, answers, outbox

    async def test_inbox_rows_are_listed_newest_first(self, storage: Storage) -> None:
        await self._receive(storage, *(entry(number) for number in (1, 2, 3)))

        rows = await storage.read(lambda uow: uow.inbox.latest(InboxFilter(), 2))
        assert list(rows) == [entry(3), entry(2)]

    async def test_inbox_rows_are_named_oldest_first(self, storage: Storage) -> None:
        await self._receive(storage, entry(1), entry(2, kind="refund.created"))

        keys = await storage.read(lambda uow: uow.inbox.keys(InboxFilter()))
        assert list(keys) == [("stripe", "evt_1", "charge.refunded"), ("stripe", "evt_2", "refund.created")]

    @pytest.mark.parametrize(
        ("which", "meant"),
        [
            (InboxFilter(), ["evt_1", "evt_2", "evt_3"]),
            (InboxFilter(statuses=frozenset({InboxStatus.FAILED})), ["evt_2"]),
            (InboxFilter(statuses=frozenset()), []),
            (InboxFilter(type="refund.created"), ["evt_3"]),
            (InboxFilter(received_from=NOW + timedelta(seconds=2)), ["evt_2", "evt_3"]),
            (InboxFilter(type="refund.created", statuses=frozenset({InboxStatus.FAILED})), []),
        ],
    )
    async def test_a_filter_says_which_rows_are_meant(
        self, storage: Storage, which: InboxFilter, meant: list[str]
    ) -> None:
        await self._receive(storage, entry(1), entry(2, status=InboxStatus.FAILED), entry(3, kind="refund.created"))

        assert [key.event_id for key in await storage.read(lambda uow: uow.inbox.keys(which))] == meant

    async def test_events_that_are_done_are_known_by_their_ids(self, storage: Storage) -> None:
        statuses = [InboxStatus.FAILED, InboxStatus.PROCESSED, InboxStatus.RECEIVED, InboxStatus.IGNORED]
        await self._receive(storage, *(entry(number, status=status) for number, status in enumerate(statuses)))

        done = await storage.read(lambda uow: uow.inbox.done("stripe", ["evt_0", "evt_1", "evt_2", "evt_9"]))
        assert set(done) == {"evt_1"}

    async def test_the_newest_event_is_the_one_made_last(self, storage: Storage) -> None:
        made = [NOW, NOW + timedelta(hours=1), NOW - timedelta(hours=1), None]
        before = await storage.read(lambda uow: uow.inbox.newest("stripe"))
        await self._receive(storage, *(attrs.evolve(entry(n), created_at=at) for n, at in enumerate(made)))

        newest = await storage.read(lambda uow: uow.inbox.newest("stripe"))
        assert (before, newest) == (None, NOW + timedelta(hours=1))

    async def test_bookings_are_listed_newest_first_page_by_page(self, storage: Storage) -> None:
        made = [attrs.evolve(booking(n), created_at=NOW + timedelta(seconds=n // 2)) for n in range(1, 6)]
        await store(storage, *made)

        first = await storage.read(_bookings(BookingFilter()))
        second = await storage.read(_bookings(BookingFilter(), first.next_cursor))
        third = await storage.read(_bookings(BookingFilter(), second.next_cursor))

        listed = [each.id for page in (first, second, third) for each in page.items]
        assert (listed, third.next_cursor) == (["bk_5", "bk_4", "bk_3", "bk_2", "bk_1"], None)

    async def test_bookings_are_found_by_reference_customer_and_status(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2, customer_id="bob"), booking(3))

        async def found(**which: Any) -> list[str]:
            return [each.id for each in (await storage.read(_bookings(BookingFilter(**which)))).items]

        assert await found(reference="R-3") == ["bk_3"]
        assert await found(customer_id="bob") == ["bk_2"]
        assert await found(customer_id="bob", status=BookingStatus.CONFIRMED) == []
        assert await found(customer_id="bob", status=BookingStatus.PENDING) == ["bk_2"]
        assert await found(text="r-") == ["bk_3", "bk_2"]  # the first page
        assert await found(text="BO") == ["bk_2"]
        assert await found(text="%") == []

    async def test_refused_deliveries_are_counted_by_the_hour(self, storage: Storage) -> None:
        hours = [NOW - timedelta(hours=back) for back in (2, 1, 1)]
        for deliveries, hour in enumerate(hours, start=1):
            await storage.transact(partial(_count_refused, hour, deliveries))

        since = {back: NOW - timedelta(hours=back) for back in (0, 1, 2)}
        counted = {back: await storage.read(partial(_refused_since, at)) for back, at in since.items()}
        assert counted == {0: 0, 1: 5, 2: 6}

    async def test_events_read_from_lists_do_not_count_as_deliveries(self, storage: Storage) -> None:
        before = await storage.read(lambda uow: uow.inbox.latest_delivery("stripe"))
        delivered = [attrs.evolve(entry(number), delivered_at=NOW - timedelta(hours=number)) for number in (2, 1)]
        await self._receive(storage, *delivered, attrs.evolve(entry(3), received_at=NOW + timedelta(hours=1)))

        latest = await storage.read(lambda uow: uow.inbox.latest_delivery("stripe"))
        assert (before, latest) == (None, NOW - timedelta(hours=1))
        assert list(await storage.read(lambda uow: uow.inbox.find(delivered[0].event_id))) == [delivered[0]]

    async def test_refused_deliveries_are_forgotten_after_a_week(self, storage: Storage) -> None:
        for hour in (NOW, NOW + timedelta(days=7, hours=1)):
            await storage.transact(partial(_count_refused, hour, 1))

        assert await storage.read(partial(_refused_since, NOW)) == 1

    async def _receive(self, storage: Storage, *entries: InboxEntry) -> None:
        async def work(uow: UnitOfWork) -> None:
            for each in entries:
                await uow.inbox.put(each)

        await storage.transact(work)

    async def test_an_inbox_row_is_replaced_by_its_next_state(self, storage: Storage) -> None:
        done = attrs.evolve(entry(), status=InboxStatus.PROCESSED, processed_at=NOW, tries=2)
        await storage.transact(lambda uow: uow.inbox.put(entry()))
        await storage.transact(lambda uow: uow.inbox.put(done))

        assert await storage.read(lambda uow: uow.inbox.find("evt_1")) == [done]

    async def test_the_same_event_id_with_another_type_is_a_separate_entry(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.inbox.put(entry()))
        await storage.transact(lambda uow: uow.inbox.put(entry(kind="refund.created")))

        assert len(await storage.read(lambda uow: uow.inbox.find("evt_1"))) == 2

    async def test_two_gateways_may_use_the_same_event_id(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.inbox.put(entry()), LockScope(event_id="evt_1"))
        other = entry(gateway="paypal")
        await storage.transact(lambda uow: uow.inbox.put(other), LockScope(event_id="evt_1"))
        done = attrs.evolve(other, status=InboxStatus.PROCESSED, processed_at=NOW)

        async def process(uow: UnitOfWork) -> None:
            await uow.inbox.find("evt_1")
            await uow.inbox.put(done)

        await storage.transact(process, LockScope(event_id="evt_1"))

        assert await storage.read(lambda uow: uow.inbox.find("evt_1")) == [entry(), done]
        assert [set(await storage.read(partial(_done, each))) for each in ("stripe", "paypal")] == [set(), {"evt_1"}]

    async def test_two_gateways_do_not_wait_for_each_other_with_the_same_event_id(self, storage: Storage) -> None:
        """Both gateways' deliveries are stored although they arrive at the same time."""

        async def receive(gateway: str) -> None:
            async def work(uow: UnitOfWork) -> None:
                if not [row for row in await uow.inbox.find("evt_1") if row.gateway == gateway]:
                    await uow.inbox.put(entry(gateway=gateway))

            await storage.transact(work, LockScope(event_id="evt_1"))

        async with anyio.create_task_group() as tasks:
            for gateway in ("stripe", "paypal", "stripe", "paypal"):
                tasks.start_soon(receive, gateway)

        stored = await storage.read(lambda uow: uow.inbox.find("evt_1"))
        assert sorted(row.gateway for row in stored) == ["paypal", "stripe"]

    async def test_what_one_gateway_sent_is_not_counted_for_another(self, storage: Storage) -> None:
        delivered = attrs.evolve(entry(), delivered_at=NOW)
        await self._receive(storage, delivered)
        await storage.transact(partial(_count_refused, NOW, 3))
        await storage.transact(partial(_count_refused, NOW, 2, gateway="paypal"))

        counted = [await storage.read(partial(_refused_since, NOW, gateway=each)) for each in ("stripe", "paypal")]
        newest = await storage.read(lambda uow: uow.inbox.newest("paypal"))
        latest = await storage.read(lambda uow: uow.inbox.latest_delivery("paypal"))
        assert (counted, newest, latest) == ([3, 2], None, None)

    async def test_unfinished_rows_come_oldest_first(self, storage: Storage) -> None:
        statuses = [InboxStatus.FAILED, InboxStatus.PROCESSED, InboxStatus.RECEIVED, InboxStatus.IGNORED]

        async def work(uow: UnitOfWork) -> None:
            for number, status in reversed(list(enumerate(statuses))):
                await uow.inbox.put(entry(number, status=status))

        await storage.transact(work)

        rows = await storage.read(lambda uow: uow.inbox.unfinished(10))
        assert [row.event_id for row in rows] == ["evt_0", "evt_2"]

    async def test_an_answer_belongs_to_its_caller(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.answers.put(answer(status=200)))

        mine = await storage.transact(lambda uow: uow.answers.get("ann", "POST /api/bookings/", "key-1"))
        foreign = await storage.transact(lambda uow: uow.answers.get("bob", "POST /api/bookings/", "key-1"))
        assert (mine, foreign) == (answer(status=200), None)

    async def test_an_answer_takes_the_place_of_its_running_mark(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.answers.put(answer()))
        await storage.transact(lambda uow: uow.answers.put(answer(status=402)))

        found = await storage.transact(lambda uow: uow.answers.get("ann", "POST /api/bookings/", "key-1"))
        assert found == answer(status=402)

    async def test_an_answer_can_be_removed(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.answers.put(answer()))
        await storage.transact(lambda uow: uow.answers.remove("ann", "POST /api/bookings/", "key-1"))

        assert await storage.transact(lambda uow: uow.answers.get("ann", "POST /api/bookings/", "key-1")) is None

    async def test_old_answers_are_cleared_away(self, storage: Storage) -> None:
        new = attrs.evolve(answer("key-2"), created_at=NOW + timedelta(hours=1))
        await storage.transact(lambda uow: uow.answers.put(answer("key-1")))
        await storage.transact(lambda uow: uow.answers.put(new))

        removed = await storage.transact(lambda uow: uow.answers.remove_older(NOW + timedelta(minutes=1)))

        assert removed == 1
        assert await storage.transact(lambda uow: uow.answers.get("ann", new.route, "key-2")) == new

    async def test_messages_are_numbered_within_their_booking(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2, "bk_2"), message(3))

        waiting = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        numbers = [(each.message.id, each.message.sequence) for each in waiting]
        assert numbers == [("msg_1", 1), ("msg_2", 1), ("msg_3", 2)]

    async def test_a_message_comes_out_as_it_went_in(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))

        waiting = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        assert list(waiting) == [MessageDelivery(message=attrs.evolve(message(1), sequence=1), channel=CHANNEL)]

    async def test_a_delivered_message_waits_no_longer(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))

        await storage.transact(lambda uow: uow.outbox.delivered(CHANNEL, ["msg_1"], NOW))

        assert await self._waiting(storage) == [("msg_2", CHANNEL)]

    async def test_numbers_go_on_after_a_delivery(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))
        await storage.transact(lambda uow: uow.outbox.delivered(CHANNEL, ["msg_1"], NOW))
        await storage.transact(lambda uow: uow.outbox.append(message(2)))

        waiting = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        assert [each.message.sequence for each in waiting] == [2]

    async def test_a_record_comes_out_as_it_went_in(self, storage: Storage) -> None:
        await storage.transact(lambda uow: uow.audit.append(audit_record()))

        assert list(await storage.read(lambda uow: uow.audit.latest(10))) == [audit_record()]

    async def test_records_are_listed_newest_first(self, storage: Storage) -> None:
        await self._keep(storage, audit_record("first"), audit_record("second"), audit_record("third"))

        found = await storage.read(lambda uow: uow.audit.latest(2))
        assert [each.operation for each in found] == ["third", "second"]

    async def test_records_of_one_booking_are_found(self, storage: Storage) -> None:
        await self._keep(storage, *(audit_record(booking_id=booking_id) for booking_id in ("bk_1", "bk_2", None)))

        found = await storage.read(lambda uow: uow.audit.latest(10, "bk_2"))
        assert [each.booking_id for each in found] == ["bk_2"]

    async def _keep(self, storage: Storage, *records: AuditRecord) -> None:
        async def work(uow: UnitOfWork) -> None:
            for each in records:
                await uow.audit.append(each)

        await storage.transact(work)

    async def test_a_claimed_booking_is_not_claimed_again_until_the_claim_lapses(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2), message(3, "bk_2"))

        mine = await self._claim(storage, limit=1)
        theirs = await self._claim(storage)
        lapsed = await self._claim(storage, now=NOW + timedelta(minutes=1), limit=1)

        assert (mine, theirs, lapsed) == (["msg_1", "msg_2"], ["msg_3"], ["msg_1", "msg_2"])

    async def test_a_message_that_came_behind_a_claimed_one_is_not_due(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))
        await self._claim(storage)
        await storage.transact(lambda uow: uow.outbox.append(message(2)))

        assert await self._claim(storage) == []

    async def test_a_message_that_was_put_off_is_due_at_its_time_with_all_behind_it(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))
        later = NOW + timedelta(minutes=5)
        rescheduled = await self._reschedule(storage, tries=3, next_try_at=later, error="no")

        early, due = await self._claim(storage), await self._claim(storage, now=later)

        found = (await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=1)))[0]
        assert (early, due) == ([], ["msg_1", "msg_2"])
        assert (found.tries, found.error) == (rescheduled.tries, rescheduled.error)

    async def test_behind_a_dead_letter_messages_wait_unless_they_may_pass(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))
        await self._reschedule(storage, dead_at=NOW)

        waiting = await self._claim(storage)
        passing = await self._claim(storage, skip_dead=True)

        dead = await storage.read(lambda uow: uow.outbox.undelivered(dead=True, limit=10))
        assert (waiting, "msg_2" in passing) == ([], True)
        assert [each.message.id for each in dead] == ["msg_1"]

    async def test_a_revived_dead_letter_is_due_again_in_its_place(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))
        await self._reschedule(storage, dead_at=NOW)

        requeued = await storage.transact(lambda uow: uow.outbox.requeue(["msg_1", "msg_2"]))

        assert (requeued, await self._claim(storage)) == (1, ["msg_1", "msg_2"])

    async def test_a_dropped_dead_letter_holds_up_nothing(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))
        await self._reschedule(storage, dead_at=NOW)

        dropped = await storage.transact(lambda uow: uow.outbox.discard(["msg_1", "msg_2"], NOW, "olga"))

        assert (dropped, await self._claim(storage)) == (1, ["msg_2"])

    async def test_at_most_half_of_the_claimed_bookings_were_tried_before(self, storage: Storage) -> None:
        bookings = [booking(place) for place in range(1, 7)]
        await store(storage, *bookings)
        await self._record(storage, CHANNEL)

        async def store_all(uow: UnitOfWork) -> None:
            for place in range(1, 7):
                await uow.outbox.append(attrs.evolve(message(place), booking_id=f"bk_{place}"))

        async def fail(uow: UnitOfWork) -> None:
            for each in (await uow.outbox.undelivered(dead=False, limit=6))[:4]:
                await uow.outbox.reschedule(attrs.evolve(each, tries=1, next_try_at=NOW))

        await storage.transact(store_all)
        await storage.transact(fail)

        claimed = await self._claim(storage, NOW + timedelta(hours=1), limit=4)

        assert len([each for each in claimed if each in ("msg_1", "msg_2", "msg_3", "msg_4")]) == 2
        assert sorted(claimed)[2:] == ["msg_5", "msg_6"]

    async def test_every_recorded_channel_has_each_message_to_get_and_none_takes_it_from_another(
        self, storage: Storage
    ) -> None:
        await self._record(storage, CHANNEL, "webhook")
        await self._store_messages(storage, message(1))

        await storage.transact(lambda uow: uow.outbox.delivered(CHANNEL, ["msg_1"], NOW))

        assert await self._waiting(storage) == [("msg_1", "webhook")]
        assert await self._claim(storage) == []
        assert await self._claim(storage, channel="webhook") == ["msg_1"]

    async def test_a_claim_a_failure_and_a_dead_letter_are_those_of_one_channel(self, storage: Storage) -> None:
        await self._record(storage, CHANNEL, "webhook")
        await self._store_messages(storage, message(1), message(2))
        await self._reschedule(storage, dead_at=NOW, error="no")

        claimed = await self._claim(storage, channel="webhook")
        requeued = await storage.transact(lambda uow: uow.outbox.requeue(["msg_1"], "webhook"))

        dead = await storage.read(lambda uow: uow.outbox.undelivered(dead=True, limit=10))
        assert (claimed, requeued) == (["msg_1", "msg_2"], 0)
        assert [(each.channel, each.error) for each in dead] == [(CHANNEL, "no")]

    async def test_without_a_channel_messages_wait_for_the_first_ones(self, storage: Storage) -> None:
        await store(storage, booking(1))
        await storage.transact(lambda uow: uow.outbox.append(message(1)))
        await storage.transact(lambda uow: uow.outbox.append(message(2)))
        early = await self._waiting(storage)
        idle = await storage.transact(lambda uow: uow.outbox.assign(10))

        await self._record(storage, CHANNEL, "webhook")
        first = await storage.transact(lambda uow: uow.outbox.assign(1))
        second = await storage.transact(lambda uow: uow.outbox.assign(1))
        await storage.transact(lambda uow: uow.outbox.append(message(3)))

        assert (early, idle) == ([("msg_1", None), ("msg_2", None)], True)
        assert (first, second) == (False, True)
        assert (
            await self._claim(storage) == await self._claim(storage, channel="webhook") == ["msg_1", "msg_2", "msg_3"]
        )

    async def test_a_channel_that_is_added_later_gets_later_messages_only(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))
        await self._record(storage, "webhook")
        await storage.transact(lambda uow: uow.outbox.append(message(2)))

        assert await self._claim(storage, channel="webhook") == ["msg_2"]

    async def test_several_messages_are_stored_at_once_in_their_order(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))

        await storage.transact(lambda uow: uow.outbox.append(message(2), message(3)))

        found = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        assert [(each.message.id, each.message.sequence) for each in found] == [
            ("msg_1", 1),
            ("msg_2", 2),
            ("msg_3", 3),
        ]

    async def test_channels_are_added_and_removed_once(self, storage: Storage) -> None:
        added = [await storage.transact(lambda uow: uow.channels.add("webhook", NOW)) for _ in range(2)]
        recorded = await storage.read(lambda uow: uow.channels.all())
        removed = [await storage.transact(lambda uow: uow.channels.remove("webhook")) for _ in range(2)]

        assert (added, removed) == ([True, False], [True, False])
        assert list(recorded) == [Channel(name="webhook", added_at=NOW)]
        assert list(await storage.read(lambda uow: uow.channels.all())) == []

    async def test_who_is_alive_on_a_channel_says_so(self, storage: Storage) -> None:
        await self._record(storage, "broker", "webhook")
        later = NOW + timedelta(minutes=1)

        await storage.transact(lambda uow: uow.channels.alive(["webhook"], NOW, in_worker=True))
        await storage.transact(lambda uow: uow.channels.alive(["webhook", "gone"], later, in_worker=False))

        broker, webhook = await storage.read(lambda uow: uow.channels.all())
        assert (broker.last_alive_at, broker.worker_alive_at) == (None, None)
        assert (webhook.last_alive_at, webhook.worker_alive_at) == (later, NOW)

    async def test_a_discarded_message_waits_on_no_channel_and_is_counted(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))
        await storage.transact(lambda uow: uow.outbox.append(message(1)))
        early = await storage.transact(lambda uow: uow.outbox.discard_waiting(None, NOW, "olga"))
        await self._record(storage, CHANNEL, "webhook")
        await storage.transact(lambda uow: uow.outbox.append(message(2, "bk_2"), message(3, "bk_2")))
        late = await storage.transact(lambda uow: uow.outbox.discard_waiting("webhook", NOW, "olga"))

        backlogs = await storage.read(lambda uow: uow.outbox.backlogs())

        assert (early, late) == (1, 2)
        assert await self._waiting(storage) == [("msg_2", CHANNEL), ("msg_3", CHANNEL)]
        assert [(each.channel, each.waiting, each.discarded) for each in backlogs] == [
            (None, 0, 1),
            (CHANNEL, 2, 0),
            ("webhook", 0, 2),
        ]

    async def test_a_backlog_says_how_much_waits_and_since_when(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1), message(2))
        await self._reschedule(storage, dead_at=NOW)
        await storage.transact(lambda uow: uow.outbox.delivered(CHANNEL, ["msg_2"], NOW))

        (backlog,) = await storage.read(lambda uow: uow.outbox.backlogs())

        assert backlog == Backlog(channel=CHANNEL, waiting=1, dead=1, discarded=0, oldest_at=message(1).at)

    async def test_messages_without_a_channel_are_counted_under_no_channel(self, storage: Storage) -> None:
        await store(storage, booking(1))
        await storage.transact(lambda uow: uow.outbox.append(message(1)))

        (backlog,) = await storage.read(lambda uow: uow.outbox.backlogs())

        assert backlog == Backlog(channel=None, waiting=1, dead=0, discarded=0, oldest_at=message(1).at)

    async def test_a_removed_channel_with_discarded_messages_is_listed(self, storage: Storage) -> None:
        await self._store_messages(storage, message(1))
        await storage.transact(lambda uow: uow.outbox.discard_waiting(CHANNEL, NOW, "olga"))
        await storage.transact(lambda uow: uow.channels.remove(CHANNEL))

        (backlog,) = await storage.read(lambda uow: uow.outbox.backlogs())

        assert (backlog.channel, backlog.waiting, backlog.discarded) == (CHANNEL, 0, 1)

    async def test_messages_are_read_with_a_cursor_again_and_again_in_the_same_order(self, storage: Storage) -> None:
        await self._record(storage, PULL)
        await self._store_messages(storage, message(1), message(2, "bk_2"), message(3))

        first = await self._read(storage, 0, 2)
        again = await self._read(storage, 0, 2)
        rest = await self._read(storage, 2, 2)

        assert first == again == [("msg_1", "1"), ("msg_2", "2")]
        assert rest == [("msg_3", "3")]
        assert await self._waiting(storage) == [("msg_3", PULL)]

    async def test_a_cursor_that_was_never_given_is_refused(self, storage: Storage) -> None:
        await self._record(storage, PULL)
        await self._store_messages(storage, message(1))
        await self._read(storage, 0, 10)

        with pytest.raises(InvalidInput) as refused:
            await self._read(storage, 2, 10)
        assert refused.value.code == "unknown_cursor"

    async def test_an_older_cursor_returns_the_same_messages_again(self, storage: Storage) -> None:
        await self._record(storage, PULL)
        await self._store_messages(storage, message(1), message(2))
        await self._read(storage, 0, 10)
        await self._read(storage, 2, 10)

        assert await self._read(storage, 1, 10) == [("msg_2", "2")]

    async def test_a_hold_that_ends_soon_is_due_once(self, storage: Storage) -> None:
        soon, late = NOW + timedelta(minutes=5), NOW + timedelta(hours=5)
        await store(storage, *(attrs.evolve(booking(n), expires_at=at) for n, at in ((1, soon), (2, late), (3, NOW))))
        until = NOW + timedelta(minutes=10)

        async def due(booking_id: str | None = None) -> list[str]:
            return list(await storage.read(lambda uow: uow.bookings.due_to_warn(NOW, until, 10, booking_id)))

        before, other = await due(), await due("bk_2")
        warning = attrs.evolve(message(1), type="booking.expiring")
        await storage.transact(lambda uow: uow.outbox.append(warning))

        assert (before, other, await due(), await due("bk_1")) == (["bk_1"], [], [], [])

    async def _waiting(self, storage: Storage) -> list[tuple[str, str | None]]:
        found = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        return [(each.message.id, each.channel) for each in found]

    async def _record(self, storage: Storage, *names: str) -> None:
        for name in names:
            await storage.transact(partial(self._add, name=name))

    async def _add(self, uow: UnitOfWork, name: str) -> None:
        await uow.channels.add(name, NOW)

    async def _read(self, storage: Storage, after: int, limit: int) -> list[tuple[str, str | None]]:
        found = await storage.transact(lambda uow: uow.outbox.number(PULL, after, limit, NOW))
        return [(each.id, each.cursor) for each in found]

    async def _claim(
        self,
        storage: Storage,
        now: datetime = NOW,
        limit: int = 10,
        *,
        channel: str = CHANNEL,
        skip_dead: bool = False,
    ) -> list[str]:
        until = now + timedelta(minutes=1)
        found = await storage.transact(lambda uow: uow.outbox.claim(channel, now, until, limit, skip_dead=skip_dead))
        return [each.message.id for each in found]

    async def _reschedule(self, storage: Storage, **changes: Any) -> MessageDelivery:
        """The first message fails."""
        first = (await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=1)))[0]
        rescheduled = attrs.evolve(first, **changes)
        await storage.transact(lambda uow: uow.outbox.reschedule(rescheduled))
        return rescheduled

    async def _store_messages(self, storage: Storage, *messages: Message) -> None:
        """These messages are written; the channel is recorded where none is."""
        await store(storage, booking(1), booking(2))
        if not await storage.read(lambda uow: uow.channels.all()):
            await self._record(storage, CHANNEL)

        async def work(uow: UnitOfWork) -> None:
            for each in messages:
                await uow.outbox.append(each)

        await storage.transact(work)
