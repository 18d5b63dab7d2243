"""The ledger check: correct data has no fault, and each kind of planted fault is found."""

from collections.abc import Callable

import attrs
import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application import bookkeeping
from booking_payments.application.bookkeeping import faults_of
from booking_payments.domain import events as ev
from booking_payments.domain.ledger import Account, Line
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.payments import PaymentHistory
from booking_payments.testing.kit import PaymentsTestKit
from tests.payments import paid_booking, payment_of


async def _refunded(kit: PaymentsTestKit) -> str:
    booking_id = (await paid_booking(kit)).id
    await kit.payments.refund_payment(booking_id, amount="30.00")
    return (await payment_of(kit, booking_id)).id


async def _history_of(kit: PaymentsTestKit) -> PaymentHistory:
    payment_id = await _refunded(kit)
    return (await kit.storage.read(lambda uow: uow.payment_reader.histories([payment_id])))[payment_id]


def _codes(history: PaymentHistory | Exception) -> list[str]:
    return [fault.code for fault in faults_of("pay_1", history)]


async def test_consistent_data_has_no_fault(kit: PaymentsTestKit) -> None:
    await _refunded(kit)

    found = await kit.payments.check_ledger()

    assert (found.agrees, found.payments, found.postings) == (True, 1, 3)


async def test_an_empty_database_has_no_fault(kit: PaymentsTestKit) -> None:
    assert (await kit.payments.check_ledger()).agrees


async def test_the_balances_show_where_the_money_is(kit: PaymentsTestKit) -> None:
    await _refunded(kit)

    held = {account: amount.minor for (_, account, _), amount in (await kit.payments.check_ledger()).balances.items()}

    assert held == {Account.GATEWAY: 7000, Account.ORGANIZER: -6700, Account.FEES: -300}


async def test_balances_are_those_of_all_payments_together(kit: PaymentsTestKit) -> None:
    await _refunded(kit)
    await paid_booking(kit, reference="R-2")

    found = await kit.payments.check_ledger()

    assert found.balances["fake", Account.GATEWAY, Currency.USD].minor == 17000


async def test_every_payment_is_checked_in_batches(kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "AT_ONCE", 2)
    for number in range(5):
        await paid_booking(kit, reference=f"R-{number}")
    told: list[tuple[int, int]] = []

    found = await kit.payments.check_ledger(lambda doing, done, total: told.append((done, total)))

    assert (found.payments, told) == (5, [(2, 5), (4, 5), (5, 5)])


async def test_checking_changes_nothing(kit: PaymentsTestKit) -> None:
    payment_id = await _refunded(kit)
    before = (await kit.storage.read(lambda uow: uow.payment_reader.histories([payment_id])))[payment_id]

    await kit.payments.check_ledger()

    assert (await kit.storage.read(lambda uow: uow.payment_reader.histories([payment_id])))[payment_id] == before


# --- planted faults

Plant = Callable[[PaymentHistory], PaymentHistory]


def _without_event(place: int) -> Plant:
    return lambda history: attrs.evolve(history, journal=history.journal[:place] + history.journal[place + 1 :])


def _other_status(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, payment=attrs.evolve(history.payment, status=PaymentStatus.PROCESSING))


def _other_captured(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, payment=attrs.evolve(history.payment, captured=Money(9999, Currency.USD)))


def _without_posting(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, postings=history.postings[:-1])


def _posting_twice(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, postings=(*history.postings, history.postings[-1]))


def _postings_swapped(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, postings=history.postings[::-1])


def _stale_column(history: PaymentHistory) -> PaymentHistory:
    return attrs.evolve(history, stale=("refunded_minor",))


def _unbalanced(history: PaymentHistory) -> PaymentHistory:
    first = history.postings[0]
    lines = (first.lines[0], Line(account=first.lines[1].account, amount=Money(-1, Currency.USD)))
    broken = attrs.evolve(first)
    object.__setattr__(broken, "lines", lines)
    return attrs.evolve(history, postings=(broken, *history.postings[1:]))


PLANTED: list[tuple[Plant, set[str]]] = [
    (_other_status, {"snapshot_differs"}),
    (_other_captured, {"snapshot_differs"}),
    (_without_posting, {"postings_differ"}),
    (_posting_twice, {"postings_differ"}),
    (_postings_swapped, {"postings_differ"}),
    (_stale_column, {"columns_differ"}),
    (_unbalanced, {"posting_unbalanced", "postings_differ"}),
]


