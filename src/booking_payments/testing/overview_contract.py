"""What every storage adapter has to keep of ``ports.overview``, as tests.

Subclass ``OverviewContract`` beside ``StorageContract`` and give it the same ``storage`` fixture: an empty storage.
"""

from datetime import datetime, timedelta

import attrs
import pytest

from booking_payments.domain import events as ev
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import MAX_DIGITS, Currency, Money
from booking_payments.ports.inbox import InboxStatus
from booking_payments.ports.overview import DriftReport, InboxPage, JournalEntry, Period, Tally
from booking_payments.ports.payments import PollState
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import USD_100, booking, payment_with_every_event, started_payment
from booking_payments.testing.storage_contract import entry, store, stored

LONG_AGO = NOW - timedelta(days=400)
MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
TODAY = Period(begins=MIDNIGHT, ends=MIDNIGHT + timedelta(days=1))
YESTERDAY = Period(begins=MIDNIGHT - timedelta(days=1), ends=MIDNIGHT)
DECLINE = Decline(code="card_declined", message="No.", decline_code="insufficient_funds")


async def _pay(storage: Storage, *numbers: int, at: datetime = NOW) -> None:
    await store(storage, *(booking(number) for number in numbers))
    for number in numbers:
        await stored(storage, started_payment(booking(number), number, at + timedelta(seconds=number)))


async def _decline(storage: Storage, number: int, at: datetime) -> None:
    await store(storage, booking(number))
    builder = started_payment(booking(number), number, at)
    started = ev.AttemptStarted(number=1, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=None)
    builder.happen(started, ev.AttemptRefused(number=1, decline=DECLINE, charge_id=None, payment_method_id=None))
    await stored(storage, builder)


def _paid(amount: Money) -> ev.Event:
    return ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(amount), charge_id=None, attempt=None, late=False)


def _refund(name: str, amount: Money) -> ev.Event:
    return ev.RefundFound(
        refund_id=name,
        gateway_refund_id=name,
        amount=amount,
        fee_refunded=Money.zero(amount.currency),
        status=RefundStatus.SUCCEEDED,
        reason=None,
    )


def _dispute(amount: Money, name: str = "du_1") -> tuple[ev.Event, ev.Event]:
    status = DisputeStatus.NEEDS_RESPONSE
    opened = ev.DisputeOpened(dispute_id=name, status=status, reason="fraudulent", amount=amount, evidence_due_by=None)
    return opened, ev.DisputeFundsMoved(dispute_id=name, withdrawn=amount)


async def _moved(storage: Storage, *periods: Period) -> list[tuple[Period, str, int, str, str, str]]:
    found = await storage.read(lambda uow: uow.overview.moved(periods))
    return [
        (m.period, m.currency.code, m.charges, m.gross.major(), m.refunded.major(), m.withdrawn.major()) for m in found
    ]


async def _declines(storage: Storage, since: datetime = LONG_AGO, limit: int = 10) -> list[JournalEntry]:
    return list(await storage.read(lambda uow: uow.overview.events(ev.AttemptRefused, since, limit)))


async def _receive(storage: Storage, *statuses: InboxStatus) -> None:
    async def work(uow: UnitOfWork) -> None:
        for number, status in enumerate(statuses, start=1):
            await uow.inbox.put(entry(number, status=status))

    await storage.transact(work)


async def _page(storage: Storage, cursor: str | None = None, *, unfinished: bool = False, limit: int = 2) -> InboxPage:
    return await storage.read(lambda uow: uow.overview.webhooks(unfinished=unfinished, cursor=cursor, limit=limit))


