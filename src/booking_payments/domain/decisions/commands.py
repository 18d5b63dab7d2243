"""Commands: check whether a gateway call is allowed now, and return the events that record the intended call.

Refunds are requested in ``obligations``.
"""

import hmac  # standard library: the gateway gets a keyed digest of the customer's id (RFC 2104), never the id
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.booking import Booking, Payability
from booking_payments.domain.decisions.drift import Events
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

_NO_METADATA: Final[Mapping[str, str]] = {}


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
    """Return the event that starts a payment for ``booking``; it keeps the configuration of this moment.

    Args:
        now: compared with the booking's deadline and the start of its event.
        gateway: the gateway's name.
        amount_step: the gateway accepts amounts in multiples of this many minor units.
        before: the booking's previous payment; methods that must not be charged again are carried over from it.

    Raises:
        NotPossibleNow, RefusedByRule: the booking is not payable at ``now``.
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
    """Return the event that starts a payment for ``booking``, payable or not. Arguments as in ``start``."""
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
        refund_grace_until=booking.refund_grace_until,
    )


def attempts_left_of_booking(before: Payment | None, most: int) -> int:
    """Return the number of charge attempts for the payment that follows ``before``: at least 1, at most ``most``.

    Refusals count for the whole booking, so that abandoning a payment does not allow more cards to be tried.
    """
    if before is None:
        return most
    refused = sum(attempt.outcome is AttemptOutcome.REFUSED for attempt in before.attempts)
    return max(min(most, before.max_attempts - refused), 1)


def capture_of(
    booking: Booking, asked: CaptureMethod | None, default: CaptureMethod, *, may_choose: bool
) -> CaptureMethod:
    """Return the capture method of the booking's payment: the registered one, or ``asked`` if the caller may choose.

    Args:
        asked: the method named in the request; None for the registered one.
        default: applies when the booking was registered without a method.
        may_choose: the caller may deviate from the registered method.

    Raises:
        RefusedByRule: a caller who may not choose asks for another method. An authorization alone would hold the seat
            for days without paying for it, and an automatic capture cannot be released before the money is collected.
    """
    registered = booking.details.capture_method or default
    if asked is None or asked is registered or may_choose:
        return asked or registered
    raise RefusedByRule(
        f"this booking is to be paid with capture_method {registered.value}; leave capture_method out",
        code="capture_method_not_allowed",
    )


def require_payable(booking: Booking, now: datetime) -> None:
    """Raise the booking's reason unless it may be paid at ``now``."""
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
    booking_metadata: Mapping[str, str] = _NO_METADATA,
) -> Events:
    """Intend the creation of the intent, and its charge in the same call if ``confirm`` is set.

    Args:
        payment_method_id: None creates an intent for which the front end collects the method.
        return_url: where the customer returns from a redirect; None excludes methods that redirect.
        correlation_id: id of the request, stored in the intent's metadata.
        installation_id: id of this installation, stored in the intent's metadata.
        booking_metadata: the booking's own metadata, stored beside them.

    Raises:
        AlreadyUnderWay: an operation is in flight, or an earlier creating call is lost, which would lead to two
            intents.
        CardDeclined: the bank has forbidden further charges of this method.
        NotPossibleNow: with ``confirm``, the payment's state does not allow a charge.
        RefusedByRule: with ``confirm``, no attempt is left.
    """
    if confirm:
        _require_chargeable(payment, payment_method_id)
    else:
        _refuse_burnt_card(payment, payment_method_id)
    require_idle(payment)
    if payment.lost_intent is not None:  # a second intent of one payment; this payment has to be closed first
        raise AlreadyUnderWay()
    instruction = CreateIntent(
        amount=payment.amount,
        capture_method=payment.capture_method,
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url,
        metadata={**booking_metadata, **metadata_of(payment, correlation_id, installation_id)},
        methods=methods,
        texts=texts,
        client=payment.client,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended) if confirm else (intended,)


def intend_confirm(
    payment: Payment, *, idempotency_key: str, payment_method_id: str | None, return_url: str | None
) -> Events:
    """Intend a charge of the intent with ``payment_method_id``, or with the attached method if that is None.

    Raises as ``intend_create`` with ``confirm``.
    """
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


