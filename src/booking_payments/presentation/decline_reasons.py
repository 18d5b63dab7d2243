"""Why a payment was declined, in a sentence for operators, and what to tell the customer.

The console and ``docs/reference/declines.md`` show this table. What customers read by themselves is the gateway's text,
or the general one for a hidden reason: see ``domain.declines``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from booking_payments.domain.declines import Decline, Remedy

REASONS: Final[Mapping[str, str]] = {
    # the bank wants to know who pays
    "authentication_required": "The bank asks for 3-D Secure, which was not done.",
    "authentication_not_handled": "The bank asked for 3-D Secure, and the customer did not finish it.",
    "mobile_device_authentication_required": "The card is in a phone that has to be unlocked for the payment.",
    "authentication_failure": "The customer did not pass 3-D Secure.",
    "payment_intent_authentication_failure": "The customer did not pass 3-D Secure.",
    "payment_intent_action_required": "The bank asks for a step of the customer, which was not taken.",
    # it may work at once
    "processing_error": "The card could not be processed, for a technical reason.",
    "reenter_transaction": "The bank could not process the payment, for a reason it does not give.",
    "issuer_not_available": "The bank could not be reached.",
    "approve_with_id": "The bank did not authorize the payment, and accepts another try.",
    "try_again_later": "The bank declined for the moment, without a reason.",
    "payment_intent_payment_attempt_expired": "The time for this try has run out.",
    "payment_method_microdeposit_processing_error": "The bank account could not be checked, for a technical reason.",
    "payment_method_provider_timeout": "The provider of the payment method did not answer in time.",
    "three_d_secure_authentication_upstream_error": "3-D Secure failed at the bank or the network.",
    # it may work later
    "insufficient_funds": "There is not enough money in the account of the card.",
    "card_velocity_exceeded": "The card is over its limit: of its credit, or of its payments in this time.",
    "withdrawal_count_limit_exceeded": "The card is over its limit: of its credit, or of its payments in this time.",
    # the customer typed something wrong
    "incorrect_number": "The card number is wrong.",
    "invalid_number": "The card number is wrong.",
    "incorrect_cvc": "The security code is wrong.",
    "invalid_cvc": "The security code is wrong.",
    "invalid_expiry_month": "The month of expiry is wrong.",
    "invalid_expiry_year": "The year of expiry is wrong.",
    "incorrect_zip": "The postal code is not that of the card.",
    "incorrect_postal_code": "The postal code is not that of the card.",
    "postal_code_invalid": "The postal code is wrong.",
    "incorrect_address": "The address is not that of the card.",
    "incorrect_pin": "The PIN is wrong.",
    "invalid_pin": "The PIN is wrong.",
    "offline_pin_required": "The card asks for its PIN.",
    "online_or_offline_pin_required": "The card asks for its PIN.",
    "account_number_invalid": "The account number is wrong.",
    "routing_number_invalid": "The routing number of the bank is wrong.",
    "bank_account_bad_routing_numbers": "The routing number of the bank is wrong.",
    "bank_account_verification_failed": "The bank account could not be verified.",
    "payment_intent_konbini_rejected_confirmation_number": "The shop does not accept this confirmation number.",
    "payment_method_microdeposit_failed": "The small test payments did not arrive.",
    "payment_method_microdeposit_verification_amounts_invalid": "The amounts were not typed as asked.",
    "payment_method_microdeposit_verification_amounts_mismatch": "The typed amounts are wrong.",
    "payment_method_microdeposit_verification_descriptor_code_mismatch": "The typed code is wrong.",
    # another card or account is needed
    "expired_card": "The card has expired.",
    "expired_payment_method": "The payment method has expired.",
    "card_not_supported": "The card does not allow this kind of payment.",
    "currency_not_supported": "The card does not allow payments in this currency.",
    "invalid_account": "The card, or the account behind it, is not valid.",
    "new_account_information_available": "The card is not valid any more: the bank has issued a new one.",
    "pin_try_exceeded": "The PIN was typed wrongly too often.",
    "testmode_decline": "A card for tests was used where real money moves.",
    "account_closed": "The bank account is closed.",
    "no_account": "The bank knows no such account.",
    "bank_account_declined": "The bank account can't be used for this payment.",
    "bank_account_restricted": "The bank account does not allow this kind of payment.",
    "bank_account_unusable": "The bank account can't be used for payments.",
    "bank_account_unverified": "The bank account is not verified.",
    "payment_method_bank_account_blocked": "The bank account is blocked.",
    "card_decline_rate_limit_exceeded": "The card was declined too often, and is not tried any more for a while.",
    "charge_exceeds_source_limit": "The amount is above what this payment method may pay in this time.",
    "charge_exceeds_transaction_limit": "The amount is above what this payment method may pay at once.",
    "india_recurring_payment_mandate_canceled": "The customer has withdrawn the permission for payments.",
    "invalid_card_type": "This type of card is not accepted here.",
    "payment_intent_payment_attempt_failed": "The payment method failed, for a reason that is not given.",
    "payment_method_customer_decline": "The customer declined the payment in the provider's app or page.",
    "payment_method_provider_decline": "The provider of the payment method declined.",
    "payment_method_restricted": "The payment method is restricted by its provider.",
    "payment_method_microdeposit_verification_attempts_exceeded": "The amounts were typed wrongly too often.",
    "payment_method_microdeposit_verification_timeout": "The account was not verified in time.",
    "three_d_secure_authentication_not_supported": "The card does not take part in 3-D Secure, which is needed here.",
    # the bank decides, and knows why
    "card_declined": "The bank declined, without a reason.",
    "call_issuer": "The bank declined, and tells the reason only to the holder of the card.",
    "do_not_honor": "The bank declined, without a reason.",
    "generic_decline": "The bank declined, without a reason; or the gateway's rules against fraud blocked the payment.",
    "no_action_taken": "The bank declined, without a reason.",
    "not_permitted": "The bank does not permit this payment.",
    "restricted_card": "The card does not allow this payment; it may be reported as lost.",
    "security_violation": "The bank declined for a reason of security, which it does not give.",
    "service_not_allowed": "The bank does not permit this kind of payment.",
    "stop_payment_order": "The customer has told the bank to stop this payment.",
    "invalid_amount": "The amount is above what the bank permits, or not valid for this card.",
    "do_not_try_again": "The bank declined, and forbids another try with this card.",
    "transaction_not_allowed": "The bank does not permit this kind of payment, and forbids another try with this card.",
    "revocation_of_authorization": "The customer has withdrawn the permission for this payment at the bank.",
    "revocation_of_all_authorizations": "The customer has withdrawn the permission for all payments at the bank.",
    "debit_not_authorized": "The customer told the bank that this debit was not permitted.",
    "generic_could_not_process": "The bank could not process the debit, without a reason.",
    "partner_generic_decline": "The provider of the payment method declined, without a reason.",
    "refer_to_customer": "The customer has told the bank to stop this debit.",
    # the reason is kept from the customer
    "lost_card": "The card is reported as lost.",
    "stolen_card": "The card is reported as stolen.",
    "pickup_card": "The card may not be used any more; it may be reported as lost or stolen.",
    "highest_risk_level": "The gateway blocked the payment, since its risk of fraud is the highest.",
    "fraudulent": "The gateway takes the payment for a fraud.",
    "merchant_blacklist": "The card, address or customer is on your own list of those to block.",
    # it may have been paid already
    "duplicate_transaction": "The same amount was paid by the same card a moment ago.",
}
"""Why, by the code of ``DECLINES`` or ``OTHER_VERDICTS`` of ``domain.declines``."""

TO_SAY: Final[Mapping[Remedy, str]] = {
    Remedy.AUTHENTICATE: "Please pay once more, and confirm the payment when your bank asks you to.",
    Remedy.TRY_AGAIN: "Please try the same card once more. If that fails, use another one.",
    Remedy.TRY_LATER: "Please use another card, or try this one later. Your bank can tell you more.",
    Remedy.FIX_DATA: "Please check what you typed, and try again, or use another card.",
    Remedy.ANOTHER_CARD: "Please use another card or another way to pay.",
    Remedy.CONTACT_ISSUER: "Your bank declined and did not tell us why. Please ask it, or use another card.",
    Remedy.CHECK_FIRST: "Please look whether you have paid already before you try again.",
}
"""What to tell the customer, by what they may do."""

SAY_NOT_AGAIN: Final = "Your bank does not allow this card for the payment. Please use another one, or ask your bank."
SAY_HIDDEN: Final = "Your card was declined. Please use another card, or ask your bank."
"""For a reason that the customer must not learn, since a thief would: nothing else may be said."""


@frozen(kw_only=True)
class DeclineReason:
    """A decline explained.

    Attributes:
        code: the most exact code that the gateway gave.
        why: the reason, for operators.
        say: what to tell the customer.
        hidden: the customer must not learn ``why``.
    """

    code: str
    why: str
    say: str
    hidden: bool


def reason_of(decline: Decline) -> DeclineReason:
    """Explain a decline, by its decline code or else its error code. The network's advice counts for what to say."""
    code, rule = decline.decline_code or decline.code, decline.rule
    why = REASONS.get(code, f"The gateway gave the reason “{code}”, which this version does not know.")
    if rule.hidden:
        return DeclineReason(code=code, why=why, say=SAY_HIDDEN, hidden=True)
    return DeclineReason(code=code, why=why, say=TO_SAY[rule.remedy] if rule.same_card else SAY_NOT_AGAIN, hidden=False)
