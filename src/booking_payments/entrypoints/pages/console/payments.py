"""Payments: the list with filters and search, and the page of one payment with its history."""

from datetime import date, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import urlencode

from litestar import get
from litestar.response import Stream

from booking_payments.application.exporting import ExportKind
from booking_payments.application.figures import day_begins
from booking_payments.application.payment_details import PaymentDetails, find_by_any_id, payment_details
from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.texts import require_last4
from booking_payments.entrypoints.http.exports import csv_response
from booking_payments.entrypoints.pages.amounts import any_amount_typed
from booking_payments.entrypoints.pages.console.lifecycle import diagram, walked
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.console.timeline import timeline
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
from booking_payments.ports.payments import PaymentFilter, Refunded
from booking_payments.presentation import render
from booking_payments.presentation.decline_reasons import reason_of
from booking_payments.presentation.status_style import STATUS_STYLE

PAGE_SIZE: Final = 25
PATH: Final = "/console/payments"
FILTERS: Final = ("q", "status", "from", "to", "event", "email", "amount", "last4")
DONE: Final = {
    "refund": (True, "The refund is made. Its progress is shown below."),
    "deferred": (True, "The refund is promised. It is sent automatically once nothing blocks it any more."),
    "repeated": (True, "This refund was asked for before, when its outcome was not known. No other one was made."),
    "failed": (False, "The refund was refused at once. Nothing went back, and the amount can be refunded again."),
    "unknown": (
        False,
        "It is not known yet whether the refund was made; this is being checked. The same refund, sent again by you "
        "within 24 hours, is this one and moves no money twice.",
    ),
    "recorded": (True, "The money is recorded."),
    "settled": (True, "The debt is settled. The operator and the reason are shown below."),
    "unsure": (False, "It is not known whether this was booked. Check the amount owed before you send it again."),
}
"""Message on the page of a payment about the last action, by its code, and whether the action succeeded."""


# --- the list --------------------------------------------------------------------------------------------------


@get(PATH, **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Payments, newest first."""
    wanted = search.get("q")
    found = await find_by_any_id(services.storage, wanted) if wanted else None
    if found is not None:
        raise SeeOther(f"{PATH}/{found.id}")
    try:
        which, cursor = _filter(search, services.settings.business_time_zone), search.get("cursor") or None
        shown = await services.payments.list_payments(which, cursor=cursor, limit=PAGE_SIZE)
        problem = None
    except InvalidInput as error:
        shown, problem = None, sentence(error.message)
    context: dict[str, Any] = {
        "payments": shown.items if shown else (),
        "next_cursor": shown.next_cursor if shown else None,
        "problem": problem,
        "search": search,
        "filtered": any(search.get(name) for name in FILTERS),
        "by_day": bool(search.get("from") or search.get("to")),
        "more": any(search.get(name) for name in ("event", "email", "amount", "last4")),
        "query": urlencode({name: search.get(name) for name in FILTERS if search.get(name)}),
        "statuses": list(PaymentStatus),
        "exports": list(ExportKind),
        "zone": str(services.settings.business_time_zone),
        "status_style": STATUS_STYLE,
        "records": services.payments.gateway_names != services.payments.gateway_choices,
    }
    return operator.page("console/payments.html", "payments", context, status=400 if problem else 200)


@get("/console/exports/{kind:str}", **BROWSER)
async def export(request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm) -> Stream:
    """The list that is shown as CSV, whole; or the refunds, disputes or postings of its payments."""
    kind = str(request.path_params["kind"])
    if kind not in [*ExportKind]:
        raise NotFound()
    which = _filter(search, services.settings.business_time_zone)
    return await csv_response(services.payments, ExportKind(kind), which, for_people=True)


def _filter(search: Form, zone: tzinfo) -> PaymentFilter:
    """Return what the form asks for; its days are those of ``zone``. Raises ``InvalidInput`` for a field that can't be
    understood."""
    status = search.get("status")
    if status and status not in (*(each.value for each in PaymentStatus), *_OTHER_STATUSES):
        raise InvalidInput("there is no such status")
    first, last = _day(search.get("from")), _day(search.get("to"))
    last4 = search.get("last4").strip()
    amount = any_amount_typed(search.get("amount")) if search.get("amount").strip() else None
    return PaymentFilter(
        status=PaymentStatus(status) if status and status not in _OTHER_STATUSES else None,
        refunded=_OTHER_STATUSES.get(status),
        disputed=True if status == _DISPUTED else None,
        text=search.get("q").strip() or None,
        created_from=day_begins(first, zone) if first else None,
        created_to=day_begins(last + timedelta(days=1), zone) if last else None,
        event_id=search.get("event").strip() or None,
        email=search.get("email").strip() or None,
        amount=amount.number if amount else None,
        currency=amount.currency if amount else None,
        last4=require_last4(last4) if last4 else None,
    )


_DISPUTED: Final = "disputed"
_OTHER_STATUSES: Final = {"partly_refunded": Refunded.PARTLY, "refunded": Refunded.FULLY, _DISPUTED: None}
"""What a payment that has succeeded may be filtered by, too."""


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        if not 2000 <= day.year < 2200:
            raise ValueError
    except ValueError:
        raise InvalidInput("write days as 2026-03-01") from None
    return day


# --- one payment -----------------------------------------------------------------------------------------------


@get(f"{PATH}/{{payment_id:str}}", **BROWSER)
async def one(request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """One payment."""
    file = await payment_details(services.storage, path_id(request, "payment_id"), services.clock.now())
    return shown(operator, file, search.get("done"))


def shown(operator: OperatorContext, file: PaymentDetails, done: str = "") -> PageResponse:
    """Render the page of a payment; ``done`` is the code of the action that led here."""
    payment, journal = file.payment, render.journal(list(file.journal), operator.reader).events
    context: dict[str, Any] = {
        "file": file,
        "payment": payment,
        "declined": reason_of(payment.last_decline) if payment.last_decline else None,
        "links": operator.services.dashboards.get(payment.gateway),
        "stretches": timeline(file.journal, journal),
        "diagram": diagram(payment.status, walked(file.journal)),
        "status_style": STATUS_STYLE,
        "done": DONE.get(done),
    }
    return operator.page("console/payment.html", "payments", context)


PAGES: Final = (listing, export, one)
