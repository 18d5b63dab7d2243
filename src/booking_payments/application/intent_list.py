"""Finding an intent whose id is unknown, in the gateway's list of all intents that were made since a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.gateway_call import with_retries
from booking_payments.domain import decisions, metadata_keys
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.payment import Operation
from booking_payments.domain.reports import IntentReport, Unreadable

CLOCKS_APART: Final = timedelta(hours=1)
"""How far the gateway's clock may be behind ours. An intent that exists and is not found could be a lost charge."""

Listed = IntentReport | Unreadable


@define
class IntentList:
    """The gateway's intents, listed at the first search and kept for the later ones, since the list is long.

    Only a list that was read to its last page is kept.

    Attributes:
        begun_at: when this object was made; the list is read later.
        walked_at: when reading the list began; None before the first search.
    """

    begun_at: datetime
    walked_at: datetime | None = None
    _since: datetime | None = None
    _of_payments: Mapping[str, Sequence[Listed]] = field(factory=dict)

    async def find(self, deps: Dependencies, payment_id: str, first_sent: datetime) -> str | None:
        """Return the id of the intent that was made for this payment by a call first sent at ``first_sent``.

        None when the list does not have it, allowing for ``CLOCKS_APART`` between the clocks.

        Raises:
            GatewayError: When the list can't be read.
        """
        since = first_sent - CLOCKS_APART
        if self._since is None or since < self._since:
            begun = deps.clock.now()
            intents = await with_retries(deps, lambda: deps.gateway.list_intents(since))
            self._of_payments, self._since, self.walked_at = _by_payment(intents), since, begun
        made = self._of_payments.get(payment_id, ())
        return next((each.id for each in made if _is_ours(each.metadata, deps.config.installation_id)), None)

    def shows_all_of(self, operation: Operation, booking: Booking) -> bool:
        """Whether an intent of ``operation`` that is missing in this list was never made.

        No other process held the operation's lease when the list was begun. If the operation was too old to be sent at
        that time, it has not been sent since either.
        """
        # The booking may have been closed since, after a call that was sent while it was still pending.
        waiting = evolve(booking, status=BookingStatus.PENDING)
        return not decisions.may_send(operation, waiting, self.begun_at)


def _by_payment(intents: Sequence[Listed]) -> Mapping[str, Sequence[Listed]]:
    found: dict[str, list[Listed]] = {}
    for intent in intents:
        found.setdefault(intent.metadata.get(metadata_keys.PAYMENT_ID, ""), []).append(intent)
    return found


def _is_ours(metadata: Mapping[str, str], installation_id: str | None) -> bool:
    """Whether the metadata name no other installation."""
    return installation_id is None or metadata.get(metadata_keys.INSTALLATION_ID, installation_id) == installation_id
