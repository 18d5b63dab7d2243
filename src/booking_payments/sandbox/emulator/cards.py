"""Stripe's test payment methods and what each of them does: one literal table.

Sources: docs.stripe.com/testing (cards, tokens, PaymentMethod ids), .../ach-direct-debit and .../sepa-debit
(bank accounts). A card is known as ``pm_card_<name>`` and ``tok_<name>``, and, where Stripe writes
``visa_`` in front, with and without it. Add a row to teach the model a new method.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import evolve, frozen

from booking_payments.sandbox.emulator.method_types import REDIRECTS, VOUCHERS


class Authentication(Enum):
    """When the bank asks the customer to authenticate."""

    NEVER = "never"
    ALWAYS = "always"
    UNLESS_SET_UP = "unless set up for off-session use"
    ON_SESSION = "on session only: it is set up for off-session use"


class Settles(Enum):
    """When the money's fate is known."""

    AT_ONCE = "at once"
    LATER = "later, well"
    FAILS_LATER = "later, badly"
    NEVER = "stays processing"


class RefundCourse(Enum):
    """How a refund of this method goes."""

    SUCCEEDS = "succeeds at once"
    SUCCEEDS_LATER = "pending, then succeeds"
    FAILS_LATER = "succeeds, then fails"
    ASKS_CUSTOMER = "requires_action: the customer has to name a bank account"


@frozen
class CardDecline:
    """The bank's no. ``param`` names the field to correct."""

    code: str
    decline_code: str | None
    message: str
    advice_code: str | None = None
    param: str | None = None


@frozen
class Opening:
    """How the bank opens a dispute.

    Attributes:
        reason: One of ``disputes.REASONS``.
        inquiry: Whether it begins as a question; a ``status`` overrides this.
        amount: In the smallest unit; ``None``: everything captured.
        currency: ``None``: the charge's.
        status: Its first status; ``None``: the bank waits for an answer.
        case_type: ``block`` or ``resolution`` for a prevented dispute; ``None``: as its status says.
        refundable: What it says of the charge; ``None``: as its status says.
    """

    reason: str
    inquiry: bool = False
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    case_type: str | None = None
    refundable: bool | None = None


@frozen
class Behaviour:
    """One test payment method.

    ``number``: card number, if it may be typed in; ``decline``: after authentication; ``three_d_secure``: whether the
    card supports it, so that a request can ask for it; ``decline_after_3ds``: a decline that only follows it.
    """

    type: str = "card"
    number: str | None = None
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: CardDecline | None = None
    authentication: Authentication = Authentication.NEVER
    settles: Settles = Settles.AT_ONCE
    refund: RefundCourse = RefundCourse.SUCCEEDS
    disputes: tuple[Opening, ...] = ()
    attachable: bool = True
    fraud_warning: bool = False
    blocked: bool = False
    risk: str = "normal"
    review: bool = False
    failed_checks: tuple[str, ...] = ()
    available_at_once: bool = False
    three_d_secure: bool = True
    decline_after_3ds: CardDecline | None = None


DECLINED: Final = "Your card was declined."

GENERIC: Final = CardDecline("card_declined", "generic_decline", DECLINED, "try_again_later")
INSUFFICIENT_FUNDS: Final = CardDecline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds.", "try_again_later"
)
LOST: Final = CardDecline("card_declined", "lost_card", DECLINED, "do_not_try_again")
STOLEN: Final = CardDecline("card_declined", "stolen_card", DECLINED, "do_not_try_again")
FRAUDULENT: Final = CardDecline("card_declined", "fraudulent", DECLINED)
PLAIN: Final = CardDecline("card_declined", "generic_decline", DECLINED)
EXPIRED: Final = CardDecline("expired_card", None, "Your card has expired.", "confirm_card_data", "exp_month")
BAD_CVC: Final = CardDecline(
    "incorrect_cvc", None, "Your card's security code is incorrect.", "confirm_card_data", "cvc"
)
BAD_NUMBER: Final = CardDecline("incorrect_number", None, "Your card number is incorrect.", None, "number")
PROCESSING: Final = CardDecline(
    "processing_error",
    None,
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
)
VELOCITY: Final = CardDecline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
)
NEEDS_AUTHENTICATION: Final = CardDecline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
AUTHENTICATION_NOT_HANDLED: Final = CardDecline(
    "authentication_required",
    "authentication_not_handled",
    "This payment required an authentication action to complete, but `error_on_requires_action` "
    "was set. When you're "
    "ready, you can upgrade your integration to handle actions at "
    "https://stripe.com/docs/payments/upgrade-to-handle-actions.",
)
LIVE_CARD: Final = CardDecline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test (live) card.",
)
BANK_INSUFFICIENT_FUNDS: Final = CardDecline(
    "payment_intent_payment_attempt_failed",
    "insufficient_funds",
    "The customer's account has insufficient funds to cover this payment.",
)
BANK_ACCOUNT_CLOSED: Final = CardDecline(
    "payment_intent_payment_attempt_failed", "account_closed", "The customer's bank account has been closed."
)
BANK_NO_ACCOUNT: Final = CardDecline(
    "payment_intent_payment_attempt_failed", "no_account", "The customer's bank account could not be located."
)
BANK_NOT_AUTHORIZED: Final = CardDecline(
    "payment_intent_payment_attempt_failed",
    "debit_not_authorized",
    "The customer has notified their bank that this payment was unauthorized.",
)
BANK_GENERIC: Final = CardDecline(
    "payment_intent_payment_attempt_failed",
    "generic_could_not_process",
    "The payment could not be processed by the customer's bank.",
)

