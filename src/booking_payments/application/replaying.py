"""Replaying events: from the inbox, which keeps each body as received, and from the gateway's list after an outage.

Both are processed as a delivery whose signature has been verified, so an event that was processed already has no second
effect.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from booking_payments.ports.inbox import EventKey, InboxEntry, InboxFilter, InboxStatus
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused

UNFINISHED: Final = frozenset({InboxStatus.RECEIVED, InboxStatus.FAILED})
"""Statuses of events whose processing failed or was interrupted."""

KEPT_BY_GATEWAY: Final = timedelta(days=30)
"""How far back the gateway lists events (docs.stripe.com/api/events)."""

REDELIVERY: Final = timedelta(days=3)
"""How long the gateway repeats a failed delivery. An event created up to this long before the newest received one may
still be undelivered, so catching up begins there."""

WINDOW: Final = timedelta(days=3)
"""The time span of one listing. It bounds the memory, and a failure repeats one span and not the whole period."""

AT_ONCE = 500
"""How many events are looked up in the inbox with one query."""

T = TypeVar("T")


@frozen(kw_only=True)
class Replayed:
    """The outcome of replaying one event.

    Attributes:
        event_id: the event's id.
        type: its type; empty when ``unknown``.
        gateway: the name of its gateway; empty when ``unknown``.
        outcome: ``processed``, ``duplicate``, ``ignored``, ``failed``, ``unknown`` for an id that was never received,
            or ``waiting`` in a dry run.
        reason: why it was ignored or has failed, otherwise None.
    """

    event_id: str
    type: str
    gateway: str = ""
    outcome: str
    reason: str | None = None

    @property
    def key(self) -> EventKey:
        """The key of the replayed event."""
        return EventKey(self.gateway, self.event_id, self.type)

    @property
    def failed(self) -> bool:
        """Whether the event should have been processed and was not."""
        return self.outcome in ("failed", "unknown")


async def list_webhooks(deps: Dependencies, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
    """Return the events received that ``which`` selects, newest first, at most ``limit``."""
    return await deps.storage.read(lambda uow: uow.inbox.latest(which, limit))


async def keys_of(deps: Dependencies, which: InboxFilter, event_ids: Sequence[str] = ()) -> Sequence[EventKey]:
    """Return the keys of the received events that ``which`` selects, oldest first.

    With ``event_ids`` only these events are considered, of whatever gateway.
    """

    async def work(uow: UnitOfWork) -> Sequence[EventKey]:
        if not event_ids:
            return await uow.inbox.keys(which)
        found = [entry for each in dict.fromkeys(event_ids) for entry in await uow.inbox.find(each)]
        meant = sorted((entry for entry in found if which.takes(entry)), key=lambda entry: entry.received_at)
        return [entry.key for entry in meant]

    return await deps.storage.read(work)


async def replay_webhooks(
    deps: Dependencies,
    which: InboxFilter,
    event_ids: Sequence[str] = (),
    *,
    dry_run: bool = False,
    progress: Progress = in_silence,
) -> Sequence[Replayed]:
    """Process the selected events again, oldest first; with ``dry_run`` only return them.

    A failed event has the outcome ``failed`` in the result; the others are processed nevertheless.
    """
    keys = await keys_of(deps, which, event_ids)
    found = {key.event_id for key in keys} if event_ids else set()
    unknown = [Replayed(event_id=each, type="", outcome="unknown") for each in event_ids if each not in found]
    if dry_run:
        return [*(_replayed_as(key, "waiting") for key in keys), *unknown]
    return [*await replay_all(deps, keys, progress), *unknown]


async def replay_all(
    deps: Dependencies, keys: Sequence[EventKey], progress: Progress = in_silence
) -> Sequence[Replayed]:
    """Process these events again, in this order."""
    results = []
    for done, key in enumerate(keys, start=1):
        results.append((await _replayed(deps, key))[0])
        progress("replaying events", done, len(keys))
    return results


async def retry_unfinished(deps: Dependencies, which: InboxFilter) -> Sequence[Replayed]:
    """Process the unfinished events that ``which`` selects again, until the gateway stops responding.

    Returns the outcome of each. Those with the fewest tries come first, then the oldest: so neither events that always
    fail, nor an outage in which each takes the full time-out, can keep a new event from being processed.
    """
    results: list[Replayed] = []

    async def take(key: EventKey) -> bool | None:
        replayed, error = await _replayed(deps, key)
        results.append(replayed)
        return not isinstance(error.__cause__, OutcomeAmbiguous | NotSent) if error else None

    await while_answered(await _least_tried_first(deps, which), take)
    return results


async def _least_tried_first(deps: Dependencies, which: InboxFilter) -> Sequence[EventKey]:
    keys = await keys_of(deps, which)

    async def tries_of(uow: UnitOfWork) -> Sequence[tuple[EventKey, int]]:
        found = [row for event_id in {key.event_id for key in keys} for row in await uow.inbox.find(event_id)]
        return [(row.key, row.tries) for row in found]

    tries = dict(await deps.storage.read(tries_of))
    return sorted(keys, key=lambda key: tries.get(key, 0))


async def _rows_of(event_id: str, uow: UnitOfWork) -> Sequence[InboxEntry]:
    return await uow.inbox.find(event_id)


def _replayed_as(key: EventKey, outcome: str, reason: str | None = None) -> Replayed:
    return Replayed(event_id=key.event_id, type=key.type, gateway=key.gateway, outcome=outcome, reason=reason)


async def _replayed(deps: Dependencies, key: EventKey) -> tuple[Replayed, Exception | None]:
    rows = await deps.storage.read(partial(_rows_of, key.event_id))
    deps = deps.at(key.gateway)
    try:
        row = next(row for row in rows if row.key == key)
        event = deps.webhooks.read_again(row.body)
    except WebhookRefused as error:
        return _replayed_as(key, "failed", error.code), error
    return await _attempted(deps, event)


async def _taken_in(deps: Dependencies, event: GatewayEvent) -> Replayed:
    return (await _attempted(deps, event))[0]


async def _attempted(deps: Dependencies, event: GatewayEvent) -> tuple[Replayed, Exception | None]:
    key = EventKey(deps.gateway.name, event.id, event.type)
    try:
        result = await take_in(deps, event)
    except Exception as error:  # the row is stored as failed; an error in one event must not stop the others
        return _replayed_as(key, "failed", _reason(error)), error
    return _replayed_as(key, result.outcome, result.reason), None


def _reason(error: Exception) -> str:
    known = isinstance(error, PaymentError | StorageConflict)
    return type(error.__cause__ if known and error.__cause__ else error).__name__


# --- after an outage -------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CaughtUp:
    """The outcome of a catch-up.

    Attributes:
        replayed: the outcome of each event that had not been processed.
        unread: why a gateway's events could not be read, by the gateway's name.
    """

    replayed: tuple[Replayed, ...]
    unread: Mapping[str, GatewayError | WebhookRefused]


async def catch_up(
    deps: Dependencies, since: datetime | None = None, progress: Progress = in_silence
) -> Sequence[Replayed]:
    """Fetch and process the gateways' events that were never processed, oldest first; returns the outcome of each.

    Args:
        deps: the dependencies.
        since: from this time on, at most 30 days back. None: from ``REDELIVERY`` before the gateway's newest event
            received.
        progress: called after each listing.

    Raises:
        GatewayError: When a gateway can't be read; a note of the exception names it. It is raised after the other
            gateways were read; the events that were processed stay processed.
    """
    found = await catch_up_each(deps, since, progress)
    for name, error in found.unread.items():
        error.add_note(f"while reading the events of the gateway {name}")
        raise error
    return found.replayed


async def catch_up_each(deps: Dependencies, since: datetime | None = None, progress: Progress = in_silence) -> CaughtUp:
    """Do as ``catch_up``, and return the errors of gateways that can't be read instead of raising them."""
    now = deps.clock.now()
    replayed: list[Replayed] = []
    unread: dict[str, GatewayError | WebhookRefused] = {}
    for each in deps.each_gateway():
        spans = list(windows(await _beginning(each, since, now), now, WINDOW))
        try:
            for done, (begin, end) in enumerate(spans, start=1):
                replayed.extend(await _catch_up_on(each, begin, end))
                progress("catching up on events", done, len(spans))
        except (GatewayError, WebhookRefused) as error:
            unread[each.gateway.name] = error
    return CaughtUp(replayed=tuple(replayed), unread=unread)


