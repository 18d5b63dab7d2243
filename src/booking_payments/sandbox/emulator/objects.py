"""Stripe's objects as new: every field that Stripe answers with, at its first value (docs.stripe.com/api)."""

from typing import Any, Final

from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.cards import Behaviour
from booking_payments.sandbox.emulator.records import StripeAccount

ACCOUNT_ID: Final = "acct_sandbox"
"""The one account's id."""

EVIDENCE_FIELDS: Final = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def payment_intent(account: StripeAccount, id_: str, **given: Any) -> Json:
    """An unpaid PaymentIntent."""
    return {
        "id": id_,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": 0,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{id_}_secret_{account.token(25)}",
        "confirmation_method": "automatic",
        "created": account.now(),
        "currency": "usd",
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": account.livemode,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_record": None,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    } | given


def charge(account: StripeAccount, id_: str, intent: Json, method: Json, **given: Any) -> Json:
    """A charge made by an intent with a method; the intent's metadata is copied once, here."""
    receipt = None if given.get("status") == "failed" else f"https://pay.stripe.com/receipts/payment/{id_}"
    return {
        "id": id_,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "BOOKING",
        "captured": False,
        "created": account.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": account.livemode,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": method["type"]},
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": receipt,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    } | given


def refund(account: StripeAccount, id_: str, charge_: Json, **given: Any) -> Json:
    """A refund of a charge, not yet sent."""
    return {
        "id": id_,
        "object": "refund",
        "amount": 0,
        "balance_transaction": None,
        "charge": charge_["id"],
        "created": account.now(),
        "currency": charge_["currency"],
        "customer": charge_["customer"],
        "customer_account": None,
        "destination_details": _destination(charge_),
        "metadata": {},
        "payment_intent": charge_["payment_intent"],
        "payment_method": charge_["payment_method"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending",
        "transfer_reversal": None,
    } | given


def _destination(charge_: Json) -> Json:
    type_ = charge_["payment_method_details"]["type"]
    if type_ not in _DESTINATIONS:
        return {"type": type_}
    name, details = _DESTINATIONS[type_]
    return {name: copy_json(details), "type": name}


_NO_REFERENCE: Final[Json] = {"reference": None, "reference_status": None}
_DESTINATIONS: Final[dict[str, tuple[str, Json]]] = {
    "boleto": ("br_bank_transfer", _NO_REFERENCE),
    "card": ("card", {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}),
    "klarna": ("klarna", {}),
    "konbini": ("jp_bank_transfer", _NO_REFERENCE),
    "multibanco": ("multibanco", _NO_REFERENCE),
    "oxxo": ("mx_bank_transfer", _NO_REFERENCE),
    "paypal": ("paypal", {"network_decline_code": None, "reference": None, "reference_status": None}),
    "us_bank_account": ("us_bank_transfer", _NO_REFERENCE),
}
"""Where the money of a refund goes, by the type that paid."""


def dispute(account: StripeAccount, id_: str, charge_: Json, **given: Any) -> Json:
    """A chargeback of everything captured."""
    return {
        "id": id_,
        "object": "dispute",
        "amount": charge_["amount_captured"],
        "balance_transactions": [],
        "charge": charge_["id"],
        "created": account.now(),
        "currency": charge_["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE_FIELDS) | {"enhanced_evidence": {}},
        "evidence_details": {},
        "intended_submission_method": None,
        "is_charge_refundable": False,
        "livemode": account.livemode,
        "metadata": {},
        "payment_intent": charge_["payment_intent"],
        "payment_method_details": {"type": charge_["payment_method_details"]["type"]},
        "reason": "general",
        "status": "needs_response",
    } | given


def balance_transaction(
    account: StripeAccount, id_: str, *, amount: int, currency: str, fee: int = 0, **given: Any
) -> Json:
    """Money in or out of the account's balance. ``fee`` is Stripe's, for a charge or a dispute."""
    what = "Dispute fee" if given["type"] == "adjustment" else "Stripe processing fees"
    details = {"amount": fee, "application": None, "currency": currency, "description": what}
    return {
        "id": id_,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": account.now(),
        "balance_type": "payments",
        "created": account.now(),
        "currency": currency,
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [details | {"type": "stripe_fee"}] if fee else [],
        "net": amount - fee,
        "source": None,
        "status": "available",
    } | given


def payment_method(account: StripeAccount, id_: str, behaviour: Behaviour, **given: Any) -> Json:
    """A method that behaves in a given way."""
    return {
        "id": id_,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details({}),
        behaviour.type: _method_details(account, behaviour),
        "created": account.now(),
        "customer": None,
        "customer_account": None,
        "livemode": account.livemode,
        "metadata": {},
        "type": behaviour.type,
    } | given


def billing_details(given: Json) -> Json:
    """Billing details with every field present."""
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    empty = {"address": address, "email": None, "name": None, "phone": None, "tax_id": None}
    return empty | given | {"address": address | (given.get("address") or {})}


def _method_details(account: StripeAccount, behaviour: Behaviour) -> Json:
    if behaviour.type == "us_bank_account":
        return _us_bank_account(account)
    if behaviour.type == "sepa_debit":
        return _sepa_debit(account, behaviour)
    if behaviour.type != "card":
        return dict(_EMPTY_DETAILS.get(behaviour.type, {}))
    return _card(account, behaviour)


_EMPTY_DETAILS: Final[Json] = {
    "boleto": {"tax_id": ""},
    "ideal": {"bank": None, "bic": None},
    "klarna": {"dob": None},
    "paypal": {"country": None, "payer_email": None, "payer_id": None},
}


def _card(account: StripeAccount, behaviour: Behaviour) -> Json:
    return {
        "brand": behaviour.brand,
        "checks": checks(behaviour),
        "country": behaviour.country,
        "display_brand": behaviour.brand,
        "exp_month": 12,
        "exp_year": account.clock().year + 4,
        "fingerprint": account.token(16),
        "funding": behaviour.funding,
        "generated_from": None,
        "last4": (behaviour.number or "4242")[-4:],
        "networks": {"available": [behaviour.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def checks(behaviour: Behaviour) -> Json:
    """What the bank said about address and CVC; ``None`` was not asked."""
    asked = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
    return asked | dict.fromkeys(behaviour.failed_checks, "fail")


def _us_bank_account(account: StripeAccount) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": account.token(16),
        "last4": "6789",
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }


def _sepa_debit(account: StripeAccount, behaviour: Behaviour) -> Json:
    return {
        "bank_code": "37040044",
        "branch_code": "",
        "country": behaviour.country,
        "fingerprint": account.token(16),
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": "3000",
    }


def customer(account: StripeAccount, id_: str, **given: Any) -> Json:
    """A customer without methods."""
    return {
        "id": id_,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": account.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": account.token(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": account.livemode,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    } | given


def webhook_endpoint(account: StripeAccount, id_: str, **given: Any) -> Json:
    """An enabled endpoint; only the answer to create has its secret."""
    return {
        "id": id_,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": account.now(),
        "description": None,
        "enabled_events": ["*"],
        "livemode": account.livemode,
        "metadata": {},
        "status": "enabled",
        "url": "",
    } | given


def early_fraud_warning(account: StripeAccount, id_: str, charge_: Json) -> Json:
    """The card network's suspicion about a charge."""
    return {
        "id": id_,
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": charge_["id"],
        "created": account.now(),
        "fraud_type": "unauthorized_use_of_card",
        "livemode": account.livemode,
        "payment_intent": charge_["payment_intent"],
    }


def review(account: StripeAccount, id_: str, charge_: Json) -> Json:
    """An open review of a charge of elevated risk."""
    return {
        "id": id_,
        "object": "review",
        "billing_zip": charge_["billing_details"]["address"]["postal_code"],
        "charge": charge_["id"],
        "closed_reason": None,
        "created": account.now(),
        "ip_address": None,
        "ip_address_location": None,
        "livemode": account.livemode,
        "open": True,
        "opened_reason": "rule",
        "payment_intent": charge_["payment_intent"],
        "reason": "rule",
        "session": None,
    }


def setup_intent(account: StripeAccount, id_: str, **given: Any) -> Json:
    """A SetupIntent without a method."""
    return {
        "id": id_,
        "object": "setup_intent",
        "allowed_payment_method_types": None,
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id_}_secret_{account.token(25)}",
        "created": account.now(),
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": account.livemode,
        "managed_payments": None,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    } | given


def stripe_account(account: StripeAccount, currency: str) -> Json:
    """The account itself, as ``GET /v1/account`` answers."""
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": {"mcc": None, "name": "Sandbox", "support_email": None, "support_phone": None, "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": currency,
        "details_submitted": True,
        "email": "sandbox@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {"statement_descriptor_prefix": "BOOKING"},
            "dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": "BOOKING"},
        },
        "type": "standard",
    }
