"""Amending a booking: price or items, title, date, deadline. First a quote of the refund, then the command.

A field with the booking's current value changes nothing. The form names the booking's version, so that a concurrent
change by another operator is neither lost nor undone.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.booking_overview import BookingOverview
from booking_payments.application.callers import Caller
from booking_payments.application.previews import ChangePreview
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.amendments import KEEP, BookingChange, Keep, require_version
from booking_payments.domain.booking import Booking, BookingStatus, Item
from booking_payments.domain.errors import InvalidInput, PaymentError
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.texts import require_line
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.amounts import amount_typed
from booking_payments.entrypoints.pages.console.bookings import (
    PATH,
    STALE,
    described,
    in_words,
    message_of,
    outcome_of,
    overview_of,
    version_typed,
)
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.form_actions import FormAction, problem_in, run_form_action
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.moments import field_of, moment_typed
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
    sentence,
)

NOTHING: Final = "nothing would change: change a value first, then look at the quote"
LONGEST_TITLE: Final = 200
NEW: Final = ("new.label", "new.units", "new.price")
"""The fields of an added item."""


class AmendForm(msgspec.Struct):
    """The fields of the form by name, and the quoted refund."""

    fields: dict[str, str]
    refund: str
    version: int
    quoted: str


@get(f"{PATH}/{{booking_id:str}}/amend", **BROWSER)
async def amend_page(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
    """Show the booking's values, and the effect of changing them."""
    return await _page(operator, await overview_of(request, services), search)


