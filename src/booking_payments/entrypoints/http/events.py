"""Events: their sums, canceling them, moving them."""

from typing import Annotated, Any, Final, cast

from litestar import Controller, MediaType, Request, get, post
from litestar.datastructures.headers import Accept
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter
from litestar.response import Response, Stream

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import GivenCommand, GivenContext, OperationResult
from booking_payments.entrypoints.http.routing import also_as, for_token, operation
from booking_payments.ports.event_jobs import EventJob
from booking_payments.presentation import render
from booking_payments.presentation.asked import utc
from booking_payments.presentation.event_csv import rows
from booking_payments.presentation.models import (
    CancelEvent,
    EventJobAnswer,
    EventPreviewAnswer,
    EventQuery,
    EventReportAnswer,
    RescheduleEvent,
)

CSV: Final = "text/csv"
_CANCEL: Final = {"reason": "the hall is flooded", "preview": True}
_MOVE: Final = {"event_starts_at": "2030-02-01T20:00:00Z", "refund_grace_until": "2030-01-15T00:00:00Z"}

EventId = Annotated[str, PathParameter(description="your own id of the event")]


class EventRoutes(Controller):
    """The routes of events, each named by the ``event_id`` of its bookings."""

    path = "/api/events/{event_id:str}"
    tags = ("events",)

    @get(
        summary="An event: sums over its bookings by currency, and the job that cancels or moves it",
        **also_as(
            CSV,
            "With `format=csv`, or `Accept: text/csv`, a row for each booking of the newest job; 404 without a job.",
            for_token(Access.APP_OR_OPERATOR, errors={404}),
        ),
    )
    async def read(
        self,
        event_id: EventId,
        parameters: NamedDependency[EventQuery],
        context: GivenContext,
        request: Request[Any, Any, Any],
    ) -> Response[EventReportAnswer]:
        report = await context.payments.event_report(event_id)
        if not _wants_csv(parameters, request):
            return Response(render.event_report(report), headers={"Vary": "Accept"})
        if report.job is None:
            raise NotFound("no job of this event")
        headers = {"Content-Disposition": f'attachment; filename="{event_id}.csv"', "Vary": "Accept"}
        text = rows(context.payments.each_event_line(event_id))
        return cast("Response[EventReportAnswer]", Stream(text, media_type=CSV, headers=headers))

    @post(
        "/cancel",
        summary="Cancel an event: a job cancels and refunds its bookings, and no new ones are taken; with `preview` "
        "only what it would do",
        **operation("cancel_event", Access.OPERATOR, errors={404}, status_code=202, also={200: EventPreviewAnswer}),
    )
    async def cancel(
        self,
        event_id: EventId,
        data: Annotated[CancelEvent, Body(examples=[Example(value=_CANCEL)])],
        command: GivenCommand,
    ) -> Response[EventJobAnswer]:
        async def work(caller: Caller) -> OperationResult:
            refund = RefundOnCancel(data.refund) if data.refund else None
            if data.preview:
                preview = await command.payments.preview_event(event_id, refund=refund)
                return OperationResult(content=render.event_preview(preview))
            job = await command.payments.cancel_event(event_id, caller, refund=refund, reason=data.reason)
            return await _begun(command, job)

        return await command.once(data, EventJobAnswer, work)

    @post(
        "/reschedule",
        summary="Move an event: a job gives its bookings the new date; with `preview` only what it would do",
        **operation("reschedule_event", Access.OPERATOR, errors={404}, status_code=202, also={200: EventPreviewAnswer}),
    )
    async def reschedule(
        self,
        event_id: EventId,
        data: Annotated[RescheduleEvent, Body(examples=[Example(value=_MOVE)])],
        command: GivenCommand,
    ) -> Response[EventJobAnswer]:
        async def work(caller: Caller) -> OperationResult:
            starts_at, until = utc(data.event_starts_at, "event_starts_at"), data.refund_grace_until
            grace = utc(until, "refund_grace_until") if until else None
            if data.preview:
                preview = await command.payments.preview_event(
                    event_id, event_starts_at=starts_at, refund_grace_until=grace
                )
                return OperationResult(content=render.event_preview(preview))
            job = await command.payments.reschedule_event(
                event_id,
                caller,
                event_starts_at=starts_at,
                refund_grace_until=grace,
            )
            return await _begun(command, job)

        return await command.once(data, EventJobAnswer, work)


def _wants_csv(parameters: EventQuery, request: Request[Any, Any, Any]) -> bool:
    if parameters.format is not None:
        return parameters.format == "csv"
    accepted = Accept(request.headers.get("accept", "*/*"))
    return accepted.best_match([MediaType.JSON, CSV]) == CSV


async def _begun(command: GivenContext, job: EventJob) -> OperationResult:
    report = await command.payments.event_report(job.event_id)
    return OperationResult(content=render.event_job(report, job), status=202)
