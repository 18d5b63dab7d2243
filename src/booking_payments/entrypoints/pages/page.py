"""A page as a value: its path, who may see it, and how it is run. Everything that goes wrong ends as a page, too."""

import re
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from attrs import frozen
from litestar import Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from booking_payments.domain.errors import NotFound, PaymentError
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import as_response
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.problems import TOLD, Refused, reply_to, status_of
from booking_payments.entrypoints.http.services import Services
from booking_payments.entrypoints.pages.rendering import plain
from booking_payments.ports.storage import CommitLost

AnyRequest = Request[Any, Any, Any]
Answer = Response[bytes]
Run = Callable[[AnyRequest, Services], Awaitable[Answer]]

log = structlog.get_logger("booking_payments.pages")

TITLES: Final = {
    400: "That did not work",
    401: "Please open your payment link again",
    403: "This form is no longer valid",
    404: "Not found",
    409: "Not possible right now",
    422: "Not possible",
    429: "Too many requests",
    500: "Something went wrong on our side",
    502: "The payment provider refused the request",
    503: "The payment provider cannot be reached",
}


@frozen(kw_only=True)
class Page:
    """The declaration. ``own_problems``: errors of this route are JSON, since a script reads them."""

    method: str
    path: str
    access: Access
    run: Run
    own_problems: bool = False


class Gone(Exception):  # noqa: N818 - it leads elsewhere, it is no failure
    """The browser is sent to another address of ours (303)."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def page(
    method: str, path: str, access: Access = Access.BROWSER, *, own_problems: bool = False
) -> Callable[[Run], Page]:
    """Declare a page."""

    def declare(run: Run) -> Page:
        return Page(method=method, path=path, access=access, run=run, own_problems=own_problems)

    return declare


def handlers(pages: Iterable[Page]) -> list[HTTPRouteHandler]:
    """The framework's handlers of ``pages``."""
    return [_handler(each) for each in pages]


def _handler(each: Page) -> HTTPRouteHandler:
    async def handle(request: AnyRequest) -> Answer:
        return await _run(each, request, request.app.state["services"])

    handle.__name__ = f"page_{each.method.lower()}_{re.sub(r'[^a-z]+', '_', each.path)}"
    declare = route(
        re.sub(r"\{(\w+)\}", r"{\1:str}", each.path).rstrip("/"),
        http_method=[each.method],  # type: ignore[list-item]
        opt={"access": each.access},
        request_max_body_size=door.JSON_LIMIT,
        include_in_schema=False,
    )
    return declare(handle)


async def _run(each: Page, request: AnyRequest, services: Services) -> Answer:
    answer = await _answer(each, request, services)
    if answer.status_code == HTTPStatus.UNAUTHORIZED and services.limits is not None:
        try:  # guesses at a token count together with those over the API
            await services.limits.count_failure(request.scope, request.app.state["metrics"])
        except Refused as refused:
            return problem_page(request, refused)
    return answer


async def _answer(each: Page, request: AnyRequest, services: Services) -> Answer:
    try:
        return await each.run(request, services)
    except Gone as gone:
        return see_other(gone.location)
    except Refused as refused:
        return as_response(refused.reply) if each.own_problems else problem_page(request, refused)
    except TOLD as error:
        return as_response(reply_to(error)) if each.own_problems else problem_page(request, error)
    except Exception as error:
        log.error("unexpected error", request_id=request_id_of(request.scope), page=each.path, exc_info=error)
        return problem_page(request, error)


def problem_page(request: AnyRequest, error: Exception) -> Answer:
    """What went wrong, as a page. Of errors of our own nothing is told."""
    if isinstance(error, Refused):
        status, text = error.problem.status, error.problem.detail
    else:
        status, text = _told(error)
    title = TITLES.get(status, HTTPStatus(status).phrase)
    number = request_id_of(request.scope) if status >= 500 else None
    headers = error.headers if isinstance(error, Refused) else {}
    return plain("problem.html", {"title": title, "text": text, "number": number}, status=status, headers=headers)


def _told(error: Exception) -> tuple[int, str]:
    status = status_of(error)
    if status < 500 and isinstance(error, NotFound):
        return status, "There is nothing here, or it belongs to somebody else."
    if isinstance(error, PaymentError) and status != 500:
        return status, sentence(error.message)
    if isinstance(error, CommitLost):
        return status, "Whether this was done is not known yet and is being found out. Look at the payment first."
    if status == 503:
        return status, "Too much is going on at once. Try again in a moment."
    return 500, "It has been logged. Try again in a moment."


def sentence(text: str) -> str:
    """A message as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def see_other(location: str) -> Answer:
    """Send the browser to another address of ours, to be read with GET."""
    return Response(content=b"", status_code=303, headers={"Location": location}, media_type="text/plain")


def as_json(content: object, status: int = 200) -> Answer:
    """An answer for a script of ours."""
    return Response(content=msgspec.json.encode(content), status_code=status, media_type="application/json")


def path_id(request: AnyRequest, name: str) -> str:
    """The id in the path. Raises ``NotFound`` for text that can be none."""
    text = str(request.path_params[name])
    if not door.is_id(text):
        raise NotFound()
    return text
