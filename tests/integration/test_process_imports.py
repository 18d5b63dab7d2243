"""Processes of our own do not load what they never use."""

import subprocess
import sys

LOADED = """
import sys
{code}
print(*sorted(name for name in {names!r} if name in sys.modules))
"""


def loaded(code: str, *names: str) -> list[str]:
    """Which of the modules are there after ``code`` in a process of its own."""
    program = LOADED.format(code=code, names=names)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()


SETTINGS = """
from booking_payments.runtime.process import import_without, load_stripe_sdk
from booking_payments.runtime.settings import load_settings
KEYS = {"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_PUBLISHABLE_KEY": "pk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
"""


def test_migrations_are_not_loaded_by_a_process_that_serves() -> None:
    assert loaded("import booking_payments.asgi", "structlog", "alembic") == ["structlog"]


def test_the_sdk_is_loaded_without_the_clients_that_it_does_not_need() -> None:
    code = SETTINGS + "load_stripe_sdk(load_settings({**KEYS, 'JWT_SECRET': 'x' * 32}, env_file=None))"

    assert loaded(code, "stripe", "requests", "httpx") == ["stripe"]


def test_the_sdk_is_not_loaded_with_another_gateway() -> None:
    code = SETTINGS + "load_stripe_sdk(load_settings({}, env_file=None))"

    assert loaded(code, "stripe") == []


def test_a_module_that_was_loaded_before_stays_loaded() -> None:
    without = SETTINGS + "import_without('stripe', ('requests',))"

    assert loaded(f"import requests\n{without}", "requests") == ["requests"]
    assert loaded(f"{without}\nimport requests", "requests") == ["requests"]
