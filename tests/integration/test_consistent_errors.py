"""Errors are consistent: class, text, ``retryable`` and ``outcome_unknown`` agree with the stored state.

Every failure of a refund and of a payment is provoked over HTTP, in the library and on the pages, each in a new
installation. The error must be the same everywhere, and true:

* after an error without ``outcome_unknown`` no money has moved, is on its way, or is promised;
* after ``outcome_unknown`` an operation is stored as unknown, or is settled;
* a client that repeats the request after the obstacle is gone, as ``retryable`` or ``outcome_unknown`` suggest, moves
  the money exactly once.
"""

import html
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import httpx
import pytest
from attrs import define, frozen

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.domain import errors
from booking_payments.domain.errors import PaymentError, TryAgainLater
from booking_payments.domain.payment import Payment
from booking_payments.entrypoints.http.problems import STATUSES, problem_of
from booking_payments.entrypoints.pages.customer_texts import problem_text
from booking_payments.entrypoints.pages.language import ENGLISH
from booking_payments.entrypoints.pages.page import OTHERS, TITLES, sentence, title_of
from booking_payments.ports.gateway import GatewayRefused, Misconfigured
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.integration.http.api import bearer, open_api, token
from tests.integration.pages.site import Installation, Site, open_site, without_pages
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

OLGA = bearer("olga", "payments:operate")