def intend_update(payment: Payment, *, idempotency_key: str, payment_method_id: str) -> Events:
    """Intend the attachment of another payment method, which a later confirmation without a method charges."""
    _require_chargeable(payment, payment_method_id)
    require_idle(payment)
    instruction = UpdateIntent(intent_id=intent_of(payment), payment_method_id=payment_method_id)
    purpose = ev.Purpose.PAY
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def intend_replacement(payment: Payment, *, idempotency_key: str, replacement: Replacement) -> Events:
    """Intend the cancellation of the intent, after which a new payment starts with ``replacement``."""
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


def choose_return_url(payment: Payment, return_url: str | None) -> Events:
    """Return the event for the return URL of a repeated start; nothing when it is None or unchanged."""
    return () if return_url in (None, payment.return_url) else (ev.ReturnUrlChosen(return_url=return_url),)


def needs_other_intent(payment: Payment, return_url: str | None, hold: timedelta) -> bool:
    """True when the intent offers too little or too much.

    Too little: it excludes methods that redirect, and a start with a return URL asks for them. Too much: its vouchers
    could be paid after the end of the booking's hold, of which ``hold`` is left.

    Only an intent that is not being paid at this moment is replaced.
    """
    idle = payment.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_CONFIRMATION)
    redirects = return_url is not None and not payment.takes_redirects
    return (redirects or payment.voucher_lasts_s > hold.total_seconds()) and idle and payment.intent_id is not None


def attached_method(payment: Payment) -> str | None:
    """Return the method that a confirmation without a method charges, by the id it was submitted with.

    None if no method is attached, or if the customer is authenticating one.
    """
    return payment.attached if payment.status is PaymentStatus.REQUIRES_CONFIRMATION else None


def require_same_capture(payment: Payment, capture_method: CaptureMethod | None) -> None:
    """Raise ``NotPossibleNow`` when a repeated start names another capture method than the payment's."""
    if capture_method not in (None, payment.capture_method):
        message = (
            f"this payment was started with capture_method {payment.capture_method.value}; cancel it, and start anew"
        )
        raise NotPossibleNow(message, code="capture_method_fixed")


def attempt_in_action(payment: Payment) -> Attempt | None:
    """Return the attempt that waits for the customer's authentication or other action.

    None without such an attempt, and while its call is still in flight.
    """
    waiting = [each for each in payment.attempts if each.is_running and not payment.is_in_flight(each)]
    return waiting[-1] if waiting and payment.status is PaymentStatus.REQUIRES_ACTION else None


def asks_for_attempt_in_action(payment: Payment, payment_method_id: str | None) -> bool:
    """True when a charge with this method (None: the intent's) repeats the attempt that waits for the customer."""
    if payment.status is not PaymentStatus.REQUIRES_ACTION or payment_method_id is None:
        return payment.status is PaymentStatus.REQUIRES_ACTION
    attempt = attempt_in_action(payment)
    return attempt is not None and attempt.names(payment_method_id)


def has_method(payment: Payment, payment_method_id: str) -> bool:
    """True when this method is being tried, or was the one that paid."""
    latest = payment.attempts[-1] if payment.attempts else None
    tried = payment.running_attempt or (latest if latest and latest.decline is None and latest.has_verdict else None)
    return tried is not None and tried.names(payment_method_id)


def name_client(payment: Payment, client: Client | None) -> Events:
    """Return the event that records the client for the customer's actions; nothing when it is None or unchanged."""
    return () if client is None or client is payment.client else (ev.ClientNamed(client=client),)


def intend_capture(payment: Payment, *, idempotency_key: str, amount: Money | None) -> Events:
    """Intend the capture of ``amount`` of the held money; the gateway releases the rest.

    ``amount`` None stands for all of it, or the booking's price where it became cheaper since.

    Raises:
        NotPossibleNow: no money is held.
        AlreadyUnderWay: an operation is in flight.
        InvalidAmount: the amount is zero or negative.
        RefusedByRule: the amount is larger than the held amount, or than the price after an amendment.
    """
    require(payment.status, Command.CAPTURE)
    require_idle(payment)
    amount = min(payment.authorized, payment.amount) if amount is None else amount
    if amount.minor <= 0:
        raise InvalidAmount("the amount to capture must be more than zero")
    if amount > payment.authorized:
        raise RefusedByRule(f"only {payment.authorized} is held", code="amount_exceeds_authorized")
    if amount > payment.amount:
        raise RefusedByRule(f"this booking costs only {payment.amount} now", code="amount_exceeds_price")
    instruction = CaptureIntent(intent_id=intent_of(payment), amount=amount)
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.CAPTURE, instruction=instruction),)


