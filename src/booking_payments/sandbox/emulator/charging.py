"""One attempt to pay an intent with a method: charge, decline, authentication, bank debit.

Events come in the order Stripe makes them (facts of its test mode): ``charge.*`` before
``payment_intent.*``, and a dispute that opens by itself even before ``payment_intent.succeeded``.
"""

from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from booking_payments.sandbox.emulator import objects
from booking_payments.sandbox.emulator.answers import Json, copy_json
from booking_payments.sandbox.emulator.balance import move
from booking_payments.sandbox.emulator.cards import (
    AUTHENTICATION_NOT_HANDLED,
    NEEDS_AUTHENTICATION,
    REDIRECTS,
    Authentication,
    Behaviour,
    Decline,
    Settles,
    behaviour,
)
from booking_payments.sandbox.emulator.disputes import open_dispute
from booking_payments.sandbox.emulator.errors import error_body
from booking_payments.sandbox.emulator.events import emit
from booking_payments.sandbox.emulator.follow_ups import schedule
from booking_payments.sandbox.emulator.payment_methods import behaviour_of
from booking_payments.sandbox.emulator.records import Account, Record
from booking_payments.sandbox.emulator.refunds import release
from booking_payments.sandbox.emulator.settings import EXPIRED_UNCAPTURED

AUTHORIZATION_LASTS: Final = timedelta(days=7)
"""How long a card's hold lasts before Stripe cancels the intent (docs.stripe.com: "Place a hold")."""


_NOTHING_YET: Final[Json] = {"refunds": [], "disputes": [], "released": 0}
"""What is noted of a new charge; ``released``: how much of its authorization is listed as a refund."""


