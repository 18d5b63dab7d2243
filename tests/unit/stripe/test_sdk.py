"""Every result of a call through Stripe's SDK, and the error of the port that it leads to.

The responses pass the SDK itself, so its exceptions are the real ones; network faults are made with real sockets.
"""

import inspect
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest
import stripe
from anyio.abc import SocketAttribute, SocketStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from booking_payments.adapters.gateways.stripe.gateway import API_VERSION, StripeGateway
from booking_payments.adapters.gateways.stripe.objects import intent_report
from booking_payments.adapters.gateways.stripe.sdk import MEANINGS, SdkTransport, gateway_error
from booking_payments.domain.declines import DECLINES
from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.reports import Unreadable
from booking_payments.ports.gateway import (
    Declined,
    GatewayError,
    GatewayRefused,
    KeyMisused,
    Misconfigured,
    NotSent,
    ObjectNotFound,
    OutcomeAmbiguous,
)
from booking_payments.testing.gateway_contract import creation, refund_of

KEY = "sk_test_canary"
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 10000,
    "amount_received": 10000,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {},
}
LIMITED = {"Stripe-Rate-Limited-Reason": "global-rate"}


class CannedAnswer(stripe.HTTPClient):
    """Answers every request with the same bytes, and records the requests."""

    name = "canned"

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._answer = body, status, dict(headers or {})
        self.asked: list[tuple[str, str, Mapping[str, str], Any]] = []

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        self.asked.append((method, url, headers, post_data))
        return self._answer

    async def close_async(self) -> None:
        pass


def over(http: stripe.HTTPClient) -> StripeGateway:
    return StripeGateway(SdkTransport(KEY, "http://127.0.0.1:9", http=http), livemode=False)


def canned(status: int, body: object, headers: Mapping[str, str] | None = None) -> CannedAnswer:
    return CannedAnswer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "message": "as Stripe says", **fields}}


async def failure(http: stripe.HTTPClient) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        await over(http).create_intent(creation("pm_card_visa"), "key_1")
    return failed.value


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "code"),
    [
        (400, error(code="parameter_unknown", param="x"), {}, GatewayRefused, "parameter_unknown"),
        (400, error(type="idempotency_error"), {}, KeyMisused, "idempotency_error"),
        (400, error(code="rate_limit"), {}, NotSent, "rate_limit"),
        (401, error(), {}, Misconfigured, "http_401"),
        (401, error(code="api_key_expired"), {}, Misconfigured, "api_key_expired"),
        (402, error(type="card_error", code="card_declined"), {}, Declined, "card_declined"),
        (402, error(message="a raw card number"), {}, GatewayRefused, "invalid_request"),
        (403, error(code="secret_key_required"), {}, Misconfigured, "secret_key_required"),
        (404, error(code="resource_missing"), {}, ObjectNotFound, "resource_missing"),
        (409, error(code="idempotency_key_in_use"), {}, OutcomeAmbiguous, "idempotency_key_in_use"),
        (429, error(code="lock_timeout"), {}, OutcomeAmbiguous, "lock_timeout"),
        (429, error(code="rate_limit"), LIMITED, NotSent, "rate_limit"),
        (429, error(), LIMITED, NotSent, "rate_limit"),
        (500, error(type="api_error"), {}, OutcomeAmbiguous, "http_500"),
        (502, b"<html>", {}, OutcomeAmbiguous, "http_502"),
        (503, b"", {}, OutcomeAmbiguous, "http_503"),
        (504, error(type="api_error"), {}, OutcomeAmbiguous, "http_504"),
        (404, b"<html>not found</html>", {}, OutcomeAmbiguous, "http_404"),
        (302, b"", {"Location": "http://127.0.0.1:9/"}, OutcomeAmbiguous, "http_302"),
        (200, b"<html>", {}, OutcomeAmbiguous, "http_200"),
        (200, b'{"id": "pi_1", "amou', {}, OutcomeAmbiguous, "http_200"),
        (200, b"\xff\xfe", {}, OutcomeAmbiguous, "sdk_UnicodeDecodeError"),
        (200, [], {}, OutcomeAmbiguous, "unreadable_answer"),
        (200, {}, {}, OutcomeAmbiguous, "unreadable_answer"),
        (200, {**INTENT, "amount": "100"}, {}, OutcomeAmbiguous, "unreadable_answer"),
    ],
)
async def test_each_response_has_its_error(
    status: int, body: object, headers: Mapping[str, str], kind: type[GatewayError], code: str
) -> None:
    failed = await failure(canned(status, body, headers))

    assert (type(failed), failed.code) == (kind, code)


