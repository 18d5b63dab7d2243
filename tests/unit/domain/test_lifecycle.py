"""The three tables, walked pair by pair against a second notation that was written apart from them.

A cell of the notation is the next state's letter, ``.`` for no effect or ``!`` for illegal.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from booking_payments.domain.errors import IllegalTransition, NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.lifecycle import (
    COMMANDS,
    DISPUTE,
    ILLEGAL,
    NO_EFFECT,
    PAYMENT,
    REFUND,
    Command,
    Denial,
    DisputeStatus,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
    move,
    require,
)
from tests.rows import row

S, R, P = PaymentStatus, RefundStatus, DisputeStatus

PAYMENT_LETTERS = {
    "m": S.REQUIRES_PAYMENT_METHOD, "c": S.REQUIRES_CONFIRMATION, "a": S.REQUIRES_ACTION, "p": S.PROCESSING,
    "h": S.REQUIRES_CAPTURE, "s": S.SUCCEEDED, "x": S.CANCELED, "f": S.FAILED, "-": None,
}  # fmt: skip
PAYMENT_EVENTS = [
    "started", "method required", "method attached", "action required", "processing", "authorized", "succeeded",
    "attempt refused", "attempts exhausted", "canceled",
]  # fmt: skip
# Stripe's lifecycle page, with skipped steps allowed; a hold ends captured or canceled; success is final.
PAYMENT_GRID = """
    -  m ! ! ! ! ! ! ! ! !
    m  ! . c a p h s m f x
    c  ! m . a p h s m f x
    a  ! m c . p h s m f x
    p  ! m c a . h s m f x
    h  ! . . . p . s . ! x
    s  ! . . . . . . . ! !
    x  ! . . . . . s . ! .
    f  ! . . . . . s . . .
"""

REFUND_LETTERS = {
    "p": R.PENDING, "a": R.REQUIRES_ACTION, "s": R.SUCCEEDED, "f": R.FAILED, "x": R.CANCELED, "-": None,
}  # fmt: skip
REFUND_EVENTS = ["requested", "refused", "pending", "action required", "succeeded", "failed", "canceled"]
REFUND_GRID = """
    -  p ! p a s f x
    p  ! f . a s f x
    a  ! ! p . s f x
    s  ! ! . a . f x
    f  ! . . . ! . .
    x  ! ! . . ! . .
"""

DISPUTE_LETTERS = {
    "i": P.WARNING_NEEDS_RESPONSE, "j": P.WARNING_UNDER_REVIEW, "k": P.WARNING_CLOSED, "n": P.NEEDS_RESPONSE,
    "u": P.UNDER_REVIEW, "w": P.WON, "l": P.LOST, "v": P.PREVENTED, "a": P.APPEAL_NEEDS_RESPONSE,
    "b": P.APPEAL_UNDER_REVIEW, "?": P.UNKNOWN, "-": None,
}  # fmt: skip
DISPUTE_EVENTS = [
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "won", "lost",
    "prevented", "appeal_needs_response", "appeal_under_review", "unknown",
]  # fmt: skip
# Inquiry, chargeback, appeal: no move leads back to an earlier stage. Within a stage a dispute moves both ways.
# Only a lost dispute is appealed, only a prevented one may still be lost, and any status may change to an unknown one.
DISPUTE_GRID = """
    -  i j k n u w l v a b ?
    i  . j k n u w l v a b ?
    j  i . k n u w l v a b ?
    k  ! ! . ! ! ! ! ! ! ! ?
    n  ! ! ! . u w l v a b ?
    u  ! ! ! n . w l v a b ?
    w  ! ! ! ! ! . ! ! ! ! ?
    l  ! ! ! ! ! w . ! a b ?
    v  ! ! ! ! ! ! l . ! ! ?
    a  ! ! ! ! ! w l ! . b ?
    b  ! ! ! ! ! w l ! a . ?
    ?  i j k n u w l v a b .
