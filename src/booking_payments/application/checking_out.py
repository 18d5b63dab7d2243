"""The content of a checkout page: the booking, its price, and the stage that the customer has reached.

All front ends use the same stages.
"""

from datetime import datetime
from enum import Enum
from fractions import Fraction

from attrs import evolve, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.paying import read_now
from booking_payments.application.pricing import price_shown
from booking_payments.application.reading import current_payment
from booking_payments.application.refunding import denied_to_customer
from booking_payments.application.views import PaymentView
from booking_payments.domain.booking import Booking, BookingStatus, Payability
from booking_payments.domain.declines import Decline
from booking_payments.domain.events import Purpose
from booking_payments.domain.fees import FeeBreakdown
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import QuoteReason, RefundPolicy
from booking_payments.ports.unit_of_work import UnitOfWork


class CheckoutStage(Enum):
    """The stage of a checkout.

    ``pay``: a payment method is needed; ``authenticate``: the customer has to act at the bank; ``working``: a charge is
    in flight; ``checking``: the outcome of a charge is unknown; ``canceling``: the payment is being canceled;
    ``processing``: the bank is processing the payment; ``held``: the money is authorized and not captured; ``paid``;
    ``free``: the price is zero; ``late``: the payment succeeded after the booking had closed, and is refunded;
    ``failed``: no attempts are left; ``closed``: the booking can't be paid; ``canceled``: the booking was closed after
    its payment had started, and that payment was charged or may still be.
    """

    PAY = "pay"
    AUTHENTICATE = "authenticate"
    WORKING = "working"
    CHECKING = "checking"
    CANCELING = "canceling"
    PROCESSING = "processing"
    HELD = "held"
    PAID = "paid"
    FREE = "free"
    LATE = "late"
    FAILED = "failed"
    CLOSED = "closed"
    CANCELED = "canceled"

    @property
    def moves_by_itself(self) -> bool:
        """Whether the stage changes without the customer, so that the page reloads it."""
        return self in (
            CheckoutStage.WORKING,
            CheckoutStage.CHECKING,
            CheckoutStage.CANCELING,
            CheckoutStage.PROCESSING,
        )


@frozen(kw_only=True)
class Checkout:
    """The content of a checkout page.

    Attributes:
        booking: the booking.
        price: the price of the payment, or of one that would start now.
        stage: the stage that the customer has reached.
        payability: whether the booking can be paid now, or why not.
        refunds_denied: why the customer may not ask for a refund; None when they may.
        refund_policy: the payment's policy, or that of a payment that would start now.
        shares_ahead: the shares of the charge that can still be refunded, each with the time until which it applies.
        view: the payment; None when none was started.
        asked: whether the payment was read from the gateway for this.
    """

    booking: Booking
    price: FeeBreakdown
    stage: CheckoutStage
    payability: Payability
    refunds_denied: QuoteReason | None
    refund_policy: RefundPolicy
    shares_ahead: tuple[tuple[Fraction, datetime], ...]
    view: PaymentView | None = None
    asked: bool = False

    @property
    def payment(self) -> Payment | None:
        return self.view.payment if self.view else None

    @property
    def decline(self) -> Decline | None:
        """Why the last attempt failed, in the form for customers; None when no attempt has failed."""
        decline = self.payment.last_decline if self.payment else None
        return decline.for_customer() if decline else None

    @property
    def may_have_moved(self) -> bool:
        """Whether the customer may have acted at the gateway without our books showing it yet.

        True for an open intent, if the page would ask for a payment or say that the booking can't be paid any more.
        """
        waiting = self.stage in (CheckoutStage.PAY, CheckoutStage.AUTHENTICATE, CheckoutStage.CLOSED)
        payment = self.payment
        if payment is None or payment.intent_id is None or payment.operation is not None:
            return False
        return waiting and payment.status.is_open

    @property
    def version(self) -> str:
        """A text that changes whenever the content changes."""
        payment = self.payment
        return f"{self.stage.value}-{payment.id}-{payment.version}" if payment else self.stage.value


