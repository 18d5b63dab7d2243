"""Events again: from the inbox, where they are kept as they came, and from the gateway, after an outage.

Both go the way of a delivery from behind its signature on, so what was processed already has no second effect.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from attrs import frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.gateway_call import with_retries
from booking_payments.application.passes import while_answered
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.webhooks import take_in
from booking_payments.domain.errors import PaymentError
from booking_payments.ports.gateway import GatewayError, NotSent, OutcomeAmbiguous
from booking_payments.ports.inbox import InboxEntry, InboxFilter, InboxStatus
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused

UNFINISHED: Final = frozenset({InboxStatus.RECEIVED, InboxStatus.FAILED})
"""What is left to do: events whose processing failed, or was cut short."""

KEPT_BY_GATEWAY: Final = timedelta(days=30)
"""How far back the gateway lists events (docs.stripe.com/api/events)."""

REDELIVERY: Final = timedelta(days=3)
"""For so long the gateway repeats a delivery by itself. When an event came, others from as long before may not have
come yet, so looking back begins there."""

WINDOW: Final = timedelta(days=3)
"""What is listed in one go, so that a long time fits into memory, and a failure does not begin it all anew."""

AT_ONCE = 500
"""How many events are looked up in the inbox at a time."""

T = TypeVar("T")


@frozen(kw_only=True)
class Replayed:
    """What became of an event: ``processed``, ``duplicate``, ``ignored``, ``failed`` (the reason for the last two),
    ``unknown`` for one that was never received, or ``waiting`` when nothing was to be done yet."""

    event_id: str
    type: str
    outcome: str
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it was to be processed and was not."""
        return self.outcome in ("failed", "unknown")


