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

from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import as_response
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.limits import count_failure
from booking_payments.entrypoints.http.problems import TOLD, Problem, Refused, problem_of, reply_to
from booking_payments.entrypoints.pages.rendering import plain
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]
Answer = Response[bytes]
Run = Callable[[AnyRequest, Services], Awaitable[Answer]]

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
    "internal_error": "Something went wrong on our side",
}
"""What a page says first, by the code of the problem: one status stands for several stories."""
OTHERS: Final = {
    400: "That did not work",
    401: "Please open your payment link again",
    402: "The card was declined",
    403: "This form is no longer valid",
    404: "Not found",
    409: "Not possible right now",
    422: "Not possible",
    429: "Too many requests",
}
"""The same for codes without a title of their own, all of them refusals that changed nothing."""


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
            await count_failure(services.limits, request.scope, request.app.state["metrics"])
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
    told = problem_of(error)
    title = title_of(told)
    text = "There is nothing here, or it belongs to somebody else." if told.status == 404 else sentence(told.detail)
    number = request_id_of(request.scope) if told.status >= 500 else None
    headers = error.headers if isinstance(error, Refused) else {}
    return plain("problem.html", {"title": title, "text": text, "number": number}, status=told.status, headers=headers)


def title_of(told: Problem) -> str:
    """The title of a problem on a page."""
    return TITLES.get(told.code) or OTHERS.get(told.status) or HTTPStatus(told.status).phrase


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
