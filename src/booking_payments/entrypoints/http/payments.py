"""Payments: starting, confirming, retrying, capturing, canceling, and looking at them."""

from typing import Any, Final

from booking_payments.application.views import PaymentView
from booking_payments.domain.instructions import CaptureMethod, Client
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.domain.texts import require_line
from booking_payments.entrypoints.http import door
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.endpoint import GET, POST, Answer, Call, endpoint
from booking_payments.ports.storage import PaymentFilter
from booking_payments.presentation import render
from booking_payments.presentation.models import (
    CapturePayment,
    ConfirmPayment,
    EventsAnswer,
    Nothing,
    PageAnswer,
    PaymentAnswer,
    PaymentsQuery,
    RecordPayment,
    RetryPayment,
    StartPayment,
)

_PATH: Final = "/api/bookings/{booking_id}/payment"
_CHARGING: Final = frozenset({402, 409, 422, 502})
_HOLDING: Final = frozenset({409, 422, 502})


def reader_of(call: Call[Any]) -> render.Reader:
    """Who reads the answer."""
    return render.Reader(subject=call.principal.subject, operator=call.principal.is_operator)


def payment_answer(call: Call[Any], view: PaymentView) -> Answer:
    """The answer that shows a payment."""
    content = render.payment(view, reader_of(call), call.services.clock.now())
    return Answer(content=content, reference=view.payment.booking_reference, intent_id=view.payment.intent_id)


def _return_url(call: Call[Any], url: str | None) -> str | None:
    origins = {door.origin_of(origin) for origin in call.services.settings.return_url_origins}
    return door.require_return_url(url, frozenset(origin for origin in origins if origin))


@endpoint(
    POST,
    f"{_PATH}/intent/",
    Access.OWNER,
    summary="Start to pay, or go on with the open payment; charged at once with `confirm_immediately`",
    body=StartPayment,
    answers={200: PaymentAnswer},
    errors=_CHARGING,
    keyed=True,
    operation="start_payment",
    example={"payment_method_id": "pm_card_visa", "confirm_immediately": True},
)
async def start(call: Call[StartPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.start_payment(
        call.booking_id,
        call.caller,
        payment_method_id=given.payment_method_id,
        confirm_immediately=given.confirm_immediately,
        capture_method=CaptureMethod(given.capture_method) if given.capture_method else None,
        return_url=_return_url(call, given.return_url),
        client=Client(given.client) if given.client else None,
        gateway=given.gateway,
    )
    return payment_answer(call, view)


@endpoint(
    POST,
    f"{_PATH}/record/",
    Access.OPERATOR,
    summary="Record that the price was received by hand, at the gateway `manual`",
    body=RecordPayment,
    answers={200: PaymentAnswer},
    errors=_HOLDING,
    keyed=True,
    operation="record_payment",
    example={"amount": "100.00", "kind": "cash", "reference": "17-204"},
)
async def record(call: Call[RecordPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.record_payment(
        call.booking_id,
        call.caller,
        amount=given.amount,
        kind=ReceiptKind(given.kind),
        reference=given.reference,
    )
    return payment_answer(call, view)


@endpoint(
    POST,
    f"{_PATH}/confirm/",
    Access.OWNER,
    summary="Charge the payment, with `payment_method_id` or the method that it has",
    body=ConfirmPayment,
    answers={200: PaymentAnswer},
    errors=_CHARGING,
    keyed=True,
    operation="confirm_payment",
    example={"payment_method_id": "pm_card_visa"},
)
async def confirm(call: Call[ConfirmPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.confirm_payment(
        call.booking_id,
        call.caller,
        payment_method_id=given.payment_method_id,
        return_url=_return_url(call, given.return_url),
    )
    return payment_answer(call, view)


@endpoint(
    POST,
    f"{_PATH}/retry/",
    Access.OWNER,
    summary="Try again after a decline, with another payment method",
    body=RetryPayment,
    answers={200: PaymentAnswer},
    errors=_CHARGING,
    keyed=True,
    operation="retry_payment",
    example={"payment_method_id": "pm_card_mastercard"},
)
async def retry(call: Call[RetryPayment]) -> Answer:
    given = call.given
    view = await call.services.payments.retry_payment(
        call.booking_id,
        call.caller,
        payment_method_id=given.payment_method_id,
        return_url=_return_url(call, given.return_url),
    )
    return payment_answer(call, view)


@endpoint(
    POST,
    f"{_PATH}/capture/",
    Access.OPERATOR,
    summary="Collect held money, all of it or `amount`; the rest is released",
    body=CapturePayment,
    answers={200: PaymentAnswer},
    errors=_HOLDING,
    keyed=True,
    operation="capture_payment",
    example={"amount": "60.00"},
)
async def capture(call: Call[CapturePayment]) -> Answer:
    view = await call.services.payments.capture_payment(call.booking_id, call.caller, amount=call.given.amount)
    return payment_answer(call, view)


@endpoint(
    POST,
    f"{_PATH}/cancel/",
    Access.OWNER_OR_OPERATOR,
    summary="Give the payment up; the booking stays pending",
    body=Nothing,
    answers={200: PaymentAnswer},
    errors=_HOLDING,
    keyed=True,
    operation="cancel_payment",
)
async def cancel(call: Call[Nothing]) -> Answer:
    return payment_answer(call, await call.services.payments.cancel_payment(call.booking_id, call.caller))


@endpoint(
    GET,
    f"{_PATH}/status/",
    Access.READER,
    summary="The booking's payment as it is now",
    answers={200: PaymentAnswer},
)
async def status(call: Call[Nothing]) -> Answer:
    return payment_answer(call, await call.services.payments.payment_status(call.booking_id, call.caller))


@endpoint(
    GET,
    f"{_PATH}/events/",
    Access.READER,
    summary="The payment's journal, oldest first",
    answers={200: EventsAnswer},
)
async def events(call: Call[Nothing]) -> Answer:
    recorded = await call.services.payments.journal(call.booking_id, call.caller)
    return Answer(content=render.journal(list(recorded), reader_of(call)))


@endpoint(
    GET,
    "/api/payments/",
    Access.OPERATOR,
    summary="Payments, newest first",
    query=PaymentsQuery,
    answers={200: PageAnswer},
)
async def listing(call: Call[PaymentsQuery]) -> Answer:
    given = call.given
    page = await call.services.payments.list_payments(_filter(given), cursor=given.cursor, limit=given.limit)
    now, reader = call.services.clock.now(), reader_of(call)
    items = [render.payment(PaymentView(payment=each), reader, now) for each in page.items]
    return Answer(content=PageAnswer(items=items, next_cursor=page.next_cursor))


def _filter(given: PaymentsQuery) -> PaymentFilter:
    return PaymentFilter(
        status=PaymentStatus(given.status) if given.status else None,
        customer_id=require_line(given.customer_id, "customer_id") if given.customer_id else None,
        reference=require_line(given.reference, "reference") if given.reference else None,
        created_from=door.utc(given.created_from, "created_from") if given.created_from else None,
        created_to=door.utc(given.created_to, "created_to") if given.created_to else None,
    )


ENDPOINTS: Final = (start, record, confirm, retry, capture, cancel, status, events, listing)
