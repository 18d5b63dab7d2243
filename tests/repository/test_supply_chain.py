"""The distribution: reviewed licences, a bill of materials of the lock file, and a reproducible wheel."""

import json
import re
import tomllib
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from tools import audit
from tools.lock import SERVICE

from tests.requiring import closure

ROOT = Path(__file__).parents[2]


def test_every_licence_was_reviewed(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.licences()
    assert len(capsys.readouterr().out.splitlines()) == len(list(audit.shipped())) > 50


def test_a_licence_without_a_review_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "licence_of", lambda name: "AGPL-3.0-only" if name == "click" else "MIT")

    assert not audit.licences()


def test_the_bill_of_materials_lists_the_locked_packages_with_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "DIST", tmp_path)

    assert audit.bill("--no-validate")  # against CycloneDX's schema takes ten seconds; `make audit` does it
    parts = json.loads((tmp_path / "sbom.json").read_text())["components"]
    assert {(part["name"], part["version"]) for part in parts} == set(audit.shipped())
    assert all(part["externalReferences"][0]["hashes"] for part in parts if part["name"] == "stripe")


def test_the_wheel_is_reproducible() -> None:
    assert audit.wheel()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_a_lock_file_pins_and_hashes_everything_and_names_no_index(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith((" ", "#"))]

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==\S+( ; .+)? \\", line)] == []
    assert lock.read_text().count("--hash=sha256:") >= len(lines)


@pytest.mark.parametrize(("lock", "extras"), [("run", SERVICE), ("dev", ("dev",))])
def test_a_lock_file_has_every_package_of_its_extras(lock: str, extras: tuple[str, ...]) -> None:
    assert closure(*extras) - _pinned(lock) == set()


OLDEST = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=") + ".0"
"""The oldest Python with which the package can be installed. The lock files are made with a newer one."""


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_every_locked_package_can_be_installed_with_the_oldest_python(lock: str) -> None:
    required = {name: (metadata(name).get_all("Requires-Python") or [""])[0] for name in _pinned(lock)}

    assert {name: each for name, each in required.items() if not SpecifierSet(each).contains(OLDEST)} == {}


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_a_lock_file_has_the_packages_that_the_oldest_python_needs_besides(lock: str) -> None:
    then = {"extra": "", "python_version": OLDEST.rpartition(".")[0], "python_full_version": OLDEST}
    declared = [Requirement(each) for name in _pinned(lock) for each in requires(name) or ()]
    needed = {canonicalize_name(each.name) for each in declared if each.marker and each.marker.evaluate(then)}

    assert needed
    assert needed - _pinned(lock) == set()


def _pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE))
