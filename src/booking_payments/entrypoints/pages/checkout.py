"""The checkout: one page that shows a booking and takes its payment.

How customers pay is a form of the gateway (``ports.gateway_plugin.CheckoutForm``), in a template of its own. Card data
never reaches this service. With the fake gateway a form also simulates the bank's 3-D Secure window.
``application.checking_out`` decides what the page shows; this module renders it.
"""

from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Any, Final

import msgspec
from attrs import evolve, frozen
from litestar import get, post
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from booking_payments.application.callers import Caller
from booking_payments.application.checking_out import Checkout, CheckoutStage
from booking_payments.domain.booking import Booking, BookingStatus, Payability
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import QuoteReason
from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.commands import OperationResult
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import ProblemDetails, RequestRefused
from booking_payments.entrypoints.pages.appearance import appearance_of, language_of
from booking_payments.entrypoints.pages.customer_texts import (
    CHOOSE_FIRST,
    NOT_STARTED,
    PROBLEMS,
    REFUND_RULES,
    advice_text,
    decline_text,
    problem_text,
)
from booking_payments.entrypoints.pages.form_actions import FormAction, count_gateway_call, problem_in, run_form_action
from booking_payments.entrypoints.pages.forms import Form, read_form
from booking_payments.entrypoints.pages.gateway_forms import OfferedForm
from booking_payments.entrypoints.pages.language import N_, Language
from booking_payments.entrypoints.pages.money_returned import has_nothing_left, is_undisturbed, sentences_about
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    JSON_PROBLEMS,
    AnyRequest,
    GivenForm,
    GivenServices,
    SeeOther,
    as_json,
    count_guess,
    path_id,
    remember_booking,
    sentence,
)
from booking_payments.entrypoints.pages.page import PageResponse as PageResponse
from booking_payments.entrypoints.pages.rendering import html
from booking_payments.entrypoints.pages.sessions import (
    CHECKOUT_COOKIE,
    Session,
    checkout_session,
    comes_back,
    cookie_of,
    public_origin,
)
from booking_payments.ports.gateway_plugin import CheckoutForm, FormFacts
from booking_payments.presentation import render
from booking_payments.presentation.formatting import words
from booking_payments.presentation.models import PaymentAnswer
from booking_payments.presentation.origins import allowed_origins, origin_of
from booking_payments.runtime.services import Services

PATH: Final = "/checkout/{booking_id:str}"


class GatewayFormFields(msgspec.Struct):
    """What a gateway's form says of the payment."""

    gateway: str
    payment_method: str | None = None


@frozen(kw_only=True)
class CheckoutRequest:
    """A customer's request for the checkout of a booking."""

    services: Services
    session: Session
    caller: Caller
    booking_id: str
    request: AnyRequest
    asked: str | None = None
    """The ``gateway`` query parameter: the gateway that the customer prefers, or None."""

    def language(self, booking: Booking) -> Language:
        """Return the language in which the page of ``booking`` is shown."""
        return language_of(self.request, booking)

    @property
    def choices(self) -> tuple[str, ...]:
        """The gateways that a customer may choose from."""
        return self.services.payments.gateway_choices

    def chosen(self, checkout: Checkout) -> str | None:
        """Return the gateway whose form is shown: the requested one, else the open payment's, else the default. Returns
        None when no gateway takes payments from customers.
        """
        if len(self.services.payments.gateway_names) == 1:
            return self.services.settings.gateway
        payment = checkout.payment
        if checkout.stage in (CheckoutStage.PAY, CheckoutStage.AUTHENTICATE) and self.asked in self.choices:
            return self.asked
        if payment is not None and payment.status.is_open:
            return payment.gateway
        return next(iter(self.choices), None)

    @property
    def offered(self) -> tuple[str, ...]:
        """The gateways whose forms a customer may send."""
        only = len(self.services.payments.gateway_names) == 1
        return (self.services.settings.gateway,) if only else self.choices

    def form_of(self, gateway: str) -> CheckoutForm:
        """Return the form of ``gateway``. Raises ``NotFound`` for one that customers can't pay by on this page."""
        form = self.services.forms.get(gateway) if gateway in self.offered else None
        if form is None:
            raise NotFound()
        return form

    def named(self, gateway: str) -> str | None:
        """Return the ``gateway`` argument for ``start_payment``: None when there is only one choice."""
        return gateway if len(self.choices) > 1 else None

    async def checkout(self, *, ask: bool = False, anew: bool = False) -> Checkout:
        """Return the state of the checkout. ``ask`` reads the payment from the gateway first, ``anew`` does so even if
        it was just read.

        Raises:
            NotFound: there is no such booking, or it belongs to another customer.
        """
        found = await self.services.payments.checkout(self.booking_id, self.caller, ask=ask, anew=anew)
        remember_booking(self.request, found.booking)
        return found


