"""Arguments and results of the use cases."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from attrs import field, frozen

from booking_payments.domain.arguments import (
    as_tuple,
    require_instance,
    require_moment,
    require_money,
    require_string,
    require_strings,
)
from booking_payments.domain.booking import (
    NO_DETAILS,
    Booking,
    BookingDetails,
    Item,
    require_items,
    require_items_given,
)
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import DeferredRefund, Payment, Refund
from booking_payments.domain.refunds import RefundOnCancel, RefundPolicy
from booking_payments.ports.payments import ClientAction


@frozen(kw_only=True)
class NewBooking:
    """A booking to register.

    Raises ``InvalidInput`` for a value of another type, and for a time without a time zone.

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
    items: tuple[Item, ...] = field(default=(), converter=as_tuple)
    metadata: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        require_string(self.reference, "reference")
        require_string(self.customer_id, "customer_id")
        require_moment(self.event_starts_at, "event_starts_at")
        optional: Mapping[str, Callable[[object, str], None]] = {
            "amount": require_money,
            "expires_at": require_moment,
            "refund_policy": partial(require_instance, kind=RefundPolicy),
            "event_id": require_string,
        }
        for name, check in optional.items():
            value = getattr(self, name)
            if value is not None:
                check(value, name)
        require_instance(self.details, "details", kind=BookingDetails)
        require_items_given(self.items, "items")
        require_strings(self.metadata, "metadata")

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
    """A payment, with the client action for the front end, whose secret only the booking's owner may receive."""

    payment: Payment
    client_action: ClientAction | None = None

    def to_dict(
        self, *, now: datetime | None = None, client_secret: bool = False, operator: bool = False
    ) -> dict[str, Any]:
        """The payment as the HTTP API shows it.

        Args:
            now: the time for which the refundable amount is computed; None: the time of this machine.
            client_secret: include the secret and the next action, only for the browser of the booking's owner.
            operator: include decline codes that customers may not see.
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

    ``refund`` is a ``DeferredRefund`` while it cannot be sent yet. ``replayed`` when it was made by an earlier equal
    request whose caller did not receive the outcome.
    """

    payment: Payment
    refund: Refund | DeferredRefund
    replayed: bool = False

    def to_dict(self, *, now: datetime | None = None, operator: bool = False) -> dict[str, Any]:
        """The refund as the HTTP API shows it. Arguments as for ``PaymentView.to_dict``."""
        return self.payment.refund_to_dict(self.refund, now or datetime.now(UTC), operator=operator)


@frozen(kw_only=True)
class BookingView:
    """A booking, and the promised refunds that are still owed.

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
    """The result of processing a webhook.

    Attributes:
        event_id: the event's id.
        type: the event's type.
        outcome: ``processed``, ``duplicate`` or ``ignored``.
        reason: why it was ignored, otherwise None.
        alert: whether an operator should look at it, although nothing changed in our books.
        about: the intent, charge and payment that an operator should look at.
        correlation_id: the id of the request that created the event's object; None when the event does not contain it.
        api_version: the API version in which the event is written.
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
    """The result of the ``process_...`` and ``retry_...`` calls. ``error`` is a text for the customer, None on success.

    ``outcome_unknown``: the gateway has not confirmed the outcome; it is settled later.
    """

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
        """Return the result as a dictionary; ``client_secret`` includes the secret, for the browser of the owner."""
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
        """Return the result for a payment whose command raised no error."""
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
