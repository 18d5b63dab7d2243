"""What Stripe's own command-line client sends to make an event happen makes it happen in the model."""

import json
import re
from typing import Any

import pytest

from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient
from tests.stripe_objects import DATA
from tests.stripe_openapi_checker import StripeOpenApiChecker

SCENARIOS = sorted((DATA / "cli-scenarios").glob("*.json"), key=lambda path: path.stem)
WRITTEN_FOR = "2026-08-26.dahlia"
"""The scenarios are of August 2026, and name ``payment_method_types``."""
REFERENCE = re.compile(r"\$\{(?P<name>\w+):(?P<field>\w+)\}")


def _filled(step: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """A step with the references to earlier answers resolved."""
    text = REFERENCE.sub(lambda match: str(answers[match["name"]][match["field"]]), json.dumps(step))
    return dict(json.loads(text))


def test_there_are_scenarios() -> None:
    assert {"charge.captured", "charge.refunded", "payment_intent.succeeded"} <= {path.stem for path in SCENARIOS}


@pytest.mark.parametrize("event", [path.stem for path in SCENARIOS])
def test_the_event_happens_and_every_answer_conforms(
    account: StripeAccountClient, event: str, every_answer_conforms: StripeOpenApiChecker
) -> None:
    answers: dict[str, Any] = {}
    for each in json.loads((DATA / "cli-scenarios" / f"{event}.json").read_text())["fixtures"]:
        step = _filled(each, answers)
        answer = account.stripe.call(step["method"], step["path"], step.get("params"), version=WRITTEN_FOR)
        answers[step["name"]] = answer.body
        assert answer.body.get("error", {}).get("type") == step.get("expected_error_type"), answer.body

    assert event in account.types()
    assert len(every_answer_conforms.heard) == len(answers)
    assert every_answer_conforms.found == []