async def list_webhooks(deps: Dependencies, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
    """Events received, newest first."""
    return await deps.storage.read(lambda uow: uow.inbox.latest(which, limit))


async def names_of(deps: Dependencies, which: InboxFilter, event_ids: Sequence[str] = ()) -> Sequence[tuple[str, str]]:
    """Event id and type of the events received that are meant, oldest first; of ``event_ids`` only, where given."""

    async def work(uow: UnitOfWork) -> Sequence[tuple[str, str]]:
        if not event_ids:
            return await uow.inbox.names(which)
        found = [entry for each in dict.fromkeys(event_ids) for entry in await uow.inbox.find(each)]
        meant = sorted((entry for entry in found if which.takes(entry)), key=lambda entry: entry.received_at)
        return [(entry.event_id, entry.type) for entry in meant]

    return await deps.storage.read(work)


async def replay_webhooks(
    deps: Dependencies,
    which: InboxFilter,
    event_ids: Sequence[str] = (),
    *,
    dry_run: bool = False,
    progress: Progress = in_silence,
) -> Sequence[Replayed]:
    """Process the events that are meant again, oldest first; with ``dry_run`` only say which these are.

    A failure is told in the result and stops nothing.
    """
    names = await names_of(deps, which, event_ids)
    found = {event_id for event_id, _ in names} if event_ids else set()
    unknown = [Replayed(event_id=each, type="", outcome="unknown") for each in event_ids if each not in found]
    if dry_run:
        return [*(Replayed(event_id=event_id, type=type_, outcome="waiting") for event_id, type_ in names), *unknown]
    return [*await replay_all(deps, names, progress), *unknown]


async def replay_all(
    deps: Dependencies, names: Sequence[tuple[str, str]], progress: Progress = in_silence
) -> Sequence[Replayed]:
    """Process these events (id and type) again, in this order."""
    results = []
    for done, (event_id, type_) in enumerate(names, start=1):
        results.append(await _replay(deps, event_id, type_))
        progress("replaying events", done, len(names))
    return results


async def retry_unfinished(deps: Dependencies, which: InboxFilter) -> Sequence[Replayed]:
    """Process the unfinished events that are meant again, until the gateway falls silent; what became of each.

    Those that were tried least come first, then the oldest, so that no number of events that fail again and again, nor
    an outage in which each takes all its patience, keeps a new one from its turn.
    """
    results: list[Replayed] = []

    async def take(name: tuple[str, str]) -> bool | None:
        replayed, error = await _replayed(deps, *name)
        results.append(replayed)
        return not isinstance(error.__cause__, OutcomeAmbiguous | NotSent) if error else None

    await while_answered(await _least_tried_first(deps, which), take)
    return results


async def _least_tried_first(deps: Dependencies, which: InboxFilter) -> Sequence[tuple[str, str]]:
    names = await names_of(deps, which)

    async def tries_of(uow: UnitOfWork) -> Sequence[tuple[tuple[str, str], int]]:
        found = [row for event_id, _ in names for row in await uow.inbox.find(event_id)]
        return [((row.event_id, row.type), row.tries) for row in found]

    tries = dict(await deps.storage.read(tries_of))
    return sorted(names, key=lambda name: tries.get(name, 0))


async def _rows_of(event_id: str, uow: UnitOfWork) -> Sequence[InboxEntry]:
    return await uow.inbox.find(event_id)


async def _replay(deps: Dependencies, event_id: str, type_: str) -> Replayed:
    return (await _replayed(deps, event_id, type_))[0]


async def _replayed(deps: Dependencies, event_id: str, type_: str) -> tuple[Replayed, Exception | None]:
    rows = await deps.storage.read(partial(_rows_of, event_id))
    try:
        row = next(row for row in rows if row.type == type_)
        deps = deps.at(row.gateway)
        event = deps.webhooks.read_again(row.body)
    except WebhookRefused as error:
        return Replayed(event_id=event_id, type=type_, outcome="failed", reason=error.code), error
    return await _attempted(deps, event)


async def _taken_in(deps: Dependencies, event: GatewayEvent) -> Replayed:
    return (await _attempted(deps, event))[0]


async def _attempted(deps: Dependencies, event: GatewayEvent) -> tuple[Replayed, Exception | None]:
    try:
        result = await take_in(deps, event)
    except Exception as error:  # the row is kept as failed, whatever it was; the next event may fare better
        return Replayed(event_id=event.id, type=event.type, outcome="failed", reason=_reason(error)), error
    return Replayed(event_id=event.id, type=event.type, outcome=result.outcome, reason=result.reason), None


def _reason(error: Exception) -> str:
    known = isinstance(error, PaymentError | StorageConflict)
    return type(error.__cause__ if known and error.__cause__ else error).__name__


# --- after an outage -------------------------------------------------------------------------------------------


async def catch_up(
    deps: Dependencies, since: datetime | None = None, progress: Progress = in_silence
) -> Sequence[Replayed]:
    """Take in what the gateways have told in vain since ``since``, oldest first; what became of each such event.

    By default it is read from the last event seen on, with an overlap for those that were still on their way.
    Raises ``GatewayError`` when a gateway can't be read, after all others have been; what was taken in stays.
    """
    now = deps.clock.now()
    found: list[Replayed] = []
    spans = list(windows(await _beginning(deps, since, now), now, WINDOW))
    unread: GatewayError | None = None
    for each in deps.each_gateway():
        try:
            for done, (begin, end) in enumerate(spans, start=1):
                found.extend(await _catch_up_on(each, begin, end))
                progress("catching up on events", done, len(spans))
        except GatewayError as error:
            unread = unread or error
    if unread is not None:
        raise unread
    return found


async def _beginning(deps: Dependencies, since: datetime | None, now: datetime) -> datetime:
    earliest = now - KEPT_BY_GATEWAY
    if since is not None:
        return max(since, earliest)
    newest = await deps.storage.read(lambda uow: uow.inbox.newest())
    return max(min(newest, now) - REDELIVERY, earliest) if newest else earliest


async def _catch_up_on(deps: Dependencies, begin: datetime, end: datetime | None) -> Sequence[Replayed]:
    events = await with_retries(deps, lambda: deps.gateway.list_events(begin, end))
    return [await _taken_in(deps, event) for event in await _news_among(deps, events)]


async def _news_among(deps: Dependencies, events: Sequence[GatewayEvent]) -> Sequence[GatewayEvent]:
    observation: list[GatewayEvent] = []
    for some in batches(events, AT_ONCE):
        done = await _done_among(deps, [event.id for event in some])
        observation.extend(event for event in some if event.id not in done)
    return observation


async def _done_among(deps: Dependencies, ids: Sequence[str]) -> frozenset[str]:
    return frozenset(await deps.storage.read(lambda uow: uow.inbox.done(ids)))


def windows(begin: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime | None]]:
    """The time from ``begin`` in pieces of whole seconds; the last has no end, so that nothing of now is missed."""
    begin = begin.replace(microsecond=0)
    while begin + length < end:
        yield begin, begin + length
        begin += length
    yield begin, None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
