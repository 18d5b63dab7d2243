"""See ``tests/unit/application/test_bookings.py``."""

from tests.unit.application.test_bookings import *  # noqa: F403 - the same tests, over other books
