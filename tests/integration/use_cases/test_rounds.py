"""See ``tests/unit/application/test_rounds.py``."""

from tests.unit.application.test_rounds import *  # noqa: F403 - the same tests, over other books
