"""Limits how often one payment is read from the gateway, however often its page asks for it."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

FRESH: Final = timedelta(seconds=2)
"""For this time after a read, the stored payment counts as current."""
MOST_KEPT: Final = 10_000


class RecentReads:
    """The times of the last reads of this process, by payment; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._read_at: OrderedDict[str, datetime] = OrderedDict()

    def begin(self, payment_id: str, now: datetime) -> bool:
        """Whether the gateway may be read now; if so, this counts as a read.

        False for ``FRESH`` after a read has begun, also while it is under way: callers that come
        together cost one call. A clock that was put back does not block reads.
        """
        last = self._read_at.get(payment_id)
        if last is not None and last <= now < last + FRESH:
            return False
        self._read_at[payment_id] = now
        self._read_at.move_to_end(payment_id)
        if len(self._read_at) > MOST_KEPT:
            self._read_at.popitem(last=False)
        return True