async def provide_checkout_request(request: AnyRequest, services: GivenServices) -> CheckoutRequest:
    """Return the request of the token's customer for the booking in the path.

    Raises:
        RequestRefused: 401 without a valid token, 429 after too many of those.
        NotFound: the text in the path cannot be an id.
    """
    booking_id = str(request.path_params["booking_id"])
    # Text that cannot be an id is not used as a cookie path. Without a token the response is the same for every id.
    try:
        session = checkout_session(request, booking_id if parsing.is_id(booking_id) else "none")
    except RequestRefused:
        await count_guess(request)
        raise
    caller = Caller.customer(session.principal.subject, request_id_of(request.scope))
    asked = dict(parsing.query_pairs(request.scope)).get("gateway")
    return CheckoutRequest(
        services=services,
        session=session,
        caller=caller,
        booking_id=path_id(request, "booking_id"),
        request=request,
        asked=asked,
    )


async def provide_form(request: AnyRequest, checkout_request: NamedDependency[SkipValidation[CheckoutRequest]]) -> Form:
    """Return the form in the body. Raises ``RequestRefused`` (403) when it was not made for this session."""
    try:
        form = await read_form(request)
        checkout_request.session.require_own(request, form)
    except RequestRefused:
        await checkout_request.checkout()  # the error is told in the language of the booking
        raise
    return form


GivenCheckout = NamedDependency[SkipValidation[CheckoutRequest]]


@get(PATH, **BROWSER)
async def show(request: AnyRequest, checkout_request: GivenCheckout) -> PageResponse:
    """Show the checkout.

    When the customer may have acted at the gateway, the payment is read from it first: its webhook may arrive later,
    and until then the page would offer a form for a payment that is already made.
    """
    answer = _render_page(checkout_request, await _up_to_date(request, checkout_request))
    answer.set_cookie(cookie_of(request, checkout_request.session, CHECKOUT_COOKIE))
    return answer


async def _up_to_date(request: AnyRequest, checkout_request: CheckoutRequest) -> Checkout:
    """Return the state of the checkout, read from the gateway when the payment may have changed there.

    When the customer has asked too often, or the gateway does not respond, returns the stored state. The query of the
    return URL is not trusted. When the gateway cannot be read after a return, the stage is ``CHECKING``: the page
    reloads itself until the outcome is known, and then shows the form if there is still something to pay.
    """
    if not comes_back(request):
        return await checkout_request.checkout(ask=True)
    seen = await checkout_request.checkout()
    if not seen.may_have_moved:
        return seen
    try:  # anyone can open such a URL repeatedly, so each read of the gateway is counted
        await count_gateway_call(request, checkout_request.services, checkout_request.session)
        current = await checkout_request.checkout(ask=True, anew=True)
    except RequestRefused:
        current = seen
    unclear = current.stage in (CheckoutStage.PAY, CheckoutStage.AUTHENTICATE) and not current.asked
    return evolve(current, stage=CheckoutStage.CHECKING) if unclear else current


