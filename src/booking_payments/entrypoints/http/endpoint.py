"""An endpoint as a value: what it is called, who may call it, what it takes and answers, and how it is run.

``app`` makes routes of these values and ``openapi`` the document, so that neither can say what the other does not do.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from attrs import evolve, field, frozen
from litestar import Request
from litestar.response import Response
from structlog.contextvars import bound_contextvars

from booking_payments.application.callers import Caller
from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http import audit, door, idempotency
from booking_payments.entrypoints.http.auth import OPERATE, Access, Principal, caller_for, missing_scope
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import JSON_MEDIA, TOLD, Refused, Reply, reply_to
from booking_payments.presentation.models import Nothing
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]
I = TypeVar("I", bound=msgspec.Struct)  # noqa: E741 - the input

GET: Final = "GET"
POST: Final = "POST"


@frozen(kw_only=True)
class Answer:
    """What a handler answers: content, and the booking's reference and intent that it was about, for the audit log."""

    content: msgspec.Struct
    status: int = 200
    reference: str | None = None
    intent_id: str | None = None
    headers: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Call(Generic[I]):
    """One call of an endpoint that needs a token."""

    services: Services
    principal: Principal
    caller: Caller
    given: I
    path: Mapping[str, str]

    @property
    def booking_id(self) -> str:
        """The booking of the path. Raises ``NotFound`` for text that can be no id."""
        if not door.is_id(self.path["booking_id"]):
            raise NotFound()
        return self.path["booking_id"]

    @property
    def payment_id(self) -> str:
        """The payment of the path. Raises ``NotFound`` for text that can be no id."""
        if not door.is_id(self.path["payment_id"]):
            raise NotFound()
        return self.path["payment_id"]


Handler = Callable[[Call[I]], Awaitable[Answer]]
Runner = Callable[[AnyRequest, Services], Awaitable[Reply]]


class Incoming(Protocol):
    """What an endpoint on the short way may ask of its request; any request of the framework can answer it, too."""

    @property
    def scope(self) -> Any: ...

    @property
    def app(self) -> Any: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def path_params(self) -> Mapping[str, Any]: ...

    async def body(self) -> bytes: ...


DirectRunner = Callable[[Incoming, Services], Awaitable[Reply]]


@frozen(kw_only=True)
class Endpoint:
    """The declaration. ``answers`` and ``errors`` are the statuses that it may answer with, ``operation`` is its name
    in the audit log when it moves money, ``keyed`` whether it takes an ``Idempotency-Key``, ``direct`` what runs it on
    the short way past the framework."""

    method: str
    path: str
    access: Access
    summary: str
    run: Runner = field(repr=False)
    answers: Mapping[int, Any]
    errors: frozenset[int] = frozenset()
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    keyed: bool = False
    operation: str | None = None
    body_limit: int = door.JSON_LIMIT
    example: Mapping[str, Any] | None = None
    media_type: str = JSON_MEDIA
    direct: DirectRunner | None = field(default=None, repr=False)

    @property
    def route(self) -> str:
        """The path as the router writes it: typed parameters, no trailing slash."""
        return self.path.replace("}", ":str}").rstrip("/")

    @property
    def moves_money(self) -> bool:
        """Whether ``RATE_LIMIT_MONEY`` counts it for others than booking apps. A booking app speaks for all customers
        at once, so its calls are bounded by its address and by the gateway's pace alone."""
        return self.operation is not None and self.access is not Access.BOOKING_APP


def endpoint(
    method: str,
    path: str,
    access: Access,
    *,
    summary: str,
    answers: Mapping[int, type[msgspec.Struct]],
    body: type[msgspec.Struct] | None = None,
    query: type[msgspec.Struct] | None = None,
    errors: frozenset[int] = frozenset(),
    keyed: bool = False,
    operation: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[Handler[Any]], Endpoint]:
    """Declare the handler of an endpoint that needs a token."""

    def declare(handle: Handler[Any]) -> Endpoint:
        async def run(request: AnyRequest, services: Services) -> Reply:
            return await _run(declared, handle, request, services)

        declared = Endpoint(
            method=method,
            path=path,
            access=access,
            summary=summary,
            run=run,
            answers=answers,
            errors=errors,
            body=body,
            query=query,
            keyed=keyed,
            operation=operation,
            example=example,
        )
        return declared

    return declare


