"""The steps of ``make sdk-matrix`` with the installed SDK; other releases and languages run nightly."""

import json
import os
from pathlib import Path

from booking_payments.testing.sandbox import Sandbox
from tests import preloaded

STEPS = Path(__file__).parents[4] / "tools" / "sdk_matrix" / "life.py"


def test_the_installed_sdk_takes_a_merchant_through_all_steps(sandbox: Sandbox) -> None:
    done = preloaded.ran([str(STEPS), sandbox.url], cwd=Path.cwd(), env=os.environ, timeout=100)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]

    assert {name: outcome for name, outcome in steps.items() if outcome != "ok"} == {}
    assert len(steps) > 15