def _render_page(
    checkout_request: CheckoutRequest, checkout: Checkout, problem: ProblemDetails | None = None
) -> PageResponse:
    """Render the page, with ``problem`` as a message. The status is 200 when the page itself already explains the
    problem.
    """
    settings, language = checkout_request.services.settings, checkout_request.language(checkout.booking)
    chosen = checkout_request.chosen(checkout)
    stage = checkout.stage
    left = checkout_request.asked == chosen and checkout.payment is not None and checkout.payment.gateway != chosen
    if stage is CheckoutStage.AUTHENTICATE and left:
        stage = CheckoutStage.PAY  # the customer asked for another gateway: show its form
    form = _offered_form(checkout_request, checkout, stage, chosen, language)
    context: dict[str, Any] = {
        "checkout": checkout,
        "booking": checkout.booking,
        "payment": checkout.payment,
        "stage": stage.value,
        "path": checkout_request.session.path,
        "choices": _choices(checkout_request, stage, chosen, language),
        "alert": _alert(checkout, problem, language),
        "advice": _advice(checkout, problem, language),
        "title": _title(checkout, stage, form, language),
        "returned": _returned(checkout, language),
        "undisturbed": is_undisturbed(checkout.payment),
        "closed": language.gettext(PROBLEMS.get(checkout.payability.code, "")) if stage is CheckoutStage.CLOSED else "",
        "by_customer": checkout.price.payer is FeePayer.CUSTOMER,
        "receipt_url": _receipt_url(checkout_request, checkout),
        "hold_left_s": _hold_left_s(checkout_request, checkout.booking),
        "refunds": _refunds(checkout, language),
        "way_on": _way_on(checkout_request, checkout.booking, stage),
        "way_back": _way_back(checkout_request, checkout.booking, stage),
        "test_mode": not settings.livemode,
    }
    status = problem.status if problem else 200
    appearance = appearance_of(settings)
    return html("checkout.html", context, status=status, form=form, appearance=appearance, language=language)


def _receipt_url(checkout_request: CheckoutRequest, checkout: Checkout) -> str | None:
    """Return the gateway's receipt of a charge; None without one, and with the fake gateway, whose receipts lead
    nowhere.
    """
    payment = checkout.payment
    if payment is None or not payment.captured.minor or checkout_request.services.sandbox is not None:
        return None
    return payment.receipt_url


def _hold_left_s(checkout_request: CheckoutRequest, booking: Booking) -> int:
    """Return how many seconds the booking can still be paid, rounded up; 0 when that is over."""
    return max(0, ceil((booking.expires_at - checkout_request.services.clock.now()).total_seconds()))


_GOOD_ENDS: Final = (CheckoutStage.PAID, CheckoutStage.FREE, CheckoutStage.HELD, CheckoutStage.PROCESSING)
_BAD_ENDS: Final = (CheckoutStage.CLOSED, CheckoutStage.CANCELED, CheckoutStage.FAILED, CheckoutStage.LATE)


def _way_on(checkout_request: CheckoutRequest, booking: Booking, stage: CheckoutStage) -> str | None:
    """Return where the customer goes on when nothing is left to do here; None where the booking app named no page."""
    if stage in _GOOD_ENDS:
        return _allowed(checkout_request, booking.details.success_url)
    return _allowed(checkout_request, booking.details.cancel_url) if stage in _BAD_ENDS else None


def _way_back(checkout_request: CheckoutRequest, booking: Booking, stage: CheckoutStage) -> str | None:
    """Return where a customer goes who doesn't want to pay; None where the booking app named no page."""
    return _allowed(checkout_request, booking.details.cancel_url) if stage is CheckoutStage.PAY else None


def _allowed(checkout_request: CheckoutRequest, url: str | None) -> str | None:
    """Return ``url`` if its origin is allowed now; else None: it may have been registered without HTTP, or earlier."""
    allowed = allowed_origins(checkout_request.services.settings.return_url_origins)
    return url if url and origin_of(url) in allowed else None


def _offered_form(
    checkout_request: CheckoutRequest,
    checkout: Checkout,
    stage: CheckoutStage,
    gateway: str | None,
    language: Language,
) -> OfferedForm | None:
    """Return the form of ``gateway`` for this stage; None where there is nothing to do for the customer, or no form."""
    services = checkout_request.services
    form = services.forms.get(gateway or "")
    if gateway is None or form is None or stage not in (CheckoutStage.PAY, CheckoutStage.AUTHENTICATE):
        return None
    acting = stage is CheckoutStage.AUTHENTICATE
    client_action = checkout.view.client_action if acting and checkout.view else None
    price = checkout.price.gross
    return OfferedForm(
        gateway=gateway,
        title=language.gettext(services.settings.plugins[gateway].title),
        form=form,
        settings=services.settings.of_gateway(gateway),
        acting=acting,
        facts=FormFacts(price=price, next_action=(client_action and client_action.next_action) or {}),
        hidden={
            "form_token": checkout_request.session.form_token,
            "key": services.ids.idempotency_key(),
            "price": price.major(),
            "gateway": gateway,
        },
        path=checkout_request.session.path,
    )


