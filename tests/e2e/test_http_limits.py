"""Limits over real sockets: body sizes with and without a length, headers, invalid HTTP, and memory under many
requests."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.e2e.serving import printed, process, serving, wait_until_ready
from tests.nightly import NIGHTLY
from tests.ports import free_port

MIB = 1024 * 1024
OVERSIZE = 300
"""Requests in the flood, each of a megabyte."""
WARM = 300
"""Requests before the memory is measured."""
DISTINCT, MOST_MIB = (3_000, 10) if NIGHTLY else (600, 2)
"""Requests of which each is another, with a path, token or cookie as long as may be, and by how much the memory may
grow with them."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that does not count requests."""
    with serving(tmp_path_factory.mktemp("limits"), {"RATE_LIMIT_ENABLED": "false"}) as address:
        yield address


def told(address: str, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and problem for raw bytes that an HTTP client would not send."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as line:
        line.sendall(sent)
        answer = b""
        while received := line.recv(65536):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return int(first.split()[1]), headers, json.loads(_dechunked(body, headers))


def _dechunked(body: bytes, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return whole


HEAD = b"GET /health/live HTTP/1.1\r\nHost: service\r\nConnection: close\r\n"
CHUNKED = b"POST /api/webhooks/stripe/ HTTP/1.1\r\nHost: service\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_HTTP: dict[str, bytes] = {
    "nonsense": b"hello\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a header with a space in its name": HEAD + b"Content Length: 1\r\n\r\n",
    "a line break in a header": HEAD + b"X-A: a\x0bb\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length in words": HEAD + b"Content-Length: five\r\n\r\n",
    "another encoding of the transfer": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "trailers without end": CHUNKED + b"0\r\n" + b"x: y\r\n" * 300_000,
    "a chunk with extensions without end": CHUNKED + b"1;" + b"x" * 2_000_000,
    "HTTP of tomorrow": b"GET / HTTP/9.9\r\nHost: service\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_invalid_http_gets_a_problem_document_too(service: str, name: str) -> None:
    status, headers, problem = told(service, NO_HTTP[name])

    assert 400 <= status < 500
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["success"]) == (status, False)


@pytest.mark.parametrize("sent", [b"x" * 20_000 + b"\r\n\r\n", b"x" * 60_000 + b"\r\n\r\n", b"x" * 66_000], ids=len)
def test_large_headers_are_413_even_before_they_end(service: str, sent: bytes) -> None:
    status, headers, problem = told(service, HEAD + b"X-Much: " + sent)

    assert (status, headers["content-type"], problem["code"]) == (413, "application/problem+json", "too_large")


@pytest.mark.parametrize("length", [9_000, 60_000, 70_000])
def test_a_long_address_is_414_even_before_it_ends(service: str, length: int) -> None:
    whole = f"GET /checkout/{'x' * length} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n".encode()

    for sent in (whole, whole.partition(b" HTTP")[0]):
        status, headers, problem = told(service, sent)
        assert (status, headers["content-type"], problem["code"]) == (414, "application/problem+json", "uri_too_long")


def test_a_body_without_a_length_is_413_as_soon_as_it_is_too_large(service: str) -> None:
    head = HEAD.replace(b"GET /health/live", b"POST /api/webhooks/stripe/") + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"

    status, headers, problem = told(service, head + chunk * 9)

    assert (status, headers["content-type"], problem["code"]) == (413, "application/problem+json", "too_large")


def test_a_flood_of_oversize_bodies_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    port = free_port()
    settings = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "ERROR"}
    printed(tmp_path, "migrate", settings=settings)
    with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as started:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/health/ready", started)
        with httpx2.Client(base_url=address, trust_env=False, timeout=30) as client:
            _flood(client, 50)
            before = resident(started.pid)
            statuses = _flood(client, OVERSIZE)
            grown = resident(started.pid) - before

    assert statuses == {413}
    assert grown < 50 * MIB


def test_distinct_long_requests_leave_no_memory_behind(tmp_path: Path) -> None:
    settings = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "ERROR"}
    printed(tmp_path, "migrate", settings=settings)
    port = free_port()
    with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as started:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", started)
        _long_requests(port, 0, WARM)
        before = resident(started.pid)
        statuses = _long_requests(port, WARM, DISTINCT)
        grown = resident(started.pid) - before

    assert statuses == {b"401", b"404"}
    print(f"{DISTINCT} requests: memory + {grown / MIB:.1f} MiB")
    assert grown < MOST_MIB * MIB


def _long_requests(port: int, first: int, count: int) -> set[bytes]:
    """The statuses of requests with long paths, tokens and cookies, each with others, on one connection."""
    found = set()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line, line.makefile("rb") as answers:
        for number in range(first, first + count):
            text = f"{number:06}"
            target, cookie = [
                (f"/checkout/{text}{'x' * 7_900}", ""),
                (f"/checkout/bk_1?token={text}{'x' * 7_900}", ""),
                ("/checkout/bk_1", f"Cookie: booking_payments_checkout={text}{'x' * 14_000}\r\n"),
                (f"/nowhere/{text}{'/x' * 3_900}", ""),
            ][number % 4]
            line.sendall(f"GET {target} HTTP/1.1\r\nHost: service\r\n{cookie}\r\n".encode())
            found.add(answers.readline().split()[1])
            length = 0
            while (header := answers.readline().lower()) != b"\r\n":
                length = int(header.partition(b":")[2]) if header.startswith(b"content-length:") else length
            answers.read(length)
    return found


def _flood(client: httpx2.Client, times: int) -> set[int | str]:
    """The answers to bodies of a megabyte, every second one without a length."""
    whole = b" " * MIB
    found: set[int | str] = set()
    for number in range(times):
        body = iter([whole[:65536]] * 16) if number % 2 else whole
        try:
            found.add(client.post("/api/webhooks/stripe/", content=body, headers={"Stripe-Signature": "x"}).status_code)
        except httpx2.WriteError:
            found.add(413)  # refused and hung up on before all of it was sent
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("how much memory a process holds is read from /proc")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) * 1024
