"""Shared by all pages: their router, the dependencies of handlers, and the pages for errors."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from attrs import evolve
from litestar import Request, Router
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.response import Response

from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import as_response
from booking_payments.entrypoints.http.limits import count_failure
from booking_payments.entrypoints.http.limits import count_log_in as count_log_in_of_address
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import (
    EXPLAINED_ERRORS,
    ProblemDetails,
    RequestRefused,
    problem_of,
    response_to,
)
from booking_payments.entrypoints.pages.appearance import appearance_of, language_of
from booking_payments.entrypoints.pages.customer_texts import BACK_TO_BOOKING, problem_text, problem_title
from booking_payments.entrypoints.pages.forms import Form, read_search
from booking_payments.entrypoints.pages.language import Language
from booking_payments.entrypoints.pages.rendering import plain
from booking_payments.presentation.formatting import with_printed_amounts
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import Settings

AnyRequest = Request[Any, Any, Any]
PageResponse = Response[bytes]

log = structlog.get_logger("booking_payments.pages")

TITLES: Final = {
    "outcome_unknown": "It is not known yet whether this was done",
    "gateway_unavailable": "The payment provider cannot be reached",
    "gateway_refused": "The payment provider refused the request",
    "refund_refused": "The payment provider refused the refund",
    "contradiction": "The payment provider reports something else",
    "storage_unavailable": "Our database cannot be reached",
    "busy": "Too much is going on at once",
    "operation_in_flight": "This payment is being worked on",
    "missing_role": "You may look, and not act",
    "session_ended": "You are logged out",
    "internal_error": "Something went wrong on our side",
}
"""Title of an error page by the problem's code, for statuses that stand for several problems."""
OTHERS: Final = {
    400: "That did not work",
    401: "Please open your payment link again",
    402: "The card was declined",
    403: "This form is no longer valid",
    404: "Not found",
    405: "This address takes a form",
    409: "Not possible right now",
    422: "Not possible",
    429: "Too many requests",
}
"""Titles by status, for codes without an own title. All of these requests were refused and changed nothing."""


CHECKOUT: Final = "/checkout/"
"""The beginning of the paths of pages that customers see."""

BROWSER: Final[Mapping[str, Any]] = {"opt": {"access": Access.BROWSER}, "status_code": 200}
"""Arguments of ``@get`` and ``@post`` for a page that checks the browser's token itself."""

PUBLIC: Final[Mapping[str, Any]] = {"opt": {"access": Access.PUBLIC}, "status_code": 200}
"""The same for a public page."""


class SeeOther(Exception):  # noqa: N818 - a redirect is not an error
    """Raised by a handler to redirect (303) to another page of this service."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def pages(handlers: Sequence[HTTPRouteHandler], dependencies: Mapping[str, Provide]) -> Router:
    """Return a router whose errors are rendered as pages. ``dependencies`` are added to ``services`` and ``search``."""
    shared = {"services": Provide(provide_services), "search": Provide(provide_search)}
    return Router(
        "/",
        route_handlers=list(handlers),
        dependencies={**shared, **dependencies},
        exception_handlers={
            SeeOther: _elsewhere,
            **dict.fromkeys(EXPLAINED_ERRORS, problem_page),
            Exception: _unexpected,
        },
        request_class=parsing.WholeRequest,
        request_max_body_size=parsing.JSON_LIMIT,
        include_in_schema=False,
    )


async def provide_services(request: AnyRequest) -> Services:
    """Return the application's services."""
    services: Services = request.app.state["services"]
    return services


async def provide_search(request: AnyRequest) -> Form:
    """Return the fields of the query string. Raises ``RequestRefused`` (400) when it cannot be parsed."""
    return read_search(request)


GivenServices = NamedDependency[SkipValidation[Services]]
GivenForm = NamedDependency[SkipValidation[Form]]


async def count_guess(request: AnyRequest) -> None:
    """Count a request without a valid token, together with those to the API.

    Raises:
        RequestRefused: (429) too many came from this client address.
    """
    limits = request.app.state["services"].limits
    if limits is not None:
        await count_failure(limits, request.scope, request.app.state["metrics"])


async def count_log_in(request: AnyRequest) -> None:
    """Count a log-in for which the OpenID provider is to be asked.

    Raises:
        RequestRefused: (429) too many came from this client address.
    """
    limits = request.app.state["services"].limits
    if limits is not None:
        await count_log_in_of_address(limits, request.scope, request.app.state["metrics"])


