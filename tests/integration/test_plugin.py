"""What other projects get in their tests, as they get it: by having the package installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import preloaded

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

needs_it = ("uvicorn", "booking_payments.testing.sandbox", "booking_payments.sandbox.http")
for name in [each for each in sys.modules if each.startswith(needs_it)]:
    del sys.modules[name]
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


PYTEST = ("-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:randomly")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest shows of a project with two modules of tests, in this order."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_1_idle.py").write_text(IDLE)
    (folder / "test_2_use.py").write_text(USE)
    return subprocess.run([sys.executable, *PYTEST], cwd=folder, capture_output=True, text=True, check=False).stdout


def test_the_fixtures_are_there_without_being_asked_for(shown: str) -> None:
    assert set(re.findall(r"^PASSED test_2_use.py::(\w+)", shown, re.MULTILINE)) == {
        "test_a_payment_in_the_kit",
        "test_each_test_has_a_kit_of_its_own",
        "test_a_sandbox",
    }


def test_the_sandbox_names_the_extra_that_it_needs(tmp_path: Path) -> None:
    expected = "payments_sandbox: needs the package uvicorn; run: pip install 'booking-payments[http]'"
    (tmp_path / "test_project.py").write_text(BARE)

    assert expected in preloaded.ran(PYTEST, cwd=tmp_path, env=os.environ).stdout


def test_a_project_that_does_not_use_them_pays_nothing(shown: str) -> None:
    assert "PASSED test_1_idle.py::test_nothing_is_loaded_by_being_installed" in shown
