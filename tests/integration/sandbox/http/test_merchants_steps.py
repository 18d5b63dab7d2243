"""The steps of ``make sdk-matrix`` with the installed SDK; other releases and languages run nightly."""

import json
import subprocess
import sys
from pathlib import Path

from booking_payments.testing.sandbox import Sandbox

STEPS = Path(__file__).parents[4] / "tools" / "sdk_matrix" / "life.py"


def test_the_installed_sdk_takes_a_merchant_through_all_steps(sandbox: Sandbox) -> None:
    command = [sys.executable, str(STEPS), sandbox.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    steps = json.loads(done.stdout)["steps"]

    assert {name: outcome for name, outcome in steps.items() if outcome != "ok"} == {}
    assert len(steps) > 15
