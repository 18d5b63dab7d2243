"""What every use case works with: the ports and the house's terms, handed in once."""

from datetime import timedelta
from random import Random
from typing import Final

from attrs import field, frozen

from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.refunds import RefundPolicy
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway, WebhookReader
from booking_payments.ports.ids import Ids
from booking_payments.ports.publisher import Publisher
from booking_payments.ports.storage import Storage

LONGEST_TRY: Final = timedelta(seconds=20)
"""No single request to a gateway takes longer."""


@frozen(kw_only=True)
class Terms:
    """The house's terms, which a payment keeps as they were when it was started.

    ``lease`` is how long an operation in flight belongs to whoever began it; it outlasts the longest call, retries
    included. ``max_unpaid_bookings`` is how many holds one customer may keep; 0: any number.
    """

    fees: FeePolicy = FeePolicy()
    refunds: RefundPolicy = RefundPolicy()
    max_attempts: int = 3
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    return_url: str | None = None
    method_types: tuple[str, ...] = ()
    max_unpaid_bookings: int = 0
    lease: timedelta = timedelta(seconds=60)

    @property
    def patience(self) -> timedelta:
        """How long one call to the gateway is tried again, so that its last try still ends within the lease."""
        return max(self.lease - LONGEST_TRY, self.lease / 2)


@frozen(kw_only=True)
class World:
    """The ports, and the terms."""

    storage: Storage
    gateway: Gateway
    webhooks: WebhookReader
    publisher: Publisher
    clock: Clock
    ids: Ids
    random: Random
    terms: Terms = field(factory=Terms)
    retry: RetryPolicy = field(factory=RetryPolicy)
