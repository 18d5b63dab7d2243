"""Gateway calls: sending intended ones, and resuming those that another process left.

An operation is recorded first (``OperationIntended``, with its idempotency key and exact instruction), then sent with
no transaction open; then its outcome is recorded. It may stop at three recovery points:

- *intended*: the event is in the journal; it is not known whether the call was sent;
- *unknown*: the call was sent, and the gateway's response is missing or inconclusive;
- *settled*: the outcome is in the journal.

``carry_out`` takes an operation from intended to settled. ``resume`` takes over one whose lease has expired. If the
intent's id is known, the intent is read first, and the call is sent again with the same key only if it still may be. If
the id is unknown, because the response to the creating call was lost, the call is sent again first: the gateway answers
by its key, while reading would mean to list all intents. Where the gateway only repeats a stored error, neither gives
the outcome; that rule is in ``domain.decisions.lost``.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.gateway_call import (
    Done,
    NotDone,
    Outcome,
    Unknown,
    call_gateway,
    with_retries,
)
from booking_payments.application.intent_list import IntentList
from booking_payments.application.reading import load
from booking_payments.application.recording import Recorder
from booking_payments.application.refusals import to_payment_error
from booking_payments.application.starting import begin_anew, has_methods
from booking_payments.application.views import PaymentView
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, Payability
from booking_payments.domain.errors import OutcomeUnknown, PaymentError, TryAgainLater
from booking_payments.domain.instructions import CancelIntent, CreateIntent, CreateRefund
from booking_payments.domain.payment import Operation, Payment
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.domain.reports import DisputeReport, Failure, IntentReport, RefundReport
from booking_payments.domain.retry import KEY_LIFETIME
from booking_payments.ports.gateway import (
    Declined,
    GatewayError,
    GatewayRefused,
    Misconfigured,
    NotSent,
    ObjectNotFound,
    OutcomeAmbiguous,
)
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork

MAX_STEPS = 8
"""Most steps of one run: recording, reading again, starting operations that follow. More would be an endless loop."""


@frozen(kw_only=True)
class Observation:
    """The result of a gateway call or read, applied with the booking locked.

    Attributes:
        intent: the intent as reported; None when it was not read, or with ``refused`` when the gateway has none.
        failure: the verdict of a declined charge.
        refunds, disputes: as reported.
        settles: the operation has ended.
        refusal: the gateway's error code if it refused the operation; None when it succeeded.
        refused: the gateway itself refused, and its intent was read afterwards.
        unknown: why the outcome is still unknown; None when it is known.
        stored: the gateway repeats an internal error that it has stored for the idempotency key.
        walked_at: start of a complete walk through the gateway's lists that did not find the operation's object (see
            ``decisions.lost``).
        error: the error to raise for the caller; None without one.
        as_of: the payment's version at the time of the read; None: when the operation was claimed.
        answer: ``intent`` is the response to the call in flight, not a later read.
        answered_with: the payment method that this response names.
    """

    intent: IntentReport | None = None
    failure: Failure | None = None
    refunds: Sequence[RefundReport] = ()
    disputes: Sequence[DisputeReport] = ()
    settles: bool = True
    refusal: str | None = None
    refused: bool = False
    unknown: str | None = None
    stored: bool = False
    walked_at: datetime | None = None
    error: PaymentError | None = field(default=None, eq=False)
    as_of: int | None = None
    answer: bool = False
    answered_with: str | None = None

    @property
    def intent_may_be_stale(self) -> bool:
        """True when the reported intent is open, so that it may be outdated once the payment has a new version."""
        return self.intent is not None and (self.intent.status is None or self.intent.status.is_open)

    @property
    def may_be_stale(self) -> bool:
        """True when any report may be outdated once the payment has a new version."""
        return self.intent_may_be_stale or bool(self.refunds or self.disputes)


@frozen(kw_only=True)
class Claimed:
    """An operation whose lease this process holds, with the state in which it was claimed.

    ``resumed``: another process held it before, and may have sent it.
    """

    payment: Payment
    booking: Booking
    operation: Operation
    holder: str
    resumed: bool = False


@frozen
class Ended:
    """The end of an operation.

    Attributes:
        error: the error to raise for the caller; None without one.
        view: the payment as recorded; None when the resolver has to record the outcome.
        stored: the gateway answered with an internal error that it has stored.
    """

    error: PaymentError | None = field(eq=False)
    view: PaymentView | None
    stored: bool = False

    @property
    def answered(self) -> bool:
        """True when the gateway responded."""
        return self.stored or not isinstance(self.error, TryAgainLater)


def claim(recorder: Recorder, operation: Operation, holder: str, *, resumed: bool = False) -> Claimed:
    """Return ``operation`` as claimed; the recorder has just saved it with a lease for ``holder``."""
    return Claimed(
        payment=recorder.payment, booking=recorder.booking, operation=operation, holder=holder, resumed=resumed
    )


async def stands_alone(uow: UnitOfWork, payment: Payment) -> bool:
    """Return True when no other payment holds the booking."""
    if payment.holds_booking:
        return True
    others = await uow.payments.of_booking(payment.booking_id)
    return not any(other.holds_booking for other in others if other.id != payment.id)


async def carry_out(deps: Dependencies, claimed: Claimed, caller: Caller) -> Ended:
    """Send an operation that has just been intended, and record its outcome and the operations that follow."""
    observation = await _perform(deps, claimed)
    return await _finish(deps, claimed, observation, caller)


async def resume(deps: Dependencies, claimed: Claimed, caller: Caller, listed: IntentList | None = None) -> Ended:
    """Continue an operation of another process, then the operations that follow from it.

    ``listed`` is a list of intents that all payments of the same pass share.
    """
    observation = await _resumed(deps, claimed, listed)
    return await _finish(deps, claimed, observation, caller)


async def _finish(deps: Dependencies, claimed: Claimed, observation: Observation, caller: Caller) -> Ended:
    """Record the outcome, and carry out the operations that follow from it.

    After ``MAX_STEPS`` the resolver continues, once the lease has expired.
    """
    asked, error, stored = True, observation.error, observation.stored or observation.walked_at is not None
    for _ in range(MAX_STEPS):
        try:
            step = await _write_down(deps, claimed, observation, caller)
        except (StorageConflict, CommitLost) as lost:
            # Once a following operation has begun, the outcome of the requested one is recorded: raise that one.
            return Ended(_not_written_down(lost) if asked else error, None, stored)
        if isinstance(step, PaymentView):
            # An operation that was given up as lost is settled, so a waiting command may begin.
            settled = observation.walked_at is not None and step.payment.operation is None
            return Ended(None if settled else error, step, stored)
        if isinstance(step, Payment):
            observation = await _read_anew(deps, step, observation)
        else:
            claimed, observation = step, await _perform(deps, step)
            asked = asked and step.operation.purpose in _GOES_ON
            error = observation.error if asked else error
    return Ended(error, None, stored)


_GOES_ON: Final = frozenset({ev.Purpose.PAY, ev.Purpose.REPLACE_PAYMENT, ev.Purpose.AMEND_BOOKING})
"""Purposes of following operations that are still part of the caller's request; all others are the system's."""


def _not_written_down(lost: Exception) -> OutcomeUnknown:
    """Return ``OutcomeUnknown``: the gateway was called, so the caller must not assume that nothing happened."""
    unknown = OutcomeUnknown()
    unknown.__cause__ = lost
    return unknown


# --- calling ---------------------------------------------------------------------------------------------------


async def _perform(deps: Dependencies, claimed: Claimed) -> Observation:
    """Send an operation for the first time. A refund is deferred if the gateway has a dispute that is not recorded."""
    deps = deps.of(claimed.payment)
    if isinstance(claimed.operation.instruction, CreateRefund):
        held = await _observation_of_held(deps, claimed, claimed.operation.instruction.intent_id)
        if held is not None:
            return held
    return await _send(deps, claimed)


async def _observation_of_held(deps: Dependencies, claimed: Claimed, intent_id: str) -> Observation | None:
    """Read the intent's disputes before a refund is sent: a prevented dispute has returned the amount already.

    Returns None when no dispute prevents the refund; otherwise an observation that defers it, or that records that it
    was never sent because the gateway could not be read.
    """
    try:
        disputes = await with_retries(deps, lambda: deps.gateway.list_disputes(intent_id))
    except (NotSent, OutcomeAmbiguous, Misconfigured) as error:
        reported = TryAgainLater() if isinstance(error, OutcomeAmbiguous) else to_payment_error(error)
        return Observation(refusal=decisions.NEVER_SENT, error=reported)
    except GatewayError:
        return None  # it answers to the refund itself, too
    if not decisions.must_wait(claimed.payment, claimed.operation, disputes):
        return None
    return Observation(disputes=disputes, refusal=decisions.HELD_BY_DISPUTE)


async def _send(deps: Dependencies, claimed: Claimed) -> Observation:
    if not decisions.may_send(claimed.operation, claimed.booking, deps.clock.now()):
        # This process was suspended since it recorded the operation, so another one may have resumed it.
        return Observation(settles=False, unknown="not_sent_in_time", error=OutcomeUnknown())
    return await _observation(deps, claimed, await call_gateway(deps, claimed.operation))


async def _observation(deps: Dependencies, claimed: Claimed, outcome: Outcome) -> Observation:
    match outcome:
        case Done(IntentReport() as intent, earlier, answered_with):
            return Observation(intent=intent, answer=not earlier, answered_with=answered_with)
        case Done(RefundReport() as refund):
            return Observation(refunds=(refund,))
        case NotDone(Declined() as declined):
            failure, method = declined.failure, declined.failure.payment_method_id
            error = to_payment_error(declined)
            return Observation(intent=declined.intent, failure=failure, error=error, answer=True, answered_with=method)
        case NotDone(GatewayRefused() as refused):
            return await _refused(deps, claimed, refused)
        case NotDone((NotSent() | Misconfigured()) as error):
            return _nothing_happened(claimed, error)
        case Unknown(reason, stored):
            return Observation(settles=False, unknown=reason, stored=stored, error=OutcomeUnknown())
    raise AssertionError(outcome)  # pragma: no cover - the match above is exhaustive


def _nothing_happened(claimed: Claimed, error: NotSent | Misconfigured) -> Observation:
    """Return the observation of a call that had no effect.

    An operation that a caller requested is abandoned, since the caller is asked to try again. Operations of the system
    stay intended and are sent again later. Of a resumed operation only this call had no effect; the first one may have
    had one.
    """
    if claimed.resumed:
        return Observation(settles=False, unknown=error.code, error=OutcomeUnknown())
    reported = to_payment_error(error)
    purpose = claimed.operation.purpose
    if purpose is ev.Purpose.REFUND:
        return Observation(refusal=decisions.NEVER_SENT, error=reported)
    if purpose in _ASKED_FOR:
        return Observation(refusal=error.code, error=reported)
    return Observation(settles=False, unknown=error.code, error=reported)


_ASKED_FOR: Final = frozenset(
    {
        ev.Purpose.PAY,
        ev.Purpose.CAPTURE,
        ev.Purpose.CANCEL_PAYMENT,
        ev.Purpose.CANCEL_BOOKING,
        ev.Purpose.REPLACE_PAYMENT,
        ev.Purpose.AMEND_BOOKING,
    }
)
"""Purposes of operations that a caller requests, and whose outcome is returned to that caller."""


async def _refused(deps: Dependencies, claimed: Claimed, refused: GatewayRefused) -> Observation:
    """Return the observation of a call that the gateway refused, with the intent as read afterwards.

    The read brings the journal up to date. The outcome of a refused cancellation stays unknown until the intent is
    read.
    """
    error: PaymentError | None = to_payment_error(refused)
    intent_id = claimed.payment.intent_id
    if intent_id is None:
        return Observation(intent=refused.intent, refusal=refused.code, error=error)
    if refused.code in decisions.REFUSED_BY_DISPUTE and isinstance(claimed.operation.instruction, CreateRefund):
        error = None  # the refund is deferred
    try:
        read = await _read_intent(deps, intent_id)
    except ObjectNotFound as gone:
        if isinstance(claimed.operation.instruction, CancelIntent):
            return _gone(deps, claimed, gone, error)
        return Observation(refusal=refused.code, refused=True, error=error)
    except GatewayError as unreadable:
        if isinstance(claimed.operation.instruction, CancelIntent):
            return Observation(settles=False, unknown=unreadable.code, error=OutcomeUnknown())
        return Observation(refusal=refused.code, error=error)
    return evolve(read, refusal=refused.code, refused=True, error=error)


def _gone(deps: Dependencies, claimed: Claimed, gone: ObjectNotFound, error: PaymentError | None = None) -> Observation:
    """Return the observation of a cancellation whose intent the gateway does not have."""
    if decisions.counts_as_deleted(claimed.operation, deps.clock.now()):
        return Observation(refusal=gone.code, refused=True, error=error)
    return Observation(settles=False, unknown=gone.code, error=OutcomeUnknown())


async def _read_anew(deps: Dependencies, payment: Payment, observation: Observation) -> Observation:
    """Read the reported objects again: the payment has a new version, so the observation may be outdated."""
    deps = deps.of(payment)
    try:
        intent = await deps.gateway.retrieve_intent(observation.intent.id) if observation.intent else None
        refunds = [await deps.gateway.retrieve_refund(refund.id) for refund in observation.refunds]
        disputes = [await deps.gateway.retrieve_dispute(dispute.id) for dispute in observation.disputes]
    except GatewayError as error:
        return Observation(settles=False, unknown=error.code, error=OutcomeUnknown())
    return evolve(observation, intent=intent, refunds=refunds, disputes=disputes, as_of=payment.version, answer=False)


# --- reading ---------------------------------------------------------------------------------------------------


async def fetch_observation(deps: Dependencies, payment: Payment, intent_id: str | None = None) -> Observation:
    """Read everything that the gateway has about this payment.

    ``intent_id`` is used while the payment has no intent. Raises ``GatewayError``.
    """
    known = payment.intent_id or intent_id
    return await _read_intent(deps.of(payment), known) if known else Observation(settles=False)


async def read_with_lost_calls(deps: Dependencies, payment: Payment, listed: IntentList | None = None) -> Observation:
    """Read as ``fetch_observation``, and search for objects of lost calls.

    ``walked_at`` of the result is the start of the walk; None when it was not complete. Raises ``GatewayError``.
    """
    deps = deps.of(payment)
    begun, lost = deps.clock.now(), payment.lost_intent
    if payment.intent_id is not None or lost is None:
        return evolve(await fetch_observation(deps, payment), walked_at=begun)
    listed = listed or IntentList(begun)
    found = await listed.find(deps, payment.id, lost.sent_at)
    observation = await _read_intent(deps, found) if found else Observation(settles=False)
    return evolve(observation, walked_at=listed.walked_at)


async def read_intent(deps: Dependencies, intent_id: str) -> Observation:
    """Read an intent of ``deps.gateway`` with its refunds and disputes, of a recorded payment or not.

    Raises ``GatewayError``.
    """
    return await _read_intent(deps, intent_id)


async def _read_intent(deps: Dependencies, intent_id: str) -> Observation:
    return await _with_what_followed(deps, await with_retries(deps, lambda: deps.gateway.retrieve_intent(intent_id)))


async def _with_what_followed(deps: Dependencies, intent: IntentReport) -> Observation:
    if not intent.amount_received.minor:
        return Observation(intent=intent)
    refunds = await with_retries(deps, lambda: deps.gateway.list_refunds(intent.id))
    disputes = await with_retries(deps, lambda: deps.gateway.list_disputes(intent.id))
    return Observation(intent=intent, refunds=refunds, disputes=disputes)


# --- going on --------------------------------------------------------------------------------------------------


async def _resumed(deps: Dependencies, claimed: Claimed, listed: IntentList | None = None) -> Observation:
    deps = deps.of(claimed.payment)
    may_send = decisions.may_send(claimed.operation, claimed.booking, deps.clock.now())
    intent_id = claimed.payment.intent_id
    walked_at: datetime | None = deps.clock.now()
    try:
        if intent_id is None and may_send:
            return await _made_again(deps, claimed, listed)
        if intent_id is None:
            listed = _list_for(claimed, listed) or IntentList(deps.clock.now())
            read = await _found(deps, claimed, listed)
            walked_at = listed.walked_at
        else:
            read = await _read_intent(deps, intent_id)
    except GatewayError as error:
        if isinstance(error, ObjectNotFound) and isinstance(claimed.operation.instruction, CancelIntent):
            return _gone(deps, claimed, error)
        return Observation(settles=False, unknown=error.code, error=OutcomeUnknown())
    if read is not None and _decides(claimed, read):
        return read
    if may_send and decisions.must_wait(claimed.payment, claimed.operation, read.disputes if read else ()):
        if deps.clock.now() - claimed.operation.intended_at < decisions.ARRIVES_WITHIN:
            return evolve(read or Observation(), settles=False, unknown="held_by_dispute", error=OutcomeUnknown())
        may_send = False  # it is deferred, and sent under a new key when no dispute prevents it
    if may_send and intent_id is not None:
        return await _sent_again(deps, claimed, intent_id)
    return _not_found(deps, claimed, read, walked_at)


async def _sent_again(deps: Dependencies, claimed: Claimed, intent_id: str) -> Observation:
    """Send a call again, and return its observation.

    If the gateway only repeats a stored error, the intent's present state decides. It is not read when the call has
    used up ``retry_window``.
    """
    begun = deps.clock.now()
    observation = await _send(deps, claimed)
    walked_at = deps.clock.now()
    if not observation.stored or walked_at - begun >= deps.config.retry_window:
        return observation
    try:
        read = await _read_intent(deps, intent_id)
    except GatewayError:
        return observation
    if _decides(claimed, read):
        return read
    return evolve(
        read, settles=False, unknown=observation.unknown, stored=True, walked_at=walked_at, error=observation.error
    )


def _not_found(
    deps: Dependencies, claimed: Claimed, read: Observation | None, walked_at: datetime | None
) -> Observation:
    """Return the observation of an operation that is not sent again and whose object was not found: it had no effect.

    After a stored error one walk is not enough to conclude this; for a change of a known intent it is once the key has
    expired. ``walked_at`` is the start of the walk.
    """
    operation = claimed.operation
    too_old = deps.clock.now() - operation.intended_at >= KEY_LIFETIME
    makes = isinstance(operation.instruction, CreateIntent | CreateRefund)
    if operation.stored_error and walked_at is not None and (makes or not too_old):
        error = OutcomeUnknown()
        return evolve(
            read or Observation(), settles=False, unknown=decisions.NOT_AT_GATEWAY, walked_at=walked_at, error=error
        )
    return evolve(read or Observation(), refusal=_refusal_of(operation, too_old=too_old and read is None))


def _refusal_of(operation: Operation, *, too_old: bool) -> str:
    if isinstance(operation.instruction, CreateRefund):
        return decisions.NEVER_SENT
    return decisions.NOT_AT_GATEWAY if too_old else decisions.NOT_SENT_AGAIN


async def _made_again(deps: Dependencies, claimed: Claimed, listed: IntentList | None) -> Observation:
    """Send the creating call of an intent again, whose id was never received.

    The gateway creates it now, or returns the response of the first call. Any other response is about this call only;
    then the result of the first call is searched for, unless this call has used up ``retry_window``. Raises
    ``GatewayError``.
    """
    begun = deps.clock.now()
    outcome = await call_gateway(deps, claimed.operation)
    match outcome:
        case Done(IntentReport() as intent, earlier=True):
            return await _with_what_followed(deps, intent)
        case NotDone(Declined(intent=IntentReport() as intent) as declined):
            return _verdict(claimed, declined, await _read_intent(deps, intent.id))
        case NotDone(GatewayRefused() as refused):
            known = refused.intent
            found = await (_read_intent(deps, known.id) if known else _found(deps, claimed))
            return _refusal(claimed, refused, found)
        case Unknown() if deps.clock.now() - begun < deps.config.retry_window:
            sent_at = deps.clock.now()
            listed = listed or IntentList(sent_at)
            found = await _found(deps, claimed, listed)  # an older list may lack it: then it stays unknown
            if found is not None and _decides(claimed, found):
                return found
            observation = await _observation(deps, claimed, outcome)
            if found is not None:  # it is there, and nothing was charged yet: from now on it is read
                return evolve(
                    found,
                    settles=False,
                    unknown=observation.unknown,
                    stored=observation.stored,
                    error=observation.error,
                )
            # Where the error was stored before, this sending did nothing that an older list could lack.
            tells = claimed.operation.stored_error or (listed.walked_at is not None and listed.walked_at >= sent_at)
            return evolve(observation, walked_at=listed.walked_at if observation.stored and tells else None)
    return await _observation(deps, claimed, outcome)


def _verdict(claimed: Claimed, declined: Declined, read: Observation) -> Observation:
    """Return the observation of a decline that may be a stored response; a conclusive read is newer."""
    if _decides(claimed, read):
        return read
    failure = None if read.intent and read.intent.failure else declined.failure
    method = declined.failure.payment_method_id
    return evolve(read, failure=failure, error=to_payment_error(declined), answered_with=method)


def _refusal(claimed: Claimed, refused: GatewayRefused, found: Observation | None) -> Observation:
    if found is not None and _decides(claimed, found):
        return found
    return evolve(found or Observation(), refusal=refused.code, error=to_payment_error(refused))


async def _found(deps: Dependencies, claimed: Claimed, listed: IntentList | None = None) -> Observation | None:
    """Search the gateway's lists (by default a new one) for the payment's intent, and read it; None without one."""
    listed = listed or IntentList(deps.clock.now())
    intent_id = await listed.find(deps, claimed.payment.id, claimed.operation.intended_at)
    return await _read_intent(deps, intent_id) if intent_id else None


def _list_for(claimed: Claimed, listed: IntentList | None) -> IntentList | None:
    """Return the shared list if it is certain to contain the operation's intent; None otherwise."""
    certain = listed is not None and listed.shows_all_of(claimed.operation, claimed.booking)
    return listed if certain else None


