"""See ``tests/unit/application/test_gateway_faults.py``."""

from tests.unit.application.test_gateway_faults import *  # noqa: F403 - the same tests, over other books
