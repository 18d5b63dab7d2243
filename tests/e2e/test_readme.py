"""Every block of the README runs, and its table of settings is complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from booking_payments.settings import SETTING_NAMES
from tests.e2e.serving import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
SHELL = [code for language, code in BLOCKS if language == "sh" and not code.startswith("make")]
PYTHON = [code for language, code in BLOCKS if language == "python"]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the tour prints, pasted block by block into one shell beside a real service."""
    folder = tmp_path_factory.mktemp("tour")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    with serving(folder) as address:
        script = "set -e\n" + "\necho\n".join(SHELL).replace("http://127.0.0.1:8000", address)
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
        '"object": "payment_intent"',
    ],
)
def test_the_tour_shows_what_it_promises(tour: str, what: str) -> None:
    assert what in tour


def test_the_tour_ends_with_a_payment_that_passed_3d_secure(tour: str) -> None:
    assert '"status":"succeeded","requires_action":false' in tour.strip().splitlines()[-1]


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_blocks_run(code: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}

    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
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
