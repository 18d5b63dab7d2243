"""Processes of our own do not load what they never use."""

import subprocess
import sys

import pytest

LOADED = """
import sys
{code}
print(*sorted(name for name in {names!r} if name in sys.modules))
"""


def loaded(code: str, *names: str) -> list[str]:
    """Which of the modules are there after ``code`` in a process of its own."""
    program = LOADED.format(code=code, names=names)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()


RUN = "from booking_payments.entrypoints.cli.runner import settings_or_fail; settings_or_fail()"


@pytest.mark.parametrize("code", ["import booking_payments.asgi", RUN])
def test_what_is_only_for_a_terminal_or_a_migration_stays_out(code: str) -> None:
    assert loaded(code, "structlog", "rich", "pygments", "alembic") == ["structlog"]


def test_the_sdk_brings_no_clients_that_it_is_not_asked_to_use() -> None:
    code = """
from booking_payments.entrypoints.lean import load_what_is_wanted
from booking_payments.runtime.settings import load_settings
load_what_is_wanted(load_settings({"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_PUBLISHABLE_KEY": "pk_test_x",
                            "STRIPE_WEBHOOK_SECRET": "whsec_x", "JWT_SECRET": "x" * 32}, env_file=None))
"""
    assert loaded(code, "stripe", "requests", "httpx") == ["stripe"]


def test_what_frameworks_and_stores_need_stays_out_where_there_are_none() -> None:
    code = """
from booking_payments.entrypoints import lean
from booking_payments.runtime.settings import load_settings
lean.load_what_is_wanted(load_settings({}, env_file=None))
import booking_payments.runtime.container, booking_payments.adapters.throttle
"""
    assert loaded(code, "dependency_injector.wiring", "throttled", "fastapi", "werkzeug", "redis") == [
        "dependency_injector.wiring",
        "throttled",
    ]


def test_what_was_there_before_stays_as_it_was() -> None:
    """In somebody else's process nothing is taken away."""
    assert loaded("import rich, booking_payments.asgi", "rich", "structlog") == ["rich", "structlog"]
    assert loaded("import booking_payments.asgi, rich", "rich", "structlog") == ["rich", "structlog"]