_ALWAYS: Final = Authentication.ALWAYS
_FRAUD: Final = Opening("fraudulent")

CARDS: Final[Mapping[str, Behaviour]] = {
    # --- succeed
    "visa": Behaviour(number="4242424242424242"),
    "visa_debit": Behaviour(number="4000056655665556", funding="debit"),
    "mastercard": Behaviour(number="5555555555554444", brand="mastercard"),
    "mastercard_debit": Behaviour(number="5200828282828210", brand="mastercard", funding="debit"),
    "mastercard_prepaid": Behaviour(number="5105105105105100", brand="mastercard", funding="prepaid"),
    "mastercard_2series": Behaviour(number="2223003122003222", brand="mastercard"),
    "amex": Behaviour(number="378282246310005", brand="amex", three_d_secure=False),
    "discover": Behaviour(number="6011111111111117", brand="discover"),
    "diners": Behaviour(number="3056930009020004", brand="diners"),
    "jcb": Behaviour(number="3566002020360505", brand="jcb", country="JP"),
    "unionpay": Behaviour(number="6200000000000005", brand="unionpay", country="CN"),
    "bypassPending": Behaviour(number="4000000000000077", available_at_once=True),
    "bypassPendingInternational": Behaviour(number="4000003720000278", country="IE", available_at_once=True),
    # --- declined by the bank
    "chargeDeclined": Behaviour(number="4000000000000002", decline=GENERIC, attachable=False),
    "chargeDeclinedInsufficientFunds": Behaviour(
        number="4000000000009995", decline=INSUFFICIENT_FUNDS, attachable=False
    ),
    "chargeDeclinedLostCard": Behaviour(number="4000000000009987", decline=LOST, attachable=False),
    "chargeDeclinedStolenCard": Behaviour(number="4000000000009979", decline=STOLEN, attachable=False),
    "chargeDeclinedExpiredCard": Behaviour(number="4000000000000069", decline=EXPIRED, attachable=False),
    "chargeDeclinedIncorrectCvc": Behaviour(number="4000000000000127", decline=BAD_CVC, attachable=False),
    "chargeDeclinedProcessingError": Behaviour(number="4000000000000119", decline=PROCESSING, attachable=False),
    "chargeDeclinedVelocityLimitExceeded": Behaviour(number="4000000000006975", decline=VELOCITY, attachable=False),
    "chargeDeclinedFraudulent": Behaviour(decline=FRAUDULENT, attachable=False),
    "chargeCustomerFail": Behaviour(number="4000000000000341", decline=GENERIC),
    # --- Radar
    "radarBlock": Behaviour(number="4100000000000019", decline=FRAUDULENT, blocked=True, risk="highest"),
    "riskLevelHighest": Behaviour(number="4000000000004954", decline=FRAUDULENT, blocked=True, risk="highest"),
    "riskLevelElevated": Behaviour(number="4000000000009235", risk="elevated", review=True),
    "cvcCheckFail": Behaviour(number="4000000000000101", failed_checks=("cvc_check",)),
    "avsZipFail": Behaviour(number="4000000000000036", failed_checks=("address_postal_code_check",)),
    "avsLine1Fail": Behaviour(number="4000000000000028", failed_checks=("address_line1_check",)),
    "avsFail": Behaviour(number="4000000000000010", failed_checks=("address_line1_check", "address_postal_code_check")),
    "avsUnchecked": Behaviour(number="4000000000000044"),
    # --- 3-D Secure
    "authenticationRequired": Behaviour(number="4000002760003184", country="DE", authentication=_ALWAYS),
    "authenticationRequiredOnSetup": Behaviour(
        number="4000002500003155", country="FR", authentication=Authentication.UNLESS_SET_UP
    ),
    "authenticationRequiredSetupForOffSession": Behaviour(
        number="4000003800000446", country="IT", authentication=Authentication.ON_SESSION
    ),
    "authenticationRequiredChargeDeclinedInsufficientFunds": Behaviour(
        number="4000008260003178", country="GB", authentication=_ALWAYS, decline=INSUFFICIENT_FUNDS
    ),
    "threeDSecure2Required": Behaviour(number="4000000000003220", authentication=_ALWAYS),
    "threeDSecureRequired": Behaviour(number="4000000000003063", authentication=_ALWAYS),
    "threeDSecureRequiredChargeDeclined": Behaviour(number="4000008400001629", authentication=_ALWAYS, decline=PLAIN),
    "threeDSecureRequiredProcessingError": Behaviour(number="4000008400001280", decline=PLAIN),
    "threeDSecureOptional": Behaviour(number="4000000000003055"),
    "threeDSecureOptionalProcessingError": Behaviour(number="4000000000003097", decline_after_3ds=PROCESSING),
    "amex_threeDSecureNotSupported": Behaviour(brand="amex", three_d_secure=False),
    # --- disputes
    "createDispute": Behaviour(number="4000000000000259", disputes=(_FRAUD,)),
    "createDisputeProductNotReceived": Behaviour(
        number="4000000000002685", disputes=(Opening("product_not_received"),)
    ),
    "createDisputeInquiry": Behaviour(number="4000000000001976", disputes=(Opening("fraudulent", inquiry=True),)),
    "createMultipleDisputes": Behaviour(number="4000000404000079", disputes=(_FRAUD, _FRAUD)),
    "createIssuerFraudRecord": Behaviour(number="4000000000005423", fraud_warning=True),
    # --- refunds
    "pendingRefund": Behaviour(number="4000000000007726", refund=RefundCourse.SUCCEEDS_LATER),
    "refundFail": Behaviour(number="4000000000005126", refund=RefundCourse.FAILS_LATER),
}

