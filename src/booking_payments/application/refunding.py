"""Refunding a payment, quoting what a refund would give, and settling debts without a refund."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from attrs import evolve, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.command import Begun, BookingCommand, begin, booking_of, run
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Claimed, carry_out
from booking_payments.application.paying import AmountInput, amount_in
from booking_payments.application.quoted import added_refund
from booking_payments.application.reading import Target
from booking_payments.application.recording import Recorder
from booking_payments.application.resuming import earlier_run
from booking_payments.application.views import PaymentView, RefundView
from booking_payments.application.webhooks import take_in
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import (
    Amendment,
    amendment_of,
    refunding_items,
    require_amendable,
    without_items,
)
from booking_payments.domain.booking import Booking, ItemCount
from booking_payments.domain.errors import InvalidInput, NotFound, PaymentError, RefusedByRule
from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.payment import DeferredRefund, Payment, Refund
from booking_payments.domain.refunds import CustomerRefunds, QuoteReason, RefundOnCancel, RefundQuote, RefundReason
from booking_payments.domain.texts import require_note
from booking_payments.ports.gateway import GatewayError
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork


@frozen(kw_only=True)
class RefundRequest:
    """The arguments of a refund.

    Attributes:
        amount: the amount to refund; None for the whole refundable amount.
        reason: the reason that is sent to the gateway.
        note: free text for the journal, 500 characters at most; it is not sent to the gateway.
        override: ignore the tiers, the event's start and, for a part of the money, an open inquiry. For operators only,
            and with a ``note``.
        items: units of the booking's items instead of an ``amount``; the tiers apply to each.
    """

    amount: AmountInput = None
    reason: RefundReason = RefundReason.REQUESTED_BY_CUSTOMER
    note: str | None = None
    override: bool = False
    items: tuple[ItemCount, ...] = ()

    def require_allowed(self, caller: Caller) -> None:
        """Check who may use which argument; whether a refund is allowed is decided by ``Refundable.quote``.

        Raises:
            RefusedByRule: When this caller may not use one of the arguments, or an override has no note.
            InvalidInput: When the note is too long, or both an amount and items are given.
        """
        require_note(self.note)
        _require_one(self.amount, self.items)
        is_owner = caller.customer_id is not None
        if is_owner and self.reason is not RefundReason.REQUESTED_BY_CUSTOMER:
            raise RefusedByRule("customers may only give the reason requested_by_customer", code="reason_not_allowed")
        _require_override_allowed(caller, self.override)
        if self.override and not (self.note and self.note.strip()):
            raise RefusedByRule("an override needs a note that says why", code="note_required")


def _require_one(amount: AmountInput, items: Sequence[ItemCount]) -> None:
    if amount is not None and items:
        raise InvalidInput("give an amount or items, not both")


def _require_override_allowed(caller: Caller, override: bool) -> None:
    if override and caller.customer_id is not None:
        raise RefusedByRule("only operators may override the refund rules", code="override_not_allowed")


async def quote_refund(
    deps: Dependencies,
    target: Target,
    caller: Caller,
    *,
    amount: AmountInput,
    items: Sequence[ItemCount] = (),
    override: bool = False,
) -> RefundQuote:
    """Return what refunding ``amount`` (None: the whole refundable amount), or ``items``, would give now.

    Changes nothing. Raises ``NotFound``, and the errors of ``RefundRequest.require_allowed``.
    """
    _require_override_allowed(caller, override)
    _require_one(amount, items)

    if items:
        asked = RefundRequest(items=tuple(items), override=override)
        return await deps.storage.read(lambda uow: _quote_items(deps, uow, target, caller, asked))

    async def work(uow: UnitOfWork) -> tuple[Payment, QuoteReason | None]:
        booking_id = await target.booking_of(uow)
        booking = caller.require(await uow.bookings.get(booking_id))
        return await target.payment_of(uow, booking_id), _denied(deps, booking, caller)

    payment, denied = await deps.storage.read(work)
    wanted = amount_in(deps, amount, payment)
    operator = caller.customer_id is None
    return decisions.quote(payment, deps.clock.now(), wanted, override=override, by_operator=operator, denied=denied)


async def _quote_items(
    deps: Dependencies, uow: UnitOfWork, target: Target, caller: Caller, request: RefundRequest
) -> RefundQuote:
    """Return what refunding the items of ``request`` would give now, by running the decision without storing it.

    So its amount includes what the refund sends besides, such as an earlier refund that failed.
    """
    booking_id = await target.booking_of(uow)
    booking = caller.require(await uow.bookings.get(booking_id))
    payment = await target.payment_of(uow, booking_id)
    denied, override = _denied(deps, booking, caller), request.override
    recorder = Recorder(deps, uow, booking, payment, caller)
    quoted = decisions.quote_items(booking, payment, recorder.now, request.items, override=override, denied=denied)
    if not quoted.allowed or not booking.status.is_live or _decide_items(deps, caller, request, recorder).replayed:
        return quoted
    added = added_refund(payment, recorder.payment, quoted.amount)
    deferred_by = payment.refundable.deferral_of(added.amount, override=override)
    return evolve(quoted, amount=added.amount, fee_refunded=added.fee, deferred_by=deferred_by)


def _denied(deps: Dependencies, booking: Booking, caller: Caller) -> QuoteReason | None:
    """Return why ``caller`` may not ask for a refund of ``booking``; None when they may."""
    return denied_to_customer(deps, booking) if caller.customer_id is not None else None


def denied_to_customer(deps: Dependencies, booking: Booking) -> QuoteReason | None:
    """Return why the customer of ``booking`` may not ask for a refund of it; None when they may."""
    allowed = booking.details.customer_refunds or deps.config.customer_refunds
    grace = booking.refund_grace_until
    if grace is not None and deps.clock.now() < grace:
        return None  # the event was moved: until this time its customers may ask for a refund in any case
    return QuoteReason.REFUNDED_BY_ORGANIZER if allowed is CustomerRefunds.NONE else None


async def refund_payment(deps: Dependencies, target: Target, caller: Caller, request: RefundRequest) -> RefundView:
    """Refund a payment, as ``_refund_payment``. A refund that an operator has paid out by hand is settled at once."""
    view = await _refund_payment(deps, target, caller, request)
    at, refund = deps.of(view.payment), view.refund
    if at.settle_refund is None or caller.customer_id is not None or not isinstance(refund, Refund):
        return view
    if refund.gateway_refund_id is None or not refund.status.is_pending:
        return view
    # If this fails, the refund stays in the list of refunds to pay out, where an operator settles it.
    with suppress(GatewayError, PaymentError, StorageConflict):
        await take_in(at, await at.settle_refund(refund.gateway_refund_id))
    return evolve(await _view(deps, view.payment.id, refund.id), replayed=view.replayed)


async def _refund_payment(deps: Dependencies, target: Target, caller: Caller, request: RefundRequest) -> RefundView:
    """Refund a payment as the quote allows now; the amount is reserved before the gateway is called.

    A refund that cannot be sent now is deferred: the view's refund is a ``DeferredRefund``. If the caller made an equal
    request within the last 24 hours and did not receive its outcome, this one counts as its repetition: the earlier
    refund is returned with ``replayed`` set.

    Raises:
        RefusedByRule, NotPossibleNow: A rule forbids the refund.
        AlreadyUnderWay: Another operation of the payment is in flight.
        OutcomeUnknown: The gateway did not answer. The amount stays reserved, and the resolver settles the refund.
        TryAgainLater: The gateway could not be reached; nothing was refunded.
    """
    request.require_allowed(caller)
    earlier = await earlier_run(deps, await booking_of(deps, target), caller)
    if earlier is not None and earlier.refund_id is not None:
        return await _acknowledged(deps, caller, earlier.payment.id, earlier.refund_id)
    decide = partial(_decide, deps, caller, request)
    begun = await begin(deps, BookingCommand(target=target, caller=caller, decide=decide))
    if begun.claimed is None:
        return _view_of_begun(begun)
    refund_id = begun.decided.refund_id
    ended = await carry_out(deps, begun.claimed, caller)
    if not _is_sent_by(begun.claimed, refund_id):
        return await _view(deps, begun.claimed.payment.id, refund_id)  # it is deferred; the call is another refund's
    if ended.error is None and ended.view is not None:
        # Not read again: if the database failed here, the caller would not receive a refund recorded as acknowledged.
        return RefundView(payment=ended.view.payment, refund=_found(ended.view.payment, refund_id))
    if ended.error is None:  # the resolver continues with the operation that the refund causes
        return await _view(deps, begun.claimed.payment.id, refund_id)
    written = await _written_down(deps, begun.claimed, refund_id) if ended.view is None else None
    if written is None:
        raise ended.error
    return written


@frozen(kw_only=True)
class _Decided:
    """The refund of a request; ``replayed`` when it was made by an earlier equal request."""

    refund_id: str
    replayed: bool = False


def _decide(deps: Dependencies, caller: Caller, request: RefundRequest, recorder: Recorder) -> _Decided:
    """Request the refund, or acknowledge the one that this request repeats."""
    if request.items:
        return _decide_items(deps, caller, request, recorder)
    payment = recorder.payment
    amount = amount_in(deps, request.amount, payment)
    again = decisions.repeated(payment, caller.subject, amount, recorder.now)
    if again is not None:
        recorder.add((ev.RefundAcknowledged(refund_id=again.id),))
        return _Decided(refund_id=again.id, replayed=True)
    made_at = decisions.first_made_at(payment, caller.subject, amount, recorder.now)
    asked = evolve(
        recorder.refund_request(request.note),
        amount=amount,
        reason=request.reason,
        made_at=made_at,
        by=caller.subject,
        override=request.override,
        denied=_denied(deps, recorder.booking, caller),
        by_operator=caller.customer_id is None,
        for_customer=caller.customer_id is not None and deps.config.full_refund_cancels,
    )
    recorder.add(decisions.request_refund(payment, asked, recorder.new_ids))
    recorder.release_refunded()
    return _Decided(refund_id=_newest(payment, recorder.payment).id)


def _view_of_begun(begun: Begun[_Decided]) -> RefundView:
    """Return the refund of a command that needed no gateway call."""
    payment, decided = begun.payment, begun.decided
    assert payment is not None  # noqa: S101 - the command needs a payment
    return RefundView(payment=payment, refund=_found(payment, decided.refund_id), replayed=decided.replayed)


def _decide_items(deps: Dependencies, caller: Caller, request: RefundRequest, recorder: Recorder) -> _Decided:
    """Refund single items, or acknowledge the refund that this request repeats.

    The refund carries the units with it, and one event gives the booking its new content: no unit is refunded twice,
    and a refused refund gives no unit up. Units that a customer has refunded leave the booking; without any unit left
    the booking is canceled.
    """
    booking, payment, items = recorder.booking, recorder.payment, request.items
    again = decisions.repeated(payment, caller.subject, None, recorder.now, items)
    if again is not None:
        recorder.add((ev.RefundAcknowledged(refund_id=again.id),))
        return _Decided(refund_id=again.id, replayed=True)
    require_amendable(booking)
    made_at = decisions.first_made_at(payment, caller.subject, None, recorder.now, items)
    denied, mode = _denied(deps, booking, caller), RefundOnCancel.FULL if request.override else RefundOnCancel.POLICY
    quoted = decisions.quote_items(booking, payment, made_at, items, override=request.override, denied=denied)
    if not quoted.allowed:
        raise quoted.reason.error()
    asked = evolve(
        recorder.refund_request(request.note),
        reason=request.reason,
        made_at=made_at,
        by=caller.subject,
        override=request.override,
        items=items,
        for_customer=caller.customer_id is not None and deps.config.full_refund_cancels,
    )
    amendment = _without_refunded(booking, items, caller, mode, recorder)
    in_full = mode is RefundOnCancel.FULL
    recorder.add(decisions.request_items(booking, payment, amendment, asked, recorder.new_ids, in_full=in_full))
    recorder.change_refunded_items()
    recorder.release_refunded()
    return _Decided(refund_id=_newest(payment, recorder.payment).id)


def _without_refunded(
    booking: Booking, items: tuple[ItemCount, ...], caller: Caller, mode: RefundOnCancel, recorder: Recorder
) -> Amendment | None:
    """Return the booking's content after a refund of ``items``; None when a customer has no unit left."""
    if caller.customer_id is None:
        return refunding_items(booking, items, refund=mode.value, by=caller.cause)
    change = without_items(booking, items)
    if change is None:
        return None
    return amendment_of(booking, change, refund=mode.value, by=caller.cause, now=recorder.now)


