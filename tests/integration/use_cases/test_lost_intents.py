"""See ``tests/unit/application/test_lost_intents.py``."""

from tests.unit.application.test_lost_intents import *  # noqa: F403 - the same tests, over other books
