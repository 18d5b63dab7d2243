"""Identifiers as a port, so that a test run can be repeated."""

from typing import Protocol


class Ids(Protocol):
    """Generates unguessable identifiers."""

    def new(self, prefix: str) -> str:
        """Return a new id such as ``pay_...``: ``prefix``, an underscore, and at least 120 random bits."""
        ...

    def idempotency_key(self) -> str:
        """Return a new key for one call to the gateway, random and without personal data."""
        ...
