"""The OpenAPI document, printed from the endpoints' own declarations, and its UI without a word to any other host."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

import msgspec
from swagger_ui_bundle import swagger_ui_path

from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, AnyRequest, Endpoint, public
from booking_payments.entrypoints.http.limits import UNCOUNTED
from booking_payments.entrypoints.http.problems import PROBLEM_MEDIA, Problem, Refused, Reply
from booking_payments.runtime.services import Services

Json = dict[str, Any]

MEANINGS: Final[Mapping[int, str]] = {
    200: "Done",
    201: "Created",
    400: "The request cannot be understood; `detail` names the field",
    401: "No valid token",
    402: "The card was declined; `detail` is fit for the customer",
    403: "The token lacks the scope",
    404: "No such booking or payment, or somebody else's",
    409: "Not possible in the present state, or still being worked on",
    413: "Too large",
    414: "The address is too long",
    422: "Understood, and refused by a rule",
    429: "Too many requests; come again after `Retry-After` seconds",
    500: "Our own mistake",
    502: "The payment provider refused us for our own fault",
    503: "Cannot be reached, or the outcome is unknown (`outcome_unknown`)",
}

UI_FILES: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_INIT: Final = b'window.ui = SwaggerUIBundle({url: "/schema/openapi.json", dom_id: "#ui", deepLinking: true});\n'
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>booking-payments: HTTP API</title>
<link rel="icon" href="/schema/ui/favicon-32x32.png">
<link rel="stylesheet" href="/schema/ui/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/schema/ui/swagger-ui-bundle.js"></script>
<script src="/schema/ui/init.js"></script>
</body>
</html>
"""
_UI_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_REF: Final = "#/components/schemas/{name}"


# --- the document ----------------------------------------------------------------------------------------------


def document(endpoints: Iterable[Endpoint]) -> Json:
    """The OpenAPI 3.0 document of ``endpoints`` (3.0, because the bundled UI reads no later one)."""
    declared = list(endpoints)
    schemas = _Schemas(declared)
    paths: dict[str, Json] = {}
    for each in declared:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "booking-payments",
            "version": version("booking-payments"),
            "description": "Takes payments for bookings, gives them back, and never twice.",
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": {name: _as_30(schema) for name, schema in schemas.components.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _Schemas:
    """JSON Schemas of all models, by reference."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        models: list[Any] = [Problem]
        for each in endpoints:
            models += [*each.answers.values(), *(model for model in (each.body, each.query) if model)]
        self._models = models
        references, self.components = msgspec.json.schema_components(self._models, ref_template=_REF)
        self._references = list(references)

    def of(self, model: Any) -> Json:
        """A reference to the schema of ``model``."""
        reference: Json = _as_30(self._references[self._models.index(model)])
        return reference


def _as_30(schema: Any) -> Any:
    """A JSON Schema of today in the words of OpenAPI 3.0: ``nullable``, one ``example``, no ``null`` type."""
    if isinstance(schema, list):
        return [_as_30(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    choices = schema.get("anyOf", [])
    if {"type": "null"} in choices:
        return _nullable(schema, [choice for choice in choices if choice != {"type": "null"}])
    plain = {name: _as_30(value) for name, value in schema.items() if name != "examples"}
    if "enum" in plain and "type" not in plain:
        plain["type"] = "string"
        plain |= {"nullable": True} if None in plain["enum"] else {}
    return plain | ({"example": schema["examples"][0]} if isinstance(schema.get("examples"), list) else {})


def _nullable(schema: Json, choices: list[Json]) -> Json:
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    only = _as_30(choices[0])
    inner = {"allOf": [only]} if "$ref" in only else only
    if "enum" in inner:  # ``nullable`` alone does not let null in where the values are listed
        inner = {**inner, "enum": [*inner["enum"], None]}
    return {**inner, **rest, "nullable": True}


def _operation(each: Endpoint, schemas: _Schemas) -> Json:
    operation: Json = {
        "operationId": _operation_id(each),
        "summary": each.summary,
        "description": f"For {each.access.value}.",
        "tags": [_tag(each.path)],
        "parameters": [*_path_parameters(each), *_query_parameters(each, schemas), *_key_parameter(each)],
        "responses": _responses(each, schemas),
        "security": [{"bearer": []}] if each.access.needs_token else [],
    }
    if each.body is not None:
        operation["requestBody"] = _request_body(each, schemas)
    elif each.access is Access.SIGNED:
        operation["requestBody"] = _raw_body()
        operation["parameters"].append(_SIGNATURE)
    return operation


def _operation_id(each: Endpoint) -> str:
    """Of the words of the path; of one thing among many (``/bookings/{id}/``) in the singular."""
    parts = [part for part in each.path.split("/") if part]
    words = [part for part in parts if not part.startswith("{")]
    if parts[-1].startswith("{"):
        words[-1] = words[-1].removesuffix("s")
    return "_".join([each.method.lower(), *words]).replace("_sandbox", "sandbox").replace(".", "_")


def _tag(path: str) -> str:
    words = [word for word in path.split("/") if word and word != "api"]
    return "payment" if "payment" in words or words[0] == "payments" else words[0].lstrip("_")


def _path_parameters(each: Endpoint) -> list[Json]:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(each: Endpoint, schemas: _Schemas) -> list[Json]:
    if each.query is None:
        return []
    properties: Json = schemas.components[each.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": _as_30(_not_null(schema))} for name, schema in properties.items()]


def _not_null(schema: Json) -> Json:
    """A parameter is there or not; it is never null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return dict(choices[0])
    if isinstance(schema.get("enum"), list):
        return {"type": "string", "enum": [value for value in schema["enum"] if value is not None]}
    return schema


