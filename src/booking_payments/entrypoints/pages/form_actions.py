"""Doing something from a form: once, however often it is sent, with a line in the audit log."""

from typing import Any, Final

import msgspec
from attrs import frozen
from litestar import Request
from structlog.contextvars import bound_contextvars

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http import idempotency
from booking_payments.entrypoints.http.commands import RequestedOperation, Work, run_once
from booking_payments.entrypoints.http.limits import count_money
from booking_payments.entrypoints.http.problems import EncodedResponse, ProblemDetails
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.sessions import Session
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]

KEY_FIELD: Final = "key"
"""The field of a form that makes it one: each time a page is shown it carries a new one."""


@frozen(kw_only=True)
class FormAction:
    """What a form asks for: ``operation`` is its name in logs, ``given`` all that the form says."""

    operation: str
    booking_id: str
    caller: Caller
    given: msgspec.Struct


async def count_gateway_call(request: AnyRequest, services: Services, session: Session) -> None:
    """Count what is about to cost a call to the gateway, of its principal: one takes it away from no other.

    Raises ``RequestRefused`` (429) when this principal has caused too many, here or over the API.
    """
    if services.limits is not None:
        principal = session.principal
        await count_money(services.limits, principal.subject, principal.issuer, request.app.state["metrics"])


async def run_form_action(
    request: AnyRequest, services: Services, session: Session, form: Form, action: FormAction, work: Work
) -> EncodedResponse:
    """Do ``work`` unless the same form was sent before; then the answer of that time.

    Raises ``RequestRefused`` (429) when this principal has moved money too often, here or over the API.
    """
    key = idempotency.key_of([form.get(KEY_FIELD)])
    await count_gateway_call(request, services, session)
    operation = RequestedOperation(
        name=action.operation,
        principal=session.principal,
        caller=action.caller,
        key=key,
        method=request.method,
        path=request.scope["path"],
        given=action.given,
        booking_id=action.booking_id,
        raw_declines=action.caller.operator,
    )
    with bound_contextvars(correlation_id=action.caller.cause):
        return await run_once(services, request.app.state["metrics"], operation, work)


def problem_in(response: EncodedResponse) -> ProblemDetails | None:
    """What went wrong, as far as anything did."""
    return msgspec.json.decode(response.body, type=ProblemDetails) if response.status >= 400 else None
