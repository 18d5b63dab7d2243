"""The context of authenticated requests, and operations that run once for each idempotency key.

Litestar does not support idempotency keys. ``run_once`` stores the encoded response of an operation, also that of a
refusal, so errors of an operation are turned into responses here and not in the exception handlers of the app.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from attrs import evolve, field, frozen
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, SkipValidation
from litestar.response import Response

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.errors import NotFound
from booking_payments.entrypoints.http import audit, idempotency
from booking_payments.entrypoints.http.auth import Principal, caller_for, require_own
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.parsing import JsonRequest, is_id
from booking_payments.entrypoints.http.problems import EXPLAINED_ERRORS, EncodedResponse, response_to
from booking_payments.presentation.render import Reader
from booking_payments.runtime.services import Services

A = TypeVar("A", bound=msgspec.Struct)


# --- operations --------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class OperationResult:
    """The result of an operation: the content of the response, and the booking's reference and intent for the audit
    log."""

    content: msgspec.Struct
    status: int = 200
    reference: str | None = None
    intent_id: str | None = None
    headers: Mapping[str, str] = field(factory=dict)


Work = Callable[[Caller], Awaitable[OperationResult]]


@frozen(kw_only=True)
class RequestedOperation:
    """A requested operation, over the API or by a form.

    Attributes:
        name: its name in audit log and metrics.
        principal: the bearer of the request's token.
        caller: the caller for the use case; its cause is the id of the request.
        key: the client's idempotency key; None without one.
        method, path, given: the request to which the key belongs; ``given`` is the validated body.
        booking_id: the booking's id in the path; None when the path has none.
        raw_declines: whether the response shows decline reasons that customers may not see.
    """

    name: str
    principal: Principal
    caller: Caller
    key: str | None
    method: str
    path: str
    given: msgspec.Struct
    booking_id: str | None
    raw_declines: bool


async def run_once(services: Services, metrics: Metrics, operation: RequestedOperation, work: Work) -> EncodedResponse:
    """Await ``work`` and return its response, or return the stored response if this key was used before.

    Each execution logs one event and is counted once in the metrics. Errors of the use case are returned as responses.

    Raises:
        RequestRefused: 422 when the key was used for another request, 409 while the first request with the key is in
            progress.
    """

    async def run(caller: Caller) -> EncodedResponse:
        done: OperationResult | None = None
        try:
            done = await work(caller)
            response = encoded(done)
        except EXPLAINED_ERRORS as error:
            response = response_to(error, raw_declines=operation.raw_declines)
            audit.explain(error, response)
        metrics.operation(operation.name, response)
        await audit.operation(services, _audit_entry(operation, done), response)
        return response

    caller = evolve(operation.caller, key=operation.key, request_id=operation.caller.cause)
    if operation.key is None:
        return await run(caller)
    asked = idempotency.asked(operation.key, operation.principal, operation.method, operation.path, operation.given)
    return await idempotency.once(services, asked, caller, run)


def _audit_entry(operation: RequestedOperation, done: OperationResult | None) -> audit.AuditEntry:
    return audit.AuditEntry(
        operation=operation.name,
        actor=operation.caller.actor,
        request_id=operation.caller.cause,
        keyed=operation.key is not None,
        booking_id=operation.booking_id,
        reference=done.reference if done else None,
        intent_id=done.intent_id if done else None,
    )


def encoded(done: OperationResult) -> EncodedResponse:
    """Encode the result as JSON."""
    return EncodedResponse(status=done.status, body=msgspec.json.encode(done.content), headers=dict(done.headers))


def as_response(response: EncodedResponse) -> Response[Any]:
    """Convert to the framework's response."""
    return Response(
        content=response.body,
        status_code=response.status,
        media_type=response.media_type,
        headers=dict(response.headers),
    )


# --- dependencies of handlers ------------------------------------------------------------------------------------


