"""Idempotency keys: the same request, sent again with the same key, is done once and answered the same.

The rules of a key are here, for the HTTP API (``Idempotency-Key``) and for the library (``idempotency_key=``). A mark
is stored before the work, and what came of it in its place afterwards:

- a result, a decline and a refusal that no repetition changes are kept, and given again;
- where nothing was done (bad input, not possible in the present state) the mark is removed and the next try is a first
  one, unless this one was not the first: what an earlier run has done must not be forgotten, so its mark stays, lapsed;
- after an unknown outcome, a failure of ours and a crash the work may have got somewhere. The mark stays, lapsed, with
  the cause of the run that began: the next run has that cause, too, and finds by it in the journal what was done.

A mark belongs to the run that works on it until ``locked_until``. Another process may end it earlier, so whoever is
about to begin something reads it again (``resuming.require_turn``).
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
from booking_payments.domain.retry import Decline
from booking_payments.ports.clock import Clock
from booking_payments.ports.ids import Ids
from booking_payments.ports.storage import (
    ANSWER_LIFETIME,
    LIBRARY_ROUTE,
    CommitLost,
    Storage,
    StorageConflict,
    StoredAnswer,
    UnitOfWork,
)

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
    """A request with a key: whose, which command (``route``), which key, and a digest of what exactly was asked."""

    caller: str
    route: str
    key: str
    fingerprint: str

    def mark(self, cause: str, now: datetime) -> StoredAnswer:
        """The mark of a run that begins under ``cause``, and that nobody works on yet."""
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
    """The right to do the work: the mark, and the cause that the work is recorded under. ``resumed``: an earlier run of
    the same request may have got somewhere."""

    mark: StoredAnswer
    cause: str
    resumed: bool

    def caller(self, caller: Caller) -> Caller:
        """``caller`` as this run asks: the one before it, if there was one, has the same cause."""
        mark = KeyMark(caller=self.mark.caller, route=self.mark.route, key=self.mark.key)
        return evolve(caller, cause=self.cause, resumed=self.resumed, until=self.mark.locked_until, mark=mark)


@frozen(kw_only=True)
class Kept:
    """What came of the work, to be given again. ``status`` is that of HTTP."""

    status: int
    body: bytes
    media_type: str | None = None


class Fate(Enum):
    """What becomes of the mark of a request that ended with an error."""

    KEPT = "kept"
    """The error is given again."""

    FORGOTTEN = "forgotten"
    """Nothing was done, so the key is free again."""

    LAPSED = "lapsed"
    """The work may have got somewhere: the next run goes on from there."""


def fate_of(error: BaseException) -> Fate:
    """What becomes of the mark of a request whose work raised ``error``."""
    if isinstance(error, CardDeclined | NotFound | RefusedByRule):
        return Fate.KEPT
    return Fate.FORGOTTEN if isinstance(error, InvalidInput | NotPossibleNow) else Fate.LAPSED


@frozen(kw_only=True)
class Marks:
    """The marks of requests with a key. A mark belongs for the time of ``lease`` to the run that claimed it."""

    storage: Storage
    clock: Clock
    ids: Ids
    lease: timedelta

    async def begin(self, request: KeyedRequest, cause: str) -> Claim | StoredAnswer:
        """The right to work on ``request``, or what is stored of it where it is done already.

        ``cause`` is that of the caller. Raises ``RefusedByRule`` (``idempotency_key_reused``) when the key was used for
        another request, ``AlreadyUnderWay`` (``idempotency_key_in_use``) while somebody works on this one, and
        ``StorageConflict`` when the mark can't be stored; nothing has begun then.
        """
        # Callers choose their causes, so these alone would not tell this run's facts from another's.
        own = f"{cause} {self.ids.new('once')}"
        try:
            return await self.storage.transact(lambda uow: self._begin(uow, request, own))
        except CommitLost as lost:  # of the mark alone: no work has begun
            raise StorageConflict("the key could not be marked; send the same again") from lost

    async def end(self, claim: Claim, kept: Kept | None, *, nothing_done: bool = False) -> None:
        """Put ``kept`` in place of the mark; without it the mark lapses, or is removed where ``nothing_done`` under it.

        Raises ``StorageConflict`` or ``CommitLost`` when that fails. The mark lapses by itself then.
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
            return  # our lease is over and somebody else may have taken over: the answer is theirs to give
        if kept is not None:
            await uow.answers.put(evolve(mark, status=kept.status, media_type=kept.media_type, body=kept.body))
        elif nothing_done and not claim.resumed:
            await uow.answers.remove(mark.caller, mark.route, mark.key)
        else:
            await uow.answers.put(evolve(mark, locked_until=self.clock.now()))