async def _run(declared: Endpoint, handle: Handler[Any], request: AnyRequest, services: Services) -> Reply:
    """Read, validate, and do the work, once where the client gave a key. Lines of the log that are written on the way
    have the request's id."""
    with bound_contextvars(correlation_id=request_id_of(request.scope)):
        return await _do(declared, handle, request, services)


async def _do(declared: Endpoint, handle: Handler[Any], request: AnyRequest, services: Services) -> Reply:
    call = await _call(declared, request, services)
    key = idempotency.key_of(request.headers.getall("idempotency-key", [])) if declared.keyed else None

    caller = evolve(call.caller, key=key, request_id=call.caller.cause)

    async def work(caller: Caller) -> Reply:
        return await _work(declared, handle, evolve(call, caller=caller), request, key is not None)

    # What can be no id is not found, and a path that holds it (a card number, say) is kept nowhere.
    if key is None or not all(door.is_id(part) for part in call.path.values()):
        return await work(caller)
    asked = idempotency.asked(key, call.principal, request.method, request.scope["path"], call.given)
    return await idempotency.once(services, asked, caller, work)


async def _call(declared: Endpoint, request: AnyRequest, services: Services) -> Call[Any]:
    principal: Principal = request.state.principal
    if declared.query is not None:
        given: msgspec.Struct = door.read_query(request, declared.query)
    else:
        door.read_query(request, Nothing)
        given = await door.read_body(request, declared.body) if declared.body else Nothing()
    return Call(
        services=services,
        principal=principal,
        caller=caller_for(declared.access, principal, request_id_of(request.scope)),
        given=given,
        path=request.path_params,
    )


async def _work(declared: Endpoint, handle: Handler[Any], call: Call[Any], request: AnyRequest, keyed: bool) -> Reply:
    answer: Answer | None = None
    try:
        answer = await handle(call)
        reply = as_reply(answer)
    except TOLD as error:
        told = await _forbidden(declared, call) if isinstance(error, NotFound) else None
        reply = reply_to(told or error, raw_declines=call.principal.is_operator)
        audit.explain(error, reply)
    if declared.operation:
        metrics: Metrics = request.app.state["metrics"]
        metrics.operation(declared.operation, reply)
        line = audit.Line(
            operation=declared.operation,
            actor=call.caller.actor,
            request_id=request_id_of(request.scope),
            keyed=keyed,
            booking_id=call.path.get("booking_id"),
            reference=answer.reference if answer else None,
            intent_id=answer.intent_id if answer else None,
        )
        await audit.operation(call.services, line, reply)
    return reply


async def _forbidden(declared: Endpoint, call: Call[Any]) -> Refused | None:
    """403 in place of a 404, for who may see all bookings and acts as a customer here, on a booking that is not theirs:
    there is nothing to hide from them. The same for one that does not exist. None where the 404 stands."""
    booking_id = call.path.get("booking_id")
    if booking_id is None or call.caller.customer_id is None or not call.principal.sees_all:
        return None
    if door.is_id(booking_id):
        booking = await call.services.storage.read(lambda uow: uow.bookings.get(booking_id))
        if booking is not None and booking.customer_id == call.caller.customer_id:
            return None
    operates = declared.access is Access.OWNER_OR_OPERATOR
    who = f"the booking's customer, or a token with scope {OPERATE}," if operates else "the booking's customer only"
    return missing_scope(f"{who} may do this", OPERATE if operates else None)


def public(
    method: str,
    path: str,
    *,
    summary: str,
    answers: Mapping[int, Any],
    access: Access = Access.PUBLIC,
    body: type[msgspec.Struct] | None = None,
    errors: frozenset[int] = frozenset(),
    body_limit: int = door.JSON_LIMIT,
    media_type: str = JSON_MEDIA,
    example: Mapping[str, Any] | None = None,
) -> Callable[[Runner], Endpoint]:
    """Declare a runner that answers without a token."""

    def declare(run: Runner) -> Endpoint:
        return Endpoint(
            method=method,
            path=path,
            access=access,
            summary=summary,
            run=run,
            answers=answers,
            errors=errors,
            body=body,
            body_limit=body_limit,
            media_type=media_type,
            example=example,
        )

    return declare


def as_reply(answer: Answer) -> Reply:
    """The answer as JSON."""
    return Reply(status=answer.status, body=msgspec.json.encode(answer.content), headers=dict(answer.headers))


def as_response(reply: Reply) -> Response[bytes]:
    """The reply as the framework sends it."""
    return Response(
        content=reply.body, status_code=reply.status, media_type=reply.media_type, headers=dict(reply.headers)
    )
