"""Parsers and regular expressions for untrusted text take time linear in its length, measured with the worst known
texts.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from booking_payments.adapters.gateways.stripe.signature import verify
from booking_payments.adapters.gateways.stripe.webhooks import read_event
from booking_payments.adapters.memory.cursors import decode_cursor
from booking_payments.adapters.openid.claims import has_one_of
from booking_payments.adapters.openid.metadata import metadata_in
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.texts import require_note, require_reason
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import TokenRules, authenticate
from booking_payments.entrypoints.http.idempotency import key_of
from booking_payments.entrypoints.http.limits import address_of
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.http.refunds import items_of
from booking_payments.entrypoints.pages.amounts import amount_typed, any_amount_typed
from booking_payments.entrypoints.pages.console import openid
from booking_payments.entrypoints.pages.console.payments import _day
from booking_payments.entrypoints.pages.forms import _form
from booking_payments.entrypoints.pages.moments import moment_in_address, moment_typed
from booking_payments.ports.identity_provider import ProviderUnavailable
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.presentation.card_numbers import holds_card_number
from booking_payments.presentation.models import RegisterBooking
from booking_payments.presentation.origins import origin_of
from booking_payments.runtime.logging import redacted
from booking_payments.sandbox.http.forms import BadForm, decode
from tests import worst_cases

NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
RULES: Final = TokenRules(key="k" * 32, algorithm="HS256")


def scope(**given: Any) -> Any:
    return {"type": "http", "headers": [], "query_string": b"", **given}


def query(text: str) -> None:
    pairs = parsing.query_pairs(scope(query_string=text.encode("utf-8")))
    parsing._require_clean(dict(pairs))


def header(name: bytes, text: str) -> Any:
    return scope(headers=[(name, text.encode("utf-8"))])


def body(text: str) -> None:
    parsing.fit(parsing.parse_json(text.encode()), RegisterBooking)


PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "a body of JSON": body,
    "an object's name in a body": lambda text: parsing.fit({text: 1}, RegisterBooking),
    "a text in a body": lambda text: parsing._require_clean({"a": text}),
    "a list of texts in a body": lambda text: parsing._require_clean({"a": list(text[::4])}),
    "a query": query,
    "a cookie": lambda text: parsing.cookie(header(b"cookie", text), "booking_payments_console"),
    "an Idempotency-Key": lambda text: key_of([text]),
    "an X-Request-Id": lambda text: request_id_of(header(b"x-request-id", text)),
    "an Authorization": lambda text: authenticate(f"Bearer {text}", RULES),
    "an address": lambda text: address_of(scope(client=(text, 1))),
    "an id in a path": parsing.is_id,
    "a return_url": origin_of,
    "a cookie of a log-in": lambda text: (openid._HELD.fullmatch(text), openid._text_in(text)),
    "a discovery document": lambda text: metadata_in(text.encode(), "https://id.example", loopback=False),
    "a claim of an ID token": lambda text: has_one_of({"x"}, {"a": {"b": text}}, "a.b"),
    "a cursor": decode_cursor,
    "a day of the console": _day,
    "a moment of the console": moment_typed,
    "a moment in an address of the console": moment_in_address,
    "an amount of the console": lambda text: amount_typed(text, Currency.of("usd")),
    "an amount to look for": any_amount_typed,
    "items in a query": items_of,
    "an amount": lambda text: Money.parse(text, Currency.of("usd")),
    "a note": require_note,
    "a reason": require_reason,
    "a form of a page": lambda text: _form(text.encode()),
    "a form of the sandbox": decode,
    "a Stripe-Signature": lambda text: verify(b"{}", text, ("whsec_" + "0" * 32,), NOW),
    "an event of Stripe": lambda text: read_event(text.encode()),
    "a card number": holds_card_number,
    "a secret": parsing.may_be_kept,
    "a line of a log": redacted,
    "a field of a log": lambda text: redacted("x", text),
}
PLAIN: Final = frozenset({"a list of texts in a body"})
"""Parsers that see single characters, to which quotes and brackets around a text mean nothing."""

REFUSALS: Final = (RequestRefused, PaymentError, WebhookRefused, BadForm, ProviderUnavailable)


def refusing(parse: Callable[[str], object]) -> Callable[[str], object]:
    def run(text: str) -> None:
        with suppress(*REFUSALS):
            parse(text)

    return run


OURS: Final = "trusted: our own rows, files and settings, or an operator's terminal"
ANSWERS: Final = "trusted: the API's own answer, which a page shows"
SANDBOX: Final = "trusted: a sandbox serves its own developers"
WHO_READS: Final[Mapping[str, str]] = {
    "adapters.gateways.bank_transfer.events": OURS,
    "adapters.gateways.bank_transfer.store": OURS,
    "adapters.memory.cursors": "a cursor",
    "ports.signing_key": OURS,
    "adapters.network": OURS,
    "adapters.openid.metadata": "a discovery document",
    "adapters.openid.provider": OURS,
    "adapters.sql.audit": OURS,
    "adapters.sql.codec": OURS,
    "adapters.gateways.fake.store": OURS,
    "adapters.sql.rows": OURS,
    "adapters.sql.serve_lock": OURS,
    "adapters.sql.tables": OURS,
    "adapters.gateways.stripe.examination": OURS,
    "adapters.gateways.stripe.webhooks": "an event of Stripe",
    "application.drift": OURS,
    "application.idempotency": OURS,
    "entrypoints.cli.choices": OURS,
    "entrypoints.cli.since": OURS,
    "entrypoints.cli.webhooks": OURS,
    "entrypoints.http.auth": "an Authorization",
    "entrypoints.http.parsing": "a body of JSON",
    "presentation.origins": "a return_url",
    "entrypoints.http.limits": "an address",
    "entrypoints.http.refunds": "items in a query",
    "entrypoints.pages.appearance": OURS,
    "entrypoints.pages.form_actions": ANSWERS,
    "entrypoints.pages.checkout": ANSWERS,
    "entrypoints.pages.console.charts": OURS,
    "entrypoints.pages.console.openid": "a cookie of a log-in",
    "entrypoints.pages.console.payments": "a day of the console",
    "entrypoints.pages.console.receipts": ANSWERS,
    "entrypoints.pages.console.refunds": ANSWERS,
    "entrypoints.pages.console.webhooks": OURS,
    "entrypoints.pages.moments": "a moment of the console",
    "entrypoints.pages.sessions": "a return_url",
    "entrypoints.pages.forms": "a form of a page",
    "adapters.gateways.stripe.plugin": OURS,
    "ports.gateway_settings": OURS,
    "sandbox.emulator.customer_actions": SANDBOX,
    "sandbox.emulator.published": SANDBOX,
    "sandbox.http.api": SANDBOX,
    "sandbox.http.forms": "a form of the sandbox",
    "sandbox.http.pages": SANDBOX,
    "sandbox.http.playing": SANDBOX,
    "entrypoints.cli.booking_options": OURS,
    "runtime.settings": OURS,
    "testing.certificate_webhooks": "trusted: an example, which only tests read with",
    "testing.sandbox": SANDBOX,
}
"""Each module that calls a library's parser, with the measured parser that stands for it, or why none is needed."""

