"""New identifiers, as a port, so that a run can be repeated."""

from typing import Protocol


class Ids(Protocol):
    """Makes identifiers that nobody can guess."""

    def new(self, prefix: str) -> str:
        """A new id such as ``pay_...``: ``prefix``, an underscore, and at least 120 random bits."""
        ...

    def idempotency_key(self) -> str:
        """A new key for one call to the gateway; high entropy, nothing personal in it."""
        ...
