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
    Client,
    ConfirmIntent,
    CreateIntent,
    Instruction,
    MethodChoice,
    Replacement,
    UpdateIntent,
)
from booking_payments.domain.lifecycle import Command, Denial, PaymentStatus, require
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Attempt, AttemptOutcome, Payment
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
    gateway: str,
    amount_step: int,
    before: Payment | None = None,
) -> ev.PaymentStarted:
    """A new payment for ``booking``, under the terms of this moment; raises unless the booking is payable.

    ``before`` is the booking's last payment: what must not be charged again by it is not charged by this one either.
    ``gateway`` is the gateway's name, ``amount_step`` its step: it moves multiples of so many minor units
    only.
    """
    require_payable(booking, now)
    return started_for(
        booking,
        payment_id=payment_id,
        fee_policy=fee_policy,
        refund_policy=refund_policy,
        capture_method=capture_method,
        max_attempts=max_attempts,
        gateway=gateway,
        amount_step=amount_step,
        before=before,
    )


def started_for(
    booking: Booking,
    *,
    payment_id: str,
    fee_policy: FeePolicy,
    refund_policy: RefundPolicy,
    capture_method: CaptureMethod,
    max_attempts: int,
    gateway: str,
    amount_step: int,
    before: Payment | None = None,
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
        gateway=gateway,
        amount_step=amount_step,
        burnt=burnt_methods(before) if before is not None else (),
    )


def attempts_left_of_booking(before: Payment | None, most: int) -> int:
    """How many charge attempts, of at most ``most``, the payment that follows ``before`` is given: what the bank
    refused counts for the whole booking, so that giving a payment up is no way to try more cards. At least one."""
    if before is None:
        return most
    refused = sum(attempt.outcome is AttemptOutcome.REFUSED for attempt in before.attempts)
    return max(min(most, before.max_attempts - refused), 1)


def capture_of(
    booking: Booking, asked: CaptureMethod | None, default: CaptureMethod, *, may_choose: bool
) -> CaptureMethod:
    """How the booking's payment is captured: as it was registered (``default`` where nothing was said), or as
    ``asked`` by somebody who ``may_choose``.

    Raises ``RefusedByRule`` where anybody else asks for another one: money that is only held keeps the seat for days
    and pays nothing, and money that is taken at once can't be given up before it is.
    """
    registered = booking.details.capture_method or default
    if asked is None or asked is registered or may_choose:
        return asked or registered
    raise RefusedByRule(
        f"this booking is to be paid with capture_method {registered.value}; leave capture_method out",
        code="capture_method_not_allowed",
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
    else:
        _refuse_burnt_card(payment, payment_method_id)
    require_idle(payment)
    if payment.lost_intent is not None:  # it would be another intent of the same payment; the payment is to end first
        raise AlreadyUnderWay()
    instruction = CreateIntent(
        amount=payment.amount,
        capture_method=payment.capture_method,
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url,
        metadata=metadata_of(payment, correlation_id, installation_id),
        methods=methods,
        texts=texts,
        client=payment.client,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended) if confirm else (intended,)


def intend_confirm(
    payment: Payment, *, idempotency_key: str, payment_method_id: str | None, return_url: str | None
) -> Facts:
    """Charge the intent, with ``payment_method_id`` or with the method attached already."""
    _require_chargeable(payment, payment_method_id or attached_method(payment))
    require_idle(payment)
    instruction = ConfirmIntent(
        intent_id=intent_of(payment),
        payment_method_id=payment_method_id,
        return_url=return_url,
        during_action=payment_method_id is not None and payment.status is PaymentStatus.REQUIRES_ACTION,
        client=payment.client,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended)


def intend_update(payment: Payment, *, idempotency_key: str, payment_method_id: str) -> Facts:
    """Give the intent another payment method, with which it is charged when it is confirmed without naming one."""
    _require_chargeable(payment, payment_method_id)
    require_idle(payment)
    instruction = UpdateIntent(intent_id=intent_of(payment), payment_method_id=payment_method_id)
    purpose = ev.Purpose.PAY
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def intend_replacement(payment: Payment, *, idempotency_key: str, replacement: Replacement) -> Facts:
    """Give the intent up, and begin a new payment as soon as the gateway has canceled it."""
    _require_chargeable(payment, replacement.payment_method_id)
    require_idle(payment)
    instruction = CancelIntent(intent_id=intent_of(payment), reason=CancellationReason.ABANDONED)
    intended = ev.OperationIntended(
        idempotency_key=idempotency_key,
        purpose=ev.Purpose.REPLACE_PAYMENT,
        instruction=instruction,
        replacement=replacement,
    )
    return (intended,)


def choose_return_url(payment: Payment, return_url: str | None) -> Facts:
    """What it means that a repeated start names where to come back to; nothing where that is known."""
    return () if return_url in (None, payment.return_url) else (ev.ReturnUrlChosen(return_url=return_url),)


def needs_other_intent(payment: Payment, return_url: str | None) -> bool:
    """Whether the intent takes no methods that redirect, and might: nobody is trying to pay it at this moment."""
    idle = payment.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_CONFIRMATION)
    return return_url is not None and not payment.takes_redirects and idle and payment.intent_id is not None


