"""The documents beside the README: their Python runs, and the commands that they name are there."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from booking_payments.entrypoints.cli import main
from tests.e2e.serving import environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PYTHON = [
    pytest.param(code, output, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (code, output) in enumerate(
        re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", page.read_text(), re.DOTALL | re.MULTILINE)
    )
]
COMMANDS = sorted(
    {
        command.strip()
        for page in [*PAGES, ROOT / "README.md", ROOT / "ops/alerts.yaml"]
        for command in re.findall(r"booking-payments((?: --?[a-z-]+| [a-z]+)+)", page.read_text())
        if command.split()[0] in main.commands
    }
)


@pytest.mark.parametrize(("code", "output"), PYTHON)
def test_the_python_of_the_documents_runs_and_says_what_stands_below_it(code: str, output: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 0, ran.stderr
    assert not output or ran.stdout == output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_that_is_named_is_there(command: str) -> None:
    found: click.Command = main
    for word in command.split():
        if word.startswith("-"):
            assert word in {option for parameter in found.params for option in parameter.opts}
        elif isinstance(found, click.Group) and word in found.commands:
            found = found.commands[word]
        else:
            assert not isinstance(found, click.Group) or found is main, f"{word} is no command"
            break