def _decides(claimed: Claimed, read: Observation) -> bool:
    instruction = claimed.operation.instruction
    if isinstance(instruction, CreateRefund):
        names = decisions.names_of_sending(instruction.metadata)
        return any(decisions.names_of_sending(refund.metadata) == names for refund in read.refunds)
    return read.intent is not None and decisions.is_conclusive(claimed.payment, claimed.operation, read.intent)


# --- writing down ----------------------------------------------------------------------------------------------


async def _write_down(
    deps: Dependencies, claimed: Claimed, observation: Observation, caller: Caller
) -> Claimed | Payment | PaymentView:
    """Record the outcome.

    Returns the payment as recorded, or the operation that follows. Returns the payment as stored when it has a newer
    version than the observation, which then has to be read again.
    """
    key = claimed.operation.idempotency_key

    async def work(uow: UnitOfWork) -> Claimed | Payment | PaymentView:
        booking, payment = await load(uow, claimed.payment.id)
        if payment.version > (observation.as_of or claimed.payment.version) and observation.may_be_stale:
            return payment
        recorder = Recorder(deps, uow, booking, payment, caller)
        counted = _counted(recorder, claimed, observation)
        if counted.refusal:
            _settle(recorder, claimed, counted)  # first, so that its reserved amount is free again
        await apply_observation(uow, recorder, counted)
        _settle(recorder, claimed, counted)
        if counted.refused and counted.refusal:
            recorder.add(decisions.abandon(recorder.payment, claimed.operation, counted.refusal, counted.intent))
        recorder.add(decisions.release_after(claimed.operation, recorder.payment, recorder.booking))
        _cancel_all_the_same(deps, recorder, payment.operation, counted)
        if payment.operation is not None and payment.operation.idempotency_key == key:
            _amend(deps, recorder, payment.operation, counted)
        _make_room(deps, recorder, claimed.operation, counted)
        new = recorder.follow_up(send=not counted.refusal or counted.walked_at is not None)
        poll_state = await uow.payments.poll_state(payment.id)
        in_vain = counted.unknown is not None and payment.operation is not None and payment.operation.unknown
        checks = poll_state.checks + 1 if in_vain else 0
        still_there = payment.operation is not None and payment.operation.idempotency_key == key
        still_ours = still_there and poll_state.holder in (None, claimed.holder)  # our lease may have lapsed meanwhile
        await recorder.save(holder=claimed.holder if new else None, yields=still_ours, checks=checks)
        if new:
            return claim(recorder, new, claimed.holder)
        starts = decisions.starts_replacement(claimed.operation, recorder.payment, recorder.booking, deps.clock.now())
        if still_there and starts and has_methods(deps, recorder):
            return await _begin_anew(deps, uow, recorder, claimed, caller)
        return PaymentView(payment=recorder.payment, client_action=await uow.payments.client_action(payment.id))

    return await deps.storage.transact(work, LockScope(booking_id=claimed.booking.id))


