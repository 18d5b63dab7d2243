"""See ``tests/unit/application/test_delivering.py``."""

from tests.unit.application.test_delivering import *  # noqa: F403 - the same tests, over other books
