"""Requests leave no data in memory: paths are bounded, and the framework's caches stay small."""

import gc
import string
import tracemalloc
from typing import Any, Final

import pytest

from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.parsing import is_plain_path
from tests.integration.http.api import ANN, OPERATOR, Api, problem_of, token
from tests.nightly import NIGHTLY
from tests.rows import row

CACHED: Final = 1024
"""The framework caches this many entries of each kind.

So the nightly run sends more requests, and finds what grows without end by little. A twentieth of them finds that long
texts are kept.
"""
DISTINCT: Final = 1_500 if NIGHTLY else 75
KIB: Final = 1024


def target(length: int) -> str:
    return "/checkout/" + "x" * (length - len("/checkout/"))


@pytest.mark.parametrize(
    "path", [target(parsing.TARGET_LIMIT + 1), f"/health/live?{'x' * parsing.TARGET_LIMIT}", target(60_000)]
)
def test_a_url_beyond_the_limit_is_414(api: Api, path: str) -> None:
    response = api.get(path)

    assert (response.status_code, problem_of(response)["code"]) == (414, "uri_too_long")
    assert response.headers["connection"] == "close"


def test_a_url_at_the_limit_is_accepted(api: Api) -> None:
    path = f"/api/payment/config/?{'x' * parsing.TARGET_LIMIT}"[: parsing.TARGET_LIMIT]

    assert problem_of(api.get(path, ANN))["code"] == "unknown_field"


@pytest.mark.parametrize(
    "path",
    [
        "http://testserver.local//metrics",  # else the client takes `metrics` for a host
        "/metrics//",
        "///health//live",
        "/api//payment/config/",
        "/%2Fmetrics",
        "/metrics%2F",
        "/health%2flive",
        "/%6detrics",
        "/%6Detrics/",
        "/health/li%76e",
        "/health/%2e/live",
    ],
)
def test_an_ambiguous_path_is_404(api: Api, path: str) -> None:
    assert problem_of(api.get(path, ANN))["code"] == "not_found"


def test_reserved_characters_may_be_encoded() -> None:
    for code in (*range(0x21), *b"!#$%&'()*+,/:;=?@[]", *range(0x7F, 0x100)):
        scope: Any = {"path": "/a", "raw_path": b"/a%%%02x" % code}
        with row(code):
            assert is_plain_path(scope) is (code != ord("/"))


@pytest.mark.parametrize("spelling", [b"/a%%%02x", b"/a%%%02X"])
def test_unreserved_characters_may_not_be_encoded(spelling: bytes) -> None:
    for letter in string.ascii_letters + string.digits + "-._~/":
        scope: Any = {"path": "/a", "raw_path": spelling % ord(letter)}
        with row(letter):
            assert not is_plain_path(scope)


def test_a_slash_in_a_query_is_not_part_of_the_path(api: Api) -> None:
    query = "reference=a%2Fb"

    assert api.get(f"/api/payments/?{query}", OPERATOR).status_code == 200


@pytest.mark.parametrize("length", [65, 255, 4_000])
def test_a_long_path_segment_is_an_unknown_id(api: Api, length: int) -> None:
    response = api.get(f"/api/bookings/{'b' * length}/payment/status/", ANN)

    assert problem_of(response)["code"] == "not_found"


def _requests(kind: str, number: int) -> dict[str, Any]:
    """A distinct request with a path of the maximum length."""
    text = f"{number:06}"
    headers, path, query = [(b"host", b"shop")], "/checkout/bk_1", b""
    if kind == "a long path":
        path = f"/checkout/{text}{'x' * 8_000}"
    elif kind == "long parts":
        path = f"/checkout/{text}{'x' * 4_000}/{'y' * 4_000}"
    elif kind == "many parts":
        path = f"/checkout/{text}{'/x' * 4_000}"
    elif kind == "a long token":
        query = f"token={text}{'x' * 8_000}".encode()
    elif kind == "many parameters":
        query = b"&".join(b"a%d=%s" % (each, text.encode()) for each in range(600))
    elif kind == "a long cookie":
        headers.append((b"cookie", f"booking_payments_checkout={text}{'x' * 15_000}".encode()))
    elif kind == "a long header":
        headers.append((b"x-much", f"{text}{'x' * 15_000}".encode()))
    elif kind == "a token of the API":
        path, bearer = "/api/payment/config", f"Bearer {token(sub=text)}"
        headers.append((b"authorization", bearer.encode()))
    elif kind == "a name of a header":
        headers.append((f"x-{text}{'x' * 8_000}".encode(), b"1"))
    return {"path": path, "raw_path": path.encode(), "query_string": query, "headers": headers}


KINDS: Final = (
    *("a long path", "long parts", "many parts", "a long token", "many parameters", "a long cookie", "a long header"),
    *("a token of the API", "a name of a header"),
)


@pytest.mark.parametrize("kind", KINDS)
async def test_distinct_requests_leave_no_data_in_memory(api: Api, kind: str) -> None:
    app: Any = api.client.app
    statuses: set[int] = set()

    async def ask(number: int) -> None:
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "client": ("192.0.2.1", 1)}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            statuses.update({message["status"]} if "status" in message else ())

        await app({**scope, "server": ("shop", 80), "root_path": "", **_requests(kind, number)}, receive, send)

    for number in range(20):
        await ask(number)
    gc.disable()  # so that all new objects are in the youngest generation: to look at all objects takes much longer
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20, 20 + DISTINCT):
            await ask(number)
        gc.collect(0)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()

    assert statuses <= {200, 400, 401, 404, 413, 414}
    assert grown < 2 * KIB * min(DISTINCT, CACHED), f"{grown / DISTINCT:.0f} bytes a request"