_TITLES: Final = {
    CheckoutStage.PAY: N_("Pay for your booking"),
    CheckoutStage.AUTHENTICATE: N_("Confirm with your bank"),
    CheckoutStage.WORKING: N_("Your payment is being made"),
    CheckoutStage.CHECKING: N_("We are checking with the bank"),
    CheckoutStage.CANCELING: N_("Your payment is being canceled"),
    CheckoutStage.PROCESSING: N_("Your bank is working on it"),
    CheckoutStage.HELD: N_("Your money is reserved"),
    CheckoutStage.PAID: N_("Paid. Thank you!"),
    CheckoutStage.FREE: N_("Nothing to pay"),
    CheckoutStage.LATE: N_("Your payment came too late"),
    CheckoutStage.FAILED: N_("The payment did not go through"),
    CheckoutStage.CLOSED: N_("This booking can't be paid"),
    CheckoutStage.CANCELED: N_("This booking was canceled"),
}


def _title(checkout: Checkout, stage: CheckoutStage, form: OfferedForm | None, language: Language) -> str:
    """Return the page's title: the state of the booking and its payment."""
    if stage is CheckoutStage.AUTHENTICATE and form is not None and form.form.act_title:
        return language.gettext(form.form.act_title)
    if stage is CheckoutStage.PAID and not is_undisturbed(checkout.payment):
        return language.gettext("Your booking is confirmed")
    expired = checkout.payability is Payability.EXPIRED or checkout.booking.status is BookingStatus.EXPIRED
    if stage in (CheckoutStage.CANCELED, CheckoutStage.CLOSED) and expired:
        return language.gettext("This booking has expired")
    return language.gettext(_TITLES[stage])


def _returned(checkout: Checkout, language: Language) -> list[str]:
    """Return sentences about money that the merchant does not keep; none while the payment is not settled."""
    if checkout.payment is None or checkout.stage not in (
        CheckoutStage.PAID,
        CheckoutStage.LATE,
        CheckoutStage.CANCELED,
    ):
        return []
    return list(sentences_about(checkout.payment, language, closed=checkout.stage is not CheckoutStage.PAID))


def _refunds(checkout: Checkout, language: Language) -> str | None:
    """Return how much a refund would give, or why no refund is possible, as a sentence. Returns None once a refund
    cannot be requested any more.
    """
    booking = checkout.booking
    if (
        booking.free
        or not booking.status.is_live
        or checkout.stage in (CheckoutStage.LATE, CheckoutStage.FAILED, CheckoutStage.CLOSED)
    ):
        return None
    if checkout.stage is CheckoutStage.PAID and checkout.payment is not None and has_nothing_left(checkout.payment):
        return None
    denied = checkout.refunds_denied or (None if checkout.shares_ahead else QuoteReason.TOO_LATE)
    if denied is not None:
        return language.gettext(REFUND_RULES.get(denied.code) or sentence(denied.message))
    shares = [_share(share, until, booking, language) for share, until in checkout.shares_ahead]
    kept = checkout.price.payer is FeePayer.CUSTOMER and checkout.refund_policy.fee is FeeOnRefund.KEPT
    return " ".join([*shares, *([language.gettext("The processing fee is kept.")] if kept else [])])


def _share(share: Fraction, until: datetime, booking: Booking, language: Language) -> str:
    """Return which share of the charge is refunded until when."""
    gettext, time, part = language.gettext, language.moment(until), language.percent(float(share))
    if until == booking.event_starts_at and share == 1:
        return gettext("Everything until the event starts.")
    if until == booking.event_starts_at:
        return gettext("%(share)s until the event starts.", share=part)
    if share == 1:
        return gettext("Everything until %(time)s.", time=time)
    return gettext("%(share)s until %(time)s.", share=part, time=time)


