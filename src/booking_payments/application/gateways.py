"""The gateways of an installation, by name: each payment belongs to one of them and keeps it.

A use case that works on a payment narrows its ``Dependencies`` to that payment's gateway first (``Dependencies.of``).
From there on the code reads ``deps.gateway`` and cannot reach another one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from attrs import frozen

from booking_payments.domain.errors import OurFault
from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport, Unreadable
from booking_payments.ports.gateway import Gateway, Misconfigured
from booking_payments.ports.webhooks import (
    GatewayEvent,
    WebhookReader,
    WebhookRefused,
    WebhookRequest,
    WebhooksNotTaken,
)


@frozen(kw_only=True)
class ConnectedGateway:
    """A gateway of this installation.

    Attributes:
        gateway: The gateway port.
        webhooks: Verifies and decodes the gateway's webhooks.
        webhook_names: The names under which its webhooks are received; empty if it sends no webhooks.
        recorded: Operators record its payments; customers can't pay by it.
        settle_refund: Records that an operator has paid out the refund with this id, and returns the resulting event.
            None if the gateway pays out refunds itself.
        refunds_by_hand: A refund waits until an operator pays it out.
    """

    gateway: Gateway
    webhooks: WebhookReader
    webhook_names: Sequence[str] = ()
    recorded: bool = False
    settle_refund: Callable[[str], Awaitable[GatewayEvent]] | None = None
    refunds_by_hand: bool = False


class MissingGateway:
    """Stands for a gateway that has payments in our books and is missing in the settings.

    Every call raises ``Misconfigured``, so that such a payment does not change until the settings name its gateway
    again.
    """

    livemode = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._text = f"this payment belongs to the gateway {name}; add it to PAYMENT_GATEWAYS"

    def _refuse(self) -> NoReturn:
        raise Misconfigured(self._text, code="gateway_not_configured")

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_refunds_made(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[RefundReport | Unreadable]:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_disputes_opened(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[DisputeReport | Unreadable]:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def available_balance(self) -> Mapping[Currency, Money] | None:
        """Raises ``Misconfigured``."""
        self._refuse()

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        """Raises ``Misconfigured``."""
        self._refuse()

    def amount_step(self, currency: Currency) -> int:
        """Return 1: amounts are not rounded for a gateway that is never called."""
        return 1

    def check_amount(self, amount: Money) -> None:
        """Raises ``OurFault``, since the gateway is not configured."""
        raise OurFault(self._text)

    def check_charge(self, amount: Money) -> None:
        """Raises ``OurFault``."""
        raise OurFault(self._text)


class NoWebhooks:
    """Reads no events: those of a gateway that is not configured stay unprocessed in the inbox."""

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """Raises ``WebhooksNotTaken``."""
        raise WebhooksNotTaken

    def read_again(self, body: str) -> GatewayEvent:
        """Raises ``WebhookRefused``."""
        raise WebhookRefused("the gateway of this event is not configured", code="gateway_not_configured")


def missing_gateway(name: str) -> ConnectedGateway:
    """Return the placeholder for the gateway ``name``, which is missing in the settings."""
    return ConnectedGateway(gateway=MissingGateway(name), webhooks=NoWebhooks())