async def read_checkout(deps: Dependencies, booking_id: str, caller: Caller) -> Checkout:
    """Return the checkout of a booking. Raises ``NotFound`` when it does not exist for this caller."""

    async def work(uow: UnitOfWork) -> Checkout:
        booking = caller.require(await uow.bookings.get(booking_id))
        payment = await current_payment(uow, booking_id)
        client_action = await uow.payments.client_action(payment.id) if payment else None
        now = deps.clock.now()
        payability = booking.payability(now)
        policy = payment.refund_policy if payment else booking.refund_policy or deps.config.refunds
        return Checkout(
            booking=booking,
            price=price_shown(deps, booking, payment),
            stage=stage_of(payment, booking, payability),
            payability=payability,
            refunds_denied=denied_to_customer(deps, booking),
            refund_policy=policy,
            shares_ahead=policy.shares_ahead(now, booking.event_starts_at),
            view=PaymentView(payment=payment, client_action=client_action) if payment else None,
        )

    return await deps.storage.read(work)


async def poll_checkout(deps: Dependencies, booking_id: str, caller: Caller, *, anew: bool) -> Checkout:
    """Return the checkout of a booking. If the customer may have acted at the gateway, read the payment there first.

    So the page shows the result before the webhook arrives. A payment is read at most once in two seconds, unless
    ``anew`` is set. Raises ``NotFound`` as ``read_checkout``.
    """
    seen = await read_checkout(deps, booking_id, caller)
    payment = seen.payment
    if payment is None or not seen.may_have_moved:
        return seen
    if not anew and not deps.reads.begin(f"{payment.id} shown", deps.clock.now()):
        return seen
    asked = await read_now(deps, booking_id, caller, payment)
    return evolve(await read_checkout(deps, booking_id, caller), asked=asked)


_CHARGES = frozenset({Purpose.PAY, Purpose.REPLACE_PAYMENT})
_CANCELLATIONS = frozenset(
    {
        Purpose.CANCEL_PAYMENT,
        Purpose.CANCEL_BOOKING,
        Purpose.EXPIRE_BOOKING,
        Purpose.END_ATTEMPTS,
        Purpose.RELEASE_HOLD,
    }
)
_BY_STATUS = {
    PaymentStatus.PROCESSING: CheckoutStage.PROCESSING,
    PaymentStatus.REQUIRES_CAPTURE: CheckoutStage.HELD,
    PaymentStatus.SUCCEEDED: CheckoutStage.PAID,
}


def stage_of(payment: Payment | None, booking: Booking, payability: Payability) -> CheckoutStage:
    """Return the stage of a checkout.

    Money that has moved, or may have moved, decides before the booking's status. A refund or a capture in flight does
    not matter to the customer, so the payment's status decides then.
    """
    operation = payment.operation if payment is not None else None
    # Where a gateway's script only asks for its form, an unknown outcome says nothing of a charge.
    only_form = operation is not None and operation.unknown and operation.only_prepares
    if operation is not None and operation.purpose in _CHARGES and not only_form:
        return CheckoutStage.CHECKING if operation.unknown else CheckoutStage.WORKING
    if operation is not None and operation.purpose in _CANCELLATIONS:
        return CheckoutStage.CANCELING
    if payment is not None and payment.late and payment.status is PaymentStatus.SUCCEEDED:
        # Money that came at an old price goes back, and the booking still waits for its present price.
        return CheckoutStage.PAY if payability is Payability.PAYABLE else CheckoutStage.LATE
    if payment is not None and payment.status in _BY_STATUS:
        return _BY_STATUS[payment.status] if booking.status.is_live else CheckoutStage.CANCELED
    if booking.status is BookingStatus.CONFIRMED:
        return CheckoutStage.FREE if booking.free else CheckoutStage.PAID
    if payability is Payability.ATTEMPTS_EXHAUSTED:
        return CheckoutStage.FAILED
    if payability is not Payability.PAYABLE:
        return CheckoutStage.CLOSED
    if payment is not None and payment.status is PaymentStatus.FAILED:
        return CheckoutStage.FAILED
    needs_customer = payment is not None and payment.status is PaymentStatus.REQUIRES_ACTION
    return CheckoutStage.AUTHENTICATE if needs_customer else CheckoutStage.PAY
