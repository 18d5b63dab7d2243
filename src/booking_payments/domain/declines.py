"""Decline codes of the gateway: the customer's next step for each, and the part of it that is shown to the customer.

The codes are those of docs.stripe.com/declines/codes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import evolve, frozen

GENERIC_TEXT: Final = "Your card was declined."
"""Shown to the customer in place of a hidden reason (docs.stripe.com/declines/codes)."""

GENERIC_CODE: Final = "card_declined"
GENERIC_DECLINE: Final = "generic_decline"


class Advice(Enum):
    """What the customer may do about an error, as a code for the front end."""

    TRY_AGAIN = "try_again"
    OTHER_METHOD = "other_method"
    ASK_BANK = "ask_bank"
    FIX_DETAILS = "fix_details"


class Remedy(Enum):
    """What the customer may do after a decline."""

    AUTHENTICATE = "authenticate"
    TRY_AGAIN = "try_again"
    TRY_LATER = "try_later"
    FIX_DATA = "fix_data"
    ANOTHER_CARD = "another_card"
    CONTACT_ISSUER = "contact_issuer"
    CHECK_FIRST = "check_first"


@frozen(kw_only=True)
class DeclineRule:
    """The rule for a decline code.

    Attributes:
        remedy: what the customer may do.
        hidden: the reason must not be shown to the customer.
        same_card: the card may be charged again.
    """

    remedy: Remedy
    hidden: bool = False
    same_card: bool = True


def _rules(rule: DeclineRule, codes: str) -> Mapping[str, DeclineRule]:
    return dict.fromkeys(codes.split(), rule)


DECLINES: Final[Mapping[str, DeclineRule]] = {
    **_rules(
        DeclineRule(remedy=Remedy.AUTHENTICATE),
        "authentication_required authentication_not_handled mobile_device_authentication_required",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.TRY_AGAIN),
        "processing_error reenter_transaction issuer_not_available approve_with_id try_again_later",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.TRY_LATER),
        "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.FIX_DATA),
        "incorrect_number invalid_number incorrect_cvc invalid_cvc invalid_expiry_month invalid_expiry_year "
        "incorrect_zip incorrect_address incorrect_pin invalid_pin offline_pin_required "
        "online_or_offline_pin_required",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.ANOTHER_CARD),
        "expired_card card_not_supported currency_not_supported invalid_account "
        "new_account_information_available pin_try_exceeded testmode_decline",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.CONTACT_ISSUER),
        "call_issuer do_not_honor generic_decline no_action_taken not_permitted restricted_card "
        "security_violation service_not_allowed stop_payment_order invalid_amount",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.CONTACT_ISSUER, same_card=False),
        "do_not_try_again transaction_not_allowed revocation_of_authorization revocation_of_all_authorizations",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.CONTACT_ISSUER, hidden=True, same_card=False),
        "lost_card stolen_card pickup_card highest_risk_level",
    ),
    **_rules(DeclineRule(remedy=Remedy.CONTACT_ISSUER, hidden=True), "fraudulent merchant_blacklist"),
    **_rules(DeclineRule(remedy=Remedy.CHECK_FIRST), "duplicate_transaction"),
}
"""The known decline codes (docs.stripe.com/declines/codes). Their assignment to remedies is this library's."""

