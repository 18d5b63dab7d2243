"""The gateway port for Stripe, over any transport: the SDK, or the in-memory model of Stripe.

All translation between domain values and Stripe's parameters happens above the transport, so that both transports have
the same results.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog
from attrs import frozen

from booking_payments.adapters.gateways.stripe import amounts, limits
from booking_payments.adapters.gateways.stripe.objects import (
    UnreadableObject,
    balances,
    dispute_report,
    intent_report,
    refund_report,
    unreadable,
)
from booking_payments.adapters.gateways.stripe.requests import WITH_CHARGE, Params, escaped, path_and_params
from booking_payments.adapters.gateways.stripe.webhooks import KINDS, read_event
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
    UpdateIntent,
)
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport, Unreadable
from booking_payments.ports.gateway import Declined, GatewayRefused, Misconfigured, NotSent, OutcomeAmbiguous
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API that requests name."""

PAGE: Final = 100
"""Largest page of a list (docs.stripe.com/api/pagination)."""

Report = TypeVar("Report")
Read = Callable[[Mapping[str, Any]], Report]

log = structlog.get_logger("booking_payments.gateway")


@frozen
class TransportResponse:
    """A successful response.

    Attributes:
        body: the decoded JSON.
        replayed: the response was stored for an earlier request with the same key.
    """

    body: Any
    replayed: bool = False


class Transport(Protocol):
    """Sends requests to Stripe."""

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        """Send one request, once, and return its successful response.

        Raises the errors of ``ports.gateway`` for any other result.
        """
        ...


