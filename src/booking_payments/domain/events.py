"""Journal events of a payment, named in the past tense. The journal is their list, the payment their fold.

``Recorded`` adds an event's position, time, actor and cause. Events contain no secrets. Sources of the journal are this
service and the gateway; the gateway's own events (webhooks) are not stored here.
"""

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from booking_payments.domain.amendments import Amendment
from booking_payments.domain.booking import ItemCount
from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, Client, Instruction, Replacement
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import Deferral, GivenBack, RefundOnCancel, RefundPolicy, RefundReason
from booking_payments.domain.reports import MethodDetails


class Origin(Enum):
    """Who initiated an attempt or a refund.

    ``server``: this service, with an idempotency key; ``client``: the customer in the browser; ``gateway``: a user of
    the gateway's dashboard.
    """

    SERVER = "server"
    CLIENT = "client"
    GATEWAY = "gateway"


class Purpose(Enum):
    """The purpose of an operation. It determines how the outcome is processed, whichever process learns of it."""

    PAY = "pay"
    CAPTURE = "capture"
    REFUND = "refund"
    CANCEL_PAYMENT = "cancel_payment"
    REPLACE_PAYMENT = "replace_payment"
    CANCEL_BOOKING = "cancel_booking"
    EXPIRE_BOOKING = "expire_booking"
    END_ATTEMPTS = "end_attempts"
    RELEASE_HOLD = "release_hold"
    AMEND_BOOKING = "amend_booking"


class Settlement(Enum):
    """How a debt to a customer was settled without a refund."""

    PAID_ELSEWHERE = "paid_elsewhere"
    WAIVED = "waived"


@frozen(kw_only=True)
class BurntMethod:
    """A payment method that the bank has forbidden to charge again, with the decline that said so."""

    payment_method_id: str
    decline: Decline


@frozen(kw_only=True)
class PaymentStarted:
    """The payment of a booking has started. It keeps the configuration of this moment.

    Attributes:
        gateway: the name of the gateway that the payment belongs to; it never changes.
        amount_step: amounts computed later are rounded to multiples of this many minor units, which the gateway
            accepts.
        burnt: methods that must not be charged again, because of declines in the booking's earlier payments.
        refund_grace_until: until then the customer may have everything back; None without such a time.
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
    gateway: str
    amount_step: int = 1
    burnt: tuple[BurntMethod, ...] = ()
    refund_grace_until: datetime | None = None


@frozen(kw_only=True)
class OperationIntended:
    """A call to the gateway is about to be sent, with this key and exactly this instruction.

    Attributes:
        refund_on_cancel: the refund to give if the payment turns out to have succeeded. A cancellation whose outcome
            was unknown is completed in this way. None for every other purpose.
        replacement: the parameters of the booking's next payment, which starts once this one is canceled; None if none
            follows.
        amendment: the booking's new content, which applies once the gateway has confirmed the call; None for every
            purpose except ``amend_booking``.
    """

    idempotency_key: str
    purpose: Purpose
    instruction: Instruction
    refund_on_cancel: RefundOnCancel | None = None
    replacement: Replacement | None = None
    amendment: Amendment | None = None


@frozen(kw_only=True)
class OutcomeLeftUnknown:
    """The outcome of the call is unknown.

    Attributes:
        reason: a short code.
        stored_error: the gateway answered with an internal error, which it repeats for as long as it keeps the key.
    """

    idempotency_key: str
    reason: str
    stored_error: bool = False


@frozen(kw_only=True)
class CallNotFound:
    """A complete walk through the gateway's list, begun at ``begun_at``, did not find the object of the call."""

    idempotency_key: str
    begun_at: datetime


@frozen(kw_only=True)
class CallGivenUp:
    """The call is abandoned because its object was not found, so it no longer blocks the payment.

    It is watched until its key is too old for the object to appear.
    """

    idempotency_key: str


@frozen(kw_only=True)
class LostCallEnded:
    """The watch of an abandoned call has ended.

    ``found`` is the gateway's id of the object that it created after all; None when none appeared.
    """

    idempotency_key: str
    found: str | None = None


@frozen(kw_only=True)
class OperationSettled:
    """The outcome of the call is known: success, or a refusal.

    Attributes:
        refusal: the gateway's error code; None for a success.
        answered: the request that began the operation received this outcome. False when it was resolved later.
    """

    idempotency_key: str
    refusal: str | None = None
    answered: bool = True


@frozen(kw_only=True)
class ReturnUrlChosen:
    """Confirmations from now on return the customer to another URL."""

    return_url: str


@frozen(kw_only=True)
class IntentLinked:
    """The gateway's intent of this payment is known."""

    intent_id: str


@frozen(kw_only=True)
class PaymentAdopted:
    """The intent was found at the gateway without its payment in the database.

    This happens, for example, after the restore of a backup. The intent was created for booking ``made_for``, and
    becomes the payment of the booking that was registered again under the same reference.
    """

    intent_id: str
    made_for: str


