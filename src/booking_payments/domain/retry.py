"""Two things that are bounded apart: tries of one gateway call, and charge attempts of one payment.

A *try* repeats the same call with the same idempotency key after a transient fault. An *attempt* is a new charge
with a new key, and only a verdict of the gateway (a decline, a failed authentication) uses one up.
"""

from datetime import timedelta
from random import Random
from typing import Final

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput

KEY_LIFETIME: Final = timedelta(hours=23)
"""After this age a key is never sent again: Stripe may prune it after 24 h and would charge anew; 1 h is margin."""

MICROSECOND: Final = timedelta(microseconds=1)


@frozen(kw_only=True)
class RetryPolicy:
    """How one gateway call is repeated: ``max_tries`` in total, exponential backoff with full-range jitter.

    The delay before try n+1 lies between half and all of ``first_delay`` x 2^(n-1), never above ``max_delay``.
    """

    max_tries: int = field(default=3)
    first_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(seconds=20)

    @max_tries.validator
    def _at_least_one(self, _: object, tries: int) -> None:
        if tries < 1:
            raise InvalidInput("a call is tried at least once")

    def delay_after(self, tries: int, random: Random) -> timedelta | None:
        """How long to wait after ``tries`` tries, or None when that was the last one."""
        if tries >= self.max_tries:
            return None
        # In whole numbers, which have room for any power of two; a timedelta has not.
        microseconds = min(self.first_delay // MICROSECOND * 2 ** (tries - 1), self.max_delay // MICROSECOND)
        return timedelta(microseconds=random.randint(microseconds // 2, microseconds))


RESOLVE_SCHEDULE: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
)
"""When an unknown outcome is looked at again: seconds, minutes, hours, then once a day, for ever."""


def next_look(looks: int) -> timedelta:
    """How long after the ``looks``-th look the next one is due."""
    return RESOLVE_SCHEDULE[looks] if looks < len(RESOLVE_SCHEDULE) else timedelta(days=1)
