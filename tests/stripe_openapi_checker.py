"""A fixture for test modules in which every response has to conform to Stripe's OpenAPI description.

It observes the model, and the responses of sandboxes in this process as they are sent. The sandbox's model overrides
some
methods of the model, so both classes are observed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest
from attrs import define, field

from booking_payments.sandbox.emulator import EventDelivery, FakeStripe, StripeResponse
from booking_payments.sandbox.http import api
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.messages import HttpResponse, Request
from tests.stripe_objects import problems, problems_of, problems_of_error, problems_of_event

OTHER_VERBS = (
    "confirm_as_customer",
    "authenticate",
    "refund_in_dashboard",
    "open_dispute",
    "move_dispute",
    "move_refund",
    "browser_call",
    "authenticate_setup",
    "end_voucher",
)
"""What answers besides ``call``: the parts of customer, operator and bank."""


@define
class StripeOpenApiChecker:
    """Checks every model of a test.

    Attributes:
        heard: the responses so far.
        found: their violations.
    """

    heard: list[str] = field(factory=list)
    found: list[str] = field(factory=list)
    _models: dict[int, FakeStripe] = field(factory=dict)
    _delivered: set[tuple[int, str, int]] = field(factory=set)

    def hooks(self) -> dict[str, Callable[..., None]]:
        """Return the check for each method of a model."""
        others = dict.fromkeys(OTHER_VERBS, self.check_verb)
        return {"call": self.check_call, "pending_deliveries": self.check_deliveries, **others}

    def check_call(
        self, model: FakeStripe, answer: StripeResponse, method: str, path: str, *_: object, **__: object
    ) -> None:
        self._models[id(model)] = model
        method, path = method.upper(), path.rstrip("/")
        self._note(f"{method} {path} {answer.status}", problems(answer.status, answer.body))

    def check_sent(self, _: SandboxStripe, reply: HttpResponse, request: Request) -> None:
        """The body as it is sent; browsers also ask for replies without one (OPTIONS)."""
        if reply.body:
            method, path = "GET" if request.method == "HEAD" else request.method, request.path.rstrip("/")
            wrong = problems(reply.status, json.loads(reply.body))
            self._note(f"wire {method} {path} {reply.status}", wrong)

    def check_verb(self, _: FakeStripe, answer: StripeResponse, *__: object, **___: object) -> None:
        self._note(f"verb {answer.status}", problems_of(answer.body) if answer.ok else problems_of_error(answer.body))

    def check_deliveries(self, model: FakeStripe, deliveries: list[EventDelivery], *_: object, **__: object) -> None:
        """Deliveries are handed out again and again; each body is judged once."""
        for each in deliveries:
            body = (id(model), each.event_id, each.event["pending_webhooks"])
            if body not in self._delivered:
                self._delivered.add(body)
                self._note(f"delivery {each.event['type']}", problems_of_event(each.event))

    def check_events(self) -> None:
        """Every event that the models still keep."""
        for model in self._models.values():
            for event in model.events:
                self._note(f"event {event['type']}", problems_of_event(event))

    def _note(self, what: str, wrong: Iterator[str]) -> None:
        self.heard.append(what)
        self.found.extend(wrong)


@contextmanager
def checking() -> Iterator[StripeOpenApiChecker]:
    """While open, every answer of every model is judged."""
    checker = StripeOpenApiChecker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "answer", _observed(api.answer, checker.check_sent))
        for model in (FakeStripe, SandboxStripe):
            for verb, hear in checker.hooks().items():
                patch.setattr(model, verb, _observed(vars(model)[verb], hear))
        yield checker
    checker.check_events()


def _observed(verb: Callable[..., Any], hear: Callable[..., None]) -> Callable[..., Any]:
    @wraps(verb)
    def observed(model: FakeStripe, *given: Any, **named: Any) -> Any:
        answer = verb(model, *given, **named)
        hear(model, answer, *given, **named)
        return answer

    return observed


@pytest.fixture(autouse=True)
def every_answer_conforms() -> Iterator[StripeOpenApiChecker]:
    with checking() as checker:
        yield checker
    assert checker.found == [], checker.found[:5]
