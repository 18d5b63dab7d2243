"""The reference pages and the diagrams are up to date with the code."""

import re
import shutil
from pathlib import Path

import pytest
from tools import http_examples, pictures, reference

import booking_payments
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.http.app import api_document
from booking_payments.runtime.settings import setting_names

PAGES = reference.pages()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_printed_from_the_code(page: str) -> None:
    written = (reference.FOLDER / f"{page}.md").read_text(encoding="utf-8")

    assert written == PAGES[page], f"docs/reference/{page}.md is stale: run `make docs`"


def test_every_setting_is_explained_once() -> None:
    assert sorted(re.findall(r"^\| `([A-Z_]+)` \|", PAGES["settings"], re.MULTILINE)) == sorted(setting_names())


def test_every_endpoint_is_in_the_reference() -> None:
    for path, methods in api_document(sandboxed=True)["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in PAGES["http"]


def test_every_endpoint_has_an_example_from_a_run() -> None:
    documented = {
        (method.upper(), path) for path, methods in api_document(sandboxed=True)["paths"].items() for method in methods
    }

    assert set(http_examples.examples()) == documented - http_examples.NOT_RUN


def test_every_command_is_in_the_reference_with_its_options() -> None:
    for name, command in main.commands.items():
        assert f"## booking-payments {name}" in PAGES["cli"]
        for parameter in command.params:
            assert all(option in PAGES["cli"] for option in parameter.opts if option.startswith("--"))


def test_a_stale_page_is_detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.stale() == list(PAGES)

    reference.main()

    assert reference.stale() == []


def test_every_diagram_is_up_to_date_with_its_source() -> None:
    assert pictures.stale() == [], "run `make docs` where Graphviz is (apt install graphviz)"


def test_a_stale_diagram_is_detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    (tmp_path / "hexagon.svg").write_text(f"<!-- drawn from {pictures.mark('something else')} -->")

    assert "hexagon" in pictures.stale()


def test_drawing_without_graphviz_fails_with_an_install_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)

    assert pictures.main() == 1
    assert "apt install graphviz" in capsys.readouterr().err


def test_every_public_name_is_on_the_page_of_the_library() -> None:
    page = (reference.FOLDER / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"auto(?:class|function):: booking_payments\.(\w+)$", page, re.MULTILINE)

    assert sorted(shown) == sorted(booking_payments.__all__)
