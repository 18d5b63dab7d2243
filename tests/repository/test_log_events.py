"""The list of log events is complete: it has each event that the source logs, and the source logs each that it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

import booking_payments
from booking_payments.runtime.log_events import LOG_EVENTS, LogEvent
from tests.sources import parsed

ROOT = Path(booking_payments.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
WITH_TRACEBACK = {"exc_info"}


@frozen
class Logged:
    """One call of a logger. ``more``: it also has fields from a mapping, whose names the call does not show."""

    name: str
    levels: frozenset[str]
    logger: str
    fields: frozenset[str]
    more: bool
    place: str


def _loggers(tree: ast.Module) -> dict[str, str]:
    """The names of a module that hold loggers of structlog, with the name of each logger."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(node.value.func) == "structlog.get_logger" and isinstance(target, ast.Name):
                found[target.id] = str(ast.literal_eval(node.value.args[0]))
    return found


def _methods(node: ast.expr, loggers: dict[str, str]) -> list[tuple[str, str]]:
    """Logger and level of each method of a logger in an expression: one, or the two of a choice."""
    parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return [
        (loggers[each.value.id], each.attr)
        for each in parts
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in loggers
    ]


def calls_in(source: str, place: str) -> Iterator[Logged]:
    """Each call of a logger in ``source``, directly or by a local name for one of two methods."""
    tree = parsed(source)
    loggers = _loggers(tree)
    found = {}  # by place, since a call in a nested function is in the outer one, too
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        local = {
            node.targets[0].id: _methods(node.value, loggers)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                by_name = local.get(node.func.id, []) if isinstance(node.func, ast.Name) else []
                methods = _methods(node.func, loggers) or by_name
                if methods:
                    found[node.lineno] = _logged(node, methods, f"{place}:{node.lineno}")
    yield from found.values()


def _logged(call: ast.Call, methods: list[tuple[str, str]], place: str) -> Logged:
    return Logged(
        name=str(ast.literal_eval(call.args[0])),
        levels=frozenset("error" if level == "exception" else level for _, level in methods),
        logger=methods[0][0],
        fields=frozenset(each.arg for each in call.keywords if each.arg) - WITH_TRACEBACK,
        more=any(each.arg is None for each in call.keywords),
        place=place,
    )


SOURCES = {
    str(path.relative_to(ROOT)): source
    for path in sorted(ROOT.rglob("*.py"))
    if "get_logger" in (source := path.read_text())
}
CALLS = [call for place, source in SOURCES.items() for call in calls_in(source, place)]
LISTED = {each.name: each for each in LOG_EVENTS}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_each_event_that_is_logged_is_in_the_list(call: Logged) -> None:
    listed = LISTED.get(call.name)

    assert listed is not None, f"{call.place} logs {call.name}: add it to runtime/log_events.py"
    assert (set(listed.levels), listed.logger) == (set(call.levels), call.logger)
    assert call.fields <= set(listed.fields)
    assert call.more or call.fields == set(listed.fields)


def test_each_event_in_the_list_is_logged_in_one_place() -> None:
    assert sorted(call.name for call in CALLS) == [each.name for each in LOG_EVENTS]


def test_no_logger_is_called_in_a_way_that_this_test_does_not_read() -> None:
    for place, source in SOURCES.items():
        uses = [
            node
            for node in ast.walk(parsed(source))
            if isinstance(node, ast.Attribute) and node.attr in LEVELS and "log" in ast.unparse(node.value)
        ]
        read = sum(len(call.levels) for call in calls_in(source, place))
        assert len(uses) == read, f"{place}: call a module's logger with the event's name as text"


@pytest.mark.parametrize("event", LOG_EVENTS, ids=lambda event: event.name)
def test_the_name_of_an_event_is_its_subject_and_what_happened_in_snake_case(event: LogEvent) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*\.[a-z][a-z_]*", event.name)


def test_an_event_that_the_list_lacks_is_found() -> None:
    source = "import structlog\nlog = structlog.get_logger('x')\ndef f():\n    log.info('made.up', why=1)\n"

    [call] = calls_in(source, "made_up.py")

    assert (call.name, set(call.fields), call.name in LISTED) == ("made.up", {"why"}, False)
