"""Draw the sequence diagrams in docs/pictures/sequence-*.svg; with ``--check`` only say (exit code 1) which are stale.

The pictures have their own background and follow the reader's dark or light colour scheme.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from attrs import frozen

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"

STYLE: Final = """\
text{font:12px sans-serif;fill:#1f2733}
.head{font-weight:600}
.page{fill:#fff}
.actor{fill:#eef3fb;stroke:#3b5b92}
.life{stroke:#b3bdcc;stroke-dasharray:3 4}
.arrow{stroke:#5b6472;fill:none}
.tip{fill:#5b6472}
.lost{stroke:#b3261e;fill:none}
.note{fill:#fff8e1;stroke:#c9a227}
.later{fill:#3b5b92}
@media (prefers-color-scheme:dark){
text{fill:#e4e8ee}
.page{fill:#15181d}
.actor{fill:#22304a;stroke:#86a8e6}
.life{stroke:#4a5568}
.arrow{stroke:#aab4c3}
.tip{fill:#aab4c3}
.lost{stroke:#ff8a80}
.note{fill:#3a3216;stroke:#c9a227}
.later{fill:#86a8e6}
}"""

COLUMN: Final = 178
"""Pixels between two lifelines."""
ROW: Final = 34
MARGIN: Final = 84
LINE: Final = 16


@frozen
class Call:
    """An arrow from one participant to another; ``lost``: it never arrives."""

    source: str
    target: str
    text: str
    answer: bool = False
    lost: bool = False


@frozen
class Note:
    """Work of one participant, one line of text each."""

    owner: str
    lines: tuple[str, ...]


@frozen
class Later:
    """A heading across the picture: time has passed."""

    text: str


Step = Call | Note | Later


@frozen
class Diagram:
    """A sequence of steps between participants, from left to right."""

    title: str
    participants: tuple[str, ...]
    steps: tuple[Step, ...]


APP: Final = "booking app"
BROWSER: Final = "customer's browser"
SERVICE: Final = "booking-payments"
BOOKS: Final = "database"
GATEWAY: Final = "gateway"

DIAGRAMS: Final[Mapping[str, Diagram]] = {
    "payment": Diagram(
        "A payment: two transactions around one call",
        (APP, BROWSER, SERVICE, BOOKS, GATEWAY),
        (
            Call(APP, SERVICE, "register the booking"),
            Call(BROWSER, SERVICE, "pay: intent, payment method"),
            Note(BOOKS, ("lock the booking", "PaymentStarted, AttemptStarted", "OperationIntended (key)", "commit")),
            Call(SERVICE, GATEWAY, "create and confirm the intent, with the key"),
            Call(GATEWAY, SERVICE, "succeeded", answer=True),
            Note(BOOKS, ("PaymentSucceeded", "BookingConfirmed", "postings, messages", "commit")),
            Call(SERVICE, BROWSER, "200: succeeded", answer=True),
            Later("In the background"),
            Call(SERVICE, APP, "message: booking.confirmed"),
        ),
    ),
    "authentication": Diagram(
        "A payment with 3-D Secure, and its webhook",
        (APP, BROWSER, SERVICE, BOOKS, GATEWAY),
        (
            Call(BROWSER, SERVICE, "pay: intent, payment method"),
            Call(SERVICE, GATEWAY, "create and confirm the intent"),
            Call(GATEWAY, SERVICE, "requires_action, client secret", answer=True),
            Note(BOOKS, ("ActionRequired", "commit")),
            Call(SERVICE, BROWSER, "200: client_secret, next_action", answer=True),
            Call(BROWSER, GATEWAY, "the customer confirms at the bank"),
            Later("The gateway charges, and sends an event"),
            Call(GATEWAY, SERVICE, "webhook: payment_intent.succeeded, signed"),
            Note(SERVICE, ("verify the signature", "over the raw bytes")),
            Note(BOOKS, ("store the event: known?", "PaymentSucceeded", "BookingConfirmed", "messages, commit")),
            Call(SERVICE, GATEWAY, "200: processed", answer=True),
            Call(SERVICE, APP, "message: booking.confirmed"),
        ),
    ),
    "webhook": Diagram(
        "A webhook: final states are booked, others are read again",
        (GATEWAY, SERVICE, BOOKS, APP),
        (
            Call(GATEWAY, SERVICE, "event, signed"),
            Note(SERVICE, ("wrong signature: 400,", "nothing is stored")),
            Note(BOOKS, ("gateway, event id, type known:", "200 duplicate, no effect")),
            Note(BOOKS, ("store the event", "succeeded or canceled:", "apply it, commit")),
            Call(SERVICE, GATEWAY, "any other state: read the object"),
            Call(GATEWAY, SERVICE, "the object as it is now", answer=True),
            Note(BOOKS, ("lock the booking", "apply what is newer, commit")),
            Call(SERVICE, GATEWAY, "200: processed", answer=True),
            Note(SERVICE, ("an error: keep the event as failed,", "400, so that it is sent again")),
            Call(SERVICE, APP, "messages"),
        ),
    ),
    "refund": Diagram(
        "A refund: the amount is reserved before the call",
        (APP, BROWSER, SERVICE, BOOKS, GATEWAY),
        (
            Call(BROWSER, SERVICE, "refund/quote"),
            Call(SERVICE, BROWSER, "amount, refundable_until", answer=True),
            Call(BROWSER, SERVICE, "refund"),
            Note(
                BOOKS,
                ("lock the booking, quote again", "RefundRequested: reserved", "OperationIntended (key)", "commit"),
            ),
            Call(SERVICE, GATEWAY, "create the refund, with the key"),
            Call(GATEWAY, SERVICE, "pending", answer=True),
            Note(BOOKS, ("RefundLinked, RefundMoved", "commit")),
            Call(SERVICE, BROWSER, "200: pending", answer=True),
            Later("The bank takes its time"),
            Call(GATEWAY, SERVICE, "webhook: refund.updated, succeeded"),
            Note(BOOKS, ("RefundMoved, postings", "messages, commit")),
            Call(SERVICE, APP, "message: refund.succeeded"),
        ),
    ),
    "outcome-unknown": Diagram(
        "An unknown outcome: the same key until it is known",
        (APP, BROWSER, SERVICE, BOOKS, GATEWAY),
        (
            Call(BROWSER, SERVICE, "pay: intent, payment method"),
            Note(BOOKS, ("OperationIntended", "(key, exact parameters)", "commit")),
            Call(SERVICE, GATEWAY, "create and confirm the intent, with the key"),
            Call(GATEWAY, SERVICE, "the answer is lost", answer=True, lost=True),
            Note(BOOKS, ("OutcomeLeftUnknown", "the booking stays held", "commit")),
            Call(SERVICE, BROWSER, "503: outcome_unknown", answer=True),
            Call(BROWSER, SERVICE, "pay again"),
            Note(SERVICE, ("no second charge: the first", "operation is still open")),
            Later("After 5 s, 30 s, 2 min, 10 min, 1 h, 6 h, then daily"),
            Call(SERVICE, GATEWAY, "read the intent, or send again with the same key"),
            Call(GATEWAY, SERVICE, "succeeded: charged once", answer=True),
            Note(BOOKS, ("PaymentSucceeded", "OperationSettled", "messages, commit")),
            Call(SERVICE, APP, "message: booking.confirmed"),
        ),
    ),
}


def picture(diagram: Diagram) -> str:
    """Return the SVG of a diagram."""
    width = 2 * MARGIN + COLUMN * (len(diagram.participants) - 1)
    places = {name: MARGIN + COLUMN * number for number, name in enumerate(diagram.participants)}
    drawn: list[str] = []
    y = 62
    for step in diagram.steps:
        y, parts = _step(step, y, places, width)
        drawn.extend(parts)
    height = y + 14
    lines = [f'<path class="life" d="M{x} 44V{height - 8}"/>' for x in places.values()]
    heads = [part for name, x in places.items() for part in _head(name, x)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{escape(diagram.title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *lines,
            *heads,
            *drawn,
            "</svg>\n",
        ]
    )


def _head(name: str, x: int) -> Iterator[str]:
    yield f'<rect class="actor" x="{x - 72}" y="14" width="144" height="30" rx="5"/>'
    yield _text(name, x, 33, "head")


def _text(text: str, x: int, y: int, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _step(step: Step, y: int, places: Mapping[str, int], width: int) -> tuple[int, Sequence[str]]:
    """Return where the next step begins, and the parts of this one."""
    if isinstance(step, Later):
        return y + ROW, [_text(step.text, width // 2, y + 18, "head later")]
    if isinstance(step, Note):
        return _note(step, y, places[step.owner])
    return y + ROW + 4, list(_arrow(step, y + 24, places[step.source], places[step.target]))


def _note(note: Note, y: int, x: int) -> tuple[int, Sequence[str]]:
    height = LINE * len(note.lines) + 8
    half = 4 * max(map(len, note.lines))
    box = f'<rect class="note" x="{x - half}" y="{y + 4}" width="{2 * half}" height="{height}" rx="3"/>'
    texts = [_text(line, x, y + 4 + LINE * (number + 1)) for number, line in enumerate(note.lines)]
    return y + height + 12, [box, *texts]


def _arrow(call: Call, y: int, start: int, end: int) -> Iterator[str]:
    way = 1 if end > start else -1
    tip = start + (end - start) // 2 if call.lost else end
    dashes = ' stroke-dasharray="5 3"' if call.answer else ""
    yield _text(call.text, (start + end) // 2, y - 6)
    yield f'<path class="arrow"{dashes} d="M{start} {y}H{tip - way}"/>'
    if call.lost:
        yield f'<path class="lost" stroke-width="2" d="M{tip - 6} {y - 6}l12 12m0 -12l-12 12"/>'
    else:
        yield f'<path class="tip" d="M{tip} {y}l{-8 * way} -4v8z"/>'


def stale() -> list[str]:
    """Return the names of the pictures that are missing or differ from what would be drawn."""
    return [name for name, diagram in DIAGRAMS.items() if _written(name) != picture(diagram)]


def _path(name: str) -> Path:
    return FOLDER / f"sequence-{name}.svg"


def _written(name: str) -> str:
    path = _path(name)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Draw the stale pictures, or with ``--check`` only name them; returns the exit code."""
    found = stale()
    if arguments == ["--check"]:
        if found:
            sys.stderr.write(f"stale: {', '.join(found)}. Run `make docs`\n")
        return int(bool(found))
    for name in found:
        _path(name).write_text(picture(DIAGRAMS[name]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
