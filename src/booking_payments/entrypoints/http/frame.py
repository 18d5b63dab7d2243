"""The frame around every request: its id, its size, the headers of its answer, and how long it took."""

import re
import secrets
import time
from collections.abc import Mapping
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from booking_payments.entrypoints.http.door import HEADERS_LIMIT, may_be_kept
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import as_reply, problem

REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,64}")

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not set its own."""

_ENCODED: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())


def request_id_of(scope: Scope) -> str:
    """The id of this request: the client's ``X-Request-Id`` when it is a plain short one, else our own."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID.lower().encode()), b"")
        fits = _REQUEST_ID.fullmatch(given) and may_be_kept(given.decode("ascii"))
        state["request_id"] = given.decode("ascii") if fits else f"req_{secrets.token_hex(12)}"
    return str(state["request_id"])


class Frame:
    """Wraps the whole app, so that the framework's own answers are framed too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, statuses = time.perf_counter(), [500]

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses[0] = message["status"]
                message["headers"] = _framed(message["headers"], request_id_of(scope))
            await send(message)

        try:
            await self._serve(scope, receive, framed)
        finally:
            template = str(scope.get("path_template") or "other")
            metrics: Metrics = scope["litestar_app"].state["metrics"]
            metrics.request(str(scope.get("method")), template, statuses[0], time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_LIMIT:
            await _refuse_headers(send)
        else:
            await self._app(scope, receive, send)


def _framed(headers: object, request_id: str) -> list[tuple[bytes, bytes]]:
    given = [(name.lower(), value) for name, value in headers]  # type: ignore[attr-defined]
    present = {name for name, _ in given}
    ours = (*_ENCODED, (b"x-request-id", request_id.encode()))
    return given + [(name, value) for name, value in ours if name not in present]


async def _refuse_headers(send: Send) -> None:
    detail = f"the request's headers are too large; {HEADERS_LIMIT // 1024} KiB are allowed"
    reply = as_reply(problem(413, "too_large", detail))
    headers = [
        (b"content-type", reply.media_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
