"""See ``tests/unit/application/test_late_payments.py``."""

from tests.unit.application.test_late_payments import *  # noqa: F403 - the same tests, over other books
