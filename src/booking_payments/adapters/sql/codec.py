"""Values of the domain as JSON text and back: what the journal and the payment's nested columns hold.

msgspec knows attrs classes and is many times faster than anything in Python. What it can't tell apart, a field that
holds one of several classes, goes through cattrs, which writes beside it which one it is. The text is the same.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar, get_args

import msgspec
from cattrs import Converter
from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from booking_payments.domain import events as ev
from booking_payments.domain.instructions import Instruction

T = TypeVar("T")


def snake_case(name: str) -> str:
    """``PaymentSucceeded`` as ``payment_succeeded``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


FACTS: Final[Mapping[str, type]] = {snake_case(kind.__name__): kind for kind in get_args(ev.Event)}
"""Every kind of fact by its name in the journal."""


_NAMES: Final = {kind: name for name, kind in FACTS.items()}


def fact_name(fact: ev.Event) -> str:
    """The name of a fact's kind, as the journal and the API write it."""
    return _NAMES[type(fact)]


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _converter() -> Converter:
    converter = make_converter()
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    converter.register_unstructure_hook(datetime, _moment)
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    configure_tagged_union(
        Instruction, converter, tag_name="kind", tag_generator=lambda kind: snake_case(kind.__name__)
    )
    return converter


_CONVERTER: Final = _converter()


_ENCODER: Final = msgspec.json.Encoder()


_DECODERS: Final[dict[Any, "msgspec.json.Decoder[Any] | None"]] = {}


def _decoder(kind: Any) -> "msgspec.json.Decoder[Any] | None":
    """msgspec's decoder of the type ``kind``; None where it would have to tell classes apart."""
    if kind not in _DECODERS:
        try:
            _DECODERS[kind] = msgspec.json.Decoder(kind)
        except TypeError:
            _DECODERS[kind] = None
    return _DECODERS[kind]


def to_json(value: Any, kind: Any) -> str:
    """``value``, which is of type ``kind``, as JSON text."""
    plain = value if _decoder(kind) else _CONVERTER.unstructure(value, kind)
    return _ENCODER.encode(plain).decode()


def from_json(text: str | bytes, kind: type[T]) -> T:
    """A value of type ``kind`` from its JSON text."""
    decoder = _decoder(kind)
    value: T = decoder.decode(text) if decoder else _CONVERTER.structure(msgspec.json.decode(text), kind)
    return value


def fact_to_json(fact: ev.Event) -> str:
    """A fact's content as JSON text; its kind is stored beside it."""
    return to_json(fact, type(fact))


def fact_from_json(name: str, text: str) -> ev.Event:
    """The fact with this name and content."""
    fact: ev.Event = from_json(text, FACTS[name])
    return fact


def fact_data(fact: ev.Event) -> dict[str, Any]:
    """A fact's content as plain JSON values, for the API."""
    data: dict[str, Any] = _CONVERTER.unstructure(fact, type(fact))
    return data
