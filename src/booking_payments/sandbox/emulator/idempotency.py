"""Stripe's idempotency layer (docs.stripe.com/api/idempotent_requests).

The first answer of an endpoint that began executing is saved under the key, whatever it was, and replayed
for 24 hours; afterwards the key runs anew. Refusals from validation, 409 and 429 are not saved.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from booking_payments.sandbox.emulator.answers import Json, StripeResponse, copy_json
from booking_payments.sandbox.emulator.errors import idempotency_mismatch, invalid
from booking_payments.sandbox.emulator.records import StripeAccount, microseconds

KEPT_FOR: Final = timedelta(hours=24)
LONGEST_KEY: Final = 255

_KIND: Final = "idempotency_key"


def fingerprint(method: str, path: str, params: Mapping[str, Any]) -> str:
    """What makes two requests the same: endpoint and parameters, compared as text like form bodies."""
    return f"{method} {path} {json.dumps(_as_text(params), sort_keys=True)}"


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_text(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def check_key(key: str) -> None:
    """Raises 400 for a key longer than Stripe takes."""
    if len(key) > LONGEST_KEY:
        raise invalid(f"Idempotency keys can be at most {LONGEST_KEY} characters long.")


def replay(account: StripeAccount, key: str, print_: str) -> StripeResponse | None:
    """The saved answer for this key.

    ``None`` for a new one; raises 400 when it belongs to another request.
    """
    saved = account.find(_KIND, key)
    if saved is None:
        return None
    if saved.body["fingerprint"] != print_:
        raise idempotency_mismatch(key)
    headers = {
        "Idempotency-Key": key,
        "Idempotent-Replayed": "true",
        "Original-Request": saved.body["request_id"],
    }
    return StripeResponse(saved.body["status"], copy_json(saved.body["answer"]), headers)


def save(account: StripeAccount, key: str, print_: str, answer: StripeResponse, request_id: str) -> None:
    """Keep the first answer for this key."""
    body: Json = {
        "fingerprint": print_,
        "status": answer.status,
        "answer": copy_json(answer.body),
        "request_id": request_id,
        "created_us": account.now_us(),
    }
    account.add(_KIND, key, body)


def prune(account: StripeAccount) -> None:
    """Forget keys older than 24 hours: Stripe may do so from then on, so this model does at once."""
    newest_stale = account.now_us() - microseconds(KEPT_FOR)
    table = account.table(_KIND)
    while table and (oldest := next(iter(table.values()))).body["created_us"] <= newest_stale:
        account.remove(oldest)
