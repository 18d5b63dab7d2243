"""A fixture for test modules whose every answer of the model has to conform to Stripe's description."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from booking_payments.adapters.fake_stripe import Answer, FakeStripe
from tests.stripe_openapi import problems, problems_of_event

JUDGED: list[str] = []
"""Method and path of each answer that was judged in this run."""


@pytest.fixture(autouse=True)
def every_answer_conforms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found: list[str] = []
    models: list[FakeStripe] = []
    call = FakeStripe.call

    def judged(
        model: FakeStripe,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        if all(model is not known for known in models):
            models.append(model)
        answer = call(model, method, path, params, idempotency_key)
        JUDGED.append(f"{method} {path}")
        found.extend(problems(method.upper(), path.rstrip("/"), answer.status, answer.body))
        return answer

    monkeypatch.setattr(FakeStripe, "call", judged)
    yield
    for model in models:
        for event in model.events[-50:]:
            found.extend(problems_of_event(event))
    assert found == [], found[:5]
