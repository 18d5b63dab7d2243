"""Values of the domain as JSON text and back: what the journal and the payment's nested columns hold.

msgspec reads and writes attrs classes without code for each. It has no unions of them, so an instruction is written
with the name of its class as ``kind``, and a class with such a field is read in two steps (``_WithInstruction``).
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints

import attrs
import msgspec

from booking_payments.domain import events as ev
from booking_payments.domain.instructions import Instruction

T = TypeVar("T")


def snake_case(name: str) -> str:
    """``PaymentSucceeded`` as ``payment_succeeded``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


EVENTS: Final[Mapping[str, type]] = {snake_case(kind.__name__): kind for kind in get_args(ev.Event)}
"""Every kind of event by its name in the journal."""


_NAMES: Final = {kind: name for name, kind in EVENTS.items()}


def event_name(event: ev.Event) -> str:
    """The name of an event's kind, as the journal and the API write it."""
    return _NAMES[type(event)]


INSTRUCTIONS: Final[Mapping[str, type]] = {snake_case(kind.__name__): kind for kind in get_args(Instruction)}
"""Every class of instruction by its ``kind`` in JSON."""

_KINDS: Final = {cls: kind for kind, cls in INSTRUCTIONS.items()}
_INSTRUCTION_DECODERS: Final[Mapping[str, "msgspec.json.Decoder[Any]"]] = {
    kind: msgspec.json.Decoder(cls) for kind, cls in INSTRUCTIONS.items()
}


class _Kind(msgspec.Struct):
    kind: str


_KIND_DECODER: Final = msgspec.json.Decoder(_Kind)
_ENCODER: Final = msgspec.json.Encoder()


class _Plain(Generic[T]):
    """JSON of a type that msgspec knows."""

    def __init__(self, cls: Any) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(cls)

    def encode(self, value: T) -> bytes:
        return _ENCODER.encode(value)

    def decode(self, text: str | bytes) -> T:
        return self._decoder.decode(text)


class _WithInstruction(Generic[T]):
    """JSON of an attrs class with a field ``instruction``, which holds one of several classes."""

    def __init__(self, cls: type[T]) -> None:
        self._cls, self._names = cls, tuple(attrs.fields_dict(cls))  # type: ignore[arg-type]
        types = {**get_type_hints(cls), "instruction": msgspec.Raw}
        # A field that the text lacks stays unset, so that the class itself supplies the default or refuses.
        fields = [(name, types[name] | msgspec.UnsetType, msgspec.UNSET) for name in self._names]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct(cls.__name__, fields, kw_only=True))

    def encode(self, value: T) -> bytes:
        content = {name: getattr(value, name) for name in self._names}
        instruction = content["instruction"]
        written = {name: getattr(instruction, name) for name in attrs.fields_dict(type(instruction))}
        return _ENCODER.encode({**content, "instruction": {"kind": _KINDS[type(instruction)], **written}})

    def decode(self, text: str | bytes) -> T:
        read = self._decoder.decode(text)
        content = {name: value for name in self._names if (value := getattr(read, name)) is not msgspec.UNSET}
        kind = _KIND_DECODER.decode(content["instruction"]).kind
        return self._cls(**{**content, "instruction": _INSTRUCTION_DECODERS[kind].decode(content["instruction"])})


_CODECS: Final[dict[Any, _Plain[Any] | _WithInstruction[Any]]] = {}


def _codec(cls: Any) -> _Plain[Any] | _WithInstruction[Any]:
    if cls not in _CODECS:
        has_one = attrs.has(cls) and "instruction" in attrs.fields_dict(cls)
        _CODECS[cls] = _WithInstruction(cls) if has_one else _Plain(cls)
    return _CODECS[cls]


def to_json(value: Any, cls: Any) -> str:
    """``value``, which is of type ``cls``, as JSON text."""
    return _codec(cls).encode(value).decode()


def from_json(text: str | bytes, cls: type[T]) -> T:
    """A value of type ``cls`` from its JSON text.

    Raises ``msgspec.ValidationError`` when the text does not fit the type, ``KeyError`` for an unknown ``kind`` of
    instruction, and what the class itself raises for values it refuses.
    """
    value: T = _codec(cls).decode(text)
    return value


def event_to_json(event: ev.Event) -> str:
    """An event's content as JSON text; its kind is stored beside it."""
    return to_json(event, type(event))


def event_from_json(name: str, text: str) -> ev.Event:
    """The event with this name and content."""
    event: ev.Event = from_json(text, EVENTS[name])
    return event
