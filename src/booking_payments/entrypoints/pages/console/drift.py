"""Drift: the differences between the database and the gateway that the last reconciliations found. An operator can
start another one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import anyio
import anyio.abc
import structlog
from attrs import define
from litestar import Litestar, get, post

from booking_payments.application.callers import Caller
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
from booking_payments.runtime.services import Services

PATH: Final = "/console/drift"
SPANS: Final = {"1": timedelta(days=1), "7": timedelta(days=7), "30": timedelta(days=30)}
log = structlog.get_logger("booking_payments.pages")


@define
class Runs:
    """The reconciliation that an operator started in this process; at most one runs."""

    tasks: anyio.abc.TaskGroup
    since: datetime | None = None
    failed: bool = False

    async def run(self, services: Services, caller: Caller, span: timedelta) -> None:
        """Run the reconciliation. The use case stores its findings."""
        try:
            await services.payments.reconcile(services.clock.now() - span, caller=caller)
            self.failed = False
        except Exception as error:
            self.failed = True
            log.error("reconciliation.failed", cause=caller.cause, exc_info=error)
        finally:
            self.since = None


@asynccontextmanager
async def running_reconciliations(app: Litestar) -> AsyncIterator[None]:
    """Yield the runner of reconciliations that operators start. A shutdown cancels a running one, which is safe at any
    point.
    """
    async with anyio.create_task_group() as tasks:
        app.state["reconciliations"] = Runs(tasks=tasks)
        yield
        tasks.cancel_scope.cancel()


@get(PATH, **BROWSER)
async def report(request: AnyRequest, services: GivenServices, operator: GivenOperator) -> PageResponse:
    """Show the findings of the last reconciliations."""
    runs: Runs = request.app.state["reconciliations"]
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
    runs: Runs = request.app.state["reconciliations"]
    if runs.since is None:
        runs.since = services.clock.now()
        runs.tasks.start_soon(runs.run, services, operator.caller, SPANS.get(form.get("days"), SPANS["1"]))
    raise SeeOther(PATH)


PAGES: Final = (report, run)