@frozen(kw_only=True)
class AttemptStarted:
    """A charge is being attempted. ``idempotency_key`` is None for an attempt of the customer in the browser."""

    number: int
    origin: Origin
    idempotency_key: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class AttemptRefused:
    """The gateway has declined an attempt."""

    number: int
    decline: Decline
    charge_id: str | None
    payment_method_id: str | None


@frozen(kw_only=True)
class AttemptDropped:
    """An attempt ended without a verdict, so that it does not count.

    The gateway rejected the request itself, or the intent continued with another payment method.
    """

    number: int


@frozen(kw_only=True)
class ClientNamed:
    """The front end has named the client for the customer's actions; it applies to every charge from now on."""

    client: Client


@frozen(kw_only=True)
class MethodRequired:
    """The intent waits for a payment method."""


@frozen(kw_only=True)
class MethodAttached:
    """The intent has a payment method and waits for its confirmation."""


@frozen(kw_only=True)
class ActionRequired:
    """The customer has to act, for example pass 3-D Secure.

    Attributes:
        attempt: number of the attempt that waits; None if not known.
        payment_method_id: its method as the gateway reports it; None if not known.
    """

    attempt: int | None = None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class ProcessingStarted:
    """The bank is processing the payment, which may take days. Fields as in ``ActionRequired``."""

    attempt: int | None = None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class PaymentAuthorized:
    """The money is held and may be captured. ``payment_method_id`` is the method as the gateway reports it."""

    amount: Money
    charge_id: str | None
    attempt: int | None
    payment_method_id: str | None = None


@frozen(kw_only=True)
class PaymentSucceeded:
    """The money was collected.

    Attributes:
        breakdown: of the captured amount.
        late: the booking was closed, or another payment held it.
        payment_method_id: the method as the gateway reports it.
    """

    breakdown: FeeBreakdown
    charge_id: str | None
    attempt: int | None
    late: bool
    payment_method_id: str | None = None


@frozen(kw_only=True)
class MethodSeen:
    """The method of the charge is known, its receipt if there is one, and, for a hold, its capture deadline."""

    charge_id: str | None
    method: MethodDetails
    capture_before: datetime | None = None
    receipt_url: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class PaymentCanceled:
    """The intent was canceled without collecting money; held money is released.

    Or the payment was closed after the gateway refused to cancel its intent.
    """


@frozen(kw_only=True)
class PaymentFailed:
    """No attempt is left, and the intent was canceled, or the gateway refused to cancel it."""


@frozen(kw_only=True)
class RefundRequested:
    """A refund is about to be sent; from now on its amount is reserved.

    Attributes:
        promised: the increase of the promise; None when the refund only fulfills an earlier promise.
        beside: the new value of ``Payment.beside``; None when it does not change.
        requested_by: the subject of the caller; None for a refund without a request of its own (a cancellation, late
            money, a deferred refund).
        requested_amount: the amount in the request; None for everything refundable.
        requested_at: when an equal request that was never sent was made; deadlines are measured at that time. None:
            now.
        override: an operator overrode the refund rules.
        again: an earlier call for the same refund was abandoned. This one writes its idempotency key to the metadata,
            which tells the two apart.
        cancels_booking: it completes a full refund that the customer requested. The booking is canceled once the
            promise can no longer be withdrawn.
        requested_items: the units of items in the request; empty for a request without items.
        change: the change of the booking by a refund of items; it is made once the promise can no longer be withdrawn.
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
    requested_items: tuple[ItemCount, ...] = ()
    change: "ItemsChange | None" = None


@frozen(kw_only=True)
class RefundDeferred:
    """A refund is promised and cannot be sent yet; the system sends it when the obstacle is gone.

    The fields are those of ``RefundRequested``; ``requested_by`` is set only until that caller has received the
    response that the refund is deferred. A refund that was requested and certainly never sent becomes deferred under
    its own ``refund_id``.
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
    requested_items: tuple[ItemCount, ...] = ()
    change: "ItemsChange | None" = None


@frozen(kw_only=True)
class DeferredRefundDropped:
    """A deferred refund is not sent any more because it is not owed.

    The customer's bank withdrew the money, or the debt was settled otherwise.
    """

    refund_id: str


@frozen(kw_only=True)
class PromiseRaised:
    """The amounts of refunds that were not promised, such as refunds in the gateway's dashboard, count as promised.

    If one of these refunds fails, its amount is owed.

    Attributes:
        promised: the increase of the promise; zero when only ``beside`` changes.
        beside: the new ``Payment.beside``; None when it does not change.
    """

    promised: GivenBack
    beside: Money | None = None


@frozen(kw_only=True)
class PromiseConfirmed:
    """A cancellation has promised the amount of a refund in flight, so that a refusal of its call withdraws nothing."""

    refund_id: str


@frozen(kw_only=True)
class PromiseWithdrawn:
    """A refund was refused or never sent, and its caller received that outcome: its promise no longer counts."""

    refund_id: str
    promised: GivenBack