@frozen
class Circumstances:
    """How the confirmation came about. With ``use_stripe_sdk``, and without a ``return_url``, the action is left to
    Stripe's script, where it can do without a redirect."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    use_stripe_sdk: bool = False


def attempt(account: Account, intent: Record, method: Record, how: Circumstances) -> Json | None:
    """Try to pay; returns the error of a refused attempt, ``None`` when it went on."""
    account.update(intent, payment_method=method.id, last_payment_error=None, next_action=None)
    does = behaviour_of(method)
    if does.type not in ("card", *REDIRECTS):
        _start_debit(account, intent, method, does)
        return None
    if intent.private["authenticated"] or not _needs_authentication(does, method, how):
        return charge_now(account, intent, method)
    if how.off_session:
        return _decline(account, intent, method, NEEDS_AUTHENTICATION)
    if how.error_on_requires_action:
        return _fail(account, intent, method, _decline_error(AUTHENTICATION_NOT_HANDLED))
    _require_action(account, intent, method, how)
    return None


def _needs_authentication(behaviour: Behaviour, method: Record, how: Circumstances) -> bool:
    match behaviour.authentication:
        case Authentication.NEVER:
            return False
        case Authentication.ALWAYS:
            return True
        case Authentication.UNLESS_SET_UP:
            return not (how.off_session and method.private["set_up"])
        case Authentication.ON_SESSION:
            return not how.off_session


def _require_action(account: Account, intent: Record, method: Record, how: Circumstances) -> None:
    redirects = method.body["type"] in REDIRECTS
    if how.return_url is None or (how.use_stripe_sdk and not redirects):
        action = _script_action(account)
    else:
        action = _redirect_action(account, intent, how.return_url)
    account.update(intent, status="requires_action", next_action=action)
    emit(account, "payment_intent.requires_action", intent.body)


def _script_action(account: Account) -> Json:
    source = f"payatt_{account.token()}"
    url = f"https://hooks.stripe.com/redirect/authenticate/{source}"
    script = {"type": "three_d_secure_redirect", "source": source, "stripe_js": url}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": script}


def _redirect_action(account: Account, intent: Record, return_url: str) -> Json:
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent.id}"
    if account.bank_pages is not None:
        key = account.token(24)
        account.note(intent, bank_key=key)
        url = f"{account.bank_pages}/pages/bank/{intent.id}?key={key}"
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}


def charge_now(account: Account, intent: Record, method: Record) -> Json | None:
    """Charge a card whose authentication is settled; returns the error of a decline."""
    decline = behaviour_of(method).decline
    if decline is not None:
        return _decline(account, intent, method, decline)
    manual = intent.body["capture_method"] == "manual"
    charge = _new_charge(account, intent, method, paid=True, status="succeeded", outcome=_authorized(method))
    _use_up(account, intent, method)
    if manual:
        _hold(account, intent, charge)
    else:
        emit_success(account, intent, charge)
    return None


def _use_up(account: Account, intent: Record, method: Record) -> None:
    """A method that nobody keeps for later pays once."""
    if intent.body["setup_future_usage"] is None:
        account.note(method, used=True)


def _new_charge(account: Account, intent: Record, method: Record, **given: Any) -> Record:
    id_ = account.new_id("charge", "ch" if method.body["type"] == "card" else "py")
    details = _charge_details(intent, method)
    body = objects.charge(account, id_, intent.body, copy_json(method.body), payment_method_details=details, **given)
    charge = account.add("charge", id_, body, behaviour=method.private["behaviour"], **copy_json(_NOTHING_YET))
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
    return {type_: details, "type": type_}


def _card_extras(intent: Record, brand: str) -> Json:
    amount = intent.body["amount"]
    secure = {
        "authentication_flow": "challenge",
        "result": "authenticated",
        "result_reason": None,
        "version": "2.2.0",
    }
    return {
        "amount_authorized": amount,
        "authorization_code": "123456",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
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


def _hold(account: Account, intent: Record, charge: Record) -> None:
    until = account.now() + int(AUTHORIZATION_LASTS.total_seconds())
    details = copy_json(charge.body["payment_method_details"])
    details["card"]["capture_before"] = until
    account.update(charge, payment_method_details=details)
    emit(account, "charge.succeeded", charge.body)
    account.update(intent, status="requires_capture", amount_capturable=intent.body["amount"])
    emit(account, "payment_intent.amount_capturable_updated", intent.body)
    schedule(account, "expire_authorization", intent.id, AUTHORIZATION_LASTS)


def expire_authorization(account: Account, intent: Record) -> None:
    """The hold has run out uncaptured."""
    if intent.body["status"] != "requires_capture":
        return
    charge = account.get("charge", intent.body["latest_charge"])
    emit(account, "charge.expired", charge.body)
    close_as_canceled(account, intent, "expired")


def close_as_canceled(account: Account, intent: Record, reason: str | None) -> None:
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


def emit_success(account: Account, intent: Record, charge: Record) -> None:
    """Take the whole amount of a charge made without a hold, and say so."""
    take(account, charge, charge.body["amount"])
    emit(account, "charge.succeeded", charge.body)
    finish(account, intent, charge)


def take(account: Account, charge: Record, amount: int) -> None:
    """Capture ``amount`` of a charge."""
    moved = move(account, "charge" if charge.id.startswith("ch_") else "payment", charge, amount, "charge")
    account.update(
        charge,
        captured=True,
        paid=True,
        status="succeeded",
        amount_captured=amount,
        balance_transaction=moved.id,
    )


def finish(account: Account, intent: Record, charge: Record) -> None:
    """The charge is captured: open what opens by itself, then the intent has succeeded."""
    does = behaviour(charge.private["behaviour"])
    for opening in does.disputes:
        open_dispute(account, charge, opening)
    received = charge.body["amount_captured"]
    account.update(intent, status="succeeded", amount_received=received, amount_capturable=0, next_action=None)
    emit(account, "payment_intent.succeeded", intent.body)
    if does.fraud_warning:
        warning = objects.early_fraud_warning(account, f"issfr_{account.token()}", charge.body)
        emit(account, "radar.early_fraud_warning.created", warning)


# --- declines


def _decline(account: Account, intent: Record, method: Record, decline: Decline) -> Json:
    charge = _new_charge(account, intent, method, status="failed")
    fail_charge(account, charge, method, decline)
    return _fail(account, intent, method, _decline_error(decline, charge.id))


def fail_charge(account: Account, charge: Record, method: Record, decline: Decline) -> None:
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


def _refused(decline: Decline, behaviour: Behaviour) -> Json:
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


def _decline_error(decline: Decline, charge_id: str | None = None) -> Json:
    return error_body(
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        param=decline.param,
        charge=charge_id,
    )


def _fail(account: Account, intent: Record, method: Record, error: Json) -> Json:
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


def wait_for_bank(account: Account, intent: Record, method: Record) -> None:
    """The customer has consented at a bank that takes its time."""
    _start_debit(account, intent, method, behaviour_of(method))


def fail_authentication(account: Account, intent: Record) -> None:
    """The customer did not pass 3-D Secure; no charge was made."""
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment method and try again."
    )
    error = error_body("invalid_request_error", message, code="payment_intent_authentication_failure")
    _fail(account, intent, account.get("payment_method", intent.body["payment_method"]), error)


# --- bank debits


def _start_debit(account: Account, intent: Record, method: Record, behaviour: Behaviour) -> None:
    charge = _new_charge(account, intent, method, status="pending")
    account.update(intent, status="processing")
    emit(account, "charge.pending", charge.body)
    emit(account, "payment_intent.processing", intent.body)
    if behaviour.settles is not Settles.NEVER:
        schedule(account, "settle_debit", intent.id)


def settle_debit(account: Account, intent: Record) -> None:
    """The customer's bank has answered."""
    charge = account.get("charge", intent.body["latest_charge"])
    method = account.get("payment_method", charge.body["payment_method"])
    decline = behaviour_of(method).decline
    if decline is not None:
        fail_charge(account, charge, method, decline)
        _fail(account, intent, method, _decline_error(decline, charge.id))
    else:
        account.update(charge, outcome=_authorized(method))
        _use_up(account, intent, method)
        emit_success(account, intent, charge)
