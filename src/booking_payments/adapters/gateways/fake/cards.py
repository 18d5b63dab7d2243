"""The test cards that the checkout offers with the fake gateway, grouped by outcome."""

from typing import Final

from attrs import frozen

from booking_payments.domain.money import Currency


@frozen(kw_only=True)
class TestCard:
    """A test payment method: its id at the gateway, its title, and a sentence on what happens."""

    __test__ = False  # keeps pytest from collecting this class as a test

    method_id: str
    name: str
    effect: str
    currency: Currency | None = None


@frozen(kw_only=True)
class Group:
    """Cards with similar outcomes, under one heading."""

    title: str
    cards: tuple[TestCard, ...]


GROUPS: Final = (
    Group(
        title="Goes through",
        cards=(
            TestCard(method_id="pm_card_visa", name="Visa", effect="The payment succeeds."),
            TestCard(method_id="pm_card_mastercard", name="Mastercard", effect="The payment succeeds."),
        ),
    ),
    Group(
        title="Asks the bank first",
        cards=(
            TestCard(
                method_id="pm_card_authenticationRequired",
                name="3-D Secure",
                effect="The bank's window opens; you decide how it ends.",
            ),
            TestCard(
                method_id="pm_usBankAccount_success",
                name="Bank account",
                effect="The bank takes its time, then the payment succeeds.",
                currency=Currency.USD,
            ),
        ),
    ),
    Group(
        title="Is declined",
        cards=(
            TestCard(method_id="pm_card_chargeDeclined", name="Declined", effect="The bank says no, without a reason."),
            TestCard(
                method_id="pm_card_chargeDeclinedInsufficientFunds",
                name="No money",
                effect="The bank says that there is not enough on the account.",
            ),
            TestCard(
                method_id="pm_card_chargeDeclinedExpiredCard", name="Expired", effect="The card is no longer valid."
            ),
            TestCard(
                method_id="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
                name="3-D Secure, then declined",
                effect="The bank's window opens, and the bank says no afterwards.",
            ),
        ),
    ),
    Group(
        title="Makes trouble later",
        cards=(
            TestCard(
                method_id="pm_card_createDispute",
                name="Disputed",
                effect="The payment succeeds, then its holder disputes it.",
            ),
            TestCard(
                method_id="pm_card_pendingRefund", name="Slow refund", effect="A refund takes a moment to succeed."
            ),
            TestCard(method_id="pm_card_refundFail", name="Failing refund", effect="A refund succeeds, then fails."),
        ),
    ),
)

METHOD_IDS: Final = frozenset(card.method_id for group in GROUPS for card in group.cards)


def groups_for(currency: Currency) -> list[Group]:
    """Return the groups with the cards that accept this currency."""
    fitting = ((group.title, [c for c in group.cards if c.currency in (None, currency)]) for group in GROUPS)
    return [Group(title=title, cards=tuple(cards)) for title, cards in fitting if cards]
