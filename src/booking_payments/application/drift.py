"""What reconciliations said, kept so that it can be read afterwards by others than whoever ran them."""

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
"""How many findings of each kind a kept report holds; the command line prints them all."""


@frozen(kw_only=True)
class KeptReport:
    """One run: when it ended, who asked for it, from when on it compared, how much, and what it found."""

    at: datetime
    actor: str
    since: datetime
    counts: Mapping[str, int]
    healed: tuple[Finding, ...]
    left: tuple[Finding, ...]
    healed_in_all: int
    left_in_all: int


async def keep_report(deps: Dependencies, result: Reconciliation, caller: Caller) -> None:
    """Keep what was found. When storage is too busy for it the run counts all the same."""
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
    """The last reports, newest first."""
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