@pytest.mark.parametrize("decline_code", sorted(DECLINES))
async def test_every_decline_arrives_with_its_codes(decline_code: str) -> None:
    body = error(
        type="card_error",
        code="card_declined",
        decline_code=decline_code,
        advice_code="try_again_later",
        charge="ch_1",
        payment_intent={**INTENT, "status": "requires_payment_method"},
    )

    failed = await failure(canned(402, body))

    assert isinstance(failed, Declined)
    decline = failed.failure.decline
    assert (decline.code, decline.decline_code, decline.advice_code) == (
        "card_declined",
        decline_code,
        "try_again_later",
    )
    assert failed.intent is not None
    assert (failed.intent.id, failed.intent.status) == ("pi_1", PaymentStatus.REQUIRES_PAYMENT_METHOD)


async def test_a_declined_creation_has_the_created_intent() -> None:
    failed = await failure(canned(400, error(payment_intent={**INTENT, "status": "requires_payment_method"})))

    assert isinstance(failed, GatewayRefused)
    assert failed.intent is not None


def test_every_exception_of_the_sdk_is_mapped_or_belongs_to_an_api_that_is_not_called() -> None:
    elsewhere = {
        "SignatureVerificationError",
        # Only of the v2 API.
        "AlreadyCanceledError",
        "BlockedByStripeError",
        "CannotProceedError",
        "CapabilityNotEnabledError",
        "ControlledByAlternateResourceError",
        "FeatureNotEnabledError",
        "FinancialAccountNotOpenError",
        "FxQuoteNeedsRefreshError",
        "InsufficientFundsError",
        "InvalidPaymentMethodError",
        "InvalidPayoutMethodError",
        "InvalidVaultedCredentialError",
        "NotCancelableError",
        "QuotaExceededError",
        "RecipientNotNotifiableError",
        "StripeErrorWithParamCode",
        "TemporarySessionExpiredError",
        "VerificationAttemptFailedError",
        "VerificationExpiredError",
        "VerificationNotInitiatedError",
    }
    known = {kind.__name__ for kind in MEANINGS} | elsewhere

    assert {kind.__name__ for kind in _descendants(stripe.StripeError)} - known == set()


def _descendants(kind: type[stripe.StripeError]) -> set[type[stripe.StripeError]]:
    below: set[type[stripe.StripeError]] = {
        child for child in kind.__subclasses__() if child.__module__.startswith("stripe._")
    }
    return below.union(*(_descendants(child) for child in below))


@pytest.mark.parametrize("kind", sorted(_descendants(stripe.StripeError), key=str))
def test_an_exception_without_an_answer_is_never_a_verdict(kind: type[stripe.StripeError]) -> None:
    needed = [name for name, one in inspect.signature(kind).parameters.items() if one.default is one.empty]
    named: dict[str, Any] = {name: "anything" for name in needed if name not in ("args", "kwargs")}

    assert isinstance(gateway_error(kind(**named)), OutcomeAmbiguous)


# --- what is sent


async def test_a_request_has_the_idempotency_key_the_version_and_the_secret() -> None:
    http = canned(200, INTENT)

    await over(http).create_intent(creation("pm_card_visa"), "key_1")

    [(method, url, headers, body)] = http.asked
    assert (method, url) == ("post", "http://127.0.0.1:9/v1/payment_intents")
    assert headers["Idempotency-Key"] == "key_1"
    assert headers["Stripe-Version"] == API_VERSION
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "automatic_payment_methods[allow_redirects]=never" in body
    assert "metadata[payment_id]=pay_1" in body


async def test_a_repetition_sends_the_same_bytes() -> None:
    http = canned(200, INTENT)
    gateway = over(http)

    for _ in range(2):
        await gateway.create_intent(creation("pm_card_visa"), "key_1")

    assert http.asked[0][3] == http.asked[1][3]


async def test_a_failed_call_is_sent_once() -> None:
    http = canned(500, error(type="api_error"))

    await failure(http)

    assert len(http.asked) == 1


async def test_a_replayed_answer_is_marked() -> None:
    report = await over(canned(200, INTENT, {"Idempotent-Replayed": "true"})).create_intent(creation(), "key_1")

    assert report.replayed


