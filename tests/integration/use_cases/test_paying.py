"""See ``tests/unit/application/test_paying.py``."""

from tests.unit.application.test_paying import *  # noqa: F403 - the same tests, over other books
