"""Log lines, metrics and messages on the troubleshooting page exist in the code."""

import re
from pathlib import Path

import pytest

from booking_payments.entrypoints.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
ROWS = re.findall(r"^\| (log|doctor) \| (.+) \|$", PAGE, re.MULTILINE)
QUOTED = sorted({quoted for _, row in ROWS for quoted in re.findall(r"`([^`]+)`", row)})
COMMANDS = sorted(
    {
        command
        for text in (PAGE, (ROOT / "ops/alerts.yaml").read_text())
        for command in re.findall(r"booking-payments ([a-z]+(?: (?:list|replay|show|check))?(?: --[a-z-]+)?)", text)
    }
)


def test_every_problem_has_its_log_line_metric_and_doctor_message() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]

    assert len(sections) >= 6
    assert [
        each for each in sections if not {"log", "metrics", "doctor"} <= set(re.findall(r"^\| (\w+) \|", each, re.M))
    ] == []


@pytest.mark.parametrize("quoted", QUOTED)
def test_every_quoted_text_exists_in_the_code(quoted: str) -> None:
    assert quoted in SOURCE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_named_command_and_option_exists(command: str) -> None:
    words = [word for word in command.split() if not word.startswith("--")]
    options = {word for word in command.split() if word.startswith("--")}
    found = main
    for word in words:
        found = found.commands[word]  # type: ignore[assignment]

    assert options <= {option for parameter in found.params for option in parameter.opts}
