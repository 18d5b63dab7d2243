"""Built, and installed into an empty environment: alone it takes payments, and each extra brings what its corner needs.

Nothing is fetched: what an install would bring is linked from the environment of the tests, package by package, in the
versions that are locked. The installed commands are forks of one process of that environment, which has imported what
every installation has (``tests.preloaded``); what is missing, or comes with an extra, they look for themselves.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.metadata import distribution
from itertools import groupby
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests import preloaded
from tests.requiring import CORNERS, ROOT, closure, corner_of, homes, modules
from tests.sharing import SHARED, shared

pytestmark = pytest.mark.timeout(600)  # the first test builds and installs
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "JWT_SECRET": "s" * 32,
}
BUILD = """
import os, shutil, sys
from hatchling.build import build_sdist, build_wheel

folder = sys.argv[1]
build_wheel(folder)
shutil.unpack_archive(os.path.join(folder, build_sdist(folder)), os.path.join(folder, "sources"))
[top] = os.listdir(os.path.join(folder, "sources"))
os.chdir(os.path.join(folder, "sources", top))
build_wheel(os.path.join(folder, "again"))
"""
"""Builds as pip does, by the functions of PEP 517: from the sources, and from the unpacked sdist."""
POSTGRES = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}

Run = subprocess.CompletedProcess[str]
IMPORTED = (
    "booking_payments.adapters.gateways.bank_transfer.plugin",
    "booking_payments.adapters.gateways.fake.plugin",
    "booking_payments.adapters.gateways.manual.plugin",
    "booking_payments.adapters.sql.migrations",
    "booking_payments.embedding",
    "booking_payments.entrypoints.cli",
    "booking_payments.runtime.composition",
    "aiosqlite",
    "alembic.command",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
)
"""Modules that are imported before the first fork. Every installation has them."""
PaymentsTestKit = Callable[..., Run]
"""Runs a command of the install, with the extras and settings that are named."""


def done(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


Filled = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def filled(request: pytest.FixtureRequest, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Return a folder that one worker of the run fills, for all of them."""

    def folder_of_all(name: str, fill: Callable[[Path], None]) -> Path:
        @contextmanager
        def made() -> Iterator[str]:
            folder = tmp_path_factory.mktemp(name)
            fill(folder)
            yield str(folder)

        return Path(request.config.stash[SHARED].enter_context(shared(run_folder, name, made)))

    return folder_of_all


@pytest.fixture(scope="session")
def built(filled: Filled) -> tuple[Path, Path]:
    """The wheel of the sources, and the one that the sdist makes."""

    folder = filled("dist", lambda folder: done(sys.executable, "-c", BUILD, folder))
    [wheel], [again] = folder.glob("*.whl"), (folder / "again").glob("*.whl")
    return wheel, again


@pytest.fixture(scope="session")
def environment(built: tuple[Path, Path], filled: Filled) -> Path:
    """An environment with the package and its mandatory dependencies, without anything else, even pip."""

    def install(folder: Path) -> None:
        done(sys.executable, "-m", "venv", "--without-pip", folder)
        done(*PIP, "--python", folder / "bin" / "python", "install", "--no-index", "--no-deps", built[1])
        [packages] = (folder / "lib").glob("python*/site-packages")
        link(closure(), packages)

    return filled("bare-environment", install)


@pytest.fixture(scope="session")
def brought(filled: Filled) -> Callable[[str], Path]:
    """Return a folder with the packages that an extra installs."""

    @cache
    def folder_of(extra: str) -> Path:
        return filled(f"extra-{extra}", lambda folder: link(closure(extra) - closure(), folder))

    return folder_of


def link(packages: Iterable[str], target: Path) -> None:
    """Put the files of ``packages`` into ``target``, as links; a folder that only one package has is one link."""
    owners = homes()
    for package in packages:
        found = distribution(package)
        for top, files in groupby(sorted(found.files or ()), key=lambda file: file.parts[0]):
            if top == "..":  # commands, which are not called here
                continue
            alone = top != "__pycache__" and owners.get(top, {package}) == {package}
            for file in [Path(top)] if alone else files:
                (target / file.parent).mkdir(parents=True, exist_ok=True)
                (target / file).symlink_to(Path(str(found.locate_file(file))))


@pytest.fixture(scope="session")
def forking(request: pytest.FixtureRequest, run_folder: Path, environment: Path) -> str:
    """The address of a server of processes of the environment without extras."""

    def server() -> AbstractContextManager[str]:
        return preloaded.server(environment / "bin" / "python", IMPORTED)

    return request.config.stash[SHARED].enter_context(shared(run_folder, "bare-server", server))


@pytest.fixture
def kit(environment: Path, forking: str, brought: Callable[[str], Path], tmp_path: Path) -> PaymentsTestKit:
    def run(*command: str, extras: Iterable[str] = (), **settings: str) -> Run:
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(str(brought(each)) for each in extras)}
        words = command[1:] if command[0] == "python" else [str(environment / "bin" / command[0]), *command[1:]]
        return preloaded.ran(words, cwd=tmp_path, env={**given, **settings}, timeout=300, by=forking)

    return run


# --- building


def test_the_sdist_makes_the_wheel_that_the_sources_make(built: tuple[Path, Path]) -> None:
    contents = [{each.filename: each.CRC for each in ZipFile(wheel).infolist()} for wheel in built]

    assert contents[0] == contents[1]


def test_the_wheel_has_types_migrations_and_pages_and_no_tests(built: tuple[Path, Path]) -> None:
    names = set(ZipFile(built[0]).namelist())

    assert {re.split("[-/]", name)[0] for name in names} == {"booking_payments"}
    assert {
        f"booking_payments/{name}"
        for name in (
            "py.typed",
            "adapters/sql/migrations/versions/0001_initial_schema.py",
            "entrypoints/pages/static/pages.css",
            "entrypoints/pages/templates/checkout.html",
            "entrypoints/pages/languages/de.po",
        )
    } <= names


