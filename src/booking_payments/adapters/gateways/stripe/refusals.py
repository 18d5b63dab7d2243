"""Classification of Stripe's refusals: a table of all error codes, and a rule for responses without a code.

Sources: the codes are those of the installed SDK's ``PaymentIntent.LastPaymentError.code``
(docs.stripe.com/error-codes); a test fails when the SDK adds one. The classes are this library's.

- ``VERDICT``: the customer's payment method was declined, whatever the status and type of the response.
- ``RULE``: refused by a rule or by the present state; ``word`` is the code that the port raises.
- ``LATER``: nothing happened; the same request may be sent again.
- ``UNKNOWN``: another request is being processed; the same request may be sent again.
- ``GENERAL``: the code is too general; parameter and message decide, as for a response without a code.
- ``OURS``: an error in this service's key, account or parameters.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen

from booking_payments.domain.declines import GENERIC_TEXT


class Whose(Enum):
    """The classes in the module's docstring."""

    VERDICT = "verdict"
    RULE = "rule"
    LATER = "later"
    UNKNOWN = "unknown"
    GENERAL = "general"
    OURS = "ours"


@frozen
class Row:
    """The meaning of an error code.

    Attributes:
        word: the port's code, for ``RULE``.
        text: the text for the customer, for ``VERDICT``: Stripe's messages address customers only in card errors.
    """

    whose: Whose
    word: str | None = None
    text: str | None = None


OURS: Final = Row(Whose.OURS)
GENERAL: Final = Row(Whose.GENERAL)

_REFUSED: Final = "this payment method was refused; choose another"
_DETAILS: Final = "the details of this payment method are not correct; correct them, or choose another"
_LIMIT: Final = "the amount is above what can be paid with this payment method; choose another"
_AGAIN: Final = "this could not be processed; try again in a moment, or choose another payment method"
_BANK: Final = "the bank refused the payment; ask the bank, or choose another payment method"
_CONFIRM: Final = "the bank wants the payment confirmed, and it was not; try again, or choose another payment method"


def _rows(row: Row, codes: str) -> Mapping[str, Row]:
    return dict.fromkeys(codes.split(), row)


def _verdict(text: str, codes: str) -> Mapping[str, Row]:
    return _rows(Row(Whose.VERDICT, text=text), codes)


def _rule(word: str, codes: str) -> Mapping[str, Row]:
    return _rows(Row(Whose.RULE, word=word), codes)


