"""Refunds: first a quote, then the refund.

The form that moves money has an idempotency key, so it moves money once. The URL names the payment and not the booking,
so that late money can be refunded when the booking already has another payment.

Goodwill is a refund that overrides the rules: the operator chooses the amount and gives the reason in a note.
"""

from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.callers import Caller
from booking_payments.application.payment_details import PaymentDetails, payment_details
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.refunds import RefundQuote, RefundReason
from booking_payments.entrypoints.http.commands import OperationResult
from booking_payments.entrypoints.http.idempotency import REPLAYED
from booking_payments.entrypoints.http.problems import EncodedResponse, ProblemDetails, RequestRefused
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
    path_id,
    sentence,
)
from booking_payments.presentation import render
from booking_payments.presentation.models import RefundAnswer


class RefundForm(msgspec.Struct):
    """The fields of the form. ``amount`` is required: the quoted amount is the one that is refunded."""

    amount: str
    reason: str
    note: str
    override: bool


@get(f"{PATH}/{{payment_id:str}}/refund", **BROWSER)
async def quote(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
    """Show what a refund would give, before any money moves."""
    file = await payment_details(services.storage, path_id(request, "payment_id"), services.clock.now())
    return await _quoted(operator, file, search)


async def _quoted(
    operator: OperatorContext, file: PaymentDetails, form: Form, problem: ProblemDetails | None = None
) -> PageResponse:
    """Render the quote. When no refund is allowed, it shows the quote's message."""
    message: str | None = sentence(problem.detail) if problem else None
    found: RefundQuote | None = None
    goodwill = _is_goodwill(form)
    try:
        typed = form.get("amount")
        amount = amount_typed(typed, file.payment.amount.currency) if typed else None
        if amount is not None or not goodwill:
            found = await operator.services.payments.quote_refund_of_payment(
                file.payment.id, operator.caller, amount=amount, override=_overrides(form)
            )
            message = message or (None if found.allowed else sentence(found.reason.message))
        elif form.get("look"):
            message = message or "Name the amount."
    except PaymentError as error:
        message = message or sentence(error.message)
    context: dict[str, Any] = {
        "file": file,
        "payment": file.payment,
        "quote": found,
        "remains": file.payment.captured - file.payment.refundable.back - found.amount if found else None,
        "override": _overrides(form),
        "goodwill": goodwill,
        "problem": message,
        "form": form,
        "reasons": [reason.value for reason in RefundReason],
        "key": operator.services.ids.idempotency_key(),
    }
    status = problem.status if problem else 200
    return operator.page("console/refund.html", "payments", context, status=status)


def _is_goodwill(form: Form) -> bool:
    return form.get("goodwill") == "true"


def _overrides(form: Form) -> bool:
    return form.get("override") == "true" or _is_goodwill(form)


@post(f"{PATH}/{{payment_id:str}}/refund", **BROWSER)
async def refund(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Refund, once per form."""
    file = await payment_details(services.storage, path_id(request, "payment_id"), services.clock.now())
    try:
        given = _given(form, file)
    except RequestRefused as refused:
        return await _quoted(operator, file, form, refused.problem)

    async def work(caller: Caller) -> OperationResult:
        view = await services.payments.refund_payment_by_id(
            file.payment.id,
            caller,
            amount=given.amount,
            reason=RefundReason(given.reason),
            note=given.note or None,
            override=given.override,
        )
        content = render.refund(view.payment, view.refund, operator.reader, services.clock.now(), asked_by_reader=True)
        return OperationResult(
            content=content,
            reference=file.booking.reference,
            intent_id=view.payment.intent_id,
            headers={REPLAYED: "true"} if view.replayed else {},
        )

    action = FormAction(operation="refund_payment", booking_id=file.booking.id, caller=operator.caller, given=given)
    response = await run_form_action(request, services, operator.session, form, action, work)
    problem = problem_in(response)
    here = f"{PATH}/{file.payment.id}"
    if problem is None:
        raise SeeOther(f"{here}?done={_outcome(response)}")
    if problem.outcome_unknown:
        raise SeeOther(f"{here}?done=unknown")
    return await _quoted(
        operator, await payment_details(services.storage, file.payment.id, services.clock.now()), form, problem
    )


def _outcome(response: EncodedResponse) -> str:
    """Return the code of the message for the payment's page: a key of ``payments.DONE``."""
    made = msgspec.json.decode(response.body, type=RefundAnswer)
    if not made.success:
        return "failed"
    if response.headers.get(REPLAYED):
        return "repeated"
    return "deferred" if made.deferred else "refund"


def _given(form: Form, file: PaymentDetails) -> RefundForm:
    reason, note, override = form.get("reason"), form.safe("note"), _overrides(form)
    if reason not in [each.value for each in RefundReason]:
        raise RequestRefused(400, "invalid_input", "choose one of the reasons")
    if not form.get("amount"):
        raise RequestRefused(400, "invalid_input", "name the amount")
    try:
        amount = amount_typed(form.get("amount"), file.payment.amount.currency)
    except PaymentError as error:
        raise RequestRefused(400, error.code, error.message) from None
    return RefundForm(amount=amount.major(), reason=reason, note=note, override=override)


PAGES: Final = (quote, refund)
