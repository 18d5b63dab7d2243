"""Doing something from a form: once, however often it is sent, with a line in the audit log."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from litestar import Request
from structlog.contextvars import bound_contextvars

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http import audit, idempotency
from booking_payments.entrypoints.http.endpoint import Answer, as_reply
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.limits import count_money
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import TOLD, Problem, Reply, reply_to
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.sessions import Session
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]
Work = Callable[[Caller], Awaitable[Answer]]

KEY_FIELD: Final = "key"
"""The field of a form that makes it one: each time a page is shown it carries a new one."""


@frozen(kw_only=True)
class Act:
    """What a form asks for: ``operation`` is its name in logs, ``given`` all that the form says."""

    operation: str
    booking_id: str
    caller: Caller
    given: msgspec.Struct


async def count_gateway_call(request: AnyRequest, services: Services, session: Session) -> None:
    """Count what is about to cost a call to the gateway, of its principal: one takes it away from no other.

    Raises ``Refused`` (429) when this principal has caused too many, here or over the API.
    """
    if services.limits is not None:
        principal = session.principal
        await count_money(services.limits, principal.subject, principal.issuer, request.app.state["metrics"])


async def act_once(
    request: AnyRequest, services: Services, session: Session, form: Form, act: Act, work: Work
) -> Reply:
    """Do ``work`` unless the same form was sent before; then the answer of that time.

    Raises ``Refused`` (429) when this principal has moved money too often, here or over the API.
    """
    key = idempotency.key_of([form.get(KEY_FIELD)]) or ""
    metrics: Metrics = request.app.state["metrics"]
    await count_gateway_call(request, services, session)

    async def run(caller: Caller) -> Reply:
        return await _work(services, metrics, evolve(act, caller=caller), request_id_of(request.scope), work)

    asked = idempotency.asked(key, session.principal, request.method, request.scope["path"], act.given)
    caller = evolve(act.caller, key=key, request_id=act.caller.cause)
    with bound_contextvars(correlation_id=request_id_of(request.scope)):
        return await idempotency.once(services, asked, caller, run)


async def _work(services: Services, metrics: Metrics, act: Act, request_id: str, work: Work) -> Reply:
    answer: Answer | None = None
    try:
        answer = await work(act.caller)
        reply = as_reply(answer)
    except TOLD as error:
        reply = reply_to(error, raw_declines=act.caller.operator)
        audit.explain(error, reply)
    metrics.operation(act.operation, reply)
    line = audit.Line(
        operation=act.operation,
        actor=act.caller.actor,
        request_id=request_id,
        keyed=True,
        booking_id=act.booking_id,
        reference=answer.reference if answer else None,
        intent_id=answer.intent_id if answer else None,
    )
    await audit.operation(services, line, reply)
    return reply


def problem_in(reply: Reply) -> Problem | None:
    """What went wrong, as far as anything did."""
    return msgspec.json.decode(reply.body, type=Problem) if reply.status >= 400 else None
