"""Stored reports of reconciliations, for operators who did not run them."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from attrs import asdict, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.findings import Finding
from booking_payments.application.reconcile import Reconciliation
from booking_payments.ports.overview import DriftReport
from booking_payments.ports.storage import StorageConflict

COUNTS: Final = ("payments", "intents", "refunds", "disputes", "foreign", "events")
MOST_FINDINGS: Final = 500
"""How many findings of each kind a stored report has at most; the command line prints all."""


@frozen(kw_only=True)
class KeptReport:
    """The report of one run.

    Attributes:
        at: when it ended.
        actor: who ran it.
        since: final payments were compared from this time on.
        counts: how many objects were compared, by the names in ``COUNTS``.
        healed: the first repaired differences.
        left: the first differences for an operator.
        healed_in_all: how many were repaired.
        left_in_all: how many are left.
    """

    at: datetime
    actor: str
    since: datetime
    counts: Mapping[str, int]
    healed: tuple[Finding, ...]
    left: tuple[Finding, ...]
    healed_in_all: int
    left_in_all: int


async def keep_report(deps: Dependencies, result: Reconciliation, caller: Caller) -> None:
    """Store the result of a run. A storage that is too busy raises nothing: the run has been done."""
    content = {
        "since": result.since.isoformat(),
        "counts": {name: getattr(result, name) for name in COUNTS},
        "healed": [asdict(each) for each in result.healed[:MOST_FINDINGS]],
        "left": [asdict(each) for each in result.left[:MOST_FINDINGS]],
        "healed_in_all": len(result.healed),
        "left_in_all": len(result.left),
    }
    report = DriftReport(at=deps.clock.now(), actor=caller.actor, content=json.dumps(content))
    with suppress(StorageConflict):
        await deps.storage.transact(lambda uow: uow.overview.keep_report(report))


async def last_reports(deps: Dependencies, limit: int) -> Sequence[KeptReport]:
    """Return the last reports, newest first."""
    return [_kept(each) for each in await deps.storage.read(lambda uow: uow.overview.reports(limit))]


def _kept(report: DriftReport) -> KeptReport:
    content = json.loads(report.content)
    return KeptReport(
        at=report.at,
        actor=report.actor,
        since=datetime.fromisoformat(content["since"]),
        counts=content["counts"],
        healed=tuple(Finding(**each) for each in content["healed"]),
        left=tuple(Finding(**each) for each in content["left"]),
        healed_in_all=content["healed_in_all"],
        left_in_all=content["left_in_all"],
    )
