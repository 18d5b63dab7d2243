"""Recent reads of payments: remembered for a short time, and in a bounded number."""

from datetime import timedelta

from booking_payments.application.recent_reads import FRESH, MOST_KEPT, RecentReads
from booking_payments.testing.kit import NOW

MOMENT = timedelta(microseconds=1)


def test_a_read_is_fresh_for_two_seconds() -> None:
    reads = RecentReads()

    assert reads.begin("pay_1", NOW)
    assert not reads.begin("pay_1", NOW)
    assert not reads.begin("pay_1", NOW + FRESH - MOMENT)
    assert reads.begin("pay_1", NOW + FRESH)
    assert timedelta(seconds=2) == FRESH


def test_reads_of_different_payments_are_independent() -> None:
    reads = RecentReads()

    assert [reads.begin(f"pay_{number}", NOW) for number in range(3)] == [True] * 3


def test_a_clock_set_back_does_not_block_reads() -> None:
    reads = RecentReads()
    reads.begin("pay_1", NOW)

    assert reads.begin("pay_1", NOW - timedelta(hours=1))


def test_the_number_of_reads_is_bounded_and_the_oldest_are_dropped() -> None:
    reads = RecentReads()
    for number in range(3 * MOST_KEPT):
        reads.begin(f"pay_{number}", NOW)

    assert len(reads._read_at) == MOST_KEPT
    assert not reads.begin(f"pay_{3 * MOST_KEPT - 1}", NOW)
    assert reads.begin("pay_0", NOW)
