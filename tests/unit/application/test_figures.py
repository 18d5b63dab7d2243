"""Figures: amounts by the day on which the money moved, in the configured time zone, for every currency; sums have
no upper bound.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.figures import Figures, MoneyOfCurrency, day_begins, days_back
from booking_payments.domain.ledger import Account
from booking_payments.domain.money import Currency
from booking_payments.testing.kit import PaymentsTestKit

BERLIN = ZoneInfo("Europe/Berlin")
Row = tuple[str, str, str, str, str]


def _in_berlin(kit: PaymentsTestKit) -> PaymentsTestKit:
    """A test kit with the same storage whose business days are those of Berlin."""
    return PaymentsTestKit(storage=kit.storage, config=PaymentConfig(time_zone=BERLIN))


def _at(kit: PaymentsTestKit, moment: str) -> None:
    """Move the clock forward to a time in UTC."""
    kit.clock.advance(datetime.fromisoformat(moment).replace(tzinfo=UTC) - kit.clock.now())


async def _paid(
    kit: PaymentsTestKit, amount: str = "100.00", *, reference: str = "R-1", method: str = "pm_card_visa"
) -> str:
    booking = await kit.book(amount, reference=reference)
    assert (await kit.payments.process_booking_payment(booking, method)).success
    return booking.id


def _rows(of: MoneyOfCurrency) -> list[Row]:
    """Return the days with movements: day, gross, refunded, withdrawn, net."""
    return [
        (str(day.day), day.gross.major(), day.refunded.major(), day.withdrawn.major(), day.net.major())
        for day in of.days
        if day.gross or day.refunded or day.withdrawn
    ]


def _usd(figures: Figures) -> list[Row]:
    (usd,) = figures.money
    return _rows(usd)


async def test_amounts_are_reported_on_the_day_the_money_moved(kit: PaymentsTestKit) -> None:
    _at(kit, "2026-03-02T10:00:00")
    booking_id = await _paid(kit)
    _at(kit, "2026-03-04T10:00:00")
    await kit.payments.process_booking_refund(booking_id, "30.00")

    assert _usd(await kit.payments.recent_figures(7)) == [
        ("2026-03-02", "100.00", "0.00", "0.00", "100.00"),
        ("2026-03-04", "0.00", "30.00", "0.00", "-30.00"),
    ]


async def test_money_of_a_payment_that_began_before_the_period_is_reported_in_it(kit: PaymentsTestKit) -> None:
    _at(kit, "2026-03-02T10:00:00")
    booking_id = await _paid(kit)
    _at(kit, "2026-03-15T10:00:00")
    await kit.payments.process_booking_refund(booking_id, "30.00")

    found = await kit.payments.recent_figures(7)

    assert _usd(found) == [("2026-03-15", "0.00", "30.00", "0.00", "-30.00")]
    assert sum(day.succeeded for day in found.days) == 0


async def test_a_debit_is_reported_when_it_succeeds_and_not_when_it_began(kit: PaymentsTestKit) -> None:
    _at(kit, "2026-03-02T23:59:00")
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_usBankAccount_success")
    await kit.settle()

    found = await kit.payments.recent_figures(7)

    assert [row[:2] for row in _usd(found)] == [("2026-03-03", "100.00")]
    assert [str(day.day) for day in found.days if day.succeeded] == ["2026-03-02"]


async def test_amounts_taken_back_by_a_bank_are_reported_as_withdrawn(kit: PaymentsTestKit) -> None:
    await _paid(kit, method="pm_card_createDispute")
    await kit.settle()

    (usd,) = (await kit.payments.recent_figures(1)).money

    assert [each.major() for each in (usd.gross, usd.refunded, usd.withdrawn, usd.net)] == [
        "100.00",
        "0.00",
        "100.00",
        "0.00",
    ]


async def test_the_net_of_all_days_equals_the_gateways_balance(kit: PaymentsTestKit) -> None:
    for number, method in enumerate(("pm_card_visa", "pm_card_createDispute", "pm_card_visa")):
        booking_id = await _paid(kit, reference=f"R-{number}", method=method)
        kit.clock.advance(timedelta(hours=20))
    await kit.settle()
    await kit.payments.process_booking_refund(booking_id, "12.34")

    (usd,) = (await kit.payments.recent_figures(30)).money

    held = (await kit.payments.check_ledger()).balances["fake", Account.GATEWAY, Currency.USD]
    assert usd.net == held == usd.gross - usd.refunded - usd.withdrawn
    assert usd.charges == 3


async def test_every_currency_is_reported_those_with_the_most_payments_first(kit: PaymentsTestKit) -> None:
    paid = [Currency.SEK, Currency.JPY, Currency.KWD, Currency.EUR, Currency.USD, Currency.JPY]
    for number, currency in enumerate(paid):
        booking = await kit.book("100", currency=currency, reference=f"R-{number}")
        assert (await kit.payments.process_booking_payment(booking, "pm_card_visa")).success

    found = await kit.payments.recent_figures(1)

    assert [(each.currency.code, each.gross.major()) for each in found.money] == [
        ("jpy", "200"),
        ("eur", "100.00"),
        ("kwd", "100.000"),
        ("sek", "100.00"),
        ("usd", "100.00"),
    ]


# --- sums without a bound


async def test_the_sum_of_eleven_largest_charges_is_reported(kit: PaymentsTestKit) -> None:
    for number in range(11):
        booking = await kit.book("1000000000.00", currency=Currency.IDR, reference=f"R-{number}")
        assert (await kit.payments.process_booking_payment(booking, "pm_card_visa")).success

    found = await kit.payments.recent_figures(1)
    checked = await kit.payments.check_ledger()

    assert [(each.gross.major(), each.net.major()) for each in found.money] == [("11000000000.00", "11000000000.00")]
    assert checked.agrees
    assert checked.balances["fake", Account.GATEWAY, Currency.IDR].major() == "11000000000.00"
    assert checked.balances["fake", Account.ORGANIZER, Currency.IDR].major() == "-10670000000.00"


# --- days of a time zone


async def test_a_day_is_a_day_of_the_configured_time_zone(kit: PaymentsTestKit) -> None:
    berlin = _in_berlin(kit)
    _at(berlin, "2026-03-02T22:59:59")
    await _paid(berlin, "10.00", reference="R-1")
    _at(berlin, "2026-03-02T23:00:00")
    await _paid(berlin, "20.00", reference="R-2")

    found = await berlin.payments.recent_figures(7)

    assert [row[:2] for row in _usd(found)] == [("2026-03-02", "10.00"), ("2026-03-03", "20.00")]
    assert [(str(day.day), day.succeeded) for day in found.days if day.succeeded] == [
        ("2026-03-02", 1),
        ("2026-03-03", 1),
    ]


async def test_webhooks_are_counted_by_the_day_of_the_time_zone(kit: PaymentsTestKit) -> None:
    berlin = _in_berlin(kit)
    _at(berlin, "2026-03-02T23:30:00")
    await _paid(berlin)
    await berlin.deliver_webhooks()

    found = await berlin.payments.recent_figures(2)

    assert [str(day.day) for day in found.webhooks if day.received] == ["2026-03-03"]


@pytest.mark.parametrize(
    ("moments", "days"),
    [
        (
            ["2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00"],
            [("2026-03-28", "10.00"), ("2026-03-29", "20.00"), ("2026-03-30", "10.00")],
        ),
        (
            ["2026-10-24T21:59:59", "2026-10-24T22:00:00", "2026-10-25T22:59:59", "2026-10-25T23:00:00"],
            [("2026-10-24", "10.00"), ("2026-10-25", "20.00"), ("2026-10-26", "10.00")],
        ),
    ],
    ids=["of 23 hours", "of 25 hours"],
)
async def test_days_with_a_clock_change_are_complete(
    kit: PaymentsTestKit, moments: list[str], days: list[tuple[str, str]]
) -> None:
    berlin = _in_berlin(kit)
    for number, moment in enumerate(moments):
        _at(berlin, moment)
        await _paid(berlin, "10.00", reference=f"R-{number}")

    assert [row[:2] for row in _usd(await berlin.payments.recent_figures(7))] == days


async def test_the_last_days_begin_at_a_midnight_of_the_time_zone_and_end_today(kit: PaymentsTestKit) -> None:
    berlin = _in_berlin(kit)
    _at(berlin, "2026-03-30T22:30:00")

    found = await berlin.payments.recent_figures(3)

    assert found.since == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert [day.day for day in found.days] == [date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31)]
    assert found.zone is BERLIN


async def test_figures_begin_at_the_requested_time(kit: PaymentsTestKit) -> None:
    await _paid(kit, "10.00", reference="R-1")
    kit.clock.advance(timedelta(minutes=90))
    await _paid(kit, "20.00", reference="R-2")

    found = await kit.payments.figures(kit.clock.now() - timedelta(hours=1))

    assert [row[1] for row in _usd(found)] == ["20.00"]
    assert found.succeeded == 1


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", date(2026, 3, 1), "2026-03-01T00:00"),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00"),
        ("Europe/Berlin", date(2026, 3, 30), "2026-03-29T22:00"),
        ("Asia/Kathmandu", date(2026, 3, 1), "2026-02-28T18:15"),
        # Clocks go from 00:00 to 01:00: there is no midnight, and the day begins with the change.
        ("America/Santiago", date(2026, 9, 6), "2026-09-06T04:00"),
        # Clocks go from 01:00 back to 00:00: midnight comes twice, and the day begins with the first.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00"),
        # Samoa crossed the date line and skipped this day: it begins when the next one does.
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00"),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00"),
    ],
)
def test_a_day_begins_at_its_first_instant(zone: str, day: date, begins: str) -> None:
    assert day_begins(day, ZoneInfo(zone)) == datetime.fromisoformat(begins).replace(tzinfo=UTC)


def test_today_is_the_current_day_of_the_time_zone() -> None:
    now = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)

    assert days_back(now, 1, BERLIN) == datetime(2026, 3, 1, 23, tzinfo=UTC)
    assert days_back(now, 1, UTC) == datetime(2026, 3, 1, tzinfo=UTC)
