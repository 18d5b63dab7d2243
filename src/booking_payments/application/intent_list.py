"""Looking for an intent whose id we never learned: in the gateway's list of all that were made since a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.gateway_call import with_retries
from booking_payments.domain import decisions
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.payment import Operation
from booking_payments.domain.reports import IntentReport, Unreadable

CLOCKS_APART: Final = timedelta(hours=1)
"""How far the gateway's clock may lie behind ours. Not finding an intent that exists could mean losing a charge."""

Listed = IntentReport | Unreadable


@define
class IntentList:
    """The gateway's intents, listed when one is first looked for, and once for all who share this: the list is long.

    ``begun_at``: nothing is listed before. ``walked_at``: when the list was begun; None while there is none. Only a
    list that was read to its last page is kept.
    """

    begun_at: datetime
    walked_at: datetime | None = None
    _since: datetime | None = None
    _of_payments: Mapping[str, Sequence[Listed]] = field(factory=dict)

    async def find(self, deps: Dependencies, payment_id: str, first_sent: datetime) -> str | None:
        """The id of the intent that was made for this payment by a call first sent at ``first_sent``. None when it is
        not in the list, whatever the gateway's clock says. Raises ``GatewayError``."""
        since = first_sent - CLOCKS_APART
        if self._since is None or since < self._since:
            begun = deps.clock.now()
            intents = await with_retries(deps, lambda: deps.gateway.list_intents(since))
            self._of_payments, self._since, self.walked_at = _by_payment(intents), since, begun
        made = self._of_payments.get(payment_id, ())
        return next((each.id for each in made if _is_ours(each.metadata, deps.config.installation_id)), None)

    def shows_all_of(self, operation: Operation, booking: Booking) -> bool:
        """Whether an intent of ``operation`` that is missing in this list was never made.

        Nobody was at the operation when the list was begun. If by its time it could not be sent any more then, nobody
        has sent it since.
        """
        waiting = evolve(booking, status=BookingStatus.PENDING)  # who closed it since may have waited for a request
        return not decisions.may_send(operation, waiting, self.begun_at)


def _by_payment(intents: Sequence[Listed]) -> Mapping[str, Sequence[Listed]]:
    found: dict[str, list[Listed]] = {}
    for intent in intents:
        found.setdefault(intent.metadata.get("payment_id", ""), []).append(intent)
    return found


def _is_ours(metadata: Mapping[str, str], installation_id: str | None) -> bool:
    """Whether the metadata name no other installation."""
    return installation_id is None or metadata.get("installation_id", installation_id) == installation_id
