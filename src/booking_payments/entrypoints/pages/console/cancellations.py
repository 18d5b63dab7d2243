"""Canceling a booking, or single seats of it: first a quote of refund and remainder, then the command.

The form names the quoted version and amount. If either has changed, nothing is done, and the page shows the new
state.
"""

from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.booking_overview import BookingOverview
from booking_payments.application.callers import Caller
from booking_payments.application.previews import ChangePreview
from booking_payments.application.quoted import Quoted
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import Booking, ItemCount
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.money import Money
from booking_payments.domain.texts import require_reason
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.console.bookings import (
    PATH,
    described,
    message_of,
    outcome_of,
    overview_of,
    version_typed,
)
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.form_actions import FormAction, problem_in, run_form_action
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
    sentence,
)

UNITS: Final = "units."
"""Prefix of the fields that count the units of an item; the item's id follows."""


class UnitsForm(msgspec.Struct):
    """A number of units of an item."""

    id: str
    quantity: int


class CancellationForm(msgspec.Struct):
    """The fields of the form. ``quoted`` is the refund that was shown."""

    refund: str
    reason: str
    version: int
    quoted: str
    items: list[UnitsForm]


# --- the whole booking -----------------------------------------------------------------------------------------


@get(f"{PATH}/{{booking_id:str}}/cancel", **BROWSER)
async def cancel_page(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
    """Show the refund of a cancellation."""
    return await _page(operator, await overview_of(request, services), search, seats=False)


@post(f"{PATH}/{{booking_id:str}}/cancel", **BROWSER)
async def cancel(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Cancel the booking, once per form."""
    return await _do(request, operator, await overview_of(request, services), form, seats=False)


# --- single seats ----------------------------------------------------------------------------------------------


@get(f"{PATH}/{{booking_id:str}}/seats", **BROWSER)
async def seats_page(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
    """Show the remaining seats, and the refund of the chosen ones."""
    return await _page(operator, await overview_of(request, services), search, seats=True)


@post(f"{PATH}/{{booking_id:str}}/seats", **BROWSER)
async def give_seats_back(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Cancel the chosen seats, once per form."""
    return await _do(request, operator, await overview_of(request, services), form, seats=True)


# --- both ------------------------------------------------------------------------------------------------------


async def _page(
    operator: OperatorContext,
    overview: BookingOverview,
    form: Form,
    *,
    seats: bool,
    problem: ProblemDetails | None = None,
) -> PageResponse:
    message = message_of(problem) if problem else None
    booking, chosen = overview.booking, tuple[ItemCount, ...]()
    preview: ChangePreview | None = None
    try:
        chosen = _chosen(form, booking) if seats else ()
        if chosen or not seats:
            preview = await operator.services.payments.preview_cancellation(
                booking.id, operator.caller, refund=_mode(form), items=chosen
            )
        elif form.get("look"):
            message = message or "Choose at least one seat."
    except PaymentError as error:
        message = message or sentence(error.message)
    except RequestRefused as refused:
        message = message or sentence(refused.problem.detail)
    context: dict[str, Any] = {
        "overview": overview,
        "booking": booking,
        "seats": seats,
        "preview": preview,
        "chosen": {each.id: each.quantity for each in chosen},
        "refund": form.get("refund") or RefundOnCancel.POLICY.value,
        "problem": message,
        "form": form,
        "key": operator.services.ids.idempotency_key(),
    }
    template = "console/seats.html" if seats else "console/cancel.html"
    return operator.page(template, "bookings", context, status=problem.status if problem else 200)


async def _do(
    request: AnyRequest, operator: OperatorContext, overview: BookingOverview, form: Form, *, seats: bool
) -> PageResponse:
    services, booking = operator.services, overview.booking
    try:
        given = _given(form, booking, seats=seats)
    except RequestRefused as refused:
        return await _page(operator, overview, form, seats=seats, problem=refused.problem)
    items = tuple(ItemCount(id=each.id, quantity=each.quantity) for each in given.items)

    async def change(caller: Caller) -> Booking:
        return await services.payments.cancel_booking(
            booking.id,
            caller,
            reason=given.reason or None,
            refund=RefundOnCancel(given.refund),
            items=items,
            expected=Quoted(version=given.version, refund=Money.parse(given.quoted, booking.amount.currency)),
        )

    action = FormAction(operation="cancel_booking", booking_id=booking.id, caller=operator.caller, given=given)
    work = described(operator, change)
    problem = problem_in(await run_form_action(request, services, operator.session, form, action, work))
    overview = await overview_of(request, services)
    outcome = outcome_of(problem, "seats" if overview.booking.status.is_live else "canceled")
    if outcome is not None:
        raise SeeOther(f"{PATH}/{booking.id}?done={outcome}")
    return await _page(operator, overview, form, seats=seats, problem=problem)


def _mode(form: Form) -> RefundOnCancel:
    text = form.get("refund") or RefundOnCancel.POLICY.value
    if text not in [each.value for each in RefundOnCancel]:
        raise RequestRefused(400, "invalid_input", "choose what goes back")
    return RefundOnCancel(text)


def _given(form: Form, booking: Booking, *, seats: bool) -> CancellationForm:
    reason, quoted = form.safe("reason"), form.get("quoted")
    try:
        require_reason(reason or None)
        Money.parse(quoted, booking.amount.currency)
        chosen = _chosen(form, booking) if seats else ()
    except PaymentError as error:
        raise RequestRefused(400, "invalid_input", error.message) from None
    if seats and not chosen:
        raise RequestRefused(400, "invalid_input", "choose at least one seat")
    return CancellationForm(
        refund=_mode(form).value,
        reason=reason,
        version=version_typed(form),
        quoted=quoted,
        items=[UnitsForm(id=each.id, quantity=each.quantity or 0) for each in chosen],
    )


def _chosen(form: Form, booking: Booking) -> tuple[ItemCount, ...]:
    """Return the units that the form names, including items that the booking no longer has: those are refused by
    name.
    """
    found = []
    for name in form.names():
        text = form.get(name)
        if not name.startswith(UNITS) or text in ("", "0"):
            continue
        item_id = name.removeprefix(UNITS)
        if not (text.isascii() and text.isdigit() and len(text) < 7):
            label = next((item.label for item in booking.items if item.id == item_id), item_id)
            raise RequestRefused(400, "invalid_input", f"{label}: write how many as a whole number")
        found.append(ItemCount(id=item_id, quantity=int(text)))
    return tuple(found)


PAGES: Final = (cancel_page, cancel, seats_page, give_seats_back)
