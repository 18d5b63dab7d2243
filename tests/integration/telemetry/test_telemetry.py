"""Observability of calls: one id in request, gateway call and webhook, and spans when an exporter is configured."""

import inspect
import io
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from booking_payments.adapters.gateways.fake.settings import DEVELOPMENT_WEBHOOK_SECRET
from booking_payments.adapters.telemetry.gateway_log import MOVES_MONEY, logged
from booking_payments.adapters.telemetry.traces import (
    MissingExtraError,
    set_up_traces,
    traced_class,
    traced_storage,
    tracer,
)
from booking_payments.adapters.telemetry.wrappers import WrappedGateway, subclass_through
from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.asgi import Application
from booking_payments.ports.gateway import Declined, Gateway, OutcomeAmbiguous
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.process import collecting_traces
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.sandbox.signature import sign
from booking_payments.testing.gateway_contract import creation
from booking_payments.testing.kit import PaymentsTestKit
from tests.in_thread import InThreadClient
from tests.integration.http.api import JWT_SECRET, bearer

APP, ANN = bearer("app", "bookings:write"), bearer("ann")
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path) -> Settings:
    url = f"sqlite:///{tmp_path / 'payments.db'}"
    shutil.copy(sqlite_template, tmp_path / "payments.db")
    env = {"DATABASE_URL": url, "JWT_SECRET": JWT_SECRET, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
    return load_settings(env, None)


@pytest.fixture
def lines(settings: Settings) -> Iterator[Lines]:
    """What the log has so far."""
    names = (None, "booking_payments", "booking_payments.payments", "uvicorn")
    loggers = [logging.getLogger(name) for name in names]
    before = [(each, each.level, each.handlers[:]) for each in loggers]
    stream = io.StringIO()
    set_up_logging(settings, stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Everything that is collected, as an embedding service would have set it up."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def client(settings: Settings) -> Iterator[InThreadClient[Any]]:
    with InThreadClient(Application(settings)) as opened:
        yield opened


def book(client: InThreadClient[Any]) -> str:
    booking = {
        "reference": "SEAT-1",
        "customer_id": "ann",
        "amount": "100.00",
        "currency": "usd",
        "event_starts_at": "2100-01-01T20:00:00Z",
    }
    return str(client.post("/api/bookings/", json=booking, headers=APP).json()["id"])


def pay(client: InThreadClient[Any], booking_id: str, method: str = "pm_card_visa", **headers: str) -> Any:
    return client.post(
        f"/api/bookings/{booking_id}/payment/intent/",
        json={"payment_method_id": method, "confirm_immediately": True},
        headers={**ANN, **headers},
    )


def deliver(client: InThreadClient[Any], intent: dict[str, Any]) -> None:
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": intent}}
    body = json.dumps(event).encode()
    signature = sign(body, DEVELOPMENT_WEBHOOK_SECRET, datetime.now(UTC))
    assert client.post("/api/webhooks/stripe/", content=body, headers={"Stripe-Signature": signature}).is_success


# --- one id through everything


def test_each_call_that_takes_an_idempotency_key_is_logged_as_one_that_moves_money() -> None:
    """Gateways need keys for calls with an effect only, and each effect on an intent or refund concerns money."""
    calls = inspect.getmembers(Gateway, inspect.isfunction)
    with_key = {name for name, call in calls if "idempotency_key" in inspect.signature(call).parameters}

    assert with_key == MOVES_MONEY


def test_one_id_leads_from_the_request_to_the_gateway_call_and_the_webhook(
    client: InThreadClient[Any], lines: Lines
) -> None:
    answer = pay(client, book(client), **{"X-Request-Id": "req_of_ann"}).json()
    intent = {
        "id": answer["payment_intent_id"],
        "object": "payment_intent",
        "amount": 10000,
        "amount_received": 10000,
        "amount_capturable": 0,
        "currency": "usd",
        "status": "succeeded",
        "metadata": {"payment_id": answer["payment_id"], "correlation_id": "req_of_ann"},
    }
    deliver(client, intent)

    told = [each["event"] for each in lines() if each.get("correlation_id") == "req_of_ann"]
    assert told == ["gateway.call", "payment.operation", "webhook.received"]


def test_the_gateway_keeps_the_id_so_that_its_events_bring_it_back(client: InThreadClient[Any], lines: Lines) -> None:
    pay(client, book(client), **{"X-Request-Id": "req_of_ann"})
    events = [each for each in lines() if each["event"] == "gateway.call"]

    assert [(each["call"], each["outcome"]) for each in events] == [("create_intent", "answered")]
    assert events[0]["idempotency_key"]


async def test_a_call_of_the_background_has_the_id_of_who_asked_first(lines: Lines) -> None:
    kit = PaymentsTestKit()
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=9)
    gateway = logged(kit.deps.gateway)
    booking = await kit.book()
    caller = Caller.service("shop", "order 17")
    with pytest.raises(Exception, match="has not answered"):
        await kit.payments.start_payment(booking.id, caller, payment_method_id="pm_card_visa", confirm_immediately=True)
    operation = (await kit.payments.payment_status(booking.id)).payment.operation
    assert operation is not None

    with pytest.raises(OutcomeAmbiguous):
        await gateway.create_intent(operation.instruction, operation.idempotency_key)  # type: ignore[arg-type]

    line = lines()[-1]
    assert (line["correlation_id"], line["outcome"]) == ("order 17", "outcome_ambiguous")


async def test_a_decline_is_a_line_with_its_code_and_the_intent_that_it_left(lines: Lines) -> None:
    kit = PaymentsTestKit()
    with pytest.raises(Declined) as declined:
        await logged(kit.deps.gateway).create_intent(creation("pm_card_chargeDeclined"), "key_1")

    line = lines()[-1]
    assert declined.value.intent is not None
    assert (line["outcome"], line["code"], line["object_id"]) == ("declined", "card_declined", declined.value.intent.id)


async def test_reads_are_logged_at_debug_level_only(lines: Lines) -> None:
    kit = PaymentsTestKit()

    await logged(kit.deps.gateway).list_intents(kit.clock.now())

    assert [(each["call"], each["level"]) for each in lines()] == [("list_intents", "debug")]


# --- spans


def tree(spans: InMemorySpanExporter) -> list[str]:
    """Each span's name, indented below the one that it belongs to."""
    found = sorted(spans.get_finished_spans(), key=lambda each: each.start_time or 0)

    def under(parent: ReadableSpan | None, depth: int) -> Iterator[str]:
        for each in found:
            above = each.parent.span_id if each.parent else None
            if above == (parent.context.span_id if parent and parent.context else None):
                yield "  " * depth + each.name
                yield from under(each, depth + 1)

    return list(under(None, 0))


def test_a_payment_is_a_tree_of_spans(spans: InMemorySpanExporter, client: InThreadClient[Any]) -> None:
    booking_id = book(client)
    spans.clear()

    pay(client, booking_id)

    found = tree(spans)
    beginning = found.index("POST /api/bookings/{booking_id}/payment/intent")
    assert found[beginning + 1] == "  payments start_payment"
    assert "    gateway create_intent" in found
    assert "    database transact" in found
    assert found.index("    database transact") < found.index("    gateway create_intent")


def test_the_trace_of_the_caller_continues(spans: InMemorySpanExporter, client: InThreadClient[Any]) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    client.get("/api/webhooks/health/", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})

    span = next(each for each in spans.get_finished_spans() if each.name == "GET /api/webhooks/health")
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", span.attributes and span.attributes["http.response.status_code"]) == (
        trace_id,
        200,
    )


