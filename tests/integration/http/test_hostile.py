"""A fixed corpus of hostile bodies on every route with a body: the response is a problem that says what to do, never
a 5xx.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from attrs import define, field

from tests.integration.http.api import Api, bearer, problem_of
from tests.integration.http.routes import DOCUMENT, OPERATIONS
from tests.nightly import NIGHTLY
from tests.rows import row

WEBHOOK = "/api/webhooks/{gateway}/"
EVERYTHING = bearer("ann", "payments:operate bookings:write")
JSON = "application/json"

NEVER_JSON: dict[str, bytes] = {
    "blank": b" \r\n\t",
    "a word": b"hello",
    "a form": b"amount=1.00&currency=usd",
    "cut off": b'{"a": ',
    "two objects": b"{}{}",
    "a trailing comma": b'{"a": 1,}',
    "a comment": b"{} // nothing",
    "single quotes": b"{'a': 1}",
    "a list": b"[]",
    "text": b'"{}"',
    "null": b"null",
    "true": b"true",
    "a number": b"5",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-32": "{}".encode("utf-32"),
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "invalid UTF-8 in a name": b'{"\xc3\x28": 1}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "an overlong form": b'{"a": "\xc0\xaf"}',
    "a raw NUL": b'{"a": "\x00"}',
    "a NUL behind it": b"{}\x00",
    "a control character": b'{"a": "\x01"}',
    "a bad escape": b'{"a": "\\x41"}',
    "half an escape": b'{"a": "\\u12"}',
    "depth 1,100": b'{"a":' * 1100 + b"1" + b"}" * 1100,
    "lists of depth 1,100": b"[" * 1100 + b"]" * 1100,
    "depth 100,000": b"[" * 100_000 + b"]" * 100_000,
    "depth 100,000, unclosed": b'{"a":' * 100_000,
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "a number with a leading zero": b'{"a": 01}',
    "hexadecimal": b'{"a": 0x10}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00C\xbf\xa6\xa3\x02\x00\x00\x00",
}
"""No route accepts these as a JSON object."""

NEVER_OURS: dict[str, bytes] = {
    "an escaped NUL": b'{"a": "\\u0000"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "26 digits": b'{"a": 11111111111111111111111111}',
    "10,000 digits": b'{"a": ' + b"1" * 10_000 + b"}",
    "1e400": b'{"a": 1e400}',
    "-1e-400": b'{"a": -1e-400}',
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice, one escaped": b'{"a": 1, "\\u0061": 2}',
    "an unknown name": b'{"a": 1}',
    "__proto__": b'{"__proto__": {"status": "succeeded"}}',
    "4,000 names": json.dumps({f"n{number}": 1 for number in range(4_000)}).encode(),
    "a card number": b'{"a": "4242 4242 4242 4242"}',
}
"""JSON objects that no route accepts; Stripe's events may contain any fields."""

WRONG: dict[str, bytes] = {
    "true": b"true",
    "5": b"5",
    '"5"': b'"5"',
    "5.0": b"5.0",
    "0.1": b"0.1",
    "26 digits": b"1" * 26,
    "1e400": b"1e400",
    "NaN": b"NaN",
    "null": b"null",
    "[]": b"[]",
    "{}": b"{}",
    '""': b'""',
    "NUL": b'"a\\u0000b"',
    "a surrogate": b'"\\ud800"',
    "a million": b'"' + b"x" * 60_000 + b'"',
    "Arabic digits": '"\u0661\u0662"'.encode(),
    "a right-to-left mark": '"\u202e"'.encode(),
    "an SQL joke": b'"\'; DROP TABLE payments; --"',
    "markup": b'"<script>alert(1)</script>"',
    "a path": b'"../../etc/passwd"',
    "a line break": b'"a\\r\\nSet-Cookie: a=b"',
}
"""Values of the wrong type for most fields; some fields accept one of them."""


def taking_bodies() -> Iterator[tuple[str, list[str]]]:
    """Every path with a body, with the fields of that body."""
    for (method, path), operation in OPERATIONS.items():
        content = operation.get("requestBody", {}).get("content", {}).get(JSON) if method == "POST" else None
        if content:
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            yield path, list(DOCUMENT["components"]["schemas"].get(name, {}).get("properties", {}))


ROUTES = dict(taking_bodies())
OURS = [path for path in ROUTES if path != WEBHOOK]


