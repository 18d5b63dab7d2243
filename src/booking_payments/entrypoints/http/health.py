"""Whether the process lives, whether it can work, and its metrics."""

from typing import Final

from booking_payments.entrypoints.http.endpoint import GET, Answer, AnyRequest, as_reply, public
from booking_payments.entrypoints.http.gauges import BookGauges
from booking_payments.entrypoints.http.metrics import MEDIA_TYPE, Metrics
from booking_payments.entrypoints.http.problems import Refused, Reply
from booking_payments.presentation.models import HealthAnswer
from booking_payments.runtime.services import Services


@public(GET, "/health/live", summary="Whether the process answers", answers={200: HealthAnswer})
async def live(request: AnyRequest, services: Services) -> Reply:
    return as_reply(Answer(content=HealthAnswer(status="ok")))


@public(
    GET,
    "/health/ready",
    summary="Whether the database is reachable and its migrations are current",
    answers={200: HealthAnswer},
    errors=frozenset({503}),
)
async def ready(request: AnyRequest, services: Services) -> Reply:
    readiness = await services.ready()
    if not readiness.ok:
        raise Refused(503, "not_ready", readiness.detail or "the service cannot work yet", retryable=True)
    checks = {"database": readiness.database, "migrations": readiness.migrations}
    return as_reply(Answer(content=HealthAnswer(status="ok", checks=checks)))


@public(GET, "/metrics", summary="Metrics for Prometheus", answers={200: str}, media_type="text/plain")
async def metrics(request: AnyRequest, services: Services) -> Reply:
    counted: Metrics = request.app.state["metrics"]
    gauges: BookGauges = request.app.state["gauges"]
    return Reply(status=200, body=counted.text() + await gauges.text(services), media_type=MEDIA_TYPE)


ENDPOINTS: Final = (live, ready, metrics)
