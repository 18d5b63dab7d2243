"""The OpenAPI 3.1 document. Litestar generates it from the handlers; this module corrects and completes it, with the
reason beside each step."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final, get_args, get_type_hints

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, Contact, License, Schema, SecurityScheme, Server, Tag
from litestar.plugins import OpenAPISchemaPlugin
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from booking_payments.entrypoints.http.routing import ALSO_AS

Json = dict[str, Any]

TAGS: Final = (
    Tag(name="bookings", description="Registering, finding, amending and canceling bookings"),
    Tag(name="events", description="Sums over the bookings of an event; canceling and moving events"),
    Tag(name="payment", description="Paying for a booking, and giving money back"),
    Tag(name="webhooks", description="Where the payment provider tells what happened"),
    Tag(name="health", description="Probes and metrics"),
    Tag(name="sandbox", description="Only with the fake gateway: the customer's side of the bank's window"),
)
_HOMEPAGE: Final = "https://booking-payments.readthedocs.io"
_REF: Final = "#/components/schemas/{name}"


def config(*, url: str = "/", plugins: Sequence[OpenAPIRenderPlugin] = ()) -> OpenAPIConfig:
    """The configuration with title, servers, tags and contact. ``url`` is the address at which clients reach the
    service."""
    return OpenAPIConfig(
        title="booking-payments",
        version=version("booking-payments"),
        description="Takes payments for bookings, gives them back, and never twice.",
        contact=Contact(name="booking-payments", url=_HOMEPAGE),
        license=License(name="MIT", identifier="MIT"),
        servers=[Server(url=url, description="this service")],
        tags=list(TAGS),
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        operation_id_creator=_operation_id,
        render_plugins=plugins,
    )


def _operation_id(handler: HTTPRouteHandler, method: Any, path: list[Any]) -> str:
    """Of the words of the path; of one thing among many (``/bookings/{id}``) in the singular."""
    words = [part for part in path if isinstance(part, str)]
    if not isinstance(path[-1], str):
        words[-1] = words[-1].removesuffix("s")
    return "_".join([method.value.lower(), *words]).replace("_sandbox", "sandbox")


# --- models ----------------------------------------------------------------------------------------------------


@dataclass
class _KnownSchema(Schema):
    """A schema that is known as JSON."""

    content: Json = field(default_factory=dict)

    def to_schema(self) -> Json:
        return self.content


class StructSchemas(OpenAPISchemaPlugin):
    """Schemas of msgspec's structs, by msgspec itself. Litestar's own plugin knows neither docstrings nor
    ``forbid_unknown_fields`` nor ``extra_json_schema``."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        model = field_definition.annotation
        own = _schema_of(model)
        schema: Schema = schema_creator.create_component_schema(
            field_definition, required=own.get("required"), property_fields={}
        )
        schema.description = own.get("description")
        schema.additional_properties = own.get("additionalProperties")
        schema.properties = {name: _KnownSchema(content=each) for name, each in own["properties"].items()}
        for each in _structs_in(list(get_type_hints(model).values())):
            schema_creator.for_field_definition(FieldDefinition.from_annotation(each))  # which adds it to the document
        return schema


def _schema_of(model: type[msgspec.Struct]) -> Json:
    _, components = msgspec.json.schema_components([model], ref_template=_REF)
    own = dict(components[model.__name__])
    own["properties"] = {name: _plain(each) for name, each in own["properties"].items()}
    if not own.get("required"):
        own.pop("required", None)
    return own


def _structs_in(annotations: Sequence[Any]) -> Iterator[type[msgspec.Struct]]:
    for each in annotations:
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            yield each
        yield from _structs_in(get_args(each))


def _plain(schema: Any) -> Any:
    """``schema`` without what clients' generators stumble over: a default of null, values without a type, and Python's
    ``\\Z`` in a pattern, which the document's dialect (ECMA 262) reads as the letter."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(each) for name, each in schema.items() if (name, each) != ("default", None)}
    if isinstance(plain.get("pattern"), str):
        plain["pattern"] = re.sub(r"\\Z$", "$", plain["pattern"])
    if "anyOf" in plain:  # description and examples of the value move to the field
        said = {name: each.pop(name) for each in plain["anyOf"] for name in ("description", "examples") if name in each}
        return {**said, **plain}
    if "enum" not in plain or "type" in plain:
        return plain
    values = {"type": "string", "enum": [each for each in plain.pop("enum") if each is not None]}
    return {**plain, "anyOf": [values, {"type": "null"}]} if None in schema["enum"] else {**values, **plain}


# --- what the handlers do not say ----------------------------------------------------------------------------------


def document(app: Litestar) -> Json:
    """The OpenAPI document of ``app``."""
    return finished(app.openapi_schema.to_schema(), app)


def finished(generated: Mapping[str, Any], app: Litestar) -> Json:
    """Return Litestar's document with corrections and additions."""
    content: Json = msgspec.to_builtins(dict(generated))
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                operation = content["paths"].get(route.path_format, {}).get(method.lower())
                if operation is not None:
                    _finish(operation, handler)
    return content


def _finish(operation: Json, handler: HTTPRouteHandler) -> None:
    operation.setdefault("security", [])  # said for the public ones too: none is forgotten
    signature = handler.parsed_fn_signature.parameters
    if "parameters" in signature:  # read as one struct (``parsing.read_query``)
        model = signature["parameters"].annotation
        operation.setdefault("parameters", []).extend(_query_parameters(model))
    for each in operation.get("parameters", ()):
        _never_null(each)
    if "data" in signature:
        _finish_body(operation["requestBody"], signature["data"].annotation)
    if ALSO_AS in handler.opt:
        operation["responses"]["200"]["content"][handler.opt[ALSO_AS]] = {"schema": {"type": "string"}}
    for status, answer in operation["responses"].items():
        _finish_headers(int(status), answer)


def _query_parameters(model: type[msgspec.Struct]) -> Iterator[Json]:
    for name, schema in _schema_of(model)["properties"].items():
        about = {"description": schema.pop("description")} if "description" in schema else {}
        yield {"name": name, "in": "query", **about, "schema": schema}


def _never_null(parameter: Json) -> None:
    """A parameter is there or not; it is never null."""
    schema = parameter["schema"]
    for name in ("anyOf", "oneOf"):
        choices = [each for each in schema.get(name, ()) if each != {"type": "null"}]
        if len(choices) == 1:
            rest = {key: value for key, value in schema.items() if key != name}
            parameter["schema"] = {**choices[0], **rest}
    parameter["schema"].pop("description", None)  # the parameter has it


def _finish_body(body: Json, model: type[msgspec.Struct]) -> None:
    """Without a body where every field may be left out (``parsing.JsonRequest.body``). The example is beside the
    reference: client generators would create another class for a wrapper."""
    body["required"] = bool(_schema_of(model).get("required"))
    for content in body["content"].values():
        wrapped = content["schema"]
        if "allOf" in wrapped:
            content["schema"] = wrapped["allOf"][0]
            content["example"] = wrapped["examples"][0]


def _finish_headers(status: int, answer: Json) -> None:
    """What ``middleware`` and ``problems`` add to answers."""
    headers = answer.setdefault("headers", {})
    headers["X-Request-Id"] = {"description": "names this request in our logs", "schema": {"type": "string"}}
    if status in (429, 503):
        headers["Retry-After"] = {
            "description": "after how many seconds to come again",
            "schema": {"type": "integer"},
        }
