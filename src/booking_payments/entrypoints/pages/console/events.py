"""Events: the list of future ones, the page of one with its sums and its job, and canceling or moving it after a
preview. The job runs in the background. The event's page shows its progress, and reloads until it has ended.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.event_jobs import EventPreview
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import require_event_id
from booking_payments.domain.errors import InvalidInput, NotFound, PaymentError
from booking_payments.domain.texts import require_reason
from booking_payments.entrypoints.http.commands import OperationResult
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.console.bookings import in_words
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.form_actions import FormAction, problem_in, run_form_action
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.moments import field_of, moment_in_address, moment_typed
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
from booking_payments.ports.event_jobs import BookingOutcome, EventJob, EventJobKind, EventJobState, UpcomingEvent
from booking_payments.presentation import render
from booking_payments.presentation.event_csv import rows
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.presentation.tables import BYTE_ORDER_MARK

PATH: Final = "/console/events"
PAGE_SIZE: Final = 20
LISTED: Final = 50
"""How many bookings that need attention the page of an event lists; the report as CSV has all."""

DONE: Final = {
    "canceled": (True, "The event is canceled. A job cancels its bookings and gives their money back."),
    "moved": (True, "The event is moved. A job gives its bookings the new date."),
}


class CancelForm(msgspec.Struct):
    """The fields of the form."""

    refund: str
    reason: str


class MoveForm(msgspec.Struct):
    """The fields of the form: times as typed, in UTC."""

    starts: str
    grace: str


# --- the list --------------------------------------------------------------------------------------------------


@get(PATH, **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """List events that have not started, the earliest first; ``q`` finds any event by its id."""
    wanted, problem = search.get("q"), None
    if wanted:
        try:
            await services.payments.event_report(require_event_id(wanted))
        except (NotFound, InvalidInput):
            problem = "No event has this id. Event ids are compared letter by letter."
        else:
            raise SeeOther(f"{PATH}/{wanted}")
    try:
        page = await services.payments.upcoming_events(after=_after(search), limit=PAGE_SIZE)
    except InvalidInput as error:
        page, problem = None, sentence(error.message)
    context: dict[str, Any] = {
        "events": page.items if page else (),
        "last": page.last if page else None,
        "search": search,
        "problem": problem,
        "unreadable": page is None,
        "status_style": STATUS_STYLE,
    }
    status = 200 if page and not problem else 404 if page else 400
    return operator.page("console/events.html", "events", context, status=status)


def _after(search: Form) -> UpcomingEvent | None:
    """Return the event after which the page begins. Raises ``InvalidInput``."""
    text, event_id = search.get("after"), search.get("id")
    if not text and not event_id:
        return None
    return UpcomingEvent(event_id=require_event_id(event_id), starts_at=moment_in_address(text), bookings=0)


# --- one event -------------------------------------------------------------------------------------------------


@get(f"{PATH}/{{event_id:str}}", **BROWSER)
async def one(request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show an event with its sums, its job and its actions."""
    event_id = path_id(request, "event_id")
    overview = await services.payments.event_overview(event_id, attention=LISTED)
    report = overview.report
    counts = {outcome: report.counts.get(outcome, 0) for outcome in BookingOutcome}
    done = sum(number for outcome, number in counts.items() if outcome is not BookingOutcome.WAITING)
    job = report.job
    context: dict[str, Any] = {
        "event_id": event_id,
        "overview": overview,
        "report": report,
        "job": job,
        "counts": {outcome.value: number for outcome, number in counts.items()},
        "processed": done,
        "running": job is not None and job.state is EventJobState.RUNNING,
        "is_canceled": job is not None and job.kind is EventJobKind.CANCEL,
        "done": DONE.get(search.get("done")),
        "key": services.ids.idempotency_key(),
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/event.html", "events", context)


@get(f"{PATH}/{{event_id:str}}/report.csv", **BROWSER)
async def report_csv(request: AnyRequest, services: GivenServices, operator: GivenOperator) -> PageResponse:
    """Return the report of the event's newest job as CSV, one row for each booking. Raises ``NotFound`` without a
    job.
    """
    event_id = path_id(request, "event_id")
    report = await services.payments.event_report(event_id)
    if report.job is None:
        raise NotFound("no job of this event")
    text = BYTE_ORDER_MARK + "".join([row async for row in rows(services.payments.each_event_line(event_id))])
    headers = {"Content-Disposition": f'attachment; filename="{event_id}.csv"'}
    return Response(content=text.encode(), media_type="text/csv", headers=headers)


# --- canceling -------------------------------------------------------------------------------------------------


@get(f"{PATH}/{{event_id:str}}/cancel", **BROWSER)
async def cancel_page(request: AnyRequest, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show the effect of canceling the event."""
    return await _cancel_page(operator, path_id(request, "event_id"), search)


@post(f"{PATH}/{{event_id:str}}/cancel", **BROWSER)
async def cancel(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Cancel the event, once per form; for a canceled event, retry what failed."""
    event_id = path_id(request, "event_id")
    try:
        given = CancelForm(refund=_mode(form).value, reason=_reason(form))
    except RequestRefused as refused:
        return await _cancel_page(operator, event_id, form, refused.problem)

    async def begin(caller: Caller) -> EventJob:
        await services.payments.event_report(event_id)  # an id without bookings is a mistake
        refund, reason = RefundOnCancel(given.refund), given.reason or None
        return await services.payments.cancel_event(event_id, caller, refund=refund, reason=reason)

    problem = await _do(request, operator, form, "cancel_event", given, begin)
    if problem is None:
        raise SeeOther(f"{PATH}/{event_id}?done=canceled")
    return await _cancel_page(operator, event_id, form, problem)


async def _cancel_page(
    operator: OperatorContext, event_id: str, form: Form, problem: ProblemDetails | None = None
) -> PageResponse:
    preview: EventPreview | None = None
    message = sentence(problem.detail) if problem else None
    try:
        preview = await operator.services.payments.preview_event(event_id, refund=_mode(form))
    except RequestRefused as refused:
        message = message or sentence(refused.problem.detail)
    context: dict[str, Any] = {
        "event_id": event_id,
        "preview": preview,
        "refund": form.get("refund") or RefundOnCancel.FULL.value,
        "problem": message,
        "form": form,
        "key": operator.services.ids.idempotency_key(),
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/event_cancel.html", "events", context, status=problem.status if problem else 200)


def _mode(form: Form) -> RefundOnCancel:
    text = form.get("refund") or RefundOnCancel.FULL.value
    if text not in [each.value for each in RefundOnCancel]:
        raise RequestRefused(400, "invalid_input", "choose what goes back")
    return RefundOnCancel(text)


def _reason(form: Form) -> str:
    reason = form.safe("reason")
    try:
        require_reason(reason or None)
    except InvalidInput as error:
        raise RequestRefused(400, "invalid_input", error.message) from None
    return reason


# --- moving ----------------------------------------------------------------------------------------------------


@get(f"{PATH}/{{event_id:str}}/move", **BROWSER)
async def move_page(request: AnyRequest, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show the effect of moving the event to the new date."""
    return await _move_page(operator, path_id(request, "event_id"), search)


@post(f"{PATH}/{{event_id:str}}/move", **BROWSER)
async def move(request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """Move the event, once per form."""
    event_id = path_id(request, "event_id")
    given = MoveForm(starts=form.get("starts"), grace=form.get("grace"))
    try:
        starts_at, grace = _dates(form)
    except InvalidInput as error:
        problem = RequestRefused(400, "invalid_input", error.message).problem
        return await _move_page(operator, event_id, form, problem)

    async def begin(caller: Caller) -> EventJob:
        return await services.payments.reschedule_event(
            event_id, caller, event_starts_at=starts_at, refund_grace_until=grace
        )

    refused = await _do(request, operator, form, "reschedule_event", given, begin)
    if refused is None:
        raise SeeOther(f"{PATH}/{event_id}?done=moved")
    return await _move_page(operator, event_id, form, refused)


async def _move_page(
    operator: OperatorContext, event_id: str, form: Form, problem: ProblemDetails | None = None
) -> PageResponse:
    services = operator.services
    overview = await services.payments.event_overview(event_id, attention=0)
    message = in_words(problem.code, problem.detail) if problem else None
    preview: EventPreview | None = None
    starts_at: datetime | None = None
    grace: datetime | None = None
    if form.get("look") and problem is None:
        try:
            starts_at, grace = _dates(form)
            if starts_at <= services.clock.now():
                raise InvalidInput("the new date is in the past")
            preview = await services.payments.preview_event(
                event_id, event_starts_at=starts_at, refund_grace_until=grace
            )
        except PaymentError as error:
            message = in_words(error.code, error.message)
    newest = overview.newest
    context: dict[str, Any] = {
        "event_id": event_id,
        "newest": newest,
        "preview": preview,
        "starts_at": starts_at,
        "grace": grace,
        "fields": {
            "starts": form.get("starts") or field_of(newest.event_starts_at if newest else None),
            "grace": form.get("grace"),
        },
        "problem": message,
        "key": services.ids.idempotency_key(),
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/event_move.html", "events", context, status=problem.status if problem else 200)


def _dates(form: Form) -> tuple[datetime, datetime | None]:
    """Return the new date, and the end of the grace period with full refunds. Raises ``InvalidInput``."""
    grace = form.get("grace")
    return moment_typed(form.get("starts")), moment_typed(grace) if grace else None


# --- both ------------------------------------------------------------------------------------------------------


async def _do(
    request: AnyRequest, operator: OperatorContext, form: Form, name: str, given: msgspec.Struct, begin: Any
) -> ProblemDetails | None:
    """Start the job, once per form; returns the error, if any."""
    services = operator.services

    async def work(caller: Caller) -> OperationResult:
        job: EventJob = await begin(caller)
        return OperationResult(content=render.event_job(await services.payments.event_report(job.event_id), job))

    action = FormAction(operation=name, booking_id=None, caller=operator.caller, given=given)
    return problem_in(await run_form_action(request, services, operator.session, form, action, work))


PAGES: Final = (listing, one, report_csv, cancel_page, cancel, move_page, move)
