"""Write requirements/*.txt: every dependency pinned and hashed, without the address of an index."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Pinned and hashed by `make lock`; edit pyproject.toml instead.\n"
BUILD = ("hatchling", "editables")
"""The packages that build this one, so that an installation needs only locked packages."""
SERVICE = ("http", "stripe", "worker")
"""The extras of a service and its workers: what `make run` and the container file install."""


def asked_for(*extras: str) -> Iterator[str]:
    """Return the requirements of the package with ``extras``. They are expanded, since extras contain one another:
    pip-tools would otherwise pin this package by its local path.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from project["dependencies"]
    yield from _brought(extras, project["optional-dependencies"])


def _brought(names: Iterable[str], extras: dict[str, list[str]]) -> Iterator[str]:
    for requirement in (each for name in names for each in extras[name]):
        own = re.fullmatch(r"booking-payments\[(.+)\]", requirement)
        yield from _brought(own[1].split(","), extras) if own else (requirement,)


def lock(target: Path, *extras: str) -> None:
    """Pin pyproject.toml's dependencies, with ``extras``, into ``target``."""
    source = target.with_suffix(".in")
    source.write_text("\n".join([*asked_for(*extras), *BUILD]) + "\n")
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--strip-extras", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-trusted-host", "--allow-unsafe"]
    command += ["--no-emit-find-links", "--output-file", str(target), str(source)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own arguments
    source.unlink()
    target.write_text(HEADER + target.read_text())


if __name__ == "__main__":
    folder = ROOT / "requirements"
    folder.mkdir(exist_ok=True)
    lock(folder / "run.txt", *SERVICE)
    lock(folder / "dev.txt", "dev")
    lock(folder / "fuzz.txt", *SERVICE, "fuzz")
