"""Errors: the tree in the docstring is the tree of the classes."""

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
from tests.unit.domain.lives import a_decline

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PaymentError)]


def _drawn() -> set[tuple[str, str]]:
    """Each class of the drawing with the class it hangs from."""
    branch: list[str] = []
    pairs = set()
    for line in (errors.__doc__ or "").splitlines():
        if line.strip() == "PaymentError" or "── " in line:
            name = line.split("── ")[-1].split()[0]
            depth = (len(line.split(name)[0]) - 4) // 4
            branch = [*branch[:depth], name]
            pairs.add((name, branch[-2] if depth else "Exception"))
    return pairs


def test_the_drawn_tree_is_the_tree_of_the_classes() -> None:
    assert _drawn() == {(kind.__name__, kind.__bases__[0].__name__) for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_in_a_sentence_what_it_means(kind: type[PaymentError]) -> None:
    assert (kind.__doc__ or "").rstrip().endswith(".")


def test_an_error_has_the_code_it_is_given_before_that_of_its_class() -> None:
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
def test_an_error_explains_itself(error: PaymentError, code: str) -> None:
    assert (error.code, str(error)) == (code, error.message)
    assert error.message


def test_a_client_can_tell_an_unknown_outcome_from_no_outcome() -> None:
    assert (OutcomeUnknown().outcome_unknown, TryAgainLater().outcome_unknown) == (True, False)


def test_a_declined_card_speaks_in_the_banks_words() -> None:
    error = CardDeclined(a_decline(code="expired_card", decline_code=None))

    assert (error.code, error.message) == ("expired_card", "The bank's own words.")


def test_a_declined_card_does_not_tell_a_hidden_reason() -> None:
    error = CardDeclined(a_decline(decline_code="stolen_card"))

    assert (error.code, error.message) == ("card_declined", "Your card was declined.")