@pytest.mark.parametrize("id_", ["../refunds/re_1", "pi_1/cancel", "pi_1?expand[]=x", "pi_1#", "pi 1", "%2e%2e"])
async def test_an_id_never_leads_to_another_path(id_: str) -> None:
    http = canned(404, error(code="resource_missing"))

    with pytest.raises(ObjectNotFound):
        await over(http).retrieve_intent(id_)

    path = http.asked[0][1].removeprefix("http://127.0.0.1:9/v1/payment_intents/")
    path = path.removesuffix("?expand[0]=latest_charge")
    assert not set(path) & set("/?# ")


async def test_all_pages_are_listed_oldest_first() -> None:
    class Pages(CannedAnswer):
        async def request_async(self, method: str, url: str, *rest: Any) -> tuple[bytes, int, Mapping[str, str]]:
            first = "starting_after" not in url
            item = {**INTENT, "id": "pi_new" if first else "pi_old"}
            return json.dumps({"data": [item], "has_more": first}).encode(), 200, {}

    found = await over(Pages(200, b"")).list_intents(datetime(2026, 1, 1, tzinfo=UTC))

    assert [intent.id for intent in found] == ["pi_old", "pi_new"]


STRANGE = {**INTENT, "id": "pi_strange", "currency": "xxx", "metadata": {"payment_id": "pay_1", "count": 3}}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def listing(*items: object) -> StripeGateway:
    return over(canned(200, {"data": list(items), "has_more": False}))


async def test_an_unreadable_object_does_not_hide_the_others_in_a_list() -> None:
    strange, intent = await listing(INTENT, STRANGE).list_intents(LONG_AGO)

    metadata = {"payment_id": "pay_1"}
    assert strange == Unreadable(id="pi_strange", intent_id=None, problem="currency xxx", metadata=metadata)
    assert intent.id == INTENT["id"]


@pytest.mark.parametrize("verb", ["list_refunds_made", "list_disputes_opened"])
@pytest.mark.parametrize("intent", ["pi_1", {"id": "pi_1", "object": "payment_intent"}])
async def test_an_unreadable_object_names_its_intent(verb: str, intent: object) -> None:
    gateway = listing({"id": "x_1", "amount": 1, "currency": "xxx", "payment_intent": intent})

    assert await getattr(gateway, verb)(LONG_AGO) == [Unreadable(id="x_1", intent_id="pi_1", problem="currency xxx")]


async def test_an_unreadable_event_is_left_out() -> None:
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": INTENT}}
    gateway = listing({**event, "id": "evt_2", "data": {"object": {}}}, event)

    assert [each.id for each in await gateway.list_events(LONG_AGO)] == ["evt_1"]


async def test_a_list_with_unreadable_objects_logs_one_line() -> None:
    with capture_logs() as lines:
        await listing(STRANGE, INTENT, {**STRANGE, "id": "pi_older"}).list_intents(LONG_AGO)
        await listing(INTENT).list_intents(LONG_AGO)

    told = {"path": "/v1/payment_intents", "objects": 2, "newest": "pi_strange", "problem": "currency xxx"}
    assert lines == [{"event": "gateway.unreadable_objects", "log_level": "info", **told}]


@pytest.mark.parametrize("item", ["pi_1", {}, {"amount": 100}, None])
async def test_a_list_of_values_without_ids_leaves_the_outcome_unknown(item: object) -> None:
    with pytest.raises(OutcomeAmbiguous):
        await listing(INTENT, item).list_intents(LONG_AGO)


@pytest.mark.parametrize("verb", ["list_refunds", "list_disputes"])
async def test_a_list_of_one_intent_is_read_completely_or_not_at_all(verb: str) -> None:
    with pytest.raises(OutcomeAmbiguous) as silent:
        await getattr(listing({"id": "x_1", "amount": 1, "currency": "xxx"}), verb)("pi_1")

    assert silent.value.unreadable == Unreadable(id="x_1", intent_id=None, problem="currency xxx")


async def test_an_unreadable_response_names_its_object() -> None:
    with pytest.raises(OutcomeAmbiguous) as silent:
        await over(canned(200, STRANGE)).retrieve_intent("pi_strange")

    assert silent.value.unreadable is not None
    assert silent.value.unreadable.metadata == {"payment_id": "pay_1"}


async def test_a_response_that_is_not_a_list_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeAmbiguous):
        await over(canned(200, {"data": None})).list_refunds("pi_1")


async def test_no_error_contains_the_api_key() -> None:
    failed = await failure(canned(401, error(message="Invalid API Key provided")))

    assert KEY not in repr(failed) + str(failed) + repr(vars(failed))


