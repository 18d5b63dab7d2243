"""The repository of received webhook events."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, NamedTuple, Protocol

from attrs import field, frozen


class InboxStatus(Enum):
    """State of a webhook. A repetition is a duplicate only of one that is ``processed`` or ``ignored``."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"

    @property
    def is_done(self) -> bool:
        """True when the webhook needs no further processing."""
        return self in (InboxStatus.PROCESSED, InboxStatus.IGNORED)


class EventKey(NamedTuple):
    """What identifies a stored event. Gateways choose their event ids independently, so two may use the same one."""

    gateway: str
    event_id: str
    type: str


@frozen(kw_only=True)
class InboxEntry:
    """A stored webhook event, unique by ``gateway``, ``event_id`` and ``type`` together.

    Attributes:
        body: the part of the event that its reader stores.
        reason: why it was ignored, or how its processing failed; None otherwise.
        tries: how often it was processed.
        gateway: the name of the gateway that it comes from.
        created_at: when the gateway created it; None if it does not say.
        delivered_at: when it was first delivered; None if it was only read from the gateway's list.
    """

    event_id: str
    type: str
    gateway: str
    status: InboxStatus
    object_id: str | None
    received_at: datetime
    body: str = field(repr=False)
    reason: str | None = None
    processed_at: datetime | None = None
    tries: int = 0
    created_at: datetime | None = None
    delivered_at: datetime | None = None

    @property
    def key(self) -> EventKey:
        """What identifies the event."""
        return EventKey(self.gateway, self.event_id, self.type)


@frozen(kw_only=True)
class InboxFilter:
    """Conditions on events; None leaves a condition out. ``received_from`` is inclusive."""

    statuses: frozenset[InboxStatus] | None = None
    type: str | None = None
    received_from: datetime | None = None

    def takes(self, entry: InboxEntry) -> bool:
        """True when ``entry`` satisfies all conditions."""
        return (
            (self.statuses is None or entry.status in self.statuses)
            and self.type in (None, entry.type)
            and (self.received_from is None or entry.received_at >= self.received_from)
        )


REFUSALS_KEPT: Final = timedelta(days=7)
"""How long the counts of refused deliveries are kept."""


class Inbox(Protocol):
    """The received webhook events."""

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        """Return all entries with this event id.

        Normally at most one; several when other gateways use the same id, or when it was received with two types.
        """
        ...

    async def put(self, entry: InboxEntry) -> None:
        """Store an entry, or replace the one with the same key.

        The transaction starts again when it has looked for the entry without finding it, and another one has stored it
        since.
        """
        ...

    async def unfinished(self, limit: int) -> Sequence[InboxEntry]:
        """Return entries that are ``received`` or ``failed``, oldest first."""
        ...

    async def latest(self, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
        """Return the entries that satisfy the conditions, newest first."""
        ...

    async def keys(self, which: InboxFilter) -> Sequence[EventKey]:
        """Return the keys of the entries that satisfy the conditions, oldest first."""
        ...

    async def done(self, gateway: str, event_ids: Collection[str]) -> Collection[str]:
        """Return those of the gateway's ``event_ids`` that were processed or ignored."""
        ...

    async def newest(self, gateway: str) -> datetime | None:
        """Return the latest ``created_at`` of the gateway's entries; None without entries."""
        ...

    async def latest_delivery(self, gateway: str) -> datetime | None:
        """Return when the gateway's latest event was delivered; None without one. Events from lists do not count."""
        ...

    async def count_refused(self, gateway: str, hour: datetime, deliveries: int) -> None:
        """Add ``deliveries`` to the gateway's deliveries with a wrong signature in the hour that begins at ``hour``.

        Counts of any gateway that are older than ``REFUSALS_KEPT`` are removed.
        """
        ...

    async def refused_since(self, gateway: str, at: datetime) -> int:
        """Return the gateway's number of deliveries with a wrong signature in the hours since ``at``."""
        ...
