"""``python -m tools.sdk_matrix``: a merchant's steps through several releases of Stripe's SDKs, against the sandbox.

Installs each release from its registry into a temporary folder, runs the same steps with it (``life.py`` and
``life.cjs``), and prints a table. ``--write`` puts the table into ``docs/sandbox.md``. The exit status is 1 if a step
failed. A release whose installation fails is listed, and is a failure unless ``--allow-missing`` is given.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from booking_payments.testing.sandbox import Sandbox

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "sandbox.md"
BEGIN, END = "<!-- sdk matrix: begin -->\n", "<!-- sdk matrix: end -->\n"

RELEASES = (
    ("Node.js", ""),
    ("Node.js", "17"),
    ("Python", ""),
    ("Python", "14"),
    ("Python", "11"),
    ("Python", "8"),
    ("dj-stripe", ""),
)
"""Languages, and the major release; the newest if it is empty."""

LIMIT_S = 300

Result = Mapping[str, Any]


def main() -> int:
    """Run all releases, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="tools.sdk_matrix", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--write", action="store_true", help="put the table into docs/sandbox.md")
    parser.add_argument("--allow-missing", action="store_true", help="a missing release is no failure")
    given = parser.parse_args()
    results = list(_results())
    table = _table([result for _, result in results])
    print(table)
    for name, result in results:
        for step, outcome in result["steps"].items():
            if outcome != "ok":
                print(f"{name} {result['version']}, {step}: {outcome}", file=sys.stderr)
    if given.write:
        _write(table)
    failed = any(outcome != "ok" for _, result in results for outcome in result["steps"].values())
    missing = any(not result["steps"] for _, result in results)
    return int(failed or (missing and not given.allow_missing))


def _results() -> Iterator[tuple[str, Result]]:
    for language, major in RELEASES:
        with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
            run = {"Node.js": _node, "Python": _python, "dj-stripe": _django}[language]
            try:
                result = run(Path(folder), major, sandbox.url)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                result = {"version": major or "newest", "api_version": "", "steps": {}, "problem": str(error)[:300]}
                print(f"{language} {result['version']} cannot be run: {result['problem']}", file=sys.stderr)
        yield language, {"language": language, **result}


def _python(folder: Path, major: str, url: str) -> Result:
    wanted = f"stripe=={major}.*" if major else "stripe"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder)]
    _run([*pip, wanted, "requests", "typing_extensions"], folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return _read(_run([sys.executable, str(HERE / "life.py"), url], folder, environment))


def _django(folder: Path, _: str, url: str) -> Result:
    """dj-stripe requires Django and another release of Stripe's SDK, so it gets a separate environment."""
    _run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    python = str(folder / "venv" / "bin" / "python")
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "dj-stripe"], folder)
    return _read(_run([python, str(HERE / "django_app.py"), url], folder))


def _node(folder: Path, major: str, url: str) -> Result:
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    _run([*npm, f"stripe@{major}" if major else "stripe@latest"], folder)
    shutil.copy(HERE / "life.cjs", folder)
    return _read(_run(["node", str(folder / "life.cjs"), url], folder))


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode:
        raise ValueError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _read(output: str) -> Result:
    return dict(json.loads(output.strip().splitlines()[-1]))


def _table(results: list[Result]) -> str:
    steps = list(dict.fromkeys(step for result in results for step in result["steps"]))
    heads = [f"{result['language']} {result['version']}" for result in results]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(results)}"]
    lines.append(f"| API version | {' | '.join(result['api_version'] or 'not run' for result in results)} |")
    for step in steps:
        cells = [_cell(result["steps"].get(step)) for result in results]
        lines.append(f"| {step.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(outcome: str | None) -> str:
    return "" if outcome is None else outcome if outcome == "ok" else "fails"


def _write(table: str) -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} has no place for the table: {BEGIN.strip()} ... {END.strip()}")
    PAGE.write_text(before + BEGIN + table + END + after)


if __name__ == "__main__":
    raise SystemExit(main())
