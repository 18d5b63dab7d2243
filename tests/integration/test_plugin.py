"""What other projects get in their tests, as they get it: by having the package installed."""

import subprocess
import sys
from pathlib import Path

USE = """
import asyncio
import urllib.request


def test_a_payment_in_the_kit(payments_kit):
    async def pay():
        return await payments_kit.payments.process_booking_payment(await payments_kit.book(), "pm_card_visa")

    assert asyncio.run(pay()).success


def test_each_test_has_a_kit_of_its_own(payments_kit):
    assert asyncio.run(payments_kit.payments.list_payments()).items == ()


def test_a_sandbox(payments_sandbox):
    request = urllib.request.Request(payments_sandbox.url + "/v1/events", headers={"Authorization": "Bearer sk_test_x"})
    assert urllib.request.urlopen(request).status == 200
"""
BARE = """
import sys

sys.modules["uvicorn"] = None  # as if it were not installed


def test_a_sandbox(payments_sandbox):
    pass
"""
IDLE = """
import sys


def test_nothing_is_loaded_by_being_installed():
    heavy = ("booking_payments.adapters", "sqlalchemy", "litestar")
    assert [name for name in sys.modules if name.startswith(heavy)] == []
"""


def outcome(folder: Path, content: str) -> str:
    """What pytest says at the end of a project that has one module of tests."""
    (folder / "test_project.py").write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


def test_the_fixtures_are_there_without_being_asked_for(tmp_path: Path) -> None:
    assert "3 passed" in outcome(tmp_path, USE)


def test_the_sandbox_names_the_extra_that_it_needs(tmp_path: Path) -> None:
    expected = "payments_sandbox: needs the package uvicorn; run: pip install 'booking-payments[http]'"

    assert expected in outcome(tmp_path, BARE)


def test_a_project_that_does_not_use_them_pays_nothing(tmp_path: Path) -> None:
    assert "1 passed" in outcome(tmp_path, IDLE)
