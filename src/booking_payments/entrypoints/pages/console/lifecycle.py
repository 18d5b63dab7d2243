"""Diagram of a payment's lifecycle, drawn from the lifecycle table: its status, the statuses before, and those it can
reach.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise, zip_longest
from typing import Final
from xml.etree import ElementTree as ET

from attrs import frozen
from markupsafe import Markup

from booking_payments.domain.events import Recorded
from booking_payments.domain.lifecycle import PAYMENT, NoTransition, PaymentStatus
from booking_payments.domain.payment import Payment, evolve

S = PaymentStatus

PLACES: Final = {
    S.REQUIRES_PAYMENT_METHOD: (0, 1),
    S.REQUIRES_CONFIRMATION: (1, 0),
    S.REQUIRES_ACTION: (1, 1),
    S.PROCESSING: (1, 2),
    S.REQUIRES_CAPTURE: (2, 1),
    S.SUCCEEDED: (3, 1),
    S.FAILED: (3, 2),
    S.CANCELED: (3, 0),
}
"""Column and row of each status. A test checks that none is missing."""

LINE: Final = 15
"""Distance between two lines of a label."""

Move = tuple[PaymentStatus, PaymentStatus]


@frozen(kw_only=True)
class Plan:
    """How the boxes are laid out, with time running to the right.

    The size of a box along and across the direction of time, and the distance from one column and row to the next.
    ``turned`` exchanges both axes, so that time runs down.
    """

    name: str
    along: int
    aside: int
    column: int
    row: int
    turned: bool = False

    def corner(self, status: PaymentStatus) -> tuple[int, int]:
        """Return the top left corner of a status's box."""
        column, row = PLACES[status]
        return 8 + column * self.column, 10 + row * self.row

    @property
    def size(self) -> tuple[int, int]:
        """Return the size of the diagram."""
        columns, rows = (max(place[axis] for place in PLACES.values()) for axis in (0, 1))
        return 16 + columns * self.column + self.along, 20 + rows * self.row + self.aside


WIDE: Final = Plan(name="wide", along=200, aside=40, column=240, row=82)
TALL: Final = Plan(name="tall", along=58, aside=100, column=92, row=117, turned=True)
"""For screens that are too narrow for the horizontal layout."""


def moves() -> set[Move]:
    """Every transition between two statuses that the table allows."""
    return {
        (state, target)
        for state, row in PAYMENT.items()
        for target in row.values()
        if state is not None and not isinstance(target, NoTransition) and target is not state
    }


def walked(journal: Iterable[Recorded]) -> list[PaymentStatus]:
    """Return the statuses that a payment has had, in order."""
    payment: Payment | None = None
    way: list[PaymentStatus] = []
    for recorded in journal:
        payment = evolve(payment, recorded)
        if not way or way[-1] is not payment.status:
            way.append(payment.status)
    return way


def diagram(here: PaymentStatus, way: Sequence[PaymentStatus]) -> Markup:
    """Return the diagram as SVG, once horizontal and once vertical; the style sheet shows the one that fits. Its title
    describes it for screen readers.
    """
    # Labels come from the lifecycle table, not from a request, and ElementTree escapes them.
    return Markup("".join(ET.tostring(_drawn(plan, here, way), encoding="unicode") for plan in (WIDE, TALL)))  # noqa: S704


def _drawn(plan: Plan, here: PaymentStatus, way: Sequence[PaymentStatus]) -> ET.Element:
    gone = list(dict.fromkeys(pairwise(way)))
    ahead = sorted((move for move in moves() if move[0] is here and move not in gone), key=lambda move: move[1].value)
    width, height = reversed(plan.size) if plan.turned else plan.size
    look = {"class": f"lifecycle {plan.name}", "viewBox": f"0 0 {width} {height}"}
    svg = ET.Element("svg", {**look, "role": "img", "aria-labelledby": f"way-{plan.name}"})
    ET.SubElement(svg, "title", {"id": f"way-{plan.name}"}).text = _describe_path(here, way)
    for kind in ("way", "next"):
        _tip(svg, plan, kind)
    for move in ahead:
        _arrow(svg, plan, move, "next")
    for move in gone:
        _arrow(svg, plan, move, "way")
    for status in PLACES:
        _box(svg, plan, status, "here" if status is here else "been" if status in way else "")
    return svg


def _describe_path(here: PaymentStatus, way: Sequence[PaymentStatus]) -> str:
    names = ", then ".join(status.value.replace("_", " ") for status in way)
    return f"The payment is in {here.value.replace('_', ' ')}. Its way: {names}."