def intend_cancel(
    payment: Payment,
    *,
    idempotency_key: str,
    purpose: ev.Purpose,
    refund_on_cancel: RefundOnCancel | None = None,
) -> Events:
    """Intend the cancellation of the intent; without an intent the payment ends at once, without a call.

    ``refund_on_cancel``: the refund that the booking's cancellation gives if the payment turns out to have succeeded.

    Raises:
        NotPossibleNow, RefusedByRule: the payment's state does not allow it.
        AlreadyUnderWay: an operation is in flight.
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


def intend_release(payment: Payment, *, idempotency_key: str) -> Events:
    """Intend the release of money that the bank holds for a closed payment."""
    require_idle(payment)
    instruction = CancelIntent(intent_id=intent_of(payment), reason=CancellationReason.ABANDONED)
    purpose = ev.Purpose.RELEASE_HOLD
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def charges(instruction: Instruction) -> bool:
    """True when carrying out the instruction may take money from the customer."""
    return isinstance(instruction, ConfirmIntent) or (isinstance(instruction, CreateIntent) and instruction.confirm)


def _require_chargeable(payment: Payment, payment_method_id: str | None) -> None:
    require(payment.status, Command.CONFIRM)
    if not payment.attempts_left:
        raise Denial.ATTEMPTS_EXHAUSTED.error()
    _refuse_burnt_card(payment, payment_method_id)


def _refuse_burnt_card(payment: Payment, payment_method_id: str | None) -> None:
    """Raise ``CardDeclined`` with the first verdict when the bank has forbidden further charges of this method.

    The error is identical to the first one, so that a hidden reason stays hidden.
    """
    for burnt in burnt_methods(payment):
        if burnt.payment_method_id == payment_method_id:
            raise CardDeclined(burnt.decline)


def is_burnt(payment: Payment, payment_method_id: str | None) -> bool:
    """True when the bank has forbidden further charges of this method, in this or an earlier payment of the booking."""
    return any(burnt.payment_method_id == payment_method_id for burnt in burnt_methods(payment))


def burnt_methods(payment: Payment) -> tuple[ev.BurntMethod, ...]:
    """Return the methods that must not be charged again for the booking, each under all its known ids.

    A method has the id that it was submitted with and the id that the gateway reports, which may differ.
    """
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
    """Return the gateway's id of the payment's intent. Raises ``NotPossibleNow`` while there is no intent."""
    if payment.intent_id is None:
        raise NotPossibleNow("this payment has not reached the payment provider yet", code="no_intent")
    return payment.intent_id


def _server_attempt(payment: Payment, key: str, payment_method_id: str | None) -> Events:
    number = len(payment.attempts) + 1
    return (
        ev.AttemptStarted(
            number=number, origin=ev.Origin.SERVER, idempotency_key=key, payment_method_id=payment_method_id
        ),
    )


def metadata_of(payment: Payment, correlation_id: str | None, installation_id: str | None) -> dict[str, str]:
    """Return the metadata of every object that this service creates at the gateway.

    The customer's id is replaced by a key derived from it.
    """
    own = {}
    if installation_id is not None:
        key = customer_key(installation_id, payment.customer_id)
        own = {metadata_keys.INSTALLATION_ID: installation_id, metadata_keys.CUSTOMER_KEY: key}
    return {
        **own,
        metadata_keys.BOOKING_ID: payment.booking_id,
        metadata_keys.PAYMENT_ID: payment.id,
        metadata_keys.BOOKING_REFERENCE: payment.booking_reference,
        **({metadata_keys.CORRELATION_ID: correlation_id} if correlation_id else {}),
    }


def customer_key(installation_id: str, customer_id: str) -> str:
    """Return a pseudonym of the customer: HMAC-SHA256 of their id, keyed with the installation's id."""
    return hmac.digest(installation_id.encode(), customer_id.encode(), "sha256").hex()
