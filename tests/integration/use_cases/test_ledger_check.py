"""See ``tests/unit/application/test_ledger_check.py``."""

from tests.unit.application.test_ledger_check import *  # noqa: F403 - the same tests, over other books
