"""Stripe's search: ``status:'succeeded' AND metadata['seat']:'7'`` (docs.stripe.com/search#search-query-language).

Results are complete and up to date here. Stripe's own lag behind by up to a minute or more, so programs cannot rely on
them to see their own recent changes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import Refusal, invalid
from booking_payments.sandbox.emulator.params import Fields, expand, integer, text
from booking_payments.sandbox.emulator.records import Record, StripeAccount

FIELDS: Final[Fields] = {
    "query": text(required=True),
    "limit": integer(minimum=1, maximum=100),
    "page": text(),
    "expand": expand(),
}

SEARCHABLE: Final[Mapping[str, Mapping[str, str]]] = {
    "charge": {
        "amount": "number",
        "billing_details.address.postal_code": "text",
        "created": "number",
        "currency": "text",
        "customer": "text",
        "disputed": "text",
        "payment_method_details.card.brand": "text",
        "payment_method_details.card.exp_month": "number",
        "payment_method_details.card.exp_year": "number",
        "payment_method_details.card.fingerprint": "text",
        "payment_method_details.card.last4": "text",
        "refunded": "text",
        "status": "text",
    },
    "customer": {"created": "number", "email": "text", "name": "text", "phone": "text"},
    "payment_intent": {
        "amount": "number",
        "created": "number",
        "currency": "text",
        "customer": "text",
        "status": "text",
    },
}
"""The fields that each kind can be searched by, besides ``metadata``."""

_CLAUSE: Final = re.compile(
    r"""\s*(?P<not>-)?(?P<field>[a-z_0-9.]+)(\[(?P<quote>['"])(?P<key>[^'"]*)(?P=quote)\])?\s*"""
    r"""(?P<operator>:|~|>=|<=|>|<|=)\s*(?:(?P<mark>['"])(?P<text>(?:\\.|(?!(?P=mark)).)*)(?P=mark)|(?P<bare>[^\s'"]+))"""
)
_JOIN: Final = re.compile(r"\s+(?P<word>AND|OR)(?=\s)", re.IGNORECASE)
_MOST_CLAUSES: Final = 10


@frozen
class Clause:
    """One condition of a query."""

    field: str
    key: str | None
    operator: str
    value: str
    negated: bool

    def matches(self, body: Json) -> bool:
        return self._holds(body) != self.negated

    def _holds(self, body: Json) -> bool:
        value: Any = body
        for step in self.field.split(".") if self.key is None else ("metadata", self.key):
            value = value.get(step) if isinstance(value, Mapping) else None
        if self.value.lower() == "null" and self.operator == ":":
            return value is None
        if value is None:
            return False
        if self.operator in _COMPARE:
            return _COMPARE[self.operator](float(value), float(self.value))
        own = str(value).lower()
        return self.value.lower() in own if self.operator == "~" else own == self.value.lower()


_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    "=": lambda value, bound: value == bound,
}


def search(account: StripeAccount, kind: str, params: Json, url: str) -> Json:
    """One page of results, newest first."""
    clauses, any_of = _parse(kind, params["query"])
    matches = any if any_of else all
    found: list[Record] = [
        record
        for record in reversed(account.table(kind).values())
        if matches(clause.matches(record.body) for clause in clauses)
    ]
    start, limit = _start(params.get("page")), params.get("limit", 10)
    shown = found[start : start + limit]
    more = len(found) > start + limit
    return {
        "object": "search_result",
        "data": [record.body for record in shown],
        "has_more": more,
        "next_page": f"{start + limit}" if more else None,
        "url": url,
    }


def _start(page: str | None) -> int:
    if page is None:
        return 0
    if not page.isascii() or not page.isdigit() or len(page) > 9:
        raise invalid("Invalid page: it must be the next_page of an earlier result.", param="page")
    return int(page)


def _parse(kind: str, query: str) -> tuple[list[Clause], bool]:
    clauses, words, position = [], set(), 0
    while True:
        match = _CLAUSE.match(query, position)
        if match is None:
            raise _bad(query)
        clauses.append(_clause(kind, match, query))
        position = match.end()
        if not query[position:].strip():
            break
        join = _JOIN.match(query, position)
        # Two conditions with a blank between them are joined by AND.
        words.add(join["word"].upper() if join else "AND")
        if join is None and not query[position].isspace():
            raise _bad(query)
        position = join.end() if join else position
    if len(words) > 1:
        raise invalid("Invalid query: it cannot combine AND and OR.", param="query")
    if len(clauses) > _MOST_CLAUSES:
        raise invalid(f"Invalid query: at most {_MOST_CLAUSES} conditions.", param="query")
    return clauses, words == {"OR"}


def _clause(kind: str, match: re.Match[str], query: str) -> Clause:
    field, key, operator = match["field"], match["key"], match["operator"]
    value = match["bare"] if match["text"] is None else re.sub(r"\\(.)", r"\1", match["text"])
    if key is not None and field != "metadata":
        raise _bad(query)
    type_ = "text" if key is not None else SEARCHABLE[kind].get(field)
    if type_ is None:
        raise invalid(f"Field `{field}` is an unsupported search field for resource `{kind}s`.", param="query")
    if type_ == "number":
        if not re.fullmatch(r"[0-9]{1,15}", value, re.ASCII):
            raise invalid(f"Invalid query: {field} is compared with a number.", param="query")
        operator = "=" if operator == ":" else operator
        if operator == "~":
            raise invalid(f"Invalid query: {field} does not support the operator ~.", param="query")
    elif operator not in (":", "~"):
        raise invalid(f"Invalid query: {field} does not support the operator {operator}.", param="query")
    elif operator == "~" and len(value) < 3:
        raise invalid("Invalid query: a substring has at least three characters.", param="query")
    return Clause(field, key, operator, value, match["not"] is not None)


def _bad(query: str) -> Refusal:
    message = (
        f"We were unable to parse your search query: {query[:200]!r}. Write conditions such as "
        "status:'succeeded' AND metadata['seat']:'7'."
    )
    return invalid(message, param="query")
