"""One attempt to pay an intent with a method: charge, decline, authentication, bank debit, voucher.

Events come in the order Stripe makes them (observed in its test mode): ``charge.*`` before
``payment_intent.*``, and a dispute that opens by itself even before ``payment_intent.succeeded``.
"""

from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from booking_payments.sandbox.emulator import objects, vouchers
from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.balance import book_charge
from booking_payments.sandbox.emulator.cards import (
    AUTHENTICATION_NOT_HANDLED,
    NEEDS_AUTHENTICATION,
    Authentication,
    Behaviour,
    CardDecline,
    Settles,
    behaviour,
)
from booking_payments.sandbox.emulator.disputes import open_dispute
from booking_payments.sandbox.emulator.errors import error_body
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.follow_ups import schedule
from booking_payments.sandbox.emulator.method_types import MODELLED, REDIRECTS, Flow
from booking_payments.sandbox.emulator.payment_methods import behaviour_of, give_to
from booking_payments.sandbox.emulator.records import Record, StripeAccount
from booking_payments.sandbox.emulator.refunds import release
from booking_payments.sandbox.emulator.reviews import open_review
from booking_payments.sandbox.emulator.settings import EXPIRED_UNCAPTURED

AUTHORIZATION_LASTS: Final = timedelta(days=7)
"""How long a card's hold lasts before Stripe cancels the intent (docs.stripe.com: "Place a hold")."""


_NOTHING_YET: Final[Json] = {"refunds": [], "disputes": [], "released": 0}
"""Private notes about a new charge; ``released``: how much of its authorization is listed as a refund."""


