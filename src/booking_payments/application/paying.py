"""Starting, confirming, capturing and canceling a payment, and looking at it."""

from decimal import Decimal
from enum import Enum
from typing import Final

from booking_payments.application.callers import Caller
from booking_payments.application.command import BookingCommand, run
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Observation, apply_observation, fetch_observation
from booking_payments.application.pricing import price_now, require_expected
from booking_payments.application.reading import Target, load, payment_status
from booking_payments.application.recording import Recorder
from booking_payments.application.resolve import resolve_payment
from booking_payments.application.starting import accepted_methods, created, started
from booking_payments.application.views import PaymentView
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.errors import NotPossibleNow, RefusedByRule
from booking_payments.domain.instructions import CaptureMethod, Client, Replacement
from booking_payments.domain.lifecycle import Command, PaymentStatus, require
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.receipts import ReceiptKind, receipt_method
from booking_payments.ports.gateway import GatewayError
from booking_payments.ports.unit_of_work import UnitOfWork

AmountInput = str | Decimal | Money | None


# --- starting --------------------------------------------------------------------------------------------------


async def start_payment(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    *,
    payment_method_id: str | None,
    confirm_immediately: bool,
    capture_method: CaptureMethod | None,
    return_url: str | None,
    client: Client | None = None,
    gateway: str | None = None,
    expected_price: Money | None = None,
) -> PaymentView:
    """Start the booking's payment, or continue its open one; charge it if ``confirm_immediately`` is set.

    The parameters of the newest request apply to an open payment: its method is charged, and the customer returns to
    its ``return_url``. An intent that was created without a return URL is replaced when one is given, because it
    excludes methods that redirect. The capture method does not change. While an attempt waits for the customer, its
    method is not charged again, and the customer returns to the URL of that attempt.

    Args:
        payment_method_id: None when the front end collects the method.
        capture_method: None for the booking's. Customers may name another one only if the configuration allows it.
        gateway: the name of the gateway of a new payment; None for the default one. An open payment of another gateway
            is canceled first, and the new payment starts once that gateway has confirmed it.
        expected_price: what the customer has been shown, the fee included where they pay it; None does not check it.

    Raises:
        RefusedByRule, NotPossibleNow: the booking cannot be paid, the gateway does not exist, or the open payment
            cannot be changed in this way. ``price_changed``: the price is not the expected one any more.
        CardDeclined: the charge was declined.
        OutcomeUnknown: the gateway did not answer.
    """
    if confirm_immediately and payment_method_id is None:
        raise _method_required()
    _require_known(deps, gateway)

    def decide(recorder: Recorder) -> _NextStep:
        decisions.require_payable(recorder.booking, recorder.now)
        require_expected(deps, recorder.booking, recorder.payment_or_none, expected_price)
        captured = decisions.capture_of(
            recorder.booking, capture_method, deps.config.capture_method, may_choose=_may_choose_capture(deps, caller)
        )
        if _goes_on(recorder.payment_or_none):
            if gateway not in (None, recorder.payment.gateway):
                _require_customers_pay(deps.at(gateway))
                return _leave(deps, recorder, gateway, payment_method_id, confirm_immediately, return_url)
            _require_customers_pay(deps.of(recorder.payment))
            decisions.require_same_capture(recorder.payment, capture_method)
        else:
            chosen = deps.at(gateway or deps.gateway_names[0])
            _require_customers_pay(chosen)
            recorder.start(started(chosen, recorder.booking, recorder.now, captured, recorder.payment_or_none))
        recorder.add(decisions.name_client(recorder.payment, client))
        return _go_on(deps, recorder, payment_method_id, confirm_immediately, return_url)

    target = Target(booking_id=booking_id)
    command = BookingCommand(target=target, caller=caller, decide=decide, needs_payment=False, charges=True)
    done = await run(deps, command)
    if done.decided is _NextStep.NEW_PAYMENT:
        return (await run(deps, command)).view
    if done.decided is _NextStep.CHECK_ACTION:
        acting = await _in_action(deps, booking_id, caller, payment_method_id, return_url, goes_on=True)
        return acting or (await run(deps, command)).view
    return done.view


