"""The README and the documents: every block of code runs or says why not, and each command that they name exists."""

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import booking_payments
from booking_payments.adapters.messages.payload import payload
from booking_payments.entrypoints.cli import main
from booking_payments.ports.publisher import Message
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.testing.kit import PaymentsTestKit
from booking_payments.testing.sandbox import Sandbox
from tests import preloaded
from tests.e2e.blocks import PAGES, ROOT, Block, Terminal, blocks, json_of
from tests.e2e.serving import environment
from tests.e2e.test_readme import PASTED
from tests.ports import free_port
from tests.rows import row

BLOCKS = blocks()
RUN = [each for each in BLOCKS if each.reason is None]
PYTHON = [
    pytest.param(page, code, output, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (code, output) in enumerate(
        re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", page.read_text(), re.DOTALL | re.MULTILINE)
    )
]
COMMANDS = sorted(
    {
        command.strip()
        for page in [*PAGES, ROOT / "ops/alerts.yaml"]
        for command in re.findall(r"booking-payments((?: --?[a-z][a-z0-9-]*| [a-z]+)+)", page.read_text())
        if command.split()[0] in main.commands
    }
)

ELSEWHERE = {
    "python": "here",
    "py": "tests/integration/test_testing_guide.py and tests/integration/http/test_token_recipes.py",
    "js": "tests/integration/http/test_token_recipes.py",
    "php": "tests/integration/http/test_token_recipes.py, where PHP is installed",
    "javascript": "tests/browser/test_front_end.py",
    "text": "nobody: it is what a program prints, a usage line or a drawing; below a block of Python it is compared",
}
"""Languages of blocks, and who runs them. Those in braces are directives of the site, which ``make docs`` obeys."""


JSON = {
    "docs/messages.md": "here",
    "docs/reference/http.md": "tests/repository/test_reference.py: it is printed from requests and responses of a run",
    "docs/reference/errors.md": "tests/repository/test_reference.py: it is printed from a real problem",
    "docs/reference/messages.md": "tests/repository/test_reference.py: it is printed from the schemas",
    "docs/observability.md": "tests/e2e/test_readme.py, against the log of the tour",
    "docs/guides/bank-transfers.md": "tests/integration/pages/test_bank_transfer.py",
}
"""Pages with JSON, and the function that checks their blocks against real requests and responses."""


def _of(*languages: str) -> list[object]:
    return [pytest.param(each, id=str(each)) for each in RUN if each.language in languages]


def _shell_by_page() -> list[object]:
    """The shell's blocks of one page are pasted into one terminal, in order."""
    pages: dict[Path, list[Block]] = {}
    for each in RUN:
        if each.language == "sh" and each.code not in PASTED:
            pages.setdefault(each.page, []).append(each)
    return [pytest.param(found, id=str(page.relative_to(ROOT))) for page, found in pages.items()]


def test_every_block_is_run_or_has_a_reason_why_not() -> None:
    known = {*ELSEWHERE, "sh", "ini", "sql"}
    for block in BLOCKS:
        with row(block):
            held = block.language == "json" and str(block.page.relative_to(ROOT)) in JSON

            assert block.language in known or held or block.language.startswith("{") or block.reason
            assert block.reason is None or len(block.reason.split()) >= 2


PAID = """
from datetime import UTC, datetime
from attrs import evolve
from booking_payments import CaptureMethod, Currency, Item, Money, NewBooking, RefundOnCancel, open_payments_sync

seat = NewBooking(
    reference="order-1001",
    customer_id="ann",
    amount=Money.parse("100.00", Currency.USD),
    event_starts_at=datetime(2030, 1, 1, 20, tzinfo=UTC),
)
with open_payments_sync(migrate=True) as payments:
    payments.process_booking_payment(payments.register_booking(seat).booking, "pm_card_visa")
    price = Money.parse("30.00", Currency.USD)
    items = [Item(id=each, label=each, quantity=9, unit_amount=price) for each in ("adult", "child")]
    group = payments.register_booking(evolve(seat, reference="order-1010", amount=None, items=items)).booking
    payments.process_booking_payment(group, "pm_card_visa")
    disputed = payments.register_booking(evolve(seat, reference="order-1002")).booking
    payments.process_booking_payment(disputed, "pm_card_createDispute")
    payments.reconcile()
    payments.cancel_booking(disputed.id, refund=RefundOnCancel.FULL)
    for reference in ("order-1003", "order-1004", "order-1005"):
        held = payments.register_booking(evolve(seat, reference=reference)).booking
        payments.start_payment(
            held.id, payment_method_id="pm_card_visa", confirm_immediately=True, capture_method=CaptureMethod.MANUAL
        )
    for reference in ("order-1006", "order-1007", "order-1008", "order-1009"):
        payments.register_booking(evolve(seat, reference=reference))
"""


@pytest.fixture(scope="module")
def working_directory(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A folder with the books of a service that has taken the payment of the documents' ``order-1001``, and owes the
    customer of ``order-1002``, whose payment is disputed; ``order-1010`` has items."""
    folder = tmp_path_factory.mktemp("service")
    shutil.copy(sqlite_template, folder / "booking-payments.db")
    preloaded.ran(["-c", PAID], cwd=folder, env=environment()).check_returncode()
    return folder


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, str]]:
    """Where things are that the documents have at their usual ports."""
    with Sandbox() as sandbox:
        yield {"12111": sandbox.url.rsplit(":", 1)[1], "8000": str(free_port())}


@pytest.mark.parametrize("found", _shell_by_page())
def test_shell_commands_in_the_documents_work(
    found: list[Block], working_directory: Path, ports: dict[str, str]
) -> None:
    terminal = Terminal(folder=working_directory, ports=ports)
    for block in found:
        terminal.paste(block.code)


@pytest.mark.parametrize("block", _of("ini"))
def test_settings_of_the_documents_are_right(block: Block, tmp_path: Path) -> None:
    code = re.sub(r"<openssl[^>]*>|\.\.\.", "0123456789abcdef0123456789abcdef", block.code).replace(
        "<your front end>", "example.org"
    )
    (tmp_path / ".env").write_text(code)
    named = set(re.findall(r"^([A-Z_]+)=", code, re.MULTILINE))
    rest = {
        "STRIPE_PUBLISHABLE_KEY": "pk_live_x",
        "STRIPE_SECRET_KEY": "sk_live_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "JWT_SECRET": "x" * 32,
    }
    settings = load_settings({name: text for name, text in rest.items() if name not in named}, tmp_path / ".env")

    assert named <= setting_names()
    assert settings is not None


@pytest.mark.parametrize("block", _of("sql"))
def test_the_statements_of_the_documents_run(block: Block, working_directory: Path) -> None:
    with sqlite3.connect(working_directory / "booking-payments.db") as connection:
        connection.execute(block.code)


def test_the_message_in_the_documents_has_the_fields_of_messages() -> None:
    (shown,) = json_of("docs/messages.md")

    assert _shape(shown) == _shape(json.loads(payload(_message_of("payment.succeeded"))))


def _message_of(kind: str) -> Message:
    """A message of this type, as a payment that succeeded makes it."""

    async def pay() -> Message:
        kit = PaymentsTestKit()
        await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")
        await kit.settle()
        return next(each for each in kit.publisher.published if each.type == kind)

    return asyncio.run(pay())


def _shape(content: object) -> object:
    """Return the keys of a JSON value with the types of their values."""
    if isinstance(content, dict):
        return {name: _shape(part) for name, part in content.items()}
    return type(content)


FIRST = ("README.md", "start.md")
"""Pages whose code runs in an empty folder. On the others it finds a database that is migrated, which takes longer than
what most of it does."""


@pytest.mark.parametrize(("page", "code", "output"), PYTHON)
def test_python_of_the_documents_runs_and_prints_the_output_below_it(
    page: Path, code: str, output: str, tmp_path: Path, sqlite_template: Path
) -> None:
    if page.name not in FIRST:
        shutil.copy(sqlite_template, tmp_path / "booking-payments.db")
    ran = preloaded.ran(["-c", code], cwd=tmp_path, env=environment())

    assert ran.returncode == 0, ran.stderr
    assert not output or ran.stdout == output


ERRORS = set(re.findall(r"^\| (`.*?) \|", (ROOT / "docs/guides/embed.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(re.findall(r"`(\w+)`", " ".join(ERRORS))))
def test_an_error_that_an_embedding_service_meets_is_imported_from_the_package(name: str) -> None:
    assert issubclass(getattr(booking_payments, name), booking_payments.PaymentError)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_named_command_and_option_exists(command: str) -> None:
    found: click.Command = main
    for word in command.split():
        if word.startswith("-"):
            assert word in {option for parameter in found.params for option in parameter.opts}
        elif isinstance(found, click.Group) and word in found.commands:
            found = found.commands[word]
        else:
            assert not isinstance(found, click.Group) or found is main, f"{word} is no command"
            break