_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request is done once, and answered the same for 72 hours.",
    "schema": {"type": "string", "pattern": r'^([!#-~][ -~]{14,253}[!-~]|"[ !#-\[\]-~]{16,255}")$'},
}
_SIGNATURE: Final = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": False,
    "description": "Stripe's: t=<unix seconds>,v1=<hex HMAC-SHA256>. Other gateways sign in headers of their own.",
    "schema": {"type": "string"},
}


def _key_parameter(each: Endpoint) -> list[Json]:
    return [dict(_KEY)] if each.keyed else []


def _request_body(each: Endpoint, schemas: _Schemas) -> Json:
    content: Json = {"schema": schemas.of(each.body)}
    if each.example is not None:
        content["example"] = dict(each.example)
    required = bool(schemas.components[each.body.__name__].get("required")) if each.body else False
    return {"required": required, "content": {"application/json": content}}


def _raw_body() -> Json:
    schema = {"type": "object", "description": "an event, as the gateway wrote it"}
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": 1780344000,
    }
    example = {**event, "data": {"object": {"id": "pi_1", "object": "payment_intent"}}}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _responses(each: Endpoint, schemas: _Schemas) -> Json:
    good = {str(status): _good(each, status, model, schemas) for status, model in each.answers.items()}
    bad = {str(status): _bad(each, status, schemas) for status in sorted(errors_of(each) - each.answers.keys())}
    return good | bad


def errors_of(each: Endpoint) -> frozenset[int]:
    """The statuses of all problems that an endpoint may answer with."""
    statuses = {*each.errors, 413, 414, 500}
    if each.path.rstrip("/") not in UNCOUNTED:
        statuses.add(429)
    if each.access.needs_token:
        statuses |= {400, 401, 403, 503}
    if "{" in each.path:
        statuses.add(404)
    if each.keyed:
        statuses |= {409, 422}
    return frozenset(statuses)


def _good(each: Endpoint, status: int, model: Any, schemas: _Schemas) -> Json:
    headers = {"X-Request-Id": _TEXT_HEADER, **({"Idempotent-Replayed": _TEXT_HEADER} if each.keyed else {})}
    content = {each.media_type: {"schema": schemas.of(model)}}
    return {"description": MEANINGS[status], "headers": headers, "content": content}


def _bad(each: Endpoint, status: int, schemas: _Schemas) -> Json:
    content: Json = {PROBLEM_MEDIA: {"schema": schemas.of(Problem)}}
    if each.path.startswith("/_sandbox/") and status in each.errors:
        content["application/json"] = {"schema": {"type": "object"}}
    headers = {"X-Request-Id": _TEXT_HEADER}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "integer"}}
    return {"description": MEANINGS[status], "headers": headers, "content": content}


_TEXT_HEADER: Final[Json] = {"schema": {"type": "string"}}


# --- its endpoints ---------------------------------------------------------------------------------------------


@public(GET, "/schema/openapi.json", summary="This document", answers={200: dict[str, Any]})
async def openapi_json(request: AnyRequest, services: Services) -> Reply:
    return Reply(status=200, body=json.dumps(request.app.state["document"], sort_keys=False).encode())


@public(GET, "/schema", summary="A page to read and try the API", answers={200: str}, media_type="text/html")
async def page(request: AnyRequest, services: Services) -> Reply:
    return Reply(status=200, body=_PAGE, media_type="text/html", headers={"Content-Security-Policy": _UI_POLICY})


@public(
    GET,
    "/schema/ui/{name}",
    summary="The parts of that page",
    answers={200: str},
    media_type="text/css",
    errors=frozenset({404}),
)
async def part(request: AnyRequest, services: Services) -> Reply:
    name = str(request.path_params["name"])
    if name == "init.js":
        return Reply(status=200, body=_INIT, media_type="text/javascript")
    if name not in UI_FILES:
        raise Refused(404, "not_found", "there is nothing here")
    body = (swagger_ui_path / name).read_bytes()
    return Reply(status=200, body=body, media_type=UI_FILES[name], headers={"Cache-Control": "max-age=86400"})


ENDPOINTS: Final = (openapi_json, page, part)
