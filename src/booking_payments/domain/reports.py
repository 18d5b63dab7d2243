"""What the gateway says about its objects, in our words. A report is news, not truth: decisions judge it."""

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
    """Why the latest attempt on an intent failed; ``charge_id`` is None when it never came to a charge."""

    decline: Decline
    charge_id: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class MethodDetails:
    """What was paid with, as far as the customer may be told: ``type`` is the gateway's word (``card``, ``ideal``), the
    others are None where a method of that type has none. ``wallet`` is the one that a card was taken from."""

    type: str
    brand: str | None = None
    last4: str | None = None
    wallet: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The method as the HTTP API shows it."""
        return {"type": self.type, "brand": self.brand, "last4": self.last4, "wallet": self.wallet}


@frozen(kw_only=True)
class IntentReport:
    """An intent as the gateway sees it.

    ``status`` is None for a status that we do not know. ``client_secret`` and ``next_action`` let their holder go on
    with the payment: secret, shown to the owner only. ``method_types`` are the kinds of payment methods that it takes,
    None where the gateway does not say. ``method`` is what the latest charge was made with, ``capture_before`` until
    when held money can be captured; both None where the report does not say. ``replayed`` marks a stored answer of an
    earlier call.
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
    metadata: Mapping[str, str] = field(factory=dict)
    created_at: datetime | None = None
    replayed: bool = False

    @property
    def method_tried(self) -> str | None:
        """The payment method that was tried last: after a failure the intent has none any more."""
        failed = self.failure if self.status is PaymentStatus.REQUIRES_PAYMENT_METHOD else None
        return failed.payment_method_id if failed else self.payment_method_id


@frozen(kw_only=True)
class RefundReport:
    """A refund as the gateway sees it. ``status`` is None for one that we do not know."""

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
    """A dispute as the gateway sees it.

    Attributes:
        amount: the disputed amount, in the currency that the gateway names.
        status: ``unknown`` for one that this version does not know; ``status_text`` is the gateway's own word.
        movements: its transactions on our balance, oldest first.
        charge_refundable: whether the gateway takes a refund of the charge now; None when it does not say.
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
    """An object that the gateway has and that we can't read, in a currency that we don't know for example.

    Of its money it tells nothing; only whose it may be, by its ``metadata`` or by ``intent_id``, the intent that it
    belongs to. ``problem`` is what can't be read.
    """

    id: str
    intent_id: str | None
    problem: str
    metadata: Mapping[str, str] = field(factory=dict)
