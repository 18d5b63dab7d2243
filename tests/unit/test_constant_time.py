"""Secrets are compared in constant time: only by ``hmac.compare_digest``."""

import hmac
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define

from booking_payments.adapters.gateways.stripe.signature import verify
from booking_payments.entrypoints.http.auth import Principal
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.sessions import FORM_TOKEN, Session
from booking_payments.ports.webhooks import WebhookRefused

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WRONG = ("0" * 64, "f" * 64, "1" * 64)
HEADER = f"t={int(NOW.timestamp())}," + ",".join(f"v1={each}" for each in WRONG)


@define
class Comparing:
    """Replaces ``compare_digest``: always returns the same result, and counts its calls."""

    equal: bool
    times: int = 0

    def __call__(self, *_: Any) -> bool:
        self.times += 1
        return self.equal


@pytest.fixture(params=[True, False])
def comparing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Comparing:
    stand_in = Comparing(request.param)
    monkeypatch.setattr(hmac, "compare_digest", stand_in)
    return stand_in


def test_every_signature_of_a_webhook_is_compared_in_constant_time(comparing: Comparing) -> None:
    with nullcontext() if comparing.equal else pytest.raises(WebhookRefused, match="no signature matches"):
        verify(b"{}", HEADER, ("whsec_a",), NOW)

    assert comparing.times == len(WRONG), "comparing must not stop at the first match"


def test_a_form_token_is_compared_in_constant_time(comparing: Comparing) -> None:
    session = Session(principal=Principal(subject="ann", issuer=None, scopes=frozenset()), token="t", path="/console")
    request: Any = SimpleNamespace(headers={})

    with nullcontext() if comparing.equal else pytest.raises(RequestRefused):
        session.require_own(request, Form({FORM_TOKEN: "guessed"}))

    assert comparing.times == 1
