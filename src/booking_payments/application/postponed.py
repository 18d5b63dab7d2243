"""What a queue passes over for a while because nothing can be done about it yet."""

from collections import OrderedDict
from datetime import datetime
from typing import Final

MOST_KEPT: Final = 10_000


class Postponed:
    """Ids that this process leaves alone until a time each. Kept in memory only: to look too early does no harm."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, datetime] = OrderedDict()

    def put(self, id_: str, until: datetime) -> None:
        """Leave ``id_`` alone until then; beyond ``MOST_KEPT`` those that were put here first are forgotten."""
        self._until[id_] = until
        self._until.move_to_end(id_)
        if len(self._until) > MOST_KEPT:
            self._until.popitem(last=False)

    def holds(self, id_: str, now: datetime) -> bool:
        """Whether ``id_`` is to be left alone at ``now``."""
        until = self._until.get(id_)
        if until is None:
            return False
        if until <= now:
            del self._until[id_]
        return until > now