class _NextStep(Enum):
    """The step after a decision to pay, in addition to the intended gateway call."""

    NOTHING = "nothing"
    NEW_PAYMENT = "new payment"
    """The open payment is canceled without a gateway call; the command runs again and starts a new one."""

    CHECK_ACTION = "check action"
    """The request repeats the attempt that waits for the customer: ask the gateway whether it still waits."""


def _go_on(
    deps: Dependencies, recorder: Recorder, payment_method_id: str | None, confirm: bool, return_url: str | None
) -> _NextStep:
    """Intend the creation, charge or change of the open payment's intent, as requested."""
    payment = recorder.payment
    if payment.intent_id is None:
        recorder.add(created(deps, recorder, payment_method_id, confirm, return_url))
    elif decisions.needs_other_intent(payment, return_url, recorder.booking.expires_at - recorder.now):
        recorder.add(_replaced(deps, recorder, payment_method_id, confirm, return_url))
    elif payment_method_id is not None and decisions.asks_for_attempt_in_action(payment, payment_method_id):
        return _NextStep.CHECK_ACTION
    elif confirm:
        recorder.add(_confirmed(deps, payment, payment_method_id, return_url))
    else:
        recorder.add(decisions.choose_return_url(payment, return_url))
        recorder.add(_updated(deps, payment, payment_method_id))
    return _NextStep.NOTHING


def _replaced(
    deps: Dependencies, recorder: Recorder, payment_method_id: str | None, confirm: bool, return_url: str | None
) -> decisions.Events:
    """Return the events that cancel the open payment's intent for one that offers other methods.

    Raises ``RefusedByRule`` when no method is left for it; the open payment then stays.
    """
    accepted_methods(deps, recorder)
    given = payment_method_id or decisions.attached_method(recorder.payment)
    back = return_url or recorder.payment.return_url
    other = Replacement(payment_method_id=given, confirm=confirm, return_url=back)
    key = deps.ids.idempotency_key()
    return decisions.intend_replacement(recorder.payment, idempotency_key=key, replacement=other)


def _require_known(deps: Dependencies, gateway: str | None) -> None:
    """Raise ``RefusedByRule`` for a gateway that this installation does not have; the error names those it has."""
    if gateway is not None and gateway not in deps.gateway_names:
        message = f"there is no gateway of this name here; choose one of: {', '.join(deps.gateway_names)}"
        raise RefusedByRule(message, code="gateway_unknown")


def _require_customers_pay(deps: Dependencies) -> None:
    """Raise ``RefusedByRule`` where only operators record payments at ``deps.gateway``."""
    if deps.recorded:
        message = f"payments of the gateway {deps.gateway.name} are recorded by operators; choose another gateway"
        raise RefusedByRule(message, code="gateway_for_operators")


def _leave(
    deps: Dependencies,
    recorder: Recorder,
    gateway: str,
    payment_method_id: str | None,
    confirm: bool,
    return_url: str | None,
) -> _NextStep:
    """Cancel the open payment for one at another ``gateway``.

    A payment without an intent is canceled at once. Otherwise its gateway has to confirm the cancellation before the
    new payment starts.

    Raises ``RefusedByRule`` for an amount that the other gateway cannot charge; the open payment then stays.
    """
    there = deps.at(gateway).gateway
    step = there.amount_step(recorder.booking.amount.currency)
    there.check_charge(recorder.payment.fee_policy.of_booking(recorder.booking.amount, step).gross)
    key = deps.ids.idempotency_key()
    if recorder.payment.intent_id is None:
        purpose = ev.Purpose.CANCEL_PAYMENT
        recorder.add(decisions.intend_cancel(recorder.payment, idempotency_key=key, purpose=purpose))
        return _NextStep.NEW_PAYMENT
    other = Replacement(payment_method_id=payment_method_id, confirm=confirm, return_url=return_url, gateway=gateway)
    recorder.add(decisions.intend_replacement(recorder.payment, idempotency_key=key, replacement=other))
    return _NextStep.NOTHING


