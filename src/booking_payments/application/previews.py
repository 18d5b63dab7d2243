"""Previews: the effect that amending or canceling a booking would have now, for an operator who has to confirm it.

A preview runs the command's own decision on the stored booking, and stores nothing. So both have the same result in the
same state; if the state has changed in between, the command is refused with ``quote_changed`` (see ``quoted``).
"""

from collections.abc import Sequence
from enum import Enum

import attrs
from attrs import frozen

from booking_payments.application.amending import AmendmentRequest, NothingLeft, decide_amendment, giving_up
from booking_payments.application.bookings import decide_cancel
from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.quoted import Quoted, added_refund
from booking_payments.application.reading import Target
from booking_payments.application.recording import Recorder
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain import decisions
from booking_payments.domain.amendments import Amendment, BookingChange
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount
from booking_payments.domain.decisions import Step
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import Deferral, GivenBack, not_negative
from booking_payments.ports.unit_of_work import UnitOfWork


class Effect(Enum):
    """What happens to the payment of a booking that is changed.

    - ``none``: there is no open or paid payment, or nothing about its price changes.
    - ``price_changed``: the open payment asks for the new price from now on.
    - ``payment_replaced``: the open payment is canceled; the customer pays the new price by a new one.
    - ``payment_canceled``: the open payment is canceled.
    - ``hold_reduced``: less of the held money is captured.
    - ``hold_released``: the held money is released.
    - ``refund``: the payment is paid; a part of it, all of it or nothing goes back.
    - ``refund_on_arrival``: the bank is working on the payment; what arrives goes back in full.
    """

    NONE = "none"
    PRICE_CHANGED = "price_changed"
    PAYMENT_REPLACED = "payment_replaced"
    PAYMENT_CANCELED = "payment_canceled"
    HOLD_REDUCED = "hold_reduced"
    HOLD_RELEASED = "hold_released"
    REFUND = "refund"
    REFUND_ON_ARRIVAL = "refund_on_arrival"


@frozen(kw_only=True)
class ChangePreview:
    """What a change of a booking would do now.

    Attributes:
        before: the booking as it is.
        after: the booking as it would be.
        changed: names of the fields that would change; empty for a cancellation.
        effect: what happens to the payment.
        captured: what the customer has paid; zero without a paid payment.
        gone_back: what of it has gone back, or is on its way or promised already.
        refund: what goes back by this change, with the part of the fee that goes back with it.
        waits: the part of ``refund`` that cannot be sent at once, because of ``deferred_by``.
        kept: what remains of ``captured`` after the change.
        fee_kept: the part of the fee that remains after the change.
    """

    before: Booking
    after: Booking
    changed: tuple[str, ...]
    effect: Effect
    captured: Money
    gone_back: Money
    refund: GivenBack
    waits: Money
    deferred_by: Deferral | None
    kept: Money
    fee_kept: Money


async def preview_amendment(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    change: BookingChange,
    *,
    expected_version: int | None = None,
    refund: RefundOnCancel | None = None,
) -> ChangePreview:
    """Return what ``amend_booking`` with the same arguments would do now. Raises the errors of its decision."""
    if caller.customer_id is not None:
        raise RefusedByRule("only the booking app and operators amend bookings", code="amend_not_allowed")
    request = AmendmentRequest(
        change=lambda booking: change,
        refund=refund,
        expected=Quoted(version=expected_version),
        all_when_free=True,
    )

    async def work(uow: UnitOfWork) -> ChangePreview:
        return _amended(deps, await _recorder(deps, uow, booking_id, caller), caller, request)

    return await deps.storage.read(work)


async def preview_cancellation(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    *,
    refund: RefundOnCancel | None = None,
    items: Sequence[ItemCount] = (),
) -> ChangePreview:
    """Return what ``cancel_booking`` with the same arguments would do now. Raises the errors of its decision."""

    async def work(uow: UnitOfWork) -> ChangePreview:
        if items:
            try:
                request = AmendmentRequest(change=giving_up(items), refund=refund)
                return _amended(deps, await _recorder(deps, uow, booking_id, caller), caller, request)
            except NothingLeft:
                pass  # the whole booking is canceled then
        return _canceled(deps, await _recorder(deps, uow, booking_id, caller), caller, refund)

    return await deps.storage.read(work)


