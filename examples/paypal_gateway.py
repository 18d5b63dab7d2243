"""A gateway shaped like PayPal, as a template for one of your own: one file, one entry point, no change elsewhere.

The customer approves an order at the provider's site, to which they are redirected; then the money is captured.
Webhooks are signed in five headers. Your ``pyproject.toml`` names ``PLUGIN`` in the entry point group
``booking_payments.gateways``: ``paypal = "paypal_gateway:PLUGIN"``. Then set ``PAYMENT_GATEWAYS=stripe,paypal``.
``tests/examples/test_paypal_gateway.py`` runs the contract suite. Store data that your provider lacks in a table.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import httpx2
from attrs import frozen

from booking_payments.domain import instructions as ask
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, IntentReport, MethodDetails, RefundReport
from booking_payments.ports import gateway as port
from booking_payments.ports.gateway_plugin import BuiltGateway, CheckoutForm, GatewayDependencies, GatewayPlugin
from booking_payments.ports.gateway_settings import GatewaySettings, setting, web_address
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused, WebhookRequest
from booking_payments.testing.certificate_webhooks import CertificateWebhooks

Json = Mapping[str, Any]
METHOD: Final = "paypal"
GIVEN: Final = "set it; your app at the provider has it"

ORDER: Final = {
    "CREATED": PaymentStatus.REQUIRES_PAYMENT_METHOD,
    "PAYER_ACTION_REQUIRED": PaymentStatus.REQUIRES_ACTION,
    "COMPLETED": PaymentStatus.SUCCEEDED,
    "VOIDED": PaymentStatus.CANCELED,
}
REFUND: Final = {"PENDING": RefundStatus.PENDING, "COMPLETED": RefundStatus.SUCCEEDED, "FAILED": RefundStatus.FAILED}
DISPUTE: Final = {
    "OPEN": DisputeStatus.NEEDS_RESPONSE,
    "UNDER_REVIEW": DisputeStatus.UNDER_REVIEW,
    "RESOLVED_SELLER_FAVOUR": DisputeStatus.WON,
    "RESOLVED_BUYER_FAVOUR": DisputeStatus.LOST,
}
EVENTS: Final = {
    "CHECKOUT.ORDER.APPROVED": ("payment_intent.processing", "intent"),
    "PAYMENT.CAPTURE.COMPLETED": ("payment_intent.succeeded", "intent"),
    "CHECKOUT.ORDER.VOIDED": ("payment_intent.canceled", "intent"),
    "PAYMENT.CAPTURE.REFUNDED": ("refund.updated", "refund"),
    "CUSTOMER.DISPUTE.CREATED": ("charge.dispute.created", "dispute"),
    "CUSTOMER.DISPUTE.RESOLVED": ("charge.dispute.closed", "dispute"),
}
"""The provider's event types, with our type and the kind of object that they are about."""
CODES: Final = {
    **dict.fromkeys(("ORDER_NOT_OPEN", "ORDER_NOT_PAID"), "payment_intent_unexpected_state"),
    "REFUND_AMOUNT_EXCEEDED": "refund_exceeds_charge",
    "CAPTURE_FULLY_REFUNDED": "charge_already_refunded",
}
"""The provider's codes, translated to those of ``application/refusals.py``."""


@frozen(kw_only=True)
class PayPalSettings(GatewaySettings):
    """The settings; ``docs/guides/write-a-gateway.md`` says how they are read."""

    client_id: str = setting("PAYPAL_CLIENT_ID", missing=GIVEN)
    secret: str = setting("PAYPAL_SECRET", missing=GIVEN, secret=True)
    webhook_id: str = setting("PAYPAL_WEBHOOK_ID", missing=GIVEN)
    api_base: str = setting(
        "PAYPAL_API_BASE", "must be a web address", read=web_address, default="https://api-m.paypal.com"
    )


class HttpApi:
    """The provider's REST interface over HTTPS."""

    def __init__(self, base: str, client_id: str, secret: str) -> None:
        self._client = httpx2.AsyncClient(base_url=base, auth=(client_id, secret), timeout=15.0)

    async def send(self, method: str, path: str, body: Json | None, request_id: str | None) -> tuple[int, Any]:
        headers = {"PayPal-Request-Id": request_id} if request_id else {}
        try:
            response = await self._client.request(method, path, json=body, headers=headers)
            return response.status_code, response.json() if response.content else {}
        except httpx2.ConnectError as error:
            raise port.NotSent("no connection", code="unreachable") from error
        except (httpx2.HTTPError, ValueError) as error:  # the request may have arrived
            raise port.OutcomeAmbiguous("no readable answer", code="no_answer") from error

    async def certificate(self, url: str) -> bytes:
        """Return the certificate at ``url``, an address that the webhook reader has checked."""
        try:
            return (await self._client.get(url)).content
        except httpx2.HTTPError as error:
            raise port.NotSent("no certificate", code="certificate_unreachable") from error

    async def close(self) -> None:
        await self._client.aclose()


