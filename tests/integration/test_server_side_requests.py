"""No request makes the service connect to an address, in any field of a request or an event.

The service connects only to addresses in its settings. It follows no redirects from there, and shows nothing of
their responses.
"""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Thread

import attrs
import jwt
import pytest

from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.messages.webhook import WebhookPublisher
from booking_payments.application.delivering import deliver_messages, undelivered_messages
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import SECRET, PaymentsTestKit
from tests import egress
from tests.e2e.receiver import ReceivingServer
from tests.integration.http.api import BOOKING_APP, JWT_SECRET, bearer, token
from tests.integration.http.routes import DOCUMENT, OPERATIONS
from tests.integration.pages.site import Site, open_site
from tests.nightly import NIGHTLY

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
CANARY = "a-word-of-the-receivers"
METADATA = "http://169.254.169.254/latest/meta-data/"


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """A listening port of this machine, over IPv4 and, where available, IPv6."""
    dual = socket.has_dualstack_ipv6()
    family, host = (socket.AF_INET6, "::") if dual else (socket.AF_INET, "127.0.0.1")
    with closing(socket.create_server((host, 0), family=family, dualstack_ipv6=dual)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture(scope="module")
def port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def site(port: int) -> Iterator[Site]:
    """A service that sends customers back to that port, so that its addresses pass that check."""
    origins = {"PAYMENT_RETURN_URL_ORIGINS": f"http://127.0.0.1:{port},http://[::ffff:127.0.0.1]:{port}"}
    with open_site(None, CHECKOUT_ENABLED="true", CONSOLE_ENABLED="true", **origins) as opened:
        yield opened


def addresses(port: int) -> list[str]:
    """The service's own machine, also as an IPv6 address, and where clouds keep their secrets."""
    return [f"http://127.0.0.1:{port}/x", f"http://[::ffff:127.0.0.1]:{port}/x", METADATA]


def nobody_called(listener: socket.socket) -> bool:
    """Return True when the port had no connection and no connection to another machine was tried."""
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return not egress.attempts
    return False


def test_a_call_would_be_noticed(listener: socket.socket, port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))):
        assert not nobody_called(listener)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_service_does_not_connect_to_an_address_in_a_request(
    site: Site, listener: socket.socket, port: int, method: str, path: str
) -> None:
    """The address is sent in every field of the body and the query, by every caller with access: by day each address by
    one of the callers, and at night by each.
    """
    operation = OPERATIONS[method, path]
    queries = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    example, names = content.get("example", {}), _names(content.get("schema", {}))
    booking_id = site.book(reference=f"R-{method}-{path}")
    where = path.replace("{booking_id}", booking_id).replace("{payment_id}", "pay_1").replace("{intent_id}", "pi_1")

    callers = (bearer("ann"), bearer("olga", "payments:operate"), BOOKING_APP)
    for number, address in enumerate(addresses(port)):
        for who in callers if NIGHTLY else callers[number : number + 1]:
            site.client.request(method, where, headers=who, params=dict.fromkeys(queries, address))
            for name in names:
                site.client.request(method, where, headers=who, json={**example, name: address})

    assert nobody_called(listener)


def _names(schema: dict[str, str]) -> list[str]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return sorted(DOCUMENT["components"]["schemas"][name].get("properties", {})) if name else []


@pytest.mark.parametrize("path", ["/api/bookings/bk_1/payment/status/", "/checkout/bk_1", "/console/", "/nowhere"])
def test_the_service_does_not_connect_to_an_address_in_a_header_or_a_token(
    site: Site, listener: socket.socket, port: int, path: str
) -> None:
    named = ("Host", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "Referer", "Origin", "X-Original-URL", "Proxy")
    for address in addresses(port):
        for name in named:
            site.get(path, headers={name: address})
        head = dict.fromkeys(("jku", "x5u", "kid"), address)
        forged = jwt.encode({"sub": "ann", "iss": address, "exp": 2**33}, JWT_SECRET, "HS256", headers=head)
        site.get(path, headers={"Authorization": f"Bearer {forged}"})
        site.get(f"{path}?token={forged}&next={address}&return_url={address}")
        site.post("/console/login", {"token": token("olga", "payments:operate"), "next": address})

    assert nobody_called(listener)


def test_the_service_does_not_connect_to_an_address_in_a_genuine_event(
    site: Site, listener: socket.socket, port: int
) -> None:
    for number, address in enumerate(addresses(port)):
        fields = {"object": "payment_intent", "id": address, "receipt_url": address, "return_url": address}
        subject = {**fields, "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": address}}}
        event = {"object": "event", "id": f"evt_{number}", "data": {"object": subject}, "account": address}
        body = json.dumps({**event, "type": "payment_intent.requires_action"}).encode()
        signed = sign(body, SECRET, site.kit.clock.now())
        site.client.post("/api/webhooks/stripe/", content=body, headers={"Stripe-Signature": signed})

    assert nobody_called(listener)


# --- the address of the messages


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_message_follows_no_redirect_and_nothing_of_the_answer_is_kept(
    listener: socket.socket, port: int, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    await kit.payments.cancel_booking(booking.id)
    asked: list[str] = []
    with answering(status, f"http://127.0.0.1:{port}/{CANARY}", asked) as address:
        publisher = WebhookPublisher(address, [KEY], SystemClock())
        deps = attrs.evolve(kit.deps, channels=dict.fromkeys(kit.deps.channels, publisher))
        await deliver_messages(deps)
        await publisher.close()
    kept = await undelivered_messages(deps, dead=False, limit=10)

    assert len(asked) == 1
    assert [each.error for each in kept] == [f"the receiver answered {status}"]
    assert CANARY not in repr(kept) + "".join(capfd.readouterr())
    assert nobody_called(listener)


@contextmanager
def answering(status: int, location: str, asked: list[str]) -> Iterator[str]:
    """The address of a server that redirects every request to ``location``, with a marker in each response."""

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status, CANARY)
            for name, value in (("location", location), ("set-cookie", f"a={CANARY}"), ("refresh", f"0;{location}")):
                self.send_header(name, value)
            self.send_header("content-length", str(len(CANARY)))
            self.end_headers()
            self.wfile.write(CANARY.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ReceivingServer(("127.0.0.1", 0), Redirecting)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
