"""What goes into the use cases and what comes out of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from attrs import field, frozen

from booking_payments.domain.booking import NO_DETAILS, Booking, BookingDetails, Item, require_items
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import DeferredRefund, Payment, Refund
from booking_payments.domain.refunds import RefundOnCancel, RefundPolicy
from booking_payments.ports.payments import ClientAction


@frozen(kw_only=True)
class NewBooking:
    """A booking to register.

    Attributes:
        amount: the price; None for the sum of ``items``. If both are given they have to agree.
        expires_at: until when it may be paid; None: until the event starts.
        event_id: the booking app's own id of the event.
        metadata: the booking app's own data.
        the other fields: as in ``Booking``.
    """

    reference: str
    customer_id: str
    amount: Money | None = None
    event_starts_at: datetime
    expires_at: datetime | None = None
    refund_policy: RefundPolicy | None = None
    details: BookingDetails = NO_DETAILS
    event_id: str | None = None
    items: tuple[Item, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict)

    @property
    def price(self) -> Money:
        """The price: ``amount``, or the sum of the items.

        Raises ``RefusedByRule`` (``items_do_not_add_up``), ``InvalidInput`` when neither is given.
        """
        if self.items:
            return require_items(self.items, self.amount)
        if self.amount is None:
            raise InvalidInput("give the amount, or items that add up to it")
        return self.amount


@frozen(kw_only=True)
class Registered:
    """The booking, and whether it is new or was registered before."""

    booking: Booking
    created: bool

    def to_dict(self) -> dict[str, Any]:
        """The booking as the HTTP API shows it."""
        return self.booking.to_dict()


@frozen(kw_only=True)
class PaymentView:
    """A payment, with what the front end needs to take the customer on (secret: for the owner only)."""

    payment: Payment
    client_action: ClientAction | None = None

    def to_dict(
        self, *, now: datetime | None = None, client_secret: bool = False, operator: bool = False
    ) -> dict[str, Any]:
        """The payment as the HTTP API shows it.

        Args:
            now: when it is shown, which decides what can still be refunded; the time of this machine by default.
            client_secret: with the secret and the next action, for the browser of the booking's owner and nobody else.
            operator: with the reasons that are hidden from customers.
        """
        given = self.client_action if client_secret else None
        return self.payment.to_dict(
            now or datetime.now(UTC),
            client_secret=given.client_secret if given else None,
            next_action=given.next_action if given else None,
            operator=operator,
        )


@frozen(kw_only=True)
class RefundView:
    """A refund and the payment that it belongs to.

    ``refund`` is a ``DeferredRefund`` while it cannot be sent yet. ``replayed``: it is the refund of an earlier equal
    request whose caller had not been given its outcome.
    """

    payment: Payment
    refund: Refund | DeferredRefund
    replayed: bool = False

    def to_dict(self, *, now: datetime | None = None, operator: bool = False) -> dict[str, Any]:
        """The refund as the HTTP API shows it. Arguments as for ``PaymentView.to_dict``."""
        return self.payment.refund_to_dict(self.refund, now or datetime.now(UTC), operator=operator)


@frozen(kw_only=True)
class BookingView:
    """A booking, and what of promised refunds is still owed for it.

    ``refund_waiting`` is the part of ``refund_owed`` that the system sends by itself, when an open dispute has ended
    for example.
    """

    booking: Booking
    refund_owed: Money
    refund_waiting: Money

    def to_dict(self) -> dict[str, Any]:
        """The booking as the HTTP API shows it."""
        owed = {"refund_owed": self.refund_owed.major(), "refund_waiting": self.refund_waiting.major()}
        return {**self.booking.to_dict(), **owed}


@frozen(kw_only=True)
class WebhookResult:
    """What became of a webhook: ``processed``, ``duplicate`` or ``ignored``, with the reason for the last.

    ``alert``: a human should look at it, though nothing changes in our books; ``about`` then says at which intent,
    charge and payment. ``correlation_id`` names the request of ours that made what the event is about, as far as the
    event says. ``api_version`` is the one in which the event is written.
    """

    event_id: str
    type: str
    outcome: Literal["processed", "duplicate", "ignored"]
    reason: str | None = None
    alert: bool = False
    correlation_id: str | None = None
    about: Mapping[str, str | None] = field(factory=dict)
    api_version: str | None = None


@frozen(kw_only=True)
class PaymentResult:
    """The answer of the backend calls. ``error`` is a text fit for the customer, None when ``success``."""

    success: bool
    payment_intent_id: str | None = None
    status: str | None = None
    requires_action: bool = False
    client_secret: str | None = None
    refund_id: str | None = None
    error: str | None = None
    error_code: str | None = None
    outcome_unknown: bool = False

    def to_dict(self, *, client_secret: bool = False) -> dict[str, Any]:
        """The result as a dictionary. ``client_secret``: with the secret, for the browser of the booking's owner."""
        return {
            "success": self.success,
            "payment_intent_id": self.payment_intent_id,
            "status": self.status,
            "requires_action": self.requires_action,
            "client_secret": self.client_secret if client_secret else None,
            "refund_id": self.refund_id,
            "error": self.error,
            "error_code": self.error_code,
            "outcome_unknown": self.outcome_unknown,
        }

    @classmethod
    def of(cls, view: PaymentView) -> "PaymentResult":
        """The answer about a payment to which nothing bad happened."""
        payment = view.payment
        waits = payment.status.awaits_customer
        return cls(
            success=payment.status not in (PaymentStatus.CANCELED, PaymentStatus.FAILED),
            payment_intent_id=payment.intent_id,
            status=payment.status.value,
            requires_action=payment.status is PaymentStatus.REQUIRES_ACTION,
            client_secret=view.client_action.client_secret if view.client_action and waits else None,
        )


__all__ = [
    "BookingView",
    "NewBooking",
    "PaymentResult",
    "PaymentView",
    "RefundOnCancel",
    "RefundView",
    "Registered",
    "WebhookResult",
]
