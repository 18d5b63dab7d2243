"""``create_app``: routes made of the endpoints' declarations, with the frame, the guard and the problems around."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import Litestar, Request, route
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from booking_payments.entrypoints.http import (
    audit,
    bookings,
    config,
    health,
    openapi,
    payments,
    refunds,
    sandbox,
    webhooks,
)
from booking_payments.entrypoints.http.auth import require_declared_access, rules_of
from booking_payments.entrypoints.http.direct import Direct
from booking_payments.entrypoints.http.endpoint import Endpoint, as_response
from booking_payments.entrypoints.http.frame import EXPOSED, REQUEST_ID, Frame, request_id_of
from booking_payments.entrypoints.http.gauges import BookGauges
from booking_payments.entrypoints.http.heads import headed_app
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import (
    TOLD,
    TOO_LARGE,
    Reply,
    as_reply,
    internal_error,
    problem,
    reply_to,
)
from booking_payments.entrypoints.http.tracing import traced_app
from booking_payments.entrypoints.pages.site import pages_of, running_reconciliations
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]

RESOURCES: Final = (bookings, payments, refunds, config, webhooks, health)
log = structlog.get_logger("booking_payments.http")


def create_app(services: Services) -> Litestar:
    """The HTTP API over ``services``, ready to be served by any ASGI server."""
    declared = endpoints(sandboxed=services.sandbox is not None)
    settings = services.settings
    hidden = [*declared, *(openapi.ENDPOINTS if settings.docs_enabled else ())]
    state = {
        "services": services,
        "metrics": Metrics(),
        "gauges": BookGauges(),
        "token_rules": rules_of(settings),
        "document": openapi.document(declared),
    }
    app = Litestar(
        route_handlers=[*_methods_of(hidden), *(_route(each) for each in hidden), *pages_of(services)],
        guards=[require_declared_access],
        exception_handlers={
            HTTPException: _framework_problem,
            **dict.fromkeys(TOLD, _told),
            Exception: _unexpected,
        },
        lifespan=[*([_background(services)] if services.background else []), running_reconciliations],
        state=State(state, deep_copy=False),
        openapi_config=None,
        logging_config=None,
        cors_config=_cross_origin(settings.cors_origins),
        debug=False,
    )
    framed: Any = Frame(
        app.asgi_handler,
        direct=Direct.of(declared),
        origins=settings.cors_origins,
        hsts_max_age_s=settings.hsts_max_age_s,
    )
    # Who calls, and whether by TLS: what the settings' proxies say of it, and nobody else.
    proxied = ProxyHeadersMiddleware(framed, trusted_hosts=list(settings.trusted_proxies))
    app.asgi_handler = headed_app(traced_app(cast(ASGIApp, proxied)))
    return app


def _cross_origin(origins: tuple[str, ...]) -> CORSConfig | None:
    """Pages of ``origins`` may call with a token; cookies are for no other origin."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID],
        expose_headers=list(EXPOSED),
        allow_credentials=False,
    )


def endpoints(*, sandboxed: bool) -> list[Endpoint]:
    """All endpoints of the API, those of the sandbox only where there is one."""
    resources = (*RESOURCES, sandbox) if sandboxed else RESOURCES
    return [each for resource in resources for each in resource.ENDPOINTS]


def _methods_of(declared: Sequence[Endpoint]) -> Iterator[HTTPRouteHandler]:
    """The answers to OPTIONS for paths that several endpoints share: the framework's own names the first one's method
    only. They come before the endpoints, so that the framework makes none."""
    taken: dict[str, list[str]] = {}
    for each in declared:
        taken.setdefault(each.route, []).append(each.method)
    for path, methods in taken.items():
        if len(methods) > 1:
            yield _options(path, ", ".join(sorted([*methods, "OPTIONS"])))


def _options(path: str, allow: str) -> HTTPRouteHandler:
    async def options() -> Response[None]:
        return Response(content=None, status_code=204, headers={"Allow": allow})

    return route(path, http_method=["OPTIONS"], status_code=204, include_in_schema=False)(options)


def _route(each: Endpoint) -> HTTPRouteHandler:
    async def handle(request: AnyRequest) -> Response[bytes]:
        return as_response(await each.run(request, request.app.state["services"]))

    handle.__name__ = f"{each.method.lower()}_{each.path.strip('/')}"
    declare = route(
        each.route or "/",
        http_method=[each.method],  # type: ignore[list-item]
        opt={"access": each.access, "endpoint": each},
        request_max_body_size=each.body_limit,
        include_in_schema=False,
    )
    return declare(handle)


def _background(services: Services) -> Any:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        if services.background is not None:
            async with services.background():
                yield

    return lifespan


# --- what went wrong -------------------------------------------------------------------------------------------

_FRAMEWORK: Final = {
    404: ("not_found", "there is nothing here; see /schema for what there is"),
    405: ("method_not_allowed", "this path does not take that method"),
    413: ("too_large", TOO_LARGE),
}


def _told(_: AnyRequest, error: Exception) -> Response[bytes]:
    """What was met before or after the work of an endpoint, by its ``Idempotency-Key`` for example."""
    reply = reply_to(error)
    audit.explain(error, reply)
    return as_response(reply)


def _framework_problem(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """The framework's own errors, without its words: those may repeat what came in."""
    if error.status_code >= 500:
        return _unexpected(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    code, detail = _FRAMEWORK.get(error.status_code, ("bad_request", f"the request cannot be understood: {phrase}"))
    headers = dict(error.headers or {})
    return as_response(as_reply(problem(error.status_code, code, detail), headers))


def _unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    log.error(
        "unexpected error",
        request_id=request_id_of(request.scope),
        method=request.method,
        route=str(request.scope.get("path_template", "")),
        exc_info=error,
    )
    reply: Reply = internal_error()
    return as_response(reply)


def paths(declared: Iterable[Endpoint]) -> list[str]:
    """The documented paths, for help texts and tests."""
    return sorted({each.path for each in declared})