# --- the network


Talk = Callable[[SocketStream], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """Return the address of a server that handles each connection with the given function."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await talk(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610 - no Django here
        tasks.cancel_scope.cancel()


async def broken(address: str, **options: Any) -> GatewayError:
    transport = SdkTransport(KEY, address, **options)
    try:
        with pytest.raises(GatewayError) as failed:
            await StripeGateway(transport, livemode=False).create_refund(_refund(), "key_1")
    finally:
        await transport.close()
    return failed.value


def _refund() -> CreateRefund:
    return refund_of(intent_report(INTENT), 100)


async def test_a_refused_connection_means_that_nothing_happened() -> None:
    async with listening(lambda stream: stream.aclose()) as address:
        pass

    failed = await broken(address)

    assert (type(failed), failed.code) == (NotSent, "unreachable")


async def test_a_redirect_is_not_followed_and_leaves_the_outcome_unknown() -> None:
    followed: list[bytes] = []

    async def elsewhere(stream: SocketStream) -> None:
        followed.append(b"somebody came")

    async with listening(elsewhere) as other:
        answer = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {other}/\r\nContent-Length: 0\r\n\r\n"
        async with listening(lambda stream: stream.send(answer.encode())) as address:
            failed = await broken(address)

    assert (type(failed), failed.code, followed) == (OutcomeAmbiguous, "http_307", [])


async def test_a_broken_connection_leaves_the_outcome_unknown() -> None:
    async with listening(lambda stream: stream.aclose()) as address:
        failed = await broken(address)

    assert (type(failed), failed.code) == (OutcomeAmbiguous, "connection_lost")


async def test_a_truncated_body_leaves_the_outcome_unknown() -> None:
    async with listening(lambda stream: stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")) as address:
        failed = await broken(address)

    assert (type(failed), failed.code) == (OutcomeAmbiguous, "connection_lost")


async def test_a_slow_response_times_out() -> None:
    async def trickle(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        with anyio.move_on_after(5):
            while True:
                await stream.send(b" ")
                await anyio.sleep(0.01)

    async with listening(trickle) as address:
        failed = await broken(address, call_timeout=timedelta(milliseconds=100))

    assert (type(failed), failed.code) == (OutcomeAmbiguous, "timeout")


async def test_connections_are_reused() -> None:
    opened: list[SocketStream] = []
    answer = json.dumps({**INTENT}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)

    async def talk(stream: SocketStream) -> None:
        opened.append(stream)
        await stream.send(head + answer)
        await stream.receive()
        await stream.send(head + answer)

    async with listening(talk) as address:
        transport = SdkTransport(KEY, address)
        gateway = StripeGateway(transport, livemode=False)
        for _ in range(2):
            await gateway.retrieve_intent("pi_1")
        await transport.close()

    assert len(opened) == 1


# --- proxies and certificates


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def test_requests_use_the_proxy_of_the_environment(surroundings: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines.append(self.requestline.encode())
            content = json.dumps(INTENT).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Proxy) as address:
        surroundings.setenv("HTTP_PROXY", address)
        transport = SdkTransport(KEY, "http://stripe.example")
        intent = await StripeGateway(transport, livemode=False).retrieve_intent("pi_1")
        await transport.close()

    assert intent.id == "pi_1"
    assert lines == [b"GET http://stripe.example/v1/payment_intents/pi_1?expand[0]=latest_charge HTTP/1.1"]


async def test_a_proxy_without_a_connection_means_that_nothing_happened(surroundings: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            lines.append(self.requestline)
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Proxy) as address:
        surroundings.setenv("HTTPS_PROXY", address)
        failed = await broken("https://stripe.example")

    assert lines == ["CONNECT stripe.example:443 HTTP/1.1"]
    assert (type(failed), failed.code) == (NotSent, "unreachable")


async def test_the_certificates_of_the_environment_are_trusted(
    surroundings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stripe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(INTENT).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    certificate = own_certificate(tmp_path)
    with serving(Stripe, certificate) as address:
        stranger = await broken(address)
        surroundings.setenv("SSL_CERT_FILE", str(certificate))
        transport = SdkTransport(KEY, address)
        intent = await StripeGateway(transport, livemode=False).retrieve_intent("pi_1")
        await transport.close()

    assert (type(stranger), intent.id) == (NotSent, "pi_1")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def own_certificate(folder: Path) -> Path:
    """Return a file with a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2100, 1, 1, tzinfo=UTC)
    )
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "stripe.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file
