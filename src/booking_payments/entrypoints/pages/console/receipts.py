"""Recording money that an operator received by hand: cash, an invoice, a voucher, a gift card."""

from typing import Any, Final

import msgspec
from litestar import get, post

from booking_payments.application.callers import Caller
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotFound
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.entrypoints.http.commands import Done
from booking_payments.entrypoints.http.problems import Problem, Refused
from booking_payments.entrypoints.pages.acting import Act, act_once, problem_in
from booking_payments.entrypoints.pages.console.desk import Desk, GivenDesk
from booking_payments.entrypoints.pages.console.payments import PATH
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.page import BROWSER, Answer, AnyRequest, GivenForm, GivenServices, SeeOther
from booking_payments.entrypoints.pages.page import sentence as sentence_of
from booking_payments.ports.bookings import BookingFilter
from booking_payments.presentation import render
from booking_payments.runtime.services import Services

RECORD: Final = "/console/record"


class Record(msgspec.Struct):
    """What the form says."""

    booking: str
    amount: str
    kind: str
    reference: str


@get(RECORD, **BROWSER)
async def form_page(desk: GivenDesk, search: GivenForm) -> Answer:
    """The form. Raises ``NotFound`` where no gateway of this installation records payments."""
    _require_recording(desk.services)
    return _shown(desk, search)


@post(RECORD, **BROWSER)
async def record(request: AnyRequest, services: GivenServices, desk: GivenDesk, form: GivenForm) -> Answer:
    """Record it, once."""
    _require_recording(services)
    try:
        given = _given(form)
        booking = await _booking(services, given.booking)
    except Refused as refused:
        return _shown(desk, form, refused.problem)
    payment_id = ""

    async def work(caller: Caller) -> Done:
        nonlocal payment_id
        view = await services.payments.record_payment(
            booking.id, caller, amount=given.amount, kind=ReceiptKind(given.kind), reference=given.reference
        )
        payment_id = view.payment.id
        content = render.payment(view, desk.reader, services.clock.now())
        return Done(content=content, reference=booking.reference, intent_id=view.payment.intent_id)

    act = Act(operation="record_payment", booking_id=booking.id, caller=desk.caller, given=given)
    problem = problem_in(await act_once(request, services, desk.session, form, act, work))
    if problem is None:
        raise SeeOther(f"{PATH}/{payment_id}?done=recorded" if payment_id else f"{PATH}?reference={booking.reference}")
    return _shown(desk, form, problem)


def _require_recording(services: Services) -> None:
    payments = services.payments
    if payments.gateway_names == payments.gateway_choices:
        raise NotFound()


def _shown(desk: Desk, form: Form, problem: Problem | None = None) -> Answer:
    context: dict[str, Any] = {
        "path": RECORD,
        "form": form,
        "kinds": [each.value for each in ReceiptKind],
        "problem": sentence_of(problem.detail) if problem else None,
        "key": desk.services.ids.idempotency_key(),
    }
    return desk.page("console/record.html", "payments", context, status=problem.status if problem else 200)


async def _booking(services: Services, name: str) -> Booking:
    """The booking with this id, or the newest with this reference."""
    by_id = await services.storage.read(lambda uow: uow.bookings.get(name))
    page = await services.payments.list_bookings(BookingFilter(reference=name), limit=1)
    found = by_id or next(iter(page.items), None)
    if found is None:
        raise Refused(404, "not_found", "no booking goes by this id or reference")
    return found


def _given(form: Form) -> Record:
    kind, booking, amount = form.get("kind"), form.safe("booking").strip(), form.get("amount").strip()
    if kind not in [each.value for each in ReceiptKind]:
        raise Refused(400, "invalid_input", "choose how the money came")
    if not booking or not amount:
        raise Refused(400, "invalid_input", "name the booking and the amount")
    return Record(booking=booking, amount=amount, kind=kind, reference=form.safe("reference"))


PAGES: Final = (form_page, record)
