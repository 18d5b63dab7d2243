"""Reading a request's parameters: the same checks, codes and messages for every endpoint.

An endpoint's parameters are one mapping of name to ``Field``. Form bodies are text, so numbers and booleans
are accepted as text too. As with Stripe, an empty text unsets an optional parameter.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    invalid,
    invalid_integer,
    parameter_missing,
    parameter_unknown,
)

_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}


@frozen
class Field:
    """One parameter: how to read its value, and whether it must be there."""

    read: Callable[[Any, str], Any]
    required: bool = False


Fields = Mapping[str, Field]


def read_params(params: Mapping[str, Any], fields: Fields, inside: str = "") -> Json:
    """The values of ``params`` by ``fields``; raises ``Refusal`` for unknown, missing or malformed ones."""
    for name in params:
        if name not in fields:
            raise parameter_unknown(_path(inside, name))
    for name, field in fields.items():
        if field.required and params.get(name) is None:
            raise parameter_missing(_path(inside, name))
    return {name: fields[name].read(value, _path(inside, name)) for name, value in params.items() if value is not None}


def _path(inside: str, name: str) -> str:
    return f"{inside}[{name}]" if inside else name


def integer(*, minimum: int | None = None, maximum: int | None = None, required: bool = False) -> Field:
    """A whole number within bounds."""

    def read(value: Any, param: str) -> int:
        number = _as_integer(value, param)
        if minimum is not None and number < minimum:
            raise invalid_integer(f"This value must be greater than or equal to {minimum}.", param)
        if maximum is not None and number > maximum:
            raise invalid_integer(f"This value must be less than or equal to {maximum}.", param)
        return number

    return Field(read, required)


def _as_integer(value: Any, param: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise invalid_integer(f"Invalid integer: {value}", param)


def boolean() -> Field:
    """``true`` or ``false``."""

    def read(value: Any, param: str) -> bool:
        result = value if isinstance(value, bool) else _BOOLEANS.get(str(value))
        if result is None:
            raise invalid(f"Invalid boolean: {value}", param=param)
        return result

    return Field(read)


def text(*, required: bool = False, longest: int = 5000) -> Field:
    """Text of at most ``longest`` characters; empty text reads as ``None``."""

    def read(value: Any, param: str) -> str | None:
        if isinstance(value, dict | list):
            raise invalid(f"Invalid string: {value}", param=param)
        words = _BOOLEAN_TEXT[value] if isinstance(value, bool) else str(value)
        if required and not words:
            raise _empty(param)
        if len(words) > longest:
            raise invalid(f"Invalid string: must be at most {longest} characters", param=param)
        return words or None

    return Field(read, required)


_BOOLEAN_TEXT: Final = {True: "true", False: "false"}


def _empty(param: str) -> Refusal:
    message = (
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset "
        "a parameter; "
        f"however '{param}' cannot be unset."
    )
    return invalid(message, code="parameter_invalid_empty", param=param)


def choice(*allowed: str, required: bool = False) -> Field:
    """One of these words."""

    def read(value: Any, param: str) -> str:
        if value not in allowed:
            raise invalid(f"Invalid {param}: must be one of {', '.join(allowed)}", param=param)
        return str(value)

    return Field(read, required)


def mapping(fields: Fields, *, required: bool = False) -> Field:
    """An object with exactly these parameters inside."""

    def read(value: Any, param: str) -> Json:
        if not isinstance(value, Mapping):
            raise invalid("Invalid object", param=param)
        return read_params(value, fields, inside=param)

    return Field(read, required)


def unsettable(field: Field) -> Field:
    """The same parameter, where Stripe takes an empty text for "none any more"."""
    return Field(lambda value, param: None if value == "" else field.read(value, param))


def address(*, required: bool = False) -> Field:
    """A postal address; every line of it may be left out."""
    lines = ("city", "country", "line1", "line2", "postal_code", "state")
    return mapping({name: text() for name in lines}, required=required)


def shipping() -> Field:
    """Where something is sent to, and to whom; kept and answered, nothing more."""
    optional = {name: text() for name in ("carrier", "phone", "tracking_number")}
    return mapping({"address": address(required=True), "name": text(required=True), **optional})


def strings(*, most: int = 100, required: bool = False) -> Field:
    """A list of at most ``most`` texts."""

    def read(value: Any, param: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid("Invalid array", param=param)
        if len(value) > most:
            raise invalid(f"Array must have at most {most} items", param=param)
        return list(value)

    return Field(read, required)


def opaque() -> Field:
    """A parameter that Stripe knows and this model has no use for."""
    return Field(lambda value, _: copy_json(value))


def metadata() -> Field:
    """At most 50 keys of 40 characters with values of 500.

    An empty text removes everything (docs.stripe.com/metadata).
    """
    return Field(_metadata)


def _metadata(value: Any, param: str) -> dict[str, str]:
    if value == "":
        return {"": ""}
    if not isinstance(value, Mapping):
        raise invalid("Invalid metadata: metadata must be a set of key-value pairs", param=param)
    pairs = {str(key): text(longest=500).read(item, _path(param, str(key))) or "" for key, item in value.items()}
    if len(pairs) > 50:
        raise invalid("You can specify up to 50 metadata keys", param=param)
    for key in pairs:
        if not 0 < len(key) <= 40:
            raise invalid("Metadata keys can have up to 40 characters", param=_path(param, key))
    return pairs


def merged_metadata(before: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """Metadata after an update: keys are added or replaced, a key with an empty value goes."""
    if "" in given:
        return {}
    return {key: value for key, value in (before | given).items() if value}


def new_metadata(params: Json) -> dict[str, str]:
    """The metadata of an object that is being made."""
    return merged_metadata({}, params.get("metadata", {}))


def moments() -> Field:
    """A ``created`` filter: one second, or a range of ``gt``, ``gte``, ``lt``, ``lte`` in Unix seconds."""
    bounds = {name: integer() for name in ("gt", "gte", "lt", "lte")}

    def read(value: Any, param: str) -> Json:
        if isinstance(value, Mapping):
            return read_params(value, bounds, inside=param)
        second = _as_integer(value, param)
        return {"gte": second, "lte": second}

    return Field(read)


def id_text(*, required: bool = False) -> Field:
    """The id of a Stripe object: opaque text."""
    return text(required=required, longest=255)