class PayPalGateway:
    """The gateway port over the provider's orders, captures, refunds and disputes."""

    name = "paypal"

    def __init__(self, api: HttpApi, *, livemode: bool) -> None:
        self._api, self.livemode = api, livemode

    async def _call(self, method: str, path: str, body: Json | None = None, key: str | None = None) -> Any:
        status, answer = await self._api.send(method, path, body, key)
        if status < 400:
            return answer
        _fail(status, str(answer.get("name", "unknown")))

    async def create_intent(self, instruction: ask.CreateIntent, idempotency_key: str) -> IntentReport:
        _require_method(instruction.payment_method_id)
        if instruction.capture_method is ask.CaptureMethod.MANUAL:
            raise port.GatewayRefused("this example holds no money", code="capture_method_unsupported")
        order = {"amount": _given(instruction.amount), "custom": dict(instruction.metadata)}
        order |= {"return_url": instruction.return_url, "payer_action": instruction.confirm}
        return _intent(await self._call("POST", "/v2/checkout/orders", order, idempotency_key))

    async def update_intent(self, instruction: ask.UpdateIntent, idempotency_key: str) -> IntentReport:
        _require_method(instruction.payment_method_id, instruction.amount)
        return await self.retrieve_intent(instruction.intent_id)

    async def confirm_intent(self, instruction: ask.ConfirmIntent, idempotency_key: str) -> IntentReport:
        _require_method(instruction.payment_method_id)
        path = f"/v2/checkout/orders/{instruction.intent_id}/confirm"
        return _intent(await self._call("POST", path, {"return_url": instruction.return_url}, idempotency_key))

    async def capture_intent(self, instruction: ask.CaptureIntent, idempotency_key: str) -> IntentReport:
        raise port.GatewayRefused("nothing is held", code="payment_intent_unexpected_state")

    async def cancel_intent(self, instruction: ask.CancelIntent, idempotency_key: str) -> IntentReport:
        path = f"/v2/checkout/orders/{instruction.intent_id}/void"
        return _intent(await self._call("POST", path, {}, idempotency_key))

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        order = await self._call("GET", f"/v2/checkout/orders/{intent_id}")
        if order["status"] == "APPROVED":  # the customer has agreed: capture the money, once
            path = f"/v2/checkout/orders/{intent_id}/capture"
            order = {**await self._call("POST", path, {}, f"{intent_id}-capture"), "replayed": False}
        return _intent(order)

    def amount_step(self, currency: Currency) -> int:
        return 1

    def check_amount(self, amount: Money) -> None:
        """Every amount can be expressed."""

    check_charge = check_amount

    async def create_refund(self, instruction: ask.CreateRefund, idempotency_key: str) -> RefundReport:
        body = {"amount": _given(instruction.amount), "custom": dict(instruction.metadata)}
        path = f"/v2/payments/captures/{instruction.intent_id}/refund"
        return _refund(await self._call("POST", path, body, idempotency_key))

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        return _refund(await self._call("GET", f"/v2/payments/refunds/{refund_id}"))

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        return [_refund(each) for each in await self._call("GET", f"/v2/payments/captures/{intent_id}/refunds")]

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        return _dispute(await self._call("GET", f"/v1/customer/disputes/{dispute_id}"))

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        return [_dispute(each) for each in await self._call("GET", f"/v1/customer/disputes?capture={intent_id}")]

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport]:
        return [_intent(each) for each in await self._list("/v2/checkout/orders", since, until)]

    async def list_refunds_made(self, since: datetime, until: datetime | None = None) -> Sequence[RefundReport]:
        return [_refund(each) for each in await self._list("/v2/payments/refunds", since, until)]

    async def list_disputes_opened(self, since: datetime, until: datetime | None = None) -> Sequence[DisputeReport]:
        return [_dispute(each) for each in await self._list("/v1/customer/disputes", since, until)]

    async def available_balance(self) -> None:
        """Return None: this example's app has no permission to read balances."""

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        return [event_of(each) for each in await self._list("/v1/notifications/webhooks-events", since, until)]

    async def _list(self, path: str, since: datetime, until: datetime | None) -> Any:
        end = f"&end_time={until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if until else ""
        return await self._call("GET", f"{path}?start_time={since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}{end}")