def attached_method(payment: Payment) -> str | None:
    """The method with which the intent is charged when it is confirmed without naming one, as it was named to us; None
    where it has none, or one that the customer is trying."""
    return payment.attached if payment.status is PaymentStatus.REQUIRES_CONFIRMATION else None


def require_same_capture(payment: Payment, capture_method: CaptureMethod | None) -> None:
    """Raise ``NotPossibleNow`` where a repeated start asks for another capture method than the payment has."""
    if capture_method not in (None, payment.capture_method):
        message = (
            f"this payment was started with capture_method {payment.capture_method.value}; cancel it, and start anew"
        )
        raise NotPossibleNow(message, code="capture_method_fixed")


def attempt_in_action(payment: Payment) -> Attempt | None:
    """The attempt that the customer is to authenticate, or to act on otherwise; none whose call is in flight."""
    waiting = [each for each in payment.attempts if each.is_running and not payment.is_in_flight(each)]
    return waiting[-1] if waiting and payment.status is PaymentStatus.REQUIRES_ACTION else None


def asks_for_attempt_in_action(payment: Payment, payment_method_id: str | None) -> bool:
    """Whether a charge with this method (None: with the one that the intent has) asks for what the customer is in the
    middle of."""
    if payment.status is not PaymentStatus.REQUIRES_ACTION or payment_method_id is None:
        return payment.status is PaymentStatus.REQUIRES_ACTION
    attempt = attempt_in_action(payment)
    return attempt is not None and attempt.names(payment_method_id)


def has_method(payment: Payment, payment_method_id: str) -> bool:
    """Whether this is the method that is being tried, or was paid with."""
    latest = payment.attempts[-1] if payment.attempts else None
    tried = payment.running_attempt or (latest if latest and latest.decline is None and latest.has_verdict else None)
    return tried is not None and tried.names(payment_method_id)


def name_client(payment: Payment, client: Client | None) -> Facts:
    """Keep what carries the customer's action out from now on; None, and what is kept already, change nothing."""
    return () if client is None or client is payment.client else (ev.ClientNamed(client=client),)


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
    for burnt in burnt_methods(payment):
        if burnt.payment_method_id == payment_method_id:
            raise CardDeclined(burnt.decline)


def is_burnt(payment: Payment, payment_method_id: str | None) -> bool:
    """Whether the bank said never again with this method, to this payment or an earlier one of the booking."""
    return any(burnt.payment_method_id == payment_method_id for burnt in burnt_methods(payment))


def burnt_methods(payment: Payment) -> tuple[ev.BurntMethod, ...]:
    """The methods that must not be charged for the booking again, by every id that they were named with."""
    found = {each.payment_method_id: each for each in payment.burnt}
    for attempt in payment.attempts:
        if attempt.decline is None or attempt.decline.rule.same_card:
            continue
        for name in (attempt.payment_method_id, attempt.method_seen):
            if name is not None:
                found.setdefault(name, ev.BurntMethod(payment_method_id=name, decline=attempt.decline))
    return tuple(found.values())


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