BUILT: Final = {
    "sandbox.emulator.browser: re.compile(line.partition(' ')[2])",
    "sandbox.emulator.endpoints: re.compile(re.sub('\\\\{\\\\w+\\\\}', '([^/]+)', path))",
    "sandbox.emulator.faults: re.compile(''.join((_piece(piece) for piece in pieces)))",
    "sandbox.http.playing: re.compile(PREFIX + path.replace('{id}', '(?P<id>[^/]+)'))",
}
"""Expressions built from this package's routes, in which one part of a path matches no slash."""


@cache
def sources() -> Mapping[str, str]:
    """Return the text of every module, by its name within the package."""
    found = {module.__name__: Path(str(module.__file__)).read_text() for module in worst_cases.modules()}
    return {name.removeprefix("booking_payments."): text for name, text in found.items()}


def test_no_regular_expression_escapes_the_measurement() -> None:
    found = {name.removeprefix("booking_payments.") for name in worst_cases.expressions()}
    left_out = {each for name, text in sources().items() for each in worst_cases.left_out(found, name, text)}

    assert left_out == BUILT


@pytest.mark.parametrize(
    "source",
    [
        "import re\ndef f(x): return re.compile('a+')",
        "import re\ndef f(x): return re.match(f'{x}+', x)",
        "import re\nTABLE = {'a': re.compile('a+')}",
        "import re as regular",
        "from re import compile",
    ],
)
def test_an_unsupported_use_of_regular_expressions_is_reported(source: str) -> None:
    assert list(worst_cases.left_out((), "new", source)) != []


def test_every_module_with_a_parser_is_measured_or_reads_trusted_text() -> None:
    reading = {name for name, text in sources().items() if worst_cases.reads(text)}
    assert reading == set(WHO_READS), "list a module with a parser in WHO_READS, with what it reads"
    assert {each for each in WHO_READS.values() if not each.startswith("trusted: ")} <= set(PARSERS)


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_of_untrusted_text_takes_linear_time(name: str) -> None:
    assert list(worst_cases.slower_than_linear(refusing(PARSERS[name]), plain=name in PLAIN)) == []


def test_every_regular_expression_takes_linear_time() -> None:
    expressions = worst_cases.expressions()

    slow = {name: list(worst_cases.slower_than_linear(apply, plain=True)) for name, apply in expressions.items()}
    assert {name: found for name, found in slow.items() if found} == {}
    assert len(expressions) > 60, "the expressions were not found"


def test_no_handler_uses_the_frameworks_parsers_which_are_quadratic_for_cookies() -> None:
    readers = re.compile(r"\.(cookies|query_params|form\(\)|json\(\)|url)\b(?!\()")
    entrypoints = Path(parsing.__file__).parents[1]
    lines = [line for file in entrypoints.rglob("*.py") for line in file.read_text().splitlines()]

    assert [line for line in lines if readers.search(line) and "request" in line.lower()] == []


def test_the_measurement_detects_quadratic_time_in_a_list_of_texts() -> None:
    def quadratic(text: str) -> object:
        known: list[str] = []
        for each in text[::4]:
            known.append(f"{each}{known.count(each)}")
        return known

    assert next(worst_cases.slower_than_linear(quadratic, plain=True), None) is not None


@pytest.mark.parametrize(
    ("pattern", "verb"),
    [
        (r'"(?:[^"\\]|\\.)*"', "sub"),
        (r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.", "search"),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "sub"),
        (r"(?i)\b((?:postgres\w*|rediss?)(?:\+\w+)?://[^\s:/@]*):[^\s\"'<>]+@", "sub"),
    ],
)
def test_the_measurement_detects_quadratic_time(pattern: str, verb: str) -> None:
    apply = worst_cases._applied(re.compile(pattern, re.DOTALL), verb)
    found = worst_cases.slower_than_linear(apply, plain=True, size=250)

    assert next(found, None) is not None
