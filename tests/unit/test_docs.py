"""The documents hang together: links lead somewhere, decisions are listed, the glossary is in order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINKS = [
    (page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())
]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page.stem}-{link}" for page, link in LINKS])
def test_every_link_leads_somewhere(page: Path, link: str) -> None:
    assert (page.parent / link).exists()


def test_every_decision_is_listed_once_and_in_order() -> None:
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    listed = re.findall(r"\]\((0[^)]+)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())

    assert listed == decisions


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)

    assert terms == sorted(set(terms), key=str.lower)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"\(`(\S+?)`\)", (ROOT / "docs/glossary.md").read_text()))))
def test_what_the_glossary_names_is_there(named: str) -> None:
    assert (ROOT / "src" / "booking_payments" / named).exists()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_what_a_document_says_of_docs_is_there(page: Path) -> None:
    named = set(re.findall(r"`((?:tests|docs)/[\w/.-]+)`", page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()
