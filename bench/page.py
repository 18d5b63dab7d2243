"""Writes the measurements into ``docs/performance.md``: a table between two marks, and a picture."""

import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from bench.run import Slot

BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"


def write(docs: Path, **measured: Any) -> None:
    """Put the figures into the page, and draw the picture."""
    page = docs / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(_lines(**measured))
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")
    bars = {
        "pgbench, the same SQL": measured["pgbench"],
        measured["bare"].name: measured["bare"].rate,
        measured["service"].name: measured["service"].rate,
    }
    (docs / "pictures").mkdir(exist_ok=True)
    (docs / "pictures" / "ingestion.svg").write_text(_picture(bars))


def _lines(
    *,
    bare: "Slot",
    service: "Slot",
    pgbench: float,
    growth: Mapping[int, "Slot"],
    paid: Mapping[float, Any],
    paced: Mapping[int, Any],
    gateway_ms: float,
    small: Mapping[str, str],
) -> Iterator[str]:
    yield f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, medians of {len(bare.rates)} rounds."
    yield ""
    yield "| webhooks | events/s | of the bare handler | p50 | p99 | processor time of the server, each |"
    yield "|---|---:|---:|---:|---:|---:|"
    yield f"| pgbench, the same SQL | {pgbench:,.0f} | {pgbench / bare.rate:.2f} | | | |"
    for slot in (bare, service):
        cells = (
            slot.name,
            f"{slot.rate:,.0f}",
            f"{slot.rate / bare.rate:.2f}",
            f"{median(slot.p50_ms):.1f} ms",
            f"{median(slot.p99_ms):.1f} ms",
            f"{median(slot.processor_ms):.2f} ms",
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| webhooks, by payments in the tables | events/s | of the smallest |"
    yield "|---:|---:|---:|"
    first = next(iter(growth.values())).rate
    for size, slot in growth.items():
        yield f"| {size:,} | {slot.rate:,.0f} | {slot.rate / first:.2f} |"
    yield ""
    yield "| paying, 200 customers at once | payments/s | p50 | p99 |"
    yield "|---|---:|---:|---:|"
    for delay, each in paid.items():
        yield (
            f"| the gateway takes {delay * 1000:.0f} ms | {each.per_second:,.0f} | {each.p50_ms:,.0f} ms"
            f" | {each.p99_ms:,.0f} ms |"
        )
    yield ""
    yield f"| paying, customers who come by themselves, the gateway takes {gateway_ms:.0f} ms | p50 added | p99 added |"
    yield "|---|---:|---:|"
    for pace, each in paced.items():
        yield f"| {pace} a second | {each.p50_ms - gateway_ms:,.1f} ms | {each.p99_ms - gateway_ms:,.1f} ms |"
    yield ""
    yield "| small things | |"
    yield "|---|---:|"
    yield from (f"| {name} | {figure} |" for name, figure in small.items())


def _picture(bars: Mapping[str, float]) -> str:
    """Horizontal bars, readable on light and dark."""
    longest, row, left, width = max(bars.values()), 34, 190, 420
    parts = []
    for place, (name, value) in enumerate(bars.items()):
        top, length = 10 + place * row, value / longest * width
        parts.append(f'<text x="{left - 10}" y="{top + 17}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{length:.0f}" height="24" rx="3"/>')
        parts.append(f'<text x="{left + length + 8:.0f}" y="{top + 17}">{value:,.0f}/s</text>')
    height = 10 + len(bars) * row
    style = "text{font:14px sans-serif;fill:#777}rect{fill:#4a7fb5}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {height}" role="img" '
        f'aria-label="Webhooks taken in per second"><style>{style}</style>{"".join(parts)}</svg>\n'
    )
