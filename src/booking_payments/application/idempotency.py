"""Idempotency keys: a request that is repeated with the same key is executed once and gets the same answer.

This is the client's key. The keys of our calls to the gateway are in the journal (``application.operations``).

These rules hold for the HTTP API (``Idempotency-Key``) and for the library (``idempotency_key=``). A mark is stored
before the work and is replaced by the outcome afterwards:

- a result, a decline, ``NotFound`` and a refusal by a rule are stored and replayed;
- when nothing was done (bad input, not possible in the present state) a first run removes its mark, and the key can be
  used anew. A resumed run keeps the mark, expired, because the run before it may have done something;
- after an unknown outcome, an internal error or a crash the mark stays, expired, with the cause of the first run. The
  next run has the same cause, and finds under it in the journal the operation that the first one began.

A run owns its mark until ``locked_until``; until then a repetition is refused with ``idempotency_key_in_use``, also
when the process of the first one was killed. Another process may shorten that time, so a run reads the mark again in
the transaction in which it begins an operation (``resuming.require_turn``).
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any, Final, TypeVar

import attrs
from attrs import evolve, frozen

from booking_payments.application.callers import Caller, KeyMark
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
)
from booking_payments.domain.money import Money
from booking_payments.ports.clock import Clock
from booking_payments.ports.idempotency import ANSWER_LIFETIME, LIBRARY_ROUTE, StoredAnswer
from booking_payments.ports.ids import Ids
from booking_payments.ports.storage import CommitLost, Storage, StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork

T = TypeVar("T")

_KEY: Final = re.compile(r"[ -~]{16,255}")

_RESULT: Final = 200
_REFUSAL: Final = 422


def is_key(text: object) -> bool:
    """Whether ``text`` can be a key: 16 to 255 printable ASCII characters."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def digest(content: bytes) -> str:
    """The SHA-256 of ``content``, in hexadecimal digits."""
    return sha256(content).hexdigest()


# --- marks -----------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class KeyedRequest:
    """A request with a key: its caller, its command (``route``), the key, and a digest of its arguments."""

    caller: str
    route: str
    key: str
    fingerprint: str

    def mark(self, cause: str, now: datetime) -> StoredAnswer:
        """A new mark for this request, with ``cause`` as its cause; no run owns it yet."""
        return StoredAnswer(
            caller=self.caller,
            route=self.route,
            key=self.key,
            fingerprint=self.fingerprint,
            created_at=now,
            locked_until=now,
            body=cause.encode(),
        )


@frozen(kw_only=True)
class Claim:
    """The right of a run to execute the request: its mark, and the cause that the journal records.

    ``resumed``: an earlier run of the same request may have begun an operation.
    """

    mark: StoredAnswer
    cause: str
    resumed: bool

    def caller(self, caller: Caller) -> Caller:
        """``caller`` with the cause of this request, which all its runs share, and with the mark of this run."""
        mark = KeyMark(caller=self.mark.caller, route=self.mark.route, key=self.mark.key)
        return evolve(caller, cause=self.cause, resumed=self.resumed, until=self.mark.locked_until, mark=mark)


@frozen(kw_only=True)
class Kept:
    """An outcome that is stored and replayed. ``status`` is an HTTP status, also for the library."""

    status: int
    body: bytes
    media_type: str | None = None


class Fate(Enum):
    """How a run that ended with an error leaves the mark of its request."""

    KEPT = "kept"
    """The error is stored and raised again."""

    FORGOTTEN = "forgotten"
    """Nothing was done, so the key is free again."""

    LAPSED = "lapsed"
    """An operation may have begun: the next run resumes it."""


def fate_of(error: BaseException) -> Fate:
    """How a run that raised ``error`` leaves the mark of its request."""
    if isinstance(error, CardDeclined | NotFound | RefusedByRule):
        return Fate.KEPT
    return Fate.FORGOTTEN if isinstance(error, InvalidInput | NotPossibleNow) else Fate.LAPSED


@frozen(kw_only=True)
class Marks:
    """Stores the marks of requests with a key. A run owns a mark for ``lease`` after it has claimed it."""

    storage: Storage
    clock: Clock
    ids: Ids
    lease: timedelta

    async def begin(self, request: KeyedRequest, cause: str) -> Claim | StoredAnswer:
        """Claim ``request``. Returns the claim, or the stored outcome when the request was executed before.

        ``cause`` is the cause of the caller. Raises ``RefusedByRule`` (``idempotency_key_reused``) when the key was
        used for another request, ``AlreadyUnderWay`` (``idempotency_key_in_use``) while another run owns the mark, and
        ``StorageConflict`` when the mark can't be stored; nothing was begun in any of these cases.
        """
        # Callers choose their causes, so a cause alone may stand at the events of several requests in the journal.
        own = f"{cause} {self.ids.new('once')}"
        try:
            return await self.storage.transact(lambda uow: self._begin(uow, request, own))
        except CommitLost as lost:  # only the mark may be stored; no operation has begun
            raise StorageConflict("the idempotency key could not be stored; send the same request again") from lost

    async def end(self, claim: Claim, kept: Kept | None, *, nothing_done: bool = False) -> None:
        """Replace the mark by ``kept``. Without it the mark expires, or a first run with ``nothing_done`` removes it.

        Raises ``StorageConflict`` or ``CommitLost`` when that fails; the mark then expires after its lease.
        """
        await self.storage.transact(lambda uow: self._end(uow, claim, kept, nothing_done))

    async def _begin(self, uow: UnitOfWork, request: KeyedRequest, cause: str) -> Claim | StoredAnswer:
        now = self.clock.now()
        stored = await uow.answers.get(request.caller, request.route, request.key)
        if stored is None or now - stored.created_at >= ANSWER_LIFETIME:
            return await self._claim(uow, request.mark(cause, now), resumed=False)
        if stored.fingerprint != request.fingerprint:
            reused = "this idempotency key was used for another request; use a new key for a new request"
            raise RefusedByRule(reused, code="idempotency_key_reused")
        if stored.status is not None:
            return stored
        if stored.locked_until > now:
            in_use = "a request with this idempotency key is being worked on; send the same again in a moment"
            raise AlreadyUnderWay(in_use, code="idempotency_key_in_use")
        return await self._claim(uow, stored, resumed=True)

    async def _claim(self, uow: UnitOfWork, mark: StoredAnswer, *, resumed: bool) -> Claim:
        mark = evolve(mark, locked_until=self.clock.now() + self.lease)
        await uow.answers.put(mark)
        return Claim(mark=mark, cause=(mark.body or b"").decode(), resumed=resumed)

    async def _end(self, uow: UnitOfWork, claim: Claim, kept: Kept | None, nothing_done: bool) -> None:
        mark = claim.mark
        current = await uow.answers.get(mark.caller, mark.route, mark.key)
        if current is None or current.status is not None or current.locked_until != mark.locked_until:
            return  # this run does not own the mark any more; the run that took over stores its outcome
        if kept is not None:
            await uow.answers.put(evolve(mark, status=kept.status, media_type=kept.media_type, body=kept.body))
        elif nothing_done and not claim.resumed:
            await uow.answers.remove(mark.caller, mark.route, mark.key)
        else:
            await uow.answers.put(evolve(mark, locked_until=self.clock.now()))


