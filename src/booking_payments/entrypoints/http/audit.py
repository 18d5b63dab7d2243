"""The audit log: one structured entry for each payment operation and each webhook. It holds no secrets."""

import structlog
from attrs import frozen

from booking_payments.application.views import WebhookResult
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.entrypoints.http.metrics import outcome_of
from booking_payments.entrypoints.http.problems import EncodedResponse
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.runtime.services import Services

payments_log = structlog.get_logger("booking_payments.payments")
webhooks_log = structlog.get_logger("booking_payments.webhooks")


@frozen(kw_only=True)
class AuditEntry:
    """The facts of an operation that do not depend on its outcome; ``keyed``: it carried an ``Idempotency-Key``."""

    operation: str
    actor: str
    request_id: str
    keyed: bool
    booking_id: str | None
    reference: str | None
    intent_id: str | None


async def operation(services: Services, entry: AuditEntry, response: EncodedResponse) -> None:
    """Log a requested operation and its outcome."""
    reference, intent_id = await _subject(services, entry, response)
    write = payments_log.error if response.status >= 500 else payments_log.info
    write(
        "payment.operation",
        operation=entry.operation,
        outcome=outcome_of(response.status),
        error=response.error,
        status=response.status,
        booking_reference=reference,
        payment_intent_id=intent_id,
        actor=entry.actor,
        request_id=entry.request_id,
        idempotency_key=entry.keyed,
    )


async def _subject(services: Services, entry: AuditEntry, response: EncodedResponse) -> tuple[str | None, str | None]:
    """The booking's reference and the intent's id; nothing for a booking that the caller may not see."""
    booking_id = entry.booking_id
    if entry.reference is not None:
        return entry.reference, entry.intent_id
    if booking_id is None or response.status == 404:
        return None, None

    async def look(uow: UnitOfWork) -> tuple[str | None, str | None]:
        booking = await uow.bookings.get(booking_id)
        payments = await uow.payments.of_booking(booking_id) if booking else ()
        return (booking.reference if booking else None), (payments[-1].intent_id if payments else None)

    try:
        return await services.storage.read(look)
    except StorageConflict:
        return None, None


def explain(error: Exception, response: EncodedResponse) -> None:
    """Log the reason of an internal error, which the response does not contain."""
    if response.status >= 500:
        kept = error.__cause__ if isinstance(error, OutcomeUnknown) and error.__cause__ else error
        payments_log.warning("payment.operation_failed", error=type(kept).__name__, reason=str(kept))


def webhook(request_id: str, outcome: str, *, error: str | None = None, result: WebhookResult | None = None) -> None:
    """Log the outcome of one delivery of a webhook."""
    write = webhooks_log.info if error is None else webhooks_log.warning
    write(
        "webhook.received",
        type=result.type if result else None,
        event_id=result.event_id if result else None,
        outcome=outcome,
        error=error,
        request_id=request_id,
        correlation_id=result.correlation_id if result else None,
        api_version=result.api_version if result else None,
    )


def alert(result: WebhookResult) -> None:
    """Log a report of the gateway that needs an operator, because no rule covers it."""
    webhooks_log.warning(
        "gateway.alert", type=result.type, event_id=result.event_id, reason=result.reason, **result.about
    )
