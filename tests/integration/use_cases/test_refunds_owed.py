"""See ``tests/unit/application/test_refunds_owed.py``."""

from tests.unit.application.test_refunds_owed import *  # noqa: F403 - the same tests, over other books
