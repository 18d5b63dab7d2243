"""Recording money that an operator received by hand: cash, an invoice, a voucher, a gift card."""

from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.callers import Caller
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import InvalidAmount, NotFound
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.entrypoints.http.commands import OperationResult
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.amounts import amount_typed
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.console.payments import PATH
from booking_payments.entrypoints.pages.form_actions import FormAction, problem_in, run_form_action
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
)
from booking_payments.entrypoints.pages.page import sentence as sentence_of
from booking_payments.ports.bookings import BookingFilter
from booking_payments.presentation import render
from booking_payments.presentation.models import PaymentAnswer
from booking_payments.runtime.services import Services

RECORD: Final = "/console/record"


class ReceiptForm(msgspec.Struct):
    """The fields of the form."""

    booking: str
    amount: str
    kind: str
    reference: str


@get(RECORD, **BROWSER)
async def form_page(operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show the form. Raises ``NotFound`` when no gateway of this installation records payments."""
    _require_recording(operator.services)
    return _render_form(operator, search)


@post(RECORD, **BROWSER)
async def record(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Record it, once."""
    _require_recording(services)
    try:
        given = _given(form)
        booking = await _booking(services, given.booking)
        given = _with_amount(given, booking)
    except RequestRefused as refused:
        return _render_form(operator, form, refused.problem)

    async def work(caller: Caller) -> OperationResult:
        view = await services.payments.record_payment(
            booking.id, caller, amount=given.amount, kind=ReceiptKind(given.kind), reference=given.reference
        )
        content = render.payment(view, operator.reader, services.clock.now())
        return OperationResult(content=content, reference=booking.reference, intent_id=view.payment.intent_id)

    action = FormAction(operation="record_payment", booking_id=booking.id, caller=operator.caller, given=given)
    response = await run_form_action(request, services, operator.session, form, action, work)
    problem = problem_in(response)
    if problem is None:
        # Of the stored answer, since for a form that was sent before nothing is done.
        payment_id = msgspec.json.decode(response.body, type=PaymentAnswer).payment_id
        raise SeeOther(f"{PATH}/{payment_id}?done=recorded")
    return _render_form(operator, form, problem)


def _require_recording(services: Services) -> None:
    payments = services.payments
    if payments.gateway_names == payments.gateway_choices:
        raise NotFound()


def _render_form(operator: OperatorContext, form: Form, problem: ProblemDetails | None = None) -> PageResponse:
    context: dict[str, Any] = {
        "path": RECORD,
        "form": form,
        "kinds": [each.value for each in ReceiptKind],
        "problem": sentence_of(problem.detail) if problem else None,
        "key": operator.services.ids.idempotency_key(),
    }
    return operator.page("console/record.html", "payments", context, status=problem.status if problem else 200)


async def _booking(services: Services, name: str) -> Booking:
    """Return the booking with this id, or the newest with this reference."""
    by_id = await services.storage.read(lambda uow: uow.bookings.get(name))
    page = await services.payments.list_bookings(BookingFilter(reference=name), limit=1)
    found = by_id or next(iter(page.items), None)
    if found is None:
        raise RequestRefused(404, "not_found", "no booking goes by this id or reference")
    return found


def _with_amount(given: ReceiptForm, booking: Booking) -> ReceiptForm:
    """Return the form with the amount as plain decimal text in the booking's currency."""
    try:
        amount = amount_typed(given.amount, booking.amount.currency)
    except InvalidAmount as error:
        raise RequestRefused(400, error.code, error.message) from None
    return msgspec.structs.replace(given, amount=amount.major())


def _given(form: Form) -> ReceiptForm:
    kind, booking, amount = form.get("kind"), form.safe("booking").strip(), form.get("amount").strip()
    if kind not in [each.value for each in ReceiptKind]:
        raise RequestRefused(400, "invalid_input", "choose how the money came")
    if not booking or not amount:
        raise RequestRefused(400, "invalid_input", "name the booking and the amount")
    return ReceiptForm(booking=booking, amount=amount, kind=kind, reference=form.safe("reference"))


PAGES: Final = (form_page, record)
