"""Refunding a payment, and quoting what a refund would give."""

from booking_payments.application.callers import Caller
from booking_payments.application.operations import Claimed, carry_out, claim
from booking_payments.application.paying import AmountInput, amount_in, latest, payment_status
from booking_payments.application.recording import Recorder
from booking_payments.application.resolve import resolve_payment
from booking_payments.application.resuming import Earlier, earlier_run, require_turn
from booking_payments.application.views import RefundView
from booking_payments.application.world import World
from booking_payments.domain import decisions
from booking_payments.domain.errors import AlreadyUnderWay, NotFound
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundQuote, RefundReason
from booking_payments.domain.texts import require_note
from booking_payments.ports.storage import Subject, UnitOfWork


async def quote_refund(world: World, booking_id: str, caller: Caller, *, amount: AmountInput) -> RefundQuote:
    """What refunding ``amount`` (None: all that can come back) would give now. Moves nothing."""
    payment = (await payment_status(world, booking_id, caller)).payment
    booking = caller.require(await world.storage.read(lambda uow: uow.bookings.get(booking_id)))
    return decisions.quote(payment, booking, world.clock.now(), amount_in(world, amount, payment))


async def refund_payment(
    world: World,
    booking_id: str,
    caller: Caller,
    *,
    amount: AmountInput,
    reason: RefundReason,
    note: str | None,
) -> RefundView:
    """Give money back, as the quote of this moment says; the amount is reserved before the gateway is asked.

    Raises ``RefusedByRule`` or ``NotPossibleNow`` where the rules forbid it, ``AlreadyUnderWay`` while another
    operation runs, and ``OutcomeUnknown`` or ``TryAgainLater`` when the gateway did not answer: the refund then
    stays reserved and is settled later by itself. ``InvalidInput`` for a note that nobody could keep.
    """
    require_note(note)
    earlier = await earlier_run(world, booking_id, caller)
    if earlier is not None:
        return _refund_of(earlier)
    refund_id = world.ids.new("rf")
    claimed = await _begin(world, booking_id, caller, refund_id, amount, reason, note)
    if isinstance(claimed, Payment):
        error = await resolve_payment(world, claimed.id)
        if error is not None:
            raise error
        claimed = await _begin(world, booking_id, caller, refund_id, amount, reason, note)
    if isinstance(claimed, Payment):
        raise AlreadyUnderWay()
    ended = await carry_out(world, claimed, caller)
    if ended.error is not None:
        raise ended.error
    view = ended.view or await payment_status(world, booking_id, caller)
    return _view(view.payment, refund_id)


def _refund_of(earlier: Earlier) -> RefundView:
    made = [r for r in earlier.payment.refunds if r.idempotency_key == earlier.idempotency_key]
    return RefundView(payment=earlier.payment, refund=made[0])


async def _begin(
    world: World,
    booking_id: str,
    caller: Caller,
    refund_id: str,
    amount: AmountInput,
    reason: RefundReason,
    note: str | None,
) -> Claimed | Payment:
    holder = world.ids.new("run")

    async def work(uow: UnitOfWork) -> Claimed | Payment:
        booking = caller.require(await uow.bookings.lock(booking_id))
        payment = latest(await uow.payments.of_booking(booking_id))
        if payment is None:
            raise NotFound()
        if payment.operation is not None:
            return payment
        await require_turn(world, uow, booking_id, caller)
        recorder = Recorder(world, uow, booking, payment, caller)
        recorder.add(_intended(world, recorder, refund_id, amount, reason, note))
        await recorder.save(holder=holder)
        operation = recorder.payment.operation
        if operation is None:
            raise AlreadyUnderWay()
        return claim(recorder, operation, holder)

    return await world.storage.transact(work, Subject(booking_id=booking_id))


def _intended(
    world: World,
    recorder: Recorder,
    refund_id: str,
    amount: AmountInput,
    reason: RefundReason,
    note: str | None,
) -> decisions.Facts:
    payment = recorder.payment
    quote = decisions.quote(payment, recorder.booking, recorder.now, amount_in(world, amount, payment))
    return decisions.intend_refund(
        payment,
        quote,
        refund_id=refund_id,
        idempotency_key=world.ids.idempotency_key(),
        reason=reason,
        note=note,
        correlation_id=recorder.correlation_id,
        installation_id=world.terms.installation_id,
    )


def _view(payment: Payment, refund_id: str) -> RefundView:
    refund = payment.refund(refund_id)
    if refund is None:
        raise NotFound()
    return RefundView(payment=payment, refund=refund)
