"""Stripe's own description of its interface, as a judge of the model's answers.

Enums are taken as open, since Stripe adds values without a new version, and so are objects; types, required fields and
what may be null are Stripe's. The description leaves customers out, so they are judged by Stripe's sample of one.
An answer that nothing describes is a problem, too: otherwise it would pass unseen.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator, ValidationError

DATA = Path(__file__).parent / "data" / "stripe"

NOT_DESCRIBED = frozenset({"radar.early_fraud_warning"})
"""Kinds of objects of which Stripe published neither description nor sample."""

_Schema = dict[str, Any]
_TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


@cache
def description() -> _Schema:
    """The description, decoded."""
    return dict(json.loads(gzip.decompress((DATA / "openapi.json.gz").read_bytes())))


@cache
def samples() -> Mapping[str, _Schema]:
    """Stripe's sample objects by kind."""
    return dict(json.loads((DATA / "objects.json").read_bytes()))


def is_described(method: str, path: str) -> bool:
    """Whether the description has this operation; ``path`` is a real one, without a slash at its end."""
    return _operation(method.lower(), path) is not None


def problems(method: str, path: str, status: int, body: object) -> Iterator[str]:
    """What is wrong with an answer; nothing for one that conforms.

    Of endpoints that are not described, refusals are judged as Stripe's errors, and objects by their kind.
    """
    operation = _operation(method.lower(), path)
    if operation is not None:
        yield from _wrong(_validator_of_answer(operation, status), f"{method} {path} {status}", body)
    elif status >= 400:
        yield from problems_of_error(body)
    else:
        yield from problems_of(body)
    if _kind(body) == "event":
        yield from problems_of_event(body)


def problems_of_event(event: Any) -> Iterator[str]:
    """What is wrong with an event and with the object that it carries."""
    yield from problems_of(event)
    yield from problems_of(event["data"]["object"])


def problems_of_error(body: object) -> Iterator[str]:
    """What is wrong with the body of a refusal."""
    yield from _wrong(_validator("error"), "error", body)


def problems_of(body: object) -> Iterator[str]:
    """What is wrong with an object, judged by the kind that it says it is."""
    kind = _kind(body)
    if kind in _schemas():
        yield from _wrong(_validator(kind), kind, body)
    elif kind not in NOT_DESCRIBED:
        yield f"{kind}: described nowhere"


def _kind(body: object) -> str:
    return str(body.get("object")) if isinstance(body, Mapping) else str(body)


def _wrong(validator: Draft4Validator, what: str, body: object) -> Iterator[str]:
    for error in validator.iter_errors(body):
        inner = "; ".join(f"{_place(each)} {each.message[:80]}" for each in (error.context or ())[:3])
        yield f"{what} {_place(error)}: {error.message[:160]} {inner}"


def _place(error: ValidationError) -> str:
    return "/".join(map(str, error.absolute_path))


# --- which schema


def _operation(method: str, path: str) -> tuple[str, str] | None:
    """Method and path as the description writes them."""
    for pattern, known in _paths():
        if pattern.fullmatch(path) and method in description()["paths"][known]:
            return method, known
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """Fixed paths before those with an id in them."""
    paths = sorted(description()["paths"], key=lambda path: "{" in path)
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]


@cache
def _validator_of_answer(operation: tuple[str, str], status: int) -> Draft4Validator:
    method, path = operation
    responses = description()["paths"][path][method]["responses"]
    answer = responses.get(str(status), responses["default"])
    return Draft4Validator({**_root(), **_plain(answer["content"]["application/json"]["schema"])})


@cache
def _validator(kind: str) -> Draft4Validator:
    return Draft4Validator({**_root(), "$ref": f"#/components/schemas/{kind}"})


def _root() -> _Schema:
    return {"components": {"schemas": _schemas()}}


@cache
def _schemas() -> Mapping[str, _Schema]:
    described = _plain(description()["components"]["schemas"])
    for schema in described.values():
        _let_expand_customer(schema)
    return {**described, "customer": _like(samples()["customer"])}


def _let_expand_customer(schema: _Schema) -> None:
    """What was cut out of the description with the customers: that their ids can be expanded."""
    if schema.get("properties", {}).get("customer", {}).get("anyOf"):
        schema["properties"]["customer"]["anyOf"].append({"$ref": "#/components/schemas/customer"})


def _like(sample: _Schema) -> _Schema:
    """All fields of a sample, each of the sample's type or null; of what is null there, no type is known."""
    types = {name: {"type": [_TYPES[type(value)], "null"]} for name, value in sample.items() if value is not None}
    return {"type": "object", "required": list(sample), "properties": types | _never_null(sample)}


def _never_null(sample: _Schema) -> _Schema:
    names = {"id", "object", "created", "livemode", "metadata"} & set(sample)
    return {name: {"type": _TYPES[type(sample[name])]} for name in names}


# --- OpenAPI 3.0 as JSON Schema


def _plain(schema: Any, name: str = "") -> Any:
    """A schema, called ``name`` where it stands, with ``nullable`` as a choice and with open enums."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value, key) for key, value in schema.items() if not _is_open_enum(key, value, name)}
    if plain.pop("nullable", False) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


def _is_open_enum(key: str, value: Any, name: str) -> bool:
    """Every enum of words; only an object's kind is a word that cannot become another."""
    return (
        key == "enum" and isinstance(value, list) and name != "object" and all(isinstance(each, str) for each in value)
    )
