"""The documents as a site."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.sharing import SHARED, shared

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.site, pytest.mark.timeout(600)]  # the site is built within the first test
LOADED = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+""")


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does, once for all workers of the run."""

    @contextmanager
    def built() -> Iterator[str]:
        folder = str(tmp_path_factory.mktemp("site"))
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(ROOT / "docs"), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield folder

    return Path(request.config.stash[SHARED].enter_context(shared(run_folder, "site", built)))


def test_every_document_is_a_page(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    pages = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}

    assert documents <= pages


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = [path.read_text() for path in site.rglob("*.html")]
    styles = [path.read_text(errors="replace") for path in site.rglob("*.css")]

    assert [found for page in pages for found in LOADED.findall(page)] == []
    elsewhere = re.compile(r"url\(.?https?:|@import .?https?:")
    assert [found for style in styles for found in elsewhere.findall(style)] == []


class Links(HTMLParser):
    """The addresses that a page refers to, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def dead_links(site: Path) -> Iterator[str]:
    """Yield each link to a missing page, file or anchor of the site. Links to other hosts are skipped."""
    pages = {path: Links(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.relative_to(site)}: {link}: no such page"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(site)}: {link}: no such anchor"


def test_every_link_leads_to_a_page_and_to_an_anchor_that_is_there(site: Path) -> None:
    assert list(dead_links(site)) == []


@pytest.mark.parametrize(
    ("link", "reason"), [("b.html#gone", "no such anchor"), ("#gone", "no such anchor"), ("c.html", "no such page")]
)
def test_a_dead_link_is_found(tmp_path: Path, link: str, reason: str) -> None:
    (tmp_path / "a.html").write_text(
        f'<a href="{link}">x</a> <a href="b.html#here">y</a> <a href="https://x.example">z</a>'
    )
    (tmp_path / "b.html").write_text('<h2 id="here">Here</h2>')

    assert list(dead_links(tmp_path)) == [f"a.html: {link}: {reason}"]


def test_every_page_shows_version_and_licence(site: Path) -> None:
    page = (site / "index.html").read_text()

    assert f"booking-payments {version('booking-payments')}" in page
    assert "MIT License" in page
