"""The recipes of the guide "tests of your app", run as a project runs them: its real books must stay untouched."""

import os
import re
from pathlib import Path

import pytest

from tests import preloaded

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/testing.md"

REAL = """
def payments():
    raise AssertionError("a test has opened the real payments")
"""

DJANGO = (
    """
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "real.sqlite3"}},
        INSTALLED_APPS=["shop"],
        ROOT_URLCONF="shop",
        SECRET_KEY="x",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
"""
    + REAL
)
DJANGO_MODELS = """
from django.db import models


class Seat(models.Model):
    name = models.CharField(max_length=40)
    taken = models.BooleanField(default=False)
"""
DJANGO_RUN = """
import warnings

warnings.simplefilter("error", ResourceWarning)
import shop
import django

django.setup()
from django.http import JsonResponse
from django.urls import path
from shop.models import Seat


def on_message(message):
    if message.type == "booking.confirmed":
        Seat.objects.filter(name=message.data["booking_reference"]).update(taken=True)


def pay(request):
    result = shop.payments().process_booking_payment(request.POST["booking"], request.POST["card"])
    return JsonResponse({"success": result.success})


shop.Seat, shop.on_message, shop.urlpatterns = Seat, on_message, [path("pay/", pay)]
from django.test.runner import DiscoverRunner

raise SystemExit(DiscoverRunner(verbosity=1).run_tests(["test_shop"]))
"""
FASTAPI = f"""
from fastapi import Depends, FastAPI

app = FastAPI()
{REAL}

@app.post("/pay/{{booking_id}}")
async def pay(booking_id: str, payments=Depends(payments)):
    result = await payments.process_booking_payment(booking_id, "pm_card_visa")
    return {{"status": result.status}}
"""
FLASK = f"""
from flask import Flask

app, TAKEN = Flask(__name__), []
{REAL}

def on_message(message):
    if message.type == "booking.confirmed":
        TAKEN.append(message.data["booking_reference"])


@app.post("/pay/<booking_id>")
def pay(booking_id):
    return {{"status": payments().process_booking_payment(booking_id, "pm_card_visa").status}}
"""


def recipe(name: str) -> str:
    found = re.search(rf"<!-- recipe: {name} -->\n\n```py\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"the guide has no recipe for {name}"
    return found[1]


PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-W",
    "error::ResourceWarning",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faker",
    "-p",
    "no:schemathesis",
)


def run(folder: Path, *arguments: str) -> str:
    done = preloaded.ran(arguments, cwd=folder, env=os.environ, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(("name", "app"), [("fastapi", FASTAPI), ("flask", FLASK)])
def test_the_recipe_for_pytest_passes_and_leaves_no_file(name: str, app: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(app)
    (tmp_path / "test_shop.py").write_text(recipe(name))

    said = run(tmp_path, *PYTEST)

    assert "1 passed" in said
    assert not list(tmp_path.glob("*.sqlite3*")) + list(tmp_path.glob("*.db"))


def test_the_recipe_for_django_passes_without_real_books_or_open_connections(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text(DJANGO)
    (tmp_path / "shop/models.py").write_text(DJANGO_MODELS)
    (tmp_path / "run.py").write_text(DJANGO_RUN)
    (tmp_path / "test_shop.py").write_text(recipe("django"))

    said = run(tmp_path, "run.py")

    assert "Ran 2 tests" in said
    assert "ResourceWarning" not in said
    assert not list(tmp_path.glob("*.sqlite3*")) + list(tmp_path.glob("*.db"))


def test_a_message_is_delivered_again_to_a_consumer_that_raises(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(AGAIN)

    assert "2 passed" in run(tmp_path, *PYTEST)


AGAIN = """
import asyncio

import pytest

got = []


@pytest.fixture
def payments_consumers():
    def once(message):
        got.append(message.id)
        if len(got) == 1:
            raise ValueError("not yet")

    got.clear()
    return [once]


def test_without_a_loop(payments_kit_sync):
    payments_kit_sync.payments.process_booking_payment(payments_kit_sync.book(), "pm_card_visa")
    with pytest.raises(ValueError, match="not yet"):
        payments_kit_sync.settle()
    payments_kit_sync.settle()
    assert got[0] == got[1]
    assert got[1:] == [each.id for each in payments_kit_sync.messages]


def test_with_a_loop(payments_kit):
    async def pay():
        await payments_kit.payments.process_booking_payment(await payments_kit.book(), "pm_card_visa")
        await payments_kit.settle()

    asyncio.run(pay())
    assert got[0] == got[1]
"""
