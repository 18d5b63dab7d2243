"""What Stripe's own command-line client sends to make an event happen makes it happen here."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

SCENARIOS = sorted((Path(__file__).parents[3] / "data" / "stripe" / "cli-scenarios").glob("*.json"))
WRITTEN_FOR = "2026-08-26.dahlia"
"""The scenarios are of August 2026, and name ``payment_method_types``."""
REFERENCE = re.compile(r"\$\{(?P<name>\w+):(?P<field>\w+)\}")


def form(params: dict[str, Any], inside: str = "") -> list[tuple[str, str]]:
    """Parameters as Stripe's command-line client encodes them: names in brackets, lists with empty ones."""
    pairs = []
    for name, value in params.items():
        path = f"{inside}[{name}]" if inside else name
        if isinstance(value, dict):
            pairs += form(value, path)
        elif isinstance(value, list):
            pairs += [(f"{path}[]", str(item)) for item in value]
        else:
            pairs.append((path, json.dumps(value) if isinstance(value, bool) else str(value)))
    return pairs


def filled(text: str, answers: dict[str, Any]) -> str:
    return REFERENCE.sub(lambda match: str(answers[match["name"]][match["field"]]), text)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_the_event_happens(http: httpx2.Client, scenario: Path) -> None:
    answers: dict[str, Any] = {}
    for step in json.loads(scenario.read_text())["fixtures"]:
        body = urlencode([(name, filled(value, answers)) for name, value in form(step.get("params", {}))])
        answer = http.request(
            step["method"].upper(),
            filled(step["path"], answers),
            content=body,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Stripe-Version": WRITTEN_FOR},
        )
        answers[step["name"]] = answer.json()
        expected = step.get("expected_error_type")
        assert answer.json().get("error", {}).get("type") == expected, answer.text

    events = http.get("/v1/events", params={"limit": 100}).json()["data"]
    assert scenario.stem in [event["type"] for event in events]
