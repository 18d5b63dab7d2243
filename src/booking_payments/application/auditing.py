"""Auditing: every command stores one record with its actor, request and outcome.

The record is stored when the outcome is known, in a transaction by itself. If the process ends before that, the record
is missing, but the journal has the intended operation under the same cause, and the process that settles it stores a
record.
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
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork

T = TypeVar("T")

_PLAIN: Final = re.compile(r"(?=[^0-9]*(?:[0-9][^0-9]*){1,12}$)-?[0-9]+(\.[0-9]+)?( [a-z]{3})?", re.ASCII)
"""At most twelve digits, as amounts have (``Money``)."""

LONGEST: Final = 255
"""Characters of a value that a record keeps."""

MOST_LISTED: Final = 200
"""Records of a booking that pages list; a booking rarely has a dozen."""


async def newest_audit(uow: UnitOfWork, booking_id: str) -> tuple[tuple[AuditRecord, ...], bool]:
    """Return the newest ``MOST_LISTED`` records of a booking, newest first, and whether there are older ones."""
    found = await uow.audit.latest(MOST_LISTED + 1, booking_id)
    return tuple(found[:MOST_LISTED]), len(found) > MOST_LISTED


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
    """Await ``work`` and store a record of it; returns its result or raises its error.

    Args:
        deps: the dependencies.
        operation: name of the command.
        caller: who called it.
        work: the command.
        booking_id: the booking that it is about, if that is known beforehand.
        asked: the arguments to store; those that are None are left out.
        subject: returns the booking's id from the result, for a command that creates a booking.
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
    """Return the text of an amount; None when it is not of an amount's form, since it may be any text then."""
    return str(amount) if amount is not None and _PLAIN.fullmatch(str(amount)) else None


def outcome_of(error: Exception) -> AuditOutcome:
    """Return the outcome that a command with this error has."""
    if isinstance(error, CommitLost):
        return AuditOutcome.UNKNOWN
    if not isinstance(error, PaymentError):
        return AuditOutcome.FAILED
    if isinstance(error, TryAgainLater):
        return AuditOutcome.UNKNOWN if error.outcome_unknown else AuditOutcome.FAILED
    return AuditOutcome.FAILED if isinstance(error, OurFault) else AuditOutcome.REFUSED


def code_of(error: Exception) -> str:
    """Return the stable code of a ``PaymentError``, otherwise the name of the error's class.

    The error's text is left out, since it may contain personal data.
    """
    return error.code if isinstance(error, PaymentError) else type(error).__name__


async def _keep(deps: Dependencies, record: AuditRecord) -> None:
    """Store the record. A storage that is busy or lost must not make a command fail that has been done.

    The events are in the journal, and the payment log has the same content.
    """
    at = deps.clock.now()
    with suppress(StorageConflict, CommitLost):
        await deps.storage.transact(lambda uow: uow.audit.append(evolve(record, at=at)), LockScope())
