"""Booking: what is paid for, and whether it may be paid now."""

from datetime import datetime
from enum import Enum
from typing import Final

from attrs import field, frozen

from booking_payments.domain.errors import NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.instructions import ANY_METHOD, MethodChoice
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundPolicy


class BookingStatus(Enum):
    """``pending`` waits for its payment; ``confirmed`` is paid; the others are closed."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Payability(Enum):
    """Whether a booking may be paid, with the reason when not: a stable code and a text fit for the customer."""

    PAYABLE = "payable", "the booking may be paid"
    ALREADY_PAID = "already_paid", "this booking is paid already"
    CANCELED = "booking_canceled", "this booking was canceled"
    EXPIRED = "booking_expired", "the time to pay for this booking is over; book again"
    EVENT_STARTED = "event_started", "the event has started; the booking can no longer be paid"
    NOTHING_TO_PAY = "nothing_to_pay", "this booking costs nothing; there is nothing to pay"

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def error(self) -> PaymentError:
        """The error that tells the caller so."""
        by_rule = self in (Payability.EVENT_STARTED, Payability.NOTHING_TO_PAY)
        return (RefusedByRule if by_rule else NotPossibleNow)(self.message, code=self.code)


_BY_STATUS = {
    BookingStatus.CONFIRMED: Payability.ALREADY_PAID,
    BookingStatus.CANCELED: Payability.CANCELED,
    BookingStatus.EXPIRED: Payability.EXPIRED,
}


@frozen(kw_only=True)
class BookingDetails:
    """What is said about a booking, for pages, statements and receipts, and how it is paid. Each may be None.

    ``statement_descriptor_suffix`` is shortened to what card networks print. ``methods``: the payment methods that are
    taken for it, of those that are taken at all.
    """

    title: str | None = None
    description: str | None = None
    customer_email: str | None = field(default=None, repr=False)
    statement_descriptor_suffix: str | None = None
    methods: MethodChoice = ANY_METHOD


NO_DETAILS: Final = BookingDetails()


@frozen(kw_only=True)
class Booking:
    """What is paid for: whose, how much, when the event starts, and until when the hold may be paid.

    ``reference`` is the booking app's own name for it, unique. ``expires_at`` is at most the event's start.
    ``refund_policy`` is None when the house's default applies.
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

    def payability(self, now: datetime) -> Payability:
        """Whether this booking may be paid at ``now``, and the first reason against it."""
        if self.status in _BY_STATUS:
            return _BY_STATUS[self.status]
        if now >= self.event_starts_at:
            return Payability.EVENT_STARTED
        if now >= self.expires_at:
            return Payability.EXPIRED
        return Payability.PAYABLE if self.amount.minor > 0 else Payability.NOTHING_TO_PAY

    def same_content(self, other: "Booking") -> bool:
        """True when ``other`` asks for the same thing under the same reference."""
        return self._content() == other._content()

    def _content(self) -> tuple[object, ...]:
        times = (self.event_starts_at, self.expires_at)
        return (self.reference, self.customer_id, self.amount, *times, self.refund_policy, self.details)