"""

Table = Mapping[Any, Mapping[Any, Any]]
Cell = tuple[Table, Enum | None, Enum, str, Mapping[str, Any]]


def _cells(table: Table, events: type[Enum], names: list[str], grid: str, letters: Mapping[str, Any]) -> list[Any]:
    cells = []
    for line in grid.strip().splitlines():
        letter, *marks = line.split()
        for name, mark in zip(names, marks, strict=True):
            pair = f"{events.__name__}: {letters[letter].value if letters[letter] else 'new'} + {name}"
            expected = mark if mark in ".!" else letters[mark]
            cells.append(pytest.param(table, letters[letter], events(name), expected, id=pair))
    return cells


CELLS = [
    *_cells(PAYMENT, PaymentEvent, PAYMENT_EVENTS, PAYMENT_GRID, PAYMENT_LETTERS),
    *_cells(REFUND, RefundEvent, REFUND_EVENTS, REFUND_GRID, REFUND_LETTERS),
    *_cells(DISPUTE, DisputeStatus, DISPUTE_EVENTS, DISPUTE_GRID, DISPUTE_LETTERS),
]
TABLES: list[tuple[Table, type[Enum], type[Enum]]] = [
    (PAYMENT, PaymentStatus, PaymentEvent),
    (REFUND, RefundStatus, RefundEvent),
    (DISPUTE, DisputeStatus, DisputeStatus),
]
TABLE_NAMES = ["payment", "refund", "dispute"]


def test_every_pair_agrees_with_the_second_notation() -> None:
    for cell in CELLS:
        table, state, event, expected = cell.values
        with row(cell.id):
            entry = table[state][event]

            assert entry is {".": NO_EFFECT, "!": ILLEGAL}.get(expected, expected)


@pytest.mark.parametrize(("table", "states", "events"), TABLES, ids=TABLE_NAMES)
def test_every_pair_is_written_out(table: Table, states: type[Enum], events: type[Enum]) -> None:
    pairs = {(state, event) for state, row in table.items() for event in row}

    assert pairs == {(state, event) for state in (None, *states) for event in events}


@pytest.mark.parametrize(("table", "states", "events"), TABLES, ids=TABLE_NAMES)
def test_the_second_notation_walks_every_pair(table: Table, states: type[Enum], events: type[Enum]) -> None:
    walked = [cell for cell in CELLS if cell.values[0] is table]

    assert len(walked) == (len(states) + 1) * len(events)


def test_a_move_names_the_next_state() -> None:
    assert move(PAYMENT, S.PROCESSING, PaymentEvent.SUCCEEDED) is S.SUCCEEDED


def test_an_event_without_effect_returns_none() -> None:
    assert move(PAYMENT, S.SUCCEEDED, PaymentEvent.SUCCEEDED) is None


ILLEGALS = [cell for cell in CELLS if cell.values[3] == "!"]


@pytest.mark.parametrize(("table", "state", "event", "expected"), ILLEGALS)
def test_an_illegal_pair_raises(table: Any, state: Any, event: Any, expected: str) -> None:
    with pytest.raises(IllegalTransition) as raised:
        move(table, state, event)

    assert (raised.value.state, raised.value.event) == (state.value if state else "not yet made", event.value)


@pytest.mark.parametrize("event", PaymentEvent)
def test_no_event_leaves_the_state_succeeded(event: PaymentEvent) -> None:
    assert PAYMENT[S.SUCCEEDED][event] in (NO_EFFECT, ILLEGAL)


@pytest.mark.parametrize("status", [status for status in S if status is not S.SUCCEEDED])
def test_a_success_is_recorded_in_every_state(status: PaymentStatus) -> None:
    assert move(PAYMENT, status, PaymentEvent.SUCCEEDED) is S.SUCCEEDED


def test_a_refund_may_move_from_succeeded_to_failed() -> None:
    assert move(REFUND, R.SUCCEEDED, RefundEvent.FAILED) is R.FAILED


@pytest.mark.parametrize("status", [R.FAILED, R.CANCELED])
@pytest.mark.parametrize("event", RefundEvent)
def test_a_failed_or_canceled_refund_is_final(status: RefundStatus, event: RefundEvent) -> None:
    assert REFUND[status][event] in (NO_EFFECT, ILLEGAL)


SETTLED_MOVES = [
    (P.WARNING_CLOSED, set()),
    (P.WON, set()),
    (P.LOST, {P.WON, P.APPEAL_NEEDS_RESPONSE, P.APPEAL_UNDER_REVIEW}),
    (P.PREVENTED, {P.LOST}),
]


@pytest.mark.parametrize(("status", "moves"), SETTLED_MOVES)
def test_a_settled_dispute_moves_only_as_the_card_networks_allow(
    status: DisputeStatus, moves: set[DisputeStatus]
) -> None:
    reached = {event for event, entry in DISPUTE[status].items() if entry not in (NO_EFFECT, ILLEGAL)}

    assert reached == {*moves, P.UNKNOWN}


@pytest.mark.parametrize(("table", "states", "events"), TABLES, ids=TABLE_NAMES)
def test_no_event_leads_back_to_a_new_object(table: Table, states: type[Enum], events: type[Enum]) -> None:
    assert None not in {entry for row in table.values() for entry in row.values()}


# Commands: y is allowed; the letters of the denials are below.
DENIALS = {
    "y": None, "P": Denial.ALREADY_PAID, "A": Denial.ALREADY_AUTHORIZED, "B": Denial.PAYMENT_PROCESSING,
    "X": Denial.PAYMENT_CANCELED, "E": Denial.ATTEMPTS_EXHAUSTED, "N": Denial.NOT_AUTHORIZED, "U": Denial.NOT_PAID,
    "C": Denial.NOT_CAPTURED,
}  # fmt: skip
COMMAND_GRID = """
    m  y N y U
    c  y N y U
    a  y N y U
    p  B N B U
    h  A y y C
    s  P P P y
    x  X X X U
    f  E N E U
