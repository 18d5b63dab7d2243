"""See ``tests/unit/application/test_replay.py``."""

from tests.unit.application.test_replay import *  # noqa: F403 - the same tests, over other books
