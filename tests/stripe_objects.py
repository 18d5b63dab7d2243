"""The objects of Stripe's pinned version, as a check of what the emulator answers and sends.

``objects.schema.json`` is a JSON Schema that was read off the type declarations of Stripe's official Node SDK. It has
the objects that payments are made of. The kinds that it lacks are checked by the type declarations of the installed
Python SDK. Enums are open, since Stripe adds values without a new version. An object may have no field that its type
does not declare. A body that nothing describes is a problem as well, so that no answer is left unchecked.
"""

import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema_rs
import stripe
from jsonschema import Draft202012Validator, ValidationError

DATA = Path(__file__).parent / "data" / "stripe"

OF_PYTHON_SDK: Mapping[str, type] = {
    "account": stripe.Account,
    "balance": stripe.Balance,
    "event": stripe.Event,
    "webhook_endpoint": stripe.WebhookEndpoint,
}
"""Kinds of which the schema has nothing."""

_Schema = dict[str, Any]


@cache
def schema() -> _Schema:
    """``objects.schema.json``, decoded."""
    return dict(json.loads((DATA / "objects.schema.json").read_bytes()))


@cache
def samples() -> Mapping[str, _Schema]:
    """Stripe's sample objects by kind."""
    return dict(json.loads((DATA / "objects.json").read_bytes()))


def problems(status: int, body: object) -> Iterator[str]:
    """Return the violations in the body of a response; empty for one that conforms."""
    yield from problems_of_error(body) if status >= 400 else problems_of(body)


def problems_of_event(event: Any) -> Iterator[str]:
    """Return the violations in an event and in its object."""
    yield from problems_of(event)


def problems_of_error(body: object) -> Iterator[str]:
    """Return the violations in the body of an error."""
    yield from _wrong("error", body)


def problems_of(body: object) -> Iterator[str]:
    """Return the violations in an object, checked by the type that it names."""
    kind = _kind(body)
    if isinstance(body, Mapping) and body.get("deleted") is True:
        kind = "deleted"
    if kind not in _schemas():
        yield f"{kind}: described nowhere"
        return
    yield from _wrong(kind, body)
    if kind == "event":
        yield from problems_of(dict(body)["data"]["object"])  # type: ignore[call-overload]


def _kind(body: object) -> str:
    return str(body.get("object")) if isinstance(body, Mapping) else str(body)


def _wrong(what: str, body: object) -> Iterator[str]:
    """Yield the errors of ``body``. The faster library finds the valid ones; the slower one has better error texts."""
    if _fast_validator(what).is_valid(body):
        return
    errors = list(_validator(what).iter_errors(body))
    assert errors, f"{what}: two libraries judge it differently"
    for error in errors:
        inner = "; ".join(f"{_place(each)} {each.message[:80]}" for each in (error.context or ())[:3])
        yield f"{what} {_place(error)}: {error.message[:160]} {inner}"


def _place(error: ValidationError) -> str:
    return "/".join(map(str, error.absolute_path))


# --- which schema


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": _definitions(), **_schemas()[kind]})


@cache
def _fast_validator(kind: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"$defs": _definitions(), **_schemas()[kind]}, validate_formats=False)


@cache
def _definitions() -> _Schema:
    return {name: _closed(name, each) for name, each in schema()["$defs"].items()}


_OPEN = ("PaymentIntent.NextAction.UseStripeSdk", "SetupIntent.NextAction.UseStripeSdk")
"""Objects whose fields are none of the merchant's business, and not declared."""


def _closed(name: str, definition: _Schema) -> _Schema:
    if "properties" not in definition or name in _OPEN:
        return definition
    return {**definition, "additionalProperties": False}


@cache
def _schemas() -> Mapping[str, _Schema]:
    described = {name: dict(each) for name, each in schema()["objects"].items()}
    described["radar.early_fraud_warning"] = described.pop("early_fraud_warning")
    of_python = {name: _of_type(cls, {}) for name, cls in OF_PYTHON_SDK.items()}
    objects = {**described, **of_python}
    return {**objects, "deleted": _DELETED, "error": _ERROR, **{name: _page(name, objects) for name in _PAGES}}


_DELETED: _Schema = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "object": {"type": "string"}, "deleted": {"const": True}},
    "required": ["id", "object", "deleted"],
    "additionalProperties": False,
}
_TEXT = {"type": "string"}
_ERROR: _Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                **{name: _TEXT for name in ("advice_code", "charge", "code", "decline_code", "doc_url", "message")},
                **{name: _TEXT for name in ("network_advice_code", "network_decline_code", "param", "request_log_url")},
                "payment_intent": {"$ref": "#/$defs/PaymentIntent"},
                "payment_method": {"$ref": "#/$defs/PaymentMethod"},
                "setup_intent": {"$ref": "#/$defs/SetupIntent"},
                "type": {
                    "enum": ["api_error", "card_error", "idempotency_error", "invalid_request_error"],
                },
            },
            "required": ["message", "type"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
_PAGES = {"list": ("object", "data", "has_more", "url"), "search_result": ("object", "data", "has_more", "url")}


def _page(name: str, objects: Mapping[str, _Schema]) -> _Schema:
    cases = [
        {
            "if": {"properties": {"object": {"const": kind}}, "required": ["object"]},
            "then": each,
        }
        for kind, each in objects.items()
    ]
    known = {"properties": {"object": {"enum": list(objects)}}, "required": ["object"]}
    return {
        "type": "object",
        "properties": {
            "object": {"const": name},
            "data": {"type": "array", "items": {"allOf": [known, *cases]}},
            "has_more": {"type": "boolean"},
            "next_page": {"type": ["string", "null"]},
            "url": _TEXT,
        },
        "required": list(_PAGES[name]),
        "additionalProperties": False,
    }


# --- type declarations of Python as JSON Schema

_PLAIN: Mapping[Any, _Schema] = {
    bool: {"type": "boolean"},
    float: {"type": "number"},
    int: {"type": "integer"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def _of_type(hint: Any, names: Mapping[str, Any]) -> _Schema:
    """Return the schema of a declared type; an unknown declaration accepts any value."""
    if isinstance(hint, str | ForwardRef):
        return {}
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of_type(each, names) for each in arguments]}
    if origin is Literal:
        return {"type": "boolean"} if arguments == (True,) else {"type": "string"}
    if origin is list:
        return {"type": "array", "items": _of_type(arguments[0], names)}
    if inspect.isclass(hint) and issubclass(hint, stripe.StripeObject) and hint.__annotations__:
        return _of_class(hint)
    return {}


def _of_class(cls: type) -> _Schema:
    """Fields that are not optional are required; optional ones may be null or left out."""
    module = vars(sys.modules[cls.__module__])
    fields = {
        name: _hint(cls, name, module) for name in cls.__annotations__ if not name.startswith("_") and name.islower()
    }
    required = [name for name, hint in fields.items() if type(None) not in get_args(hint)]
    return {
        "type": "object",
        "properties": {name: _of_type(hint, module) for name, hint in fields.items()},
        "required": required,
        "additionalProperties": False,
    }


def _hint(cls: type, name: str, module: Mapping[str, Any]) -> Any:
    one = type("One", (), {"__annotations__": {name: cls.__annotations__[name]}, "__module__": cls.__module__})
    try:
        return get_type_hints(one, dict(module), dict(vars(cls)))[name]
    except NameError:  # a type that is only imported for type checkers
        return Any if "Optional" not in str(cls.__annotations__[name]) else Any | None