# --- the library -----------------------------------------------------------------------------------------------


def library_request(command: str, caller: Caller, key: str, asked: Mapping[str, object]) -> KeyedRequest:
    """A call of the library's ``command`` with a key. The keys of two callers are separate.

    ``asked`` are the arguments of the call. Raises ``InvalidInput`` for a key of another format, and ``TypeError`` for
    an argument of a type that no command takes.
    """
    if not is_key(key):
        text = "idempotency_key: give 16 to 255 printable ASCII characters, best a new UUID"
        raise InvalidInput(text, code="idempotency_key_invalid")
    route = f"{LIBRARY_ROUTE}{command}"
    return KeyedRequest(
        caller=digest(_encoded([caller.actor, caller.customer_id, caller.operator])),
        route=route,
        key=key,
        fingerprint=digest(route.encode() + b"\n" + _encoded(asked)),
    )


def _encoded(value: object) -> bytes:
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":")).encode()


def _canonical(value: Any) -> Any:
    """``value`` as JSON values. Raises ``TypeError`` for a type that has no such form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, timedelta):
        return value / timedelta(microseconds=1)
    if isinstance(value, Mapping):
        return {str(name): _canonical(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    if attrs.has(type(value)):
        return {field.name: _canonical(getattr(value, field.name)) for field in attrs.fields(type(value))}
    raise TypeError(f"{type(value).__name__} has no canonical form")


def amount_asked(amount: object) -> object:
    """An amount in the form in which arguments are compared: ``"20.0"`` and ``Decimal("20.00")`` are equal."""
    if isinstance(amount, Money | Decimal) or amount is None:
        return amount
    text = str(amount)
    return Decimal(text) if _NUMBER.fullmatch(text) else text


_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?", re.ASCII)


@frozen(kw_only=True)
class Memory:
    """How the result of a command is stored: as ids, from which it is read from the database again.

    ``names`` returns the ids in a result, ``read`` returns the result for a caller and these ids.
    """

    names: Callable[[Any], Mapping[str, Any]]
    read: Callable[[Caller, Mapping[str, Any]], Awaitable[Any]]


async def once(
    marks: Marks, request: KeyedRequest, caller: Caller, work: Callable[[Caller], Awaitable[T]], memory: Memory
) -> T:
    """Run ``work`` for ``caller``, unless a run of this request has ended before.

    Returns the result of ``work``; of an earlier run the same result in its present state, read from the database.
    Raises the errors of ``work``, also those stored by an earlier run, and the errors of ``Marks.begin``.
    """
    caller = evolve(caller, key=request.key)
    begun = await marks.begin(request, caller.cause)
    if isinstance(begun, StoredAnswer):
        stored = json.loads(begun.body or b"{}")
        if begun.status != _RESULT:
            raise _error_from(stored)
        result: T = await memory.read(caller, stored)
        return result
    try:
        done = await work(begun.caller(caller))
    except BaseException as error:
        await _end(marks, begun, _kept_error(error), nothing_done=fate_of(error) is Fate.FORGOTTEN)
        raise
    await _end(marks, begun, Kept(status=_RESULT, body=_encoded(memory.names(done))))
    return done


async def _end(marks: Marks, claim: Claim, kept: Kept | None, *, nothing_done: bool = False) -> None:
    """Store the outcome. When that fails the caller still gets it; the mark expires after its lease, and the next run
    finds the operation in the journal."""
    with suppress(StorageConflict, CommitLost):
        await marks.end(claim, kept, nothing_done=nothing_done)


def _kept_error(error: BaseException) -> Kept | None:
    if fate_of(error) is not Fate.KEPT or not isinstance(error, PaymentError):
        return None
    content: dict[str, Any] = {"message": error.message, "code": error.code, "not_found": isinstance(error, NotFound)}
    if isinstance(error, CardDeclined):
        content["decline"] = attrs.asdict(error.decline)
    return Kept(status=_REFUSAL, body=_encoded(content))


def _error_from(content: Mapping[str, Any]) -> PaymentError:
    if "decline" in content:
        return CardDeclined(Decline(**content["decline"]))
    if content["not_found"]:
        return NotFound(content["message"])
    return RefusedByRule(content["message"], code=content["code"])
