"""Intentions: whether something may be asked of the gateway now, and what exactly is asked."""

import hmac
from datetime import datetime

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, Payability
from booking_payments.domain.decisions.facts import Facts
from booking_payments.domain.errors import AlreadyUnderWay, CardDeclined, InvalidAmount, NotPossibleNow, RefusedByRule
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import (
    ANY_METHOD,
    NO_TEXTS,
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ChargeTexts,
    ConfirmIntent,
    CreateIntent,
    Instruction,
    MethodChoice,
)
from booking_payments.domain.lifecycle import Command, Denial, require
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundOnCancel, RefundPolicy


def start(
    booking: Booking,
    *,
    payment_id: str,
    now: datetime,
    fee_policy: FeePolicy,
    refund_policy: RefundPolicy,
    capture_method: CaptureMethod,
    max_attempts: int,
    amount_step: int,
) -> ev.PaymentStarted:
    """A new payment for ``booking``, under the terms of this moment; raises unless the booking is payable.

    ``amount_step`` is the gateway's: it takes and gives back multiples of so many minor units only.
    """
    require_payable(booking, now)
    return started_for(
        booking,
        payment_id=payment_id,
        fee_policy=fee_policy,
        refund_policy=refund_policy,
        capture_method=capture_method,
        max_attempts=max_attempts,
        amount_step=amount_step,
    )


def started_for(
    booking: Booking,
    *,
    payment_id: str,
    fee_policy: FeePolicy,
    refund_policy: RefundPolicy,
    capture_method: CaptureMethod,
    max_attempts: int,
    amount_step: int,
) -> ev.PaymentStarted:
    """A new payment for ``booking``, whether or not that may be paid now."""
    return ev.PaymentStarted(
        payment_id=payment_id,
        booking_id=booking.id,
        booking_reference=booking.reference,
        customer_id=booking.customer_id,
        booking_amount=booking.amount,
        breakdown=fee_policy.of_booking(booking.amount, amount_step),
        fee_policy=fee_policy,
        refund_policy=booking.refund_policy or refund_policy,
        event_starts_at=booking.event_starts_at,
        capture_method=capture_method,
        max_attempts=max_attempts,
        amount_step=amount_step,
    )


def require_payable(booking: Booking, now: datetime) -> None:
    """Raise the reason unless ``booking`` may be paid at ``now``."""
    payability = booking.payability(now)
    if payability is not Payability.PAYABLE:
        raise payability.error()


def intend_create(
    payment: Payment,
    *,
    idempotency_key: str,
    payment_method_id: str | None,
    confirm: bool,
    return_url: str | None,
    methods: MethodChoice = ANY_METHOD,
    texts: ChargeTexts = NO_TEXTS,
    correlation_id: str | None = None,
    installation_id: str | None = None,
) -> Facts:
    """Make the intent at the gateway, and charge it in the same call when ``confirm`` is set.

    ``correlation_id`` names the request that asked for it, also at the gateway; ``installation_id`` whose it is there.
    """
    if confirm:
        _require_chargeable(payment, payment_method_id)
    require_idle(payment)
    instruction = CreateIntent(
        amount=payment.amount,
        capture_method=payment.capture_method,
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url,
        metadata=metadata_of(payment, correlation_id, installation_id),
        methods=methods,
        texts=texts,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended) if confirm else (intended,)


def intend_confirm(
    payment: Payment, *, idempotency_key: str, payment_method_id: str | None, return_url: str | None
) -> Facts:
    """Charge the intent, with ``payment_method_id`` or with the method attached already."""
    _require_chargeable(payment, payment_method_id)
    require_idle(payment)
    instruction = ConfirmIntent(
        intent_id=intent_of(payment), payment_method_id=payment_method_id, return_url=return_url
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended)


def intend_capture(payment: Payment, *, idempotency_key: str, amount: Money | None) -> Facts:
    """Collect ``amount`` of the held money (None: all of it); the rest is released."""
    require(payment.status, Command.CAPTURE)
    require_idle(payment)
    amount = payment.authorized if amount is None else amount
    if amount.minor <= 0:
        raise InvalidAmount("the amount to capture must be more than zero")
    if amount > payment.authorized:
        raise RefusedByRule(f"only {payment.authorized} is held", code="amount_exceeds_authorized")
    instruction = CaptureIntent(intent_id=intent_of(payment), amount=amount)
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.CAPTURE, instruction=instruction),)


