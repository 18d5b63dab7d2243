from datetime import UTC, datetime, timedelta

import attrs

from booking_payments.adapters.sql.clock import HEARD_EVERY_S, DatabaseClock

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WRONG = NOON + timedelta(minutes=10)


@attrs.define
class Machine:
    """A machine whose wall clock is wrong, and which knows how much time has passed."""

    wall: datetime = WRONG
    elapsed: float = 100.0

    def clock(self) -> DatabaseClock:
        return DatabaseClock(lambda: self.wall, lambda: self.elapsed)


def test_before_the_database_has_spoken_it_is_the_time_of_the_machine() -> None:
    clock = Machine().clock()

    assert clock.wants_to_hear
    assert clock.now() == WRONG


def test_from_then_on_it_is_the_time_of_the_database_and_the_seconds_since() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.heard(NOON)

    machine.elapsed += 2.5

    assert clock.now() == NOON + timedelta(seconds=2.5)


def test_setting_the_wall_clock_changes_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.heard(NOON)

    machine.wall -= timedelta(hours=1)

    assert clock.now() == NOON


def test_the_database_is_asked_again_after_a_while_and_believed() -> None:
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


def test_unless_told_otherwise_it_follows_this_machine() -> None:
    clock = DatabaseClock()
    clock.heard(NOON)

    assert timedelta(0) <= clock.now() - NOON < timedelta(hours=1)
