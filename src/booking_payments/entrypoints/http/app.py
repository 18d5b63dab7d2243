"""``create_app``: Litestar with the routes of the API and the pages, and the middleware around every request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import Litestar, Request, Router, route
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, ControllerRouterHandler
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from booking_payments.entrypoints.http import (
    audit,
    bookings,
    config,
    events,
    exports,
    health,
    openapi,
    parsing,
    payments,
    refunds,
    sandbox,
    webhooks,
)
from booking_payments.entrypoints.http.auth import Principal, require_declared_access, rules_of
from booking_payments.entrypoints.http.commands import (
    as_response,
    provide_command,
    provide_context,
    provide_parameters,
)
from booking_payments.entrypoints.http.documentation import documentation
from booking_payments.entrypoints.http.gauges import BookGauges
from booking_payments.entrypoints.http.head_requests import headed_app
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.middleware import (
    EXPOSED,
    REQUEST_ID,
    CorrelationMiddleware,
    RequestMiddleware,
    request_id_of,
)
from booking_payments.entrypoints.http.problems import (
    EXPLAINED_ERRORS,
    TOO_LARGE,
    encoded,
    internal_error,
    problem,
    response_to,
)
from booking_payments.entrypoints.http.tracing import traced_app
from booking_payments.entrypoints.pages.site import background_work, pages_of
from booking_payments.entrypoints.pages.start import page_of_framework
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]

OF_CUSTOMERS: Final = (
    bookings.BookingRoutes,
    events.EventRoutes,
    payments.PaymentRoutes,
    payments.listing,
    exports.export,
    refunds.BookingRefundRoutes,
    refunds.PaymentRefundRoutes,
    config.config,
)
"""Routes with a token."""
log = structlog.get_logger("booking_payments.http")


def create_app(services: Services) -> Litestar:
    """The HTTP API over ``services``, ready to be served by any ASGI server."""
    settings = services.settings
    app = Litestar(
        route_handlers=[*api(sandboxed=services.sandbox is not None), *pages_of(services)],
        guards=[require_declared_access],
        exception_handlers={
            HTTPException: _framework_problem,
            **dict.fromkeys(EXPLAINED_ERRORS, _error_response),
            Exception: _unexpected,
        },
        lifespan=[*([_background(services)] if services.background else []), background_work],
        state=State(state_of(services), deep_copy=False),
        openapi_config=documentation(settings) if settings.docs_enabled else None,
        plugins=[openapi.StructSchemas()],
        logging_config=None,
        cors_config=_cross_origin(settings.cors_origins),
        debug=False,
    )
    framed: Any = RequestMiddleware(
        app.asgi_handler, origins=settings.cors_origins, hsts_max_age_s=settings.hsts_max_age_s
    )
    # The client's address and scheme are taken from forwarded headers of the proxies in the settings only.
    proxied = ProxyHeadersMiddleware(framed, trusted_hosts=list(settings.trusted_proxies))
    app.asgi_handler = headed_app(traced_app(cast(ASGIApp, proxied)))
    return app


def state_of(services: Services) -> dict[str, Any]:
    """Return what the routes and the middleware find in the state of an app over ``services``."""
    return {
        "services": services,
        "metrics": metrics_of(services),
        "gauges": BookGauges(),
        "token_rules": rules_of(services.settings),
    }


def metrics_of(services: Services) -> Metrics:
    """Return new metrics, which know the event types of the enabled gateways."""
    plugins = services.settings.plugins.values()
    return Metrics(frozenset().union(*(plugin.event_types() for plugin in plugins)))


def api(*, sandboxed: bool) -> list[ControllerRouterHandler]:
    """The routes of the API, those of the sandbox only where there is one."""
    json_routes: list[ControllerRouterHandler] = [*OF_CUSTOMERS, *([sandbox.authenticate] if sandboxed else [])]
    return [
        _router(
            json_routes,
            dependencies={
                "context": Provide(provide_context),
                "command": Provide(provide_command),
                "parameters": Provide(provide_parameters),
            },
            request_class=parsing.JsonRequest,
            request_max_body_size=parsing.JSON_LIMIT,
            middleware=[CorrelationMiddleware()],
        ),
        _router(
            [webhooks.of_gateway, webhooks.health, health.live, health.ready, health.metrics],
            request_class=parsing.WholeRequest,
            request_max_body_size=parsing.JSON_LIMIT,
        ),
    ]


def _router(handlers: list[ControllerRouterHandler], **shared: Any) -> Router:
    """A router of ``handlers``, with answers to OPTIONS for paths that several of them share: the framework makes one
    with the first handler of a path, which names the methods of that handler only."""
    together = Router("/", route_handlers=handlers)
    shared_paths = [each for each in together.routes if isinstance(each, HTTPRoute) and len(each.methods) > 2]
    return Router("/", route_handlers=[*map(_options, shared_paths), *handlers], **shared)


def _options(of: HTTPRoute) -> HTTPRouteHandler:
    allow = ", ".join(sorted(of.methods))

    async def options() -> Response[None]:
        return Response(content=None, status_code=204, headers={"Allow": allow})

    return route(of.path, http_method=["OPTIONS"], status_code=204, include_in_schema=False)(options)


def api_document(*, sandboxed: bool) -> dict[str, Any]:
    """The OpenAPI document of the API, without an app that serves it."""
    app = Litestar(
        route_handlers=api(sandboxed=sandboxed),
        openapi_config=openapi.config(),
        plugins=[openapi.StructSchemas()],
        logging_config=None,
    )
    return openapi.document(app)


def _cross_origin(origins: tuple[str, ...]) -> CORSConfig | None:
    """Pages of ``origins`` may call with a token; cookies are for no other origin."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", REQUEST_ID],
        expose_headers=list(EXPOSED),
        allow_credentials=False,
    )


def _background(services: Services) -> Any:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        if services.background is not None:
            async with services.background():
                yield

    return lifespan


# --- what went wrong -------------------------------------------------------------------------------------------

_FRAMEWORK: Final = {
    404: ("not_found", "no such path; see /schema for the paths of the API"),
    405: ("method_not_allowed", "this path does not take that method"),
    413: ("too_large", TOO_LARGE),
}


def _error_response(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Respond to an error that maps to a problem of the API."""
    principal = request.scope.get("user")
    response = response_to(error, raw_declines=isinstance(principal, Principal) and principal.is_operator)
    audit.explain(error, response)
    return as_response(response)


def _framework_problem(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Respond to an error of the framework. Its message is left out, because it may repeat parts of the request."""
    if error.status_code >= 500:
        return _unexpected(request, error)
    page = page_of_framework(request, error)
    if page is not None:
        return page
    phrase = HTTPStatus(error.status_code).phrase
    code, detail = _FRAMEWORK.get(error.status_code, ("bad_request", f"the request cannot be understood: {phrase}"))
    headers = dict(error.headers or {})
    return as_response(encoded(problem(error.status_code, code, detail), headers))


def _unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    log.error(
        "request.failed",
        request_id=request_id_of(request.scope),
        method=request.method,
        route=str(request.scope.get("path_template", "")),
        exc_info=error,
    )
    return as_response(internal_error())
