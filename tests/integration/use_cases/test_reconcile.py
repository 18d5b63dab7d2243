"""See ``tests/unit/application/test_reconcile.py``."""

from tests.unit.application.test_reconcile import *  # noqa: F403 - the same tests, over other books
