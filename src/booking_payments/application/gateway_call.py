"""One call to the gateway: tried again with the same key while that helps, and its outcome as a value.

This is the only layer that retries. No transaction is open here.
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
    """The gateway did it; this is what it says now. ``earlier``: by another sending of the key than this one, so that
    more may have followed since. ``answered_with``: the payment method that it named in its first answer."""

    report: Report
    earlier: bool = False
    answered_with: str | None = None


@frozen
class NotDone:
    """Certainly nothing was done: a verdict, a refusal, or no connection."""

    error: Declined | GatewayRefused | NotSent | Misconfigured


@frozen
class Unknown:
    """Nobody knows yet. ``reason`` is a short code for the journal. ``stored``: the gateway repeats its error for this
    key."""

    reason: str
    stored: bool = False


Outcome = Done | NotDone | Unknown


async def call_gateway(deps: Dependencies, operation: Operation) -> Outcome:
    """Send ``operation`` until there is an outcome or the retry policy says that it is enough."""
    try:
        # A stored error is only repeated: one sending says whether the gateway still has it.
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
    """Repeat ``send`` while it raises ``NotSent`` or ``OutcomeAmbiguous``, backing off in between.

    It stops when the error says that another try is useless, and when the lease would not outlast another try.

    Raises the last error; but once any try raised ``OutcomeAmbiguous``, that one, since it may have had its effect.
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
    """Where the customer was to authenticate another method the intent gets the new one first: gateways refuse to
    confirm an intent that waits for its customer. Sent again with the same key, it has no second effect.

    Whether a silent gateway did it shows when it is asked to charge: it charges that method, or refuses to.
    """
    method = instruction.payment_method_id
    if instruction.during_action and method is not None:
        update = UpdateIntent(intent_id=instruction.intent_id, payment_method_id=method)
        with suppress(OutcomeAmbiguous):
            await deps.gateway.update_intent(update, f"{key}-method")


async def _fresh(deps: Dependencies, report: Report) -> Outcome:
    """A replayed answer is a snapshot of the first execution: read the object as it is now."""
    if not report.replayed:
        return Done(report, answered_with=report.method_tried if isinstance(report, IntentReport) else None)
    try:
        if isinstance(report, IntentReport):
            read = await with_retries(deps, lambda: deps.gateway.retrieve_intent(report.id))
            return Done(read, earlier=True, answered_with=report.method_tried)
        return Done(await with_retries(deps, lambda: deps.gateway.retrieve_refund(report.id)), earlier=True)
    except GatewayError as error:
        return Unknown(error.code)
