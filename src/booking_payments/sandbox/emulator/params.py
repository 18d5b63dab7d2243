"""Reading a request's parameters: the same checks, codes and messages for every endpoint.

An endpoint's parameters are one mapping of name to ``Field``. It lists every parameter that Stripe has: those that the
emulator implements, and those that it refuses by name (``not_modelled``), so that none is ignored. Tests compare each
mapping with the types of the installed SDK. Form bodies are text, so numbers and booleans are accepted as text too. As
with Stripe, an empty text unsets an optional parameter.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from booking_payments.sandbox.emulator.answers import Json
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    invalid,
    invalid_integer,
    parameter_missing,
    parameter_unknown,
)

_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_EMAIL: Final = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;.]+(\.[^@\s<>,;.]+)+")
_ADDRESS: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^\s/?#]*)[^\s]*")


@frozen
class Field:
    """One parameter.

    Attributes:
        read: Returns the value; its second argument is the parameter's full name. Raises ``Refusal`` for a bad value.
        required: Whether a request without it is refused.
        inside: The parameters inside of it, if it is an object.
        modelled: False if every use is refused.
    """

    read: Callable[[Any, str], Any]
    required: bool = False
    inside: "Mapping[str, Field] | None" = None
    modelled: bool = True


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
    """``true`` or ``false``, in upper or lower case: stripe-python 8 to 11 sends ``True``."""

    def read(value: Any, param: str) -> bool:
        result = value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())
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

    return Field(read, required, inside=fields)


def unsettable(field: Field) -> Field:
    """The same parameter, where an empty text removes the value."""
    return evolve(field, read=lambda value, param: None if value == "" else field.read(value, param))


def not_modelled(*names: str) -> dict[str, Field]:
    """Parameters that Stripe has and the emulator refuses by name with 400."""
    return dict.fromkeys(names, _NOT_MODELLED)


def _refuse(_: Any, param: str) -> Any:
    message = f"Parameter not modelled: Stripe has {param}, but this sandbox does not model it, so it is refused."
    raise invalid(message, param=param)


_NOT_MODELLED: Final = Field(_refuse, modelled=False)


def email(*, required: bool = False) -> Field:
    """An e-mail address; empty text reads as ``None``."""

    def read(value: Any, param: str) -> str | None:
        given: str | None = text(longest=800).read(value, param)
        if given is not None and not _EMAIL.fullmatch(given):
            raise invalid(f"Invalid email address: {given}", code="email_invalid", param=param)
        return given

    return Field(read, required)


def web_address(*schemes: str, required: bool = False) -> Field:
    """An absolute URL with one of these schemes, or with any if none is given; empty text reads as ``None``."""

    def read(value: Any, param: str) -> str | None:
        given: str | None = text(required=required).read(value, param)
        match = _ADDRESS.fullmatch(given or "")
        if given is None:
            return None
        if match is None or (schemes and match["scheme"].lower() not in schemes):
            raise invalid(
                "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param=param
            )
        if match["scheme"].lower() in ("http", "https") and not match["host"]:
            raise invalid("Not a valid URL", code="url_invalid", param=param)
        return given

    return Field(read, required)


def statement_suffix() -> Field:
    """Text on a card statement (docs.stripe.com/get-started/account/statement-descriptors)."""

    def read(value: Any, param: str) -> str | None:
        suffix: str | None = text().read(value, param)
        if suffix and (len(suffix) > 22 or set(suffix) & set("<>\\'\"*") or not re.search("[A-Za-z]", suffix)):
            message = f"The {param} must have 22 characters at most, at least one letter, and none of <>\\'\"*."
            raise invalid(message, param=param)
        return suffix

    return Field(read)


def checked_text(is_valid: Callable[[str], bool], problem: str, *, required: bool = False) -> Field:
    """Text for which ``is_valid`` is true; ``problem`` is a message with ``{}`` for the value."""

    def read(value: Any, param: str) -> str | None:
        given: str | None = text(required=required).read(value, param)
        if given is not None and not is_valid(given):
            raise invalid(problem.format(given), param=param)
        return given

    return Field(read, required)


def listed(item: Field, *, most: int = 100, required: bool = False) -> Field:
    """A list of at most ``most`` values, each read by ``item``."""

    def read(value: Any, param: str) -> list[Any]:
        texts: list[str] = strings(most=most).read(value, param)
        return [item.read(each, param) for each in texts]

    return Field(read, required)


def address(*, required: bool = False) -> Field:
    """A postal address; every line of it may be left out, and is null then."""
    lines = ("city", "country", "line1", "line2", "postal_code", "state")
    return _filled(mapping({name: text() for name in lines}, required=required))


def _filled(field: Field) -> Field:
    """The same object with every field, null where it was left out."""
    return evolve(field, read=lambda value, param: dict.fromkeys(field.inside or ()) | field.read(value, param))


def shipping(*, tracked: bool = True) -> Field:
    """Where something is sent to, and to whom; kept and answered only. ``tracked``: with the carrier's number."""
    optional = {name: text() for name in ("phone", *(("carrier", "tracking_number") if tracked else ()))}
    return _filled(mapping({"address": address(required=True), "name": text(required=True), **optional}))


def strings(*, most: int = 100, required: bool = False) -> Field:
    """A list of at most ``most`` texts."""

    def read(value: Any, param: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid("Invalid array", param=param)
        if len(value) > most:
            raise invalid(f"Array must have at most {most} items", param=param)
        return list(value)

    return Field(read, required)


def expand() -> Field:
    """The paths that the response expands; ``expansion.py`` checks them."""
    return Field(lambda value, param: [] if value == "" else strings().read(value, param))


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
