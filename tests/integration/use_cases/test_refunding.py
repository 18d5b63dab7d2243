"""See ``tests/unit/application/test_refunding.py``."""

from tests.unit.application.test_refunding import *  # noqa: F403 - the same tests, over other books
