"""``Idempotency-Key``: the same request, sent again, is done once and answered the same.

A mark is stored before the work, and the answer in its place afterwards. Which answers are kept:

- 2xx, 402, 404, 422: kept, and repeated to the byte with ``Idempotent-Replayed: true``;
- 400, 401, 409, 429: nothing was done, so the mark is removed and the next try is a first one (unless this one was
  not the first: what an earlier one has done must not be forgotten, so its mark stays, lapsed);
- 5xx, and a crash: the work may have got somewhere. The mark stays, lapsed, with the id of the request that began:
  the next try goes on under that id, which stands in the journal as the cause of whatever was done already.

Keys live for 72 hours, longer than the gateway's own 24 and a weekend. Body limits, tokens and models are checked
before a key is looked at.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from attrs import evolve, frozen

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import Principal
from booking_payments.entrypoints.http.problems import RETRY_AFTER_S, Refused, Reply, bad_request
from booking_payments.entrypoints.http.services import Services
from booking_payments.ports.storage import ANSWER_LIFETIME, CommitLost, StorageConflict, StoredAnswer, UnitOfWork

REPLAYED: Final = "Idempotent-Replayed"
FORGOTTEN: Final = frozenset({400, 401, 403, 409, 429})
"""Statuses that say that nothing was done, so that the key is free again."""

_KEY: Final = re.compile(r'"(?P<quoted>(?:[ !#-\[\]-~]|\\["\\])*)"|(?P<bare>[!#-~][ -~]*)')

Work = Callable[[Caller], Awaitable[Reply]]
"""Does the work for this caller, who knows whether it was begun before, and until when it may be begun now."""

log = structlog.get_logger("booking_payments.http")


@frozen(kw_only=True)
class Asked:
    """A request with a key: whose, which route, which key, and what exactly was asked."""

    caller: str
    route: str
    key: str
    fingerprint: str


@frozen(kw_only=True)
class Claim:
    """The right to do the work: the mark, and the cause that the work is recorded under."""

    mark: StoredAnswer
    cause: str
    resumed: bool

    def caller(self, caller: Caller) -> Caller:
        """``caller`` as this run asks: the one before it, if there was one, has the same cause."""
        return evolve(caller, cause=self.cause, resumed=self.resumed, until=self.mark.locked_until)


def key_of(headers: Sequence[str]) -> str | None:
    """The key, given bare or as a quoted string (RFC 8941); None without the header. Raises 400 for a bad one."""
    if not headers:
        return None
    match = _KEY.fullmatch(headers[0].strip(" ")) if len(headers) == 1 else None
    quoted = match["quoted"] if match else None
    key = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (match["bare"] if match else "")
    if not 16 <= len(key) <= 255:
        raise bad_request(
            "Idempotency-Key: send one key of 16 to 255 visible ASCII characters, best a new UUID",
            "idempotency_key_invalid",
        )
    door.refuse_card_number(key)
    door.refuse_secret(key)
    return key


def asked(key: str, principal: Principal, method: str, path: str, given: msgspec.Struct) -> Asked:
    """The request in canonical form. Two roles of one subject are two callers: they may see different things."""
    route = f"{method} {path.rstrip('/')}"
    role = ["operator"] if principal.is_operator else []
    return Asked(
        caller=_digest(msgspec.json.encode([principal.issuer, principal.subject, role])),
        route=route,
        key=key,
        fingerprint=_digest(route.encode() + b"\n" + msgspec.json.encode(given, order="deterministic")),
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def once(services: Services, asked: Asked, caller: Caller, work: Work) -> Reply:
    """Do ``work`` for ``caller`` unless it was done for this key already; then give the stored answer.

    Raises 422 when the key was used for another request, 409 while it is being worked on.
    """
    # Clients and proxies choose request ids, so these alone would not tell this run's facts from another's.
    cause = f"{caller.cause} {services.ids.new('once')}"
    try:
        begun = await services.storage.transact(lambda uow: _begin(services, uow, asked, cause))
    except CommitLost as lost:  # of the mark alone: no work has begun
        raise StorageConflict("the key could not be marked; send the same again") from lost
    if isinstance(begun, Reply):
        return begun
    try:
        reply = await work(begun.caller(caller))
    except BaseException:
        await _end(services, begun, None)
        raise
    await _end(services, begun, reply)
    return reply


async def _begin(services: Services, uow: UnitOfWork, asked: Asked, cause: str) -> Claim | Reply:
    now = services.clock.now()
    stored = await uow.answers.get(asked.caller, asked.route, asked.key)
    if stored is None or now - stored.created_at >= ANSWER_LIFETIME:
        return await _claim(services, uow, _mark(asked, cause, now), resumed=False)
    if stored.fingerprint != asked.fingerprint:
        reused = "this Idempotency-Key was used for another request; use a new key for a new request"
        raise Refused(422, "idempotency_key_reused", reused)
    if stored.status is not None:
        return _replay(stored, stored.status)
    if stored.locked_until > now:
        raise _still_running()
    return await _claim(services, uow, stored, resumed=True)


def _mark(asked: Asked, cause: str, now: datetime) -> StoredAnswer:
    return StoredAnswer(
        caller=asked.caller,
        route=asked.route,
        key=asked.key,
        fingerprint=asked.fingerprint,
        created_at=now,
        locked_until=now,
        body=cause.encode(),
    )


async def _claim(services: Services, uow: UnitOfWork, mark: StoredAnswer, *, resumed: bool) -> Claim:
    until = services.clock.now() + timedelta(seconds=services.settings.operation_lease_s)
    mark = evolve(mark, locked_until=until)
    await uow.answers.put(mark)
    return Claim(mark=mark, cause=(mark.body or b"").decode(), resumed=resumed)


def _replay(stored: StoredAnswer, status: int) -> Reply:
    return Reply(
        status=status,
        body=stored.body or b"",
        media_type=stored.media_type or "application/json",
        headers={REPLAYED: "true"},
    )


def _still_running() -> Refused:
    return Refused(
        409,
        "idempotency_key_in_use",
        "a request with this Idempotency-Key is being worked on; send the same again in a moment",
        headers={"Retry-After": str(RETRY_AFTER_S)},
        retryable=True,
    )


async def _end(services: Services, claim: Claim, reply: Reply | None) -> None:
    """Put the answer in place of the mark. When that fails the mark lapses by itself: the work is done all the same,
    and the client gets its answer."""
    try:
        await services.storage.transact(lambda uow: _put(services, uow, claim, reply))
    except (StorageConflict, CommitLost):
        log.warning("idempotency answer not stored", route=claim.mark.route)


async def _put(services: Services, uow: UnitOfWork, claim: Claim, reply: Reply | None) -> None:
    mark = claim.mark
    current = await uow.answers.get(mark.caller, mark.route, mark.key)
    if current is None or current.status is not None or current.locked_until != mark.locked_until:
        return  # our lease lapsed and somebody else took over: the answer is theirs to give
    nothing_done = reply is not None and reply.status in FORGOTTEN
    if nothing_done and not claim.resumed:
        await uow.answers.remove(mark.caller, mark.route, mark.key)
    elif reply is None or nothing_done or reply.status >= 500:
        await uow.answers.put(evolve(mark, locked_until=services.clock.now()))
    else:
        await uow.answers.put(evolve(mark, status=reply.status, media_type=reply.media_type, body=reply.body))
