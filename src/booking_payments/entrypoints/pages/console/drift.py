"""Drift: the differences between the database and the gateway that the last reconciliations found. An operator can
start another one.
"""

from datetime import timedelta
from typing import Any, Final

from litestar import get, post

from booking_payments.entrypoints.pages.console.background_work import RECONCILIATIONS, BackgroundWork
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator
from booking_payments.entrypoints.pages.form_actions import count_gateway_call
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
)

PATH: Final = "/console/drift"
SPANS: Final = {"1": timedelta(days=1), "7": timedelta(days=7), "30": timedelta(days=30)}


@get(PATH, **BROWSER)
async def report(request: AnyRequest, services: GivenServices, operator: GivenOperator) -> PageResponse:
    """Show the findings of the last reconciliations."""
    runs: BackgroundWork = request.app.state[RECONCILIATIONS]
    reports = await services.payments.drift_reports(limit=10)
    context: dict[str, Any] = {
        "running": runs.since,
        "failed": runs.failed,
        "latest": reports[0] if reports else None,
        "earlier": reports[1:],
    }
    return operator.page("console/drift.html", "drift", context)


@post(f"{PATH}/run", **BROWSER)
async def run(request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """Start a reconciliation, unless one is running."""
    await count_gateway_call(request, services, operator.session)
    runs: BackgroundWork = request.app.state[RECONCILIATIONS]
    caller, since = operator.caller, services.clock.now() - SPANS.get(form.get("days"), SPANS["1"])
    runs.start(services.clock, caller.cause, lambda _: services.payments.reconcile(since, caller=caller))
    raise SeeOther(PATH)


PAGES: Final = (report, run)
