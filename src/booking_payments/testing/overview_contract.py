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
from booking_payments.domain.refunds import RefundReason
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.overview import (
    SLOW,
    Declines,
    DriftReport,
    InboxPage,
    Period,
    ReceivedWebhooks,
    RefundTimes,
    Tally,
    WebhookCount,
    WebhooksOfPeriod,
    quantile,
)
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


async def _decline(storage: Storage, number: int, at: datetime, decline: Decline) -> None:
    await store(storage, booking(number))
    await stored(storage, started_payment(booking(number), number, at).happen(*_declined(1, decline)))


def _declined(number: int, decline: Decline) -> tuple[ev.Event, ev.Event]:
    started = ev.AttemptStarted(number=number, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=None)
    return started, ev.AttemptRefused(number=number, decline=decline, charge_id=None, payment_method_id=None)


def _refund_requested(refund_id: str) -> ev.RefundRequested:
    return ev.RefundRequested(
        refund_id=refund_id,
        amount=Money(1000, Currency.USD),
        fee_refunded=Money.zero(Currency.USD),
        reason=RefundReason.REQUESTED_BY_CUSTOMER,
        note=None,
        idempotency_key=f"key-{refund_id}",
    )


async def _refunded(storage: Storage, number: int, after: timedelta, status: RefundStatus) -> None:
    """A refund that is requested now, and has this status so much later."""
    await store(storage, booking(number))
    builder = started_payment(booking(number), number, NOW).happen(_paid(USD_100), _refund_requested(f"rf_{number}"))
    await stored(storage, builder.happen(ev.RefundMoved(refund_id=f"rf_{number}", status=status), at=NOW + after))


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


async def _declines(storage: Storage, since: datetime = LONG_AGO, limit: int = 10) -> Declines:
    return await storage.read(lambda uow: uow.overview.declines(since, limit, 5))


async def _refund_times(
    storage: Storage, since: datetime = LONG_AGO, requested_since: datetime = LONG_AGO, limit: int = 10
) -> RefundTimes:
    return await storage.read(lambda uow: uow.overview.refund_times(since, requested_since, limit))


async def _received(storage: Storage, since: datetime = LONG_AGO, limit: int = 100) -> ReceivedWebhooks:
    return await storage.read(lambda uow: uow.overview.received_webhooks(since, [YESTERDAY, TODAY], limit))


def _webhooks(
    period: Period, received: int, failed: int, median: float | None = None, slow: float | None = None
) -> WebhooksOfPeriod:
    count = WebhookCount(received=received, failed=failed)
    return WebhooksOfPeriod(period=period, count=count, median_delay_s=median, slow_delay_s=slow)


