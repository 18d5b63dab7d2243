"""Mutate the guarded modules with mutmut, and check that the tests detect the mutants.

    python tools/mutate.py            all targets, one after the other (about ten minutes on two cores)
    python tools/mutate.py money fees

Each target runs in a separate copy of the repository, with the tests of its modules. The exit status is 1 when less
than 90 % of a target's mutants are killed, or when a survivor is not explained in ``docs/mutation.md``, where its
changed line stands between double backticks.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "src/booking_payments"
JUDGED: Final = ROOT / "docs" / "mutation.md"
LEAST: Final = 90
"""The percentage of mutants that each target's tests have to kill."""

ALIVE: Final = (0, 5, 33, None)
"""Statuses of a mutant that passed the tests, or that no test runs."""

COPIED: Final = ("src", "tests", "docs", "tools", "requirements")


class MutationTarget(NamedTuple):
    """The mutated modules, and the tests that have to detect the mutants."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS: Final = {
    "money": MutationTarget(
        ("domain/money.py",), ("tests/unit/domain/test_money.py", "tests/unit/stripe/test_currencies.py")
    ),
    "lifecycle": MutationTarget(("domain/lifecycle.py",), ("tests/unit/domain/test_lifecycle.py",)),
    "fees": MutationTarget(("domain/fees.py",), ("tests/unit/domain/test_fees.py",)),
    "refunds": MutationTarget(("domain/refunds.py",), ("tests/unit/domain/test_refunds.py",)),
    "retry": MutationTarget(("domain/retry.py", "domain/declines.py"), ("tests/unit/domain/test_retry.py",)),
    "signature": MutationTarget(
        ("adapters/gateways/stripe/signature.py",),
        ("tests/unit/stripe/test_signature.py", "tests/unit/stripe/test_hostile_signatures.py"),
    ),
    "idempotency": MutationTarget(
        ("entrypoints/http/idempotency.py", "application/idempotency.py"),
        (
            "tests/unit/application/test_idempotency.py",
            "tests/integration/http/test_idempotency.py",
            "tests/integration/http/test_idempotency_marks.py",
        ),
    ),
    "authorization": MutationTarget(
        ("entrypoints/http/auth.py", "application/callers.py"),
        (
            "tests/unit/application/test_callers.py",
            "tests/integration/http/test_auth.py",
            "tests/integration/http/test_access.py",
            "tests/integration/http/test_object_access.py",
        ),
    ),
}


class Mutant(NamedTuple):
    """A mutation: the line before and after."""

    name: str
    before: str
    after: str

    @property
    def is_wording(self) -> bool:
        """Return whether only text for people differs. Tests check codes and types, not texts."""
        return _worded(self.before, "...") == _worded(self.after, "...") or _worded(self.before, "None") == self.after


class Score(NamedTuple):
    """The number of mutants (without those of texts), and the survivors."""

    mutants: int
    survivors: tuple[Mutant, ...]

    @property
    def percent(self) -> float:
        """Return the share of killed mutants."""
        return 100 * (self.mutants - len(self.survivors)) / self.mutants if self.mutants else 0.0


_LITERAL: Final = re.compile(r"""f?"[^"]*"|f?'[^']*\'""")


def _worded(line: str, stand_in: str) -> str:
    """Return ``line`` with every text of several words replaced by ``stand_in``."""
    return _LITERAL.sub(lambda match: stand_in if " " in match[0] else match[0], line)


def configuration(target: MutationTarget) -> str:
    """Return pyproject.toml with mutmut's section for ``target``."""
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"{PACKAGE}/{module}" for module in target.modules],
        "pytest_add_cli_args_test_selection": list(target.tests),
        # Mutated files contain every variant, so tests that search source text would find too much.
        "pytest_add_cli_args": ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "-k", "not no_float"],
        "also_copy": [*COPIED, "README.md"],
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join([(ROOT / "pyproject.toml").read_text(), "[tool.mutmut]", *lines, ""])


def run(target: MutationTarget, folder: Path) -> Score:
    """Mutate ``target`` in a copy of the repository at ``folder``."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", folder)
    (folder / "pyproject.toml").write_text(configuration(target))
    mutmut = [sys.executable, "-m", "mutmut"]
    done = subprocess.run([*mutmut, "run"], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"mutmut could not run:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return score_of(folder)


def score_of(folder: Path) -> Score:
    """Read mutmut's results in ``folder``: a failing test is a kill, and so is a test that never ends."""
    statuses: dict[str, int | None] = {}
    for meta in sorted((folder / "mutants").rglob("*.meta")):
        statuses.update(json.loads(meta.read_text())["exit_code_by_key"])
    alive = [_change(name, folder) for name, status in statuses.items() if status in ALIVE]
    survivors = tuple(mutant for mutant in alive if not mutant.is_wording)
    return Score(len(statuses) - (len(alive) - len(survivors)), survivors)


def _change(name: str, folder: Path) -> Mutant:
    command = [sys.executable, "-m", "mutmut", "show", name]
    diff = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S603
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    return Mutant(name, before, " ".join(line[1:].strip() for line in lines if line.startswith("+")))


def judged() -> set[str]:
    """What survivors changed their lines to, as far as the document judges them."""
    lines = re.findall(r"`` (.+?) ``", JUDGED.read_text())
    return {line.replace(r"\|", "|") for line in lines}  # a vertical bar in a table's cell is escaped like this


def main(names: list[str]) -> int:
    """Run the targets named in ``names`` (all if empty); returns 1 when one of them misses its percentage."""
    wanting, known = [], judged()
    for name in names or list(TARGETS):
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            score = run(TARGETS[name], Path(folder))
        print(f"{name}: {score.percent:.1f} % of {score.mutants} killed, {len(score.survivors)} survived", flush=True)
        unjudged = [mutant for mutant in score.survivors if mutant.after not in known]
        for mutant in unjudged:
            print(f"  {mutant.name}\n    - {mutant.before}\n    + {mutant.after}", flush=True)
        if score.percent < LEAST or unjudged:
            wanting.append(name)
    print(f"wanting: {', '.join(wanting)}" if wanting else "all is well")
    return 1 if wanting else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