class OverviewContract:
    """The tests."""

    async def test_an_empty_storage_has_no_figures(self, storage: Storage) -> None:
        async def work(uow: UnitOfWork) -> list[object]:
            overview = uow.overview
            return [
                *await overview.tallies([YESTERDAY, TODAY]),
                *await overview.moved([YESTERDAY, TODAY]),
                *await overview.received_webhooks(LONG_AGO, 10),
                *await overview.watched(10),
                *await overview.held(10),
                *await overview.reports(10),
            ]

        assert await storage.read(work) == []
        assert await _page(storage) == InboxPage(items=(), next_cursor=None)

    # --- tallies

    async def test_payments_are_counted_by_period_and_status(self, storage: Storage) -> None:
        await _pay(storage, 2, 3)
        await store(storage, booking(1))
        await stored(storage, payment_with_every_event(booking(1)))

        paid, waiting = PaymentStatus.SUCCEEDED, PaymentStatus.REQUIRES_PAYMENT_METHOD
        assert list(await storage.read(lambda uow: uow.overview.tallies([YESTERDAY, TODAY]))) == [
            Tally(period=TODAY, status=waiting, payments=2),
            Tally(period=TODAY, status=paid, payments=1),
        ]

    async def test_a_payment_counts_in_the_period_in_which_it_began(self, storage: Storage) -> None:
        await store(storage, *(booking(number) for number in (1, 2, 3)))
        for number, at in enumerate((TODAY.begins, TODAY.ends - MICROSECOND, TODAY.ends), start=1):
            await stored(storage, started_payment(booking(number), number, at))

        found = await storage.read(lambda uow: uow.overview.tallies([YESTERDAY, TODAY]))
        assert [(each.period, each.payments) for each in found] == [(TODAY, 2)]

    async def test_periods_come_in_their_order_and_without_any_nothing_is_counted(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))
        for number, at in ((1, TODAY.begins), (2, YESTERDAY.begins)):
            await stored(storage, started_payment(booking(number), number, at))

        found = await storage.read(lambda uow: uow.overview.tallies([TODAY, YESTERDAY]))
        assert [each.period for each in found] == [TODAY, YESTERDAY]
        assert list(await storage.read(lambda uow: uow.overview.tallies([]))) == []

    # --- money

    async def test_money_is_added_up_by_the_period_in_which_it_moved(self, storage: Storage) -> None:
        part = Money(1000, Currency.USD)
        builder = started_payment(booking(1), 1, YESTERDAY.begins)
        await store(storage, booking(1))
        await stored(storage, builder.happen(_paid(USD_100), _refund("re_1", part)))
        builder.at = TODAY.begins
        await stored(storage, builder.happen(_refund("re_2", part), *_dispute(Money(3000, Currency.USD))))

        assert await _moved(storage, YESTERDAY, TODAY) == [
            (YESTERDAY, "usd", 1, "100.00", "10.00", "0.00"),
            (TODAY, "usd", 0, "0.00", "10.00", "30.00"),
        ]

    async def test_a_refund_reduces_the_figures_of_the_day_of_the_refund(self, storage: Storage) -> None:
        part = Money(1000, Currency.USD)
        builder = started_payment(booking(1), 1, YESTERDAY.ends - MICROSECOND)
        await store(storage, booking(1))
        await stored(
            storage, builder.happen(_paid(USD_100), _refund("re_1", part), *_dispute(Money(3000, Currency.USD)))
        )
        builder.at = TODAY.ends - MICROSECOND
        failed = ev.RefundMoved(refund_id="re_1", status=RefundStatus.FAILED)
        reinstated = ev.DisputeFundsMoved(dispute_id="du_1", withdrawn=part)
        await stored(storage, builder.happen(failed, reinstated))

        assert await _moved(storage, YESTERDAY, TODAY) == [
            (YESTERDAY, "usd", 1, "100.00", "10.00", "30.00"),
            (TODAY, "usd", 0, "0.00", "-10.00", "-20.00"),
        ]

    async def test_the_end_of_a_period_belongs_to_the_next_one(self, storage: Storage) -> None:
        await store(storage, booking(1), booking(2))
        await stored(storage, started_payment(booking(1), 1, TODAY.begins).happen(_paid(USD_100)))
        await stored(storage, started_payment(booking(2), 2, TODAY.ends).happen(_paid(USD_100)))

        assert await _moved(storage, YESTERDAY, TODAY) == [(TODAY, "usd", 1, "100.00", "0.00", "0.00")]

    async def test_money_is_reported_for_every_currency(self, storage: Storage) -> None:
        amounts = [Money(100 + place, currency) for place, currency in enumerate(Currency)]
        for number, amount in enumerate(amounts, start=1):
            await store(storage, attrs.evolve(booking(number), amount=amount))
            builder = started_payment(attrs.evolve(booking(number), amount=amount), number, TODAY.begins)
            await stored(storage, builder.happen(_paid(amount)))

        expected = sorted((amount.currency.code, amount.major()) for amount in amounts)
        assert [(code, gross) for _, code, _, gross, _, _ in await _moved(storage, TODAY)] == expected

    async def test_a_sum_of_money_has_no_bound_of_a_single_amount(self, storage: Storage) -> None:
        amount = Money(10**MAX_DIGITS - 1, Currency.IDR)
        for number in range(1, 12):
            of = attrs.evolve(booking(number), amount=amount)
            await store(storage, of)
            builder = started_payment(of, number, TODAY.begins).happen(_paid(amount), _refund(f"re_{number}", amount))
            await stored(storage, builder.happen(*_dispute(amount, f"du_{number}")))

        eleven = "109999999999.89"
        assert await _moved(storage, TODAY) == [(TODAY, "idr", 11, eleven, eleven, eleven)]

    async def test_without_a_period_no_money_is_added_up(self, storage: Storage) -> None:
        await store(storage, booking(1))
        await stored(storage, started_payment(booking(1)).happen(_paid(USD_100)))

        assert await _moved(storage) == []

    # --- events

    async def test_rare_facts_are_found_across_payments_newest_first(self, storage: Storage) -> None:
        for number in (1, 2, 3):
            await _decline(storage, number, NOW + timedelta(minutes=number))

        found = await _declines(storage)
        assert [each.payment_id for each in found] == ["pay_3", "pay_2", "pay_1"]
        assert all(each.recorded.event.decline == DECLINE for each in found)  # type: ignore[union-attr]

    async def test_of_rare_facts_no_more_come_than_asked_for(self, storage: Storage) -> None:
        for number in (1, 2, 3):
            await _decline(storage, number, NOW + timedelta(minutes=number))

        assert [each.payment_id for each in await _declines(storage, limit=1)] == ["pay_3"]

    async def test_older_facts_are_left_out(self, storage: Storage) -> None:
        await _decline(storage, 1, NOW - timedelta(days=2))

        assert await _declines(storage, NOW - timedelta(days=1)) == []

    async def test_facts_of_the_daily_kind_can_not_be_looked_up(self, storage: Storage) -> None:
        with pytest.raises(ValueError, match="PaymentSucceeded"):
            await storage.read(lambda uow: uow.overview.events(ev.PaymentSucceeded, LONG_AGO, 1))

    # --- webhooks

    async def test_deliveries_come_without_bodies_newest_first(self, storage: Storage) -> None:
        await _receive(storage, InboxStatus.PROCESSED, InboxStatus.FAILED, InboxStatus.IGNORED)

        found = await storage.read(lambda uow: uow.overview.received_webhooks(LONG_AGO, 2))
        assert [each.status for each in found] == [InboxStatus.IGNORED, InboxStatus.FAILED]
        assert found[0].created_at == NOW

    async def test_older_deliveries_are_left_out(self, storage: Storage) -> None:
        await _receive(storage, InboxStatus.PROCESSED, InboxStatus.PROCESSED)

        found = await storage.read(lambda uow: uow.overview.received_webhooks(NOW + timedelta(seconds=2), 10))
        assert [each.received_at for each in found] == [NOW + timedelta(seconds=2)]

    async def test_webhooks_are_paged_newest_first(self, storage: Storage) -> None:
        await _receive(storage, *[InboxStatus.PROCESSED] * 3)

        first = await _page(storage)
        second = await _page(storage, first.next_cursor)
        assert [[each.event_id for each in page.items] for page in (first, second)] == [["evt_3", "evt_2"], ["evt_1"]]
        assert second.next_cursor is None

    async def test_unfinished_webhooks_are_paged_alone(self, storage: Storage) -> None:
        done, failed, received = InboxStatus.PROCESSED, InboxStatus.FAILED, InboxStatus.RECEIVED
        await _receive(storage, failed, done, received, InboxStatus.IGNORED, failed)

        first = await _page(storage, unfinished=True)
        second = await _page(storage, first.next_cursor, unfinished=True)
        assert [[each.event_id for each in page.items] for page in (first, second)] == [["evt_5", "evt_3"], ["evt_1"]]

    async def test_unfinished_webhooks_of_all_time_are_counted_by_gateway(self, storage: Storage) -> None:
        assert await storage.read(lambda uow: uow.overview.unfinished_webhooks()) == {}
        await _receive(storage, InboxStatus.FAILED, InboxStatus.PROCESSED, InboxStatus.RECEIVED, InboxStatus.IGNORED)

        assert await storage.read(lambda uow: uow.overview.unfinished_webhooks()) == {entry(1).gateway: 2}

    @pytest.mark.parametrize("cursor", ["", "-1", "x", "1 OR 1", "9" * 19, "٣"])
    async def test_a_foreign_cursor_of_webhooks_is_refused(self, storage: Storage, cursor: str) -> None:
        with pytest.raises(InvalidInput):
            await _page(storage, cursor)

    # --- what is watched, and reports

    async def test_holds_come_in_the_order_in_which_they_were_begun(self, storage: Storage) -> None:
        await _pay(storage, 9)
        for number in (2, 1):
            await store(storage, booking(number))
            builder = started_payment(booking(number), number, NOW + timedelta(hours=number))
            builder.happen(
                ev.PaymentAuthorized(amount=Money(10000, Currency.USD), charge_id=f"ch_{number}", attempt=None)
            )
            await stored(storage, builder)

        assert [each.id for each in await storage.read(lambda uow: uow.overview.held(10))] == ["pay_1", "pay_2"]
        assert [each.id for each in await storage.read(lambda uow: uow.overview.held(1))] == ["pay_1"]

    async def test_watched_payments_come_most_urgent_first(self, storage: Storage) -> None:
        await _pay(storage, 1, 2, 3)
        for number, minutes in ((1, 5), (2, 1)):
            poll_state = PollState(next_check_at=NOW + timedelta(minutes=minutes))
            await storage.transact(lambda uow, n=number, w=poll_state: uow.payments.save_poll_state(f"pay_{n}", w))  # type: ignore[misc]

        assert [each.id for each in await storage.read(lambda uow: uow.overview.watched(10))] == ["pay_2", "pay_1"]
        assert [each.id for each in await storage.read(lambda uow: uow.overview.watched(1))] == ["pay_2"]

    async def test_reports_come_out_as_they_went_in_newest_first(self, storage: Storage) -> None:
        made = [DriftReport(at=NOW, actor="operator:olga", content=f'{{"n": {number}}}') for number in (1, 2, 3)]
        for each in made:
            await storage.transact(lambda uow, report=each: uow.overview.keep_report(report))  # type: ignore[misc]

        assert list(await storage.read(lambda uow: uow.overview.reports(2))) == [made[2], made[1]]
