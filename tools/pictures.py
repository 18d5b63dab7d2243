"""Draw docs/pictures/*.svg from the tables in the code, with Graphviz; a test reports when one is stale.

Each picture contains a hash of its source, so that staleness can be detected without Graphviz.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from tools.diagrams import CHAPTERS, Table

from booking_payments.domain.lifecycle import (
    ILLEGAL,
    NO_EFFECT,
    DisputeStatus,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
)

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"

LOOK: Final = """\
  bgcolor="#ffffff"; pad=0.25; nodesep=0.35; ranksep=0.45;
  node [shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#3b5b92", fontcolor="#1f2733",
    fontname="sans-serif", fontsize=13];
  edge [color="#5b6472", fontcolor="#39414d", fontname="sans-serif", fontsize=11, arrowsize=0.7];
"""
"""From top to bottom, so that it can be read on a phone."""

DARK: Final = """\
<style>@media (prefers-color-scheme:dark){
[fill="#ffffff"]{fill:#15181d} [fill="#eef3fb"]{fill:#22304a}
[fill="#e8f5e9"]{fill:#1d3a25} [fill="#fdecea"]{fill:#46211f}
[stroke="#3b5b92"]{stroke:#86a8e6} [fill="#3b5b92"]{fill:#86a8e6}
[stroke="#5b6472"]{stroke:#aab4c3} [fill="#5b6472"]{fill:#aab4c3} text{fill:#e4e8ee}
}</style>
"""
"""Replaces the colours where the reader prefers dark pages. The pictures have their own background in both schemes."""

USUAL: Final[dict[str, Sequence[tuple[Enum | None, Enum]]]] = {
    "Payment": (
        (None, PaymentEvent.STARTED),
        (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentEvent.METHOD_ATTACHED),
        (PaymentStatus.REQUIRES_CONFIRMATION, PaymentEvent.ACTION_REQUIRED),
        (PaymentStatus.REQUIRES_CONFIRMATION, PaymentEvent.PROCESSING),
        (PaymentStatus.REQUIRES_CONFIRMATION, PaymentEvent.AUTHORIZED),
        (PaymentStatus.REQUIRES_CONFIRMATION, PaymentEvent.REFUSED),
        (PaymentStatus.REQUIRES_ACTION, PaymentEvent.REFUSED),
        (PaymentStatus.REQUIRES_CONFIRMATION, PaymentEvent.SUCCEEDED),
        (PaymentStatus.REQUIRES_ACTION, PaymentEvent.SUCCEEDED),
        (PaymentStatus.PROCESSING, PaymentEvent.SUCCEEDED),
        (PaymentStatus.REQUIRES_CAPTURE, PaymentEvent.SUCCEEDED),
        (PaymentStatus.REQUIRES_CAPTURE, PaymentEvent.CANCELED),
        (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentEvent.CANCELED),
        (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentEvent.EXHAUSTED),
    ),
    "Refund": (
        (None, RefundEvent.REQUESTED),
        (RefundStatus.PENDING, RefundEvent.ACTION_REQUIRED),
        (RefundStatus.PENDING, RefundEvent.SUCCEEDED),
        (RefundStatus.PENDING, RefundEvent.REFUSED),
        (RefundStatus.PENDING, RefundEvent.FAILED),
        (RefundStatus.REQUIRES_ACTION, RefundEvent.SUCCEEDED),
        (RefundStatus.REQUIRES_ACTION, RefundEvent.CANCELED),
        (RefundStatus.SUCCEEDED, RefundEvent.FAILED),
    ),
    "Dispute": (
        (None, DisputeStatus.WARNING_NEEDS_RESPONSE),
        (None, DisputeStatus.NEEDS_RESPONSE),
        (DisputeStatus.WARNING_NEEDS_RESPONSE, DisputeStatus.WARNING_UNDER_REVIEW),
        (DisputeStatus.WARNING_UNDER_REVIEW, DisputeStatus.WARNING_CLOSED),
        (DisputeStatus.WARNING_UNDER_REVIEW, DisputeStatus.NEEDS_RESPONSE),
        (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW),
        (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.LOST),
        (DisputeStatus.UNDER_REVIEW, DisputeStatus.WON),
        (DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST),
        (DisputeStatus.LOST, DisputeStatus.APPEAL_NEEDS_RESPONSE),
        (DisputeStatus.APPEAL_NEEDS_RESPONSE, DisputeStatus.APPEAL_UNDER_REVIEW),
        (DisputeStatus.APPEAL_UNDER_REVIEW, DisputeStatus.WON),
        (DisputeStatus.APPEAL_UNDER_REVIEW, DisputeStatus.LOST),
        (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.PREVENTED),
    ),
}
"""The moves that a picture shows, as state and event. The table below the picture has all of them."""

GOOD: Final = frozenset(
    {PaymentStatus.SUCCEEDED, RefundStatus.SUCCEEDED, DisputeStatus.WON, DisputeStatus.WARNING_CLOSED}
)
ENDED: Final = frozenset(
    {PaymentStatus.CANCELED, PaymentStatus.FAILED, RefundStatus.FAILED, RefundStatus.CANCELED, DisputeStatus.LOST}
)

HEXAGON: Final = """\
digraph {
  rankdir=TB;
{look}
  outside [label="embedding · asgi · serving"];
  outside -> entrypoints -> runtime -> adapters -> application -> ports -> domain;
  entrypoints -> presentation -> application;
  adapters -> sandbox [style=dashed, label="the fake gateway"];
}
"""


def sources() -> Mapping[str, str]:
    """Return the Graphviz source of each picture, by its name."""
    lifecycles = {f"lifecycle-{title.lower()}": _lifecycle(title) for title, *_ in CHAPTERS}
    return {"hexagon": HEXAGON.replace("{look}", LOOK), **lifecycles}


def _lifecycle(title: str) -> str:
    table = next(table for name, _, table, _ in CHAPTERS if name == title)
    usual = usual_moves(title, table)
    states = [f'  "{each.value}" [label="{_stacked(each.value)}"{_colour(each)}];' for each in _shown(usual)]
    arrows = [f'  "{_name(start)}" -> "{end.value}"{_label(title, events)};' for (start, end), events in usual.items()]
    begin = '  "new" [shape=circle, label="", width=0.2, fillcolor="#3b5b92"];'
    return "\n".join(["digraph {", "  rankdir=TB;", LOOK, begin, *states, *arrows, "}"]) + "\n"


def usual_moves(title: str, table: Table) -> dict[tuple[Enum | None, Enum], list[str]]:
    """Return the events of each arrow by its start and end. Raises ``ValueError`` for a move that the table lacks."""
    usual: dict[tuple[Enum | None, Enum], list[str]] = {}
    for state, event in USUAL[title]:
        end = table[state][event]
        if end in (NO_EFFECT, ILLEGAL):
            raise ValueError(f"{title}: {event.value} does not lead out of {_name(state)}")
        usual.setdefault((state, end), []).append(event.value)
    return usual


def _shown(usual: Mapping[tuple[Enum | None, Enum], list[str]]) -> list[Enum]:
    return list(dict.fromkeys(each for pair in usual for each in pair if each is not None))


def _name(state: Enum | None) -> str:
    return str(state.value) if state else "new"


def _colour(state: Enum) -> str:
    if state in GOOD:
        return ', fillcolor="#e8f5e9"'
    return ', fillcolor="#fdecea"' if state in ENDED else ""


def _label(title: str, events: list[str]) -> str:
    """Return the label of an arrow: its events. Those of disputes are named as the states that they lead to."""
    return "" if title == "Dispute" else ' [label=" ' + ",\\n ".join(events) + '"]'


def _stacked(name: str) -> str:
    return name.replace("_", "\\n")


def mark(source: str) -> str:
    """Return the hash that identifies the source of a picture, with its dark colours."""
    return hashlib.sha256((source + DARK).encode()).hexdigest()[:16]


def stale() -> list[str]:
    """Return the names of the pictures that are missing or stale."""
    return [name for name, source in sources().items() if mark(source) not in _text(FOLDER / f"{name}.svg")]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def draw(name: str, source: str) -> None:
    """Draw one picture."""
    dot = shutil.which("dot") or "dot"
    drawn = subprocess.run(  # noqa: S603 - our own argument
        [dot, "-Tsvg"], input=source, capture_output=True, text=True, check=True
    ).stdout
    svg = drawn[drawn.index("<svg") :]
    without_size = re.sub(r'<svg width="(\d+)pt" height="\d+pt"', r'<svg width="\1"', svg, count=1)
    head, opened, rest = without_size.partition(">\n")
    text = f"<!-- drawn from {mark(source)} -->\n{head}{opened}{DARK}{rest}"
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


def main() -> int:
    """Draw the stale pictures; returns the exit code."""
    if stale() and shutil.which("dot") is None:
        sys.stderr.write(f"stale: {', '.join(stale())}. Drawing needs Graphviz: apt install graphviz\n")
        return 1
    for name in stale():
        draw(name, sources()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
