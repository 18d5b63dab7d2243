"""The list of error codes against the source: each code that a caller can get is in it, and no other one."""

import ast
from collections.abc import Iterator
from pathlib import Path

from booking_payments.domain import errors
from booking_payments.domain.booking import Payability
from booking_payments.domain.refunds import QuoteReason
from booking_payments.presentation.error_codes import ERROR_CODES
from tests.sources import tree_of

SOURCE = Path(errors.__file__).parents[1]
RAISED = {
    name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.PaymentError)
}
ONLY_IN_PYTHON = {"channel_not_recorded", "messages_wait"}
"""Codes of errors that no route raises: of channels that a process attaches."""


def trees(*, without: str = "") -> Iterator[ast.AST]:
    """The modules of the package, but for the sandbox, the test kit and one named file."""
    for path in sorted(SOURCE.rglob("*.py")):
        if not {"sandbox", "testing"} & set(path.relative_to(SOURCE).parts) and path.name != without:
            yield tree_of(path)


def codes_of(tree: ast.AST) -> Iterator[str]:
    """The codes of the errors that a module raises, as far as they are written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            raised = name in RAISED or name == "WebhookRefused"
            given = [each.value for each in node.keywords if each.arg == "code"] if raised else []
            if name in ("RequestRefused", "problem", "bad_request"):
                given += node.args[1:2]
            yield from (str(each.value) for each in given if isinstance(each, ast.Constant))


def test_every_code_that_is_raised_is_in_the_list() -> None:
    written = {code for tree in trees() for code in codes_of(tree)}
    classes = {getattr(errors, name).code for name in RAISED}
    rules = {each.code for each in (*QuoteReason, *Payability)} - {
        *(each.code for each in QuoteReason if each.allows),
        Payability.PAYABLE.code,
    }
    listed = {each.code for each in ERROR_CODES}

    assert len(written) > 60
    assert (written | classes | rules) - listed - ONLY_IN_PYTHON == set()


def test_every_code_of_the_list_stands_in_the_source() -> None:
    texts = {
        node.value
        for tree in trees(without="error_codes.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert {each.code for each in ERROR_CODES} - texts == set()


def test_a_code_is_listed_once_for_each_status() -> None:
    pairs = [(each.code, each.status) for each in ERROR_CODES]

    assert len(pairs) == len(set(pairs))
