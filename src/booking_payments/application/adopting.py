"""Adopting a charge that our books have lost: its payment is created again, for the booking that was registered again.

``decisions.reason_against`` decides under the booking's lock whether a charge is adopted. So only one of two processes
adopts it, and a customer who starts to pay at the same time either finds the adopted payment or prevents the adoption.
The payment gets the id that the charge's metadata name, so a second adoption fails.
"""

from attrs import frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Observation, read_intent
from booking_payments.application.recording import Recorder
from booking_payments.application.settling import CALLER
from booking_payments.domain import decisions, metadata_keys
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.storage import AlreadyExists
from booking_payments.ports.unit_of_work import UnitOfWork


@frozen(kw_only=True)
class Adoption:
    """The result of an adoption.

    Attributes:
        payment: the payment that our books have for the charge now; None when it was not adopted.
        made_here: whether this call adopted it; False when another process did.
        not_adopted: the reason why it was not adopted, as a text for operators; None when it was.
    """

    payment: Payment | None = None
    made_here: bool = False
    not_adopted: str | None = None


async def adopt(deps: Dependencies, intent_id: str) -> Adoption:
    """Adopt the charge of an intent of ``deps.gateway`` that our books do not have, if no reason forbids it.

    Raises:
        GatewayError: When the intent can't be read.
    """
    observation = await read_intent(deps, intent_id)
    intent = observation.intent
    if intent is None or intent.status not in decisions.CHARGED:
        return Adoption(not_adopted="it has changed meanwhile; reconcile again")

    async def work(uow: UnitOfWork) -> Adoption:
        return await _adopt(deps, uow, intent, observation)

    try:
        return await deps.storage.transact(work)
    except AlreadyExists:  # another process has adopted it or started a payment meanwhile: decide on its result
        return await deps.storage.transact(work)


async def _adopt(deps: Dependencies, uow: UnitOfWork, intent: IntentReport, observation: Observation) -> Adoption:
    said = intent.metadata.get
    found = (await uow.bookings.page(BookingFilter(reference=said(metadata_keys.BOOKING_REFERENCE, "")), None, 2)).items
    # Locked before the other reads, so that they see what another process has committed.
    booking = await uow.bookings.lock(found[0].id) if len(found) == 1 else None
    there = await uow.payments.by_gateway_id(intent.id)
    if there is not None:
        return Adoption(payment=there)
    started = _started(deps, booking, intent) if booking is not None else None
    reason = decisions.reason_against(
        intent,
        installation_id=deps.config.installation_id,
        payment_known=await uow.payments.get(said(metadata_keys.PAYMENT_ID, "")) is not None,
        booking_known=await uow.bookings.get(said(metadata_keys.BOOKING_ID, "")) is not None,
        bookings=found if booking is None else [booking],
        has_payment=booking is not None and bool(await uow.payments.of_booking(booking.id)),
        asked=started.breakdown.gross if started else None,
    )
    if reason is not None or booking is None or started is None:
        return Adoption(not_adopted=reason)
    return await _written(Recorder(deps, uow, booking, None, CALLER), started, observation, intent)


def _started(deps: Dependencies, booking: Booking, intent: IntentReport) -> ev.PaymentStarted:
    """Return the event of a payment started now: the fees and refund policy of its real start are lost."""
    return decisions.started_for(
        booking,
        payment_id=intent.metadata.get(metadata_keys.PAYMENT_ID, ""),
        fee_policy=deps.config.fees,
        refund_policy=deps.config.refunds,
        capture_method=decisions.capture_method_of(intent),
        max_attempts=deps.config.max_attempts,
        gateway=deps.gateway.name,
        amount_step=deps.gateway.amount_step(booking.amount.currency),
    )


async def _written(
    recorder: Recorder, started: ev.PaymentStarted, observation: Observation, intent: IntentReport
) -> Adoption:
    recorder.start(started)
    recorder.add(decisions.adopted(intent))
    recorder.add(decisions.observe_intent(recorder.payment, intent, recorder.booking))
    for drift in recorder.payment.drifts:  # a charge that can't be booked is not adopted: nothing is saved
        return Adoption(not_adopted=drift.detail)
    for refund in observation.refunds:
        recorder.add(decisions.observe_refund(recorder.payment, refund))
    for dispute in observation.disputes:
        recorder.add(decisions.observe_dispute(recorder.payment, dispute))
    recorder.follow_up()
    await recorder.save()
    return Adoption(payment=recorder.payment, made_here=True)