def _updated(deps: Dependencies, payment: Payment, payment_method_id: str | None) -> decisions.Events:
    """Return the events that attach another method to an open payment; none if it is the one being tried."""
    if payment_method_id is None or decisions.has_method(payment, payment_method_id):
        return ()
    key = deps.ids.idempotency_key()
    return decisions.intend_update(payment, idempotency_key=key, payment_method_id=payment_method_id)


async def _in_action(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    payment_method_id: str | None,
    return_url: str | None,
    *,
    goes_on: bool,
) -> PaymentView | None:
    """Return the payment as the gateway has it now, if the request repeats the attempt that waits for the customer.

    Such an attempt is not started again. None if another method is to be charged, no attempt waits for the customer, or
    the attempt has ended and the request ``goes_on`` to a new one.

    Raises ``NotPossibleNow`` if the request names another return URL than the attempt.
    """
    seen = await payment_status(deps, booking_id, caller)
    if not decisions.asks_for_attempt_in_action(seen.payment, payment_method_id):
        return None
    view = await _fetch_now(deps, booking_id, caller, seen.payment)
    now = view.payment
    if now.status is not PaymentStatus.REQUIRES_ACTION:
        return None if goes_on and now.status.awaits_customer else view
    if not decisions.asks_for_attempt_in_action(now, payment_method_id):
        return None  # the customer has chosen another method in the browser since
    if return_url not in (None, now.return_url or deps.config.return_url):
        raise _action_pending()
    return view


def _action_pending() -> NotPossibleNow:
    message = (
        "the bank waits for the customer, who returns to the URL of this attempt; "
        "name another payment method to begin a new attempt"
    )
    return NotPossibleNow(message, code="action_pending")


def _may_choose_capture(deps: Dependencies, caller: Caller) -> bool:
    return caller.customer_id is None or deps.config.capture_by_customer


def _goes_on(payment: Payment | None) -> bool:
    """Return True when the booking's payment is continued, and False when a new one starts.

    Late money goes back, so another payment pays a booking that still waits.

    Raises ``NotPossibleNow`` or ``RefusedByRule`` if the payment has failed or is paid.
    """
    if payment is None or payment.status is PaymentStatus.CANCELED or payment.late:
        return False
    if not payment.status.is_open:
        require(payment.status, Command.CONFIRM)
    return True


def _confirmed(
    deps: Dependencies, payment: Payment, payment_method_id: str | None, return_url: str | None
) -> decisions.Events:
    """Return the events that charge the intent.

    Without a URL in the request the payment's own is sent: Stripe refuses to confirm an intent that accepts methods
    that redirect without one.
    """
    return decisions.intend_confirm(
        payment,
        idempotency_key=deps.ids.idempotency_key(),
        payment_method_id=payment_method_id,
        return_url=return_url or payment.return_url or deps.config.return_url,
    )


def _method_required() -> RefusedByRule:
    return RefusedByRule("choose a payment method first: send payment_method_id", code="payment_method_required")


# --- recording ---------------------------------------------------------------------------------------------------


