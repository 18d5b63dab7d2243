"""Facts: what happened to a payment, in the past tense. The journal is their list, the payment their fold.

A fact holds what happened; ``Recorded`` adds its place, time, actor and cause. Facts hold no secrets.
"""

from datetime import datetime
from enum import Enum

from attrs import frozen

from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, Client, Instruction, Replacement
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import Deferral, GivenBack, RefundOnCancel, RefundPolicy, RefundReason
from booking_payments.domain.reports import MethodDetails


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
    REPLACE_PAYMENT = "replace_payment"
    CANCEL_BOOKING = "cancel_booking"
    EXPIRE_BOOKING = "expire_booking"
    END_ATTEMPTS = "end_attempts"
    RELEASE_HOLD = "release_hold"


class Settlement(Enum):
    """How a debt to a customer was settled without a refund."""

    PAID_ELSEWHERE = "paid_elsewhere"
    WAIVED = "waived"


@frozen(kw_only=True)
class BurntMethod:
    """A payment method of which the bank said that it is never to be charged again, with what it answered."""

    payment_method_id: str
    decline: Decline


@frozen(kw_only=True)
class PaymentStarted:
    """Somebody set out to collect a booking's amount. The terms are kept as they were at this moment.

    ``amount_step`` is the gateway's: what is computed later is rounded to multiples of so many minor units.
    ``burnt`` are the methods that are not to be charged again, since the booking's earlier payments were told so.
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
    burnt: tuple[BurntMethod, ...] = ()


@frozen(kw_only=True)
class OperationIntended:
    """We are about to call the gateway, with this key and exactly this instruction.

    ``refund_on_cancel`` is what the booking gives back should the payment turn out to be paid: a cancellation whose
    outcome was unknown is carried through all the same. None for every other purpose. ``replacement`` is what the
    booking's next payment is begun with as soon as this one is canceled; None where it is not canceled for that.
    """

    idempotency_key: str
    purpose: Purpose
    instruction: Instruction
    refund_on_cancel: RefundOnCancel | None = None
    replacement: Replacement | None = None


@frozen(kw_only=True)
class OutcomeLeftUnknown:
    """The gateway did not say what became of the call; ``reason`` is a short code. ``stored_error``: it answered with
    an error of its own, which it repeats for as long as it keeps the key."""

    idempotency_key: str
    reason: str
    stored_error: bool = False


@frozen(kw_only=True)
class CallNotFound:
    """A complete walk through the gateway's list, begun at ``begun_at``, did not find what the call was to make."""

    idempotency_key: str
    begun_at: datetime


@frozen(kw_only=True)
class CallGivenUp:
    """Nothing was found of what the call was to make, so it blocks nothing any more. It may still turn up: it is
    watched until its key is too old for that."""

    idempotency_key: str


@frozen(kw_only=True)
class LostCallEnded:
    """A call that was given up is not watched any more. ``found`` is the gateway's id of what it made after all; None
    when nothing turned up."""

    idempotency_key: str
    found: str | None = None


@frozen(kw_only=True)
class OperationSettled:
    """What became of the call is known: ``done``, or refused with the gateway's ``refusal`` code.

    ``answered``: the request that began the operation was answered with this outcome. False when the outcome was found
    out later, so that its caller does not know it yet.
    """

    idempotency_key: str
    refusal: str | None = None
    answered: bool = True


@frozen(kw_only=True)
class ReturnUrlChosen:
    """The customer comes back to somewhere else from confirmations that begin from now on."""

    return_url: str


@frozen(kw_only=True)
class IntentLinked:
    """The gateway's intent of this payment is known."""

    intent_id: str


@frozen(kw_only=True)
class PaymentAdopted:
    """The intent was found at the gateway after our books had lost the payment that made it, for example by the
    restoring of a backup. It was made for booking ``made_for``, and is taken for the payment of the booking that was
    registered anew under the same reference."""

    intent_id: str
    made_for: str


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
    """An attempt ended without a verdict, so that it does not count: the gateway refused the request itself, or its
    intent went on with another payment method."""

    number: int


@frozen(kw_only=True)
class ClientNamed:
    """The front end has said what carries out the customer's action; it holds for every charge that follows."""

    client: Client


@frozen(kw_only=True)
class MethodRequired:
    """The intent waits for a payment method."""


@frozen(kw_only=True)
class MethodAttached:
    """The intent has a payment method and waits for its confirmation."""


