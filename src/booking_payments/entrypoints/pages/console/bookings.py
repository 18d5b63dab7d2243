"""Bookings: the list with its search, and the page of one booking with its actions."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import get

from booking_payments.application.booking_overview import BookingOverview, booking_overview
from booking_payments.application.callers import Caller
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import InvalidInput
from booking_payments.entrypoints.http.commands import OperationResult
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
    path_id,
    sentence,
)
from booking_payments.ports.bookings import BookingFilter, BookingPage
from booking_payments.presentation import render
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.runtime.services import Services

PAGE_SIZE: Final = 25
PATH: Final = "/console/bookings"
DONE: Final = {
    "amended": (True, "The booking is changed."),
    "canceled": (True, "The booking is canceled."),
    "seats": (True, "The seats are given back. The booking keeps the remaining seats."),
    "refused": (
        False,
        "The booking is changed, but the gateway refused the refund. The amount is owed: refund it on the payment's "
        "page when the reason is gone, or settle it.",
    ),
    "unknown": (
        False,
        "It is not known yet whether this was done; this is being found out. Look at this page again in a minute "
        "before you repeat it.",
    ),
}
"""Message on the page of a booking about the last action, by its code, and whether the action succeeded."""

STALE: Final = ("version_conflict", "quote_changed", "item_unknown", "item_given_back", "already_paid")
"""Codes of refusals of a form that is out of date."""

WORDS: Final = {
    "event_in_past": "The new date lies in the past: write a later one.",
    "grace_in_past": "The time until which everything goes back lies in the past: write a later one, or none.",
    "expiry_in_past": "The time until which the booking can be paid lies in the past: write a later one.",
    "expires_after_event": "A booking can be paid until its event begins, at the latest: write an earlier time.",
}
"""The texts for refusals whose messages name a field of the interface."""


# --- the list --------------------------------------------------------------------------------------------------


@get(PATH, **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Bookings, newest first."""
    wanted = search.get("q")
    if wanted and await services.storage.read(lambda uow: uow.bookings.get(wanted)) is not None:
        raise SeeOther(f"{PATH}/{wanted}")
    page: BookingPage | None = None
    problem: str | None = None
    try:
        page = await _found(services, search)
    except InvalidInput as error:
        problem = sentence(error.message)
    context: dict[str, Any] = {
        "bookings": page.items if page else (),
        "next_cursor": page.next_cursor if page else None,
        "problem": problem,
        "search": search,
        "filtered": any(search.get(name) for name in ("q", "event", "status")),
        "statuses": list(BookingStatus),
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/bookings.html", "bookings", context, status=400 if problem else 200)


async def _found(services: Services, search: Form) -> BookingPage:
    """Return the bookings that fit the form. Raises ``InvalidInput`` for a field that can't be understood."""
    status = search.get("status")
    if status and status not in [each.value for each in BookingStatus]:
        raise InvalidInput("there is no such status")
    which = BookingFilter(
        text=search.get("q") or None,
        event_id=search.get("event") or None,
        status=BookingStatus(status) if status else None,
    )
    return await services.payments.list_bookings(which, cursor=search.get("cursor") or None, limit=PAGE_SIZE)


# --- one booking -----------------------------------------------------------------------------------------------


@get(f"{PATH}/{{booking_id:str}}", **BROWSER)
async def one(request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show a booking with its actions."""
    overview = await overview_of(request, services)
    context: dict[str, Any] = {
        "overview": overview,
        "booking": overview.booking,
        "status_style": STATUS_STYLE,
        "done": DONE.get(search.get("done")),
    }
    return operator.page("console/booking.html", "bookings", context)


async def overview_of(request: AnyRequest, services: Services) -> BookingOverview:
    """Return the booking in the path. Raises ``NotFound``."""
    return await booking_overview(services.storage, path_id(request, "booking_id"))


# --- shared by the forms of a booking -------------------------------------------------------------------------


def version_typed(form: Form) -> int:
    """Return the booking's version that the form names. Raises ``RequestRefused`` for a form without it."""
    text = form.get("version")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RequestRefused(400, "invalid_input", "open this form from the booking's page")
    return int(text)


def message_of(problem: ProblemDetails) -> str:
    """Return the error, with a note about the new state when the form is out of date."""
    if problem.code in STALE:
        return f"{sentence(problem.detail)} What you see now is the new state; nothing was done."
    return in_words(problem.code, problem.detail)


def in_words(code: str, message: str) -> str:
    """Return the sentence about a refusal with this code: an own text, or else its message."""
    return WORDS.get(code) or sentence(message)


def outcome_of(problem: ProblemDetails | None, done: str) -> str | None:
    """Return the message for the booking's page, a key of ``DONE``; None when the form has to be shown again."""
    if problem is None:
        return done
    if problem.outcome_unknown:
        return "unknown"
    return "refused" if problem.code == "refund_refused" else None


def described(
    operator: OperatorContext, change: Callable[[Caller], Awaitable[Booking]]
) -> Callable[[Caller], Awaitable[OperationResult]]:
    """Return the work of a form: run ``change``, with the booking as its result."""

    async def work(caller: Caller) -> OperationResult:
        booking = await change(caller)
        view = await operator.services.payments.describe_booking(booking.id)
        return OperationResult(content=render.booking(view), reference=booking.reference)

    return work


PAGES: Final = (listing, one)
