"""The page of a simulated bank, to which the fake gateway sends a customer who pays by a redirect.

Its URL contains a secret key. A request with this key may answer for the customer at this bank, and may do nothing
else.
"""

from typing import Final

from litestar import get, post

from booking_payments.adapters.gateways.stripe.amounts import from_stripe
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.forms import read_form
from booking_payments.entrypoints.pages.page import PUBLIC, AnyRequest, GivenForm, GivenServices, PageResponse
from booking_payments.entrypoints.pages.rendering import html
from booking_payments.runtime.services import Services
from booking_payments.sandbox.emulator import FakeStripe

PATH: Final = "/pages/bank"
_OUTCOMES: Final = ("succeeded", "failed", "processing")


@get(f"{PATH}/{{intent_id:str}}", **PUBLIC)
async def show(request: AnyRequest, services: GivenServices, search: GivenForm) -> PageResponse:
    """Show the form that asks the customer for consent."""
    key, intent_id = search.get("key"), _intent_id(request)
    asked = _stripe(services).at_bank(intent_id, key)
    if not asked.ok:
        raise _missing()
    currency = Currency.of(asked.body["currency"])
    amount = Money(from_stripe(asked.body["amount"], currency.exponent, currency.code), currency)
    context = {"path": f"{PATH}/{intent_id}", "key": key, "amount": amount, "url": None}
    return html("bank.html", {**context, "may_wait": asked.body["may_wait"]})


@post(f"{PATH}/{{intent_id:str}}", **PUBLIC)
async def leave(request: AnyRequest, services: GivenServices) -> PageResponse:
    """Record the customer's answer, and return a page that sends the browser back to the shop.

    It is a page and not a redirect, because under our content security policy a browser does not follow a redirect to
    another origin after a form.
    """
    form = await read_form(request)
    outcome = form.get("outcome")
    if outcome not in _OUTCOMES:
        raise RequestRefused(400, "invalid_input", "choose how the bank answers")
    left = _stripe(services).leave_bank_page(_intent_id(request), form.get("key"), outcome)
    if not left.ok:
        raise _missing()
    return html("bank.html", {"url": left.body["url"]})


def _stripe(services: Services) -> FakeStripe:
    if services.sandbox is None:
        raise _missing()
    return services.sandbox


def _intent_id(request: AnyRequest) -> str:
    intent_id = str(request.path_params["intent_id"])
    if not parsing.is_id(intent_id):
        raise _missing()
    return intent_id


def _missing() -> RequestRefused:
    return RequestRefused(404, "not_found", "there is no such payment here")


PAGES: Final = (show, leave)