def _elsewhere(_: AnyRequest, error: SeeOther) -> PageResponse:
    return see_other(error.location)


def json_problem(request: AnyRequest, error: Exception) -> PageResponse:
    """Return an error as JSON, for a route that the checkout's script calls. Its text is for the customer."""
    response, problem = response_to(error), problem_of(error)
    problem.detail = problem.error = problem_text(problem, language_of(request, booking_of(request)))
    return as_response(evolve(response, body=msgspec.json.encode(problem)))


JSON_PROBLEMS: Final[Mapping[str, Any]] = {"exception_handlers": dict.fromkeys(EXPLAINED_ERRORS, json_problem)}
"""Arguments for a route that a page's script calls: its errors are JSON."""


def _unexpected(request: AnyRequest, error: Exception) -> PageResponse:
    page = str(request.scope.get("path_template", ""))
    log.error("page.failed", request_id=request_id_of(request.scope), page=page, exc_info=error)
    return problem_page(request, error)


def problem_page(request: AnyRequest, error: Exception) -> PageResponse:
    """Render an error as a page. An internal error shows no detail except the request id."""
    problem = problem_of(error)
    title = title_of(problem)
    text = "This page does not exist, or you may not see it." if problem.status == 404 else sentence(problem.detail)
    number = request_id_of(request.scope) if problem.status >= 500 else None
    headers = error.headers if isinstance(error, RequestRefused) else {}
    path, settings = str(request.scope.get("path", "")), request.app.state["services"].settings
    if not path.startswith(CHECKOUT):
        context = {"title": title, "text": text, "number": number, "back": _way_back(path, settings)}
        return plain("problem.html", context, status=problem.status, headers=headers)
    language, appearance = language_of(request, booking_of(request)), appearance_of(settings)
    context = {
        "title": problem_title(problem.status, language),
        "text": problem_text(problem, language),
        "number": number,
        "back": _way_back_of_customer(path, problem.status, language),
    }
    return plain(
        "problem.html", context, status=problem.status, headers=headers, appearance=appearance, language=language
    )


def _way_back(path: str, settings: Settings) -> tuple[str, str] | None:
    """Return address and title of the page that an error page leads to; None when there is none."""
    if path.startswith("/console"):
        return "/console/", "Back to the console"
    return ("/", "To the start page") if settings.console_enabled or settings.docs_enabled else None


def _way_back_of_customer(path: str, status: int, language: Language) -> tuple[str, str] | None:
    """Return address and title of the checkout page; None where that would be the same error again: without a token,
    and for a booking that does not exist for this customer."""
    booking_id = path.removeprefix(CHECKOUT).partition("/")[0]
    if status in (401, 404) or not parsing.is_id(booking_id):
        return None
    return f"{CHECKOUT}{booking_id}", language.gettext(BACK_TO_BOOKING)


_BOOKING: Final = "booking"


def remember_booking(request: AnyRequest, booking: Booking) -> None:
    """Keep the booking of a request, so that a page about an error is in its language."""
    request.scope["state"][_BOOKING] = booking


def booking_of(request: AnyRequest) -> Booking | None:
    """Return the booking of this request; None as long as it has not been read for its customer."""
    booking: Booking | None = request.scope.get("state", {}).get(_BOOKING)
    return booking


def title_of(problem: ProblemDetails) -> str:
    """Return the page title of a problem."""
    return TITLES.get(problem.code) or OTHERS.get(problem.status) or HTTPStatus(problem.status).phrase


def sentence(text: str) -> str:
    """Return the message with a capital letter, a full stop, and its amounts as the pages print them."""
    text = with_printed_amounts(text)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def see_other(location: str) -> PageResponse:
    """Redirect to another page of this service, which the browser loads with GET."""
    return Response(content=b"", status_code=303, headers={"Location": location}, media_type="text/plain")


def as_json(content: object, status: int = 200) -> PageResponse:
    """Return a JSON response for a page's script."""
    return Response(content=msgspec.json.encode(content), status_code=status, media_type="application/json")


def path_id(request: AnyRequest, name: str) -> str:
    """Return the id in the path. Raises ``NotFound`` when the text cannot be an id."""
    text = str(request.path_params[name])
    if not parsing.is_id(text):
        raise NotFound()
    return text