def _amend(deps: Dependencies, recorder: Recorder, ended: Operation, observation: Observation) -> None:
    """Give the booking its new content once the gateway has canceled the intent for it.

    An intent whose amount the gateway refuses to change is canceled for a new one. A call that had no effect, and whose
    key has expired or gives a stored error, is intended again under a new key.
    """
    if ended.amendment is None or recorder.payment.operation is not None:
        return
    recorder.add(decisions.amend_after(ended, recorder.payment, recorder.booking))
    if recorder.amended_to is not None and recorder.amended_to.is_free:
        recorder.confirm()
    if observation.refused and observation.refusal and observation.intent is not None:
        key = deps.ids.idempotency_key()
        recorder.add(decisions.replace_after_update(recorder.payment, ended, idempotency_key=key))
    elif observation.refusal in _HAD_NO_EFFECT:
        key = deps.ids.idempotency_key()
        recorder.add(
            decisions.amend_again(ended, recorder.payment, recorder.booking, recorder.now, idempotency_key=key)
        )


def _make_room(deps: Dependencies, recorder: Recorder, operation: Operation, observation: Observation) -> None:
    """Cancel an intent that does not accept another payment method, so that a new payment can."""
    if not observation.refused or recorder.booking.payability(recorder.now) is not Payability.PAYABLE:
        return
    replacement = decisions.replacement_after(recorder.payment, operation, observation.refusal)
    if replacement is not None:
        key = deps.ids.idempotency_key()
        recorder.add(decisions.intend_replacement(recorder.payment, idempotency_key=key, replacement=replacement))