# --- the library -----------------------------------------------------------------------------------------------


def library_request(command: str, caller: Caller, key: str, asked: Mapping[str, object]) -> KeyedRequest:
    """A call of the library's ``command`` with a key. Two callers with one key have nothing to do with each other.

    ``asked`` are its arguments; equal amounts are the same, however they are written. Raises ``InvalidInput`` for a key
    that can be none.
    """
    if not is_key(key):
        told = "idempotency_key: give 16 to 255 printable ASCII characters, best a new UUID"
        raise InvalidInput(told, code="idempotency_key_invalid")
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
    """``value`` in plain JSON. Raises ``TypeError`` for what has no form here: it would be told from nothing."""
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
    """An amount as an argument is compared: ``"20.0"`` and ``Decimal("20.00")`` are the same one."""
    if isinstance(amount, Money | Decimal) or amount is None:
        return amount
    text = str(amount)
    return Decimal(text) if _NUMBER.fullmatch(text) else text


_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?", re.ASCII)


@frozen(kw_only=True)
class Memory:
    """How a result of the library is kept: by what names it in the books, from which it is read when it is given again.

    ``names`` are the ids in a result, ``read`` finds the result by them, for this caller.
    """

    names: Callable[[Any], Mapping[str, Any]]
    read: Callable[[Caller, Mapping[str, Any]], Awaitable[Any]]


async def once(
    marks: Marks, request: KeyedRequest, caller: Caller, work: Callable[[Caller], Awaitable[T]], memory: Memory
) -> T:
    """Do ``work`` for ``caller`` unless it was done for this key already; then give its result again, as the books have
    it now, or raise what it raised. Raises as ``Marks.begin`` does."""
    caller = evolve(caller, key=request.key)
    begun = await marks.begin(request, caller.cause)
    if isinstance(begun, StoredAnswer):
        told = json.loads(begun.body or b"{}")
        if begun.status != _RESULT:
            raise _error_from(told)
        result: T = await memory.read(caller, told)
        return result
    try:
        done = await work(begun.caller(caller))
    except BaseException as error:
        await _end(marks, begun, _kept_error(error), nothing_done=fate_of(error) is Fate.FORGOTTEN)
        raise
    await _end(marks, begun, Kept(status=_RESULT, body=_encoded(memory.names(done))))
    return done


async def _end(marks: Marks, claim: Claim, kept: Kept | None, *, nothing_done: bool = False) -> None:
    """Store the end where that is possible. Where not, the mark lapses by itself, and the next run finds in the journal
    what this one did; its caller is told what came of the work all the same."""
    with suppress(StorageConflict, CommitLost):
        await marks.end(claim, kept, nothing_done=nothing_done)


def _kept_error(error: BaseException) -> Kept | None:
    if fate_of(error) is not Fate.KEPT or not isinstance(error, PaymentError):
        return None
    told: dict[str, Any] = {"message": error.message, "code": error.code, "not_found": isinstance(error, NotFound)}
    if isinstance(error, CardDeclined):
        told["decline"] = attrs.asdict(error.decline)
    return Kept(status=_REFUSAL, body=_encoded(told))


def _error_from(told: Mapping[str, Any]) -> PaymentError:
    if "decline" in told:
        return CardDeclined(Decline(**told["decline"]))
    return NotFound(told["message"]) if told["not_found"] else RefusedByRule(told["message"], code=told["code"])
