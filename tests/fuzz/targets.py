"""Parsers of untrusted bytes as functions of bytes. Each accepts its input or raises an expected error."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from booking_payments.adapters.gateways.stripe.signature import verify
from booking_payments.adapters.gateways.stripe.webhooks import read_event
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.http.auth import TokenRules, authenticate
from booking_payments.entrypoints.http.idempotency import key_of
from booking_payments.entrypoints.http.parsing import parse_json
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.presentation.origins import origin_of
from booking_payments.sandbox.signature import sign

BODY: Final = b'{"id":"evt_1"}'
SECRET: Final = "whsec_of_the_fuzzer"
NOW: Final = datetime.fromtimestamp(1_700_000_000, UTC)
GENUINE: Final = sign(BODY, SECRET, NOW)
RULES: Final = TokenRules(key="k" * 32, algorithm="HS256")


def _require_status(refused: RequestRefused, status: int) -> None:
    assert refused.problem.status == status


def signature(raw: bytes) -> None:
    """A ``Stripe-Signature`` header. Without the secret no accepted header can be made, except the genuine one."""
    header = raw.decode("utf-8", "surrogateescape")
    try:
        verify(BODY, header, (SECRET,), NOW)
    except WebhookRefused:
        return
    assert GENUINE.partition("v1=")[2] in header, "a forged signature was accepted"


def event(raw: bytes) -> None:
    """The body of a webhook whose signature was right."""
    try:
        read_event(raw)
    except WebhookRefused:
        return


def body(raw: bytes) -> None:
    """The body of a request."""
    try:
        parse_json(raw)
    except RequestRefused as refused:
        _require_status(refused, 400)


def key(raw: bytes) -> None:
    """An ``Idempotency-Key``."""
    try:
        found = key_of([raw.decode("latin-1")])
    except RequestRefused as refused:
        _require_status(refused, 400)
        return
    assert found is not None
    assert 16 <= len(found) <= 255


def token(raw: bytes) -> None:
    """A bearer token. The key can't be guessed."""
    try:
        authenticate("Bearer " + raw.decode("latin-1"), RULES)
    except RequestRefused as refused:
        _require_status(refused, 401)
        return
    raise AssertionError("a forged token was accepted")


def amount(raw: bytes) -> None:
    """The text of an amount, and of its currency."""
    code, _, text = raw.decode("utf-8", "replace").partition(" ")
    try:
        money = Money.parse(text, Currency.of(code))
    except PaymentError:
        return
    assert Money.parse(money.major(), money.currency) == money


def url(raw: bytes) -> None:
    """A ``return_url``."""
    origin = origin_of(raw.decode("utf-8", "replace"))
    assert origin is None or origin.startswith(("http://", "https://"))


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each for each in (signature, event, body, key, token, amount, url)
}
SEEDS: Final[Mapping[str, bytes]] = {
    "signature": GENUINE.encode(),
    "event": b'{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1"}}}',
    "body": b'{"amount": "1.00", "tiers": [{"percent": "50"}]}',
    "key": b'"a-key-of-some-length"',
    "token": b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDB9.AAAA",
    "amount": b"usd 100.00",
    "url": b"https://shop.example:443/back?x=1",
}
"""Where to begin: bytes that get far."""
