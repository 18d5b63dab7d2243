"""Charts as SVG, drawn by pygal without its style sheet and script. Colours come from this package's style sheet, which
has a dark mode; the page's content security policy refuses inline styles.
"""

import sys
from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup
from pygal.style import Style

# Pygal installs an import hook that searches for its plugins, with an API that is deprecated in Python 3.11 and removed
# in 3.12. No plugins are used here, so the hook is removed.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

_SVG: Final = "{http://www.w3.org/2000/svg}"
_COMMON: Final[dict[str, Any]] = {
    "js": [],
    "style": Style(label_font_size=13, major_label_font_size=13, legend_font_size=13),
    "width": 400,
    "height": 220,
    "margin": 6,
    "show_legend": True,
    "legend_at_bottom": True,
    "legend_box_size": 11,
    "print_values": False,
    "truncate_legend": -1,
    "truncate_label": -1,
    "no_data_text": "",
    "include_x_axis": True,
    "min_scale": 2,
    "max_scale": 6,
}
_LABELS: Final = 5
"""The largest number of days that are labelled below a chart."""

WEEK: Final = 7
MOST_DAYS: Final = 31
"""The largest number of days that have a bar each; with more, each bar is a week. Else they could not be told apart."""

_STEPS: Final = 5
"""The largest number of steps on an axis of counts."""


class _Quick:
    """A chart that is drawn in about half of pygal's time, and looks the same once it is stripped."""

    def __getattribute__(self, name: str) -> Any:
        """As pygal does it: from the state of the drawing, if there is one and it has the name, or else from the chart.

        Pygal asks itself for the state on each access, up to three times.
        """
        state = object.__getattribute__(self, "__dict__").get("state")
        if state is None or name == "state" or name.startswith("__") or name not in state.__dict__:
            return object.__getattribute__(self, name)
        return getattr(state, name)

    def _tooltip_data(self, *_: Any, **__: Any) -> None:
        """Write none of the values that pygal's script would show: ``_strip`` would remove them."""


def _quick(chart: Any) -> Any:
    """The class that draws quickly. It has pygal's name, which is in the drawing."""
    return type(chart.__name__, (_Quick, chart), {})


_STACKED_BAR: Final = _quick(pygal.StackedBar)
_BAR: Final = _quick(pygal.Bar)
_HORIZONTAL_BAR: Final = _quick(pygal.HorizontalBar)
_LINE: Final = _quick(pygal.Line)


def stacked(title: str, days: Sequence[date], series: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """Bars by day, or by week with more than ``MOST_DAYS`` days, with the series stacked."""
    if len(days) > MOST_DAYS:
        days, series = _first_days(days), [(name, weekly(values)) for name, values in series]
    heights = [sum(values) for values in zip(*(values for _, values in series), strict=True)]
    return _drawn(_STACKED_BAR(**_COMMON, **_whole(heights)), title, _named(days), series)


def weekly(values: Sequence[float]) -> list[float]:
    """Add daily values up by weeks; the last week is whole, and the first may have fewer days."""
    first = len(values) % WEEK
    ends = [*([first] if first else []), *range(first + WEEK, len(values) + 1, WEEK)]
    return [sum(values[max(end - WEEK, 0) : end]) for end in ends]


def _first_days(days: Sequence[date]) -> list[date]:
    """Return the first day of each of these weeks."""
    first = len(days) % WEEK
    return [*(days[:1] if first else []), *days[first::WEEK]]


def bars(title: str, labels: Sequence[str], name: str, values: Sequence[float]) -> Markup:
    """One bar for each label."""
    return _drawn(_BAR(**{**_COMMON, **_whole(values), "show_legend": False}), title, labels, [(name, values)])


def ranking(title: str, labels: Sequence[str], values: Sequence[float]) -> Markup:
    """Horizontal bars, the longest on top."""
    height = 50 + 30 * len(labels)
    chart = _HORIZONTAL_BAR(**{**_COMMON, **_whole(values), "show_legend": False, "height": height})
    return _drawn(chart, title, labels[::-1], [("", values[::-1])])


def lines(title: str, days: Sequence[date], series: Sequence[tuple[str, Sequence[float | None]]]) -> Markup:
    """One line for each series, with a gap on days without a value."""
    return _drawn(_LINE(**_COMMON, dots_size=3, margin_right=26), title, _named(days), series)


def _whole(values: Sequence[float]) -> dict[str, Any]:
    """Return the steps of an axis of counts: whole numbers."""
    if not all(isinstance(value, int) for value in values):
        return {}
    top = int(max(values, default=0))
    step = max(-(-top // _STEPS), 1)
    return {"y_labels": list(range(0, top + step, step)), "value_formatter": "{:.0f}".format}


def _named(days: Sequence[date]) -> list[str]:
    every = -(-len(days) // _LABELS)
    return [f"{day.day} {day:%b}" if (len(days) - 1 - place) % every == 0 else "" for place, day in enumerate(days)]


def _drawn(chart: Any, title: str, labels: Sequence[str], series: Sequence[tuple[str, Sequence[Any]]]) -> Markup:
    chart.x_labels = list(labels)
    for name, values in series:
        chart.add(name, list(values))
    svg = ET.fromstring(chart.render())  # noqa: S314 - made by pygal a moment ago
    _strip(svg)
    svg.set("role", "img")
    svg.set("aria-label", title)
    ET.register_namespace("", _SVG.strip("{}"))
    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704 - pygal and ElementTree escape the texts


def _strip(svg: ET.Element) -> None:
    """Remove styles and scripts, which the content security policy would refuse, and the hidden copies of values that
    pygal's script would show.
    """
    for parent in list(svg.iter()):
        parent.attrib.pop("style", None)
        for child in list(parent):
            kinds = (child.get("class") or "").split()
            if child.tag in (f"{_SVG}style", f"{_SVG}script", f"{_SVG}desc") or "tooltip" in kinds:
                parent.remove(child)
