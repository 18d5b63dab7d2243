"""See ``tests/unit/application/test_webhooks.py``."""

from tests.unit.application.test_webhooks import *  # noqa: F403 - the same tests, over other books
