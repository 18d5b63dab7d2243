"""Charts as SVG, by pygal, without its own style and script: colours come from our sheet, so they follow dark mode, and
the policy of the page holds."""

import sys
from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup
from pygal.style import Style

# Pygal looks for plugins of its own at every import of anything, in a way that Python 3.11 warns of and 3.12 has given
# up. We have none.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

_SVG: Final = "{http://www.w3.org/2000/svg}"
_COMMON: Final[dict[str, Any]] = {
    "js": [],
    "style": Style(label_font_size=13, major_label_font_size=13, legend_font_size=13),
    "width": 480,
    "height": 230,
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
"""How many days are named below a chart at most."""

_STEPS: Final = 5
"""How many steps an axis of counts has at most."""


def stacked(title: str, days: Sequence[date], series: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """Bars of days, the series on top of one another."""
    heights = [sum(values) for values in zip(*(values for _, values in series), strict=True)]
    return _drawn(pygal.StackedBar(**_COMMON, **_whole(heights)), title, _named(days), series)


def bars(title: str, labels: Sequence[str], name: str, values: Sequence[float]) -> Markup:
    """One bar for each label."""
    return _drawn(pygal.Bar(**{**_COMMON, **_whole(values), "show_legend": False}), title, labels, [(name, values)])


def ranking(title: str, labels: Sequence[str], values: Sequence[float]) -> Markup:
    """Bars that lie, the longest on top."""
    height = 50 + 30 * len(labels)
    chart = pygal.HorizontalBar(**{**_COMMON, **_whole(values), "show_legend": False, "height": height})
    return _drawn(chart, title, labels[::-1], [("", values[::-1])])


def lines(title: str, days: Sequence[date], series: Sequence[tuple[str, Sequence[float | None]]]) -> Markup:
    """A line for each series; days without a value are left open."""
    return _drawn(pygal.Line(**_COMMON, dots_size=3, margin_right=26), title, _named(days), series)


def _whole(values: Sequence[float]) -> dict[str, Any]:
    """The steps of an axis of counts: there is no half of a payment."""
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
    """Take out styles and scripts, which the page's policy would refuse anyway, and the hidden copies of values that
    pygal's script would show."""
    for parent in list(svg.iter()):
        parent.attrib.pop("style", None)
        for child in list(parent):
            kinds = (child.get("class") or "").split()
            if child.tag in (f"{_SVG}style", f"{_SVG}script", f"{_SVG}desc") or "tooltip" in kinds:
                parent.remove(child)
