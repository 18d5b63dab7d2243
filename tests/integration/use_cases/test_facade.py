"""See ``tests/unit/application/test_facade.py``."""

from tests.unit.application.test_facade import *  # noqa: F403 - the same tests, over other books