@frozen
class Circumstances:
    """How the confirmation came about. With ``use_stripe_sdk``, and without a ``return_url``, the action is left to
    Stripe's script, where it can do without a redirect."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    use_stripe_sdk: bool = False


def options_of(intent: Record, method: Record) -> Json:
    """``payment_method_options`` of the intent for the type of ``method``."""
    options: Json = (intent.body["payment_method_options"] or {}).get(method.body["type"]) or {}
    return options


def holds(intent: Record, method: Record) -> bool:
    """Whether a charge is authorized only, to be captured later. The type's own option goes before the intent's."""
    return "manual" in (options_of(intent, method).get("capture_method"), intent.body["capture_method"])


def future_usage(intent: Record, method: Record) -> str | None:
    """How the method is kept for later payments. The type's own option goes before the intent's."""
    usage = options_of(intent, method).get("setup_future_usage") or intent.body["setup_future_usage"]
    return None if usage == "none" else usage


def attempt(account: StripeAccount, intent: Record, method: Record, how: Circumstances) -> Json | None:
    """Try to pay; returns the error of a refused attempt, ``None`` when it went on."""
    account.update(intent, payment_method=method.id, last_payment_error=None, next_action=None)
    does = behaviour_of(method)
    flow = MODELLED[does.type].flow
    if flow is Flow.DEBIT:
        _start_debit(account, intent, method, does)
        return None
    if flow is Flow.VOUCHER:
        _show_voucher(account, intent, method)
        return None
    if intent.private["authenticated"] or not _needs_authentication(intent, method, how):
        return charge_now(account, intent, method)
    if how.off_session:
        return _decline(account, intent, method, NEEDS_AUTHENTICATION)
    if how.error_on_requires_action:
        return _fail(account, intent, method, _decline_error(AUTHENTICATION_NOT_HANDLED))
    _require_action(account, intent, method, how)
    return None


def _needs_authentication(intent: Record, method: Record, how: Circumstances) -> bool:
    """Whether the bank, or the request, asks for 3-D Secure.

    ``request_three_d_secure`` asks for it on session, wherever the card supports it
    (docs.stripe.com/payments/3d-secure/authentication-flow#manual-three-ds).
    """
    does = behaviour_of(method)
    asked = options_of(intent, method).get("request_three_d_secure") in ("any", "challenge")
    if asked and does.three_d_secure and not how.off_session:
        return True
    match does.authentication:
        case Authentication.NEVER:
            return False
        case Authentication.ALWAYS:
            return True
        case Authentication.UNLESS_SET_UP:
            return not (how.off_session and method.private["set_up"])
        case Authentication.ON_SESSION:
            return not how.off_session


def _require_action(account: StripeAccount, intent: Record, method: Record, how: Circumstances) -> None:
    redirects = method.body["type"] in REDIRECTS
    if how.return_url is None or (how.use_stripe_sdk and not redirects):
        action = script_action(account)
    else:
        action = _redirect_action(account, intent, how.return_url)
    account.update(intent, status="requires_action", next_action=action)
    emit(account, "payment_intent.requires_action", intent.body)


def script_action(account: StripeAccount) -> Json:
    """The next action of a card, which Stripe.js shows in a window."""
    source = f"payatt_{account.token()}"
    url = f"https://hooks.stripe.com/redirect/authenticate/{source}"
    script = {"type": "three_d_secure_redirect", "source": source, "stripe_js": url}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": script}


def _redirect_action(account: StripeAccount, intent: Record, return_url: str) -> Json:
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent.id}"
    if account.bank_pages is not None:
        key = account.token(24)
        account.note(intent, bank_key=key, bank_returns_to=return_url)
        url = f"{account.bank_pages}/pages/bank/{intent.id}?key={key}"
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}


def charge_now(account: StripeAccount, intent: Record, method: Record) -> Json | None:
    """Charge a card whose authentication is settled; returns the error of a decline."""
    does = behaviour_of(method)
    decline = does.decline or (does.decline_after_3ds if intent.private["authenticated"] else None)
    if decline is not None:
        return _decline(account, intent, method, decline)
    charge = _new_charge(account, intent, method, paid=True, status="succeeded", outcome=_authorized(method))
    _keep_or_use_up(account, intent, method)
    if holds(intent, method):
        _hold(account, intent, charge)
    else:
        emit_success(account, intent, charge)
    return None


def charge_after_action(account: StripeAccount, intent: Record, method: Record) -> None:
    """The customer has passed 3-D Secure, or paid on the page of a method that redirects."""
    account.note(intent, authenticated=True)
    account.update(intent, next_action=None)
    if future_usage(intent, method) == "off_session":
        account.note(method, set_up=True)
    if intent.body["confirmation_method"] == "manual":
        account.update(intent, status="requires_confirmation")
    else:
        charge_now(account, intent, method)


def _keep_or_use_up(account: StripeAccount, intent: Record, method: Record) -> None:
    """A method is kept by the intent's customer, if the intent asks for that. Without a customer it pays once."""
    usage, customer = future_usage(intent, method), intent.body["customer"]
    if usage is not None and customer is not None:
        give_to(account, method, customer)
        if usage == "off_session" and intent.private["authenticated"]:
            account.note(method, set_up=True)
    elif usage is None:
        account.note(method, used=True)


def _new_charge(account: StripeAccount, intent: Record, method: Record, **given: Any) -> Record:
    id_ = account.new_id("charge", "ch" if method.body["type"] == "card" else "py")
    details = _charge_details(intent, method)
    # What the capture method leaves to Stripe is booked a little later, with ``charge.updated``.
    late = intent.body["capture_method"] == "automatic_async"
    body = objects.charge(account, id_, intent.body, copy_json(method.body), payment_method_details=details, **given)
    charge = account.add(
        "charge", id_, body, behaviour=method.private["behaviour"], late=late, **copy_json(_NOTHING_YET)
    )
    account.note(intent, charges=[*intent.private["charges"], id_], authenticated=False)
    account.update(intent, latest_charge=id_)
    return charge


def _charge_details(intent: Record, method: Record) -> Json:
    type_ = method.body["type"]
    details = copy_json(method.body[type_])
    if type_ == "card":
        for name in ("display_brand", "generated_from", "networks", "three_d_secure_usage"):
            del details[name]
        details |= _card_extras(intent, details["brand"])
    elif type_ == "us_bank_account":
        kept = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        details = {name: details[name] for name in kept} | {"payment_reference": None}
    elif type_ == "sepa_debit":
        del details["generated_from"]
        details["mandate"] = method.private.get("mandate")
    elif type_ in _PAID_ELSEWHERE:
        details = copy_json(_PAID_ELSEWHERE[type_])
    return {type_: details | vouchers.paid_details(intent.private.get("voucher") or {}, type_), "type": type_}


_GENERATED: Final[Json] = {"generated_sepa_debit": None, "generated_sepa_debit_mandate": None}
_PAID_ELSEWHERE: Final[Json] = {
    "bancontact": _GENERATED
    | {"bank_code": "VAPE", "bank_name": "VAN DE PUT & CO", "bic": "VAPEBE22", "iban_last4": "7061"}
    | {"preferred_language": "en", "verified_name": "Jenny Rosen"},
    "ideal": _GENERATED
    | {"bank": "ing", "bic": "INGBNL2A", "iban_last4": "5264", "transaction_id": None, "verified_name": "Jenny Rosen"},
    "klarna": {"payer_details": None, "payment_method_category": "pay_later", "preferred_locale": "en-US"},
    "paypal": {"country": "US", "payer_email": "jenny@example.com", "payer_id": "QYR5Z8XDVJNXQ"}
    | {"payer_name": "Jenny Rosen", "seller_protection": None, "transaction_id": "1LX43762HU2343539"},
}
"""What the page of a method that redirects says of the customer (the values of Stripe's test mode)."""


def _card_extras(intent: Record, brand: str) -> Json:
    amount = intent.body["amount"]
    secure = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    return {
        "amount_authorized": amount,
        "authorization_code": "123456",
        "electronic_commerce_indicator": "05" if intent.private["authenticated"] else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "transaction_link_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "three_d_secure": secure if intent.private["authenticated"] else None,
    }


def _authorized(method: Record) -> Json:
    risk = behaviour_of(method).risk
    return _outcome(
        "authorized", "approved_by_network", risk_level=risk, seller_message="Payment complete.", reason=None
    )


def _outcome(type_: str, network_status: str, **given: Any) -> Json:
    codes = {"advice_code": None, "network_advice_code": None, "network_decline_code": None}
    return {**codes, "network_status": network_status, "type": type_, **given}


def _hold(account: StripeAccount, intent: Record, charge: Record) -> None:
    until = account.now() + int(AUTHORIZATION_LASTS.total_seconds())
    details = copy_json(charge.body["payment_method_details"])
    details["card"]["capture_before"] = until
    account.update(charge, payment_method_details=details)
    emit(account, "charge.succeeded", charge.body)
    account.update(intent, status="requires_capture", amount_capturable=intent.body["amount"])
    emit(account, "payment_intent.amount_capturable_updated", intent.body)
    schedule(account, "expire_authorization", intent.id, AUTHORIZATION_LASTS)


def expire_authorization(account: StripeAccount, intent: Record) -> None:
    """The hold has run out uncaptured."""
    if intent.body["status"] != "requires_capture":
        return
    charge = account.get("charge", intent.body["latest_charge"])
    emit(account, "charge.expired", charge.body)
    close_as_canceled(account, intent, "expired")


def close_as_canceled(account: StripeAccount, intent: Record, reason: str | None) -> None:
    """End an intent unpaid; a hold is released."""
    held = intent.body["amount_capturable"]
    account.update(
        intent,
        status="canceled",
        canceled_at=account.now(),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    if held:
        charge = account.get("charge", intent.body["latest_charge"])
        release(account, charge, held, EXPIRED_UNCAPTURED if reason == "expired" else None)
    emit(account, "payment_intent.canceled", intent.body)


def emit_success(account: StripeAccount, intent: Record, charge: Record) -> None:
    """Take the whole amount of a charge made without a hold, and say so."""
    take(account, charge, charge.body["amount"])
    emit(account, "charge.succeeded", charge.body)
    finish(account, intent, charge)


def take(account: StripeAccount, charge: Record, amount: int) -> None:
    """Capture ``amount`` of a charge. It is booked at once, or later for ``automatic_async``."""
    account.update(charge, captured=True, paid=True, status="succeeded", amount_captured=amount)
    if charge.private["late"]:
        schedule(account, "book_charge", charge.id)
    else:
        book_charge(account, charge)


def book_later(account: StripeAccount, charge: Record) -> None:
    """Write the balance transaction of an ``automatic_async`` charge, unless a refund or a dispute came first."""
    if charge.body["balance_transaction"] is None:
        book_charge(account, charge)
        emit(account, "charge.updated", charge.body, {"balance_transaction": None})


def finish(account: StripeAccount, intent: Record, charge: Record) -> None:
    """The charge is captured: open what opens by itself, then the intent has succeeded."""
    does = behaviour(charge.private["behaviour"])
    for opening in does.disputes:
        open_dispute(account, charge, opening)
    received = charge.body["amount_captured"]
    account.update(intent, status="succeeded", amount_received=received, amount_capturable=0, next_action=None)
    emit(account, "payment_intent.succeeded", intent.body)
    if does.fraud_warning:
        id_ = account.new_id("radar.early_fraud_warning", "issfr")
        warning = account.add("radar.early_fraud_warning", id_, objects.early_fraud_warning(account, id_, charge.body))
        emit(account, "radar.early_fraud_warning.created", warning.body)
    if does.review:
        open_review(account, intent, charge)


# --- declines


def _decline(account: StripeAccount, intent: Record, method: Record, decline: CardDecline) -> Json:
    charge = _new_charge(account, intent, method, status="failed")
    fail_charge(account, charge, method, decline)
    return _fail(account, intent, method, _decline_error(decline, charge.id))


def fail_charge(account: StripeAccount, charge: Record, method: Record, decline: CardDecline) -> None:
    """The bank, or Radar, said no to a charge."""
    account.update(
        charge,
        status="failed",
        paid=False,
        failure_code=decline.code if method.body["type"] == "card" else decline.decline_code,
        failure_message=decline.message,
        outcome=_refused(decline, behaviour_of(method)),
    )
    emit(account, "charge.failed", charge.body)


def _refused(decline: CardDecline, behaviour: Behaviour) -> Json:
    if behaviour.blocked:
        message = "Stripe blocked this payment as too risky."
        reason = "highest_risk_level"
        return _outcome(
            "blocked", "not_sent_to_network", risk_level=behaviour.risk, seller_message=message, reason=reason
        )
    message = "The bank did not return any further details with this decline."
    reason = decline.decline_code or decline.code
    outcome = _outcome(
        "issuer_declined",
        "declined_by_network",
        risk_level=behaviour.risk,
        seller_message=message,
        reason=reason,
    )
    return outcome | {"advice_code": decline.advice_code}


def _decline_error(decline: CardDecline, charge_id: str | None = None) -> Json:
    return error_body(
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        param=decline.param,
        charge=charge_id,
    )


def _fail(account: StripeAccount, intent: Record, method: Record, error: Json) -> Json:
    error = {**error, "payment_method": copy_json(method.body)}
    account.update(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )
    account.note(intent, authenticated=False)
    emit(account, "payment_intent.payment_failed", intent.body)
    return error


def wait_for_bank(account: StripeAccount, intent: Record, method: Record) -> None:
    """The customer has consented at a bank that takes its time."""
    _start_debit(account, intent, method, behaviour_of(method))


def fail_authentication(account: StripeAccount, intent: Record) -> None:
    """The customer did not pass 3-D Secure; no charge was made."""
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment method and try again."
    )
    error = error_body("invalid_request_error", message, code="payment_intent_authentication_failure")
    _fail(account, intent, account.get("payment_method", intent.body["payment_method"]), error)


# --- bank debits


def _start_debit(account: StripeAccount, intent: Record, method: Record, behaviour: Behaviour) -> None:
    if method.body["type"] == "sepa_debit" and not method.private.get("mandate"):
        account.note(method, mandate=f"mandate_{account.token()}")
    charge = _new_charge(account, intent, method, status="pending")
    account.update(intent, status="processing")
    emit(account, "charge.pending", charge.body)
    emit(account, "payment_intent.processing", intent.body)
    if behaviour.settles is not Settles.NEVER:
        schedule(account, "settle_debit", intent.id)


def settle_debit(account: StripeAccount, intent: Record) -> None:
    """The customer's bank has answered."""
    charge = account.get("charge", intent.body["latest_charge"])
    method = account.get("payment_method", charge.body["payment_method"])
    decline = behaviour_of(method).decline
    if decline is not None:
        fail_charge(account, charge, method, decline)
        _fail(account, intent, method, _decline_error(decline, charge.id))
    else:
        account.update(charge, outcome=_authorized(method))
        _keep_or_use_up(account, intent, method)
        emit_success(account, intent, charge)


# --- vouchers


def _show_voucher(account: StripeAccount, intent: Record, method: Record) -> None:
    type_ = method.body["type"]
    voucher = vouchers.new(account, type_, options_of(intent, method))
    account.note(intent, voucher=voucher)
    account.update(intent, status="requires_action", next_action=vouchers.next_action(voucher, type_))
    emit(account, "payment_intent.requires_action", intent.body)
    left = timedelta(seconds=voucher["expires_at"] - account.now())
    schedule(account, "expire_voucher", intent.id, max(left, timedelta()))


def pay_voucher(account: StripeAccount, intent: Record, method: Record) -> None:
    """The customer has paid in the shop or at the bank."""
    account.update(intent, next_action=None)
    charge_now(account, intent, method)


def pass_voucher_end(account: StripeAccount, intent: Record) -> None:
    """A voucher's time is over. One that was paid, canceled or replaced meanwhile is left alone."""
    voucher = intent.private.get("voucher")
    if voucher and intent.body["status"] == "requires_action" and account.now() >= voucher["expires_at"]:
        expire_voucher(account, intent)


def expire_voucher(account: StripeAccount, intent: Record) -> None:
    """The voucher was not paid; the attempt has failed."""
    message = "The voucher has expired: the customer did not pay it in time."
    error = error_body("invalid_request_error", message, code="payment_intent_payment_attempt_expired")
    _fail(account, intent, account.get("payment_method", intent.body["payment_method"]), error)
