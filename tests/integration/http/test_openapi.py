"""The OpenAPI document is correct, complete and valid, and its page needs no other host."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from attrs import fields
from jsonschema import Draft202012Validator
from litestar.routes import HTTPRoute
from openapi_spec_validator import validate
from tools.http_examples import examples

from booking_payments.domain import events
from booking_payments.entrypoints.http.app import api_document
from booking_payments.entrypoints.http.documentation import ui_folder
from booking_payments.presentation import models, render
from tests.integration.http.api import Api, open_api
from tests.integration.http.routes import DOCUMENT, Json
from tests.rows import row

OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]

IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def test_the_document_is_served(api: Api) -> None:
    assert api.get("/schema/openapi.json").json() == DOCUMENT


def test_every_route_is_in_the_document(api: Api) -> None:
    app = api.client.app
    served = {route.path_format.rstrip("/") for route in app.routes if isinstance(route, HTTPRoute)} - {""}
    documented = {path.rstrip("/") for path in DOCUMENT["paths"]}

    assert {
        path for path in served if not path.startswith(("/schema", "/pages", "/checkout", "/console"))
    } == documented


def test_the_sandbox_is_documented_only_if_enabled() -> None:
    assert not [path for path in api_document(sandboxed=False)["paths"] if "sandbox" in path]


def test_every_reference_has_a_target() -> None:
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))

    assert references <= set(DOCUMENT["components"]["schemas"])


def test_operation_ids_are_distinct() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_error_is_documented_as_a_problem(method: str, path: str, operation: Any) -> None:
    errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}

    assert errors
    assert all("application/problem+json" in answer["content"] for answer in errors.values())


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_example_fits_its_schema(method: str, path: str, operation: Any) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    root = {**content.get("schema", {}), "components": DOCUMENT["components"]}

    assert list(Draft202012Validator(root).iter_errors(content.get("example", {}))) == [] or "example" not in content


def test_the_document_contains_no_keywords_of_openapi_30() -> None:
    text = json.dumps(DOCUMENT)

    assert DOCUMENT["openapi"].startswith("3.1.")
    assert '"nullable"' not in text


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_the_page_uses_no_other_host(api: Api, path: str) -> None:
    assert not re.search(r"https?://", api.get(path).text)


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("init.js", "text/javascript"),
        ("favicon-32x32.png", "image/png"),
    ],
)
def test_the_parts_of_the_page_are_served(api: Api, name: str, media: str) -> None:
    response = api.get(f"/schema/ui/{name}")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(media)


def test_swagger_ui_is_version_5_and_flask_is_not_imported(api: Api) -> None:
    served = api.get("/schema/ui/swagger-ui-bundle.js").content

    assert served == (ui_folder() / "swagger-ui-bundle.js").read_bytes()
    assert re.search(rb'PACKAGE_VERSION:"5\.', served)
    assert not {"flask_swagger_ui"} & sys.modules.keys()


def test_every_event_is_rendered_in_the_journal() -> None:
    assert set(render.SHOWN) == set(events.Event.__args__)


@pytest.mark.parametrize("kind", render.SHOWN)
def test_the_journal_renders_only_fields_that_events_have(kind: type) -> None:
    shown = render.SHOWN[kind].split() + render.SHOWN_TO_OPERATORS.get(kind, "").split()

    assert set(shown) <= {each.name for each in fields(kind)}


# --- the document for other tools


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def schemas_in(content: Any) -> Iterator[Json]:
    """Yield every object of the document, at any depth."""
    if isinstance(content, dict):
        yield content
        for value in content.values():
            yield from schemas_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from schemas_in(value)


def test_no_default_is_null_and_no_required_list_is_empty() -> None:
    found = list(schemas_in(DOCUMENT))

    assert [each for each in found if "default" in each and each["default"] is None] == []
    assert [each for each in found if each.get("required") == []] == []


MODELS = [each for each in vars(models).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]


@pytest.mark.parametrize("model", [each for each in MODELS if each.__name__ in DOCUMENT["components"]["schemas"]])
def test_every_time_is_a_date_time(model: type[msgspec.Struct]) -> None:
    properties = DOCUMENT["components"]["schemas"][model.__name__]["properties"]
    for name, hint in get_type_hints(model).items():
        if datetime in (hint, *get_args(hint)):
            assert "date-time" in json.dumps(properties[name]), name


def test_every_route_has_its_security_and_a_tag() -> None:
    tags = {each["name"] for each in DOCUMENT["tags"]}

    assert all("security" in operation and set(operation["tags"]) <= tags for _, _, operation in OPERATIONS)
    assert all(operation["tags"] for _, _, operation in OPERATIONS)


def test_the_document_has_server_contact_and_license() -> None:
    with open_api(changes={"PUBLIC_URL": "https://pay.example"}) as api:
        served = api.get("/schema/openapi.json").json()

    assert [each["url"] for each in served["servers"]] == ["https://pay.example"]
    assert served["info"]["contact"]["url"]
    assert served["info"]["license"]["name"] == "MIT"


# --- every field says what it means


FIELDS = [
    (f"{name}.{field}", schema)
    for name, component in DOCUMENT["components"]["schemas"].items()
    for field, schema in component.get("properties", {}).items()
] + [
    (f"{each['name']} of {method} {path}", {**each["schema"], "description": each.get("description")})
    for method, path, operation in OPERATIONS
    for each in operation.get("parameters", ())
]
"""Every field of every request and response, and every parameter."""
PATH_PARAMETERS = ("booking_id of", "payment_id of", "event_id of", "intent_id of", "kind of", "gateway of")
"""They are ids that the service has answered, so a made-up example would only ever be 404."""


def test_every_field_and_parameter_has_a_description() -> None:
    assert [name for name, schema in FIELDS if not schema.get("description")] == []


def test_every_field_and_parameter_has_an_example_or_is_an_object_that_has_them() -> None:
    objects = "#/components/schemas/"
    without = [name for name, schema in FIELDS if not schema.get("examples") and objects not in json.dumps(schema)]

    assert [name for name in without if not name.startswith(PATH_PARAMETERS)] == []


def test_every_example_of_a_field_fits_its_schema() -> None:
    def errors(schema: Json) -> list[str]:
        root = {**schema, "components": DOCUMENT["components"]}
        return [
            each.message
            for value in schema.get("examples", ())
            for each in Draft202012Validator(root).iter_errors(value)
        ]

    assert {name: found for name, schema in FIELDS if (found := errors(schema))} == {}


def test_no_pattern_has_an_anchor_that_is_unknown_to_javascript() -> None:
    patterns = {each["pattern"] for each in schemas_in(DOCUMENT) if isinstance(each.get("pattern"), str)}

    assert patterns
    assert {each for each in patterns if r"\Z" in each or r"\A" in each} == set()


def test_every_example_of_the_reference_page_fits_the_document() -> None:
    for (method, path), found in examples().items():
        for each in found:
            response = DOCUMENT["paths"][path][method.lower()]["responses"][str(each.status)]
            (media, content), *_ = response["content"].items()
            if media.endswith("json"):
                root = {**content["schema"], "components": DOCUMENT["components"]}
                with row(f"{method} {path}: {each.status}"):
                    assert list(Draft202012Validator(root).iter_errors(json.loads(each.response))) == []