class FailingStorage(MemoryStorage):
    """A database that fails the ``at``-th transaction about a booking after it was armed; with ``kept`` the transaction
    is committed and only its confirmation is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.at = 1
        self.kept = False

    def arm(self, error: Exception, at: int, *, kept: bool = False) -> None:
        self.error, self.at, self.kept = error, at, kept

    async def transact(self, work: Any, about: Any = None) -> Any:
        if self.error is None or about is None or about.booking_id is None:
            return await super().transact(work, about)
        self.at -= 1
        if self.at:
            return await super().transact(work, about)
        error, self.error = self.error, None
        if self.kept:
            await super().transact(work, about)
        raise error


@define
class Scene:
    """An installation in which something is about to go wrong, and the booking that it goes wrong with."""

    kit: PaymentsTestKit
    booking_id: str
    amount: str = "25.00"

    @property
    def storage(self) -> FailingStorage:
        assert isinstance(self.kit.storage, FailingStorage)
        return self.kit.storage


Prepare = Callable[[Scene, Installation], None]
"""Makes something go wrong with the next request."""


@frozen(kw_only=True)
class ExpectedError:
    """The error as a client sees it."""

    code: str
    text: str
    retryable: bool
    unknown: bool


# --- refunds: what can go wrong --------------------------------------------------------------------------------


def _nothing(scene: Scene, site: Installation) -> None:
    """Nothing goes wrong but what the request itself asks for."""


def asking(amount: str) -> Prepare:
    def prepare(scene: Scene, site: Installation) -> None:
        scene.amount = amount

    return prepare


def started(scene: Scene, site: Installation) -> None:
    scene.kit.clock.advance(timedelta(days=31))


def disputed(scene: Scene, site: Installation) -> None:
    payment = site.payment_of(scene.booking_id)
    assert scene.kit.stripe.open_dispute(payment.intent_id or "").ok
    site.run(scene.kit.deliver_webhooks)


def gateway(fault: str) -> Prepare:
    def prepare(scene: Scene, site: Installation) -> None:
        for path in ("refunds", "payment_intents"):
            scene.kit.stripe.faults.script(f"POST /v1/{path}", fault, times=20)

    return prepare


def refusing(error: Exception) -> Prepare:
    def prepare(scene: Scene, site: Installation) -> None:
        use_gateway(scene.kit, FailingGateway(scene.kit, create_refund=[error], create_intent=[error]))

    return prepare


def database(error: Exception, at: int, *, kept: bool = False) -> Prepare:
    def prepare(scene: Scene, site: Installation) -> None:
        scene.storage.arm(error, at, kept=kept)

    return prepare


SILENCES = ("timeout_before", "timeout_after", "reset_before", "reset_after", "500_after")
BOTH: dict[str, tuple[Prepare, type[Exception]]] = {
    **{f"the gateway is silent: {fault}": (gateway(fault), errors.OutcomeUnknown) for fault in SILENCES},
    "the gateway takes no more requests": (gateway("429_limit"), errors.TryAgainLater),
    "our key is wrong": (refusing(Misconfigured("a wrong key", code="http_401")), errors.GatewayRefusedUs),
    "the database is busy": (database(StorageConflict(), 1), StorageConflict),
    "the database is away": (database(StorageDown(), 1), StorageDown),
    "the first commit is lost and was not made": (database(CommitLost(), 1), CommitLost),
    "the first commit is lost and was made": (database(CommitLost(), 1, kept=True), CommitLost),
    "the database is busy after the call": (database(StorageConflict(), 2), errors.OutcomeUnknown),
    "the database is away after the call": (database(StorageDown(), 2), errors.OutcomeUnknown),
    "the second commit is lost and was not made": (database(CommitLost(), 2), errors.OutcomeUnknown),
}
WRITTEN_ALL_THE_SAME = database(CommitLost(), 2, kept=True)
REFUNDS: dict[str, tuple[Prepare, type[Exception]]] = {
    **BOTH,
    "an amount of nothing": (asking("0"), errors.InvalidAmount),
    "an amount that is none": (asking("1.001"), errors.InvalidAmount),
    "more than there is": (asking("100.01"), errors.RefusedByRule),
    "after the event's start": (started, errors.RefusedByRule),
    "a dispute over all of it": (disputed, errors.NotPossibleNow),
    "the balance is too low": (
        refusing(GatewayRefused("too low", code="balance_insufficient")),
        errors.GatewayRefusedUs,
    ),
}
DECLINES = {
    "the card is declined": "pm_card_chargeDeclined",
    "too little on the card": "pm_card_chargeDeclinedInsufficientFunds",
}


def opened() -> PaymentsTestKit:
    return PaymentsTestKit(storage=FailingStorage())


def scene_of(site: Installation, *, paid: bool) -> Scene:
    return Scene(kit=site.kit, booking_id=site.paid() if paid else site.book())


def gone_back(payment: Payment) -> str:
    return (payment.refunded + payment.refund_pending).major()


def error_in(answer: httpx.Response) -> ExpectedError:
    """What HTTP tells."""
    problem = answer.json()
    waits = answer.status_code == 503 or problem["code"] == "operation_in_flight"
    assert ("retry-after" in answer.headers) == waits
    retryable, unknown = problem.get("retryable", False), problem.get("outcome_unknown", False)
    return ExpectedError(code=problem["code"], text=problem["detail"], retryable=retryable, unknown=unknown)


def library_refund(scene: Scene, site: Installation) -> Exception | None:
    try:
        site.run(scene.kit.payments.refund_payment, scene.booking_id, OPERATOR, amount=scene.amount)
    except (PaymentError, StorageConflict, CommitLost) as error:
        return error
    return None


def console_refund(scene: Scene, site: Site, hidden: dict[str, str] | None = None) -> Any:
    action = f"/console/payments/{site.payment_of(scene.booking_id).id}/refund"
    given = {"reason": "requested_by_customer", "note": "", "amount": scene.amount}
    return site.post(action, {**(hidden or fields_of(site, action)), **given})


def fields_of(site: Site, action: str, at: str | None = None) -> dict[str, str]:
    """Return the hidden fields of the form for ``action``, on its own page or the one ``at`` that address."""
    site.get(at or action)
    return {name: value for name, value in site.hidden(action).items() if name != "amount"}


def told_of(error: Exception) -> ExpectedError:
    """What the library tells: by its class and attributes, as an embedding service reads them."""
    problem = problem_of(error)
    later = isinstance(error, TryAgainLater | errors.AlreadyUnderWay | StorageConflict | CommitLost)
    unknown = isinstance(error, CommitLost) or bool(getattr(error, "outcome_unknown", False))
    return ExpectedError(code=problem.code, text=problem.detail, retryable=later, unknown=unknown)


def restored(scene: Scene, site: Installation) -> None:
    """Remove the obstacle, and let time pass until all operations have ended."""
    scene.storage.error = None
    scene.kit.stripe.faults.clear()
    site.run(scene.kit.settle)


@pytest.mark.parametrize("story", REFUNDS)
def test_a_failing_refund_has_the_same_true_error_over_http_and_in_the_library(story: str) -> None:
    prepare, kind = REFUNDS[story]
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=True)
        prepare(scene, site)
        error = library_refund(scene, site)
        in_library = site.payment_of(scene.booking_id)
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=True)
        prepare(scene, site)
        # ``use_gateway`` makes new use cases, which the application has to serve.
        with open_api(kit=scene.kit) as api:
            path = f"/api/bookings/{scene.booking_id}/payment/refund/"
            told = error_in(api.post(path, OLGA, json={"amount": scene.amount}))
        over_the_wire = site.payment_of(scene.booking_id)

    assert type(error) is kind, error
    assert told == told_of(error)
    for payment in (in_library, over_the_wire):
        if not told.unknown:
            assert (gone_back(payment), payment.owed.amount.major()) == ("0.00", "0.00")
            assert payment.operation is None


@pytest.mark.parametrize("story", REFUNDS)
def test_a_refund_that_is_asked_for_again_as_its_error_suggests_moves_the_money_once(story: str) -> None:
    prepare, _ = REFUNDS[story]
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=True)
        prepare(scene, site)
        error = library_refund(scene, site)
        assert error is not None
        told = told_of(error)
        restored(scene, site)
        second = library_refund(scene, site) if told.retryable or told.unknown else None
        restored(scene, site)
        payment = site.payment_of(scene.booking_id)

    assert second is None
    expected = "25.00" if told.retryable or told.unknown else "0.00"
    assert (payment.refunded.major(), payment.refund_pending.major()) == (expected, "0.00")
    assert payment.owed.amount.major() == "0.00"


def test_a_refund_that_was_written_down_is_answered_with_though_its_commit_seemed_lost() -> None:
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=True)
        WRITTEN_ALL_THE_SAME(scene, site)
        with open_api(kit=scene.kit) as api:
            path = f"/api/bookings/{scene.booking_id}/payment/refund/"
            first, second = (api.post(path, OLGA, json={"amount": "25.00"}) for _ in range(2))

    assert (first.status_code, first.json()["refunded_amount"]) == (200, "25.00")
    assert (second.json()["refunded_amount"], "idempotent-replayed" in second.headers) == ("50.00", False)


@pytest.mark.parametrize("story", REFUNDS)
def test_the_console_shows_the_librarys_error_of_a_failing_refund(story: str) -> None:
    prepare, _ = REFUNDS[story]
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=True)
        prepare(scene, site)
        error = library_refund(scene, site)
        assert error is not None
    with open_site(opened()) as first:
        scene = scene_of(first, paid=True)
        action = f"/console/payments/{first.payment_of(scene.booking_id).id}/refund"
        first.log_in()
        hidden, before = fields_of(first, action), scene.kit.clock.now()
        prepare(scene, first)
        if scene.kit.clock.now() > before:  # the session has ended meanwhile
            first.log_in()
            hidden["form_token"] = fields_of(first, "/console/logout", at="/console/sessions")["form_token"]
        cookies = dict(first.client.cookies)
        with serving(scene, first) as site:
            site.client.cookies.update(cookies)
            answer = console_refund(scene, site, hidden)
            landed = site.get(answer.headers["location"]).text if answer.status_code == 303 else answer.text
            payment = site.payment_of(scene.booking_id)

    told = told_of(error)
    if told.unknown:
        assert answer.headers["location"].endswith("?done=unknown")
        assert "It is not known yet whether the refund was made" in landed
    else:
        assert answer.status_code == problem_of(error).status
        assert shown(told.text) in landed
        assert "not known" not in landed
        assert (gone_back(payment), payment.owed.amount.major(), payment.operation) == ("0.00", "0.00", None)


def serving(scene: Scene, first: Site) -> AbstractContextManager[Site]:
    """Return the pages of the scene: those of ``first``, or new ones when ``use_gateway`` has made new use cases."""
    return nullcontext(first) if scene.kit.payments is first.served else open_site(scene.kit)


def shown(text: str) -> str:
    """An error text in the form in which pages show it."""
    return html.escape(sentence(text)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


NO_TEXT = (
    errors.TryAgainLater,
    errors.OutcomeUnknown,
    errors.GatewayRefusedUs,
    errors.AlreadyUnderWay,
    errors.NotFound,
    errors.RefundRefused,
    StorageConflict,
    StorageDown,
    CommitLost,
)
"""Errors with a text of their own."""


# --- payments --------------------------------------------------------------------------------------------------


def library_pay(scene: Scene, site: Installation, method: str) -> Exception | None:
    try:
        site.run(
            scene.kit.payments.start_payment,
            scene.booking_id,
            ANN,
            payment_method_id=method,
            confirm_immediately=True,
        )
    except (PaymentError, StorageConflict, CommitLost) as error:
        return error
    return None


PAYMENTS: dict[str, tuple[Prepare, type[Exception], str]] = {
    **{name: (prepare, kind, "pm_card_visa") for name, (prepare, kind) in BOTH.items()},
    "the second commit is lost and was made": (WRITTEN_ALL_THE_SAME, errors.OutcomeUnknown, "pm_card_visa"),
    **{name: (_nothing, errors.CardDeclined, method) for name, method in DECLINES.items()},
}


def payments_of(site: Installation, booking_id: str) -> list[Payment]:
    async def read(uow: Any) -> Any:
        return await uow.payments.of_booking(booking_id)

    return list(site.run(site.kit.storage.read, read))


def charged(scene: Scene, site: Installation) -> int:
    """How many charges succeeded at the gateway, over all payments of the booking."""
    found = payments_of(site, scene.booking_id)
    return sum(scene.kit.stripe.successful_charges(each.intent_id) for each in found if each.intent_id)


@pytest.mark.parametrize("story", PAYMENTS)
def test_a_failing_payment_has_the_same_error_over_http_and_in_the_library_and_is_charged_once(story: str) -> None:
    prepare, kind, method = PAYMENTS[story]
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=False)
        prepare(scene, site)
        error = library_pay(scene, site, method)
        told = told_of(error) if error else None
        assert type(error) is kind, error
        if told and not told.unknown:
            assert charged(scene, site) == 0
            assert all(each.operation is None for each in payments_of(site, scene.booking_id))
        restored(scene, site)
        library_pay(scene, site, "pm_card_visa")
        restored(scene, site)
        made = charged(scene, site)
    with without_pages(opened()) as site:
        scene = scene_of(site, paid=False)
        prepare(scene, site)
        with open_api(kit=scene.kit) as api:
            answer = api.pay(scene.booking_id, method)

    assert made == 1
    problem = answer.json()
    assert told is not None
    assert (problem["code"], problem["detail"]) == (told.code, told.text)
    assert problem.get("outcome_unknown", False) == told.unknown
    assert problem.get("retryable", False) == told.retryable or kind is errors.CardDeclined


@pytest.mark.parametrize("story", PAYMENTS)
def test_the_checkout_shows_the_http_error_of_a_failing_payment(story: str) -> None:
    prepare, kind, method = PAYMENTS[story]
    with open_site(opened()) as first:
        scene = scene_of(first, paid=False)
        action = f"/checkout/{scene.booking_id}/pay"
        first.get(f"/checkout/{scene.booking_id}?token={token('ann')}")
        hidden, cookies = first.hidden(action), dict(first.client.cookies)
        prepare(scene, first)
        with serving(scene, first) as site:
            site.client.cookies.update(cookies)
            answer = site.post(action, {**hidden, "payment_method": method})
            landed = site.get(f"/checkout/{scene.booking_id}").text if answer.status_code == 303 else answer.text

    told = problem_of(kind()) if kind in NO_TEXT else None
    if kind is errors.CardDeclined:
        assert "You have not been charged" in landed
    elif told is not None and told.outcome_unknown:
        assert answer.status_code == 303
        assert "try again in a moment" not in landed.lower()
        assert "You have not been charged" not in landed
    else:
        assert told is not None
        assert answer.status_code == told.status
        assert shown(problem_text(told, ENGLISH)) in landed


# --- every class there is --------------------------------------------------------------------------------------


def all_kinds(root: type[Exception] = PaymentError) -> list[type[Exception]]:
    return [root, *(found for child in root.__subclasses__() for found in all_kinds(child))]


OURS = [kind for kind in all_kinds() if kind.__module__ == errors.__name__]
EVERY = list(dict.fromkeys([*STATUSES, *OURS, StorageConflict, StorageDown, CommitLost]))


def example(kind: type[Exception]) -> Exception:
    from booking_payments.domain.declines import Decline

    if kind in NO_TEXT:
        return kind()
    if kind is errors.CardDeclined:
        return kind(Decline(code="card_declined", message="No."))
    if kind is WebhookRefused:
        return WebhookRefused("a text of its own", code="bad_signature")
    return kind("a", "b") if kind in (errors.CurrencyMismatch, errors.IllegalTransition) else kind("a text of its own")


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_class_of_error_has_one_consistent_code_text_and_title(kind: type[Exception]) -> None:
    error = example(kind)

    problem = problem_of(error)

    told = told_of(error)
    assert (problem.outcome_unknown or False) == told.unknown
    assert problem.status < 500 or problem.code in TITLES, "a page has no title for it"
    assert title_of(problem) in {*TITLES.values(), *OTHERS.values()}
    if problem.retryable and not isinstance(error, errors.CardDeclined):
        assert told.retryable
    if told.unknown:
        assert "try again" not in problem.detail
        assert "nothing" not in problem.detail
    if problem.code != "internal_error" and isinstance(error, PaymentError) and kind is not errors.CardDeclined:
        assert problem.detail == error.message


def test_no_two_stories_of_one_status_share_a_title() -> None:
    assert len(set(TITLES.values())) == len(TITLES)
    assert TITLES["busy"] != TITLES["storage_unavailable"] != TITLES["gateway_unavailable"]
    assert [title for code, title in TITLES.items() if re.search("provider", title) and "storage" in code] == []