def test_a_decline_is_an_answer_and_no_failure(spans: InMemorySpanExporter, client: InThreadClient[Any]) -> None:
    pay(client, book(client), "pm_card_chargeDeclined")

    span = next(each for each in spans.get_finished_spans() if each.name == "gateway create_intent")
    assert span.attributes is not None
    assert span.attributes["booking_payments.error"] == "card_declined"
    assert span.status.is_unset


async def test_a_failed_span_has_no_error_text(spans: InMemorySpanExporter) -> None:
    class Breaks:
        async def work(self) -> None:
            raise RuntimeError("sk_live_secret")

    with pytest.raises(RuntimeError):
        await traced_class(Breaks, "test", tracer())().work()

    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "sk_live_secret" not in span.to_json()


def test_no_span_contains_customer_amount_or_payment_method(
    spans: InMemorySpanExporter, client: InThreadClient[Any]
) -> None:
    booking_id = book(client)
    answer = pay(client, booking_id).json()
    client.get(f"/checkout/{booking_id}?token={ANN['Authorization'].split()[1]}")

    told = "".join(each.to_json() for each in spans.get_finished_spans())
    for secret in (answer["client_secret"] or "pi_", "100.00", "10000", "pm_card_visa", "token=", "SEAT-1"):
        assert secret == "pi_" or secret not in told


def test_without_a_collector_nothing_is_wrapped() -> None:
    kit = PaymentsTestKit()

    assert tracer() is None
    assert traced_storage(kit.storage, tracer()) is kit.storage
    assert traced_class(BookingPayments, "payments", tracer()) is BookingPayments


# --- setting up


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_no_spans_are_collected_without_an_exporter(env: dict[str, str]) -> None:
    assert set_up_traces(env) is None


def test_where_the_extra_is_missing_it_is_named(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(MissingExtraError):
        set_up_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    with collecting_traces():
        pass

    assert "pip install 'booking-payments[otel]'" in lines()[-1]["remedy"]


async def test_a_subclass_with_something_around_its_calls_is_otherwise_the_class() -> None:
    class Target:
        kept = "as it is"

        async def call(self, number: int) -> int:
            return number

        def plain(self) -> str:
            return "plain"

    seen: list[str] = []

    async def around(call: Any, make: Any) -> Any:
        seen.append(call.method)
        return await make()

    target = subclass_through(Target, around)()

    assert (target.kept, target.plain(), await target.call(3), seen) == ("as it is", "plain", 3, ["call"])


CALLS = [name for name, method in vars(WrappedGateway).items() if inspect.iscoroutinefunction(method)]


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_to_a_gateway_is_passed_on_as_it_was_made(name: str) -> None:
    class Next:
        def __getattr__(self, asked: str) -> Any:
            async def answer(*given: Any) -> Any:
                return asked, given

            return answer

    seen: list[Any] = []

    async def around(call: Any, make: Any) -> Any:
        seen.append((call.method, call.args))
        return await make()

    next_gateway: Any = Next()
    method = getattr(WrappedGateway(next_gateway, around), name)
    given = tuple(range(len(inspect.signature(method).parameters)))

    assert await method(*given) == (name, given)
    assert seen == [(name, given)]


def test_every_method_of_the_port_is_written_out() -> None:
    port = {name for kind in Gateway.__mro__ for name in vars(kind) if not name.startswith("_")}

    assert port - set(vars(WrappedGateway)) == set()
