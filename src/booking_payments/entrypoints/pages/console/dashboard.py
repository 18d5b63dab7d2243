"""The dashboard: the merchant's figures as numbers and charts, each chart with its figures as a table."""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from attrs import frozen
from litestar import get
from markupsafe import Markup

from booking_payments.application.figures import MOST_EVENTS, MOST_WEBHOOKS, Cut, Figures, MoneyOfCurrency
from booking_payments.domain.money import Money
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator
from booking_payments.entrypoints.pages.page import BROWSER, GivenForm, GivenServices, PageResponse
from booking_payments.ports.overview import quantile
from booking_payments.presentation.formatting import duration, money, words
from booking_payments.presentation.status_style import STATUS_STYLE

PERIODS: Final = {"1": 1, "7": 7, "30": 30, "90": 90}
USUAL: Final = "7"
MOST_REASONS: Final = 10
SHOWN: Final = 5
"""How many operations with an unknown outcome and open disputes are listed; the others are only counted."""


def _charts() -> ModuleType:
    """Import the charts, and pygal with them, at the first use: most processes never render a dashboard."""
    from booking_payments.entrypoints.pages.console import charts

    return charts


_TIMES: Final = ((60, "1 min"), (3600, "1 h"), (86_400, "1 day"), (432_000, "5 days"), (None, "longer"))


@frozen(kw_only=True)
class Panel:
    """A chart with the same figures as a table. ``chart`` is None when there is no data.

    ``note`` says what the figures leave out; None: nothing.
    """

    title: str
    chart: Markup | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str
    note: str | None = None


@get("/console/", **BROWSER)
async def dashboard(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """The dashboard of the last days."""
    chosen = search.get("days")
    days = PERIODS.get(chosen, PERIODS[USUAL])
    figures = await services.payments.recent_figures(days)
    context: dict[str, Any] = {
        "figures": figures,
        "panels": list(panels(figures)),
        "periods": PERIODS,
        "days": days,
        "median_refund": quantile(figures.refund_times_s, 0.5),
        "shown": SHOWN,
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/dashboard.html", "dashboard", context)


def panels(figures: Figures) -> Iterator[Panel]:
    """Yield the charts of the dashboard, in their order."""
    yield _payments(figures)
    yield _declines(figures)
    yield from (_money(each) for each in figures.money)
    yield _refunds(figures)
    yield from _webhooks(figures)


def _payments(figures: Figures) -> Panel:
    days = figures.days
    series = [
        ("Succeeded", [day.succeeded for day in days]),
        ("Failed or canceled", [day.lost for day in days]),
        ("Still open", [day.open for day in days]),
    ]
    title = "Payments by the day they began"
    some = any(sum(values) for _, values in series)
    return Panel(
        title=title,
        chart=_charts().stacked(title, [day.day for day in days], series) if some else None,
        columns=("Day", "Succeeded", "Failed or canceled", "Still open"),
        rows=tuple((str(day.day), str(day.succeeded), str(day.lost), str(day.open)) for day in days),
        empty="No payment has begun in these days.",
        note=_weeks(len(days)),
    )


def _declines(figures: Figures) -> Panel:
    title, found = "Declines by reason", figures.declines[:MOST_REASONS]
    more = len(figures.declines) - len(found)
    notes = (
        f"Of the newest {MOST_EVENTS:,} declines only." if Cut.DECLINES in figures.cut else "",
        f"The {MOST_REASONS} most frequent, and {more} more in the figures." if more else "",
    )
    names, counts = [words(reason) for reason, _ in found], [count for _, count in found]
    return Panel(
        title=title,
        chart=_charts().ranking(title, names, counts) if found else None,
        columns=("Reason", "Declines"),
        rows=tuple((words(reason), str(count)) for reason, count in figures.declines),
        empty="No card was declined in these days.",
        note=" ".join(filter(None, notes)) or None,
    )


def _money(moved: MoneyOfCurrency) -> Panel:
    """Return one chart for each currency, since amounts in two currencies have no common axis. Refunds and withdrawals
    are drawn downwards.
    """
    title = f"Money in {moved.currency.code.upper()} by the day it moved"
    days = moved.days
    series = [
        ("Gross", [_number(day.gross) for day in days]),
        ("Refunded", [_number(-day.refunded) for day in days]),
        ("Withdrawn", [_number(-day.withdrawn) for day in days]),
    ]
    return Panel(
        title=title,
        chart=_charts().stacked(title, [day.day for day in days], series),
        columns=("Day", "Gross", "Refunded", "Withdrawn", "Net"),
        rows=tuple(
            (str(day.day), money(day.gross), money(day.refunded), money(day.withdrawn), money(day.net)) for day in days
        ),
        empty="",
        note=_weeks(len(days)),
    )


def _weeks(days: int) -> str | None:
    """Return the note below a chart whose bars are weeks; None where each is a day."""
    charts = _charts()
    if days <= charts.MOST_DAYS:
        return None
    first = days % charts.WEEK
    shorter = f", the first one of {first} days" if first else ""
    return f"Each bar is a week{shorter}, named by its first day."


def _number(amount: Money) -> float:
    """Convert to major units, for a chart."""
    return float(amount.major())


def _refunds(figures: Figures) -> Panel:
    title, times = "How long refunds take", figures.refund_times_s
    labels, counts = [label for _, label in _TIMES], _counted(times)
    return Panel(
        title=title,
        chart=_charts().bars(title, labels, "Refunds", counts) if times else None,
        columns=("Within", "Refunds"),
        rows=tuple(zip(labels, (str(count) for count in counts), strict=True)),
        empty="No refund was completed in these days.",
        note=f"Of the newest {MOST_EVENTS:,} refunds only." if Cut.REFUND_TIMES in figures.cut else None,
    )


def _counted(times: Sequence[float]) -> list[int]:
    """Return how many values lie between each limit and the one before."""
    counts, counted = [], 0
    for limit, _ in _TIMES:
        within = sum(limit is None or time <= limit for time in times)
        counts.append(within - counted)
        counted = within
    return counts


def _webhooks(figures: Figures) -> Iterator[Panel]:
    days, title = figures.webhooks, "Webhooks: received and failed"
    names = [day.day for day in days]
    series = [
        ("Received", [day.received - day.failed for day in days]),
        ("Failed at first", [day.failed for day in days]),
    ]
    some = any(day.received for day in days)
    empty = "No webhook was received in these days."
    note = f"Of the newest {MOST_WEBHOOKS:,} webhooks only." if Cut.WEBHOOKS in figures.cut else None
    notes = filter(None, (note, _weeks(len(days))))
    yield Panel(
        title=title,
        chart=_charts().stacked(title, names, series) if some else None,
        columns=("Day", "Received", "Failed at first"),
        rows=tuple((str(day.day), str(day.received), str(day.failed)) for day in days),
        empty=empty,
        note=" ".join(notes) or None,
    )
    delay = "Webhook delay in seconds"
    halves, slow = [day.median_delay_s for day in days], [day.slow_delay_s for day in days]
    yield Panel(
        title=delay,
        chart=_charts().lines(delay, names, [("Half within", halves), ("95 % within", slow)]) if some else None,
        columns=("Day", "Half within", "95 % within"),
        rows=tuple((str(d.day), duration(d.median_delay_s), duration(d.slow_delay_s)) for d in days),
        empty=empty,
        note=note,
    )


PAGES: Final = (dashboard,)
