"""Amending bookings: another price, other items, another date or other texts; canceling single items.

What an amendment means for the payment is decided by ``domain.decisions.amending``. A booking whose intent has to be
changed or canceled first gets its new content in the transaction that records the gateway's confirmation, whichever
process learns of it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import attrs
from attrs import frozen

from booking_payments.application.callers import Caller
from booking_payments.application.command import Begun, BookingCommand, begin
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Ended, carry_out
from booking_payments.application.pricing import require_chargeable
from booking_payments.application.quoted import UNQUOTED, Quoted, added_refund
from booking_payments.application.reading import Target
from booking_payments.application.recording import Recorder
from booking_payments.application.refunding import denied_to_customer
from booking_payments.application.resuming import earlier_run
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import (
    Amendment,
    BookingChange,
    amendment_of,
    require_amendable,
    without_items,
)
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount, ItemsRequest
from booking_payments.domain.decisions import AmendmentDenial, PriceChange, Step
from booking_payments.domain.errors import AlreadyUnderWay, OutcomeUnknown, RefundRefused, RefusedByRule
from booking_payments.domain.instructions import Replacement, UpdateIntent
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.presenting import texts_of
from booking_payments.domain.texts import require_reason
from booking_payments.domain.vouchers import within_hold
from booking_payments.ports.gateway import GatewayError
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork

Change = Callable[[Booking], BookingChange]


class NothingLeft(Exception):  # noqa: N818 - no failure: the whole booking is given up instead
    """No items would be left in the booking."""


@frozen(kw_only=True)
class AmendmentRequest:
    """The arguments of an amendment.

    Attributes:
        change: returns the change, given the booking as read under its lock.
        refund: how much a paid booking that becomes cheaper gives back; None: as its policy says.
        expected: the version and the refund that the caller has seen in a preview.
        all_when_free: if ``refund`` is None, a new price of zero gives back the whole price that is left.
        asked: the request for units of items, where that is what identifies it; None for an absolute change.
    """

    change: Change
    refund: RefundOnCancel | None = None
    expected: Quoted = UNQUOTED
    all_when_free: bool = False
    asked: ItemsRequest | None = None


async def amend_booking(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    change: BookingChange,
    *,
    expected_version: int | None = None,
    expected_refund: Money | None = None,
    refund: RefundOnCancel | None = None,
) -> Booking:
    """Change a booking and adjust its payment. Returns the booking with its new content.

    Either all changes are made or none. An amendment without changes keeps the version.

    Args:
        change: the values to change.
        expected_version: the version of the booking that the caller has read; None does not check it.
        expected_refund: what goes back as a preview said; None does not check it.
        refund: what a paid booking that becomes cheaper gives back; None: as its policy says, and the whole price
            that is left when the new price is zero.

    Raises:
        NotPossibleNow: the booking is closed (``booking_canceled``, ``booking_expired``), has another version
            (``version_conflict``), would give another amount back (``quote_changed``), would be dearer although it is
            paid or its money is held (``balance_needed``), its payment is processing (``payment_in_flight``), or it was
            paid meanwhile (``already_paid``).
        RefusedByRule, InvalidInput: a value is not allowed, the gateway cannot charge the new price, or no allowed
            payment method can be used until the new deadline (``no_payment_method_left``).
        AlreadyUnderWay: another operation of the payment is in flight; the booking was not amended.
        OutcomeUnknown: the gateway has not said whether the intent was changed. The booking gets its new content once
            that is known, unless it was paid meanwhile or the bank holds its money.
        RefundRefused: the booking was amended, and the gateway refused its refund, which is owed.
    """
    if caller.customer_id is not None:
        raise RefusedByRule("only the booking app and operators amend bookings", code="amend_not_allowed")
    request = AmendmentRequest(
        change=lambda booking: change,
        refund=refund,
        expected=Quoted(version=expected_version, refund=expected_refund),
        all_when_free=True,
    )
    booking, refused = await _amend(deps, booking_id, caller, request)
    if refused:
        raise RefundRefused("the booking is amended, but its refund was refused; the difference is owed")
    return booking


async def cancel_items(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    items: Sequence[ItemCount],
    *,
    reason: str | None,
    refund: RefundOnCancel | None,
    expected: Quoted = UNQUOTED,
) -> Booking | None:
    """Cancel units of a booking's items; the booking keeps the others.

    Returns None, and changes nothing, when no unit would be left: the whole booking has to be canceled then. The rules
    for the cancellation of the whole booking apply to each unit: how much is refunded, and who may do it.

    If the caller made an equal request within the last 24 hours, it was carried out, and the caller did not receive its
    outcome, this one is its repetition: no further units are given up. A refund that the gateway refuses is owed.

    Raises as ``amend_booking``, but not ``RefundRefused``; ``RefusedByRule`` (``no_items``, ``item_unknown``,
    ``item_given_back``).
    """
    require_reason(reason)
    caller = attrs.evolve(caller, cause=f"{caller.cause}: {reason}") if reason else caller
    asked = ItemsRequest.of(caller.subject, items, refund.value if refund else None, deps.clock.now())
    request = AmendmentRequest(change=giving_up(items), refund=refund, expected=expected, asked=asked)
    try:
        booking, _ = await _amend(deps, booking_id, caller, request)
    except NothingLeft:
        return None
    return await _answered(deps, booking, asked)


async def _answered(deps: Dependencies, booking: Booking, asked: ItemsRequest) -> Booking:
    """Record that the caller of ``asked`` receives its outcome, so that the next equal request is a new one.

    When that fails, the next equal request counts as a repetition.
    """

    async def work(uow: UnitOfWork) -> Booking:
        found = await uow.bookings.lock(booking.id) or booking
        answered = found.repeated(asked)
        if answered is None:
            return found
        found = attrs.evolve(found, unanswered=tuple(each for each in found.unanswered if each != answered))
        await uow.bookings.save(found)
        return found

    with suppress(StorageConflict, CommitLost):
        return await deps.storage.transact(work, LockScope(booking_id=booking.id))
    return booking


def giving_up(items: Sequence[ItemCount]) -> Change:
    """Return a function that makes the change without these units. It raises ``NothingLeft`` when no unit remains."""

    def change(booking: Booking) -> BookingChange:
        left = without_items(booking, items)
        if left is None:
            raise NothingLeft
        return left

    return change


async def _amend(
    deps: Dependencies, booking_id: str, caller: Caller, request: AmendmentRequest
) -> tuple[Booking, bool]:
    """Return the amended booking, and whether the gateway refused its refund."""
    target = Target(booking_id=booking_id)
    begun: Begun[Amendment | None] | None = None
    ended: Ended | None = None
    earlier = await earlier_run(deps, booking_id, caller)
    command = BookingCommand(
        target=target,
        caller=caller,
        decide=partial(decide_amendment, deps, caller, request),
        needs_payment=False,
        waits=lambda recorder: not _is_done(recorder, caller, request.asked),
    )
    if earlier is None:
        try:
            begun = await begin(deps, command)
        except OutcomeUnknown as unknown:  # the outcome of an earlier command: this one has not begun to amend
            raise AlreadyUnderWay() from unknown
        ended = await carry_out(deps, begun.claimed, caller) if begun.claimed is not None else None

    async def look(uow: UnitOfWork) -> tuple[Booking, Payment | None, UpdateIntent | None, bool]:
        booking = caller.require(await uow.bookings.get(booking_id))
        applied = booking.was_amended_by(caller.cause) if begun is None else await _was_applied(uow, begun)
        payment = await target.find_payment(uow, booking_id)
        return booking, payment, await _texts_to_send(uow, deps, booking, payment), applied

    booking, payment, texts, applied = await deps.storage.read(look)
    error = ended.error if ended is not None else None
    if applied:
        if payment is not None and texts is not None:
            # One try: no money depends on it, so an unreachable gateway must not stop an amendment.
            with suppress(GatewayError):
                await deps.of(payment).gateway.update_intent(texts, deps.ids.idempotency_key())
        refused = payment is not None and payment.owed.amount > payment.owed_waiting and ended is not None
        return booking, refused
    if isinstance(error, OutcomeUnknown):
        raise error
    if payment is not None and payment.status is PaymentStatus.SUCCEEDED:
        raise AmendmentDenial.ALREADY_PAID.error()
    if payment is not None and payment.status is PaymentStatus.PROCESSING:
        raise AmendmentDenial.PAYMENT_IN_FLIGHT.error()
    raise error or AlreadyUnderWay()


async def _was_applied(uow: UnitOfWork, begun: Begun[Amendment | None]) -> bool:
    """True when the booking has got this amendment's content, although other amendments may have followed it.

    It has when the amendment was recorded with the decision, when it changes nothing, and when an earlier run recorded
    it. After a call of the gateway, the journal of the payment that was called for it says so.
    """
    amendment, claimed = begun.decided, begun.claimed
    if amendment is None or amendment.is_content_of(begun.booking):
        return True
    if claimed is None:
        return False
    since = claimed.payment.version
    journal = await uow.payments.journal(claimed.payment.id)
    events = [each.event for each in journal if each.sequence > since]
    return any(isinstance(each, ev.BookingAmended) and each.amendment == amendment for each in events)


async def _texts_to_send(
    uow: UnitOfWork, deps: Dependencies, booking: Booking, payment: Payment | None
) -> UpdateIntent | None:
    """Return the update of an open intent with the texts that amendments have changed since it was made.

    The gateway's receipts and dashboard show them. None if there is nothing to send.
    """
    if payment is None or payment.intent_id is None or not payment.status.is_open:
        return None
    journal = await uow.payments.journal(payment.id)
    changed = {name for each in journal if isinstance(each.event, ev.BookingAmended) for name in each.event.changed}
    mailed = deps.config.receipt_emails
    texts = texts_of(booking, suffix=None, receipts=mailed)
    update = UpdateIntent(
        intent_id=payment.intent_id,
        description=texts.description if "title" in changed else None,
        receipt_email=texts.receipt_email or "" if mailed and "customer_email" in changed else None,
    )
    return None if update == UpdateIntent(intent_id=payment.intent_id) else update


def _is_done(recorder: Recorder, caller: Caller, asked: ItemsRequest | None = None) -> bool:
    """True when an earlier run of the same request, or the request that this one repeats, has amended the booking."""
    booking = recorder.booking
    repeats = asked is not None and booking.repeated(asked) is not None
    return repeats or (caller.resumed and booking.was_amended_by(caller.cause))


def decide_amendment(
    deps: Dependencies, caller: Caller, request: AmendmentRequest, recorder: Recorder
) -> Amendment | None:
    """Record the amendment, or the call that comes first. Returns it; None when an earlier run has recorded it."""
    booking, refund = recorder.booking, request.refund
    if _is_done(recorder, caller, request.asked):
        return None
    _require_allowed(deps, caller, booking, recorder.payment_or_none, refund)
    request.expected.require_version(booking)
    require_amendable(booking)
    mode = refund or RefundOnCancel.POLICY
    change = request.change(booking)
    amendment = amendment_of(booking, change, refund=mode.value, by=caller.cause, now=recorder.now)
    amendment = attrs.evolve(amendment, asked=request.asked)
    if request.all_when_free and refund is None and amendment.amount.minor == 0:
        amendment = attrs.evolve(amendment, refund=RefundOnCancel.FULL.value)
    before = recorder.payment_or_none
    if not caller.by_itself:  # a move of the event is not stopped by one of its bookings
        _require_payable_until(deps, booking, amendment, recorder.now)
    if amendment.changed(booking):
        _apply(deps, recorder, amendment)
    if caller.customer_id is not None:
        added = added_refund(before, recorder.payment_or_none, booking.amount).amount
        denied = denied_to_customer(deps, booking)
        decisions.require_nothing_back(booking, before, added, recorder.now, denied=denied)
    request.expected.require_refund(before, recorder.payment_or_none)
    return amendment


def _require_allowed(
    deps: Dependencies, caller: Caller, booking: Booking, payment: Payment | None, refund: RefundOnCancel | None
) -> None:
    """Check a customer, who may give up items of an own booking while it is unpaid, or where nothing goes back."""
    if caller.customer_id is None:
        return
    if refund is not None:
        message = "only the booking app and operators may say what a cancellation refunds; leave refund out"
        raise RefusedByRule(message, code="refund_not_allowed")
    denied = denied_to_customer(deps, booking)
    decisions.require_cancelable_by_owner(booking, payment, deps.clock.now(), denied=denied)


def _require_payable_until(deps: Dependencies, booking: Booking, amendment: Amendment, now: datetime) -> None:
    """Raise ``RefusedByRule`` (``no_payment_method_left``) for a new deadline that no allowed method can keep.

    A registration with that deadline is refused in the same way.
    """
    unpaid = booking.status is BookingStatus.PENDING and not amendment.is_free
    if unpaid and amendment.expires_at != booking.expires_at:
        methods = deps.config.methods.narrowed_by(amendment.details.methods)
        within_hold(methods, amendment.amount.currency, amendment.expires_at - now)


def _apply(deps: Dependencies, recorder: Recorder, amendment: Amendment) -> None:
    """Record the amendment, or the gateway call that has to be confirmed before it applies."""
    booking, payment = recorder.booking, recorder.payment_or_none
    step = decisions.step_of(booking, payment, amendment)
    if step is Step.REFUND and payment is not None:
        request = recorder.refund_request("booking amended")
        recorder.add(decisions.amend_paid(booking, payment, amendment, request, recorder.new_ids))
        return
    _require_price(deps, booking, payment, amendment, step)
    if step in (Step.UPDATE, Step.REPLACE) and payment is not None:
        charged = payment.fee_policy.of_booking(amendment.amount, payment.amount_step).gross
        replacement = Replacement(payment_method_id=None, confirm=False, return_url=payment.return_url)
        recorder.add(
            decisions.intend_amendment(
                payment,
                step,
                amendment,
                idempotency_key=deps.ids.idempotency_key(),
                amount=charged,
                replacement=None if amendment.is_free else replacement,
            )
        )
        if recorder.payment.operation is not None:
            return
    recorder.amend(amendment)
    if amendment.is_free and booking.status is BookingStatus.PENDING:
        recorder.confirm()


def _require_price(
    deps: Dependencies, booking: Booking, payment: Payment | None, amendment: Amendment, step: Step
) -> None:
    """Raise ``RefusedByRule`` for a new price that no gateway of this installation can charge."""
    if amendment.is_free or decisions.price_change(booking, amendment) is PriceChange.SAME:
        return
    if payment is None or step is Step.APPLY:
        require_chargeable(deps, amendment.apply_to(booking))
        return
    gateway = deps.of(payment).gateway
    charged = payment.fee_policy.of_booking(amendment.amount, payment.amount_step).gross
    if step is Step.CAPTURE_LESS:
        gateway.check_amount(charged)
    else:
        gateway.check_charge(charged)
