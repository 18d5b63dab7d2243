"""One call to the gateway: repeated with the same key after a passing failure; its outcome is returned as a value.

This is the only layer that repeats calls. No transaction is open during a call.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from attrs import frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.payment import Operation
from booking_payments.domain.reports import IntentReport, RefundReport
from booking_payments.ports.gateway import (
    Declined,
    GatewayError,
    GatewayRefused,
    KeyMisused,
    Misconfigured,
    NotSent,
    OutcomeAmbiguous,
)

T = TypeVar("T")
Report = IntentReport | RefundReport


@frozen
class Done:
    """The gateway has executed the call.

    Attributes:
        report: the object as it is now.
        earlier: whether an earlier sending of the same key executed it, so that the object may have changed since.
        answered_with: the payment method in the response of the execution; None if it names none.
    """

    report: Report
    earlier: bool = False
    answered_with: str | None = None


@frozen
class NotDone:
    """The call has certainly had no effect: a decline, a refusal, or no connection."""

    error: Declined | GatewayRefused | NotSent | Misconfigured


@frozen
class Unknown:
    """It is unknown whether the call had an effect.

    ``reason`` is a short code for the journal. ``stored``: the gateway has stored an error, which it returns for this
    key again.
    """

    reason: str
    stored: bool = False


Outcome = Done | NotDone | Unknown


async def call_gateway(deps: Dependencies, operation: Operation) -> Outcome:
    """Send ``operation`` until it has an outcome, or the retry policy ends. Never raises a ``GatewayError``."""
    try:
        # The gateway repeats a stored error for hours: one sending shows whether it still does, more would not help.
        send = partial(_send, deps, operation)
        report = await (send() if operation.stored_error else with_retries(deps, send))
    except (Declined, GatewayRefused, NotSent, Misconfigured) as error:
        return NotDone(error)
    except OutcomeAmbiguous as error:
        return Unknown(error.code, stored=error.stored)
    except KeyMisused:
        return Unknown("idempotency_key_misused")
    return await _fresh(deps, report)


async def with_retries(deps: Dependencies, send: Callable[[], Awaitable[T]]) -> T:
    """Await ``send``, and repeat it with growing delays while the gateway is unreachable or does not respond.

    It is not repeated when the error says that this would not help, nor when the lease would end before the next try.

    Raises:
        OutcomeAmbiguous: When any try had no response, even if a later one failed otherwise: it may have had effect.
        GatewayError: Otherwise the last error.
    """
    ambiguous: OutcomeAmbiguous | None = None
    tries = 0
    until = deps.clock.now() + deps.config.retry_window
    while True:
        tries += 1
        last: OutcomeAmbiguous | NotSent
        try:
            return await send()
        except (OutcomeAmbiguous, NotSent) as error:
            ambiguous = error if isinstance(error, OutcomeAmbiguous) else ambiguous
            last, hopeless = ambiguous or error, not error.worth_another_try
        except Misconfigured as error:
            raise ambiguous or error from error
        delay = deps.retry.delay_after(tries, deps.random)
        if delay is None or hopeless or deps.clock.now() + delay > until:
            raise last
        await deps.clock.sleep(delay)


async def _send(deps: Dependencies, operation: Operation) -> Report:
    gateway, key, instruction = deps.gateway, operation.idempotency_key, operation.instruction
    match instruction:
        case CreateIntent():
            return await gateway.create_intent(instruction, key)
        case UpdateIntent():
            return await gateway.update_intent(instruction, key)
        case ConfirmIntent():
            await _make_room(deps, instruction, key)
            return await gateway.confirm_intent(instruction, key)
        case CaptureIntent():
            return await gateway.capture_intent(instruction, key)
        case CancelIntent():
            return await gateway.cancel_intent(instruction, key)
        case CreateRefund():
            return await gateway.create_refund(instruction, key)


async def _make_room(deps: Dependencies, instruction: ConfirmIntent, key: str) -> None:
    """Attach the new method to an intent that waits for the customer to authenticate another one.

    Gateways refuse to confirm such an intent otherwise. The call has its own key, so a repetition has no second effect.
    A missing response is ignored: the confirmation that follows charges the new method or is refused.
    """
    method = instruction.payment_method_id
    if instruction.during_action and method is not None:
        update = UpdateIntent(intent_id=instruction.intent_id, payment_method_id=method)
        with suppress(OutcomeAmbiguous):
            await deps.gateway.update_intent(update, f"{key}-method")


async def _fresh(deps: Dependencies, report: Report) -> Outcome:
    """Return the outcome with the object as it is now: a replayed response shows it as at the first execution."""
    if not report.replayed:
        return Done(report, answered_with=report.method_tried if isinstance(report, IntentReport) else None)
    try:
        if isinstance(report, IntentReport):
            read = await with_retries(deps, lambda: deps.gateway.retrieve_intent(report.id))
            return Done(read, earlier=True, answered_with=report.method_tried)
        return Done(await with_retries(deps, lambda: deps.gateway.retrieve_refund(report.id)), earlier=True)
    except GatewayError as error:
        return Unknown(error.code)