@define
class Route:
    """One route with a body, called by a principal with every scope; webhooks have a valid signature."""

    api: Api
    path: str
    _address: str = field(default="")

    def send(self, body: bytes, media: str | None = JSON) -> httpx.Response:
        """Return the response to ``body``. Until one is accepted, all bodies are for the same booking."""
        if self.path == WEBHOOK:
            return self.api.deliver(body)
        self._address = self._address or self._new_address()
        headers = {"Content-Type": media} if media else {}
        response = self.api.post(self._address, EVERYTHING, headers=headers, content=body)
        if response.status_code < 400:
            self._address = ""
        return response

    def _new_address(self) -> str:
        path = self.path
        if "{booking_id}" in path or "{payment_id}" in path:
            path = self.api.path_of(path, self.api.paid() if "{payment_id}" in path else self.api.book())
        return path.format(intent_id="pi_1", event_id="gala") if "{" in path else path


def send(api: Api, path: str, body: bytes, media: str | None = JSON) -> httpx.Response:
    """Return the response of a route to one body."""
    return Route(api, path).send(body, media)


def refused(response: httpx.Response) -> bool:
    """Return whether the response is a 4xx problem with a sentence."""
    assert response.status_code < 500, response.text
    if response.status_code < 400:
        return False
    detail = problem_of(response)["detail"]
    assert len(detail) > 15, detail
    return True


def test_routes_with_a_body_exist() -> None:
    assert len(ROUTES) >= 10
    assert WEBHOOK in ROUTES


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_is_not_a_json_object_is_refused(api: Api, path: str) -> None:
    route = Route(api, path)
    for name, body in NEVER_JSON.items():
        with row(name):
            response = route.send(body)

            optional = name == "blank" and path != WEBHOOK
            assert refused(response) or optional, response.text
            assert response.status_code in (400, 413) or optional, response.text


@pytest.mark.parametrize("path", OURS)
def test_an_object_that_no_route_accepts_is_400(api: Api, path: str) -> None:
    route = Route(api, path)
    for name, body in NEVER_OURS.items():
        with row(name):
            response = route.send(body)

            assert refused(response)
            assert response.status_code == 400


@pytest.mark.parametrize("name", NEVER_OURS)
def test_an_event_with_any_fields_is_never_a_5xx(api: Api, name: str) -> None:
    refused(send(api, WEBHOOK, NEVER_OURS[name]))


@pytest.mark.parametrize(("path", "field"), [(path, field) for path in OURS for field in ROUTES[path]])
def test_a_wrong_value_in_any_field_is_never_a_5xx(api: Api, path: str, field: str) -> None:
    """By day every third of the values, beginning with another one for each field of a body; at night all."""
    route = Route(api, path)
    first = ROUTES[path].index(field) % 3
    for name, value in list(WRONG.items()) if NIGHTLY else list(WRONG.items())[first::3]:
        with row(name):
            refused(route.send(b'{"' + field.encode() + b'": ' + value + b"}"))


EVENT_FIELDS = ["id", "object", "type", "livemode", "created", "data", "account", "api_version"]


@pytest.mark.parametrize("field", [*EVENT_FIELDS, "data.object", "data.object.id", "data.object.amount"])
def test_a_wrong_value_in_a_signed_event_is_never_a_5xx(api: Api, field: str) -> None:
    event: dict[str, Any] = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": 1772366400,
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "amount": 100, "metadata": {"payment_id": "x"}}},
    }
    holder, _, last = field.rpartition(".")
    inner = event
    for step in filter(None, holder.split(".")):
        inner = inner[step]
    inner[last] = ""

    for name, value in WRONG.items():
        with row(name):
            refused(send(api, WEBHOOK, json.dumps(event).encode().replace(b'""', value)))


OTHER_TYPES = ("text/plain", "application/xml", "multipart/form-data; boundary=x", f"{JSON}; charset=utf-16", ";")


@pytest.mark.parametrize("path", OURS)
def test_another_content_type_is_refused_everywhere(api: Api, path: str) -> None:
    route = Route(api, path)
    for media in OTHER_TYPES:
        with row(media):
            assert problem_of(route.send(b"{}", media))["code"] == "not_json"


@pytest.mark.parametrize("path", OURS)
def test_an_empty_body_is_an_empty_object(api: Api, path: str) -> None:
    empty, braces = send(api, path, b"", None), send(api, path, b"{}")

    assert empty.status_code == braces.status_code
    refused(empty)


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_is_too_large_is_413_with_and_without_a_length(api: Api, path: str) -> None:
    size = (512 if path == WEBHOOK else 64) * 1024 + 1
    if path == WEBHOOK:
        known = api.deliver(b" " * size)
        target = path.format(gateway="stripe")
        chunked = api.post(target, headers={"Stripe-Signature": "t=1,v1=00"}, content=(b" " * 8192 for _ in range(70)))
    else:
        known = send(api, path, b" " * size)
        target = path.format(booking_id="bk_1", payment_id="pay_1", intent_id="pi_1", event_id="gala")
        chunked = api.post(target, EVERYTHING, content=(b" " * 8192 for _ in range(9)))

    assert [problem_of(answer)["status"] for answer in (known, chunked)] == [413, 413]
