"""Reports of the gateway's objects, as values. Decisions check a report before they apply it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from booking_payments.domain.declines import Decline
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Money


@frozen(kw_only=True)
class Failure:
    """Why the latest attempt on an intent failed. ``charge_id`` is None when no charge was made."""

    decline: Decline
    charge_id: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class MethodDetails:
    """The method that paid, as far as it may be shown to the customer.

    Attributes:
        type: the gateway's code (``card``, ``ideal``, ...).
        brand, last4: None for a method without them.
        wallet: the wallet that provided a card; None without one.
    """

    type: str
    brand: str | None = None
    last4: str | None = None
    wallet: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The method as the HTTP API shows it."""
        return {"type": self.type, "brand": self.brand, "last4": self.last4, "wallet": self.wallet}


@frozen(kw_only=True)
class IntentReport:
    """An intent as the gateway reports it.

    Attributes:
        status: None for a status that this version does not know.
        failure: why the latest attempt failed; None if it did not.
        client_secret: lets the front end confirm the payment; shown only to the booking's owner.
        next_action: the customer's next step; shown only to the booking's owner.
        method_types: the types of payment methods that the intent accepts; None when not reported.
        method: the method of the latest charge; None when not reported.
        capture_before: capture deadline of held money; None when not reported.
        receipt_url: the https address of the gateway's receipt for the customer; None without one.
        replayed: the response was stored for an earlier call with the same idempotency key.
    """

    id: str
    status: PaymentStatus | None
    amount: Money
    amount_received: Money
    amount_capturable: Money
    charge_id: str | None = None
    payment_method_id: str | None = None
    failure: Failure | None = None
    client_secret: str | None = field(default=None, repr=False)
    next_action: Mapping[str, object] | None = field(default=None, repr=False)
    method_types: tuple[str, ...] | None = None
    method: MethodDetails | None = None
    capture_before: datetime | None = None
    receipt_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime | None = None
    replayed: bool = False

    @property
    def method_tried(self) -> str | None:
        """The payment method of the latest attempt; after a failure the intent itself no longer has one."""
        failed = self.failure if self.status is PaymentStatus.REQUIRES_PAYMENT_METHOD else None
        return failed.payment_method_id if failed else self.payment_method_id


@frozen(kw_only=True)
class RefundReport:
    """A refund as the gateway reports it. ``status`` is None for one that this version does not know."""

    id: str
    intent_id: str | None
    charge_id: str | None
    amount: Money
    status: RefundStatus | None
    reason: str | None = None
    failure_reason: str | None = None
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime | None = None
    replayed: bool = False


@frozen(kw_only=True)
class DisputeReport:
    """A dispute as the gateway reports it.

    Attributes:
        amount: the disputed amount, in the currency that the gateway names.
        status: ``unknown`` for one that this version does not know.
        status_text: the gateway's own code of the status.
        movements: its transactions on the balance, oldest first.
        charge_refundable: the gateway accepts a refund of the charge now; None when it does not say.
    """

    id: str
    intent_id: str | None
    charge_id: str | None
    amount: Money
    status: DisputeStatus
    reason: str
    movements: tuple[DisputeMovement, ...] = ()
    status_text: str = ""
    charge_refundable: bool | None = None
    evidence_due_by: datetime | None = None
    created_at: datetime | None = None


@frozen(kw_only=True)
class Unreadable:
    """An object of the gateway that cannot be decoded, for example because of an unknown currency.

    It has no amount, only the ids that lead to its payment.

    Attributes:
        intent_id: the intent that it belongs to; None if not known.
        problem: what cannot be decoded.
    """

    id: str
    intent_id: str | None
    problem: str
    metadata: Mapping[str, str] = field(factory=dict)
