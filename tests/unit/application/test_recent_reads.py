"""Which payments were read a moment ago: short, and never more than so many."""

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


def test_payments_do_not_wait_for_one_another() -> None:
    reads = RecentReads()

    assert [reads.begin(f"pay_{number}", NOW) for number in range(3)] == [True] * 3


def test_a_clock_that_is_put_back_blocks_nothing() -> None:
    reads = RecentReads()
    reads.begin("pay_1", NOW)

    assert reads.begin("pay_1", NOW - timedelta(hours=1))


def test_so_many_are_kept_and_the_oldest_are_forgotten() -> None:
    reads = RecentReads()
    for number in range(3 * MOST_KEPT):
        reads.begin(f"pay_{number}", NOW)

    assert len(reads._read_at) == MOST_KEPT
    assert not reads.begin(f"pay_{3 * MOST_KEPT - 1}", NOW)
    assert reads.begin("pay_0", NOW)