@frozen(kw_only=True)
class ActionRequired:
    """The customer has to act, for example pass 3-D Secure. ``attempt`` is the one that waits for it, and
    ``payment_method_id`` its method as the gateway names it; both None where that is not known."""

    attempt: int | None = None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class ProcessingStarted:
    """The bank is working on it, perhaps for days. The fields are those of ``ActionRequired``."""

    attempt: int | None = None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class PaymentAuthorized:
    """The money is held and may be captured. ``payment_method_id`` is the method as the gateway names it."""

    amount: Money
    charge_id: str | None
    attempt: int | None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class PaymentSucceeded:
    """The money was collected. ``breakdown`` follows what was captured; ``late`` when the booking was closed.
    ``payment_method_id`` is the method as the gateway names it."""

    breakdown: FeeBreakdown
    charge_id: str | None
    attempt: int | None
    late: bool
    payment_method_id: str | None = None


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
    """We are about to send a refund; from now on the amount is reserved.

    Attributes:
        promised: by how much this raises what the customer was promised; None when the refund only fulfills an earlier
            promise.
        beside: what of the promise stands for money that the customer's bank had taken before (``Payment.beside``);
            None when that does not change.
        requested_by: the subject of the caller who asked for it; None for refunds that no request asked for by itself
            (a cancellation, late money, a deferred refund).
        requested_amount: what the caller named; None for all that could come back.
        requested_at: when the request that this one repeats was made, where that one was never sent; its deadlines are
            measured by that clock. None: now.
        again: an earlier sending of the same refund was given up; this one names its idempotency key at the gateway,
            which tells the two apart.
        cancels_booking: with it the customer has everything back and asked for it, so that the booking is canceled as
            soon as the refund is certain to stay promised.
    """

    refund_id: str
    amount: Money
    fee_refunded: Money
    reason: RefundReason
    note: str | None
    idempotency_key: str
    promised: GivenBack | None = None
    beside: Money | None = None
    requested_by: str | None = None
    requested_amount: Money | None = None
    requested_at: datetime | None = None
    override: bool = False
    again: bool = False
    cancels_booking: bool = False


@frozen(kw_only=True)
class RefundDeferred:
    """A refund is promised and cannot be sent yet; it is sent by the system when the obstacle is gone.

    The fields are those of ``RefundRequested``; ``requested_by`` is set only while that caller does not know that the
    refund waits. A refund that was requested and certainly never sent becomes deferred under its own ``refund_id``.
    """

    refund_id: str
    amount: Money
    fee_refunded: Money
    reason: RefundReason
    note: str | None
    why: Deferral
    promised: GivenBack | None = None
    beside: Money | None = None
    requested_by: str | None = None
    requested_amount: Money | None = None
    cancels_booking: bool = False


@frozen(kw_only=True)
class DeferredRefundDropped:
    """A deferred refund is not sent any more: nothing of it is owed. The customer's bank took the money back, or the
    debt was settled otherwise."""

    refund_id: str


@frozen(kw_only=True)
class PromiseConfirmed:
    """A cancellation promises what a refund request in flight has promised: a refusal of it withdraws nothing."""

    refund_id: str


@frozen(kw_only=True)
class PromiseWithdrawn:
    """A refund request was refused, or never sent, and its caller knows it: what it would have given is not owed."""

    refund_id: str
    promised: GivenBack


@frozen(kw_only=True)
class DebtSettled:
    """An operator settled a part of what is owed without a refund: paid elsewhere, or waived."""

    settled: GivenBack
    how: Settlement
    note: str


@frozen(kw_only=True)
class RefundAcknowledged:
    """The caller of a refund whose outcome had been unknown asked again and was given its outcome."""

    refund_id: str


@frozen(kw_only=True)
class AuthorizationReleased:
    """The gateway lists the release of money that was held and not captured as a refund. Nothing is booked.

    Versions of Stripe's API before 2025-03-31.basil do so (docs.stripe.com/changelog/basil/2025-03-31).
    """

    gateway_refund_id: str
    amount: Money


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
    """The customer's bank claims the money back, or asks about it (an inquiry).

    ``charge_refundable``: whether the gateway takes a refund of the charge at present; None when it does not say.
    """

    dispute_id: str
    status: DisputeStatus
    reason: str
    amount: Money
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None


@frozen(kw_only=True)
class DisputeMoved:
    """A dispute entered ``status``. ``contradictory``: no rule of the card networks leads there from its last one, so
    the disputed amount stays held until it moves on."""

    dispute_id: str
    status: DisputeStatus
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None
    contradictory: bool = False


@frozen(kw_only=True)
class DisputeChanged:
    """Without moving, a dispute came to be over ``amount``, to be answered until ``evidence_due_by``, or to admit
    refunds of its charge or not."""

    dispute_id: str
    amount: Money
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None


@frozen(kw_only=True)
class DisputeFundsMoved:
    """What a dispute holds of our balance is now ``withdrawn`` in all."""

    dispute_id: str
    withdrawn: Money


@frozen(kw_only=True)
class BookingConfirmed:
    """The booking is paid, or costs nothing."""


@frozen(kw_only=True)
class BookingReleased:
    """The booking was closed, as ``canceled`` or ``expired``.

    Attributes:
        reason: why it expired before its time, as the values of ``EndReason`` do; ``refunded`` when it was canceled
            because all of its money goes back.
        promised: by how much this raises what the customer was promised: refunds that were made in the gateway's
            dashboard are promised from now on, so that one that fails is owed. None: by nothing.
    """

    status: str
    reason: str | None = None
    promised: GivenBack | None = None


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
    | CallNotFound
    | CallGivenUp
    | LostCallEnded
    | OperationSettled
    | ReturnUrlChosen
    | IntentLinked
    | PaymentAdopted
    | AttemptStarted
    | AttemptRefused
    | AttemptDropped
    | ClientNamed
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
    | RefundDeferred
    | DeferredRefundDropped
    | PromiseConfirmed
    | PromiseWithdrawn
    | DebtSettled
    | RefundAcknowledged
    | AuthorizationReleased
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