@post(f"{PATH}/{{booking_id:str}}/amend", **BROWSER)
async def amend(request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """Amend the booking, once per form."""
    overview = await overview_of(request, services)
    booking = overview.booking
    try:
        given = _given(form, booking)
    except RequestRefused as refused:
        return await _page(operator, overview, form, refused.problem)

    async def change(caller: Caller) -> Booking:
        # Read again: the form's fields are compared with the version of the booking that the form names.
        present = await services.payments.get_booking(booking.id)
        wanted = change_typed(form, present)
        if caller.resumed and wanted.is_empty:  # an earlier request of this form has already done it
            return present
        require_version(present, given.version)
        if wanted.is_empty:
            raise InvalidInput(NOTHING)
        return await services.payments.amend_booking(
            booking.id,
            wanted,
            caller,
            expected_version=given.version,
            expected_refund=Money.parse(given.quoted, booking.amount.currency),
            refund=RefundOnCancel(given.refund),
        )

    action = FormAction(operation="amend_booking", booking_id=booking.id, caller=operator.caller, given=given)
    work = described(operator, change)
    problem = problem_in(await run_form_action(request, services, operator.session, form, action, work))
    outcome = outcome_of(problem, "amended")
    if outcome is not None:
        raise SeeOther(f"{PATH}/{booking.id}?done={outcome}")
    return await _page(operator, await overview_of(request, services), form, problem)


async def _page(
    operator: OperatorContext, overview: BookingOverview, form: Form, problem: ProblemDetails | None = None
) -> PageResponse:
    booking = overview.booking
    message = message_of(problem) if problem else None
    stale = problem is not None and problem.code in STALE
    preview: ChangePreview | None = None
    if form.get("look") and not stale:
        try:
            require_version(booking, version_typed(form))
            wanted = change_typed(form, booking)
            if wanted.is_empty:
                raise InvalidInput(NOTHING)
            preview = await operator.services.payments.preview_amendment(
                booking.id, wanted, operator.caller, expected_version=booking.version, refund=_mode(form)
            )
            if not preview.changed:
                message, preview = message or sentence(NOTHING), None
        except PaymentError as error:
            stale = error.code in STALE
            message = (
                message
                or f"{in_words(error.code, error.message)}{' What you see now is the new state.' if stale else ''}"
            )
        except RequestRefused as refused:
            message = message or sentence(refused.problem.detail)
    present = fields_of(booking)
    shown = present if stale else {**present, **{name: form.get(name) for name in form.names() if name in present}}
    context: dict[str, Any] = {
        "overview": overview,
        "booking": booking,
        "fields": shown,
        "preview": preview,
        "refund": form.get("refund") or RefundOnCancel.POLICY.value,
        "problem": message,
        "key": operator.services.ids.idempotency_key(),
    }
    return operator.page("console/amend.html", "bookings", context, status=problem.status if problem else 200)


def fields_of(booking: Booking) -> dict[str, str]:
    """Return the form's fields with the booking's current values."""
    prices = {"amount": booking.amount.major()} if not booking.items else dict.fromkeys(NEW, "")
    if booking.status is BookingStatus.PENDING:
        prices["deadline"] = field_of(booking.expires_at)
    for item in booking.items:
        prices |= {f"units.{item.id}": str(item.quantity), f"price.{item.id}": item.unit_amount.major()}
    return {
        **prices,
        "title": booking.details.title or "",
        "starts": field_of(booking.event_starts_at),
        "grace": field_of(booking.refund_grace_until),
    }


def change_typed(form: Form, booking: Booking) -> BookingChange:
    """Return the change from ``booking`` to the form's fields; a field that was not sent is unchanged.

    Raises:
        InvalidInput: text that cannot be parsed.
        InvalidAmount: an amount that cannot be parsed.
    """
    present = fields_of(booking)
    typed = {name: form.get(name) for name in form.names() if name in present}
    changed = {name: text for name, text in typed.items() if text != present[name]}
    return BookingChange(
        amount=_amount(changed, booking),
        items=_items(changed, booking),
        title=_title(changed),
        event_starts_at=_required(_moment(changed, "starts"), "a booking has a date: write when its event begins"),
        expires_at=_required(_moment(changed, "deadline"), "write until when the booking can be paid"),
        refund_grace_until=_moment(changed, "grace"),
    )


def _amount(changed: dict[str, str], booking: Booking) -> Money | Keep:
    return amount_typed(changed["amount"], booking.amount.currency) if "amount" in changed else KEEP


def _items(changed: dict[str, str], booking: Booking) -> tuple[Item, ...] | Keep:
    if not any(name.partition(".")[0] in ("units", "price", "new") for name in changed):
        return KEEP
    currency = booking.amount.currency
    found = []
    for item in booking.items:
        units = changed.get(f"units.{item.id}", str(item.quantity))
        price = changed.get(f"price.{item.id}")
        quantity = _number(units, item.label)
        if quantity:
            amount = item.unit_amount if price is None else amount_typed(price, currency)
            found.append(Item(id=item.id, label=item.label, quantity=quantity, unit_amount=amount))
    if any(name in changed for name in NEW):
        found.append(_new_item(changed, booking, currency))
    if not found:
        raise InvalidInput("nothing would be left: cancel the booking instead")
    return tuple(found)


def _new_item(changed: dict[str, str], booking: Booking, currency: Currency) -> Item:
    label, units, price = (changed.get(name, "") for name in NEW)
    if not label or not price:
        raise InvalidInput("another item: name it, and give its price")
    known = {item.id for item in booking.items}
    number = next(number for number in range(1, len(known) + 2) if f"extra-{number}" not in known)
    quantity = _number(units or "1", label)
    if not quantity:
        raise InvalidInput("another item: write how many as a whole number above 0, or leave its fields empty")
    amount = amount_typed(price, currency)
    return Item(id=f"extra-{number}", label=_line(label, "another item"), quantity=quantity, unit_amount=amount)


def _number(text: str, label: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise InvalidInput(f"{label}: write how many as a whole number")
    return int(text)


def _title(changed: dict[str, str]) -> str | Keep | None:
    if "title" not in changed:
        return KEEP
    return _line(changed["title"], "title") if changed["title"] else None


def _line(text: str, name: str) -> str:
    if len(text) > LONGEST_TITLE:
        raise InvalidInput(f"{name}: use at most {LONGEST_TITLE} characters")
    return require_line(text, name)


def _moment(changed: dict[str, str], name: str) -> datetime | Keep | None:
    if name not in changed:
        return KEEP
    return moment_typed(changed[name]) if changed[name] else None


def _required(moment: datetime | Keep | None, message: str) -> datetime | Keep:
    if moment is None:
        raise InvalidInput(message)
    return moment


def _mode(form: Form) -> RefundOnCancel:
    text = form.get("refund") or RefundOnCancel.POLICY.value
    if text not in [each.value for each in RefundOnCancel]:
        raise RequestRefused(400, "invalid_input", "choose what goes back")
    return RefundOnCancel(text)


def _given(form: Form, booking: Booking) -> AmendForm:
    quoted = form.get("quoted")
    fields = {name: form.safe(name) for name in form.names() if name in fields_of(booking)}
    try:
        Money.parse(quoted, booking.amount.currency)
    except PaymentError as error:
        raise RequestRefused(400, "invalid_input", error.message) from None
    return AmendForm(fields=fields, refund=_mode(form).value, version=version_typed(form), quoted=quoted)


PAGES: Final = (amend_page, amend)
