"""OpenTelemetry traces: a span for each use case, each call to the gateway and each database transaction.

They need the extra ``otel`` and a configured exporter. The service configures it from the environment
(opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables); an application that embeds the library
configures its own. Without both nothing is wrapped, so that there is no overhead. Spans contain names and codes only:
no amounts, no customers, no secrets.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from booking_payments.adapters.telemetry.wrappers import (
    Around,
    PortCall,
    WrappedGateway,
    WrappedStorage,
    subclass_through,
)
from booking_payments.domain.errors import OurFault, PaymentError
from booking_payments.ports.gateway import Declined, Gateway, GatewayError
from booking_payments.ports.storage import Storage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

T = TypeVar("T")
K = TypeVar("K", bound=type)

NAME: Final = "booking_payments"
_OURS: Final = "booking_payments."
_IDS: Final = frozenset({"booking_id", "payment_id", "intent_id", "refund_id", "dispute_id"})
"""Arguments that become attributes of a span: ids of this service and of the gateway."""

COLLECTED_BY: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The service exports traces when one of these variables is set."""


class MissingExtraError(Exception):
    """Traces are configured, and the extra ``otel`` is not installed."""


def set_up_traces(env: Mapping[str, str]) -> "TracerProvider | None":
    """Configure the export of traces from ``env``; returns None when it is not configured or disabled.

    The caller shuts the provider down at exit, so that the last spans are exported.

    Raises:
        MissingExtraError: an export is configured, and the extra ``otel`` is not installed.
    """
    switched_off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
    if switched_off or not any(env.get(name) for name in COLLECTED_BY):
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError(str(error)) from error
    named = {} if env.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "booking-payments"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def tracer() -> "Tracer | None":
    """Return the tracer; None without a configured provider."""
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    return provider.get_tracer(NAME) if isinstance(provider, TracerProvider) else None


def traced_gateway(gateway: Gateway, by: "Tracer | None") -> Gateway:
    """Return ``gateway`` with a span around each call; unchanged without a tracer."""
    return gateway if by is None else WrappedGateway(gateway, _spans("gateway", by))


def traced_storage(storage: Storage, by: "Tracer | None") -> Storage:
    """Return ``storage`` with a span around each transaction; unchanged without a tracer."""
    return storage if by is None else WrappedStorage(storage, _spans("database", by))


def traced_class(kind: K, layer: str, by: "Tracer | None") -> K:
    """Return a subclass of ``kind`` with a span ``layer method`` around each public call; ``kind`` without a tracer."""
    return kind if by is None else subclass_through(kind, _spans(layer, by))


def _spans(layer: str, by: "Tracer") -> Around:
    async def around(call: PortCall, make: Callable[[], Awaitable[T]]) -> T:
        with span(by, f"{layer} {call.method}", _asked(call)):
            return await make()

    return around


@contextmanager
def span(by: "Tracer", name: str, attributes: Mapping[str, str]) -> "Iterator[Span]":
    """Open a span; if the block raises, the span records the error's code.

    The error's text is not recorded, since it may contain data.
    """
    with by.start_as_current_span(
        name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except Exception as error:
            opened.set_attribute(f"{_OURS}error", _code(error))
            if _is_failure(error):
                opened.set_attribute("error.type", type(error).__name__)
                _mark_failed(opened)
            raise


def _mark_failed(opened: "Span") -> None:
    from opentelemetry.trace import Status, StatusCode

    opened.set_status(Status(StatusCode.ERROR))


def _is_failure(error: Exception) -> bool:
    """True for an unexpected error. A decline and a refusal are regular results."""
    if isinstance(error, PaymentError):
        return isinstance(error, OurFault)
    return not isinstance(error, Declined)


def _code(error: Exception) -> str:
    return str(error.code) if isinstance(error, PaymentError | GatewayError) else type(error).__name__


def _asked(call: PortCall) -> dict[str, str]:
    """Return the ids among the arguments as attributes of the span."""
    found = {name: value for name, value in call.kwargs.items() if name in _IDS and isinstance(value, str)}
    if call.args and isinstance(call.args[0], str) and call.method not in ("receive_webhook",):
        found["id"] = call.args[0]
    intent_id = getattr(call.args[0], "intent_id", None) if call.args else None
    if isinstance(intent_id, str):
        found["intent_id"] = intent_id
    return {f"{_OURS}{name}": value for name, value in found.items()}
