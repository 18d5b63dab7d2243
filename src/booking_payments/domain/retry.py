"""Two separate limits: tries of one gateway call, and charge attempts of one payment.

A *try* repeats the same call with the same idempotency key after a transient error. An *attempt* is a new charge with a
new key; only a verdict of the gateway (a decline, a failed authentication) uses one up.
"""

from datetime import timedelta
from random import Random
from typing import Final

from attrs import field, frozen

from booking_payments.domain.errors import InvalidInput

KEY_LIFETIME: Final = timedelta(hours=23)
"""A key of this age is not sent again: Stripe may remove it after 24 h and would then charge anew; 1 h is margin."""

MICROSECOND: Final = timedelta(microseconds=1)


@frozen(kw_only=True)
class RetryPolicy:
    """How one gateway call is repeated: exponential backoff with jitter.

    The delay before try n+1 lies between half and all of ``first_delay`` x 2^(n-1), and is at most ``max_delay``.

    Attributes:
        max_tries: number of tries in total.
        first_delay: largest delay after the first try.
        max_delay: upper limit of a delay.
    """

    max_tries: int = field(default=3)
    first_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(seconds=20)

    @max_tries.validator
    def _at_least_one(self, _: object, tries: int) -> None:
        if tries < 1:
            raise InvalidInput("a call is tried at least once")

    def delay_after(self, tries: int, random: Random) -> timedelta | None:
        """Return how long to wait after ``tries`` tries; None when that was the last one."""
        if tries >= self.max_tries:
            return None
        # Computed in integers: a large power of two overflows a timedelta.
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
"""Delays between checks of an unknown outcome; after the last one, a check a day without end."""


def next_check(checks: int) -> timedelta:
    """Return the delay between check number ``checks`` and the next one."""
    return RESOLVE_SCHEDULE[checks] if checks < len(RESOLVE_SCHEDULE) else timedelta(days=1)
