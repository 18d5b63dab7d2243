"""Run a command from a form once, however often the form is sent, and write it to the audit log."""

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
"""The form field with the idempotency key. Each rendering of a page has a new one."""


@frozen(kw_only=True)
class FormAction:
    """The command that a form requests: ``operation`` is its name in logs, ``given`` the form's fields."""

    operation: str
    booking_id: str | None
    caller: Caller
    given: msgspec.Struct


async def count_gateway_call(request: AnyRequest, services: Services, session: Session) -> None:
    """Count a call to the gateway against the principal's rate limit. Principals do not share a limit.

    Raises:
        RequestRefused: (429) this principal has caused too many, here or through the API.
    """
    if services.limits is not None:
        principal = session.principal
        await count_money(services.limits, principal.subject, principal.issuer, request.app.state["metrics"])


async def run_form_action(
    request: AnyRequest, services: Services, session: Session, form: Form, action: FormAction, work: Work
) -> EncodedResponse:
    """Run ``work``, unless the same form was sent before; then return the response of that time.

    Raises:
        RequestRefused: (429) this principal has moved money too often, here or through the API.
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
    """Return the problem in a response, or None when it succeeded."""
    return msgspec.json.decode(response.body, type=ProblemDetails) if response.status >= 400 else None
