"""The gateway port: charges, refunds and disputes at a payment provider.

Each call either returns a report of the object, or raises one of the errors below, which say whether money may have
moved. Every call that changes something takes an idempotency key: calls with the same key and the same instruction have
one effect, within at least 24 hours.

::

    GatewayError
    ├── Declined            the gateway declined the attempt; no money moved
    ├── GatewayRefused      the request is valid and was refused; it had no effect
    │   └── ObjectNotFound  the object does not exist
    ├── NotSent             the request had no effect: no connection, or a rate limit; the same key may be sent again
    ├── OutcomeAmbiguous    the outcome is unknown: a timeout, a 5xx, a conflict; the same key may be sent again
    ├── Misconfigured       wrong or missing keys, or permissions; no effect until the settings are corrected
    └── KeyMisused          the key was used for another request: raise an alert; read the object, never change the key
"""

from collections.abc import Mapping, Sequence
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
    """Base class of the errors that a gateway raises. ``code`` is the gateway's own code if it has one."""

    worth_another_try = True
    """False when the gateway states that the same request would have the same result."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Declined(GatewayError):
    """The attempt was declined.

    Attributes:
        failure: the decline, and the charge and the method if known.
        intent: the intent, which exists even when its creation was declined; None if the response lacks it.
    """

    def __init__(self, failure: Failure, intent: IntentReport | None) -> None:
        super().__init__(failure.decline.message, code=failure.decline.code)
        self.failure = failure
        self.intent = intent


class GatewayRefused(GatewayError):
    """The request is valid and was refused.

    Attributes:
        param: the name of the wrong parameter; None if the response has none.
        intent: an intent that exists in spite of the refusal; None without one.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, intent: IntentReport | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.param = param
        self.intent = intent


class ObjectNotFound(GatewayRefused):
    """The object does not exist at the gateway."""


class NotSent(GatewayError):
    """The request had no effect. The same key may be sent again later."""


class OutcomeAmbiguous(GatewayError):
    """The outcome of the request is unknown. Send the same key again, then read the object.

    Attributes:
        unreadable: the object in the response, if it could be identified but not decoded.
        stored: the gateway answered with an internal error, which it repeats for as long as it keeps the key, so that
            sending it again reveals nothing.
    """

    def __init__(self, message: str, *, code: str, unreadable: Unreadable | None = None, stored: bool = False) -> None:
        super().__init__(message, code=code)
        self.unreadable = unreadable
        self.stored = stored


class Misconfigured(GatewayError):
    """The API key or its permissions are wrong. ``forbidden``: the key is valid and lacks the permission."""

    def __init__(self, message: str, *, code: str, forbidden: bool = False) -> None:
        super().__init__(message, code=code)
        self.forbidden = forbidden


class KeyMisused(GatewayError):
    """The key was used for another request; that request may have had its effect."""


class Intents(Protocol):
    """Charges: one intent per payment, at most one successful charge per intent."""

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        """Create an intent, and charge it if the instruction says so."""
        ...

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        """Change the payment method, the amount or the texts of an open intent; a later confirmation charges it.

        Nothing is charged. A returned report shows the new amount. A gateway without texts ignores them.

        Raises ``GatewayRefused`` if the intent's state does not allow it (``payment_intent_unexpected_state``), or if
        the gateway never changes an amount (``amount_fixed``): the intent is canceled then, and a new one made.
        """
        ...

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        """Charge an intent.

        A gateway may refuse it while the customer is authenticating another payment method: it then raises
        ``GatewayRefused`` with ``payment_intent_unexpected_state``, and the intent can be canceled.
        """
        ...

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        """Collect held money."""
        ...

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        """Cancel an intent. Raises ``GatewayRefused`` if it is in a final state."""
        ...

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        """Return the intent in its present state. Raises ``ObjectNotFound``."""
        ...

    def amount_step(self, currency: Currency) -> int:
        """Return the number of minor units of which amounts in this currency must be multiples; 1 without such a rule.

        Computed amounts are rounded to it, so that the gateway accepts them.
        """
        ...

    def check_amount(self, amount: Money) -> None:
        """Raise ``RefusedByRule`` for an amount that this gateway cannot express exactly."""
        ...

    def check_charge(self, amount: Money) -> None:
        """Raise ``RefusedByRule`` for an amount that cannot be charged: not expressible, too small or too large."""
        ...


class Refunds(Protocol):
    """Refunds of charges."""

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        """Refund an amount of a charge."""
        ...

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        """Return the refund in its present state. Raises ``ObjectNotFound``."""
        ...

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        """Return all refunds of an intent, oldest first."""
        ...


class Disputes(Protocol):
    """Disputes of charges by the customers' banks."""

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        """Return the dispute in its present state. Raises ``ObjectNotFound``."""
        ...

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        """Return all disputes of an intent, oldest first."""
        ...


class Balances(Protocol):
    """What the merchant has at the gateway."""

    async def available_balance(self) -> Mapping[Currency, Money] | None:
        """Return what refunds can be taken from now, by currency; None where the gateway keeps no balance.

        An amount may be negative. A currency without an amount is one that the account does not settle in: its refunds
        are taken from another currency, at a rate of the gateway.
        """
        ...


class CatchUp(Protocol):
    """Lists by time, for reconciliation and for the recovery after an outage.

    The account may be shared with other systems: an undecodable object is listed as ``Unreadable``, so that it does not
    hide the others.
    """

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        """Return all intents created at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_refunds_made(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[RefundReport | Unreadable]:
        """Return all refunds created at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_disputes_opened(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[DisputeReport | Unreadable]:
        """Return all disputes opened at or after ``since`` (and before ``until``), oldest first."""
        ...

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        """Return all events created at or after ``since`` (and before ``until``), oldest first.

        Gateways keep events for a limited time (Stripe: 30 days). Undecodable events are left out; the other lists
        contain their objects.
        """
        ...


class Gateway(Intents, Refunds, Disputes, Balances, CatchUp, Protocol):
    """The complete gateway port. ``name`` is shown to clients; ``livemode`` is True where real money moves."""

    @property
    def name(self) -> str: ...

    @property
    def livemode(self) -> bool: ...


@frozen
class OwnGateway:
    """An adapter from outside this package: the gateway, and the reader of its webhooks.

    Both belong together, since another gateway's reader would accept events with another key. The caller closes them.
    """

    gateway: Gateway
    webhooks: WebhookReader