def intend_cancel(
    payment: Payment,
    *,
    idempotency_key: str,
    purpose: ev.Purpose,
    refund_on_cancel: RefundOnCancel | None = None,
) -> Facts:
    """Give the intent up. Without one at the gateway the payment is canceled at once, with no call.

    ``refund_on_cancel``: what the booking gives back should the payment turn out to be paid.
    """
    require(payment.status, Command.CANCEL)
    require_idle(payment)
    if payment.intent_id is None:
        return (ev.PaymentFailed(),) if purpose is ev.Purpose.END_ATTEMPTS else (ev.PaymentCanceled(),)
    asked = purpose is ev.Purpose.CANCEL_PAYMENT or purpose is ev.Purpose.CANCEL_BOOKING
    reason = CancellationReason.REQUESTED_BY_CUSTOMER if asked else CancellationReason.ABANDONED
    instruction = CancelIntent(intent_id=payment.intent_id, reason=reason)
    intended = ev.OperationIntended(
        idempotency_key=idempotency_key, purpose=purpose, instruction=instruction, refund_on_cancel=refund_on_cancel
    )
    return (intended,)


def intend_release(payment: Payment, *, idempotency_key: str) -> Facts:
    """Give held money up for which there is no payment any more."""
    require_idle(payment)
    instruction = CancelIntent(intent_id=intent_of(payment), reason=CancellationReason.ABANDONED)
    purpose = ev.Purpose.RELEASE_HOLD
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def charges(instruction: Instruction) -> bool:
    """True when carrying the instruction out may take money from the customer."""
    return isinstance(instruction, ConfirmIntent) or (isinstance(instruction, CreateIntent) and instruction.confirm)


def _require_chargeable(payment: Payment, payment_method_id: str | None) -> None:
    require(payment.status, Command.CONFIRM)
    if not payment.attempts_left:
        raise Denial.ATTEMPTS_EXHAUSTED.error()
    _refuse_burnt_card(payment, payment_method_id)


def _refuse_burnt_card(payment: Payment, payment_method_id: str | None) -> None:
    """Repeat the verdict instead of the charge where the bank said never again with this card.

    The answer is the first one's to the letter, so that a hidden reason stays hidden.
    """
    for attempt in payment.attempts:
        names = (attempt.payment_method_id, attempt.method_seen)
        same = payment_method_id is not None and payment_method_id in names
        if same and attempt.decline is not None and not attempt.decline.rule.same_card:
            raise CardDeclined(attempt.decline)


def require_idle(payment: Payment) -> None:
    """Raise ``AlreadyUnderWay`` while an operation of the payment is in flight."""
    if payment.operation is not None:
        raise AlreadyUnderWay()


def intent_of(payment: Payment) -> str:
    """The gateway's id of the payment's intent. Raises ``NotPossibleNow`` while there is none."""
    if payment.intent_id is None:
        raise NotPossibleNow("this payment has not reached the payment provider yet", code="no_intent")
    return payment.intent_id


def _server_attempt(payment: Payment, key: str, payment_method_id: str | None) -> Facts:
    number = len(payment.attempts) + 1
    return (
        ev.AttemptStarted(
            number=number, origin=ev.Origin.SERVER, idempotency_key=key, payment_method_id=payment_method_id
        ),
    )


def metadata_of(payment: Payment, correlation_id: str | None, installation_id: str | None) -> dict[str, str]:
    """What every object of ours carries at the gateway. Of the customer only a key that means nothing elsewhere."""
    own = {}
    if installation_id is not None:
        key = customer_key(installation_id, payment.customer_id)
        own = {"installation_id": installation_id, "customer_key": key}
    return {
        **own,
        "booking_id": payment.booking_id,
        "payment_id": payment.id,
        "booking_reference": payment.booking_reference,
        **({"correlation_id": correlation_id} if correlation_id else {}),
    }


def customer_key(installation_id: str, customer_id: str) -> str:
    """What stands for a customer at the gateway: the same for all that an installation makes for them."""
    return hmac.digest(installation_id.encode(), customer_id.encode(), "sha256").hex()
