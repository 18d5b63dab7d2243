"""What a call to Stripe comes back with."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import field, frozen

Json = dict[str, Any]
"""A JSON object as Stripe writes it: text, integers, booleans, nulls, lists and objects only."""


@frozen
class StripeResponse:
    """An HTTP answer of Stripe.

    ``delay``: how long the transport should hold it back (scripted fault ``slow``).
    """

    status: int
    body: Json
    headers: Mapping[str, str] = field(factory=dict)
    delay: timedelta = timedelta()

    @property
    def ok(self) -> bool:
        return self.status < 400


def copy_json(value: Any) -> Any:
    """A deep copy of JSON values, so that snapshots never change afterwards."""
    if isinstance(value, dict):
        return {key: item if type(item) in _UNCHANGING else copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


_UNCHANGING: Final = frozenset({str, int, bool, type(None)})
"""Most values are of these types, and a call for each of them would take most of the time of a copy."""
