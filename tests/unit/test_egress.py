"""The guard of the test run refuses connections to other machines, and no HTTP client of this package follows
redirects.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx2
import pytest

from booking_payments.adapters.gateways.fake.webhooks import Deliveries, Posted
from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
from booking_payments.adapters.gateways.stripe.sdk import SdkTransport
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.testing.kit import PaymentsTestKit
from tests import egress

ELSEWHERE = "192.0.2.1"
"""An address without a host (RFC 5737)."""


watched = pytest.mark.skipif(bool(os.environ.get("STRIPE_TEST_SECRET_KEY")), reason="this run may reach Stripe")


@pytest.fixture
def seen() -> Iterator[list[str]]:
    """Return the refusals of the guard in this test, and clear them, so that they do not fail it."""
    yield egress.attempts
    egress.attempts.clear()


@watched
def test_a_connection_to_another_machine_is_refused(seen: list[str]) -> None:
    with closing(socket.socket()) as client, pytest.raises(egress.LeftTheMachine):
        client.connect((ELSEWHERE, 443))

    assert seen == [f"socket.connect {ELSEWHERE}"]


@watched
def test_a_datagram_to_another_machine_is_refused(seen: list[str]) -> None:
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as client, pytest.raises(egress.LeftTheMachine):
        client.sendto(b"?", (ELSEWHERE, 53))

    assert seen


@watched
def test_a_host_name_is_not_resolved(seen: list[str]) -> None:
    with pytest.raises(egress.LeftTheMachine):
        socket.getaddrinfo("api.stripe.com", 443)

    assert seen == ["socket.getaddrinfo api.stripe.com"]


@watched
async def test_the_guard_covers_asyncio(seen: list[str]) -> None:
    with pytest.raises(egress.LeftTheMachine):
        await asyncio.open_connection(ELSEWHERE, 443)

    assert seen


@watched
async def test_a_refusal_that_a_library_swallows_fails_the_test(seen: list[str]) -> None:
    async with httpx2.AsyncClient() as client:
        with pytest.raises((egress.LeftTheMachine, httpx2.HTTPError)):
            await client.get("http://example.com/")

    assert seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1", "0.0.0.0", ""])
def test_connections_to_this_machine_are_allowed(host: str) -> None:
    assert egress.is_here(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "fe80::1", "::ffff:192.0.2.1", "localhost.evil.example"]
)
def test_connections_to_every_other_machine_are_refused(host: str) -> None:
    assert not egress.is_here(host)


# --- redirects


@contextmanager
def web(location: str | None, asked: list[str]) -> Iterator[str]:
    """Yield the address of a server that redirects every request to ``location``, or answers it."""

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(307 if location else 200)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the server looks for this name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_the_gateway_follows_no_redirect() -> None:
    first: list[str] = []
    second: list[str] = []
    with web(None, second) as elsewhere, web(f"{elsewhere}/stolen", first) as address:
        transport = SdkTransport("sk_test_x", address)
        with pytest.raises(OutcomeAmbiguous):
            await StripeGateway(transport, livemode=False).retrieve_intent("pi_1")
        await transport.close()

    assert (len(first), second) == (1, [])


async def test_webhook_deliveries_follow_no_redirect() -> None:
    first: list[str] = []
    second: list[str] = []
    kit = PaymentsTestKit()
    booking = await kit.book()
    await kit.payments.start_payment(booking.id)
    with web(None, second) as elsewhere, web(f"{elsewhere}/stolen", first) as address:
        deliveries = Deliveries(kit.stripe, kit.clock, Posted(f"{address}/"), "whsec_x")
        await deliveries.round()

    assert (len(first) > 0, second) == (True, [])