async def _deliver(storage: Storage, webhook: InboxEntry) -> None:
    await storage.transact(lambda uow: uow.inbox.put(webhook))


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
                *await overview.disputed(LONG_AGO, 10),
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

    # --- declines, refunds, disputes

    async def test_declines_are_counted_by_their_reason(self, storage: Storage) -> None:
        expired = Decline(code="card_declined", message="No.", decline_code="expired_card")
        for number, decline in enumerate((DECLINE, expired, DECLINE), start=1):
            await _decline(storage, number, NOW, decline)

        assert (await _declines(storage)).reasons == {"insufficient_funds": 2, "expired_card": 1}

    @pytest.mark.parametrize("decline_code", [None, ""])
    async def test_a_decline_without_a_decline_code_has_the_error_code_as_its_reason(
        self, storage: Storage, decline_code: str | None
    ) -> None:
        await _decline(storage, 1, NOW, Decline(code="incorrect_cvc", message="No.", decline_code=decline_code))

        assert (await _declines(storage)).reasons == {"incorrect_cvc": 1}

    async def test_of_declines_only_the_newest_are_counted(self, storage: Storage) -> None:
        for number, code in enumerate(("oldest", "newest", "newer"), start=1):
            minutes = {"oldest": 1, "newer": 2, "newest": 3}[code]
            decline = Decline(code=code, message="No.", decline_code=None)
            await _decline(storage, number, NOW + timedelta(minutes=minutes), decline)

        assert (await _declines(storage, limit=2)).reasons == {"newest": 1, "newer": 1}

    async def test_older_declines_are_left_out(self, storage: Storage) -> None:
        since = NOW - timedelta(days=1)
        for number, at in enumerate((since - MICROSECOND, since), start=1):
            await _decline(storage, number, at, Decline(code=f"code_{number}", message="No.", decline_code=None))

        assert (await _declines(storage, since)).reasons == {"code_2": 1}

    async def test_customers_with_many_declines_are_counted_whatever_their_number_of_payments(
        self, storage: Storage
    ) -> None:
        for number, customer in enumerate(("bob", "bob", "eve"), start=1):
            of = attrs.evolve(booking(number), customer_id=customer)
            await store(storage, of)
            builder = started_payment(of, number)
            for attempt in range(1, 3):
                builder.happen(*_declined(attempt, DECLINE))
            await stored(storage, builder)

        for many, customers in ((2, 2), (3, 1), (4, 1), (5, 0)):
            found = await storage.read(lambda uow, many=many: uow.overview.declines(LONG_AGO, 10, many))  # type: ignore[misc]
            assert found.customers == customers
        assert (await storage.read(lambda uow: uow.overview.declines(LONG_AGO, 3, 2))).customers == 1

    async def test_a_refund_takes_from_its_request_to_its_success(self, storage: Storage) -> None:
        await _refunded(storage, 1, timedelta(days=2, microseconds=1), RefundStatus.SUCCEEDED)
        await _refunded(storage, 2, timedelta(seconds=3, microseconds=-1), RefundStatus.SUCCEEDED)
        await _refunded(storage, 3, timedelta(hours=1), RefundStatus.FAILED)

        assert (await _refund_times(storage)).seconds == (2.999999, 172_800.000001)

    async def test_each_refund_of_a_payment_has_its_own_time(self, storage: Storage) -> None:
        await store(storage, booking(1))
        builder = started_payment(booking(1)).happen(_paid(USD_100))
        for refund_id, second in (("rf_1", 0), ("rf_2", 10)):
            builder.happen(_refund_requested(refund_id), at=NOW + timedelta(seconds=second))
        for refund_id, second in (("rf_2", 11), ("rf_1", 30)):
            done = ev.RefundMoved(refund_id=refund_id, status=RefundStatus.SUCCEEDED)
            builder.happen(done, at=NOW + timedelta(seconds=second))
        await stored(storage, builder)

        assert (await _refund_times(storage)).seconds == (1.0, 30.0)

    async def test_a_refund_that_was_requested_again_takes_from_the_first_time_on(self, storage: Storage) -> None:
        await store(storage, booking(1))
        builder = started_payment(booking(1)).happen(_paid(USD_100))
        for second in (0, 20):
            builder.happen(_refund_requested("rf_1"), at=NOW + timedelta(seconds=second))
        done = ev.RefundMoved(refund_id="rf_1", status=RefundStatus.SUCCEEDED)
        await stored(storage, builder.happen(done, at=NOW + timedelta(seconds=30)))

        assert (await _refund_times(storage)).seconds == (30.0,)

    async def test_a_refund_that_nobody_requested_has_no_time(self, storage: Storage) -> None:
        await store(storage, booking(1))
        found = _refund("rf_1", USD_100)
        done = ev.RefundMoved(refund_id="rf_1", status=RefundStatus.SUCCEEDED)
        await stored(storage, started_payment(booking(1)).happen(_paid(USD_100), found, done))

        assert await _refund_times(storage) == RefundTimes(seconds=(), is_cut=False)

    async def test_refunds_that_were_requested_or_have_ended_too_early_are_left_out(self, storage: Storage) -> None:
        minute = timedelta(minutes=1)
        await _refunded(storage, 1, minute, RefundStatus.SUCCEEDED)

        for since, requested_since, refunds in (
            (NOW + minute, NOW, 1),
            (NOW + minute, NOW + MICROSECOND, 0),
            (NOW + minute + MICROSECOND, NOW, 0),
        ):
            assert len((await _refund_times(storage, since, requested_since)).seconds) == refunds

    async def test_of_refunds_only_the_newest_are_read(self, storage: Storage) -> None:
        for number in (1, 2, 3):
            await _refunded(storage, number, timedelta(minutes=number), RefundStatus.SUCCEEDED)

        assert await _refund_times(storage, limit=4) == RefundTimes(seconds=(60.0, 120.0, 180.0), is_cut=False)
        assert await _refund_times(storage, limit=2) == RefundTimes(seconds=(120.0, 180.0), is_cut=True)

    async def test_disputed_payments_are_found_newest_first(self, storage: Storage) -> None:
        for number, minutes in ((1, 2), (2, 3), (3, 1)):
            await store(storage, booking(number))
            builder = started_payment(booking(number), number, NOW).happen(_paid(USD_100))
            opened = _dispute(USD_100, f"du_{number}")
            await stored(storage, builder.happen(*opened, at=NOW + timedelta(minutes=minutes)))

        async def disputed(since: datetime, limit: int) -> list[str]:
            return list(await storage.read(lambda uow: uow.overview.disputed(since, limit)))

        assert await disputed(LONG_AGO, 10) == ["pay_2", "pay_1", "pay_3"]
        assert await disputed(LONG_AGO, 2) == ["pay_2", "pay_1"]
        assert await disputed(NOW + timedelta(minutes=2), 10) == ["pay_2", "pay_1"]

    # --- webhooks

    async def test_webhooks_are_counted_by_period_and_gateway(self, storage: Storage) -> None:
        statuses = (InboxStatus.FAILED, InboxStatus.PROCESSED, InboxStatus.IGNORED)
        for number, at in enumerate((YESTERDAY.ends - MICROSECOND, TODAY.begins, TODAY.ends - MICROSECOND)):
            its = {"number": number, "status": statuses[number], "gateway": "other" if number == 2 else "stripe"}
            await _deliver(storage, attrs.evolve(entry(**its), received_at=at, created_at=None))  # type: ignore[arg-type]

        assert await _received(storage) == ReceivedWebhooks(
            periods=[_webhooks(YESTERDAY, 1, 1), _webhooks(TODAY, 2, 0)],
            gateways={"stripe": WebhookCount(received=2, failed=1), "other": WebhookCount(received=1)},
        )

    async def test_a_webhook_that_needed_several_tries_has_failed(self, storage: Storage) -> None:
        await _deliver(storage, attrs.evolve(entry(1, status=InboxStatus.PROCESSED), tries=2, created_at=None))

        assert (await _received(storage)).gateways == {"stripe": WebhookCount(received=1, failed=1)}

    async def test_of_webhooks_only_the_newest_are_counted(self, storage: Storage) -> None:
        await _receive(storage, InboxStatus.FAILED, InboxStatus.PROCESSED, InboxStatus.PROCESSED)

        assert (await _received(storage, limit=2)).gateways == {"stripe": WebhookCount(received=2)}
        assert (await _received(storage, since=NOW + timedelta(seconds=3))).gateways == {
            "stripe": WebhookCount(received=1)
        }

    async def test_a_webhook_outside_of_the_periods_counts_for_its_gateway_only(self, storage: Storage) -> None:
        for number, at in enumerate((YESTERDAY.begins - MICROSECOND, TODAY.begins, TODAY.ends)):
            await _deliver(storage, attrs.evolve(entry(number), received_at=at, created_at=None))

        assert await _received(storage) == ReceivedWebhooks(
            periods=[_webhooks(TODAY, 1, 0)], gateways={"stripe": WebhookCount(received=3)}
        )

    @pytest.mark.parametrize("number", [1, 2, 3, 20, 21, 40, 41])
    async def test_delays_are_quantiles_over_all_gateways(self, storage: Storage, number: int) -> None:
        delays = [timedelta(microseconds=place * 1_000_001) for place in range(number)]
        for place, delay in enumerate([*delays[1::2], *delays[::2]]):
            received = attrs.evolve(
                entry(place, gateway=("stripe", "other")[place % 2]),
                received_at=TODAY.begins + timedelta(hours=1),
                created_at=TODAY.begins + timedelta(hours=1) - delay,
            )
            await _deliver(storage, received)

        (found,) = (await _received(storage)).periods
        seconds = [each.total_seconds() for each in delays]
        assert (found.median_delay_s, found.slow_delay_s) == (quantile(seconds, 0.5), quantile(seconds, SLOW))

    async def test_webhooks_without_a_time_of_their_event_have_no_delay_and_none_is_negative(
        self, storage: Storage
    ) -> None:
        at = TODAY.begins
        for number, created_at in enumerate((None, at + timedelta(seconds=3), at - timedelta(seconds=2))):
            await _deliver(storage, attrs.evolve(entry(number), received_at=at, created_at=created_at))

        assert (await _received(storage)).periods == [_webhooks(TODAY, 3, 0, 0.0, 2.0)]

    async def test_without_webhooks_there_is_nothing_to_count(self, storage: Storage) -> None:
        assert await _received(storage) == ReceivedWebhooks(periods=[], gateways={})

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