"""
COMMAND_CELLS = [
    (PAYMENT_LETTERS[line.split()[0]], command, DENIALS[mark])
    for line in COMMAND_GRID.strip().splitlines()
    for command, mark in zip(
        [Command.CONFIRM, Command.CAPTURE, Command.CANCEL, Command.REFUND], line.split()[1:], strict=True
    )
]


def test_every_state_allows_or_denies_every_command() -> None:
    answered = {(status, command) for status, row in COMMANDS.items() for command in row}

    assert answered == {(status, command) for status in S for command in Command}


@pytest.mark.parametrize(("status", "command", "denial"), COMMAND_CELLS)
def test_each_state_allows_the_commands_in_the_second_notation(
    status: PaymentStatus, command: Command, denial: Denial | None
) -> None:
    assert COMMANDS[status][command] is denial


@pytest.mark.parametrize(("status", "command"), [cell[:2] for cell in COMMAND_CELLS if cell[2] is None])
def test_an_allowed_command_does_not_raise(status: PaymentStatus, command: Command) -> None:
    require(status, command)

    assert COMMANDS[status][command] is None


@pytest.mark.parametrize(("status", "command", "denial"), [cell for cell in COMMAND_CELLS if cell[2] is not None])
def test_a_denied_command_raises_the_reason(status: PaymentStatus, command: Command, denial: Denial) -> None:
    kind: type[PaymentError] = RefusedByRule if denial is Denial.ATTEMPTS_EXHAUSTED else NotPossibleNow

    with pytest.raises(kind) as refused:
        require(status, command)

    assert (type(refused.value), refused.value.code, refused.value.message) == (kind, denial.code, denial.message)


def test_each_denial_has_a_distinct_code() -> None:
    assert len({denial.code for denial in Denial}) == len(Denial)


def test_a_payment_is_open_in_the_states_that_may_still_collect_money() -> None:
    assert {status for status in S if not status.is_open} == {S.SUCCEEDED, S.CANCELED, S.FAILED}


def test_the_first_three_states_wait_for_the_customer() -> None:
    waiting = {status for status in S if status.awaits_customer}

    assert waiting == {S.REQUIRES_PAYMENT_METHOD, S.REQUIRES_CONFIRMATION, S.REQUIRES_ACTION}


def test_a_refund_is_pending_lost_or_done() -> None:
    assert {status for status in R if status.is_pending} == {R.PENDING, R.REQUIRES_ACTION}
    assert {status for status in R if status.is_lost} == {R.FAILED, R.CANCELED}


def test_a_dispute_is_open_until_it_is_settled() -> None:
    assert {status for status in P if not status.is_open} == {P.WARNING_CLOSED, P.WON, P.LOST, P.PREVENTED}


def test_each_dispute_status_is_of_one_stage() -> None:
    inquiries = {P.WARNING_NEEDS_RESPONSE, P.WARNING_UNDER_REVIEW}
    chargebacks = {P.NEEDS_RESPONSE, P.UNDER_REVIEW, P.APPEAL_NEEDS_RESPONSE, P.APPEAL_UNDER_REVIEW, P.UNKNOWN}

    assert {status for status in P if status.is_inquiry} == {*inquiries, P.WARNING_CLOSED}
    assert {status for status in P if status.is_open_inquiry} == inquiries
    assert {status for status in P if status.is_open_chargeback} == chargebacks
    assert {status for status in P if status.ended_against_us} == {P.LOST, P.PREVENTED}
    assert len(P) == 11
