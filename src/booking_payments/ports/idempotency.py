"""The repository of stored responses, by idempotency key."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from attrs import field, frozen

LIBRARY_ROUTE: Final = "library "
"""Prefix of ``route`` for calls of the library; for the HTTP API ``route`` begins with the method."""

ANSWER_LIFETIME: Final = timedelta(hours=72)
"""How long a response is stored: longer than the gateway's own 24 hours, and than a weekend."""


@frozen(kw_only=True)
class StoredAnswer:
    """The response to a request with an idempotency key, or the mark of a request that is running.

    Unique by ``caller``, ``route`` and ``key``.

    Attributes:
        fingerprint: SHA-256 of the request.
        locked_until: until then a request without a ``status`` counts as running.
        status: None while the request is running.
    """

    caller: str
    route: str
    key: str
    fingerprint: str
    created_at: datetime
    locked_until: datetime
    status: int | None = None
    media_type: str | None = None
    body: bytes | None = field(default=None, repr=False)


class Answers(Protocol):
    """Stored responses of the HTTP API and of the library."""

    async def get(self, caller: str, route: str, key: str) -> StoredAnswer | None:
        """Return the stored response, locked until the transaction ends; None without one."""
        ...

    async def put(self, answer: StoredAnswer) -> None:
        """Store a response, or replace the one with the same caller, route and key.

        The transaction starts again when it has looked for the response without finding it, and another one has stored
        it since.
        """
        ...

    async def remove(self, caller: str, route: str, key: str) -> None:
        """Remove the stored response; nothing happens without one."""
        ...

    async def remove_older(self, than: datetime) -> int:
        """Remove responses created before ``than``; returns their number."""
        ...
