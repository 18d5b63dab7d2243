"""Refunds, debts and disputes in the console: their pages, and the commands of an operator."""

import re
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site


def page_of(console: Site, booking_id: str) -> str:
    return f"/console/payments/{console.payment_of(booking_id).id}"


def text_of(html: str) -> str:
    """Return the visible text, with single blanks."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(wbr|/?bdi)>", "", html)).split())


def seen(console: Site, booking_id: str) -> str:
    return text_of(console.get(page_of(console, booking_id)).text)


def disputed(console: Site, **opening: Any) -> str:
    """Register a paid booking with a dispute that is stored."""
    booking_id = console.paid()
    assert console.kit.stripe.open_dispute(console.payment_of(booking_id).intent_id, **opening).ok
    console.run(console.kit.deliver_webhooks)
    return booking_id


def cancel(console: Site, booking_id: str, refund: RefundOnCancel = RefundOnCancel.FULL) -> None:
    console.run(console.kit.payments.cancel_booking, booking_id, refund=refund)


def send_refund(console: Site, payment_id: str, query: str, **fields: str) -> Any:
    """Request a quote and then the refund, as the two pages do."""
    action = f"/console/payments/{payment_id}/refund"
    console.get(f"{action}?{query}")
    given = {"reason": "requested_by_customer", "note": "", **fields}
    return console.post(action, {**console.hidden(action), **given})


# --- what is shown


@pytest.mark.parametrize("kind", [PaymentStatus, RefundStatus, DisputeStatus])
def test_every_status_has_a_style(kind: Any) -> None:
    assert {each.value for each in kind} <= STATUS_STYLE.keys()


@pytest.mark.parametrize("status", [each.value for each in DisputeStatus if each is not DisputeStatus.UNKNOWN])
def test_a_dispute_of_any_status_is_shown_on_every_page(console: Site, status: str) -> None:
    booking_id = disputed(console, status=status)

    pages = [console.get(path) for path in (page_of(console, booking_id), "/console/payments", "/console/disputes")]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert all(status.replace("_", " ").capitalize() in page.text for page in (pages[0], pages[2]))


def test_each_dispute_is_shown_with_its_withdrawn_amount_and_its_deadline(console: Site) -> None:
    booking_id = disputed(console, amount=3000)
    intent_id = console.payment_of(booking_id).intent_id
    assert console.kit.stripe.open_dispute(intent_id, inquiry=True, amount=2000).ok
    console.run(console.kit.deliver_webhooks)

    page = seen(console, booking_id)

    assert "30.00 USD disputed, 30.00 USD withdrawn evidence due" in page
    assert "Inquiry 20.00 USD disputed, 0.00 USD withdrawn evidence due" in page
    assert "Withdrawn by disputes 30.00 USD" in page


def test_an_owed_amount_that_waits_is_shown_with_its_deferred_refunds(console: Site) -> None:
    booking_id = disputed(console, amount=3000)
    cancel(console, booking_id)

    page = seen(console, booking_id)

    assert "100.00 USD is owed to the customer. It is refunded automatically" in page
    assert "Of this waiting 100.00 USD" in page
    assert "Promised, not sent yet" in page


def test_a_failed_refund_is_shown_as_something_to_act_on(console: Site) -> None:
    booking_id = console.paid()
    console.run(console.kit.payments.refund_payment, booking_id, amount="40.00")
    console.kit.stripe.fail_refund(console.payment_of(booking_id).refunds[0].gateway_refund_id)
    console.run(console.kit.deliver_webhooks)

    page = seen(console, booking_id)

    assert "40.00 USD is owed to the customer. It was promised and did not go back: refund it, or settle" in page
    assert "Of this waiting 0.00 USD" in page


def test_without_an_owed_amount_none_is_mentioned(console: Site) -> None:
    page = seen(console, console.paid())

    assert "owed" not in page.lower()
    assert "Settle" not in page


# --- overriding the rules


def started(console: Site) -> str:
    """A paid booking whose event has started."""
    booking_id = console.paid(starts_in=timedelta(hours=1))
    console.kit.clock.advance(timedelta(hours=2))
    return booking_id


def test_a_quote_with_override_names_the_rules_and_moves_no_money(console: Site) -> None:
    booking_id = started(console)

    page = text_of(console.get(f"{page_of(console, booking_id)}/refund?amount=25.00&override=true").text)

    assert "Rules passed over Event started" in page
    assert console.payment_of(booking_id).refunds == ()


def test_an_operator_can_override_the_rules_with_a_note(console: Site) -> None:
    booking_id = started(console)
    payment_id = console.payment_of(booking_id).id

    answer = send_refund(console, payment_id, "amount=25.00&override=true", note="the band was ill")

    assert answer.headers["location"].endswith("?done=refund")
    [refund] = console.payment_of(booking_id).refunds
    assert (refund.amount.major(), refund.note) == ("25.00", "the band was ill")


def test_an_override_without_a_note_moves_no_money(console: Site) -> None:
    booking_id = started(console)

    answer = send_refund(console, console.payment_of(booking_id).id, "amount=25.00&override=true", note=" ")

    assert answer.status_code == 422
    assert "An override needs a note" in answer.text
    assert console.payment_of(booking_id).refunds == ()


def test_without_override_the_customers_rules_apply_to_an_operator(console: Site) -> None:
    booking_id = started(console)
    action = f"{page_of(console, booking_id)}/refund"

    page = console.get(f"{action}?amount=25.00").text

    assert "The event has started" in page
    assert f'<form method="post" action="{action}"' not in page


def test_a_partial_refund_during_an_inquiry_is_shown_as_deferred(console: Site) -> None:
    booking_id = disputed(console, inquiry=True)
    payment_id = console.payment_of(booking_id).id
    quoted = text_of(console.get(f"/console/payments/{payment_id}/refund?amount=25.00").text)

    answer = send_refund(console, payment_id, "amount=25.00")

    assert "Waits before it is sent Inquiry" in quoted
    assert answer.headers["location"].endswith("?done=deferred")
    assert "It is sent automatically" in text_of(console.get(answer.headers["location"]).text)


# --- older payments


def test_a_late_payment_whose_refund_failed_can_be_refunded_on_its_page(console: Site) -> None:
    kit = console.kit
    booking_id = console.paid("pm_usBankAccount_success")
    cancel(console, booking_id)
    console.run(kit.settle)
    kit.stripe.fail_refund(console.payment_of(booking_id).refunds[0].gateway_refund_id)
    console.run(kit.settle)
    kit.clock.advance(timedelta(days=31))
    payment_id = console.payment_of(booking_id).id

    answer = send_refund(console, payment_id, "")

    console.run(kit.settle)

    assert answer.headers["location"] == f"/console/payments/{payment_id}?done=refund"
    assert console.payment_of(booking_id).refunded.major() == "100.00"


def test_an_older_payment_of_a_booking_is_addressed_by_its_id(console: Site) -> None:
    booking_id = console.paid("pm_card_authenticationRequired")
    older = console.payment_of(booking_id).id
    console.run(console.kit.payments.cancel_payment, booking_id)
    console.run(console.kit.payments.process_booking_payment, booking_id, "pm_card_visa")

    page = text_of(console.get(f"/console/payments/{older}").text)
    quoted = text_of(console.get(f"/console/payments/{older}/refund?amount=25.00").text)

    assert "This payment is an older one of its booking" in page
    assert "Only a payment that succeeded can be refunded" in quoted
    assert console.payment_of(booking_id).id != older


# --- settling


def test_an_owed_amount_is_settled_after_a_preview_and_with_a_note(console: Site) -> None:
    booking_id = disputed(console, amount=3000)
    cancel(console, booking_id)
    action = f"{page_of(console, booking_id)}/settle"
    looked = text_of(console.get(f"{action}?amount=20.00").text)
    fields = {**console.hidden(action), "how": "paid_elsewhere", "note": "in cash"}

    answer = console.post(action, fields)

    assert "Taken off 20.00 USD Owed afterwards 80.00 USD" in looked
    assert answer.headers["location"].endswith("?done=settled")
    assert console.payment_of(booking_id).owed.amount.major() == "80.00"
    journal = console.run(console.kit.payments.journal, booking_id)
    assert [each.event.note for each in journal if type(each.event).__name__ == "DebtSettled"] == ["in cash"]


def test_a_double_click_settles_once(console: Site) -> None:
    booking_id = disputed(console, amount=3000)
    cancel(console, booking_id)
    action = f"{page_of(console, booking_id)}/settle"
    console.get(f"{action}?amount=20.00")
    fields = {**console.hidden(action), "how": "waived", "note": "by mail"}

    answers = [console.post(action, fields) for _ in range(2)]

    assert [each.status_code for each in answers] == [303, 303]
    assert console.payment_of(booking_id).owed.amount.major() == "80.00"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"note": " "}, 422),
        ({"how": "stolen"}, 400),
        ({"amount": "100.01"}, 422),
        ({"amount": "0"}, 400),
        ({"amount": ""}, 400),
        ({"note": "x" * 501}, 400),
    ],
)
def test_an_invalid_settlement_records_nothing(console: Site, fields: dict[str, str], status: int) -> None:
    booking_id = disputed(console, amount=3000)
    cancel(console, booking_id)
    action = f"{page_of(console, booking_id)}/settle"
    console.get(action)
    good = {**console.hidden(action), "how": "waived", "note": "by mail"}

    answer = console.post(action, {**good, **fields})

    assert (answer.status_code, 'role="alert"' in answer.text) == (status, True)
    assert console.payment_of(booking_id).owed.amount.major() == "100.00"


@pytest.mark.parametrize("amount", ["100.01", "0", "-1", "ten"])
def test_the_preview_of_an_impossible_settlement_shows_the_reason(console: Site, amount: str) -> None:
    booking_id = disputed(console, amount=3000)
    cancel(console, booking_id)
    action = f"{page_of(console, booking_id)}/settle"

    page = console.get(f"{action}?amount={amount}").text

    assert 'role="alert"' in page
    assert f'<form method="post" action="{action}"' not in page


# --- errors by their code


def failing(console: Site, error: Exception) -> str:
    """A paid booking; from now on the database refuses every refund."""
    booking_id = console.paid()

    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    console.kit.payments.refund_payment_by_id = fail  # type: ignore[method-assign]
    return booking_id


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageConflict(), "Too many requests change the same data at once"),
        (StorageDown(), "The database can&#39;t be reached, and nothing was changed"),
    ],
)
def test_when_the_database_is_busy_the_page_does_not_claim_a_reserved_refund(
    console: Site, error: Exception, told: str
) -> None:
    booking_id = failing(console, error)

    answer = send_refund(console, console.payment_of(booking_id).id, "amount=25.00")

    assert (answer.status_code, told in answer.text) == (503, True)
    assert "reserved" not in answer.text
    assert console.payment_of(booking_id).refunds == ()


def test_an_unreachable_gateway_is_shown_and_the_refund_fails(console: Site) -> None:
    booking_id = console.paid()
    console.kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=20)

    answer = send_refund(console, console.payment_of(booking_id).id, "amount=25.00")

    assert (answer.status_code, "The payment provider cannot be reached; try again" in answer.text) == (503, True)
    assert [each.status for each in console.payment_of(booking_id).refunds] == [RefundStatus.FAILED]
    assert console.payment_of(booking_id).owed.amount.major() == "0.00"


def test_an_unknown_outcome_redirects_to_the_payment_and_the_same_form_makes_no_second_refund(console: Site) -> None:
    booking_id = console.paid()
    payment_id = console.payment_of(booking_id).id
    console.kit.stripe.faults.script("POST /v1/refunds", "reset_after", times=20)
    first = send_refund(console, payment_id, "amount=25.00")
    console.kit.stripe.faults.clear()
    said = text_of(console.get(first.headers["location"]).text)
    console.run(console.kit.settle)

    second = send_refund(console, payment_id, "amount=25.00")

    assert first.headers["location"].endswith("?done=unknown")
    assert "It is not known yet whether the refund was made" in said
    assert second.headers["location"].endswith("?done=repeated")
    assert console.payment_of(booking_id).refunded.major() == "25.00"


def test_a_lost_commit_is_shown_as_an_unknown_outcome(console: Site) -> None:
    booking_id = failing(console, CommitLost())

    answer = send_refund(console, console.payment_of(booking_id).id, "amount=25.00")

    assert answer.headers["location"].endswith("?done=unknown")


class Busy(MemoryStorage):
    """A database that raises ``error`` from some point on."""

    error: Exception | None = None

    async def read(self, work: Any) -> Any:
        if self.error is not None:
            raise self.error
        return await super().read(work)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StorageConflict(), "This is not possible right now. Please try again in a moment."),
        (StorageDown(), "This is not possible right now. Please try again in a moment."),
        (CommitLost(), "We are checking the outcome of your payment. You will not be charged twice."),
    ],
)
def test_the_checkout_does_not_blame_the_payment_provider_for_a_database_error(error: Exception, text: str) -> None:
    storage = Busy()
    with open_site(PaymentsTestKit(storage=storage)) as site:
        booking_id = site.book()
        site.get(f"/checkout/{booking_id}?token={token('ann')}")
        storage.error = error
        answer = site.get(f"/checkout/{booking_id}")

    assert (answer.status_code, f"<p>{text}</p>" in answer.text) == (503, True)
    assert "payment provider" not in answer.text
