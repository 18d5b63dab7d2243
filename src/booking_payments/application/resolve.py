"""The resolver: resumes operations that other processes left, and checks payments that wait too long for a webhook.

Due payments are found by a query over the payments' own table, so a lost job never loses a payment.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from attrs import evolve, field, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.intent_list import IntentList
from booking_payments.application.operations import Claimed, apply_observation, claim, read_with_lost_calls, resume
from booking_payments.application.passes import through_queue
from booking_payments.application.reading import load
from booking_payments.application.recording import Recorder
from booking_payments.domain import decisions
from booking_payments.domain.errors import AlreadyUnderWay, PaymentError
from booking_payments.domain.payment import Payment
from booking_payments.domain.retry import next_check
from booking_payments.ports.gateway import GatewayError
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork

RESOLVE_AT_ONCE = 100
"""How many due payments one round takes up."""

CALLER = Caller.system("resolve")


async def resolve_due(deps: Dependencies) -> int:
    """Resume or check every payment that is due, until its gateway stops answering; returns their number.

    A payment that raises an error does not delay the others; it is checked again later. Raises an ``ExceptionGroup`` of
    these errors at the end.
    """
    taken, broken = 0, list[Exception]()
    # One gateway after the other, so that one that is silent holds up no payment of another.
    names = [None] if len(deps.gateway_names) == 1 else deps.gateway_names
    for name in names:
        try:
            taken += await _resolve_due_at(deps, name)
        except ExceptionGroup as group:
            broken.extend(group.exceptions)
    if broken:
        raise ExceptionGroup(f"{len(broken)} errors in this pass", broken)
    return taken


async def _resolve_due_at(deps: Dependencies, gateway: str | None) -> int:
    """The same for the payments of one gateway; None: for all payments."""
    now = deps.clock.now()

    async def due(limit: int) -> Sequence[str]:
        return await deps.storage.read(lambda uow: uow.payments.due(now, limit, gateway))

    return await through_queue(due, partial(_resolve_or_put_off, deps, IntentList(now)), at_once=RESOLVE_AT_ONCE)


async def resolve_if_due(deps: Dependencies, payment_id: str) -> bool:
    """Resume or check one payment, if it is due and no lease is valid. Returns True if it was due."""
    poll_state = await deps.storage.read(lambda uow: uow.payments.poll_state(payment_id))
    if not poll_state.is_due(deps.clock.now()):
        return False
    await _resolve_or_put_off(deps, None, payment_id)
    return True


async def _resolve_or_put_off(deps: Dependencies, listed: IntentList | None, payment_id: str) -> bool | None:
    """Return True when the gateway answered, False when it did not, None when it was not asked."""
    holder = deps.ids.new("run")
    try:
        return (await _resolve(deps, payment_id, holder, listed)).answered
    except Exception:
        await _put_off(deps, payment_id, holder)
        raise


async def _put_off(deps: Dependencies, payment_id: str, holder: str) -> None:
    """Postpone the next check, unless another process has taken the payment over or checked it since the error."""

    async def work(uow: UnitOfWork) -> None:
        await load(uow, payment_id)
        poll_state, now = await uow.payments.poll_state(payment_id), deps.clock.now()
        if poll_state.holder == holder or poll_state.is_due(now):
            later = now + next_check(poll_state.checks)
            await uow.payments.save_poll_state(
                payment_id, evolve(poll_state, next_check_at=later, checks=poll_state.checks + 1)
            )

    with suppress(StorageConflict):
        await deps.storage.transact(work)


async def resolve_payment(deps: Dependencies, payment_id: str) -> PaymentError | None:
    """Resume the payment's operation, or check its intent when no operation is in flight.

    Returns the error to raise for a caller who waits for the operation; None when it is settled. With a valid lease of
    another process nothing is done, and ``AlreadyUnderWay`` is returned.
    """
    return (await _resolve(deps, payment_id, deps.ids.new("run"))).error


@frozen(kw_only=True)
class _Resolved:
    """The error for a waiting caller, and whether the gateway ``answered``: None when it was not asked."""

    error: PaymentError | None = field(default=None, eq=False)
    answered: bool | None = None


async def _resolve(deps: Dependencies, payment_id: str, holder: str, listed: IntentList | None = None) -> _Resolved:
    try:
        claimed = await claim_operation(deps, payment_id, CALLER, holder)
    except AlreadyUnderWay as error:
        return _Resolved(error=error)
    if isinstance(claimed, Claimed):
        ended = await resume(deps, claimed, CALLER, listed)
        return _Resolved(error=ended.error, answered=ended.answered)
    return _Resolved(answered=await _check(deps, claimed, listed))


async def claim_operation(
    deps: Dependencies, payment_id: str, caller: Caller, holder: str | None = None
) -> Claimed | Payment:
    """Take the lease on the payment's operation; returns the payment when no operation is in flight.

    Raises ``AlreadyUnderWay`` while the lease of another process is valid.
    """
    holder = holder or deps.ids.new("run")

    async def work(uow: UnitOfWork) -> Claimed | Payment:
        booking, payment = await load(uow, payment_id)
        if payment.operation is None:
            return payment
        poll_state = await uow.payments.poll_state(payment_id)
        if poll_state.is_held(deps.clock.now()):
            raise AlreadyUnderWay()
        recorder = Recorder(deps, uow, booking, payment, caller)
        await recorder.take_lease(holder, poll_state.checks)
        return claim(recorder, payment.operation, holder, resumed=True)

    return await deps.storage.transact(work)


async def _check(deps: Dependencies, payment: Payment, listed: IntentList | None) -> bool:
    """Read the payment from the gateway and record changes. Returns False when the gateway cannot be read."""
    try:
        observation = await read_with_lost_calls(deps, payment, listed)
    except GatewayError:
        observation = None

    async def work(uow: UnitOfWork) -> None:
        booking, now = await load(uow, payment.id)
        checks = (await uow.payments.poll_state(payment.id)).checks
        recorder = Recorder(deps, uow, booking, now, CALLER)
        if observation is not None and now.version == payment.version:
            await apply_observation(uow, recorder, observation)
            if observation.walked_at is not None:
                recorder.add(decisions.end_watch(recorder.payment, observation.walked_at))
            recorder.follow_up()
        changed = recorder.payment.version != payment.version
        await recorder.save(yields=now.operation is None, checks=0 if changed else checks + 1)

    await deps.storage.transact(work)
    return observation is not None