CODES: Final[Mapping[str, Row]] = {
    # --- the customer's payment method was refused
    **_verdict(
        _REFUSED,
        "account_closed bank_account_declined bank_account_restricted bank_account_unusable bank_account_unverified "
        "card_decline_rate_limit_exceeded expired_card expired_payment_method "
        "india_recurring_payment_mandate_canceled invalid_card_type no_account payment_method_bank_account_blocked "
        "payment_method_customer_decline payment_method_microdeposit_verification_attempts_exceeded "
        "payment_method_microdeposit_verification_timeout payment_method_provider_decline payment_method_restricted "
        "three_d_secure_authentication_not_supported",
    ),
    **_verdict(
        _DETAILS,
        "account_number_invalid bank_account_bad_routing_numbers bank_account_verification_failed incorrect_address "
        "incorrect_cvc incorrect_number incorrect_postal_code incorrect_zip invalid_cvc invalid_expiry_month "
        "invalid_expiry_year invalid_number payment_intent_konbini_rejected_confirmation_number "
        "payment_method_microdeposit_failed payment_method_microdeposit_verification_amounts_invalid "
        "payment_method_microdeposit_verification_amounts_mismatch "
        "payment_method_microdeposit_verification_descriptor_code_mismatch postal_code_invalid routing_number_invalid",
    ),
    # The same text as for a hidden reason, so that the two cannot be distinguished.
    **_verdict(GENERIC_TEXT, "card_declined"),
    **_verdict(_LIMIT, "charge_exceeds_source_limit charge_exceeds_transaction_limit"),
    **_verdict(
        _AGAIN,
        "payment_method_microdeposit_processing_error payment_method_provider_timeout processing_error "
        "three_d_secure_authentication_upstream_error",
    ),
    **_verdict(_BANK, "debit_not_authorized insufficient_funds refer_to_customer"),
    **_verdict(_CONFIRM, "authentication_failure authentication_required"),
    # --- the payment method cannot be used for this payment, or no longer
    **_rule("payment_method_used", "token_already_used"),
    # Stripe's responses contain the first of these; the SDK's list lacks it.
    **_rule("payment_method_of_another_customer", "payment_method_customer_mismatch missing"),
    **_rule(
        "payment_method_unavailable",
        "financial_connections_account_inactive financial_connections_account_pending_account_numbers "
        "financial_connections_account_unavailable_account_numbers invalid_source_usage payment_method_not_available "
        "payment_method_unactivated",
    ),
    **_rule(
        "payment_details_missing",
        "billing_invalid_mandate cardholder_phone_number_required payment_intent_mandate_invalid "
        "payment_method_billing_details_address_missing setup_intent_mandate_invalid shipping_address_invalid",
    ),
    **_rule(
        "payment_method_incompatible",
        "payment_intent_incompatible_payment_method payment_method_currency_mismatch payment_method_unexpected_state "
        "payment_method_unsupported_type token_card_network_invalid",
    ),
    # --- the amount
    **_rule("amount_too_small", "amount_too_small"),
    **_rule("amount_too_large", "amount_too_large"),
    **_rule("invalid_charge_amount", "invalid_charge_amount"),
    # --- the payment is in another state
    **_rule(
        "payment_intent_unexpected_state",
        "acss_debit_session_incomplete capture_unauthorized_payment intent_invalid_state "
        "payment_intent_action_required payment_intent_unexpected_state status_transition_invalid",
    ),
    **_rule("payment_intent_authentication_failure", "payment_intent_authentication_failure"),
    **_rule("payment_intent_payment_attempt_failed", "payment_intent_payment_attempt_failed"),
    **_rule("payment_intent_payment_attempt_expired", "payment_intent_payment_attempt_expired"),
    **_rule("charge_already_captured", "charge_already_captured"),
    **_rule("charge_expired_for_capture", "charge_expired_for_capture"),
    **_rule("capture_charge_authorization_expired", "capture_charge_authorization_expired"),
    # --- refunds
    **_rule("charge_already_refunded", "charge_already_refunded"),
    **_rule("charge_disputed", "charge_disputed"),
    **_rule("refund_disputed_payment", "refund_disputed_payment"),
    **_rule("charge_not_refundable", "charge_not_refundable"),
    **_rule("balance_insufficient", "balance_insufficient"),
    # --- nothing happened, or the outcome is unknown
    **_rows(Row(Whose.LATER), "payment_intent_rate_limit_exceeded rate_limit token_in_use"),
    **_rows(Row(Whose.UNKNOWN), "idempotency_key_in_use lock_timeout"),
    # --- the code is too general
    **_rows(
        GENERAL,
        "charge_invalid_parameter email_invalid parameter_invalid_empty parameter_invalid_integer "
        "parameter_invalid_string_blank parameter_invalid_string_empty parameter_missing "
        "payment_intent_invalid_parameter payment_method_invalid_parameter "
        "payment_method_invalid_parameter_testmode resource_missing",
    ),
    # --- this service's key, account or parameters; and codes of APIs that it does not call
    **_rows(
        OURS,
        "account_country_invalid_address account_error_country_change_requires_additional_steps "
        "account_information_mismatch account_invalid account_token_required_for_v2_account action_blocked "
        "alipay_upgrade_required anomalous_money_movement_request api_key_expired application_fees_not_allowed "
        "approval_required balance_invalid_parameter bank_account_exists bitcoin_upgrade_required "
        "capability_not_active clearing_code_unsupported country_code_invalid country_unsupported coupon_expired "
        "customer_max_payment_methods customer_max_subscriptions customer_session_expired "
        "customer_tax_location_invalid dispute_evidence_page_limit_exceeded failed_tax_calculation "
        "financial_account_balance_does_not_support_currency financial_account_capability_not_enabled "
        "financial_account_capability_restricted financial_connections_consent_locale_invalid "
        "financial_connections_consent_locale_unsupported financial_connections_no_successful_transaction_refresh "
        "forwarding_api_inactive forwarding_api_invalid_parameter forwarding_api_retryable_upstream_error "
        "forwarding_api_upstream_connection_error forwarding_api_upstream_connection_timeout "
        "forwarding_api_upstream_error instant_payouts_config_disabled instant_payouts_currency_disabled "
        "instant_payouts_limit_exceeded instant_payouts_unsupported intent_verification_method_missing "
        "invalid_canceled_subscription_fields invalid_characters invalid_mandate_reference_prefix_format "
        "invalid_tax_location invoice_no_customer_line_items invoice_no_payment_method_types "
        "invoice_no_subscription_line_items invoice_not_editable invoice_on_behalf_of_not_editable "
        "invoice_payment_intent_requires_action invoice_upcoming_none livemode_mismatch "
        "not_allowed_on_standard_account out_of_inventory ownership_declaration_not_allowed "
        "payment_evaluation_on_api_version_not_supported payment_method_bank_account_already_verified "
        "payment_method_configuration_failures payout_reconciliation_not_ready payouts_limit_exceeded "
        "payouts_not_allowed platform_account_required platform_api_key_expired product_inactive "
        "progressive_onboarding_limit_exceeded request_blocked resource_already_exists "
        "return_intent_already_processed secret_key_required sepa_unsupported_account "
        "service_period_coupon_with_metered_tiered_item_unsupported setup_attempt_failed "
        "setup_intent_authentication_failure setup_intent_invalid_parameter setup_intent_mobile_wallet_unsupported "
        "setup_intent_setup_attempt_expired setup_intent_unexpected_state shipping_calculation_failed siret_invalid "
        "sku_inactive smart_disputes_not_available state_unsupported storer_capability_missing "
        "storer_capability_not_active stripe_tax_inactive subscription_update_trial_after_billing_cycle_anchor "
        "tax_id_invalid tax_id_prohibited taxes_calculation_failed terminal_location_country_unsupported "
        "terminal_reader_busy terminal_reader_hardware_fault terminal_reader_invalid_location_for_activation "
        "terminal_reader_invalid_location_for_payment terminal_reader_offline terminal_reader_timeout "
        "testmode_charges_only tls_version_unsupported transfer_source_balance_parameters_mismatch "
        "transfers_not_allowed url_invalid",
    ),
    # This service's as well, for every parameter, because no customer input becomes a parameter's name. The SDK's list
    # lacks the last code, for parameters that the API version has removed.
    **_rows(OURS, "parameter_unknown parameters_exclusive payment_method_types_no_longer_supported"),
}
"""The class of each error code."""