def _is_sent_by(claimed: Claimed, refund_id: str) -> bool:
    instruction = claimed.operation.instruction
    return isinstance(instruction, CreateRefund) and instruction.refund_id == refund_id


def _newest(before: Payment, after: Payment) -> Refund | DeferredRefund:
    known = {refund.id for refund in before.refunds} | {deferred.id for deferred in before.deferred}
    both: list[Refund | DeferredRefund] = [*after.refunds, *after.deferred]
    return next(each for each in both if each.id not in known)


# --- repetitions -----------------------------------------------------------------------------------------------


async def _acknowledged(deps: Dependencies, caller: Caller, payment_id: str, refund_id: str) -> RefundView:
    """Return the refund of an earlier run of this request, and record that its caller receives the outcome now."""

    def decide(recorder: Recorder) -> _Decided:
        refund = _found(recorder.payment, refund_id)
        waits = isinstance(refund, DeferredRefund) and refund.requested_by is not None
        if waits or (isinstance(refund, Refund) and not refund.acknowledged):
            recorder.add((ev.RefundAcknowledged(refund_id=refund_id),))
        return _Decided(refund_id=refund_id, replayed=True)

    command = BookingCommand(
        target=Target(payment_id=payment_id), caller=caller, decide=decide, waits=lambda _: False, repeatable=True
    )
    return _view_of_begun(await begin(deps, command))


