"""Settling: resume all operations in flight now, and wait for the leases of other processes to lapse."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.findings import Findings
from booking_payments.application.operations import Claimed, resume
from booking_payments.application.progress import Progress
from booking_payments.application.resolve import claim_operation
from booking_payments.domain.error_texts import safe_text
from booking_payments.domain.errors import AlreadyUnderWay, NotFound
from booking_payments.domain.payment import Payment
from booking_payments.domain.retry import next_check
from booking_payments.ports.payments import PollState
from booking_payments.ports.storage import StorageConflict

CALLER: Final = Caller.system("reconcile")

AT_ONCE = 200
"""How many payments are in memory at a time."""

MAX_ROUNDS = 4
"""How often an operation is tried; before each further try comes a pause, or the end of a lease."""


async def settle_in_flight(deps: Dependencies, findings: Findings, progress: Progress) -> None:
    """Settle every operation in flight. One that can't be settled becomes a finding in ``findings.left``."""
    waiting = [each.id async for each in payments_since(deps, deps.clock.now()) if each.operation is not None]
    total = len(waiting)
    for passes in range(MAX_ROUNDS if total else 0):
        if passes and waiting:
            await deps.clock.sleep(await _pause(deps, waiting))
        waiting = [each for each in waiting if not await _settle(deps, findings, each)]
        progress("settling operations in flight", total - len(waiting), total)
    for payment_id in waiting:
        leave_in_flight(findings, await payment_of(deps, payment_id))


async def _settle(deps: Dependencies, findings: Findings, payment_id: str) -> bool:
    """Resume the payment's operation; returns whether it needs no further try: settled, or failed with an error."""
    before = await payment_of(deps, payment_id)
    try:
        ours = await go_on(deps, payment_id)
    except Exception as error:  # an error in one payment must not stop the settling of the others
        findings.leave(
            "broke", f"{_purpose(before)}: {type(error).__name__}: {safe_text(error)}", before, before.intent_id
        )
        return True
    now = await payment_of(deps, payment_id)
    if ours and now.operation is None:
        await findings.add_healed(before, "settled", f"{_purpose(before)} settled", always=True)
    return now.operation is None


async def go_on(deps: Dependencies, payment_id: str) -> bool:
    """Resume the payment's operation; returns False when it has no operation or another process has the lease."""
    try:
        claimed = await claim_operation(deps, payment_id, CALLER)
        if isinstance(claimed, Claimed):
            await resume(deps, claimed, CALLER)
            return True
    except (AlreadyUnderWay, StorageConflict):
        pass
    return False


async def _pause(deps: Dependencies, waiting: Sequence[str]) -> timedelta:
    """Return the time until the first lease lapses; when there is no lease, the delay before the first check."""
    now = deps.clock.now()
    poll_states = [await _poll_state(deps, each) for each in waiting]
    leases = [
        poll_state.lease_until - now
        for poll_state in poll_states
        if poll_state.lease_until and poll_state.lease_until > now
    ]
    return min(leases, default=next_check(0))


async def _poll_state(deps: Dependencies, payment_id: str) -> PollState:
    return await deps.storage.read(lambda uow: uow.payments.poll_state(payment_id))


def leave_in_flight(findings: Findings, payment: Payment) -> None:
    """Record a payment whose operation could not be settled as a finding."""
    unknown = payment.operation is not None and payment.operation.unknown
    text = "its outcome at the gateway is still unknown" if unknown else "another process is still working on it"
    code = "outcome_unknown" if unknown else "under_way"
    findings.leave(code, f"{_purpose(payment)}: {text}; reconcile again later", payment, payment.intent_id)


def _purpose(payment: Payment) -> str:
    return payment.operation.purpose.value.replace("_", " ") if payment.operation else "operation"


# --- reading our side ------------------------------------------------------------------------------------------


async def payment_of(deps: Dependencies, payment_id: str) -> Payment:
    """Return the payment as it is now.

    Raises:
        NotFound: When there is no such payment.
    """
    payment = await deps.storage.read(lambda uow: uow.payments.get(payment_id))
    if payment is None:
        raise NotFound()
    return payment


async def payments_since(deps: Dependencies, since: datetime) -> AsyncIterator[Payment]:
    """Yield all payments that are not final or have changed since ``since``, with ``AT_ONCE`` in memory at a time."""
    last = ""
    while ids := await _ids_after(deps, last, since):
        for payment in await _payments(deps, ids):
            yield payment
        last = ids[-1]


async def _ids_after(deps: Dependencies, last: str, since: datetime) -> Sequence[str]:
    return await deps.storage.read(lambda uow: uow.payment_reader.ids(last, AT_ONCE, since))


async def _payments(deps: Dependencies, ids: Sequence[str]) -> Sequence[Payment]:
    return list((await deps.storage.read(lambda uow: uow.payment_reader.payments(ids))).values())
