"""The lifecycle of a payment as a picture, drawn from the lifecycle table: where the payment is, the way that it has
come, and where it may go from here."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

from booking_payments.domain.events import Recorded
from booking_payments.domain.lifecycle import PAYMENT, PaymentStatus, Verdict
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
"""Column and row of each status. A test holds that none is missing."""

WIDTH, HEIGHT, ACROSS, DOWN = 176, 40, 216, 82
MIDDLE, GAP = HEIGHT // 2, (DOWN - HEIGHT) // 2
Move = tuple[PaymentStatus, PaymentStatus]


def moves() -> set[Move]:
    """Every move from one status to another that the table allows."""
    return {
        (state, target)
        for state, row in PAYMENT.items()
        for target in row.values()
        if state is not None and not isinstance(target, Verdict) and target is not state
    }


def walked(journal: Iterable[Recorded]) -> list[PaymentStatus]:
    """The statuses that a payment was in, in order."""
    payment: Payment | None = None
    way: list[PaymentStatus] = []
    for recorded in journal:
        payment = evolve(payment, recorded)
        if not way or way[-1] is not payment.status:
            way.append(payment.status)
    return way


def diagram(here: PaymentStatus, way: Sequence[PaymentStatus]) -> Markup:
    """The picture as SVG. What it shows is said in its title, too."""
    gone = list(dict.fromkeys(pairwise(way)))
    ahead = sorted((move for move in moves() if move[0] is here and move not in gone), key=lambda move: move[1].value)
    svg = ET.Element("svg", {"class": "lifecycle", "viewBox": "0 0 840 224", "role": "img", "aria-labelledby": "way"})
    ET.SubElement(svg, "title", {"id": "way"}).text = _told(here, way)
    for kind in ("way", "next"):
        _tip(svg, kind)
    for move in ahead:
        _arrow(svg, move, "next")
    for move in gone:
        _arrow(svg, move, "way")
    for status in PLACES:
        _box(svg, status, "here" if status is here else "been" if status in way else "")
    # The names come from our own table, and ElementTree escapes them.
    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704


def _told(here: PaymentStatus, way: Sequence[PaymentStatus]) -> str:
    names = ", then ".join(status.value.replace("_", " ") for status in way)
    return f"The payment is in {here.value.replace('_', ' ')}. Its way: {names}."


def _tip(svg: ET.Element, kind: str) -> None:
    shape = {"id": f"tip-{kind}", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "orient": "auto"}
    marker = ET.SubElement(
        svg, "marker", {**shape, "markerWidth": "9", "markerHeight": "9", "markerUnits": "userSpaceOnUse"}
    )
    ET.SubElement(marker, "path", {"d": "M0 0L8 4L0 8z"})


def _box(svg: ET.Element, status: PaymentStatus, kind: str) -> None:
    x, y = _corner(status)
    group = ET.SubElement(svg, "g", {"class": kind})
    ET.SubElement(group, "rect", {"x": str(x), "y": str(y), "width": str(WIDTH), "height": str(HEIGHT), "rx": "9"})
    text = ET.SubElement(group, "text", {"x": str(x + WIDTH // 2), "y": str(y + 25)})
    text.text = status.value.replace("_", " ")


def _corner(status: PaymentStatus) -> tuple[int, int]:
    column, row = PLACES[status]
    return 8 + column * ACROSS, 10 + row * DOWN


def _arrow(svg: ET.Element, move: Move, kind: str) -> None:
    ET.SubElement(svg, "path", {"class": kind, "d": _curve(*move), "marker-end": f"url(#tip-{kind})"})


def _curve(start: PaymentStatus, end: PaymentStatus) -> str:
    """From box to box: straight up or down within a column, sideways to the next one; farther ways go through the
    gaps between the rows, so that no arrow seems to touch a box that it passes."""
    (x0, y0), (x1, y1) = _corner(start), _corner(end)
    if x0 == x1:
        return _within_column(x0, y0, y1)
    if abs(x1 - x0) > ACROSS:
        return _through_gaps(x0, y0, x1, y1)
    onward = x1 > x0
    shift = -7 if onward else 7
    begin, stop = (x0 + WIDTH, x1) if onward else (x0, x1 + WIDTH)
    bend = (stop - begin) // 2
    y_begin, y_end = y0 + MIDDLE + shift, y1 + MIDDLE + shift
    return f"M{begin} {y_begin}C{begin + bend} {y_begin} {stop - bend} {y_end} {stop} {y_end}"


def _within_column(x: int, y0: int, y1: int) -> str:
    down = y1 > y0
    if abs(y1 - y0) > DOWN:  # past the box between them
        side = x - 18
        return f"M{x} {y0 + MIDDLE}H{side}V{y1 + MIDDLE}H{x}"
    across = x + WIDTH // 2 + (12 if down else -12)
    return f"M{across} {y0 + (HEIGHT if down else 0)}V{y1 + (0 if down else HEIGHT)}"


def _through_gaps(x0: int, y0: int, x1: int, y1: int) -> str:
    down = y1 > y0
    near, far = x0 + WIDTH // 2, x1 + WIDTH // 2
    gap = y0 + HEIGHT + GAP if down else y0 - GAP
    begin = y0 + HEIGHT if down else y0
    if abs(y1 - y0) > DOWN:  # two rows away: down beside the target's column, and in from the side
        return f"M{near} {begin}V{gap}H{x1 - 20}V{y1 + MIDDLE}H{x1}"
    return f"M{near} {begin}V{gap}H{far}V{y1 + HEIGHT if y1 < y0 else y1}"