# fmt: off
COUNTRIES: Final = frozenset([
    "ae", "ar", "at", "au", "be", "bg", "br", "by", "ca", "ch", "cl", "cn", "co", "cr", "cy", "cz", "de",
    "dk", "do", "ec", "ee", "es", "fi", "fr", "gb", "gi", "gr", "hk", "hr", "hu", "ie", "in", "it", "jp",
    "li", "lt", "lu", "lv", "mt", "mx", "my", "nl", "no", "nz", "pa", "pe", "pl", "pt", "py", "ro", "sa",
    "se", "sg", "si", "sk", "th", "tw", "us", "uy",
])
# fmt: on
"""Countries with a test card of their own: it succeeds, without 3-D Secure."""

COUNTRY_NUMBERS: Final[Mapping[str, str]] = {
    "de": "4000002760000016",
    "fr": "4000002500000003",
    "gb": "4000008260000000",
    "jp": "4000003920000003",
    "pl": "4000006160000005",
}

_ACH: Final = Behaviour(
    type="us_bank_account", brand="", funding="", settles=Settles.LATER, refund=RefundCourse.SUCCEEDS_LATER
)
_SEPA: Final = evolve(_ACH, type="sepa_debit", country="DE")

BANK_ACCOUNTS: Final[Mapping[str, Behaviour]] = {
    # ACH Direct Debit: pm_usBankAccount_<name>.
    "usBankAccount_success": _ACH,
    "usBankAccount_processing": evolve(_ACH, settles=Settles.NEVER),
    "usBankAccount_insufficientFunds": evolve(_ACH, settles=Settles.FAILS_LATER, decline=BANK_INSUFFICIENT_FUNDS),
    "usBankAccount_accountClosed": evolve(_ACH, settles=Settles.FAILS_LATER, decline=BANK_ACCOUNT_CLOSED),
    "usBankAccount_noAccount": evolve(_ACH, settles=Settles.FAILS_LATER, decline=BANK_NO_ACCOUNT),
    "usBankAccount_debitNotAuthorized": evolve(_ACH, settles=Settles.FAILS_LATER, decline=BANK_NOT_AUTHORIZED),
    "usBankAccount_dispute": evolve(_ACH, disputes=(Opening("debit_not_authorized"),)),
    # SEPA Direct Debit, chosen by IBAN (below).
    "sepa_succeeds": _SEPA,
    "sepa_fails": evolve(_SEPA, settles=Settles.FAILS_LATER, decline=BANK_GENERIC),
    "sepa_disputed": evolve(_SEPA, disputes=(Opening("debit_not_authorized"),)),
}

