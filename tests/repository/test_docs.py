"""The documents are consistent: links have targets, decisions are listed, the glossary is in order."""

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from tools import mutate, screenshots

from booking_payments.domain.ledger import Account, PostingKind
from booking_payments.domain.retry import KEY_LIFETIME, RESOLVE_SCHEDULE
from booking_payments.entrypoints.http.auth import PUBLIC_PATHS
from tests.requiring import named

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ANCHORS = [
    (page, *link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
]
LINKS = [
    (page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())
]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page.stem}-{link}" for page, link in LINKS])
def test_every_link_has_a_target(page: Path, link: str) -> None:
    assert (page.parent / link).exists()


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings: lower case, words joined by dashes."""
    included = re.search(r"^```\{include\} (.+)$", page.read_text(), re.MULTILINE)
    text = (page.parent / included[1] if included else page).read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_first_page_has_version_and_license() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs/index.md").read_text()

    assert f"version {project['version']} " in page
    assert f"{project['license']} License" in page


def test_every_screenshot_is_taken_by_the_browser_tests_and_used_in_a_page() -> None:
    there = {path.stem for path in (ROOT / "docs/pictures").glob("*.png")}
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w-]+)\.png", page.read_text())}

    assert there == shown == set(screenshots.PICTURES)


def test_every_anchor_exists() -> None:
    assert [each for each in ANCHORS if each[2] not in _anchors(each[0].parent / each[1] if each[1] else each[0])] == []


def test_every_dependency_has_its_reason() -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs/decisions/0002-dependencies.md").read_text(), re.MULTILINE)
    explained = {re.sub(r" \(.*", "", name).lower() for row in rows for name in row.split(", ")}

    assert named("dev") - explained == set()


def test_every_decision_is_listed_once_and_in_order() -> None:
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    listed = re.findall(r"\]\((0[^)]+)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())

    assert listed == decisions


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)

    assert terms == sorted(set(terms), key=str.lower)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"\(`(\S+?)`\)", (ROOT / "docs/glossary.md").read_text()))))
def test_every_file_named_in_the_glossary_exists(named: str) -> None:
    assert (ROOT / "src" / "booking_payments" / named).exists()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_file_that_a_document_names_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:tests|docs)/[\w/.-]+)`", page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_ledger_page_has_every_account_and_every_posting() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/ledger.md").read_text(), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))

    assert sorted(named) == sorted(each.value for each in (*Account, *PostingKind))


def test_the_page_on_unknown_outcomes_has_the_schedule_of_the_code() -> None:
    page = " ".join((ROOT / "docs/outcome-unknown.md").read_text().split())
    spans = ["5 seconds", "30 seconds", "2 minutes", "10 minutes", "an hour", "6 hours"]

    assert f"after {', '.join(spans)}, and then daily, without end" in page
    assert [timedelta(**{_unit(span): _count(span)}) for span in spans] == list(RESOLVE_SCHEDULE)
    assert f"From {KEY_LIFETIME // timedelta(hours=1)} on" in page


def _unit(span: str) -> str:
    return span.split()[1].rstrip("s") + "s"


def _count(span: str) -> int:
    number = span.split()[0]
    return 1 if number == "an" else int(number)


NAMED_TESTS = re.findall(r"`(tests/[\w/.]+)::(\w+)`", (ROOT / "docs" / "security.md").read_text())


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS, ids=[test for _, test in NAMED_TESTS])
def test_every_test_named_on_the_security_page_exists(file: str, test: str) -> None:
    assert re.search(rf"^ *(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


SECURITY = (ROOT / "docs" / "security.md").read_text()
CLAIMS = {"Whom we expect", "OWASP API Security Top 10 (2023)", "Pages"}
"""Sections that are tables of claims."""
WITHOUT_CLAIMS = {"Assets", "How sure we are of the tests"}


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", SECURITY, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_claim_in_a_table_of_the_security_page_names_a_test() -> None:
    rows = [row for name in CLAIMS for row in re.findall(r"^\| .*$", _sections()[name], re.MULTILINE)]
    claims = [row for row in rows if not row.startswith(("| who", "| risk"))]

    assert len(claims) == 37
    assert [row for row in claims if not re.search(r"`tests/[\w/.]+(::\w+)?`", row)] == []


@pytest.mark.parametrize("section", sorted(_sections().keys() - CLAIMS - WITHOUT_CLAIMS))
def test_every_section_of_the_security_page_names_a_test(section: str) -> None:
    assert re.search(r"`tests/[\w/.]+::\w+`", _sections()[section])


def test_the_security_page_lists_what_is_public() -> None:
    listed = set(re.findall(r"`(/[^`]*)`", _sections()["What is public"]))

    assert listed == PUBLIC_PATHS


def test_every_risk_of_the_owasp_list_has_a_test() -> None:
    rows = re.findall(r"^\| (API\d+) .*$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    held = re.findall(r"^\| (API\d+) .*`tests/.*::\w+`", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)

    assert rows == held == [f"API{number}" for number in range(1, 11)]


HANDBOOK = (ROOT / "docs/guides/operators-handbook.md").read_text()


def _first_cells(heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading of the operator's handbook."""
    section = HANDBOOK.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {
        name for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }


