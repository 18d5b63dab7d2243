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

Each picture shows the usual ways from the dot at the top, with the event on each arrow: green states are a success, red
ones an end without one. The table below it is complete: a row is a state, a column an event, and the cell is the next
state.

- *no effect*: a late or repeated report, which changes nothing.
- *illegal*: a contradiction, which is recorded for an operator and never applied.
- `new`: the time before the object was created.
"""

CHAPTERS: tuple[tuple[str, str, Table, type[Enum]], ...] = (
    (
        "Payment",
        "Follow a card without 3-D Secure: `requires_payment_method`, `requires_confirmation`, `succeeded`. "
        "With 3-D Secure `requires_action` comes between, a bank debit is `processing` for days, and a card "
        "that is only authorized waits in `requires_capture`. A refused attempt leads back to "
        "`requires_payment_method`, until none is left. Reports of the gateway may skip steps. From "
        "`canceled` and `failed` only late money leads on, to `succeeded`; nothing leads out of `succeeded`: "
        "refunds and disputes have lifecycles of their own.",
        PAYMENT,
        PaymentEvent,
    ),
    (
        "Refund",
        "Most refunds go from `pending` to `succeeded` within seconds, some methods take days. A refund may "
        "go from `succeeded` to `failed` when the bank sends it back. A refund that failed or was canceled "
        "stays so, and its amount may be refunded again.",
        REFUND,
        RefundEvent,
    ),
    (
        "Dispute",
        "An event is the gateway's report of a status, so the arrows have no names. An inquiry "
        "(`warning_...`) either closes or becomes a chargeback (`needs_response`): send evidence in time, "
        "then the bank decides (`under_review`). `prevented` means that money went back before the bank took "
        "it. A settled dispute stays settled. A report of the present status may still bring another amount "
        "or deadline.",
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


def _name(state: Enum | None) -> str:
    return str(state.value) if state else NEW


def _matrix(table: Table, events: type[Enum]) -> str:
    rows = ([f"`{_name(state)}`", *(_cell(row[event]) for event in events)] for state, row in table.items())
    return _markdown(["", *(event.value for event in events)], rows)


def _cell(entry: Enum) -> str:
    return f"*{entry.value}*" if entry in (NO_EFFECT, ILLEGAL) else f"`{entry.value}`"


def _commands() -> str:
    sentence = "The commands that each state of a payment allows: yes, or the error code."
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