_REDIRECTING: Final = {type_: Behaviour(type=type_, authentication=Authentication.ALWAYS) for type_ in REDIRECTS}
_VOUCHERS: Final = {type_: Behaviour(type=type_, refund=RefundCourse.ASKS_CUSTOMER) for type_ in VOUCHERS}

ACCOUNT_NUMBERS: Final[Mapping[str, str]] = {
    "000123456789": "usBankAccount_success",
    "000000000009": "usBankAccount_processing",
    "000222222227": "usBankAccount_insufficientFunds",
    "000111111113": "usBankAccount_accountClosed",
    "000111111116": "usBankAccount_noAccount",
    "000333333335": "usBankAccount_debitNotAuthorized",
    "000555555559": "usBankAccount_dispute",
}
"""Stripe's test account numbers in the United States."""

IBANS: Final[Mapping[str, str]] = {
    "AT611904300234573201": "sepa_succeeds",
    "AT321904300235473204": "sepa_succeeds",
    "AT861904300235473202": "sepa_fails",
    "AT051904300235473205": "sepa_fails",
    "AT591904300235473203": "sepa_disputed",
    "DE89370400440532013000": "sepa_succeeds",
    "DE08370400440532013003": "sepa_succeeds",
    "DE62370400440532013001": "sepa_fails",
    "DE78370400440532013004": "sepa_fails",
    "DE35370400440532013002": "sepa_disputed",
    "FR1420041010050500013M02606": "sepa_succeeds",
    "FR3020041010050500013M02609": "sepa_succeeds",
    "FR8420041010050500013M02607": "sepa_fails",
    "FR7920041010050500013M02600": "sepa_fails",
    "FR5720041010050500013M02608": "sepa_disputed",
}
"""Stripe's test IBANs; any other well-formed one succeeds."""

_NUMBERS: Final = {card.number: name for name, card in CARDS.items() if card.number}


def behaviour(name: str) -> Behaviour:
    """What the method of this table name (``createDispute``, ``de``, ``sepa_fails``) does."""
    if name in COUNTRIES:
        return Behaviour(number=COUNTRY_NUMBERS.get(name), country=name.upper())
    return CARDS.get(name) or _REDIRECTING.get(name) or _VOUCHERS.get(name) or BANK_ACCOUNTS[name]


def name_of(test_id: str) -> str | None:
    """The table name behind ``pm_card_...``, ``tok_...`` or ``pm_usBankAccount_...``.

    ``None`` for an unknown id.
    """
    if test_id.startswith("pm_usBankAccount"):
        name = test_id.removeprefix("pm_")
        return name if name in BANK_ACCOUNTS else None
    for prefix in ("pm_card_", "tok_"):
        if test_id.startswith(prefix):
            return _card_name(test_id.removeprefix(prefix))
    return None


def _card_name(name: str) -> str | None:
    for candidate in (name, name.removeprefix("visa_")):
        if candidate in CARDS or candidate in COUNTRIES:
            return candidate
    return None


def name_of_number(number: str) -> str | None:
    """The table name behind a typed card number; ``None`` for one that Stripe does not list."""
    by_country = {listed: country for country, listed in COUNTRY_NUMBERS.items()}
    return _NUMBERS.get(number) or by_country.get(number)


def passes_luhn(number: str) -> bool:
    """Whether the last digit of a card number is right (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def name_of_iban(iban: str) -> str | None:
    """The table name behind an IBAN without blanks; ``None`` when it is malformed (ISO 13616, mod 97)."""
    if iban in IBANS:
        return IBANS[iban]
    return "sepa_succeeds" if _well_formed(iban) else None


def _well_formed(iban: str) -> bool:
    if not (iban.isascii() and iban.isalnum() and iban[:2].isalpha() and 15 <= len(iban) <= 34):
        return False
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
