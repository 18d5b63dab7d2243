"""Stripe's own description of its interface, as a judge of the model's answers.

Enums are taken as open, since Stripe adds values without a new version, and so are objects; types, required fields and
what may be null are Stripe's.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

DATA = Path(__file__).parent / "data" / "stripe"


@cache
def description() -> dict[str, Any]:
    """The description, decoded."""
    return dict(json.loads(gzip.decompress((DATA / "openapi.json.gz").read_bytes())))


def problems(method: str, path: str, status: int, body: object) -> Iterator[str]:
    """What is wrong with an answer; nothing for one that conforms, or of an endpoint that is not described."""
    schema = _schema_of(method.lower(), path, status)
    if schema is None:
        yield from problems_of(body)
        return
    yield from _wrong(_validator(json.dumps(schema)), f"{method} {path} {status}", body)
    if isinstance(body, Mapping) and body.get("object") == "event":
        yield from problems_of_event(body)


def problems_of_event(event: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an event and with the object that it carries."""
    yield from problems_of(event)
    yield from problems_of(event["data"]["object"])


def problems_of(body: object) -> Iterator[str]:
    """What is wrong with an object of any kind, judged by the name in its ``object`` field."""
    kind = body.get("object") if isinstance(body, Mapping) else None
    if kind in description()["components"]["schemas"]:
        yield from _wrong(_validator(json.dumps({"$ref": f"#/components/schemas/{kind}"})), str(kind), body)


def _wrong(validator: Draft4Validator, what: str, body: object) -> Iterator[str]:
    for error in validator.iter_errors(body):
        inner = "; ".join(f"{'/'.join(map(str, e.absolute_path))} {e.message[:80]}" for e in (error.context or ())[:3])
        yield f"{what} {'/'.join(map(str, error.absolute_path))}: {error.message[:160]} {inner}"


def _schema_of(method: str, path: str, status: int) -> dict[str, Any] | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path) and method in operations:
            responses = operations[method]["responses"]
            answer = responses.get(str(status), responses["default"])
            return dict(answer["content"]["application/json"]["schema"])
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Fixed paths before those with an id in them."""
    paths = sorted(description()["paths"].items(), key=lambda item: "{" in item[0])
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in paths]


@cache
def _validator(schema: str) -> Draft4Validator:
    return Draft4Validator({**_root(), **_plain(json.loads(schema))})


@cache
def _root() -> dict[str, Any]:
    return {"components": {"schemas": _plain(description()["components"]["schemas"])}}


def _plain(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: ``nullable`` becomes a choice, and enums of more than one value are left out."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items() if not _is_open_enum(name, value)}
    if plain.pop("nullable", False) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


def _is_open_enum(name: str, value: Any) -> bool:
    return name == "enum" and isinstance(value, list) and len(value) > 1