def test_the_handbook_has_every_alert() -> None:
    rules = yaml.safe_load((ROOT / "ops/alerts.yaml").read_text())["groups"][0]["rules"]

    assert _first_cells("Each alert") == {rule["alert"] for rule in rules}


def test_the_handbook_has_every_finding_that_reconcile_leaves_to_an_operator() -> None:
    folder = ROOT / "src/booking_payments/application"
    source = "\n".join((folder / name).read_text() for name in ("differences.py", "reconcile.py"))
    given = re.findall(r'(?:code=|code = |leave\(|leave_for\([\w.]+, |_leave_stray\()"(\w+)"', source)
    otherwise = re.findall(r'code = "\w+" if \w+ else "(\w+)"', source)

    assert len(given) > 15
    assert _first_cells("Each finding of reconcile") == {*given, *otherwise} - {"waiting"}


def test_every_target_of_make_mutation_has_its_row() -> None:
    rows = re.findall(r"^\| (\w+) \| `", (ROOT / "docs" / "mutation.md").read_text(), re.MULTILINE)

    assert rows == list(mutate.TARGETS)


def test_every_test_with_a_nightly_mode_is_in_the_nightly_run() -> None:
    asks = re.compile(r'environ\.get\("(SIMULATION|\w*KILLS|RACE_ROUNDS)"|^from tests\.nightly ', re.MULTILINE)
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if asks.search(path.read_text())]
    makefile = (ROOT / "Makefile").read_text()

    assert len(files) > 8
    run = set(re.findall(r"tests/[\w/.]+", makefile))
    assert [path.name for path in files if not any(path.is_relative_to(ROOT / each) for each in run)] == []


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FOLDERS_OF_TESTS = (ROOT / "tests", ROOT / "src/booking_payments/testing")
TESTS = "\n".join(path.read_text() for each in FOLDERS_OF_TESTS for path in each.rglob("*.py"))


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(test_\w+)`", CONTRIBUTING))))
def test_every_test_named_in_a_recipe_exists(test: str) -> None:
    assert f"def {test}(" in TESTS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w.]+(?:/[\w.]+)+)`", CONTRIBUTING))))
def test_every_file_named_in_a_recipe_exists(path: str) -> None:
    assert any((ROOT / folder / path).exists() for folder in ("", "src/booking_payments", "tests"))


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", CONTRIBUTING))
def test_every_link_in_contributing_has_a_target(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_hosted_workflow_runs_the_same_checks() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]

    assert commands == [".ci/run"]


def test_the_pre_commit_hook_is_executable() -> None:
    hook = ROOT / ".hooks/pre-commit"

    assert os.access(hook, os.X_OK)
    assert "make lint typecheck" in hook.read_text()
