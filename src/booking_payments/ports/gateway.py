"""The gateway: whoever moves the money.

Each call either returns a report of the object, or raises one of the errors below, which say what is known about
the money. Every call that changes something takes our idempotency key: the same key with the same instruction has
one effect for at least 24 hours, however often it is sent.

::

    GatewayError
    ├── Declined        the gateway's verdict went against the attempt; no money moved
    ├── Refused         the request was understood and refused; nothing was done by it
    │   └── NotThere    there is no such object
    ├── Unreachable     certainly nothing happened: no connection, or a rate limit; the same key may be sent again
    ├── Silent          we do not know: a timeout, a 5xx, a conflict; the same key may be sent again
    ├── Misconfigured   wrong or missing keys, or rights; nothing happened until somebody mends the settings
    └── KeyMisused      this key was used for something else: an alarm; look the object up, never swap the key
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, Failure, IntentReport, RefundReport, Unreadable
from booking_payments.ports.webhooks import GatewayEvent, WebhookReader


class GatewayError(Exception):
    """Root of what a gateway raises. ``code`` is the gateway's own word where it has one."""

    worth_another_try = True
    """False where the gateway itself says that the same request would end in the same way."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Declined(GatewayError):
    """A decline, with the intent that it leaves behind (a refused create leaves one, too)."""

    def __init__(self, failure: Failure, intent: IntentReport | None) -> None:
        super().__init__(failure.decline.message, code=failure.decline.code)
        self.failure = failure
        self.intent = intent


class Refused(GatewayError):
    """Understood and refused. ``param`` names the wrong parameter; ``intent`` is one that exists all the same."""

    def __init__(
        self, message: str, *, code: str, param: str | None = None, intent: IntentReport | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.param = param
        self.intent = intent


class NotThere(Refused):
    """The gateway knows no such object."""


class Unreachable(GatewayError):
    """Nothing happened. Try the same key again after a while."""


class Silent(GatewayError):
    """It may have happened. Try the same key again, then read. ``unreadable`` is the object that was answered, where
    there is one and only we can't read it. ``stored``: the gateway answered with an error of its own, which it repeats
    for as long as it keeps the key, so that sending it again tells nothing."""

    def __init__(self, message: str, *, code: str, unreadable: Unreadable | None = None, stored: bool = False) -> None:
        super().__init__(message, code=code)
        self.unreadable = unreadable
        self.stored = stored


class Misconfigured(GatewayError):
    """Our keys or rights are wrong. ``forbidden``: the key is known, and may not do this."""

    def __init__(self, message: str, *, code: str, forbidden: bool = False) -> None:
        super().__init__(message, code=code)
        self.forbidden = forbidden


class KeyMisused(GatewayError):
    """The key belongs to another request; the first one may have worked."""


class Intents(Protocol):
    """Charging: one intent per payment, at most one successful charge per intent."""

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        """Make an intent, charged at once when the instruction says so."""
        ...

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        """Give an open intent another payment method, which is charged when it is confirmed. Raises ``Refused`` with
        ``payment_intent_unexpected_state`` where the intent does not admit it in its present state."""
        ...

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        """Charge an intent. Some refuse it while the customer is to authenticate another payment method: they raise
        ``Refused`` with ``payment_intent_unexpected_state``, and the intent can be canceled."""
        ...

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        """Collect held money."""
        ...

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        """Give an intent up. Raises ``Refused`` where it is final already."""
        ...

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        """The intent as it is now. Raises ``NotThere``."""
        ...

    def amount_step(self, currency: Currency) -> int:
        """All amounts in this currency are multiples of so many minor units here; 1 where every amount will do.

        What we compute is rounded to it, so that it can be asked for.
        """
        ...

    def check_amount(self, amount: Money) -> None:
        """Raise ``RefusedByRule`` for an amount that this gateway can't express to the minor unit."""
        ...

    def check_charge(self, amount: Money) -> None:
        """Raise ``RefusedByRule`` for an amount that can't be charged: not expressible, too small, too large."""
        ...


class Refunds(Protocol):
    """Giving money back."""

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        """Give an amount of a charge back."""
        ...

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        """The refund as it is now. Raises ``NotThere``."""
        ...

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        """All refunds of an intent, oldest first."""
        ...


class Disputes(Protocol):
    """Claims of the customers' banks."""

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        """The dispute as it is now. Raises ``NotThere``."""
        ...

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        """All disputes of an intent, oldest first."""
        ...


class CatchUp(Protocol):
    """Looking back: what reconciliation and recovery after an outage read.

    The account may not be ours alone, so an object that can't be read stands in its list as ``Unreadable`` and spoils
    none of the others.
    """

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        """All intents made at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_refunds_made(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[RefundReport | Unreadable]:
        """All refunds made at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_disputes_opened(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[DisputeReport | Unreadable]:
        """All disputes opened at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        """All events made at or after ``since`` (and before ``until``), oldest first. Gateways keep them for a while
        (Stripe: 30 days). One that can't be read is left out: what it tells of is in the other lists."""
        ...


class Gateway(Intents, Refunds, Disputes, CatchUp, Protocol):
    """All that we ask of a gateway. ``name`` is shown to clients; ``livemode`` is True where real money moves."""

    @property
    def name(self) -> str: ...

    @property
    def livemode(self) -> bool: ...


@frozen
class OwnGateway:
    """An adapter of somebody else's, for the house to work with: the gateway, and what reads its events.

    Both belong together: another's reader would believe events that anybody may have signed. Whoever made it closes it.
    """

    gateway: Gateway
    webhooks: WebhookReader
