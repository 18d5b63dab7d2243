"""Middleware around every request: request id, limits of size and rate, response headers, and duration."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.head_requests import allowing_head
from booking_payments.entrypoints.http.limits import count_request
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.parsing import HEADERS_LIMIT, TARGET_LIMIT, may_be_kept
from booking_payments.entrypoints.http.problems import EncodedResponse, RequestRefused
from booking_payments.runtime.rate_limits import RateLimits

_IDS: Final = RandomIds()
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
"""Headers of every response that does not set them itself."""
EXPOSED: Final = (REQUEST_ID, "Idempotent-Replayed", "Retry-After")

_ENCODED: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())


def request_id_of(scope: Scope) -> str:
    """Return the id of this request: the client's ``X-Request-Id`` if it is short and plain, or a generated one."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID.lower().encode()), b"")
        fits = _REQUEST_ID.fullmatch(given) and may_be_kept(given.decode("ascii"))
        state["request_id"] = given.decode("ascii") if fits else _IDS.new("req")
    return str(state["request_id"])


class RequestMiddleware:
    """Wraps the whole app, so that the framework's own responses have the headers too.

    Litestar's own middleware runs after the router, and does not see requests that the router refuses.

    Args:
        app: the app to wrap.
        origins: origins whose pages may read the responses.
        hsts_max_age_s: seconds for which browsers must use TLS only; with 0 no HSTS header is sent.
    """

    def __init__(self, app: ASGIApp, *, origins: Iterable[str] = (), hsts_max_age_s: int = 0) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._hsts = f"max-age={hsts_max_age_s}" if hsts_max_age_s else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, statuses = time.perf_counter(), [500]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses[0] = message["status"]
                message["headers"] = _with_headers(message["headers"], self._ours(scope))
            await send(message)

        try:
            await self._serve(scope, receive, send_with_headers)
        except RequestRefused as refused:
            await _send(refused.response, send_with_headers)
        finally:
            template = str(scope.get("path_template") or "other")
            metrics: Metrics = scope["litestar_app"].state["metrics"]
            metrics.request(str(scope.get("method")), template, statuses[0], time.perf_counter() - began)

    def _ours(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the headers that are added unless the response has them."""
        ours = [*_ENCODED, (b"x-request-id", request_id_of(scope).encode())]
        if self._hsts and scope["scheme"] == "https":
            ours.append((b"strict-transport-security", self._hsts.encode()))
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        if origin in self._origins:
            # Refusals need these headers, too: without them a page's script can't read ``Retry-After``.
            ours += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
                (b"vary", b"Origin"),
            ]
        return ours

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_LIMIT:
            raise headers_too_large()
        if parsing.target_length(scope) > TARGET_LIMIT:
            raise target_too_long()
        state = scope["litestar_app"].state
        limits: RateLimits | None = state["services"].limits
        if limits is not None:
            await count_request(limits, scope, state["metrics"])
        if not parsing.is_plain_path(scope):
            raise RequestRefused(
                404, "not_found", "no such path; write each slash of the path once, without percent-encoding"
            )
        scope["path"] = parsing.bounded_path(scope["path"])
        await self._app(scope, receive, send)


class CorrelationMiddleware(ASGIMiddleware):
    """Adds the request id as ``correlation_id`` to all log lines of a request."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        with bound_contextvars(correlation_id=request_id_of(scope)):
            await next_app(scope, receive, send)


def _with_headers(headers: object, ours: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = [(name.lower(), value) for name, value in headers]  # type: ignore[attr-defined]
    given = [(name, allowing_head(value) if name == b"allow" else value) for name, value in given]
    present = {name for name, _ in given}
    return given + [(name, value) for name, value in ours if name not in present]


def headers_too_large() -> RequestRefused:
    """Return the error 413 for headers beyond the limit; it closes the connection, since the rest is not read."""
    detail = f"the request's headers are too large; {HEADERS_LIMIT // 1024} KiB are allowed"
    return RequestRefused(413, "too_large", detail, headers={"Connection": "close"})


def target_too_long() -> RequestRefused:
    """Return the error 414 for an address beyond the limit; it closes the connection, since the rest is not read."""
    detail = f"the address is too long; {TARGET_LIMIT // 1024} KiB are allowed for path and query together"
    return RequestRefused(414, "uri_too_long", detail, headers={"Connection": "close"})


async def _send(response: EncodedResponse, send: Send) -> None:
    given = {
        "Content-Type": response.media_type,
        "Content-Length": str(len(response.body)),
        **response.headers,
    }
    headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
