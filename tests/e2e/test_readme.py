"""Every block of the README runs, and its table of settings is complete."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS
from booking_payments.runtime.settings import SETTING_NAMES
from tests.e2e.blocks import json_of
from tests.e2e.serving import STOP_S, environment, serving, wait_until_ready
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]


def _shell(section: str) -> list[str]:
    """The blocks of a section that are pasted into a shell."""
    text = README[README.index(f"## {section}\n") :]
    end = text.find("\n## ")
    return re.findall(r"^```sh\n(.*?)^```", text[:end], re.DOTALL | re.MULTILINE)


PASTED = {
    block for section in ("The commands", "A tour", "Developing offline with the sandbox") for block in _shell(section)
}
"""The blocks that the tests below paste into a real shell, or hold against the Makefile."""


def _venv_in(folder: Path) -> None:
    (folder / ".venv").symlink_to(Path(sys.prefix))


@contextmanager
def _pasted(code: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that runs ``code`` until the block ends, with whatever it has started."""
    with (folder / "shell.log").open("ab") as log:
        shell = subprocess.Popen(
            ["bash", "-ec", code], cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield shell
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(timeout=STOP_S)


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service of the tour ran: its log is there."""
    folder = tmp_path_factory.mktemp("tour")
    _venv_in(folder)
    return folder


@pytest.fixture(scope="module")
def tour(toured: Path) -> str:
    """What the tour prints, pasted block by block into one shell beside a real service."""
    folder = toured
    with serving(folder) as address:
        script = "set -e\n" + "\n".join(_shell("A tour")).replace("http://127.0.0.1:8000", address)
        shown = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.parametrize(
    "what",
    [
        '"status":"succeeded"',
        '"allowed":true,"amount":"25.00"',
        '"refunded_amount":"25.00","remaining_refundable":"75.00"',
        '"type":"payment_succeeded"',
        '"code":"card_declined"',
        '"object":"payment_intent"',
    ],
)
def test_the_tour_shows_what_it_promises(tour: str, what: str) -> None:
    assert what in tour


def test_every_answer_of_the_tour_has_a_line_of_its_own(tour: str) -> None:
    asked = re.findall("^(?:until )?curl", "".join(_shell("A tour")), re.MULTILINE)
    answers = re.sub(r"\n +|\n}", " ", tour)  # the sandbox answers as Stripe does, on many lines

    assert len(answers.splitlines()) == len(asked)


def test_the_tour_ends_with_a_payment_that_passed_3d_secure(tour: str) -> None:
    assert '"status":"succeeded","requires_action":false' in tour.strip().splitlines()[-1]


@pytest.mark.usefixtures("tour")
@pytest.mark.parametrize("shown", json_of("docs/observability.md"), ids=lambda shown: shown["event"])
def test_the_log_has_the_lines_that_the_documents_show(toured: Path, shown: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in (toured / "serve.log").read_text().splitlines()]
    fixed = {name: shown[name] for name in ("event", "call", "operation", "outcome", "type") if name in shown}

    assert [line for line in lines if fixed.items() <= line.items() and shown.keys() <= line.keys()]


def test_the_offline_setup_pays_through_the_sandbox(tmp_path: Path) -> None:
    _venv_in(tmp_path)
    sandbox, service = free_port(), free_port()
    blocks = [
        block.replace("12111", str(sandbox))
        .replace(":8000", f":{service}")
        .replace("serve\n", f"serve --port {service}\n")
        for block in _shell("Developing offline with the sandbox")
    ]
    with _pasted(blocks[0], tmp_path) as first:
        wait_until_ready(f"http://127.0.0.1:{sandbox}/_sandbox/faults", first)
        with _pasted(blocks[1], tmp_path) as second:
            wait_until_ready(f"http://127.0.0.1:{service}/health/ready", second)
            told = subprocess.run(
                ["bash", "-ec", "\necho\n".join(blocks[2:])], capture_output=True, text=True, check=True, timeout=60
            )

    assert f"http://127.0.0.1:{service}/api/webhooks/stripe/" in told.stdout
    assert "timeout_after" in told.stdout
    assert "stripe, test mode: no money moves" in (tmp_path / "shell.log").read_text()


def test_the_events_to_select_are_those_that_have_a_reaction() -> None:
    section = README[README.index("## Going live with Stripe") : README.index("## Developing offline")]
    listed = section[section.index("```text") : section.index("```ini")]

    assert set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", listed)) == KINDS.keys() | ALERTS.keys()


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_blocks_run(code: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 0, ran.stderr


def test_the_make_targets_of_the_readme_exist() -> None:
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named
    assert named <= targets


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", README[README.index("## Settings") :], re.MULTILINE)
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))

    assert named == SETTING_NAMES


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