def test_an_empty_environment_with_the_declared_dependencies_is_complete(environment: Path) -> None:
    checked = subprocess.run(
        [*PIP, "--python", environment / "bin" / "python", "check"], capture_output=True, text=True
    )

    assert (checked.returncode, checked.stdout) == (0, "")


# --- the bare install

PAY = """
from datetime import UTC, datetime, timedelta
from booking_payments import Currency, Money, NewBooking, open_payments_sync

amount, start = Money.parse("100.00", Currency.USD), datetime.now(UTC) + timedelta(days=30)
with open_payments_sync(migrate=True) as payments:
    booking = payments.register_booking(
        NewBooking(reference="SEAT-1", customer_id="ann", amount=amount, event_starts_at=start)
    ).booking
    print(payments.process_booking_payment(booking, "pm_card_visa").success)
    print(payments.process_booking_refund(booking, "25.00", "rain").success)
"""


def test_an_install_without_extras_takes_and_refunds_a_payment(kit: PaymentsTestKit) -> None:
    paid = kit("python", "-c", PAY)

    assert (paid.stderr, paid.stdout.split()) == ("", ["True", "True"])


def test_the_bare_install_has_the_command_line(kit: PaymentsTestKit) -> None:
    create = (
        "booking create --reference R-1 --customer ann --amount 100.00 --currency usd --starts 2030-01-01T20:00:00Z"
    )
    commands = ["migrate", "doctor", create, "payments list", "reconcile"]

    results = [kit("booking-payments", *command.split()) for command in commands]

    assert [(each.returncode, each.stderr) for each in results] == [(0, "")] * len(commands)


IMPORT = """
import importlib, json, sys

failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""


@pytest.mark.parametrize("extra", [None, *CORNERS])
def test_modules_import_declared_dependencies_only(kit: PaymentsTestKit, extra: str | None) -> None:
    # Migrations run inside Alembic only; the contract suites import the pytest of the project that subclasses them.
    apart = (".migrations.", ".testing.plugin", "_contract", "__main__")
    wanted = [name for name in modules() if corner_of(name) == extra and not any(part in name for part in apart)]

    imported = kit("python", "-c", IMPORT, *wanted, extras=[extra] if extra else [])

    assert json.loads(imported.stdout) == {}


# --- what is missing

INSTALL = "run: pip install 'booking-payments[{}]'"


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("serve", {}, f"serve: needs the package litestar; {INSTALL.format('http')}"),
        ("token --sub ann", {}, f"token: needs the package jwt; {INSTALL.format('http')}"),
        ("sandbox", {}, f"sandbox: needs the package uvicorn; {INSTALL.format('http')}"),
        ("worker", STRIPE | POSTGRES, f"worker: needs the package procrastinate; {INSTALL.format('worker')}"),
        ("migrate", POSTGRES, f"DATABASE_URL: PostgreSQL needs the package psycopg; {INSTALL.format('postgres')}"),
        ("reconcile", POSTGRES, f"DATABASE_URL: PostgreSQL needs the package psycopg; {INSTALL.format('postgres')}"),
        ("reconcile", STRIPE, f"PAYMENT_GATEWAY: stripe needs the package stripe; {INSTALL.format('stripe')}"),
        (
            "reconcile",
            {"MESSAGES_BROKER_URL": "amqp://localhost"},
            f"MESSAGES_BROKER_URL: needs the package kombu; {INSTALL.format('broker')}",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    kit: PaymentsTestKit, command: str, settings: dict[str, str], expected: str
) -> None:
    result = kit("booking-payments", *command.split(), **settings)

    told = " ".join((result.stderr + result.stdout).split())
    assert result.returncode == 1
    assert expected in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("extras", "settings", "expected"),
    [
        ([], STRIPE, "packages    PAYMENT_GATEWAY; stripe needs the package stripe"),
        ([], POSTGRES, "packages    DATABASE_URL; PostgreSQL needs the package psycopg"),
        (
            [],
            {"JWT_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----"},
            "settings    JWT_PUBLIC_KEY; needs the package cryptography",
        ),
        (["http"], {"RATE_LIMIT_STORE_URL": "redis://x"}, "packages    RATE_LIMIT_STORE_URL; needs the package redis"),
    ],
)
def test_doctor_reports_it_too(
    kit: PaymentsTestKit, extras: list[str], settings: dict[str, str], expected: str
) -> None:
    result = kit("booking-payments", "doctor", extras=extras, **settings)

    assert result.returncode == 1
    assert f"FAIL  {expected}; run: pip install" in result.stdout
    assert result.stderr == ""


# --- what an extra is enough for


def test_stripe_alone_is_enough_for_stripe(kit: PaymentsTestKit) -> None:
    result = kit("booking-payments", "doctor", extras=["stripe"], **STRIPE)

    assert "stripe cannot be reached" in result.stdout


def test_postgres_alone_is_enough_for_payments(kit: PaymentsTestKit, postgres_url: str) -> None:
    paid = kit("python", "-c", PAY, extras=["postgres"], DATABASE_URL=postgres_url)

    assert (paid.stderr, paid.stdout.split()) == ("", ["True", "True"])


def test_http_alone_is_enough_to_serve(kit: PaymentsTestKit) -> None:
    serve = "from litestar.testing import TestClient; from booking_payments.asgi import app\n"
    serve += "with TestClient(app()) as client: print(client.get('/health/ready').status_code)"
    kit("booking-payments", "migrate")

    served = kit("python", "-c", serve, extras=["http"], JWT_SECRET="s" * 32)

    assert served.stdout == "200\n"
