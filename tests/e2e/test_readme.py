"""The README is short, its figures come from the code; what the README and docs/start.md say to type works."""

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
from booking_payments.domain.declines import DECLINES
from booking_payments.domain.ledger import PostingKind
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.sandbox.emulator.endpoints import ENDPOINTS
from tests import preloaded
from tests.e2e.blocks import json_of
from tests.e2e.serving import STOP_S, environment, serving, wait_until_ready
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
START = (ROOT / "docs" / "start.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
GO_LIVE = (ROOT / "docs" / "guides" / "go-live.md").read_text()


def _shell(section: str, page: str = START) -> list[str]:
    """The blocks of a section of ``page`` that are pasted into a shell."""
    text = page[page.index(f"## {section}\n") :]
    end = text.find("\n## ")
    return re.findall(r"^```sh\n(.*?)^```", text[:end], re.DOTALL | re.MULTILINE)


PASTED = {
    *_shell("As a service", README),
    *_shell("The commands"),
    *_shell("A tour"),
    *_shell("Developing offline with the sandbox"),
}
"""The blocks that the tests below paste into a real shell, or hold against the Makefile."""


def _venv_in(folder: Path) -> None:
    (folder / ".venv").symlink_to(Path(sys.prefix))


SERVES_AS_INSTALLED = """#!/bin/sh
case "$1" in serve) exec {installed} "$@" ;; *) exec {forks} "$@" ;; esac
"""


def _venv_that_forks_in(folder: Path) -> None:
    """Make a ``.venv`` whose command line is the installed one for ``serve``, and a fork for all other commands."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    forks, command = programs / "forks", programs / "booking-payments"
    preloaded.install(forks, ["-m", "booking_payments"])
    command.write_text(SERVES_AS_INSTALLED.format(installed=Path(sys.prefix) / "bin" / "booking-payments", forks=forks))
    command.chmod(0o755)


@contextmanager
def _pasted(code: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that runs ``code``; at the end of the block it and its child processes are stopped."""
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
def test_the_tour_prints_the_documented_output(tour: str, what: str) -> None:
    assert what in tour


def test_every_response_of_the_tour_is_on_a_separate_line(tour: str) -> None:
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
    _venv_that_forks_in(tmp_path)
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
    section = GO_LIVE[GO_LIVE.index("## 2. Stripe") : GO_LIVE.index("## 3.")]
    listed = section[section.index("```text") : section.index("```ini")]

    assert set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", listed)) == KINDS.keys() | ALERTS.keys()


@pytest.mark.parametrize("page", [README, START], ids=["README", "start"])
def test_the_make_targets_that_a_page_names_exist(page: str) -> None:
    named = set(re.findall(r"^make ([\w-]+)", page, re.MULTILINE))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named
    assert named <= targets


def test_the_readme_names_the_two_commands_that_the_ci_script_relies_on() -> None:
    (block,) = _shell("As a service", README)

    assert re.findall(r"^make (\w+)", block, re.MULTILINE) == ["run", "test"]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", SETTINGS, re.MULTILINE)
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))

    assert named == setting_names(), "a setting without a row in docs/settings.md, or a row without a setting"


@pytest.mark.parametrize("page", [README, SETTINGS, GO_LIVE], ids=["README", "settings", "go-live"])
def test_each_mandatory_setting_is_named_and_the_start_fails_without_it(page: str) -> None:
    keys = {"STRIPE_PUBLISHABLE_KEY": "pk_test_x", "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
    given = {"PAYMENT_GATEWAY": "stripe", **keys, "JWT_SECRET": "x" * 32}
    load_settings(given, env_file=None)  # the four are enough

    for name in (*keys, "JWT_SECRET"):
        assert f"`{name}`" in page or f"\n{name}=" in page
        with pytest.raises(SettingsError, match=name):
            load_settings({**given, name: ""}, env_file=None)


def test_the_readme_is_short() -> None:
    assert len(README.encode()) < 5_000


def test_the_figures_of_the_readme_come_from_the_code() -> None:
    states = len(PaymentStatus) + len(RefundStatus) + len(DisputeStatus)
    hidden = [rule for rule in DECLINES.values() if rule.hidden]

    assert f"{states} states" in README
    assert f"{len(DECLINES)} decline codes, {len(hidden)} of them hidden" in README
    assert f"{len(Currency)} currencies, {len(PostingKind)} kinds of posting" in README
    assert f"{len(KINDS.keys() | ALERTS.keys())} event types of Stripe" in README
    assert f"{len(ENDPOINTS)} endpoints" in README


def test_the_measured_figures_of_the_readme_are_those_of_the_performance_page() -> None:
    measured = (ROOT / "docs" / "performance.md").read_text()
    row = re.search(r"^\| booking-payments \| ([\d,]+) \| ([\d.]+) \|", measured, re.MULTILINE)

    assert row is not None
    assert f"{row[1]} a second on two cores, {row[2]} of" in README


def test_the_nightly_figures_of_the_readme_are_those_of_the_makefile() -> None:
    reliability = (ROOT / "docs" / "reliability.md").read_text()

    assert "KILLS=1000 " in (ROOT / "Makefile").read_text()
    assert re.search(
        r"^\| seeds with all faults and all repair paths \| [^|]+ \| 100,000 \|$", reliability, re.MULTILINE
    )
    assert "100,000 simulated runs and 1,000 killed processes per database" in README


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_every_link_has_a_target(link: str) -> None:
    assert (ROOT / link).exists()
