from datetime import UTC, datetime, timedelta

import attrs

from booking_payments.adapters.sql.clock import HEARD_EVERY_S, DatabaseClock

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WRONG = NOON + timedelta(minutes=10)


@attrs.define
class Machine:
    """A machine with a wrong wall clock and a correct monotonic clock."""

    wall: datetime = WRONG
    elapsed: float = 100.0

    def clock(self) -> DatabaseClock:
        return DatabaseClock(lambda: self.wall, lambda: self.elapsed)


def test_before_the_first_reading_the_clock_is_the_machines() -> None:
    clock = Machine().clock()

    assert clock.wants_to_hear
    assert clock.now() == WRONG


def test_after_a_reading_the_clock_is_the_databases_plus_the_elapsed_time() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.heard(NOON)

    machine.elapsed += 2.5

    assert clock.now() == NOON + timedelta(seconds=2.5)


def test_setting_the_wall_clock_does_not_change_the_time() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.heard(NOON)

    machine.wall -= timedelta(hours=1)

    assert clock.now() == NOON


def test_the_database_clock_is_read_again_after_a_while_and_replaces_the_old_reading() -> None:
    machine = Machine()
    clock = machine.clock()
    wants = []
    clock.heard(NOON)
    wants.append(clock.wants_to_hear)

    machine.elapsed += HEARD_EVERY_S
    wants.append(clock.wants_to_hear)
    clock.heard(NOON + timedelta(seconds=9))
    wants.append(clock.wants_to_hear)

    assert wants == [False, True, False]
    assert clock.now() == NOON + timedelta(seconds=9)


def test_by_default_the_elapsed_time_is_measured_on_this_machine() -> None:
    clock = DatabaseClock()
    clock.heard(NOON)

    assert timedelta(0) <= clock.now() - NOON < timedelta(hours=1)
