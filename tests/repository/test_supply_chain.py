"""The distribution: reviewed licences, a bill of materials of the lock file, and a reproducible wheel."""

import json
import re
from pathlib import Path

import pytest
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
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE))

    assert closure(*extras) - pinned == set()
