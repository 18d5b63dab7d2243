"""Facts: what happened to a payment, in the past tense. The journal is their list, the payment their fold.

A fact holds what happened; ``Recorded`` adds its place, time, actor and cause. Facts hold no secrets.
"""

from datetime import datetime
from enum import Enum

from attrs import frozen

from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, Instruction
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundPolicy, RefundReason
from booking_payments.domain.reports import MethodDetails
from booking_payments.domain.retry import Decline


class Origin(Enum):
    """Who set something off: ``server`` is us, with our key; ``client`` the customer in the browser;
    ``gateway`` somebody in the gateway's dashboard."""

    SERVER = "server"
    CLIENT = "client"
    GATEWAY = "gateway"


class Purpose(Enum):
    """What an operation is for, so that its outcome is followed through whoever learns of it."""

    PAY = "pay"
    CAPTURE = "capture"
    REFUND = "refund"
    CANCEL_PAYMENT = "cancel_payment"
    CANCEL_BOOKING = "cancel_booking"
    EXPIRE_BOOKING = "expire_booking"
    END_ATTEMPTS = "end_attempts"
    RELEASE_HOLD = "release_hold"


@frozen(kw_only=True)
class PaymentStarted:
    """Somebody set out to collect a booking's amount. The terms are kept as they were at this moment.

    ``amount_step`` is the gateway's: what is computed later is rounded to multiples of so many minor units.
    """

    payment_id: str
    booking_id: str
    booking_reference: str
    customer_id: str
    booking_amount: Money
    breakdown: FeeBreakdown
    fee_policy: FeePolicy
    refund_policy: RefundPolicy
    event_starts_at: datetime
    capture_method: CaptureMethod
    max_attempts: int
    amount_step: int = 1


@frozen(kw_only=True)
class OperationIntended:
    """We are about to call the gateway, with this key and exactly this instruction."""

    idempotency_key: str
    purpose: Purpose
    instruction: Instruction


@frozen(kw_only=True)
class OutcomeLeftUnknown:
    """The gateway did not say what became of the call; ``reason`` is a short code."""

    idempotency_key: str
    reason: str


@frozen(kw_only=True)
class OperationSettled:
    """What became of the call is known: ``done``, or refused with the gateway's ``refusal`` code."""

    idempotency_key: str
    refusal: str | None = None


@frozen(kw_only=True)
class IntentLinked:
    """The gateway's intent of this payment is known."""

    intent_id: str


@frozen(kw_only=True)
class AttemptStarted:
    """A charge is being tried. ``idempotency_key`` is None for an attempt that the customer made in the browser."""

    number: int
    origin: Origin
    idempotency_key: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class AttemptRefused:
    """The gateway's verdict went against an attempt."""

    number: int
    decline: Decline
    charge_id: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class AttemptDropped:
    """An attempt ended without a verdict: the gateway refused the request itself. It does not count."""

    number: int


@frozen(kw_only=True)
class MethodRequired:
    """The intent waits for a payment method."""


@frozen(kw_only=True)
class MethodAttached:
    """The intent has a payment method and waits for its confirmation."""


@frozen(kw_only=True)
class ActionRequired:
    """The customer has to act, for example pass 3-D Secure."""


@frozen(kw_only=True)
class ProcessingStarted:
    """The bank is working on it, perhaps for days."""


@frozen(kw_only=True)
class PaymentAuthorized:
    """The money is held and may be captured."""

    amount: Money
    charge_id: str | None
    attempt: int | None


@frozen(kw_only=True)
class PaymentSucceeded:
    """The money was collected. ``breakdown`` follows what was captured; ``late`` when the booking was closed."""

    breakdown: FeeBreakdown
    charge_id: str | None
    attempt: int | None
    late: bool


@frozen(kw_only=True)
class MethodSeen:
    """What the charge was made with is known, and until when it can be captured where it is a hold."""

    charge_id: str | None
    method: MethodDetails
    capture_before: datetime | None = None


