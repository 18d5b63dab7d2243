"""The diagrams in docs/lifecycles.md agree with the tables."""

from pathlib import Path

import pytest
from tools import diagrams


def test_the_page_is_generated_from_the_tables() -> None:
    written = diagrams.PAGE.read_text(encoding="utf-8")

    assert written == diagrams.page(), "docs/lifecycles.md is stale: run `make docs`"


def test_the_check_passes_while_the_page_is_fresh() -> None:
    assert diagrams.main(["--check"]) == 0


@pytest.mark.parametrize("text", [None, "another table"])
def test_the_check_fails_when_the_page_is_stale(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagrams, "PAGE", tmp_path / "lifecycles.md")
    if text is not None:
        diagrams.PAGE.write_text(text, encoding="utf-8")

    assert diagrams.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err


def test_printing_the_page_makes_it_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagrams, "PAGE", tmp_path / "lifecycles.md")

    assert diagrams.main([]) == 0
    assert not diagrams.is_stale()
