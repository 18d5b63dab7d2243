"""What reads strangers' text takes time linear in its length: every expression, every parser, the worst texts known."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from booking_payments.adapters.memory.cursors import decode_cursor
from booking_payments.adapters.stripe.signature import verify
from booking_payments.adapters.stripe.webhooks import read_event
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.texts import require_note, require_reason
from booking_payments.entrypoints.card_numbers import holds_card_number
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import TokenRules, authenticate
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.idempotency import key_of
from booking_payments.entrypoints.http.limits import address_of
from booking_payments.entrypoints.http.models import RegisterBooking
from booking_payments.entrypoints.http.problems import Refused
from booking_payments.entrypoints.logging import redacted
from booking_payments.entrypoints.pages.forms import _form
from booking_payments.entrypoints.sandbox.forms import BadForm, decode
from booking_payments.ports.gateway import WebhookRefused
from tests import worst_cases

NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
RULES: Final = TokenRules(key="k" * 32, algorithm="HS256")


def scope(**given: Any) -> Any:
    return {"type": "http", "headers": [], "query_string": b"", **given}


def query(text: str) -> None:
    pairs = door.query_pairs(scope(query_string=text.encode("utf-8")))
    door._require_clean(dict(pairs))


def header(name: bytes, text: str) -> Any:
    return scope(headers=[(name, text.encode("utf-8"))])


def body(text: str) -> None:
    door.fit(door.parse_json(text.encode()), RegisterBooking)


PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "a body of JSON": body,
    "an object's name in a body": lambda text: door.fit({text: 1}, RegisterBooking),
    "a text in a body": lambda text: door._require_clean({"a": text}),
    "a list of texts in a body": lambda text: door._require_clean({"a": list(text[:: max(1, len(text) // 8000)])}),
    "a query": query,
    "a cookie": lambda text: door.cookie(header(b"cookie", text), "booking_payments_console"),
    "an Idempotency-Key": lambda text: key_of([text]),
    "an X-Request-Id": lambda text: request_id_of(header(b"x-request-id", text)),
    "an Authorization": lambda text: authenticate(f"Bearer {text}", RULES),
    "an address": lambda text: address_of(scope(client=(text, 1))),
    "an id in a path": door.is_id,
    "a return_url": door.origin_of,
    "a cursor": decode_cursor,
    "an amount": lambda text: Money.parse(text, Currency.of("usd")),
    "a note": require_note,
    "a reason": require_reason,
    "a form of a page": lambda text: _form(text.encode()),
    "a form of the sandbox": decode,
    "a Stripe-Signature": lambda text: verify(b"{}", text, ("whsec_" + "0" * 32,), NOW),
    "an event of Stripe": lambda text: read_event(text.encode()),
    "a card number": holds_card_number,
    "a secret": door.may_be_kept,
    "a line of a log": redacted,
    "a field of a log": lambda text: redacted("x", text),
}
REFUSALS: Final = (Refused, PaymentError, WebhookRefused, BadForm)


def refusing(parse: Callable[[str], object]) -> Callable[[str], object]:
    def run(text: str) -> None:
        with suppress(*REFUSALS):
            parse(text)

    return run


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_of_strangers_text_takes_linear_time(name: str) -> None:
    assert list(worst_cases.slower_than_linear(refusing(PARSERS[name]))) == []


def test_every_regular_expression_takes_linear_time() -> None:
    expressions = worst_cases.expressions()

    slow = {name: list(worst_cases.slower_than_linear(apply, plain=True)) for name, apply in expressions.items()}
    assert {name: found for name, found in slow.items() if found} == {}
    assert len(expressions) > 60, "the expressions were not found"


def test_nothing_is_read_by_the_framework_which_keeps_it_and_is_quadratic_in_cookies() -> None:
    readers = re.compile(r"\.(cookies|query_params|form\(\)|json\(\)|url)\b(?!\()")
    entrypoints = Path(door.__file__).parents[1]
    lines = [line for file in entrypoints.rglob("*.py") for line in file.read_text().splitlines()]

    assert [line for line in lines if readers.search(line) and "request" in line.lower()] == []


@pytest.mark.parametrize(
    ("pattern", "verb"),
    [
        (r'"(?:[^"\\]|\\.)*"', "sub"),
        (r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.", "search"),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "sub"),
        (r"(?i)\b((?:postgres\w*|rediss?)(?:\+\w+)?://[^\s:/@]*):[^\s\"'<>]+@", "sub"),
    ],
)
def test_the_measure_finds_what_is_quadratic(pattern: str, verb: str) -> None:
    found = worst_cases.slower_than_linear(worst_cases._applied(re.compile(pattern, re.DOTALL), verb), plain=True)

    assert next(found, None) is not None
