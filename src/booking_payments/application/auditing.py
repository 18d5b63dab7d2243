"""Auditing: every command leaves one record of who asked for what and what came of it.

A command's record is written when its outcome is known, in a transaction of its own. A process that dies before leaves
none, but what it intended stands in the journal under the same cause, and whoever settles that leaves a record.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from attrs import evolve

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.errors import OurFault, PaymentError, TryAgainLater
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import LockScope

T = TypeVar("T")

_PLAIN: Final = re.compile(r"(?=[^0-9]*(?:[0-9][^0-9]*){1,12}$)-?[0-9]+(\.[0-9]+)?( [a-z]{3})?", re.ASCII)
"""At most twelve digits, as amounts have (``Money``)."""

LONGEST: Final = 255
"""Characters of a value that a record keeps."""


async def audited(
    deps: Dependencies,
    operation: str,
    caller: Caller,
    work: Awaitable[T],
    *,
    booking_id: str | None = None,
    asked: Mapping[str, object] | None = None,
    subject: Callable[[T], str] | None = None,
) -> T:
    """Await ``work`` and leave a record of it; what it returns or raises comes through.

    ``asked`` is what the record tells of the request (None: left out); ``subject`` finds the booking's id in the
    result of a command that makes one.
    """
    record = AuditRecord(
        at=deps.clock.now(),
        operation=operation,
        actor=caller.actor,
        cause=caller.cause,
        outcome=AuditOutcome.DONE,
        request_id=caller.request_id,
        key=caller.key,
        booking_id=booking_id,
        asked={name: str(value)[:LONGEST] for name, value in (asked or {}).items() if value is not None},
    )
    try:
        result = await work
    except Exception as error:
        await _keep(deps, evolve(record, outcome=outcome_of(error), code=code_of(error)))
        raise
    await _keep(deps, evolve(record, booking_id=subject(result)) if subject else record)
    return result


def plain(amount: object) -> str | None:
    """An amount as a record may keep it: what can be none is left out, since it may be anything that was typed."""
    return str(amount) if amount is not None and _PLAIN.fullmatch(str(amount)) else None


def outcome_of(error: Exception) -> AuditOutcome:
    """What an error says about the command."""
    if isinstance(error, CommitLost):
        return AuditOutcome.UNKNOWN
    if not isinstance(error, PaymentError):
        return AuditOutcome.FAILED
    if isinstance(error, TryAgainLater):
        return AuditOutcome.UNKNOWN if error.outcome_unknown else AuditOutcome.FAILED
    return AuditOutcome.FAILED if isinstance(error, OurFault) else AuditOutcome.REFUSED


def code_of(error: Exception) -> str:
    """The error's stable code; the kind of one that is none of ours. Never its text, which may say anything."""
    return error.code if isinstance(error, PaymentError) else type(error).__name__


async def _keep(deps: Dependencies, record: AuditRecord) -> None:
    """A storage too busy for the record, or lost with it, must not turn a done command into a failure that is then
    repeated: the facts are in the journal, and the payment log has the same line."""
    at = deps.clock.now()
    with suppress(StorageConflict, CommitLost):
        await deps.storage.transact(lambda uow: uow.audit.append(evolve(record, at=at)), LockScope())
