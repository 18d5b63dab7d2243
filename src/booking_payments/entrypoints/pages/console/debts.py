"""Record that an amount owed to a customer was settled without a refund: paid elsewhere, or waived. No money moves
here.
"""

from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.callers import Caller
from booking_payments.application.payment_details import PaymentDetails, payment_details
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.events import Settlement
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
    path_id,
    sentence,
)
from booking_payments.presentation import render


class SettleForm(msgspec.Struct):
    """The fields of the form."""

    amount: str
    how: str
    note: str


@get(f"{PATH}/{{payment_id:str}}/settle", **BROWSER)
async def preview(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
    """Show what would still be owed after a settlement, without recording it."""
    file = await payment_details(services.storage, path_id(request, "payment_id"), services.clock.now())
    return _previewed(operator, file, search)


def _previewed(
    operator: OperatorContext, file: PaymentDetails, form: Form, problem: ProblemDetails | None = None
) -> PageResponse:
    message: str | None = sentence(problem.detail) if problem else None
    owed, amount = file.payment.owed.amount, None
    try:
        amount = amount_typed(form.get("amount"), owed.currency) if form.get("amount") else owed
        if not 0 < amount.minor <= owed.minor:
            message, amount = message or f"Between nothing and {owed} can be settled.", None
    except PaymentError as error:
        message = message or sentence(error.message)
    context: dict[str, Any] = {
        "file": file,
        "payment": file.payment,
        "amount": amount,
        "left": owed - amount if amount else None,
        "problem": message,
        "form": form,
        "ways": [each.value for each in Settlement],
        "key": operator.services.ids.idempotency_key(),
    }
    return operator.page("console/settle.html", "payments", context, status=problem.status if problem else 200)


@post(f"{PATH}/{{payment_id:str}}/settle", **BROWSER)
async def settle(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Record the settlement, once per form."""
    file = await payment_details(services.storage, path_id(request, "payment_id"), services.clock.now())
    try:
        given = _given(form, file)
    except RequestRefused as refused:
        return _previewed(operator, file, form, refused.problem)

    async def work(caller: Caller) -> OperationResult:
        view = await services.payments.settle_debt(
            file.payment.id, caller, amount=given.amount, how=Settlement(given.how), note=given.note
        )
        content = render.payment(view, operator.reader, services.clock.now())
        return OperationResult(content=content, reference=file.booking.reference, intent_id=view.payment.intent_id)

    action = FormAction(operation="settle_debt", booking_id=file.booking.id, caller=operator.caller, given=given)
    problem = problem_in(await run_form_action(request, services, operator.session, form, action, work))
    if problem is None:
        raise SeeOther(f"{PATH}/{file.payment.id}?done=settled")
    if problem.outcome_unknown:
        raise SeeOther(f"{PATH}/{file.payment.id}?done=unsure")
    return _previewed(
        operator, await payment_details(services.storage, file.payment.id, services.clock.now()), form, problem
    )


def _given(form: Form, file: PaymentDetails) -> SettleForm:
    how, note = form.get("how"), form.safe("note")
    if how not in [each.value for each in Settlement]:
        raise RequestRefused(400, "invalid_input", "choose how it was settled")
    if not form.get("amount"):
        raise RequestRefused(400, "invalid_input", "name the amount")
    try:
        amount = amount_typed(form.get("amount"), file.payment.amount.currency)
    except PaymentError as error:
        raise RequestRefused(400, error.code, error.message) from None
    return SettleForm(amount=amount.major(), how=how, note=note)


PAGES: Final = (preview, settle)
