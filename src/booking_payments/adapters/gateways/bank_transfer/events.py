"""Events of transfers and refunds. They are not sent as webhooks but listed, and stored."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from booking_payments.adapters.gateways.bank_transfer.records import BankRefund, Transfer
from booking_payments.domain import metadata_keys
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused, WebhookRequest, WebhooksNotTaken


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The stored form of an event; it names the changed record, which is then read."""

    id: str
    type: str
    created: datetime
    object_id: str
    transfer_id: str
    payment_id: str | None


_decoder = msgspec.json.Decoder(Body)

_OF_TRANSFER: Final[Mapping[PaymentStatus, str]] = {
    PaymentStatus.SUCCEEDED: "payment_intent.succeeded",
    PaymentStatus.CANCELED: "payment_intent.canceled",
}
_OF_REFUND: Final[Mapping[RefundStatus, str]] = {
    RefundStatus.SUCCEEDED: "refund.updated",
    RefundStatus.FAILED: "refund.failed",
}
_KINDS: Final = {**dict.fromkeys(_OF_TRANSFER.values(), "intent"), **dict.fromkeys(_OF_REFUND.values(), "refund")}


class BankTransferEvents:
    """Decodes stored events. Bank transfers send no webhooks."""

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """Raise ``WebhooksNotTaken``."""
        raise WebhooksNotTaken

    def read_again(self, body: str) -> GatewayEvent:
        """Return the event in a stored body. Raises ``WebhookRefused`` for any other text."""
        try:
            return _event(_decoder.decode(body))
        except (msgspec.DecodeError, KeyError) as error:
            raise WebhookRefused("the body is not an event of a bank transfer", code="event_malformed") from error


def of_transfer(transfer: Transfer) -> GatewayEvent:
    """Return the event of a transfer in a final state."""
    return _ended(_OF_TRANSFER[transfer.status], transfer, transfer.id)


def of_bank_refund(bank_refund: BankRefund) -> GatewayEvent:
    """Return the event of a refund in a final state."""
    return _ended(_OF_REFUND[bank_refund.status], bank_refund, bank_refund.transfer_id)


def _ended(type_: str, record: Transfer | BankRefund, transfer_id: str) -> GatewayEvent:
    return _event(
        Body(
            id=f"evt_{record.id}_{record.status.value}",
            type=type_,
            created=record.ended_at or record.created_at,
            object_id=record.id,
            transfer_id=transfer_id,
            payment_id=record.metadata.get(metadata_keys.PAYMENT_ID),
        )
    )


def _event(body: Body) -> GatewayEvent:
    return GatewayEvent(
        id=body.id,
        type=body.type,
        created_at=body.created.astimezone(UTC),
        livemode=None,
        kind=_KINDS[body.type],
        object_id=body.object_id,
        intent_id=body.transfer_id,
        charge_id=None,
        payment_id=body.payment_id,
        body=msgspec.json.encode(body).decode(),
    )
