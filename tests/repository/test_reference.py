"""The reference pages and the diagrams are up to date with the code."""

import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from tools import http_examples, pictures, reference, sequences

import booking_payments
from booking_payments.application.message_schemas import MESSAGE_TYPES, message_schema
from booking_payments.domain.events import Event
from booking_payments.domain.lifecycle import PAYMENT, PaymentEvent, PaymentStatus
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.http.app import api_document
from booking_payments.runtime.settings import setting_names


@pytest.mark.parametrize("page", reference.NAMES)
def test_the_page_is_printed_from_the_code(page: str) -> None:
    written = (reference.FOLDER / f"{page}.md").read_text(encoding="utf-8")

    assert written == reference.pages()[page], f"docs/reference/{page}.md is stale: run `make docs`"


def test_every_page_is_compared() -> None:
    assert tuple(reference.pages()) == reference.NAMES


def test_every_setting_has_one_heading_which_is_its_anchor() -> None:
    headings = re.findall(r"^## (\w+)$", reference.pages()["settings"], re.MULTILINE)

    assert set(headings) == setting_names(), "the headings come from the rows of docs/settings.md"
    assert len(headings) == len(set(headings)), "a setting is in two rows of docs/settings.md"


def test_every_endpoint_is_in_the_reference() -> None:
    for path, methods in api_document(sandboxed=True)["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in reference.pages()["http"]


def test_every_endpoint_has_an_example_from_a_run() -> None:
    documented = {
        (method.upper(), path) for path, methods in api_document(sandboxed=True)["paths"].items() for method in methods
    }

    assert set(http_examples.examples()) == documented - http_examples.NOT_RUN


def test_every_command_is_in_the_reference_with_its_options() -> None:
    for name, command in main.commands.items():
        assert f"## booking-payments {name}" in reference.pages()["cli"]
        for parameter in command.params:
            assert all(option in reference.pages()["cli"] for option in parameter.opts if option.startswith("--"))


def test_every_message_has_a_row_in_the_page_on_messages_with_its_own_data() -> None:
    page = (reference.FOLDER.parent / "messages.md").read_text(encoding="utf-8")
    rows = {kind: row for kind, row in re.findall(r"^\| `(\w+\.\w+)` (\|.*)$", page, re.MULTILINE)}
    common = message_schema("booking.confirmed")["properties"]["data"]["properties"].keys()

    assert set(rows) == set(MESSAGE_TYPES)
    for kind, row in rows.items():
        own = message_schema(kind)["properties"]["data"]["properties"].keys() - common
        assert "the same |" in row or {name for name in own if f"`{name}`" not in row} == set(), kind


def test_a_stale_page_is_detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.stale() == list(reference.NAMES)

    reference.main()

    assert reference.stale() == []


def test_every_diagram_is_up_to_date_with_its_source() -> None:
    assert pictures.stale() == [], "run `make docs` where Graphviz is (apt install graphviz)"


def test_a_stale_diagram_is_detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    (tmp_path / "hexagon.svg").write_text(f"<!-- drawn from {pictures.mark('something else')} -->")

    assert "hexagon" in pictures.stale()


def test_every_sequence_diagram_is_up_to_date_with_its_source() -> None:
    assert sequences.main(["--check"]) == 0, "run `make docs`"


def test_a_stale_sequence_diagram_is_detected_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sequences, "FOLDER", tmp_path)

    assert sequences.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert sequences.main([]) == 0
    assert sequences.stale() == []


def test_a_sequence_diagram_names_only_events_that_exist() -> None:
    notes = [line for each in sequences.DIAGRAMS.values() for step in each.steps for line in getattr(step, "lines", ())]
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", " ".join(notes)))

    assert "PaymentSucceeded" in named
    assert named <= {kind.__name__ for kind in get_args(Event)}


def test_a_picture_of_a_lifecycle_shows_only_moves_of_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pictures.USUAL, "Payment", ((PaymentStatus.SUCCEEDED, PaymentEvent.CANCELED),))

    with pytest.raises(ValueError, match="canceled does not lead out of succeeded"):
        pictures.sources()


def test_every_state_of_a_payment_is_in_the_picture_of_its_lifecycle() -> None:
    shown = {each for pair in pictures.usual_moves("Payment", PAYMENT) for each in pair}

    assert shown == set(PAYMENT)


def test_drawing_without_graphviz_fails_with_an_install_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)

    assert pictures.main() == 1
    assert "apt install graphviz" in capsys.readouterr().err


def test_every_public_name_is_on_the_page_of_the_library() -> None:
    page = (reference.FOLDER / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"auto(?:class|data|function):: booking_payments\.(\w+)$", page, re.MULTILINE)

    assert sorted(shown) == sorted(booking_payments.__all__)


def test_every_port_is_on_the_page_of_ports() -> None:
    page = (reference.FOLDER / "ports.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (reference.ROOT / "src/booking_payments/ports").glob("*.py")} - {"__init__"}

    assert set(re.findall(r"automodule:: booking_payments\.ports\.(\w+)$", page, re.MULTILINE)) == modules


def test_every_contract_suite_and_fixture_is_on_the_page_of_testing() -> None:
    page = (reference.FOLDER / "testing.md").read_text(encoding="utf-8")
    source = "\n".join(path.read_text() for path in (reference.ROOT / "src/booking_payments/testing").glob("*.py"))
    suites = set(re.findall(r"^class (\w+(?:Contract|Harness|Sender|TestKit|Sandbox))\b", source, re.MULTILINE))
    fixtures = set(re.findall(r"^@pytest\.fixture.*\ndef (\w+)", source, re.MULTILINE))

    assert {"StorageContract", "payments_kit"} <= suites | fixtures
    assert set(re.findall(r"auto(?:class|function):: [\w.]+\.(\w+)$", page, re.MULTILINE)) == suites | fixtures | {
        "Sandbox"
    }
