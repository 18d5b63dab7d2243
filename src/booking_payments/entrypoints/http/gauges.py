"""Prometheus gauges of the stored payments, webhooks and messages.

They are read from the database, so that every process reports the same values, and at most every ``FRESH_S`` seconds,
since the endpoint is public.
"""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

import anyio
import structlog
from attrs import define, field
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from booking_payments.application.figures import Figures
from booking_payments.ports.overview import quantile
from booking_payments.runtime.services import Services

WINDOW: Final = timedelta(hours=1)
FRESH_S: Final = 15.0
"""Seconds for which the gauges are reused; Prometheus scrapes every 15 to 60 seconds."""

QUANTILES: Final = (0.5, 0.95)
SOON_S: Final = 48 * 3600.0
MOST_NAMED: Final = 20
"""How many payments are named at most: each is a time series."""

MOST_REASONS: Final = 60
"""Stripe has about fifty decline codes; with more distinct values than this, new ones are counted as ``other``."""

log = structlog.get_logger("booking_payments.metrics")


@define
class BookGauges:
    """The gauges, read anew when they are not fresh."""

    _text: bytes = b""
    _read_at: float = float("-inf")
    _lock: anyio.Lock = field(factory=anyio.Lock)

    async def text(self, services: Services) -> bytes:
        """The gauges in Prometheus' text format. Without the database only ``booking_payments_books_readable 0``."""
        async with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                self._text, self._read_at = await _collect(services), time.monotonic()
            return self._text


async def _collect(services: Services) -> bytes:
    registry = CollectorRegistry()
    readable = Gauge("booking_payments_books_readable", "Whether the database could be read.", registry=registry)
    try:
        figures = await services.payments.figures(services.clock.now() - WINDOW)
    except Exception as error:  # with any error the process still serves its other metrics
        log.warning("metrics.books_unreadable", reason=type(error).__name__)
        return generate_latest(registry)
    readable.set(1)
    fill(registry, figures, services.payments.gateway_names)
    return generate_latest(registry)


def fill(registry: CollectorRegistry, figures: Figures, gateways: Iterable[str]) -> None:
    """Make the gauges in ``registry``, with these figures.

    ``gateways`` are the configured ones: each has its values, 0 included. A gateway that is no longer configured has
    some only while something of it is open.
    """

    def gauge(name: str, description: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"booking_payments_{name}", description, tuple(labels), registry=registry)

    payments = gauge("payments", "Payments begun in the last hour, by outcome.", ["outcome"])
    for outcome, count in (
        ("succeeded", figures.succeeded),
        ("lost", figures.lost),
        ("open", sum(day.open for day in figures.days)),
    ):
        payments.labels(outcome).set(count)
    declines = gauge("declines", "Declined attempts of the last hour, by reason.", ["reason"])
    for reason, count in _bounded(figures.declines):
        declines.labels(reason).set(count)
    _quantiles(gauge("refund_seconds", "From request to success, of the last hour.", ["percentile"]), figures)
    _delays(gauge("webhook_delay_seconds", "From event to arrival, of the last hour.", ["percentile"]), figures)
    _holds(gauge, figures)
    _channels(gauge, figures)
    _gateways(gauge, figures, gateways)
    for name, description, count in (
        ("customers_declined_often", "Customers with five declines or more in an hour.", figures.declined_often),
        ("dead_letters", "Messages to the booking app that were given up.", figures.dead_letters),
    ):
        gauge(name, description).set(count)


def _channels(gauge: Callable[..., Gauge], figures: Figures) -> None:
    """Gauges of undelivered messages by channel; ``none`` counts the messages that wait for the first channel."""
    waiting = gauge("messages_waiting", "Messages that wait on a channel (none: for the first one).", ["channel"])
    oldest = gauge("message_oldest_seconds", "How long the oldest message waits on a channel.", ["channel"])
    discarded = gauge("messages_discarded", "Messages that operators have discarded, by channel.", ["channel"])
    silent = gauge("message_channel_silent_seconds", "Since a process was last alive on a channel.", ["channel"])
    backlogs = [*(each.backlog for each in figures.channels.channels), *figures.channels.others]
    for each in backlogs:
        name = each.channel or "none"
        waiting.labels(name).set(each.waiting)
        discarded.labels(name).set(each.discarded)
        oldest.labels(name).set((figures.until - each.oldest_at).total_seconds() if each.oldest_at else 0)
    for state in figures.channels.channels:
        last = state.channel.last_alive_at or state.channel.added_at
        silent.labels(state.channel.name).set(max(0.0, (figures.until - last).total_seconds()))


def _gateways(gauge: Callable[..., Gauge], figures: Figures, configured: Iterable[str]) -> None:
    """Gauges of each gateway: open operations, and received webhooks."""
    received = gauge("webhooks_received_last_hour", "Webhooks that came.", ["gateway"])
    failed = gauge("webhooks_failed_last_hour", "Of these, how many failed at first.", ["gateway"])
    unfinished = gauge("webhooks_unfinished", "Webhooks of all time that were not processed yet.", ["gateway"])
    unknown = gauge("unknown_outcomes", "Payments whose gateway call has an unknown outcome.", ["gateway"])
    disputes = gauge("open_disputes", "Disputes that are not settled.", ["gateway"])
    # Payments and webhooks name only gateways that were configured at some time, so their number is bounded.
    used = {each.gateway for each in figures.unknown} | {each.payment.gateway for each in figures.disputes}
    used |= set(figures.unfinished)
    for name in dict.fromkeys([*configured, *sorted(used | set(figures.received))]):
        found = figures.at_gateway(name)
        received.labels(name).set(found.webhooks)
        failed.labels(name).set(found.failed_webhooks)
        unfinished.labels(name).set(found.unfinished_webhooks)
        unknown.labels(name).set(found.unknown)
        disputes.labels(name).set(found.disputes)


def _holds(gauge: Callable[..., Gauge], figures: Figures) -> None:
    """Until when held money has to be captured. The few that are next are named, so that an alert can name them."""
    due = gauge("capture_due_seconds", "Until a payment's hold ends, where that is within two days.", ["payment"])
    left = [((each.captured_by - figures.until).total_seconds(), each) for each in figures.holds if each.captured_by]
    for seconds, _ in left[:1]:  # without a hold there is no such time
        gauge("capture_earliest_seconds", "Until the first hold of money ends.").set(seconds)
    for seconds, payment in left[:MOST_NAMED]:
        if seconds < SOON_S:
            due.labels(payment.id).set(seconds)


def _bounded(reasons: Iterable[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    """The most frequent reasons by name, the others together."""
    named = list(reasons)
    yield from named[:MOST_REASONS]
    if named[MOST_REASONS:]:
        yield "other", sum(count for _, count in named[MOST_REASONS:])


def _quantiles(gauge: Gauge, figures: Figures) -> None:
    for share in QUANTILES:
        seconds = quantile(figures.refund_times_s, share)
        if seconds is not None:
            gauge.labels(f"{share * 100:g}").set(seconds)


def _delays(gauge: Gauge, figures: Figures) -> None:
    """Of the latest day that had any: an hour may lie on both sides of midnight."""
    day = next((each for each in reversed(figures.webhooks) if each.median_delay_s is not None), None)
    if day is not None and day.median_delay_s is not None and day.slow_delay_s is not None:
        gauge.labels("50").set(day.median_delay_s)
        gauge.labels("95").set(day.slow_delay_s)