@frozen(kw_only=True)
class PaymentCanceled:
    """The intent was canceled; no money was collected and what was held is released. Or it was given up, after the
    gateway refused to cancel it."""


@frozen(kw_only=True)
class PaymentFailed:
    """No attempt is left, and the intent was canceled, or given up after the gateway refused to cancel it."""


@frozen(kw_only=True)
class RefundRequested:
    """Somebody asked us to give money back; from now on the amount is reserved."""

    refund_id: str
    amount: Money
    fee_refunded: Money
    reason: RefundReason
    note: str | None
    idempotency_key: str


@frozen(kw_only=True)
class RefundFound:
    """A refund that we did not ask for exists at the gateway: somebody made it in the dashboard."""

    refund_id: str
    gateway_refund_id: str
    amount: Money
    fee_refunded: Money
    status: RefundStatus
    reason: str | None


@frozen(kw_only=True)
class RefundLinked:
    """The gateway's id of a refund is known."""

    refund_id: str
    gateway_refund_id: str


@frozen(kw_only=True)
class RefundMoved:
    """A refund entered ``status``; ``failure_reason`` is the gateway's word for why it came to nothing."""

    refund_id: str
    status: RefundStatus
    failure_reason: str | None = None


@frozen(kw_only=True)
class DisputeOpened:
    """The customer's bank claims the money back, or asks about it (an inquiry). Refunds are frozen."""

    dispute_id: str
    status: DisputeStatus
    reason: str
    amount: Money
    evidence_due_by: datetime | None


@frozen(kw_only=True)
class DisputeMoved:
    """A dispute entered ``status``."""

    dispute_id: str
    status: DisputeStatus
    evidence_due_by: datetime | None


@frozen(kw_only=True)
class DisputeChanged:
    """Without moving, a dispute came to be over ``amount``, or to be answered until ``evidence_due_by``."""

    dispute_id: str
    amount: Money
    evidence_due_by: datetime | None


@frozen(kw_only=True)
class DisputeFundsMoved:
    """What a dispute holds of our balance is now ``withdrawn`` in all."""

    dispute_id: str
    withdrawn: Money


@frozen(kw_only=True)
class BookingConfirmed:
    """The booking is paid."""


@frozen(kw_only=True)
class BookingReleased:
    """The booking was closed, as ``canceled`` or ``expired``."""

    status: str


@frozen(kw_only=True)
class LatePaymentDecided:
    """Money came for a booking that was closed: it is refunded. ``booking_status`` is what the booking was."""

    booking_status: str


@frozen(kw_only=True)
class NewsDeferred:
    """A webhook came while a call of ours was in flight: what it is about is read when the call is over."""


@frozen(kw_only=True)
class DriftFound:
    """The gateway says something that does not fit our books. Nothing was booked; a person has to look."""

    code: str
    detail: str


Fact = (
    PaymentStarted
    | OperationIntended
    | OutcomeLeftUnknown
    | OperationSettled
    | IntentLinked
    | AttemptStarted
    | AttemptRefused
    | AttemptDropped
    | MethodRequired
    | MethodAttached
    | ActionRequired
    | ProcessingStarted
    | PaymentAuthorized
    | PaymentSucceeded
    | MethodSeen
    | PaymentCanceled
    | PaymentFailed
    | RefundRequested
    | RefundFound
    | RefundLinked
    | RefundMoved
    | DisputeOpened
    | DisputeMoved
    | DisputeChanged
    | DisputeFundsMoved
    | BookingConfirmed
    | BookingReleased
    | LatePaymentDecided
    | NewsDeferred
    | DriftFound
)


@frozen(kw_only=True)
class Recorded:
    """One line of the journal. ``sequence`` counts from 1 within its payment; ``actor`` is who did it
    (``customer:ann``, ``operator:bob``, ``gateway``, ``system``), ``cause`` what led to it (a request, an event)."""

    sequence: int
    at: datetime
    actor: str
    cause: str
    fact: Fact