def _tip(svg: ET.Element, plan: Plan, kind: str) -> None:
    shape = {"id": f"tip-{kind}-{plan.name}", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "orient": "auto"}
    size = {"markerWidth": "9", "markerHeight": "9", "markerUnits": "userSpaceOnUse"}
    marker = ET.SubElement(svg, "marker", {**shape, **size, "class": f"tip-{kind}"})
    ET.SubElement(marker, "path", {"d": "M0 0L8 4L0 8z"})


def _box(svg: ET.Element, plan: Plan, status: PaymentStatus, kind: str) -> None:
    (x, y), (width, height) = plan.corner(status), (plan.along, plan.aside)
    if plan.turned:
        x, y, width, height = y, x, height, width
    group = ET.SubElement(svg, "g", {"class": kind})
    ET.SubElement(group, "rect", {"x": str(x), "y": str(y), "width": str(width), "height": str(height), "rx": "9"})
    words = status.value.split("_")
    lines = words if plan.turned else [" ".join(words)]
    top = y + height // 2 + 5 - (len(lines) - 1) * LINE // 2
    for number, line in enumerate(lines):
        ET.SubElement(group, "text", {"x": str(x + width // 2), "y": str(top + number * LINE)}).text = line


def _arrow(svg: ET.Element, plan: Plan, move: Move, kind: str) -> None:
    way = _curve(plan, *move)
    tip = f"url(#tip-{kind}-{plan.name})"
    ET.SubElement(svg, "path", {"class": kind, "d": _mirrored(way) if plan.turned else way, "marker-end": tip})


def _mirrored(path: str) -> str:
    """Return the path with x and y exchanged."""
    steps = ((step[0], [float(each) for each in step[1:].split()]) for step in re.findall(r"[MHVC][^MHVC]*", path))
    turned = {"H": "V", "V": "H"}
    return "".join(
        turned.get(kind, kind)
        + " ".join(f"{each:g}" for x, y in _pairs(numbers) for each in (y, x) if each is not None)
        for kind, numbers in steps
    )


def _pairs(numbers: Sequence[float]) -> list[tuple[float, float | None]]:
    return list(zip_longest(numbers[::2], numbers[1::2]))


def _curve(plan: Plan, start: PaymentStatus, end: PaymentStatus) -> str:
    """Return the path of an arrow between two boxes.

    It is straight up or down within a column, and sideways to the next one. Longer arrows run in the gaps between the
    rows, so that none touches a box that it passes.
    """
    (x0, y0), (x1, y1) = plan.corner(start), plan.corner(end)
    if x0 == x1:
        return _within_column(plan, x0, y0, y1)
    if abs(x1 - x0) > plan.column:
        return _through_gaps(plan, x0, y0, x1, y1)
    onward = x1 > x0
    shift = -7 if onward else 7
    begin, stop = (x0 + plan.along, x1) if onward else (x0, x1 + plan.along)
    bend = (stop - begin) // 2
    y_begin, y_end = y0 + plan.aside // 2 + shift, y1 + plan.aside // 2 + shift
    return f"M{begin} {y_begin}C{begin + bend} {y_begin} {stop - bend} {y_end} {stop} {y_end}"


def _within_column(plan: Plan, x: int, y0: int, y1: int) -> str:
    down, middle = y1 > y0, plan.aside // 2
    if abs(y1 - y0) > plan.row:  # around the box between them
        side = x - 18
        return f"M{x} {y0 + middle}H{side}V{y1 + middle}H{x}"
    across = x + plan.along // 2 + (12 if down else -12)
    return f"M{across} {y0 + (plan.aside if down else 0)}V{y1 + (0 if down else plan.aside)}"


def _through_gaps(plan: Plan, x0: int, y0: int, x1: int, y1: int) -> str:
    down, middle = y1 > y0, plan.aside // 2
    near, far = x0 + plan.along // 2, x1 + plan.along // 2
    half = (plan.row - plan.aside) // 2
    gap = y0 + plan.aside + half if down else y0 - half
    begin = y0 + plan.aside if down else y0
    if abs(y1 - y0) > plan.row:  # two rows away: down beside the target's column, and in from the side
        return f"M{near} {begin}V{gap}H{x1 - 20}V{y1 + middle}H{x1}"
    return f"M{near} {begin}V{gap}H{far}V{y1 + plan.aside if y1 < y0 else y1}"
