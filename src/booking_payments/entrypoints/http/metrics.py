"""Prometheus metrics, in a registry of the app's own. Labels come from short closed lists, never from input."""

import re
from collections import defaultdict
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from booking_payments.entrypoints.http.problems import EncodedResponse

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
"""Prometheus' text format; the framework adds the charset."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
MAX_CODES: Final = 200
"""How many error codes get a label of their own; ours are about eighty, the gateway's decline codes fifty."""

MAX_EVENT_TYPES: Final = 100
"""How many event types of each gateway get a label of their own. The gateway has signed them, but a sender with its
secret could otherwise fill our memory with types."""

_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
OTHER: Final = "other"


class Labels:
    """Label values in the order in which they were first seen; once there are ``limit``, a new one is ``other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def of(self, value: str) -> str:
        """Return the label for ``value``."""
        if len(self._seen) < self._limit:
            self._seen.add(value)
        return value if value in self._seen else OTHER


class Metrics:
    """Counts what happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._codes = Labels(MAX_CODES)
        self._event_types = defaultdict[str, Labels](lambda: Labels(MAX_EVENT_TYPES))
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
        code = self._codes.of(response.error) if response.error is not None else ""
        self._operations.labels(name, outcome_of(response.status), code).inc()

    def webhook(self, gateway: str, type_: str | None, outcome: str) -> None:
        """Count one delivery to the webhooks of ``gateway``, which has to be a name that this installation takes.

        ``type_`` is the event's type as the gateway signed it; None when the signature is not valid.
        """
        label = OTHER
        if type_ is not None and _EVENT_TYPE.fullmatch(type_):
            label = self._event_types[gateway].of(type_)
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


def outcome_of(status: int) -> str:
    """``done``, ``refused`` (the caller's move) or ``failed`` (ours)."""
    return "done" if status < 400 else ("refused" if status < 500 else "failed")
