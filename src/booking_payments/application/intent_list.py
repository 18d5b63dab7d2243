"""Looking for an intent whose id we never learned: in the gateway's list of all that were made since a time."""

from collections.abc import Mapping
from datetime import datetime

from attrs import define, evolve, field

from booking_payments.application.gateway_call import with_retries
from booking_payments.application.world import World
from booking_payments.domain import decisions
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.payment import Operation


@define
class IntentList:
    """The gateway's intents, listed when one is first looked for, and once for all who share this: the list is long.

    ``begun_at``: nothing is listed before.
    """

    begun_at: datetime
    _since: datetime | None = None
    _ids: Mapping[str, str] = field(factory=dict)

    async def find(self, world: World, payment_id: str, since: datetime) -> str | None:
        """The id of the intent that names this payment, if one was made at or after ``since``. Raises
        ``GatewayError``."""
        if self._since is None or since < self._since:
            intents = await with_retries(world, lambda: world.gateway.list_intents(since))
            self._ids = {intent.metadata.get("payment_id", ""): intent.id for intent in reversed(intents)}
            self._since = since
        return self._ids.get(payment_id)

    def shows_all_of(self, operation: Operation, booking: Booking) -> bool:
        """Whether an intent of ``operation`` that is missing in this list was never made.

        Nobody was at the operation when the list was begun. If by its time it could not be sent any more then, nobody
        has sent it since.
        """
        waiting = evolve(booking, status=BookingStatus.PENDING)  # who closed it since may have waited for a request
        return not decisions.may_send(operation, waiting, self.begun_at)
