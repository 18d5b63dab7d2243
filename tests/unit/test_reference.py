"""The reference says what the code says, and the pictures were drawn from what they show."""

import re
import shutil
from pathlib import Path

import pytest
from tools import pictures, reference

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


def test_every_endpoint_is_there() -> None:
    for path, methods in api_document(sandboxed=True)["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in PAGES["http"]


def test_every_command_is_there_with_its_options() -> None:
    for name, command in main.commands.items():
        assert f"## booking-payments {name}" in PAGES["cli"]
        for parameter in command.params:
            assert all(option in PAGES["cli"] for option in parameter.opts if option.startswith("--"))


def test_a_stale_page_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.stale() == list(PAGES)

    reference.main()

    assert reference.stale() == []


def test_every_picture_was_drawn_from_what_it_shows() -> None:
    assert pictures.stale() == [], "run `make docs` where Graphviz is (apt install graphviz)"


def test_a_stale_picture_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    (tmp_path / "hexagon.svg").write_text(f"<!-- drawn from {pictures.mark('something else')} -->")

    assert "hexagon" in pictures.stale()


def test_without_graphviz_whoever_draws_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)

    assert pictures.main() == 1
    assert "apt install graphviz" in capsys.readouterr().err


def test_every_public_name_has_its_place_on_the_page_of_the_library() -> None:
    page = (reference.FOLDER / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"auto(?:class|function):: booking_payments\.(\w+)$", page, re.MULTILINE)

    assert sorted(shown) == sorted(booking_payments.__all__)