async def _recorder(deps: Dependencies, uow: UnitOfWork, booking_id: str, caller: Caller) -> Recorder:
    """Return a recorder over the booking as it is stored; without ``save`` nothing of it is stored."""
    booking = caller.require(await uow.bookings.get(booking_id))
    payment = await Target(booking_id=booking_id).find_payment(uow, booking_id)
    return Recorder(deps, uow, booking, payment, caller)


def _amended(deps: Dependencies, recorder: Recorder, caller: Caller, request: AmendmentRequest) -> ChangePreview:
    before, payment = recorder.booking, recorder.payment_or_none
    amendment = decide_amendment(deps, caller, request, recorder)
    if amendment is None:  # an earlier run of the same request, which a preview has not
        return _preview(recorder, before, payment, before, (), Effect.NONE)
    changed = amendment.changed(before)
    after = amendment.apply_to(before) if changed else before
    if amendment.is_free and before.status is BookingStatus.PENDING:
        after = attrs.evolve(after, status=BookingStatus.CONFIRMED)
    return _preview(recorder, before, payment, after, changed, _effect_of(before, payment, amendment))


def _effect_of(booking: Booking, payment: Payment | None, amendment: Amendment) -> Effect:
    step = decisions.step_of(booking, payment, amendment)
    if step is Step.REPLACE and amendment.is_free:
        held = payment is not None and payment.status is PaymentStatus.REQUIRES_CAPTURE
        return Effect.HOLD_RELEASED if held else Effect.PAYMENT_CANCELED
    return _EFFECTS[step]


_EFFECTS = {
    Step.APPLY: Effect.NONE,
    Step.UPDATE: Effect.PRICE_CHANGED,
    Step.REPLACE: Effect.PAYMENT_REPLACED,
    Step.CAPTURE_LESS: Effect.HOLD_REDUCED,
    Step.REFUND: Effect.REFUND,
}


def _canceled(deps: Dependencies, recorder: Recorder, caller: Caller, refund: RefundOnCancel | None) -> ChangePreview:
    before, payment = recorder.booking, recorder.payment_or_none
    decide_cancel(deps, caller, refund, recorder)
    after = attrs.evolve(before, status=BookingStatus.CANCELED)
    return _preview(recorder, before, payment, after, (), _effect_of_cancel(payment))


def _effect_of_cancel(payment: Payment | None) -> Effect:
    if payment is None:
        return Effect.NONE
    if payment.status is PaymentStatus.SUCCEEDED:
        return Effect.REFUND
    if payment.status is PaymentStatus.PROCESSING:
        return Effect.REFUND_ON_ARRIVAL
    if payment.status is PaymentStatus.REQUIRES_CAPTURE:
        return Effect.HOLD_RELEASED
    return Effect.PAYMENT_CANCELED if payment.status.is_open else Effect.NONE


def _preview(
    recorder: Recorder,
    before: Booking,
    payment: Payment | None,
    after: Booking,
    changed: tuple[str, ...],
    effect: Effect,
) -> ChangePreview:
    zero = Money.zero(before.amount.currency)
    then = recorder.payment_or_none
    refund = added_refund(payment, then, zero)
    paid = payment is not None and payment.status is PaymentStatus.SUCCEEDED
    if payment is None or then is None or not paid:
        return ChangePreview(
            before=before,
            after=after,
            changed=changed,
            effect=effect,
            captured=zero,
            gone_back=zero,
            refund=refund,
            waits=zero,
            deferred_by=None,
            kept=zero,
            fee_kept=zero,
        )
    earlier = payment.given_back + payment.deferred_in_all
    waits = not_negative(then.deferred_in_all.amount - payment.deferred_in_all.amount)
    gone_back = earlier.amount + payment.taken_by_disputes
    return ChangePreview(
        before=before,
        after=after,
        changed=changed,
        effect=effect,
        captured=payment.captured,
        gone_back=gone_back,
        refund=refund,
        waits=waits,
        deferred_by=then.deferred[-1].why if waits else None,
        kept=not_negative(payment.captured - gone_back - refund.amount),
        fee_kept=not_negative(payment.breakdown.fee - earlier.fee - refund.fee),
    )