class StripeGateway:
    """The gateway port for Stripe.

    Args:
        livemode: real money moves.
        name: the gateway's name in responses and logs.
        amount_digits: digits of the largest charge, in Stripe's minor units.
    """

    def __init__(
        self, transport: Transport, *, livemode: bool, name: str = "stripe", amount_digits: int = amounts.DIGITS
    ) -> None:
        self.name = name
        self.livemode = livemode
        self._transport = transport
        self._amount_digits = amount_digits

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        made = await self._post_intent(instruction, idempotency_key)
        if instruction.methods.allowed:
            await self._require_method_left(instruction, made, idempotency_key)
        return made

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        with _without_verdict():
            return await self._post_intent(instruction, idempotency_key)

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        with _without_verdict():
            return await self._post_intent(instruction, idempotency_key)

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        return await self._get("/v1/payment_intents", intent_id, intent_report, WITH_CHARGE)

    def amount_step(self, currency: Currency) -> int:
        return amounts.step(currency.exponent, currency.code)

    def check_amount(self, amount: Money) -> None:
        limits.check_amount(amount)

    def check_charge(self, amount: Money) -> None:
        limits.check_charge(amount, self._amount_digits)

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        path, params = path_and_params(instruction)
        with _without_verdict():
            reply = await self._transport.call("POST", path, params, idempotency_key)
        return _read(reply.body, partial(refund_report, replayed=reply.replayed))

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        return await self._get("/v1/refunds", refund_id, refund_report)

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        return await self._list("/v1/refunds", {"payment_intent": intent_id}, refund_report)

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        return await self._get("/v1/disputes", dispute_id, dispute_report)

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        return await self._list("/v1/disputes", {"payment_intent": intent_id}, dispute_report)

    async def available_balance(self) -> Mapping[Currency, Money] | None:
        """Return the available balance; refunds are not taken from pending amounts (docs.stripe.com/refunds).

        A restricted key needs the permission to read balances.
        """
        reply = await self._transport.call("GET", "/v1/balance", {}, None)
        return _read(reply.body, balances)

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        return await self._list_everybodys("/v1/payment_intents", _created(since, until), intent_report)

    async def list_refunds_made(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[RefundReport | Unreadable]:
        return await self._list_everybodys("/v1/refunds", _created(since, until), refund_report)

    async def list_disputes_opened(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[DisputeReport | Unreadable]:
        return await self._list_everybodys("/v1/disputes", _created(since, until), dispute_report)

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        params = {"types": list(KINDS), **_created(since, until)}
        found = await self._list_everybodys("/v1/events", params, _event)
        return [each for each in found if not isinstance(each, Unreadable)]

    async def _post_intent(self, instruction: Instruction, idempotency_key: str) -> IntentReport:
        path, params = path_and_params(instruction)
        reply = await self._transport.call("POST", path, params, idempotency_key)
        return _read(reply.body, partial(intent_report, replayed=reply.replayed))

    async def _require_method_left(self, instruction: CreateIntent, made: IntentReport, key: str) -> None:
        """Cancel an intent that accepts none of the allowed payment methods, and raise ``GatewayRefused``.

        Stripe silently drops allowed types that do not fit the amount or the currency. Raises ``OutcomeAmbiguous`` if
        the outcome of the cancellation is unknown.
        """
        allowed = instruction.methods.allowed
        dropped = [] if made.method_types is None else [each for each in allowed if each not in made.method_types]
        if dropped:
            log.warning("gateway.methods_dropped", intent_id=made.id, dropped=dropped, left=made.method_types)
        if len(dropped) < len(allowed) or made.status is not PaymentStatus.REQUIRES_PAYMENT_METHOD:
            return
        log.error("gateway.no_method_left", intent_id=made.id, allowed=allowed, currency=made.amount.currency.code)
        canceling = CancelIntent(intent_id=made.id, reason=CancellationReason.ABANDONED)
        try:
            canceled = await self.cancel_intent(canceling, f"{key}-cancel")
        except GatewayRefused:  # it is canceled already
            canceled = await self.retrieve_intent(made.id)
        except (NotSent, Misconfigured) as error:
            raise OutcomeAmbiguous(error.message, code=error.code) from error
        message = f"none of {', '.join(allowed)} accepts a payment of {instruction.amount}"
        raise GatewayRefused(message, code="no_method_left", param="allowed_payment_method_types", intent=canceled)

    async def _get(self, path: str, id_: str, read: Read[Report], params: Mapping[str, Any] | None = None) -> Report:
        reply = await self._transport.call("GET", f"{path}/{escaped(id_)}", dict(params or {}), None)
        return _read(reply.body, read)

    async def _list_everybodys(self, path: str, params: Params, read: Read[Report]) -> Sequence[Report | Unreadable]:
        """Return all objects of the account, including those of other systems; undecodable ones as ``Unreadable``."""
        found = await self._list(path, params, partial(_read_or_keep, read=read))
        _tell_of_unreadable(path, found)
        return found

    async def _list(self, path: str, params: Params, read: Read[Report]) -> Sequence[Report]:
        """Return the objects of all pages, oldest first; Stripe lists the newest first."""
        found: list[Report] = []
        after: Params = {}
        while True:
            body = (await self._transport.call("GET", path, {"limit": PAGE, **params, **after}, None)).body
            items, has_more = _read(body, _page)
            found.extend(_read(item, read) for item in items)
            if not has_more:
                return found[::-1]
            if not items:
                raise OutcomeAmbiguous("the payment provider's list is incomplete", code="unreadable_answer")
            after = {"starting_after": items[-1]["id"]}


@contextmanager
def _without_verdict() -> Iterator[None]:
    """Raise ``GatewayRefused`` instead of ``Declined`` for a call without a charge, which has no attempt to decline."""
    try:
        yield
    except Declined as declined:
        raise GatewayRefused(declined.message, code="method_refuses", intent=declined.intent) from declined


def _read(body: Any, read: Read[Report]) -> Report:
    """Return the report in a response. Raises ``OutcomeAmbiguous`` for one that cannot be decoded."""
    try:
        return read(body)
    except (UnreadableObject, WebhookRefused, AttributeError, KeyError, TypeError) as error:
        what = unreadable(body, error)
        raise OutcomeAmbiguous(
            "the payment provider's answer can't be read", code="unreadable_answer", unreadable=what
        ) from error


def _read_or_keep(body: Any, read: Read[Report]) -> Report | Unreadable:
    """Return the report of one of a list, or ``Unreadable``. Raises ``OutcomeAmbiguous`` for one without an id."""
    try:
        return _read(body, read)
    except OutcomeAmbiguous as ambiguous:
        if ambiguous.unreadable is None:
            raise
        return ambiguous.unreadable


def _tell_of_unreadable(path: str, found: Sequence[object]) -> None:
    """Log the number of undecodable objects in a list, and the newest one."""
    kept = [each for each in found if isinstance(each, Unreadable)]
    if kept:
        newest = kept[-1]
        log.info("gateway.unreadable_objects", path=path, objects=len(kept), newest=newest.id, problem=newest.problem)


def _page(body: Mapping[str, Any]) -> tuple[list[Any], bool]:
    return list(body["data"]), bool(body["has_more"])


def _event(body: Mapping[str, Any]) -> GatewayEvent:
    return read_event(msgspec.json.encode(body))


def _created(since: datetime, until: datetime | None) -> Params:
    """Return the filter on ``created``; it has whole seconds, so it includes all of the second of ``since``."""
    before = {"lt": int(until.timestamp())} if until else {}
    return {"created": {"gte": int(since.timestamp()), **before}}
