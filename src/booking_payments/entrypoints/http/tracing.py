"""A span for each request, which continues the caller's trace (W3C Trace Context)."""

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from booking_payments.adapters.telemetry.traces import tracer
from booking_payments.entrypoints.http.middleware import request_id_of


def traced_app(app: ASGIApp) -> ASGIApp:
    """``app`` with a span around each request; returned unchanged where spans are not collected."""
    by = tracer()
    return app if by is None else _Traced(app, by)


class _Traced:
    """The span has the route's template and no address: paths and queries may contain secrets."""

    def __init__(self, app: ASGIApp, by: Any) -> None:
        self._app = app
        self._by = by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        method = str(scope.get("method"))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = extract({name: headers[name] for name in ("traceparent", "tracestate") if name in headers})
        with self._by.start_as_current_span(
            method, context=caller, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _set_status(span, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_traced)
            finally:
                route = str(scope.get("path_template") or "other")
                span.update_name(f"{method} {route}")
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", route)
                span.set_attribute("booking_payments.request_id", request_id_of(scope))


def _set_status(span: Any, status: int) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
