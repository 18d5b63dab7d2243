"""The OpenAPI document is true, complete and valid, and its page needs no other host."""

import json
import re
from typing import Any

import pytest
from attrs import fields
from jsonschema import Draft202012Validator
from litestar.routes import HTTPRoute

from booking_payments.domain import events
from booking_payments.entrypoints.http import openapi
from booking_payments.entrypoints.http.app import endpoints
from booking_payments.presentation import render
from tests.integration.http.api import Api
from tests.integration.http.truth import _current

DOCUMENT = openapi.document(endpoints(sandboxed=True))
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]

IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def test_the_document_is_served(api: Api) -> None:
    assert api.get("/schema/openapi.json").json() == DOCUMENT


def test_every_route_is_in_the_document(api: Api) -> None:
    app = api.client.app
    served = {route.path_format.rstrip("/") for route in app.routes if isinstance(route, HTTPRoute)}
    documented = {path.rstrip("/") for path in DOCUMENT["paths"]}

    assert {
        path for path in served if not path.startswith(("/schema", "/pages", "/checkout", "/console"))
    } == documented


def test_the_sandbox_is_documented_only_where_it_is() -> None:
    assert not [path for path in openapi.document(endpoints(sandboxed=False))["paths"] if "sandbox" in path]


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))

    assert references <= set(DOCUMENT["components"]["schemas"])


def test_operation_ids_are_distinct() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_error_is_announced_as_a_problem(method: str, path: str, operation: Any) -> None:
    errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}

    assert errors
    assert all("application/problem+json" in answer["content"] for answer in errors.values())


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_example_fits_its_schema(method: str, path: str, operation: Any) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    root = {**_current(content.get("schema", {})), "components": _current(DOCUMENT["components"])}

    assert list(Draft202012Validator(root).iter_errors(content.get("example", {}))) == [] or "example" not in content


def test_the_words_are_those_of_openapi_30() -> None:
    text = json.dumps(DOCUMENT)

    assert '"null"' not in text
    assert '"examples"' not in text


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_the_page_asks_no_other_host(api: Api, path: str) -> None:
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


def test_every_fact_has_a_place_in_the_journals_rendering() -> None:
    assert set(render.SHOWN) == set(events.Fact.__args__)


@pytest.mark.parametrize("kind", render.SHOWN)
def test_the_journal_shows_fields_that_facts_have(kind: type) -> None:
    shown = render.SHOWN[kind].split() + render.SHOWN_TO_OPERATORS.get(kind, "").split()

    assert set(shown) <= {each.name for each in fields(kind)}