@frozen(kw_only=True)
class RequestContext:
    """An authenticated request: the principal of the token, and the caller for the use cases."""

    services: Services
    principal: Principal
    caller: Caller

    @property
    def payments(self) -> BookingPayments:
        return self.services.payments

    @property
    def reader(self) -> Reader:
        """The reader of the response."""
        return Reader(subject=self.principal.subject, operator=self.principal.is_operator)

    @property
    def now(self) -> datetime:
        return self.services.clock.now()


@frozen(kw_only=True)
class OperationContext(RequestContext):
    """A ``RequestContext`` for an operation; ``key`` is the client's idempotency key, None without one."""

    key: str | None
    request: JsonRequest

    async def once(self, given: msgspec.Struct, answer: type[A], work: Work) -> Response[A]:
        """Return the response of ``work`` (an ``answer`` or a problem), or the one stored for the key.

        ``given`` is the validated body. Raises as ``run_once``.
        """
        request = self.request
        operation = RequestedOperation(
            name=request.route_handler.opt["operation"],
            principal=self.principal,
            caller=self.caller,
            key=self.key,
            method=request.method,
            path=request.scope["path"],
            given=given,
            booking_id=request.path_params.get("booking_id"),
            raw_declines=self.principal.is_operator,
        )
        response = await run_once(self.services, request.app.state["metrics"], operation, work)
        return cast("Response[A]", as_response(response))


async def provide_context(request: JsonRequest) -> RequestContext:
    """Return the context of a request.

    Raises:
        NotFound: When text in the path cannot be an id.
        RequestRefused: 400 for a query parameter that the route does not accept, 403 when only the booking's customer
            may call.
    """
    await _require_possible(request)
    return RequestContext(services=request.app.state["services"], principal=request.user, caller=_caller(request))


KeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="A request repeated with the same key is executed once and gets the same response for 72 hours.",
        schema_extra={
            "pattern": r'^([!#-~][ -~]{14,253}[!-~]|"[ !#-\[\]-~]{16,255}")$',
            "examples": ["3f0c6f6e-9b8d-4a53-8a9e-2f7b1f1f7c11"],
        },
    ),
]


async def provide_command(request: JsonRequest, key: KeyHeader = None) -> OperationContext:
    """Return the context of an operation. Raises as ``provide_context``, and 400 for a malformed or repeated key.

    The parameter ``key`` is only for the OpenAPI document: the framework passes one value of a repeated header, so all
    values are read from the request.
    """
    await _require_possible(request)
    return OperationContext(
        services=request.app.state["services"],
        principal=request.user,
        caller=_caller(request),
        key=idempotency.key_of(request.headers.getall("idempotency-key", [])),
        request=request,
    )


async def _require_possible(request: JsonRequest) -> None:
    """Check query, ownership and ids. Raises as ``provide_context``.

    Text in the path that cannot be an id, such as a card number, is refused before anything stores it.
    """
    request.refuse_stray_query()
    await require_own(request, request.route_handler.opt["access"], request.user)
    if not all(is_id(str(part)) for part in request.path_params.values()):
        raise NotFound()


def _caller(request: JsonRequest) -> Caller:
    return caller_for(request.route_handler.opt["access"], request.user, request_id_of(request.scope))


async def provide_parameters(request: JsonRequest) -> Any:
    """Return the query as the struct of the handler. Raises 400 for unknown, repeated and malformed parameters."""
    return request.read_query()


GivenContext = NamedDependency[SkipValidation[RequestContext]]
GivenCommand = NamedDependency[SkipValidation[OperationContext]]

BookingId = Annotated[str, PathParameter(description="the booking's `id`")]
PaymentId = Annotated[str, PathParameter(description="the payment's `payment_id`")]

__all__: Final = [
    "BookingId",
    "GivenCommand",
    "GivenContext",
    "OperationContext",
    "OperationResult",
    "PaymentId",
    "RequestContext",
    "RequestedOperation",
    "as_response",
    "encoded",
    "provide_command",
    "provide_context",
    "provide_parameters",
    "run_once",
]
