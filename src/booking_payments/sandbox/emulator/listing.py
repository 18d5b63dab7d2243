"""Lists with cursors and filters, and ``expand``."""

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice, pairwise
from typing import Any, Final

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.errors import Refusal, invalid, no_such
from booking_payments.sandbox.emulator.events import delivered_well
from booking_payments.sandbox.emulator.params import (
    Field,
    boolean,
    id_text,
    integer,
    moments,
    opaque,
    strings,
    text,
)
from booking_payments.sandbox.emulator.records import NOUNS, Account, Record

PAGE_FIELDS: Final = {
    "limit": integer(minimum=1, maximum=100),
    "starting_after": id_text(),
    "ending_before": id_text(),
    "expand": opaque(),
}


def list_fields(*filters: str) -> dict[str, Field]:
    """The parameters of a list endpoint: paging, and these filters."""
    return PAGE_FIELDS | {name: _FILTER_FIELDS[name] for name in filters}


_FILTER_FIELDS: Final = {
    "created": moments(),
    "delivery_success": boolean(),
    "types": strings(most=20),
} | {
    name: text()
    for name in (
        "allow_redisplay",
        "charge",
        "currency",
        "customer",
        "customer_account",
        "payment_intent",
        "payout",
        "source",
        "type",
        "transfer_group",
    )
}


def page(account: Account, kind: str, params: Json, url: str) -> Json:
    """One page, newest first."""
    limit = params.get("limit", 10)
    if params.get("starting_after") and params.get("ending_before"):
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    found = list(islice(_matching(account, kind, params), limit + 1))
    data = [record.body for record in found[:limit]]
    if params.get("ending_before"):
        data.reverse()
    return {"object": "list", "data": data, "has_more": len(found) > limit, "url": url}


def _matching(account: Account, kind: str, params: Json) -> Iterator[Record]:
    """Matching records in the direction of paging: older ones, or newer ones for ``ending_before``."""
    newer, cursor = bool(params.get("ending_before")), _cursor(account, kind, params)
    records: Iterable[Record] = account.table(kind).values()
    for record in records if newer else reversed(account.table(kind).values()):
        beyond = cursor is None or (record.seq > cursor.seq if newer else record.seq < cursor.seq)
        if beyond and all(_passes(record, name, params[name]) for name in params if name in _FILTER_FIELDS):
            yield record


def _cursor(account: Account, kind: str, params: Json) -> Record | None:
    for name in ("starting_after", "ending_before"):
        if params.get(name):
            return _require_cursor(account, kind, params[name], name)
    return None


def _require_cursor(account: Account, kind: str, id_: str, param: str) -> Record:
    record = account.find(kind, id_)
    if record is None:
        raise no_such(NOUNS.get(kind, kind), id_, param=param, status=400)
    return record


def _passes(record: Record, name: str, wanted: Any) -> bool:
    if name in _SPECIAL:
        return _SPECIAL[name](record, wanted)
    return wanted is None or bool(record.body.get(name) == wanted)


def _created(record: Record, bounds: Json) -> bool:
    return all(_COMPARE[name](record.body["created"], bound) for name, bound in bounds.items())


_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}

_SPECIAL: Final[dict[str, Callable[[Record, Any], bool]]] = {
    "created": _created,
    "delivery_success": lambda record, wanted: delivered_well(record) == wanted,
    "types": lambda record, wanted: record.body["type"] in wanted,
    "type": lambda record, wanted: wanted is None or fnmatchcase(record.body["type"], wanted),
}

# --- expand

_EXPANDABLE: Final = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "failure_balance_transaction": "balance_transaction",
    "latest_charge": "charge",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
}
_SOURCES: Final = ("charge", "refund", "dispute")
"""What moves the balance; a balance transaction's ``source`` is one of them."""

_LISTS: Final = {"refunds": "refund"}
_CHARGES: Final = frozenset({"charge", "latest_charge"})
_DEEPEST: Final = 4


def expansions(params: Json) -> list[list[str]]:
    """The paths of ``expand``, checked; raises 400 for what cannot be expanded."""
    paths = [path.split(".") for path in strings().read(params.get("expand") or [], "expand")]
    for path in paths:
        if len(path) > _DEEPEST:
            raise invalid(f"You cannot expand more than {_DEEPEST} levels of a property. Property: {'.'.join(path)}")
        if not all(_may_be_expanded(step) for step in path) or _asks_for_method_of_charge(path):
            raise _not_expandable(path)
    return paths


def _may_be_expanded(step: str) -> bool:
    return step in _EXPANDABLE or step in _LISTS or step in ("data", "source")


def _asks_for_method_of_charge(path: list[str]) -> bool:
    """A charge answers only the id of its method. Refused before anything is done, as with Stripe."""
    return any(before in _CHARGES and step == "payment_method" for before, step in pairwise(path))


def _not_expandable(path: list[str]) -> Refusal:
    return invalid(f"This property cannot be expanded ({'.'.join(path)}).")


def expanded(account: Account, body: Json, paths: list[list[str]]) -> Json:
    """A snapshot of an object with the objects that it names put in place of their ids."""
    snapshot: Json = copy_json(body)
    for path in paths:
        _expand(account, snapshot, path)
    return snapshot


def _expand(account: Account, body: Json, path: list[str]) -> None:
    if not path:
        return
    name, rest = path[0], path[1:]
    if body.get("object") == "charge" and name == "payment_method":
        raise _not_expandable(path)
    if name in _LISTS and name not in body and body.get("object") == "charge":
        body[name] = _refunds_of(account, body["id"])
    elif isinstance(body.get(name), str) and _may_be_expanded(name):
        body[name] = copy_json(_named(account, name, body[name]).body)
    for child in body[name] if isinstance(body.get(name), list) else [body.get(name)]:
        if isinstance(child, dict):
            _expand(account, child, rest)


def _named(account: Account, name: str, id_: str) -> Record:
    if name == "source":
        return next(record for kind in _SOURCES if (record := account.find(kind, id_)) is not None)
    return account.get(_EXPANDABLE[name], id_)


def _refunds_of(account: Account, charge_id: str) -> Json:
    ids = account.get("charge", charge_id).private["refunds"]
    data = [copy_json(account.get("refund", id_).body) for id_ in reversed(ids)]
    return {"object": "list", "data": data, "has_more": False, "url": f"/v1/charges/{charge_id}/refunds"}