async def record_payment(
    deps: Dependencies, booking_id: str, caller: Caller, *, amount: AmountInput, kind: ReceiptKind, reference: str
) -> PaymentView:
    """Record that an operator has received the booking's price outside of a gateway.

    An open payment of another gateway is canceled first; the receipt is recorded once that gateway has confirmed it.

    Args:
        amount: the received amount, in the booking's currency; it has to be the whole price.
        kind: how it was paid.
        reference: the number of the receipt, invoice or voucher.

    Raises:
        RefusedByRule: the caller is a customer, the amount differs, or no gateway of this installation records
            payments.
        InvalidInput: the reference has a wrong format.
        NotPossibleNow: the booking cannot be paid now.
        OutcomeUnknown: the other gateway did not confirm the cancellation; nothing is recorded.
    """
    _require_operator(caller)
    method = receipt_method(kind, reference)

    def decide(recorder: Recorder) -> _NextStep:
        booking, name = recorder.booking, _recording_gateway(deps)
        there = deps.at(name)
        decisions.require_payable(booking, recorder.now)
        open_payment = recorder.payment if _goes_on(recorder.payment_or_none) else None
        price = open_payment.amount if open_payment is not None and open_payment.gateway == name else None
        _require_whole_price(price or price_now(there, booking).gross, amount)
        if open_payment is not None and open_payment.gateway != name:
            return _leave(deps, recorder, name, method, True, None)
        if open_payment is None:
            before = recorder.payment_or_none
            recorder.start(started(there, booking, recorder.now, CaptureMethod.AUTOMATIC, before))
        recorder.add(created(there, recorder, method, True, None))
        return _NextStep.NOTHING

    target = Target(booking_id=booking_id)
    command = BookingCommand(target=target, caller=caller, decide=decide, needs_payment=False, charges=True)
    done = await run(deps, command)
    return (await run(deps, command)).view if done.decided is _NextStep.NEW_PAYMENT else done.view


def _require_operator(caller: Caller) -> None:
    if caller.customer_id is not None:
        raise RefusedByRule("only operators record payments; pay by one of the other gateways", code="operators_only")


def _recording_gateway(deps: Dependencies) -> str:
    for name in deps.gateway_names:
        if deps.at(name).recorded:
            return name
    message = "no gateway of this installation records payments; add manual to PAYMENT_GATEWAYS"
    raise RefusedByRule(message, code="gateway_unknown")


def _require_whole_price(price: Money, amount: AmountInput) -> None:
    if amount is None or isinstance(amount, Money):
        given = amount
    else:
        given = Money.parse(amount if isinstance(amount, str) else f"{amount:f}", price.currency)
    if given != price:
        raise RefusedByRule(f"the price is {price}; record all of it at once", code="amount_differs")


# --- confirming ------------------------------------------------------------------------------------------------


async def confirm_payment(
    deps: Dependencies, booking_id: str, caller: Caller, *, payment_method_id: str | None, return_url: str | None
) -> PaymentView:
    """Charge the booking's payment.

    While an attempt waits for the customer, a request without another method only reads the payment from the gateway; a
    request with another method ends that attempt. When the attempt has ended, the named method is charged.

    Raises as ``start_payment``, and ``NotFound`` when no payment was started.
    """
    named = payment_method_id is not None
    acting = await _in_action(deps, booking_id, caller, payment_method_id, return_url, goes_on=named)
    if acting is not None:
        return acting

    def decide(recorder: Recorder) -> None:
        payment = recorder.payment
        require(payment.status, Command.CONFIRM)
        decisions.require_payable(recorder.booking, recorder.now)
        _require_customers_pay(deps.of(payment))
        if payment_method_id is None and payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD:
            raise _method_required()
        if payment.intent_id is None:
            recorder.add(created(deps, recorder, payment_method_id, True, return_url))
        elif decisions.needs_other_intent(payment, None, recorder.booking.expires_at - recorder.now):
            recorder.add(_replaced(deps, recorder, payment_method_id, True, return_url))
        else:
            recorder.add(_confirmed(deps, payment, payment_method_id, return_url))

    command = BookingCommand(target=Target(booking_id=booking_id), caller=caller, decide=decide, charges=True)
    return (await run(deps, command)).view


async def poll_payment(deps: Dependencies, booking_id: str, caller: Caller, *, anew: bool = False) -> PaymentView:
    """Read an open payment from the gateway, record changes, and return it.

    A payment that was read less than two seconds ago is returned as stored, unless ``anew`` is set. Raises ``NotFound``
    when no payment was started.
    """
    seen = await payment_status(deps, booking_id, caller)
    payment = seen.payment
    if payment.intent_id is None or payment.operation is not None or not payment.status.is_open:
        return seen
    if not anew and not deps.reads.begin(payment.id, deps.clock.now()):
        return seen
    return await _fetch_now(deps, booking_id, caller, payment)