async def _begin_anew(
    deps: Dependencies, uow: UnitOfWork, before: Recorder, claimed: Claimed, caller: Caller
) -> Claimed:
    """Start the payment that replaces a canceled one, in the transaction that records the cancellation.

    Another process cannot start a payment in between.
    """
    recorder = Recorder(deps, uow, before.booking, None, caller)
    replacement = claimed.operation.replacement
    assert replacement is not None  # noqa: S101 - the decision asked for it
    begin_anew(deps, recorder, before.payment, replacement)
    await recorder.save(holder=claimed.holder)
    operation = recorder.payment.operation
    assert operation is not None  # noqa: S101 - it was intended just now
    return claim(recorder, operation, claimed.holder)


def _counted(recorder: Recorder, claimed: Claimed, observation: Observation) -> Observation:
    """Count a walk without a result. After the last required one the operation is lost."""
    if observation.walked_at is None:
        return observation
    recorder.add(decisions.note_walk(recorder.payment, claimed.operation, observation.walked_at))
    if not decisions.is_lost(recorder.payment, claimed.operation):
        return observation
    refusal = _refusal_of(claimed.operation, too_old=True)
    return evolve(observation, settles=True, unknown=None, refusal=refusal)


def _cancel_all_the_same(
    deps: Dependencies, recorder: Recorder, ended: Operation | None, observation: Observation
) -> None:
    """Complete a cancellation whose outcome was unknown.

    The booking is canceled if the payment turned out to have succeeded. If the first call had no effect and its key has
    expired, the cancellation is intended again under a new key.
    """
    if ended is None or recorder.payment.operation is not None:
        return
    refund = ended.refund_on_cancel or RefundOnCancel.POLICY
    if decisions.cancels_although_paid(ended, recorder.payment, recorder.booking):
        recorder.cancel_with_refund(refund, ended.intended_at)
    elif observation.refusal in _HAD_NO_EFFECT and decisions.cancels_again(ended, recorder.payment, recorder.booking):
        key = deps.ids.idempotency_key()
        recorder.add(
            decisions.intend_cancel(
                recorder.payment, idempotency_key=key, purpose=ended.purpose, refund_on_cancel=refund
            )
        )


