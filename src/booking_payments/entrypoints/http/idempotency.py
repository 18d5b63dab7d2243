"""``Idempotency-Key``: the header, the request in canonical form, and the answers that are stored.

What a key means is in ``application.idempotency``. Which answers are kept:

- 2xx, 402, 404, 422: kept, and repeated to the byte with ``Idempotent-Replayed: true``;
- 400, 401, 403, 409, 429: nothing was done, so the key is free again;
- 5xx, and a crash: the work may have got somewhere, and the next try goes on from there.

Keys live for 72 hours, longer than the gateway's own 24 and a weekend. Body limits, tokens and models are checked
before a key is looked at.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from booking_payments.application.callers import Caller
from booking_payments.application.idempotency import Claim, Kept, KeyedRequest, Marks, digest, is_key
from booking_payments.domain.errors import AlreadyUnderWay, RefusedByRule
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import Principal
from booking_payments.entrypoints.http.problems import RETRY_AFTER_S, EncodedResponse, RequestRefused, bad_request
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.storage import CommitLost, StorageConflict
from booking_payments.runtime.services import Services

REPLAYED: Final = "Idempotent-Replayed"
FORGOTTEN: Final = frozenset({400, 401, 403, 409, 429})
"""Statuses that say that nothing was done, so that the key is free again."""

_KEY: Final = re.compile(r'"(?P<quoted>(?:[ !#-\[\]-~]|\\["\\])*)"|(?P<bare>[!#-~][ -~]*)')

Work = Callable[[Caller], Awaitable[EncodedResponse]]
"""Does the work for this caller, who knows whether it was begun before, and until when it may be begun now."""

log = structlog.get_logger("booking_payments.http")


def key_of(headers: Sequence[str]) -> str | None:
    """The key, given bare or as a quoted string (RFC 8941); None without the header. Raises 400 for a bad one."""
    if not headers:
        return None
    match = _KEY.fullmatch(headers[0].strip(" ")) if len(headers) == 1 else None
    quoted = match["quoted"] if match else None
    key = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else (match["bare"] if match else "")
    if not is_key(key):
        raise bad_request(
            "Idempotency-Key: send one key of 16 to 255 visible ASCII characters, best a new UUID",
            "idempotency_key_invalid",
        )
    parsing.refuse_card_number(key)
    parsing.refuse_secret(key)
    return key


def asked(key: str, principal: Principal, method: str, path: str, given: msgspec.Struct) -> KeyedRequest:
    """The request in canonical form. Two roles of one subject are two callers: they may see different things."""
    route = f"{method} {path.rstrip('/')}"
    role = ["operator"] if principal.is_operator else []
    return KeyedRequest(
        caller=digest(msgspec.json.encode([principal.issuer, principal.subject, role])),
        route=route,
        key=key,
        fingerprint=digest(route.encode() + b"\n" + msgspec.json.encode(given, order="deterministic")),
    )


async def once(services: Services, asked: KeyedRequest, caller: Caller, work: Work) -> EncodedResponse:
    """Do ``work`` for ``caller`` unless it was done for this key already; then give the stored answer.

    Raises 422 when the key was used for another request, 409 while it is being worked on.
    """
    marks = Marks(
        storage=services.storage,
        clock=services.clock,
        ids=services.ids,
        lease=timedelta(seconds=services.settings.operation_lease_s),
    )
    begun = await _begin(marks, asked, caller.cause)
    if isinstance(begun, StoredAnswer):
        return _replay(begun)
    try:
        response = await work(begun.caller(caller))
    except BaseException:
        await _end(marks, begun, None)
        raise
    await _end(marks, begun, response)
    return response


async def _begin(marks: Marks, asked: KeyedRequest, cause: str) -> Claim | StoredAnswer:
    try:
        return await marks.begin(asked, cause)
    except RefusedByRule as reused:
        raise RequestRefused(422, reused.code, reused.message) from reused
    except AlreadyUnderWay as running:
        waits = {"Retry-After": str(RETRY_AFTER_S)}
        raise RequestRefused(409, running.code, running.message, headers=waits, retryable=True) from running


def _replay(stored: StoredAnswer) -> EncodedResponse:
    return EncodedResponse(
        status=stored.status or 500,
        body=stored.body or b"",
        media_type=stored.media_type or "application/json",
        headers={REPLAYED: "true"},
    )


async def _end(marks: Marks, claim: Claim, response: EncodedResponse | None) -> None:
    """Store the response in place of the mark. If that fails, the mark expires; the work was done, and the client gets
    its response."""
    nothing_done = response is not None and response.status in FORGOTTEN
    kept = None
    if response is not None and not nothing_done and response.status < 500:
        kept = Kept(status=response.status, body=response.body, media_type=response.media_type)
    try:
        await marks.end(claim, kept, nothing_done=nothing_done)
    except (StorageConflict, CommitLost):
        log.warning("idempotency.response_not_stored", route=claim.mark.route)
