"""Webhooks of the gateways: raw bytes and headers go to the facade, which checks them; every failure is a 400, so that
the gateway sends the event again."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Request, get
from litestar.connection import ASGIConnection
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from litestar.params import PathParameter
from litestar.response.base import ASGIResponse

from booking_payments.application.views import WebhookResult
from booking_payments.domain.errors import PaymentError
from booking_payments.entrypoints.http import audit, parsing
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import JSON_MEDIA, RequestRefused, bad_request
from booking_payments.entrypoints.http.routing import public
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.webhooks import WebhookHeaders, WebhookRefused, WebhooksNotTaken
from booking_payments.presentation.models import HealthAnswer, WebhookAnswer
from booking_payments.runtime.services import Services

AnyRequest = Request[Any, Any, Any]

NOT_PROCESSED: Final = "the event could not be processed; send it again later"
log = structlog.get_logger("booking_payments.webhooks")

_EVENT: Final = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "created": 1780344000,
    "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
}


@dataclass
class SignedEvent(Operation):
    """What the handler reads as raw bytes, for the OpenAPI document."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.OBJECT, description="an event, as the gateway wrote it")
        content = OpenAPIMediaType(schema=schema, example=_EVENT)
        self.request_body = RequestBody(required=True, content={"application/json": content})
        self.parameters = [
            *(self.parameters or []),
            Parameter(
                name="Stripe-Signature",
                param_in="header",
                required=False,
                description="Stripe's: t=<unix seconds>,v1=<hex HMAC-SHA256>. "
                "Other gateways sign in headers of their own.",
                schema=Schema(type=OpenAPIType.STRING, examples=["t=1780344000,v1=5257a869e7ec"]),
            ),
        ]


class FrequentRoute(HTTPRouteHandler):
    """A route that is called by the thousand. The framework copies the handler for every guard of every call, in case
    that a guard changes it; ours does not."""

    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        for guard in self.resolve_guards():
            await guard(connection, self)  # type: ignore[misc] # as the framework has it


@FrequentRoute(
    "/api/webhooks/{gateway:str}",
    http_method="POST",
    summary="An event of a gateway (`stripe` for Stripe), signed over its raw bytes",
    tags=["webhooks"],
    request_max_body_size=parsing.WEBHOOK_LIMIT,
    operation_class=SignedEvent,
    **public(Access.SIGNED, errors={400, 404}, answer=WebhookAnswer),
)
async def of_gateway(
    gateway: Annotated[str, PathParameter(description="the gateway's name, as in the settings")], request: AnyRequest
) -> ASGIResponse:
    """Take in one delivery. Body and headers are read, and the answer is built, without the framework: webhooks come by
    the thousand (decision 20)."""
    services: Services = request.app.state["services"]
    body = await parsing.read_body(request.scope, request.receive, parsing.WEBHOOK_LIMIT)
    headers = WebhookHeaders((n.decode("latin-1"), v.decode("latin-1")) for n, v in request.scope["headers"])
    try:
        result = await services.payments.receive_webhook(body, headers, gateway=gateway)
    except WebhooksNotTaken as error:
        raise RequestRefused(404, error.code, error.message) from None
    except WebhookRefused as error:
        raise _refused(request, "refused", error.code, bad_request(error.message, error.code)) from None
    except (PaymentError, StorageConflict) as error:
        code = type(error).__name__
        raise _refused(request, "failed", code, bad_request(NOT_PROCESSED, "webhook_failed")) from None
    except Exception as error:
        log.exception("webhook.processing_failed")
        broke = bad_request(NOT_PROCESSED, "webhook_failed")
        raise _refused(request, "failed", type(error).__name__, broke) from None
    _note(request, result.outcome, result=result)
    if result.alert:
        audit.alert(result)
    answer = WebhookAnswer(
        received=True, event_id=result.event_id, type=result.type, outcome=result.outcome, reason=result.reason
    )
    return ASGIResponse(body=msgspec.json.encode(answer), media_type=JSON_MEDIA)


def _refused(request: AnyRequest, outcome: str, code: str, refusal: RequestRefused) -> RequestRefused:
    _note(request, outcome, error=code)
    return refusal


def _note(request: AnyRequest, outcome: str, *, error: str | None = None, result: WebhookResult | None = None) -> None:
    metrics: Metrics = request.app.state["metrics"]
    # An unknown gateway name is refused before it is counted, so that callers cannot create time series.
    metrics.webhook(str(request.path_params["gateway"]), result.type if result else None, outcome)
    audit.webhook(request_id_of(request.scope), outcome, error=error, result=result)


@get("/api/webhooks/health", summary="Whether webhooks are listened for", tags=["webhooks"], **public(counted=False))
async def health() -> HealthAnswer:
    return HealthAnswer(status="ok")