OTHER_VERDICTS: Final[Mapping[str, DeclineRule]] = {
    **_rules(
        DeclineRule(remedy=Remedy.AUTHENTICATE),
        "authentication_failure payment_intent_authentication_failure payment_intent_action_required",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.TRY_AGAIN),
        "payment_intent_payment_attempt_expired payment_method_microdeposit_processing_error "
        "payment_method_provider_timeout three_d_secure_authentication_upstream_error",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.FIX_DATA),
        "account_number_invalid bank_account_bad_routing_numbers bank_account_verification_failed "
        "incorrect_postal_code payment_intent_konbini_rejected_confirmation_number payment_method_microdeposit_failed "
        "payment_method_microdeposit_verification_amounts_invalid "
        "payment_method_microdeposit_verification_amounts_mismatch "
        "payment_method_microdeposit_verification_descriptor_code_mismatch postal_code_invalid routing_number_invalid",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.ANOTHER_CARD),
        "account_closed bank_account_declined bank_account_restricted bank_account_unusable bank_account_unverified "
        "card_decline_rate_limit_exceeded charge_exceeds_source_limit charge_exceeds_transaction_limit "
        "expired_payment_method india_recurring_payment_mandate_canceled invalid_card_type no_account "
        "payment_intent_payment_attempt_failed payment_method_bank_account_blocked payment_method_customer_decline "
        "payment_method_microdeposit_verification_attempts_exceeded payment_method_microdeposit_verification_timeout "
        "payment_method_provider_decline payment_method_restricted three_d_secure_authentication_not_supported",
    ),
    **_rules(
        DeclineRule(remedy=Remedy.CONTACT_ISSUER),
        "debit_not_authorized generic_could_not_process partner_generic_decline refer_to_customer",
    ),
}
"""Verdicts other than card decline codes: error codes, and reasons of other payment methods.

``DECLINES`` takes precedence.
"""

UNKNOWN_DECLINE: Final = DeclineRule(remedy=Remedy.CONTACT_ISSUER)
"""The rule for a code in neither table."""

ADVICE: Final[Mapping[Remedy, Advice | None]] = {
    Remedy.AUTHENTICATE: Advice.ASK_BANK,
    Remedy.TRY_AGAIN: Advice.TRY_AGAIN,
    Remedy.TRY_LATER: Advice.TRY_AGAIN,
    Remedy.FIX_DATA: Advice.FIX_DETAILS,
    Remedy.ANOTHER_CARD: Advice.OTHER_METHOD,
    Remedy.CONTACT_ISSUER: Advice.ASK_BANK,
    Remedy.CHECK_FIRST: None,
}
"""The code for the front end of each remedy. ``CHECK_FIRST`` has none, since any other try may pay twice."""

ADVICE_STOP: Final = "do_not_try_again"
ADVICE_LATER: Final = "try_again_later"
ADVICE_DATA: Final = "confirm_card_data"


@frozen(kw_only=True)
class Decline:
    """The gateway's verdict against an attempt.

    Attributes:
        code: its error code (``card_declined``, ``expired_card``).
        message: its text for the customer.
        decline_code: the issuer's reason; None for a verdict without one.
        advice_code: the card network's advice, which overrides the tables; None without one.
    """

    code: str
    message: str
    decline_code: str | None = None
    advice_code: str | None = None

    @property
    def rule(self) -> DeclineRule:
        """The rule of this decline: the entry of the table, changed by the network's advice."""
        reason = self.decline_code or self.code
        row = DECLINES.get(reason) or OTHER_VERDICTS.get(reason, UNKNOWN_DECLINE)
        if self.advice_code == ADVICE_STOP:
            return evolve(row, same_card=False)
        if row.hidden:
            return row
        if self.advice_code == ADVICE_DATA:
            return evolve(row, remedy=Remedy.FIX_DATA)
        return evolve(row, remedy=Remedy.TRY_LATER) if self.advice_code == ADVICE_LATER else row

    @property
    def advice(self) -> Advice | None:
        """What the customer may do; None for a hidden reason.

        The generic decline has none either, so that it cannot be distinguished from a hidden one.
        """
        rule = self.rule
        if rule.hidden or self.decline_code == GENERIC_DECLINE:
            return None
        return ADVICE[rule.remedy] if rule.same_card else Advice.OTHER_METHOD

    @property
    def customer_code(self) -> str:
        """The error code for the customer; generic for a hidden reason."""
        return GENERIC_CODE if self.rule.hidden else self.code

    @property
    def customer_text(self) -> str:
        """The message for the customer; generic for a hidden reason."""
        return GENERIC_TEXT if self.rule.hidden else self.message

    def for_customer(self) -> "Decline":
        """Return this decline with a hidden reason replaced by the generic one, without advice."""
        if not self.rule.hidden:
            return self
        return Decline(code=GENERIC_CODE, message=GENERIC_TEXT, decline_code=GENERIC_DECLINE)
