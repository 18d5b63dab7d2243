"""Whether the process lives, whether it can work, and its metrics."""

from typing import Any

from litestar import Request, get
from litestar.response import Response

from booking_payments.entrypoints.http.gauges import BookGauges
from booking_payments.entrypoints.http.metrics import MEDIA_TYPE, Metrics
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.http.routing import public
from booking_payments.presentation.models import HealthAnswer
from booking_payments.runtime.services import Services


@get("/health/live", summary="Whether the process answers", tags=["health"], **public(counted=False))
async def live() -> HealthAnswer:
    return HealthAnswer(status="ok")


@get(
    "/health/ready",
    summary="Whether the database is reachable and its migrations are current",
    tags=["health"],
    **public(errors={503}, counted=False),
)
async def ready(request: Request[Any, Any, Any]) -> HealthAnswer:
    services: Services = request.app.state["services"]
    readiness = await services.ready()
    if not readiness.ok:
        raise RequestRefused(503, "not_ready", readiness.detail or "the service cannot work yet", retryable=True)
    return HealthAnswer(status="ok", checks={"database": readiness.database, "migrations": readiness.migrations})


@get("/metrics", summary="Metrics for Prometheus", tags=["health"], media_type="text/plain", **public(counted=False))
async def metrics(request: Request[Any, Any, Any]) -> Response[str]:
    counted: Metrics = request.app.state["metrics"]
    gauges: BookGauges = request.app.state["gauges"]
    text = counted.text() + await gauges.text(request.app.state["services"])
    return Response(text.decode(), media_type=MEDIA_TYPE)
