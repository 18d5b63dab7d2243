"""See ``tests/unit/application/test_idempotency.py``."""

from tests.unit.application.test_idempotency import *  # noqa: F403 - the same tests, over other books
