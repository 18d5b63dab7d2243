"""Traces by OpenTelemetry: a span for each use case, each call to the gateway and each transaction of the database.

They need the extra ``otel``, and somebody who collects them: the service sets that up from the environment as
OpenTelemetry names it (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables), an embedding service
has done so for itself. Without either nothing is wrapped, and nothing is slower. Spans hold names and codes only: no
amounts, no customers, no secrets.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from booking_payments.adapters.telemetry.watching import Around, Call, watched
from booking_payments.domain.errors import OurFault, PaymentError
from booking_payments.ports.gateway import Declined, GatewayError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

T = TypeVar("T")

NAME: Final = "booking_payments"
_OURS: Final = "booking_payments."
_IDS: Final = frozenset({"booking_id", "payment_id", "intent_id", "refund_id", "dispute_id"})
"""Arguments that are told: ids of ours and of the gateway."""

COLLECTED_BY: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Where one of these is set, the service sends its traces there."""


class MissingExtraError(Exception):
    """Traces are asked for, and the extra ``otel`` is not installed."""


def set_up_traces(env: Mapping[str, str]) -> "TracerProvider | None":
    """Send the traces of this process to where ``env`` says; None where it says nothing. Raises ``MissingExtraError``.

    Whoever called this shuts the provider down in the end, so that the last spans are sent.
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
    """What makes spans; None where nobody collects them."""
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    return provider.get_tracer(NAME) if isinstance(provider, TracerProvider) else None


def traced(target: T, layer: str, by: "Tracer | None") -> T:
    """``target``, with a span ``layer method`` around each call; as it is where nobody collects spans."""
    return target if by is None else watched(target, _spans(layer, by))


def _spans(layer: str, by: "Tracer") -> Around:
    async def around(call: Call, make: Callable[[], Awaitable[Any]]) -> Any:
        with span(by, f"{layer} {call.method}", _asked(call)):
            return await make()

    return around


@contextmanager
def span(by: "Tracer", name: str, attributes: Mapping[str, str]) -> "Iterator[Span]":
    """A span that tells how it ended: the code of an error, never its text, which may say anything."""
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
    """Whether something broke. A decline and a refusal are answers."""
    if isinstance(error, PaymentError):
        return isinstance(error, OurFault)
    return not isinstance(error, Declined)


def _code(error: Exception) -> str:
    return str(error.code) if isinstance(error, PaymentError | GatewayError) else type(error).__name__


def _asked(call: Call) -> dict[str, str]:
    """The ids among the arguments, and the kind of the instruction."""
    found = {name: value for name, value in call.kwargs.items() if name in _IDS and isinstance(value, str)}
    if call.args and isinstance(call.args[0], str) and call.method not in ("receive_webhook",):
        found["id"] = call.args[0]
    intent_id = getattr(call.args[0], "intent_id", None) if call.args else None
    if isinstance(intent_id, str):
        found["intent_id"] = intent_id
    return {f"{_OURS}{name}": value for name, value in found.items()}
