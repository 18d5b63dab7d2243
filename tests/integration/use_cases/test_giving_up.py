"""See ``tests/unit/application/test_giving_up.py``."""

from tests.unit.application.test_giving_up import *  # noqa: F403 - the same tests, over other books
