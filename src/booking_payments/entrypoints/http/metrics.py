"""Prometheus metrics, in a registry of the app's own. Labels come from short closed lists, never from input."""

from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from booking_payments.entrypoints.http.problems import EncodedResponse

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
"""Prometheus' text format; the framework adds the charset."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
MAX_CODES: Final = 200
"""How many error codes get a label of their own; ours are about eighty, the gateway's decline codes fifty."""

OTHER: Final = "other"
"""The label of all values that have none of their own."""


class Metrics:
    """Counts what happens."""

    def __init__(self, event_types: Collection[str]) -> None:
        """Args: event_types: the types of gateway events that have a label; the others share ``other``."""
        self.registry = CollectorRegistry()
        self._codes: set[str] = set()
        self._event_types = event_types
        self._operations = Counter(
            "booking_payments_operations",
            "Payment operations asked for over HTTP, by outcome and error code.",
            ("operation", "outcome", "code"),
            registry=self.registry,
        )
        self._webhooks = Counter(
            "booking_payments_webhooks",
            "Webhooks received, by gateway, type and outcome.",
            ("gateway", "type", "outcome"),
            registry=self.registry,
        )
        self._limited = Counter(
            "booking_payments_rate_limited",
            "Requests turned away because too many came, by the limit that was reached.",
            ("limit",),
            registry=self.registry,
        )
        self._counted_alone = Counter(
            "booking_payments_rate_limit_counted_alone",
            "Requests that this process counted for itself because the shared store did not answer.",
            registry=self.registry,
        )
        self._requests = Histogram(
            "booking_payments_http_request_duration_seconds",
            "Time from the first byte in to the last byte out.",
            ("method", "route", "status"),
            registry=self.registry,
        )

    def operation(self, name: str, response: EncodedResponse) -> None:
        """Count one payment operation by its outcome."""
        self._operations.labels(name, outcome_of(response.status), self._code(response.error)).inc()

    def webhook(self, gateway: str, type_: str | None, outcome: str) -> None:
        """Count one delivery to the webhooks of ``gateway``, which has to be a name that this installation takes.

        ``type_`` is the event's type as the gateway signed it; None when the signature is not valid.
        """
        label = type_ if type_ is not None and type_ in self._event_types else OTHER
        self._webhooks.labels(gateway, label, outcome).inc()

    def limited(self, limit: str) -> None:
        """Count one request that has to come again later."""
        self._limited.labels(limit).inc()

    def counted_alone(self) -> None:
        """Count one request that the shared store of the rate limits knows nothing of."""
        self._counted_alone.inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request, by the template of its route."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _code(self, code: str | None) -> str:
        if code is None:
            return ""
        if len(self._codes) < MAX_CODES:
            self._codes.add(code)
        return code if code in self._codes else OTHER


def outcome_of(status: int) -> str:
    """``done``, ``refused`` (the caller's move) or ``failed`` (ours)."""
    return "done" if status < 400 else ("refused" if status < 500 else "failed")
