"""Write requirements/*.txt: every dependency pinned and hashed, no address of an index."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Pinned and hashed by `make lock`; edit pyproject.toml instead.\n"
BUILD = ("hatchling", "editables")
"""What builds the package itself, so that installing needs nothing that is not locked."""


def lock(target: Path, *extras: str) -> None:
    """Pin pyproject.toml's dependencies, with ``extras``, into ``target``."""
    build = target.with_suffix(".in")
    build.write_text("\n".join(BUILD) + "\n")
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--strip-extras", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-trusted-host", "--allow-unsafe"]
    command += ["--no-emit-find-links"]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--output-file", str(target), "pyproject.toml", str(build)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own arguments
    build.unlink()
    target.write_text(HEADER + target.read_text())


if __name__ == "__main__":
    folder = ROOT / "requirements"
    folder.mkdir(exist_ok=True)
    lock(folder / "run.txt")
    lock(folder / "dev.txt", "dev")
    lock(folder / "fuzz.txt", "fuzz")
