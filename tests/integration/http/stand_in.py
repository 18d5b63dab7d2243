"""A server that replaces Stripe and returns the responses that a test sets, over a real socket."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

import attrs
from attrs import define, field

from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
from booking_payments.adapters.gateways.stripe.sdk import SdkTransport
from booking_payments.application.payments import BookingPayments
from booking_payments.testing.kit import PaymentsTestKit

Json = dict[str, Any]


@define
class StandIn:
    """The server. ``answers``: status, body and headers by the beginning of "METHOD path"; the longest match is
    used. ``asked``: the requests and their parameters, oldest first. ``transport``: the SDK connected to this
    server.
    """

    url: str
    transport: SdkTransport
    answers: dict[str, tuple[int, Any, Mapping[str, str]]] = field(factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(factory=list)

    def answer(self, line: str, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answers[line] = (status, body, headers or {})

    def answer_to(self, line: str) -> tuple[int, Any, Mapping[str, str]]:
        fitting = [known for known in self.answers if line.startswith(known)]
        return self.answers[max(fitting, key=len)] if fitting else (500, {}, {})

    def kit(self) -> PaymentsTestKit:
        """A test kit whose gateway is Stripe's adapter, connected to this server."""
        kit = PaymentsTestKit()
        gateway = StripeGateway(self.transport, livemode=False)
        kit.deps = attrs.evolve(kit.deps, gateway=gateway)
        kit.payments = BookingPayments(kit.deps)
        return kit


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The caller closes its transport, in the event loop in which it was used."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: the body in a second one waits 40 ms until the client acknowledges the first.
        wbufsize = -1

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            line = f"{self.command} {self.path}"
            known.asked.append((line, dict(parse_qsl(self.rfile.read(length).decode()))))
            status, body, headers = known.answer_to(line)
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - as http.server calls it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    known = StandIn(url, SdkTransport("sk_test_stand_in", url))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusal(message: str = "As Stripe says.", *, type_: str = "invalid_request_error", **fields: Any) -> Json:
    return {"error": {"type": type_, "message": message, **fields}}


def intent(status: str = "requires_payment_method", **fields: Any) -> Json:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 10000,
        "amount_received": 0,
        "currency": "usd",
        "status": status,
        "client_secret": "pi_1_secret_1",
        "metadata": {},
        **fields,
    }
