"""See ``tests/unit/application/test_resuming.py``."""

from tests.unit.application.test_resuming import *  # noqa: F403 - the same tests, over other books
