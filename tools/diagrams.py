"""Print docs/lifecycles.md from the lifecycle tables; with ``--check`` only say (exit code 1) when it is stale."""

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from booking_payments.domain.lifecycle import (
    COMMANDS,
    DISPUTE,
    ILLEGAL,
    NO_EFFECT,
    PAYMENT,
    REFUND,
    Command,
    DisputeStatus,
    PaymentEvent,
    RefundEvent,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "lifecycles.md"
NEW = "new"

Table = Mapping[Any, Mapping[Any, Any]]

HEAD = """\
# Lifecycles

Printed by `make docs` from the tables in `src/booking_payments/domain/lifecycle.py`; edit those instead.

A row is where a thing is, a column what happens to it. A name in a cell is the state it moves to; *no effect* is late
or repeated news that changes nothing; *illegal* is a contradiction, which is recorded for a person and never applied.
`new` is the time before the thing was made. The pictures leave out what
has no effect or is illegal, and the names of the events where there are too many.
"""

CHAPTERS: tuple[tuple[str, str, Table, type[Enum]], ...] = (
    (
        "Payment",
        "A report of the gateway may skip steps, a success is always booked, and nothing leads out of `succeeded`: "
        "refunds and disputes are lifecycles of their own.",
        PAYMENT,
        PaymentEvent,
    ),
    (
        "Refund",
        "A refund may fall from `succeeded` to `failed` when the bank sends it back; a refund that failed or was "
        "canceled stays so, and its amount may be refunded again.",
        REFUND,
        RefundEvent,
    ),
    (
        "Dispute",
        "An event is the gateway's report of a status. An inquiry (`warning_...`) either closes or becomes a "
        "chargeback; a settled dispute stays settled. A report of the status that it has already moves nothing, and "
        "may still bring another amount or deadline.",
        DISPUTE,
        DisputeStatus,
    ),
)


def page() -> str:
    """Return the text of docs/lifecycles.md."""
    chapters = (_chapter(*chapter) for chapter in CHAPTERS)
    return "\n".join([HEAD, *chapters, _commands()])


def _chapter(title: str, sentence: str, table: Table, events: type[Enum]) -> str:
    return "\n".join([f"## {title}\n", sentence, "", _picture(title), "", _matrix(table, events), ""])


def _picture(title: str) -> str:
    name = title.lower()
    return f"![The lifecycle of a {name}](pictures/lifecycle-{name}.svg)"


def moves(table: Table) -> dict[tuple[str, str], list[str]]:
    """Return the events of each arrow by its start and end, so that two states are joined by one line."""
    moves: dict[tuple[str, str], list[str]] = {}
    for state, row in table.items():
        for event, entry in row.items():
            if entry not in (NO_EFFECT, ILLEGAL):
                moves.setdefault((_name(state), entry.value), []).append(event.value)
    return moves


def _name(state: Enum | None) -> str:
    return str(state.value) if state else NEW


def _matrix(table: Table, events: type[Enum]) -> str:
    rows = ([f"`{_name(state)}`", *(_cell(row[event]) for event in events)] for state, row in table.items())
    return _markdown(["", *(event.value for event in events)], rows)


def _cell(entry: Enum) -> str:
    return f"*{entry.value}*" if entry in (NO_EFFECT, ILLEGAL) else f"`{entry.value}`"


def _commands() -> str:
    sentence = "What each state of a payment admits: yes, or the code of the reason against it."
    rows = (
        [f"`{status.value}`", *(f"`{denial.code}`" if (denial := row[command]) else "yes" for command in Command)]
        for status, row in COMMANDS.items()
    )
    return "\n".join(["## Commands\n", sentence, "", _markdown(["", *(c.value for c in Command)], rows), ""])


def _markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def is_stale() -> bool:
    """Return whether docs/lifecycles.md is up to date with the tables."""
    return not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` only compare it; returns the exit code."""
    if arguments == ["--check"]:
        if is_stale():
            sys.stderr.write("docs/lifecycles.md is stale: run `make docs`\n")
        return int(is_stale())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
