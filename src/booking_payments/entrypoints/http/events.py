"""Events: their sums, canceling them, moving them."""

from typing import Annotated, Final

from litestar import Controller, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundOnCancel
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import GivenCommand, GivenContext, OperationResult
from booking_payments.entrypoints.http.routing import for_token, operation
from booking_payments.ports.event_jobs import EventJob
from booking_payments.presentation import render
from booking_payments.presentation.models import (
    CancelEvent,
    EventJobAnswer,
    EventPreviewAnswer,
    EventReportAnswer,
    RescheduleEvent,
)

_CANCEL: Final = {"reason": "the hall is flooded", "preview": True}
_MOVE: Final = {"event_starts_at": "2030-02-01T20:00:00Z", "refund_grace_until": "2030-01-15T00:00:00Z"}

EventId = Annotated[str, PathParameter(description="the booking app's own id of the event")]


class Events(Controller):
    """The routes of events, each named by the ``event_id`` of its bookings."""

    path = "/api/events/{event_id:str}"
    tags = ("events",)

    @get(
        summary="An event: sums over its bookings by currency, and the job that cancels or moves it",
        **for_token(Access.APP_OR_OPERATOR, errors={404}),
    )
    async def read(self, event_id: EventId, context: GivenContext) -> EventReportAnswer:
        return render.event_report(await context.payments.event_report(event_id))

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
            starts_at, grace = parsing.utc(data.event_starts_at, "event_starts_at"), data.refund_grace_until
            if data.preview:
                preview = await command.payments.preview_event(event_id, event_starts_at=starts_at)
                return OperationResult(content=render.event_preview(preview))
            job = await command.payments.reschedule_event(
                event_id,
                caller,
                event_starts_at=starts_at,
                refund_grace_until=parsing.utc(grace, "refund_grace_until") if grace else None,
            )
            return await _begun(command, job)

        return await command.once(data, EventJobAnswer, work)


async def _begun(command: GivenContext, job: EventJob) -> OperationResult:
    report = await command.payments.event_report(job.event_id)
    return OperationResult(content=render.event_job(report, job), status=202)
