"""A log line for each call to the gateway: the method, its idempotency key, its outcome and duration."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from booking_payments.adapters.telemetry.wrappers import PortCall, WrappedGateway
from booking_payments.domain.reports import IntentReport, RefundReport
from booking_payments.ports.gateway import Declined, Gateway, GatewayError, GatewayRefused

log = structlog.get_logger("booking_payments.gateway")

MOVES_MONEY: Final = frozenset(
    {"create_intent", "update_intent", "confirm_intent", "capture_intent", "cancel_intent", "create_refund"}
)
"""Calls that may move money are logged at level INFO; the others only read, and are logged at DEBUG."""

T = TypeVar("T")

CORRELATION: Final = "correlation_id"


def logged(gateway: Gateway) -> Gateway:
    """Return ``gateway`` with a log line for each call.

    The line contains the ``correlation_id`` of the request that caused the call, from the logging context or, in
    background work, from the instruction's metadata.
    """
    return WrappedGateway(gateway, _logged)


async def _logged(call: PortCall, make: Callable[[], Awaitable[T]]) -> T:
    began = time.perf_counter()
    try:
        answer = await make()
    except GatewayError as error:
        _write(call, began, outcome=_outcome(error), code=error.code, object_id=_left_behind(error))
        raise
    replayed = isinstance(answer, IntentReport | RefundReport) and answer.replayed
    _write(call, began, outcome="replayed" if replayed else "answered", object_id=_id_of(answer))
    return answer


def _write(call: PortCall, began: float, **found: str | None) -> None:
    moves = call.method in MOVES_MONEY
    write = log.info if moves else log.debug
    asked = {"idempotency_key": call.args[1]} if moves else {}
    given = {name: value for name, value in found.items() if value is not None}
    write("gateway.call", call=call.method, **_origin(call), **asked, **given, seconds=_since(began))


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 4)


def _origin(call: PortCall) -> dict[str, str]:
    metadata = getattr(call.args[0], "metadata", {}) if call.args else {}
    known = structlog.contextvars.get_contextvars().get(CORRELATION)
    kept = known or metadata.get(CORRELATION)
    return {CORRELATION: kept} if kept else {}


def _outcome(error: GatewayError) -> str:
    """Return the class name of the error in snake case, such as ``not_sent``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()


def _left_behind(error: GatewayError) -> str | None:
    intent = error.intent if isinstance(error, Declined | GatewayRefused) else None
    return intent.id if intent else None


def _id_of(answer: object) -> str | None:
    return answer.id if isinstance(answer, IntentReport | RefundReport) else None
