"""Where the model's state outlives the process."""

from collections.abc import Iterable
from typing import Protocol

from booking_payments.sandbox.emulator.answers import Json

Change = tuple[str, str, Json | None]
"""Kind, id and new JSON-safe document of a record; ``None`` when the record is gone."""


class FakeStore(Protocol):
    """Keeps documents by kind and id."""

    def load(self) -> Iterable[tuple[str, str, Json]]:
        """Every document kept, in any order; called once, when the model is made."""

    def save(self, changes: list[Change]) -> None:
        """Keep all of these or none; called at the end of each call that changed something.

        Raising makes the call fail; what the model then holds in memory is ahead of the store, so make it
        anew.
        """