_HAD_NO_EFFECT: Final = (decisions.NOT_SENT_AGAIN, decisions.NOT_AT_GATEWAY)


async def apply_observation(uow: UnitOfWork, recorder: Recorder, observation: Observation) -> None:
    """Record the events that follow from an observation, and store the front-end data."""
    if observation.failure is not None and not observation.answer:  # the report was read after the verdict
        recorder.add(decisions.observe_verdict(recorder.payment, observation.failure))
    if observation.intent is not None:
        alone = await stands_alone(uow, recorder.payment)
        read, method = not observation.answer, observation.answered_with
        observed = decisions.observe_intent(
            recorder.payment, observation.intent, recorder.booking, alone=alone, read=read, answered_with=method
        )
        recorder.add(observed)
        recorder.add(decisions.observe_lost_intent(recorder.payment, observation.intent))
        recorder.see(observation.intent)
    if (
        observation.failure is not None
        and observation.answer
        and not (observation.intent and observation.intent.failure)
    ):
        recorder.add(decisions.observe_verdict(recorder.payment, observation.failure))
    for refund in observation.refunds:
        recorder.add(decisions.observe_refund(recorder.payment, refund))
    for dispute in observation.disputes:
        recorder.add(decisions.observe_dispute(recorder.payment, dispute))
    await recorder.save_client_action(observation.intent)


def _settle(recorder: Recorder, claimed: Claimed, observation: Observation) -> None:
    payment, operation = recorder.payment, claimed.operation
    if observation.settles:
        answered = not claimed.resumed
        if claimed.resumed:  # another process may have sent it before
            recorder.add(decisions.watch(payment, operation, observation.refusal))
            payment = recorder.payment
        recorder.add(decisions.settle(payment, operation, refusal=observation.refusal, answered=answered))
    elif observation.unknown and payment.operation is not None and _is_unrecorded(payment.operation, observation):
        key, stored = operation.idempotency_key, observation.stored
        recorder.add((ev.OutcomeLeftUnknown(idempotency_key=key, reason=observation.unknown, stored_error=stored),))


def _is_unrecorded(operation: Operation, observation: Observation) -> bool:
    return not operation.unknown or (observation.stored and not operation.stored_error)