async def _fetch_now(deps: Dependencies, booking_id: str, caller: Caller, seen: Payment) -> PaymentView:
    await read_now(deps, booking_id, caller, seen)
    return await payment_status(deps, booking_id, caller)


_READS_AT_MOST: Final = 3


async def read_now(deps: Dependencies, booking_id: str, caller: Caller, seen: Payment) -> bool:
    """Read the payment from the gateway and record changes. Returns False when the gateway cannot be read.

    When the payment changed since it was loaded, such as by a webhook, the read may be outdated, so it is read again.
    """
    for _ in range(_READS_AT_MOST):
        try:
            observation = await fetch_observation(deps, seen)
        except GatewayError:
            return False
        newer = await _record_read(deps, caller, seen, observation)
        if newer is None or newer.operation is not None or not newer.status.is_open:
            break
        seen = newer
    if (await payment_status(deps, booking_id, caller)).payment.operation is not None:
        await resolve_payment(deps, seen.id)
    return True


async def _record_read(deps: Dependencies, caller: Caller, seen: Payment, observation: Observation) -> Payment | None:
    """Record what was read. Returns the payment, and records nothing, when it is newer than ``seen``."""

    async def work(uow: UnitOfWork) -> Payment | None:
        booking, payment = await load(uow, seen.id)
        if payment.version != seen.version:
            return payment
        recorder = Recorder(deps, uow, booking, payment, caller)
        await apply_observation(uow, recorder, observation)
        recorder.follow_up()
        await recorder.save()
        return None

    return await deps.storage.transact(work)


# --- capturing and canceling -----------------------------------------------------------------------------------


async def capture_payment(deps: Dependencies, booking_id: str, caller: Caller, *, amount: AmountInput) -> PaymentView:
    """Capture the held money, or ``amount`` of it; the gateway releases the rest.

    Raises:
        NotPossibleNow: no money is held.
        InvalidAmount, RefusedByRule: the amount is not positive, exceeds the held one, or the gateway cannot express
            it.
        OutcomeUnknown: the gateway did not answer.
    """

    def decide(recorder: Recorder) -> None:
        wanted = amount_in(deps, amount, recorder.payment)
        key = deps.ids.idempotency_key()
        recorder.add(decisions.intend_capture(recorder.payment, idempotency_key=key, amount=wanted))

    command = BookingCommand(target=Target(booking_id=booking_id), caller=caller, decide=decide, charges=True)
    return (await run(deps, command)).view


async def cancel_payment(deps: Dependencies, booking_id: str, caller: Caller) -> PaymentView:
    """Cancel the booking's open payment; the booking stays pending and can be paid by a new payment.

    Raises:
        NotPossibleNow: the payment cannot be canceled.
        RefusedByRule: a customer releases held money after the event has started (``event_started``).
        OutcomeUnknown: the gateway did not answer.
    """

    def decide(recorder: Recorder) -> None:
        if caller.customer_id is not None:
            decisions.require_given_up_in_time(recorder.booking, recorder.payment, recorder.now)
        key = deps.ids.idempotency_key()
        recorder.add(decisions.intend_cancel(recorder.payment, idempotency_key=key, purpose=ev.Purpose.CANCEL_PAYMENT))

    command = BookingCommand(target=Target(booking_id=booking_id), caller=caller, decide=decide)
    return (await run(deps, command)).view


def amount_in(deps: Dependencies, amount: AmountInput, payment: Payment) -> Money | None:
    """Return an amount in the payment's currency, from text, a Decimal or Money; None for None.

    Raises ``InvalidAmount`` for text that is not an amount, ``RefusedByRule`` for one that the gateway cannot express.
    """
    if amount is None:
        return None
    if not isinstance(amount, Money):
        amount = Money.parse(amount if isinstance(amount, str) else f"{amount:f}", payment.amount.currency)
    deps.of(payment).gateway.check_amount(amount)
    return amount
