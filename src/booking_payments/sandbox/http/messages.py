"""What the sandbox reads and writes: whole requests and whole replies."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from attrs import evolve, field, frozen

from booking_payments.sandbox.emulator import StripeResponse
from booking_payments.sandbox.emulator.errors import Refusal

MAX_BODY: Final = 512 * 1024
"""Bytes (our own choice; the longest evidence of a dispute fits)."""

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Stripe-Version",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
}
"""Lets pages of other origins read an answer."""


@frozen
class Request:
    """``path`` is decoded, ``query`` is not; the names of headers are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


@frozen
class HttpResponse:
    """``content``: JSON to be, or the bytes of a page; ``delay``: how long it is held back."""

    status: int
    content: Any
    headers: Mapping[str, str] = field(factory=dict)
    delay: timedelta = timedelta()

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else msgspec.json.encode(self.content)


def reply_with(answer: StripeResponse) -> HttpResponse:
    """The model's answer on its way to the caller."""
    return HttpResponse(answer.status, answer.body, answer.headers, answer.delay)


def reply_refusing(refusal: Refusal) -> HttpResponse:
    """Stripe's error body, for what did not reach the model."""
    headers = {"Request-Id": f"req_{secrets.token_hex(7)}", **refusal.headers}
    return HttpResponse(refusal.status, {"error": refusal.error}, headers)


def without_body(reply: HttpResponse) -> HttpResponse:
    """The same reply to a HEAD request."""
    return evolve(reply, headers={**reply.headers, "Content-Length": str(len(reply.body))}, content=None)
