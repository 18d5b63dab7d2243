"""Errors: the tree in the module's docstring is that of the classes."""

import inspect

import pytest

from booking_payments.domain import errors
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    GatewayRefusedUs,
    IllegalTransition,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    RefundRefused,
    TryAgainLater,
    UnknownCurrency,
)
from tests.unit.domain.builders import a_decline

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PaymentError)]


def _drawn() -> set[tuple[str, str]]:
    """Return each class of the drawn tree with its base class."""
    branch: list[str] = []
    pairs = set()
    for line in (errors.__doc__ or "").splitlines():
        if line.strip() == "PaymentError" or "── " in line:
            name = line.split("── ")[-1].split()[0]
            depth = (len(line.split(name)[0]) - 4) // 4
            branch = [*branch[:depth], name]
            pairs.add((name, branch[-2] if depth else "Exception"))
    return pairs


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    assert _drawn() == {(kind.__name__, kind.__bases__[0].__name__) for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_class_has_a_docstring(kind: type[PaymentError]) -> None:
    assert (kind.__doc__ or "").rstrip().endswith(".")


def test_a_given_code_takes_precedence_over_that_of_the_class() -> None:
    assert PaymentError("no", code="special").code == "special"


def test_an_error_has_the_code_of_its_class_otherwise() -> None:
    assert PaymentError("no").code == "payment_error"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AlreadyUnderWay(), "operation_in_flight"),
        (NotFound(), "not_found"),
        (TryAgainLater(), "gateway_unavailable"),
        (OutcomeUnknown(), "outcome_unknown"),
        (GatewayRefusedUs(), "gateway_refused"),
        (GatewayRefusedUs("too little", code="balance_insufficient"), "balance_insufficient"),
        (RefundRefused(), "refund_refused"),
        (IllegalTransition("canceled", "started"), "illegal_transition"),
        (UnknownCurrency("xyz"), "unknown_currency"),
    ],
)
def test_an_error_has_its_code_and_a_message(error: PaymentError, code: str) -> None:
    assert (error.code, str(error)) == (code, error.message)
    assert error.message


def test_an_unknown_outcome_is_distinguishable_from_an_unreachable_gateway() -> None:
    assert (OutcomeUnknown().outcome_unknown, TryAgainLater().outcome_unknown) == (True, False)


def test_a_declined_card_has_the_banks_message() -> None:
    error = CardDeclined(a_decline(code="expired_card", decline_code=None))

    assert (error.code, error.message) == ("expired_card", "The bank's own words.")


def test_a_declined_card_does_not_reveal_a_hidden_reason() -> None:
    error = CardDeclined(a_decline(decline_code="stolen_card"))

    assert (error.code, error.message) == ("card_declined", "Your card was declined.")
