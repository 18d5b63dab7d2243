"""The documents as a site."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import preloaded
from tests.sharing import SHARED, shared

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(600)  # the site is built within the first test
LOADED = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+""")


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does, once for all workers of the run."""

    @contextmanager
    def built() -> Iterator[str]:
        folder = str(tmp_path_factory.mktemp("site"))
        words = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(ROOT / "docs"), folder]
        done = preloaded.ran(words, cwd=ROOT, env=os.environ, timeout=600)
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