def _choices(
    checkout_request: CheckoutRequest, stage: CheckoutStage, chosen: str | None, language: Language
) -> list[tuple[str, str]]:
    """Return the other gateways that the customer may choose, with their titles; empty when there is no choice."""
    if stage not in (CheckoutStage.PAY, CheckoutStage.AUTHENTICATE) or len(checkout_request.choices) < 2:
        return []
    titles = checkout_request.services.gateway_titles
    others = [name for name in checkout_request.choices if name != chosen]
    return [(name, language.gettext(titles.get(name) or words(name))) for name in others]


def _alert(checkout: Checkout, problem: ProblemDetails | None, language: Language) -> str | None:
    if problem is not None:
        return problem_text(problem, language)
    decline = _shown_decline(checkout)
    return decline_text(decline, language) if decline else None


def _advice(checkout: Checkout, problem: ProblemDetails | None, language: Language) -> str | None:
    """Return what the customer may do after a decline, while an attempt is left."""
    decline = _shown_decline(checkout) if problem is None and checkout.stage is CheckoutStage.PAY else None
    return advice_text(decline, language) if decline else None


def _shown_decline(checkout: Checkout) -> Decline | None:
    return checkout.decline if checkout.stage in (CheckoutStage.PAY, CheckoutStage.FAILED) else None


@get(f"{PATH}/status", **BROWSER, **JSON_PROBLEMS)
async def status(checkout_request: GivenCheckout) -> PageResponse:
    """Return whether the page would show something else by now. The page's script polls this route."""
    checkout = await checkout_request.checkout()
    return as_json({"stage": checkout.stage.value, "version": checkout.version})


@post(f"{PATH}/pay", **BROWSER)
async def pay(
    request: AnyRequest, services: GivenServices, checkout_request: GivenCheckout, form: GivenForm
) -> PageResponse:
    """Start a payment by the gateway whose form was sent, with the payment method in it."""
    checkout = await checkout_request.checkout()
    gateway, method = form.get("gateway"), form.safe("payment_method")
    gateway_form = checkout_request.form_of(gateway)
    if method not in gateway_form.methods:
        raise InvalidInput(CHOOSE_FIRST)
    return_url = _return_url(request, checkout_request) if gateway_form.redirects else None
    shown = _price_on_page(checkout, form)

    async def work(caller: Caller) -> OperationResult:
        view = await services.payments.start_payment(
            checkout_request.booking_id,
            caller,
            payment_method_id=method,
            confirm_immediately=True,
            return_url=return_url,
            gateway=checkout_request.named(gateway),
            expected_price=shown,
        )
        return _done(
            checkout_request,
            render.payment(view, _reader(checkout_request), services.clock.now()),
            view.payment.booking_reference,
        )

    action = FormAction(
        operation="start_payment",
        booking_id=checkout_request.booking_id,
        caller=checkout_request.caller,
        given=GatewayFormFields(gateway=gateway, payment_method=method),
    )
    problem = problem_in(await run_form_action(request, services, checkout_request.session, form, action, work))
    return await _afterwards(checkout_request, problem)


def _price_on_page(checkout: Checkout, form: Form) -> Money:
    """Return the price that the page showed, which may have been amended since.

    Raises ``InvalidInput`` when the form has none: nothing is charged that the customer has not seen.
    """
    if not form.get("price"):
        raise InvalidInput("this form has no price; load the page again")
    return Money.parse(form.get("price"), checkout.price.gross.currency)


def _return_url(request: AnyRequest, checkout_request: CheckoutRequest) -> str | None:
    """Return the address of this page, to which a gateway sends the customer back; None when it is not known.

    It contains no token, since the cookie identifies the customer.
    """
    origin = public_origin(request)
    return f"{origin}{checkout_request.session.path}" if origin else None