def row_of(status: int, code: str | None, param: str | None, message: str, *, decline_code: str | None) -> Row:
    """Return the class of a 400, 402 or 404 response that is not a card error.

    A response with a ``decline_code`` is a verdict. So is a 402 with an unknown code: its parameters were valid.
    """
    if decline_code is not None:
        return Row(Whose.VERDICT, text=GENERIC_TEXT)
    row = CODES.get(code, GENERAL) if code else GENERAL
    if row.whose is not Whose.GENERAL:
        return row
    if status == 402 and code and code not in CODES:
        return Row(Whose.VERDICT, text=_REFUSED)
    word = _word_of(code, param or "", _QUOTED.sub("", message))
    return Row(Whose.RULE, word=word) if word else OURS


# --- the rule for responses without a code, or with a general one ------------------------------------------------

_METHOD: Final = re.compile(r"(payment_method|payment_method_data|source)(\[.*)?")
"""Parameters with a payment method that the customer chose."""

_DETAIL: Final = re.compile(r"(mandate|mandate_data|shipping)(\[.*)?|(.*\[)?billing_details\b.*")
"""Parameters with further details of a payment method, such as its address."""

_CHOICE: Final = re.compile(r"(allowed_|excluded_)?payment_method_(types|configuration|options)(\[.*)?|automatic_.*")
"""Parameters with which this service chooses the accepted methods."""

_QUOTED: Final = re.compile(r"'[^']*'|`[^`]*`")
"""Quotations of the request in Stripe's messages. They are removed, so that input cannot choose a response's class."""

_MESSAGES: Final = (
    (
        re.compile(r"previously used|not be used again|already (been )?used|already been consumed|single-use", re.I),
        "payment_method_used",
    ),
    (
        re.compile(
            r"(attached|belongs?) to (a|the|another|a different)? ?customer|does not have a payment method", re.I
        ),
        "payment_method_of_another_customer",
    ),
    (re.compile(r"\bmandate|billing[_ ](details|address)", re.I), "payment_details_missing"),
)
"""Phrases in Stripe's messages about a payment method. The first match counts.

Messages about a used method mention customers as well.
"""

_UNUSABLE: Final = re.compile(r"payment ?method.*(invalid|not (allowed|activated|available|enabled|supported))", re.I)


def _word_of(code: str | None, param: str, message: str) -> str | None:
    """Return the port's code for a refusal, by its parameter and message; None for an error of this service."""
    if _CHOICE.fullmatch(param):
        return None
    if _DETAIL.fullmatch(param) or (code == "email_invalid" and param != "receipt_email"):
        return "payment_details_missing"
    refused_word = next((word for pattern, word in _MESSAGES if pattern.search(message)), None)
    if refused_word is not None:
        return refused_word
    if _METHOD.fullmatch(param):
        return _METHOD_WORDS.get(code, "payment_method_unavailable")
    if code is None and param == "amount":
        return "refund_exceeds_charge"
    return "payment_method_unavailable" if not param and _UNUSABLE.search(message) else None


_METHOD_WORDS: Final[Mapping[str | None, str]] = {
    "resource_missing": "payment_method_unknown",
    "parameter_missing": "payment_method_missing",
    "parameter_invalid_empty": "payment_method_missing",
}
"""The port's code for a general code about the payment method itself."""
