"""Webhooks of the gateways: raw bytes and headers go to the facade, which checks them; every failure is a 400, so that
the gateway sends the event again."""

from typing import Final

import structlog
from attrs import evolve

from booking_payments.application.views import WebhookResult
from booking_payments.domain.errors import PaymentError
from booking_payments.entrypoints.http import audit, door
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, POST, Answer, AnyRequest, Incoming, as_reply, public
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import Refused, Reply, bad_request
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.webhooks import WebhookRefused, WebhooksNotTaken
from booking_payments.presentation.models import HealthAnswer, WebhookAnswer
from booking_payments.runtime.services import Services

NOT_PROCESSED: Final = "the event could not be processed; send it again later"
log = structlog.get_logger("booking_payments.webhooks")


async def receive(request: Incoming, services: Services) -> Reply:
    """Take in one delivery."""
    body = await request.body()
    try:
        result = await services.payments.receive_webhook(
            body, request.headers, gateway=str(request.path_params["gateway"])
        )
    except WebhooksNotTaken as error:
        raise Refused(404, error.code, error.message) from None
    except WebhookRefused as error:
        raise _refused(request, "refused", error.code, bad_request(error.message, error.code)) from None
    except (PaymentError, StorageConflict) as error:
        code = type(error).__name__
        raise _refused(request, "failed", code, bad_request(NOT_PROCESSED, "webhook_failed")) from None
    except Exception as error:
        log.exception("webhook processing broke")
        broke = bad_request(NOT_PROCESSED, "webhook_failed")
        raise _refused(request, "failed", type(error).__name__, broke) from None
    _note(request, result.outcome, result=result)
    if result.alert:
        audit.alert(result)
    content = WebhookAnswer(
        received=True, event_id=result.event_id, type=result.type, outcome=result.outcome, reason=result.reason
    )
    return as_reply(Answer(content=content))


of_gateway: Final = evolve(
    public(
        POST,
        "/api/webhooks/{gateway}/",
        access=Access.SIGNED,
        summary="An event of a gateway (`stripe` for Stripe), signed over its raw bytes",
        answers={200: WebhookAnswer},
        errors=frozenset({400, 404}),
        body_limit=door.WEBHOOK_LIMIT,
    )(receive),
    direct=receive,
)


def _refused(request: Incoming, outcome: str, code: str, refusal: Refused) -> Refused:
    _note(request, outcome, error=code)
    return refusal


def _note(request: Incoming, outcome: str, *, error: str | None = None, result: WebhookResult | None = None) -> None:
    metrics: Metrics = request.app.state["metrics"]
    metrics.webhook(result.type if result else None, outcome)
    audit.webhook(request_id_of(request.scope), outcome, error=error, result=result)


@public(GET, "/api/webhooks/health/", summary="Whether webhooks are listened for", answers={200: HealthAnswer})
async def health(request: AnyRequest, services: Services) -> Reply:
    return as_reply(Answer(content=HealthAnswer(status="ok")))


ENDPOINTS: Final = (of_gateway, health)