@frozen(kw_only=True)
class DebtSettled:
    """An operator settled a part of the owed amount without a refund: paid elsewhere, or waived."""

    settled: GivenBack
    how: Settlement
    note: str


@frozen(kw_only=True)
class RefundAcknowledged:
    """The caller of a refund whose outcome had been unknown repeated the request and received the outcome."""

    refund_id: str


@frozen(kw_only=True)
class AuthorizationReleased:
    """The gateway lists the release of held, uncaptured money as a refund. No money is booked.

    API versions before 2025-03-31.basil do so (docs.stripe.com/changelog/basil/2025-03-31).
    """

    gateway_refund_id: str
    amount: Money


@frozen(kw_only=True)
class RefundFound:
    """The gateway has a refund that this service did not request: it was made in the dashboard."""

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
    """A refund entered ``status``; ``failure_reason`` is the gateway's code for a failed or canceled one."""

    refund_id: str
    status: RefundStatus
    failure_reason: str | None = None


@frozen(kw_only=True)
class DisputeOpened:
    """The customer's bank claims the money back, or requests information about the charge (an inquiry).

    ``charge_refundable``: the gateway accepts a refund of the charge now; None when it does not say.
    """

    dispute_id: str
    status: DisputeStatus
    reason: str
    amount: Money
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None


@frozen(kw_only=True)
class DisputeMoved:
    """A dispute entered ``status``.

    ``contradictory``: the card networks' rules exclude this change of status, so the disputed amount stays held until
    the next one.
    """

    dispute_id: str
    status: DisputeStatus
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None
    contradictory: bool = False


@frozen(kw_only=True)
class DisputeChanged:
    """The amount, the deadline or the refundability of a dispute changed without its status."""

    dispute_id: str
    amount: Money
    evidence_due_by: datetime | None
    charge_refundable: bool | None = None


@frozen(kw_only=True)
class DisputeFundsMoved:
    """The amount that a dispute holds of the balance is now ``withdrawn`` in total."""

    dispute_id: str
    withdrawn: Money


@frozen(kw_only=True)
class BookingConfirmed:
    """The booking is paid, or its amount is zero."""


@frozen(kw_only=True)
class BookingReleased:
    """The booking was closed, as ``canceled`` or ``expired``.

    Attributes:
        reason: a value of ``EndReason``; None without a reason in addition to ``status``.
    """

    status: str
    reason: str | None = None


@frozen(kw_only=True)
class BookingAmended:
    """The booking has got new content: another price, other items, another date, other texts.

    Attributes:
        amendment: the new content.
        changed: the names of the fields that changed.
        amount_before: the price before.
        priced: the price that the payment has to pay from now on; None where its price does not change, because it is
            paid or closed.
        reduced: the part of the charge that a paid booking no longer costs; None where there is none.
        given_back: the part of ``reduced`` that goes back to the customer; the tiers of later refunds apply to the rest
            of the charge.
    """

    amendment: Amendment
    changed: tuple[str, ...]
    amount_before: Money
    priced: Money | None = None
    reduced: Money | None = None
    given_back: Money | None = None

    @property
    def amount(self) -> Money:
        """The new price."""
        return self.amendment.amount

    @property
    def event_starts_at(self) -> datetime:
        """The start of the event from now on."""
        return self.amendment.event_starts_at


@frozen(kw_only=True)
class ItemsChange:
    """What a refund of single items changes in its booking.

    Attributes:
        amended: the event that gives the booking its new content; None when no unit is left: the booking is canceled.
    """

    amended: BookingAmended | None = None


@frozen(kw_only=True)
class Overcaptured:
    """More of a hold was captured, at the gateway, than the booking costs: the difference is not owed by the customer.

    ``reduced`` and ``given_back`` as in ``BookingAmended``.
    """

    reduced: Money
    given_back: Money


@frozen(kw_only=True)
class LatePaymentDecided:
    """A payment succeeded for a closed booking, or at a price that its booking does not cost any more, and is refunded.

    ``booking_status`` is the booking's status then.
    """

    booking_status: str


@frozen(kw_only=True)
class ObservationDeferred:
    """A webhook arrived while a call was in flight: its object is read when the call is over."""


@frozen(kw_only=True)
class DriftFound:
    """A report of the gateway contradicts the journal. Nothing else was recorded; an operator has to look at it."""

    code: str
    detail: str


Event = (
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
    | PromiseRaised
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
    | BookingAmended
    | Overcaptured
    | LatePaymentDecided
    | ObservationDeferred
    | DriftFound
)


@frozen(kw_only=True)
class Recorded:
    """One entry of the journal.

    Attributes:
        sequence: counts from 1 within its payment.
        actor: who caused it: ``customer:ann``, ``operator:bob``, ``gateway`` or ``system``.
        cause: what led to it, for example a request or a gateway event.
    """

    sequence: int
    at: datetime
    actor: str
    cause: str
    event: Event