@post(f"{PATH}/bank", **BROWSER)
async def bank(
    request: AnyRequest, services: GivenServices, checkout_request: GivenCheckout, form: GivenForm
) -> PageResponse:
    """Record how the customer leaves the simulated 3-D Secure window."""
    checkout = await checkout_request.checkout()
    view = checkout.view
    if services.sandbox is None or view is None:
        raise NotFound()
    if checkout.stage is CheckoutStage.AUTHENTICATE and view.client_action is not None:
        await count_gateway_call(request, services, checkout_request.session)
        outcome = "succeeded" if form.get("outcome") == "succeeded" else "failed"
        services.sandbox.authenticate(view.payment.intent_id or "", view.client_action.client_secret or "", outcome)
        await services.payments.poll_payment(checkout_request.booking_id, checkout_request.caller, anew=True)
    raise SeeOther(checkout_request.session.path)


async def _afterwards(checkout_request: CheckoutRequest, problem: ProblemDetails | None) -> PageResponse:
    """Redirect to the page, which shows the outcome. A problem that it cannot show by itself is rendered with it."""
    if problem is None or problem.outcome_unknown:
        raise SeeOther(checkout_request.session.path)
    checkout = await checkout_request.checkout()
    if _shown_decline(checkout) is not None or checkout.stage is not CheckoutStage.PAY:
        raise SeeOther(checkout_request.session.path)
    return _render_page(checkout_request, checkout, problem)


def _reader(checkout_request: CheckoutRequest) -> render.Reader:
    return render.Reader(subject=checkout_request.session.principal.subject, operator=False)


def _done(checkout_request: CheckoutRequest, content: PaymentAnswer, reference: str) -> OperationResult:
    return OperationResult(content=content, reference=reference, intent_id=content.payment_intent_id)


# --- for the scripts of gateways


@post(f"{PATH}/intent", **BROWSER, **JSON_PROBLEMS)
async def intent(
    request: AnyRequest, services: GivenServices, checkout_request: GivenCheckout, form: GivenForm
) -> PageResponse:
    """Return the client secret with which a gateway's script goes on. Starts the payment when there is none.

    Payment methods that redirect return to this page.
    """
    checkout = await checkout_request.checkout()
    gateway = form.get("gateway")
    checkout_request.form_of(gateway)
    return_url = _return_url(request, checkout_request)
    shown = _price_on_page(checkout, form)

    async def work(caller: Caller) -> OperationResult:
        view = await services.payments.start_payment(
            checkout_request.booking_id,
            caller,
            return_url=return_url,
            gateway=checkout_request.named(gateway),
            expected_price=shown,
        )
        return _done(
            checkout_request,
            render.payment(view, _reader(checkout_request), services.clock.now()),
            view.payment.booking_reference,
        )

    action = FormAction(
        operation="start_payment",
        booking_id=checkout_request.booking_id,
        caller=checkout_request.caller,
        given=GatewayFormFields(gateway=gateway),
    )
    response = await run_form_action(request, services, checkout_request.session, form, action, work)
    problem = problem_in(response)
    if problem is not None:
        checkout = await checkout_request.checkout()
        operation = checkout.payment.operation if checkout.payment else None
        prepares = operation is not None and operation.only_prepares
        not_charged = problem.outcome_unknown and (prepares or checkout.stage is CheckoutStage.PAY)
        # The answer is told in the customer's language: see ``json_problem``.
        raise RequestRefused(problem.status, problem.code, NOT_STARTED if not_charged else problem.detail)
    secret = msgspec.json.decode(response.body, type=PaymentAnswer).client_secret
    return as_json({"client_secret": secret})


@post(f"{PATH}/look", **BROWSER, **JSON_PROBLEMS)
async def look(
    request: AnyRequest, services: GivenServices, checkout_request: GivenCheckout, form: GivenForm
) -> PageResponse:
    """Read the payment from its gateway at once: the customer has just acted there."""
    await count_gateway_call(request, services, checkout_request.session)
    await services.payments.poll_payment(checkout_request.booking_id, checkout_request.caller)
    checkout = await checkout_request.checkout()
    return as_json({"stage": checkout.stage.value, "version": checkout.version})


PAGES: Final = (show, status, pay, bank, intent, look)
DEPENDENCIES: Final = {"checkout_request": Provide(provide_checkout_request), "form": Provide(provide_form)}
