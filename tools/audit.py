"""Audit the distribution: licences, known vulnerabilities, a bill of materials, and a reproducible wheel.

    python tools/audit.py [licences] [weaknesses] [bill] [wheel]      (without arguments: all)

Known vulnerabilities are looked up online (pip-audit queries the Python Packaging Advisory Database through PyPI).
When it cannot be reached, the other parts run, and a message says that this one did not. The bill of materials is
CycloneDX and is written to ``dist/sbom.json``. The exit status is 1 for a vulnerability, a licence without a review,
or wheels that differ.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements" / "run.txt"
DIST: Final = ROOT / "dist"
EPOCH: Final = "1767225600"
"""2026-01-01: the time of every file in the wheel, so that it does not depend on the clock
(reproducible-builds.org).
"""

ACCEPTED: Final[Mapping[str, str]] = {
    r"MIT|MIT-0|Expat": "permissive",
    r"BSD|0BSD|ISC|PSF|Python Software Foundation|Zlib|Unlicense|CC0": "permissive",
    r"Apache": "permissive, with a patent grant",
    r"LGPL|Lesser General Public": "weak copyleft: used as a library, unchanged and replaceable (psycopg)",
    r"MPL|Mozilla": "weak copyleft, file by file (certifi)",
}
"""Reviewed licences, by their name."""


def shipped() -> Iterator[tuple[str, str]]:
    """Return name and version of every package that ``make run`` installs."""
    yield from re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\\n]+)", LOCK.read_text(), re.MULTILINE)


def licence_of(name: str) -> str:
    """Return the licence that the package states; empty when it states none."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return "not installed"
    classifiers = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or [] if "License ::" in each]
    stated = _first(about.get_all("License-Expression")) or " or ".join(classifiers)
    return stated or _first(about.get_all("License")).strip().partition("\n")[0]


def _first(values: list[str] | None) -> str:
    return values[0] if values else ""


def licences() -> bool:
    """Print the licence of every distributed package; returns false when one was not reviewed."""
    unknown = []
    for name, version in shipped():
        stated = licence_of(name)
        accepted = stated == "not installed" or any(re.search(each, stated, re.IGNORECASE) for each in ACCEPTED)
        unknown += [] if accepted else [name]
        print(f"  {name} {version}: {stated or 'states none'}{'' if accepted else '   <- not reviewed'}")
    return not unknown


def weaknesses() -> bool:
    """Check the locked versions for known vulnerabilities. Returns true with a message when the advisories cannot be
    reached.
    """
    options = ["--disable-pip", "--progress-spinner=off", "--format=json", "--timeout=10"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except ValueError:  # it ends without a result when there is no network
        answers = []
    weak = [each for each in answers if each.get("vulns")]
    skipped = [each["name"] for each in answers if "skip_reason" in each]
    for each in weak:
        print(f"  {each['name']} {each['version']}: {', '.join(found['id'] for found in each['vulns'])}")
    checked = len(answers) - len(skipped)
    print(f"  {checked} of {len(list(shipped()))} looked up, {len(weak)} with known weaknesses")
    if skipped or not checked:
        which = " ".join(skipped) if checked else "everything"
        print(f"  NOT CHECKED: {which}; the advisories can't be reached from here; run this with a network")
    return not weak


def bill(check: str = "--validate") -> bool:
    """Write the bill of materials of the lock file, with the hashes of the locked packages."""
    DIST.mkdir(exist_ok=True)
    target = DIST / "sbom.json"
    options = ["--output-format", "JSON", "--output-reproducible", check, "--pyproject", "pyproject.toml"]
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", *options, "--output-file", str(target), str(LOCK)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(done.stderr)
        return False
    parts = json.loads(target.read_text())["components"]
    print(f"  {target}: {len(parts)} components")
    return {part["name"] for part in parts} == {name for name, _ in shipped()}


def built(folder: Path) -> str:
    """Build the wheel into ``folder``, and return its SHA-256."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)  # noqa: S603
    [wheel] = folder.glob("*.whl")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def wheel() -> bool:
    """Build the wheel twice, and return whether both are identical."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        hashes = [built(Path(first)), built(Path(second))]
    print(f"  sha256 {hashes[0]}" if len(set(hashes)) == 1 else f"  differs: {hashes}")
    return len(set(hashes)) == 1


PARTS: Final[Mapping[str, Callable[[], bool]]] = {
    "licences": licences,
    "weaknesses": weaknesses,
    "bill": bill,
    "wheel": wheel,
}


def main(names: list[str]) -> int:
    """Run the parts named in ``names`` (all if empty); returns 1 when one of them has a finding."""
    wanting = []
    for name in names or list(PARTS):
        print(f"{name}:", flush=True)
        if not PARTS[name]():
            wanting.append(name)
    print(f"wanting: {', '.join(wanting)}" if wanting else "nothing found")
    return 1 if wanting else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
