"""See ``tests/unit/application/test_unknown_outcomes.py``."""

from tests.unit.application.test_unknown_outcomes import *  # noqa: F403 - the same tests, over other books
