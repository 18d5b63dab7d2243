"""Booking: an order that is paid once, and the rule for when it may be paid."""

from datetime import datetime
from enum import Enum
from typing import Any, Final

from attrs import field, frozen

from booking_payments.domain.errors import NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy
from booking_payments.domain.texts import rfc3339


class BookingStatus(Enum):
    """``pending`` waits for its payment, ``confirmed`` is paid; ``canceled`` and ``expired`` are closed."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        """True until the booking is canceled or expires. A live booking reserves its reference."""
        return self in (BookingStatus.PENDING, BookingStatus.CONFIRMED)


class EndReason(Enum):
    """Why a booking ended, in addition to its status.

    ``attempts_exhausted``: it expired early because no payment attempt was left. ``refunded``: it was canceled because
    its whole payment is refunded.
    """

    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    REFUNDED = "refunded"


class Payability(Enum):
    """Whether a booking may be paid, or why not: a stable ``code`` and a ``message`` for the customer."""

    PAYABLE = "payable", "the booking may be paid"
    ALREADY_PAID = "already_paid", "this booking is paid already"
    CANCELED = "booking_canceled", "this booking was canceled"
    EXPIRED = "booking_expired", "the time to pay for this booking is over; book again"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", "no payment attempt is left for this booking; book again"
    EVENT_STARTED = "event_started", "the event has started; the booking can no longer be paid"
    NOTHING_TO_PAY = "nothing_to_pay", "this booking is free; no payment is needed"

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def error(self) -> PaymentError:
        """Return the error to raise: ``RefusedByRule`` or ``NotPossibleNow``, with this code and message."""
        by_rule = self in (Payability.EVENT_STARTED, Payability.ATTEMPTS_EXHAUSTED)
        return (RefusedByRule if by_rule else NotPossibleNow)(self.message, code=self.code)


_BY_STATUS = {
    BookingStatus.CONFIRMED: Payability.ALREADY_PAID,
    BookingStatus.CANCELED: Payability.CANCELED,
    BookingStatus.EXPIRED: Payability.EXPIRED,
}


@frozen(kw_only=True)
class BookingDetails:
    """Optional details of a booking, for pages, statements and receipts, and how it may be paid.

    Attributes:
        title: name of the booked event.
        description: longer text for the payment page.
        customer_email: where receipts are sent; left out of ``repr``.
        statement_descriptor_suffix: text on a card's statement; shortened to the characters that card networks print.
        methods: narrows the installation's payment methods for this booking.
        capture_method: whether the charge is captured at once or only authorized; a booking registered without one gets
            the installation's default.
        customer_refunds: which refunds its customer may request; None: the installation's setting at the time of the
            request.
    """

    title: str | None = None
    description: str | None = None
    customer_email: str | None = field(default=None, repr=False)
    statement_descriptor_suffix: str | None = None
    methods: MethodChoice = ANY_METHOD
    capture_method: CaptureMethod | None = None
    customer_refunds: CustomerRefunds | None = None


NO_DETAILS: Final = BookingDetails()


@frozen(kw_only=True)
class Booking:
    """An order to be paid: customer, amount, start of the event and deadline.

    Attributes:
        reference: the booking app's own name for it, unique among the live bookings.
        expires_at: until when the booking may be paid; not later than ``event_starts_at``.
        refund_policy: None applies the installation's default when a payment starts.
        end_reason: why it ended, in addition to its status; None without a further reason.
    """

    id: str
    reference: str
    customer_id: str
    amount: Money
    event_starts_at: datetime
    expires_at: datetime
    created_at: datetime
    status: BookingStatus = BookingStatus.PENDING
    refund_policy: RefundPolicy | None = None
    details: BookingDetails = NO_DETAILS
    end_reason: EndReason | None = None

    @property
    def free(self) -> bool:
        """True when the amount is zero: the booking is confirmed without a payment."""
        return self.amount.minor == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the booking as the HTTP API represents it; ``describe_booking`` adds ``refund_owed``."""
        details = self.details
        return {
            "id": self.id,
            "reference": self.reference,
            "customer_id": self.customer_id,
            "amount": self.amount.major(),
            "currency": self.amount.currency.code,
            "event_starts_at": rfc3339(self.event_starts_at),
            "expires_at": rfc3339(self.expires_at),
            "status": self.status.value,
            "reason": self.end_reason.value if self.end_reason else None,
            "free": self.free,
            "refund_policy": self.refund_policy.to_dict() if self.refund_policy else None,
            "title": details.title,
            "description": details.description,
            "customer_email": details.customer_email,
            "statement_descriptor_suffix": details.statement_descriptor_suffix,
            "payment_methods": details.methods.to_dict(),
            "capture_method": details.capture_method.value if details.capture_method else None,
            "customer_refunds": details.customer_refunds.value if details.customer_refunds else None,
        }

    def payability(self, now: datetime) -> Payability:
        """Return ``PAYABLE``, or the first reason why this booking may not be paid at ``now``."""
        if self.status is BookingStatus.EXPIRED and self.end_reason is EndReason.ATTEMPTS_EXHAUSTED:
            return Payability.ATTEMPTS_EXHAUSTED
        if self.status is BookingStatus.CONFIRMED and self.free:
            return Payability.NOTHING_TO_PAY
        if self.status in _BY_STATUS:
            return _BY_STATUS[self.status]
        if now >= self.event_starts_at:
            return Payability.EVENT_STARTED
        if now >= self.expires_at:
            return Payability.EXPIRED
        return Payability.NOTHING_TO_PAY if self.free else Payability.PAYABLE

    def same_content(self, other: "Booking") -> bool:
        """True when ``other`` has the same reference and content: registering it repeats this one."""
        return self._content() == other._content()

    def _content(self) -> tuple[object, ...]:
        times = (self.event_starts_at, self.expires_at)
        return (self.reference, self.customer_id, self.amount, *times, self.refund_policy, self.details)
