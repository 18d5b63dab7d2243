"""Lists with cursors and filters."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import invalid, no_such
from booking_payments.sandbox.emulator.events import delivered_well
from booking_payments.sandbox.emulator.params import (
    Field,
    boolean,
    expand,
    id_text,
    integer,
    moments,
    not_modelled,
    strings,
    text,
)
from booking_payments.sandbox.emulator.records import NOUNS, OWNERS, Record, StripeAccount

PAGE_FIELDS: Final = {
    "limit": integer(minimum=1, maximum=100),
    "starting_after": id_text(),
    "ending_before": id_text(),
    "expand": expand(),
}


def list_fields(*filters: str) -> dict[str, Field]:
    """The parameters of a list endpoint: paging, and these filters."""
    return PAGE_FIELDS | {name: _FILTER_FIELDS[name] for name in filters}


_FILTER_FIELDS: Final = {
    **not_modelled("attach_to_self", "customer_account", "payout", "test_clock"),
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
        "email",
        "payment_intent",
        "payment_method",
        "source",
        "type",
        "transfer_group",
    )
}


def page(account: StripeAccount, kind: str, params: Json, url: str) -> Json:
    """One page, newest first."""
    limit = params.get("limit", 10)
    if params.get("starting_after") and params.get("ending_before"):
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    found = list(islice(_matching(account, kind, params), limit + 1))
    data = [record.body for record in found[:limit]]
    if params.get("ending_before"):
        data.reverse()
    return {"object": "list", "data": data, "has_more": len(found) > limit, "url": url}


def _matching(account: StripeAccount, kind: str, params: Json) -> Iterator[Record]:
    """Matching records in the direction of paging: older ones, or newer ones for ``ending_before``."""
    newer, cursor = bool(params.get("ending_before")), _cursor(account, kind, params)
    records = _candidates(account, kind, params).values()
    for record in records if newer else reversed(records):
        beyond = cursor is None or (record.seq > cursor.seq if newer else record.seq < cursor.seq)
        if beyond and all(_passes(record, name, params[name]) for name in params if name in _FILTER_FIELDS):
            yield record


def _candidates(account: StripeAccount, kind: str, params: Json) -> dict[str, Record]:
    """Records among which the matching ones are, oldest first: those of an owner, if the list is of one."""
    for owner in sorted(OWNERS & params.keys()):
        if params[owner] is not None:
            return account.owned(kind, owner, params[owner])
    return account.table(kind)


def _cursor(account: StripeAccount, kind: str, params: Json) -> Record | None:
    for name in ("starting_after", "ending_before"):
        if params.get(name):
            return _require_cursor(account, kind, params[name], name)
    return None


def _require_cursor(account: StripeAccount, kind: str, id_: str, param: str) -> Record:
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