async def _beginning(deps: Dependencies, since: datetime | None, now: datetime) -> datetime:
    earliest = now - KEPT_BY_GATEWAY
    if since is not None:
        return max(since, earliest)
    newest = await deps.storage.read(lambda uow: uow.inbox.newest(deps.gateway.name))
    return max(min(newest, now) - REDELIVERY, earliest) if newest else earliest


async def _catch_up_on(deps: Dependencies, begin: datetime, end: datetime | None) -> Sequence[Replayed]:
    events = await with_retries(deps, lambda: deps.gateway.list_events(begin, end))
    return [await _taken_in(deps, event) for event in await _not_done(deps, events)]


async def _not_done(deps: Dependencies, events: Sequence[GatewayEvent]) -> Sequence[GatewayEvent]:
    unfinished: list[GatewayEvent] = []
    for some in batches(events, AT_ONCE):
        done = await _done_among(deps, [event.id for event in some])
        unfinished.extend(event for event in some if event.id not in done)
    return unfinished


async def _done_among(deps: Dependencies, ids: Sequence[str]) -> frozenset[str]:
    return frozenset(await deps.storage.read(lambda uow: uow.inbox.done(deps.gateway.name, ids)))


def windows(begin: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the time from ``begin`` in spans of ``length``, on whole seconds.

    The last span has None as its end, so that objects made during the listing are included.
    """
    begin = begin.replace(microsecond=0)
    while begin + length < end:
        yield begin, begin + length
        begin += length
    yield begin, None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield ``items`` in lists of at most ``size``."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
