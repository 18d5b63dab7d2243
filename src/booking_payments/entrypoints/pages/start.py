"""The start page at ``/``, with links to the pages that are enabled, and the page for addresses that do not exist."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from litestar import get
from litestar.exceptions import HTTPException

from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.page import PUBLIC, AnyRequest, GivenServices, PageResponse, problem_page
from booking_payments.entrypoints.pages.rendering import plain
from booking_payments.runtime.settings import Settings

_JSON_ONLY: Final = ("/api", "/health", "/metrics", "/_sandbox", "/schema")
"""Paths that programs call: errors are problem details in JSON for any ``Accept`` header."""


_OF_A_FORM: Final = "This address can't be opened by itself: a form is sent to it, from its own page."


@get("/", **PUBLIC)
async def start(services: GivenServices) -> PageResponse:
    """The start page."""
    links = links_of(services.settings)
    if not links:
        raise NotFound()
    return plain("start.html", {"links": links}, status=200, headers={})


def links_of(settings: Settings) -> Sequence[tuple[str, str, str]]:
    """Return address, title and description of each part that people open in a browser."""
    console = ("/console/", "Operator console", "Payments, refunds, disputes and events, for people with a login.")
    documents = (
        ("/schema", "HTTP API", "Every call with its fields and errors, to read and to try."),
        ("/schema/openapi.json", "OpenAPI document", "The same for code generators."),
    )
    return [*([console] if settings.console_enabled else []), *(documents if settings.docs_enabled else ())]


def page_of_framework(request: AnyRequest, error: HTTPException) -> PageResponse | None:
    """Return the page for a browser whose address leads nowhere, or is that of a form; None for other errors, and for a
    program, which gets JSON."""
    path = request.scope["path"]
    with_pages = request.app.state["services"].settings
    wants_page = "text/html" in request.headers.get("accept", "")
    if not wants_page or path.startswith(_JSON_ONLY) or not (with_pages.console_enabled or with_pages.checkout_enabled):
        return None
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_page(request, NotFound())
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return problem_page(request, RequestRefused(405, "method_not_allowed", _OF_A_FORM, headers=error.headers))
    return None


PAGES: Final[Sequence[Any]] = (start,)