class PayPalWebhooks(CertificateWebhooks):
    """Verifies the five headers as ``CertificateWebhooks`` does, and decodes the provider's event."""

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        await super().read(request)  # raises unless it is genuine
        return self.read_again(request.body.decode())

    def read_again(self, body: str) -> GatewayEvent:
        try:
            return event_of(json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            raise WebhookRefused("the body is no event", code="body_malformed") from error


def event_of(given: Json) -> GatewayEvent:
    """Return the event without a snapshot of its object, which is read from the provider instead."""
    name, resource = str(given["event_type"]), given["resource"]
    type_, kind = EVENTS.get(name, (name, None))
    kept = {key: given[key] for key in ("id", "event_type", "create_time")}
    kept["resource"] = {"id": resource["id"], "order_id": resource.get("order_id")}
    return GatewayEvent(
        id=str(given["id"]),
        type=type_,
        created_at=datetime.fromisoformat(given["create_time"]),
        livemode=None,
        kind=kind,
        object_id=str(resource["id"]),
        intent_id=resource.get("order_id") or (str(resource["id"]) if kind == "intent" else None),
        charge_id=None,
        payment_id=None,
        body=json.dumps(kept),
    )


def _given(amount: Money) -> Json:
    return {"value": amount.major(), "currency_code": amount.currency.code.upper()}


def _money(amount: Json) -> Money:
    return Money.parse(amount["value"], Currency.of(amount["currency_code"].lower()))


def _intent(order: Json) -> IntentReport:
    status, amount = ORDER.get(order["status"]), _money(order["amount"])
    waits, paid = status is PaymentStatus.REQUIRES_ACTION, status is PaymentStatus.SUCCEEDED
    return IntentReport(
        id=order["id"],
        status=status,
        amount=amount,
        amount_received=amount if paid else Money.zero(amount.currency),
        amount_capturable=Money.zero(amount.currency),
        payment_method_id=METHOD if waits or paid else None,
        next_action={"type": "redirect_to_url", "redirect_to_url": {"url": order["approve"]}} if waits else None,
        method=MethodDetails(type=METHOD) if paid else None,
        metadata=order["custom"],
        created_at=datetime.fromisoformat(order["create_time"]),
        replayed=order.get("replayed", False),
    )


def _refund(given: Json) -> RefundReport:
    kept = {"metadata": given["custom"], "replayed": given.get("replayed", False)}
    return RefundReport(**_common(given), status=REFUND.get(given["status"]), **kept)


def _dispute(given: Json) -> DisputeReport:
    status = DISPUTE.get(given["status"], DisputeStatus.UNKNOWN)
    return DisputeReport(**_common(given), status=status, reason=given["reason"])


def _common(given: Json) -> dict[str, Any]:
    """What a refund and a dispute have alike."""
    of = {"id": given["id"], "intent_id": given["order_id"], "charge_id": None}
    return {**of, "amount": _money(given["amount"]), "created_at": datetime.fromisoformat(given["create_time"])}


def _require_method(method_id: str | None, amount: Money | None = None) -> None:
    if method_id not in (None, METHOD) or amount is not None:  # for another amount a new order is made
        raise port.GatewayRefused(f"use {METHOD}; the amount is fixed", code="payment_method_unknown")


def _fail(status: int, name: str) -> NoReturn:
    """Raise the port's error for an error of the provider: it says whether the call may have had an effect."""
    if status == 404:
        raise port.ObjectNotFound("no such object", code="resource_missing")
    if name == "REQUEST_ID_REUSED":
        raise port.KeyMisused("the key was used for something else", code="idempotency_error")
    if status in (401, 403):
        raise port.Misconfigured("the keys or their rights are wrong", code=name.lower(), forbidden=status == 403)
    if status == 429:
        raise port.NotSent("too many requests", code="rate_limited")
    if status >= 500 or status == 409:
        raise port.OutcomeAmbiguous("the provider does not say whether it was done", code=name.lower())
    raise port.GatewayRefused(f"the provider refused: {name}", code=CODES.get(name, name.lower()))


def build(given: GatewayDependencies) -> BuiltGateway:
    """Build the gateway from its settings."""
    own: PayPalSettings = given.settings
    api = HttpApi(own.api_base, own.client_id, own.secret)
    reader = PayPalWebhooks(own.webhook_id, api.certificate)
    gateway = PayPalGateway(api, livemode="sandbox" not in own.api_base)
    return BuiltGateway(gateway=gateway, webhooks=reader, webhook_names=("paypal",), close=api.close)


FORM: Final = CheckoutForm(methods=(METHOD,), redirects=True)
PLUGIN: Final = GatewayPlugin(
    name="paypal", title="PayPal", build=build, settings=PayPalSettings, event_types=EVENTS.keys, checkout=FORM
)