@pytest.mark.parametrize(("plant", "expected"), PLANTED)
async def test_a_planted_fault_is_found(kit: PaymentsTestKit, plant: Plant, expected: set[str]) -> None:
    assert set(_codes(plant(await _history_of(kit)))) == expected


@pytest.mark.parametrize("place", range(8))
async def test_a_missing_event_is_found(kit: PaymentsTestKit, place: int) -> None:
    codes = _codes(_without_event(place)(await _history_of(kit)))

    assert "journal_gap" in codes


async def test_a_journal_that_lost_its_end_is_found(kit: PaymentsTestKit) -> None:
    history = await _history_of(kit)

    codes = _codes(attrs.evolve(history, journal=history.journal[:-2]))

    assert codes == ["snapshot_differs", "postings_differ"]


async def test_a_missing_event_is_named_by_its_number(kit: PaymentsTestKit) -> None:
    history = _without_event(2)(await _history_of(kit))

    gaps = [fault.text for fault in faults_of("pay_1", history) if fault.code == "journal_gap"]
    assert gaps == ["event 3 of the journal is missing; the next one is 4"]


async def test_a_fault_names_the_difference(kit: PaymentsTestKit) -> None:
    faults = list(faults_of("pay_1", _other_status(await _history_of(kit))))

    assert [fault.text for fault in faults] == ["the journal gives another status"]


async def test_a_requested_refund_above_the_refundable_amount_is_found(kit: PaymentsTestKit) -> None:
    history = await _history_of(kit)
    requested = next(each.event for each in history.journal if isinstance(each.event, ev.RefundRequested))
    greedy = attrs.evolve(requested, refund_id="rf_2", amount=Money(9000, Currency.USD))
    last = history.journal[-1]
    journal = (*history.journal, attrs.evolve(last, sequence=last.sequence + 1, event=greedy))

    assert "refunds_exceed" in _codes(attrs.evolve(history, journal=journal))


async def test_a_dashboard_refund_above_the_refundable_amount_is_not_a_fault(
    kit: PaymentsTestKit,
) -> None:
    history = await _history_of(kit)
    found = ev.RefundFound(
        refund_id="re_2",
        gateway_refund_id="re_2",
        amount=Money(9000, Currency.USD),
        fee_refunded=Money.zero(Currency.USD),
        status=RefundStatus.SUCCEEDED,
        reason=None,
    )
    last = history.journal[-1]
    journal = (*history.journal, attrs.evolve(last, sequence=last.sequence + 1, event=found))

    assert "refunds_exceed" not in _codes(attrs.evolve(history, journal=journal))


def test_an_unreadable_journal_is_named() -> None:
    assert _codes(ValueError("no such account")) == ["unreadable"]


async def test_faults_are_found_by_the_whole_check() -> None:
    storage = MemoryStorage()
    kit = PaymentsTestKit(storage=storage)
    payment_id = await _refunded(kit)
    storage._tables.postings[payment_id] = storage._tables.postings[payment_id][:-1]

    found = await kit.payments.check_ledger()

    assert [(fault.payment_id, fault.code) for fault in found.faults] == [(payment_id, "postings_differ")]
    assert not found.agrees


async def test_all_faults_are_counted_and_the_first_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "MOST_KEPT", 2)
    storage = MemoryStorage()
    kit = PaymentsTestKit(storage=storage)
    for number in range(3):
        await paid_booking(kit, reference=f"R-{number}")
    storage._tables.postings.clear()

    found = await kit.payments.check_ledger()

    assert (found.faults_found, len(found.faults)) == (3, 2)


async def test_a_journal_with_an_impossible_sequence_of_events_is_reported(kit: PaymentsTestKit) -> None:
    history = await _history_of(kit)
    begins = ev.Recorded(sequence=1, at=kit.clock.now(), actor="x", cause="x", event=ev.MethodRequired())

    faults = list(faults_of("pay_1", attrs.evolve(history, journal=(begins, *history.journal[1:]))))

    assert [fault.code for fault in faults] == ["snapshot_differs"]
    assert "can't be folded" in faults[0].text