def _found(payment: Payment, refund_id: str) -> Refund | DeferredRefund:
    refund = payment.refund(refund_id) or payment.deferred_refund(refund_id)
    if refund is None:
        raise NotFound()
    return refund


async def _written_down(deps: Dependencies, claimed: Claimed, refund_id: str) -> RefundView | None:
    """Return the refund if the commit that seemed lost has recorded its outcome as received by the caller.

    This refund has to be returned. With an ``OutcomeUnknown`` instead, the caller would repeat the request, which would
    be a second refund. None when the outcome is not recorded, or the storage can't be read.
    """
    with suppress(StorageConflict, CommitLost):
        view = await _view(deps, claimed.payment.id, refund_id)
        operation = view.payment.operation
        over = operation is None or operation.idempotency_key != claimed.operation.idempotency_key
        known = isinstance(view.refund, Refund) and view.refund.acknowledged
        waits = isinstance(view.refund, DeferredRefund) and view.refund.requested_by is None
        return view if over and (known or waits) else None
    return None


async def _view(deps: Dependencies, payment_id: str, refund_id: str) -> RefundView:
    payment = await deps.storage.read(lambda uow: uow.payments.get(payment_id))
    if payment is None:
        raise NotFound()
    return RefundView(payment=payment, refund=_found(payment, refund_id))


# --- debts -----------------------------------------------------------------------------------------------------


async def settle_debt(
    deps: Dependencies, payment_id: str, caller: Caller, *, amount: AmountInput, how: ev.Settlement, note: str
) -> PaymentView:
    """Reduce the refund owed to the customer by ``amount``, because it was paid elsewhere or waived.

    Raises:
        NotFound: The payment does not exist.
        AlreadyUnderWay: An operation of the payment is in flight.
        RefusedByRule: ``exceeds_owed`` for more than is owed, ``note_required`` without a note, ``amount_required``
            without an amount.
    """
    require_note(note)
    if not note.strip():
        raise RefusedByRule("say in a note how the debt was settled", code="note_required")

    def decide(recorder: Recorder) -> None:
        wanted = amount_in(deps, amount, recorder.payment)
        if wanted is None:
            raise RefusedByRule("say how much was settled: send amount", code="amount_required")
        recorder.add(decisions.settle_debt(recorder.payment, wanted, how, note))
        recorder.follow_up(send=False)

    command = BookingCommand(target=Target(payment_id=payment_id), caller=caller, decide=decide)
    return (await run(deps, command)).view
