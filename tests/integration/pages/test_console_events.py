"""Canceling and moving events in the console: first the preview, then one job, its progress and its report."""

import re
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import NOW, OPERATOR
from tests.integration.pages.site import Site
from tests.integration.pages.test_console_bookings import act, booking_of
from tests.integration.pages.test_console_refunds import text_of

EVENT = "evening-1"
PATH = f"/console/events/{EVENT}"


def evening(console: Site) -> list[str]:
    """Ids of bookings of one event: paid in two currencies, and one that is not paid."""
    return [
        console.paid(reference="R-1", event_id=EVENT),
        console.paid(reference="R-2", event_id=EVENT, amount="4500", currency=Currency.JPY),
        console.book(reference="R-3", event_id=EVENT, amount="5.120", currency=Currency.KWD),
    ]


def work(console: Site) -> None:
    """What the background does next."""
    console.run(console.kit.payments.continue_event_jobs)


def statuses(console: Site, bookings: list[str]) -> set[BookingStatus]:
    return {booking_of(console, each).status for each in bookings}


def jobs(console: Site) -> Any:
    return console.run(console.kit.payments.event_report, EVENT).job


# --- what is shown


def test_future_events_are_listed_with_bookings_and_sums(console: Site) -> None:
    evening(console)
    console.book(reference="R-4", event_id="evening-0", starts_in=timedelta(days=2))

    page = text_of(console.get("/console/events").text)

    assert page.index("evening-0") < page.index("evening-1")
    assert "JPY: 1 confirmed KWD: 1 pending USD: 1 confirmed" in page
    assert "100.00 USD" in page
    assert "4,500 JPY" in page
    assert "5.120 KWD" in page


def test_more_events_than_one_page_are_listed_on_the_next(console: Site) -> None:
    for number in range(21):
        console.book(reference=f"R-{number}", event_id=f"evening-{number:02}", starts_in=timedelta(days=2 + number))

    first = console.get("/console/events").text
    later = re.findall(r'rel="next" href="([^"]+)"', first)[0].replace("&amp;", "&")
    second = console.get(later).text

    assert [">evening-20<" in first, ">evening-19<" in first] == [False, True]
    assert [">evening-20<" in second, ">evening-19<" in second] == [True, False]


def test_the_search_finds_a_past_event(console: Site) -> None:
    evening(console)
    console.kit.clock.advance(timedelta(days=40))
    console.log_in()

    assert "No event is to come." in console.get("/console/events").text
    assert console.get(f"/console/events?q={EVENT}").headers["location"] == PATH


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=nothing", 404),
        ("q=%3Cb%3E", 404),
        ("after=x&id=y", 400),
        ("after=2030-01-01&id=a", 400),
        ("id=%3Cb%3E", 400),
    ],
)
def test_a_search_without_a_result_says_so(console: Site, query: str, status: int) -> None:
    answer = console.get(f"/console/events?{query}")

    assert answer.status_code == status
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("page", ["", "/cancel", "/move", "/report.csv"])
def test_an_unknown_event_is_not_found(console: Site, page: str) -> None:
    assert console.get(f"/console/events/nothing{page}").status_code == 404


def test_every_link_on_the_page_of_an_event_has_a_target(console: Site) -> None:
    bookings = evening(console)
    pages = [PATH, f"{PATH}/cancel", f"{PATH}/move", f"/console/bookings/{bookings[0]}"]
    found = {link for page in pages for link in re.findall(r'href="(/console[^"]*)"', console.get(page).text)}

    assert {link for link in found if console.get(link).status_code != 200} == set()


# --- canceling


def test_the_preview_shows_the_effect_of_a_cancellation_and_changes_nothing(console: Site) -> None:
    bookings = evening(console)
    assert console.kit.stripe.open_dispute(console.payment_of(bookings[0]).intent_id).ok
    console.run(console.kit.deliver_webhooks)

    page = text_of(console.get(f"{PATH}/cancel").text)

    assert "Bookings 2 confirmed, 1 pending" in page
    assert "Goes back 4,500 JPY" in page
    assert "Goes back 100.00 USD" in page
    assert "Not paid 1" in page
    assert f"Disputed {bookings[0]}" in page
    assert statuses(console, bookings) == {BookingStatus.CONFIRMED, BookingStatus.PENDING}


def test_the_preview_follows_the_chosen_refund(console: Site) -> None:
    evening(console)

    page = text_of(console.get(f"{PATH}/cancel?refund=none").text)

    assert "Goes back 0.00 USD" in page
    assert console.hidden(f"{PATH}/cancel")["refund"] == "none"


def test_an_event_is_canceled_once_and_its_job_is_reported(console: Site) -> None:
    bookings = evening(console)
    console.get(f"{PATH}/cancel")
    fields = {**console.hidden(f"{PATH}/cancel"), "reason": "the hall is flooded"}

    answers = [console.post(f"{PATH}/cancel", fields) for _ in range(2)]
    running = console.get(f"{PATH}?done=canceled").text
    work(console)
    ended = console.get(PATH).text
    report = console.get(f"{PATH}/report.csv")

    assert {answer.headers["location"] for answer in answers} == {f"{PATH}?done=canceled"}
    assert report.content.startswith(b"\xef\xbb\xbf")
    assert 'http-equiv="refresh"' in running
    assert "0 of 3 bookings taken up." in text_of(running)
    assert 'http-equiv="refresh"' not in ended
    assert "3 of 3 bookings taken up." in text_of(ended)
    assert "the hall is flooded" in ended
    assert statuses(console, bookings) == {BookingStatus.CANCELED}
    assert console.payment_of(bookings[1]).given_back.amount.major() == "4500"
    assert report.headers["content-disposition"] == f'attachment; filename="{EVENT}.csv"'
    assert report.headers["content-type"].startswith("text/csv")
    assert len(report.text.splitlines()) == 4
    assert "R-2,canceled,done,,jpy,4500,0" in report.text
    trail = console.run(console.kit.payments.audit_trail)
    assert [each.actor for each in trail if each.operation == "cancel_event"] == ["operator:olga"]


def test_failed_bookings_are_listed_with_their_reason_and_retried(console: Site) -> None:
    booking_id = console.paid(event_id=EVENT)
    real, left = console.kit.deps.gateway.create_refund, [1]

    async def once(*given: Any) -> Any:
        if left and left.pop():
            raise GatewayRefused("the balance is too small", code="balance_insufficient")
        return await real(*given)

    console.kit.deps.gateway.create_refund = once  # type: ignore[method-assign, assignment]
    act(console, f"{PATH}/cancel")
    work(console)

    page = text_of(console.get(PATH).text)
    fields = console.hidden(f"{PATH}/cancel")
    again = console.post(f"{PATH}/cancel", fields)
    console.kit.clock.advance(timedelta(minutes=1))
    work(console)

    assert "100.00 USD is owed to customers of this event." in page
    assert "Failed 1 a person has to act" in page
    assert "R-1 100.00 USD Failed Balance insufficient" in page
    assert again.headers["location"] == f"{PATH}?done=canceled"
    assert console.payment_of(booking_id).given_back.amount.major() == "100.00"
    assert "is owed to customers" not in text_of(console.get(PATH).text)


def test_a_canceled_event_offers_no_second_cancellation_or_new_date(console: Site) -> None:
    evening(console)
    move = f"{PATH}/move?look=true&starts=2026-06-01T20:00"
    console.get(move)
    looked_at_before = console.hidden(f"{PATH}/move")
    act(console, f"{PATH}/cancel")

    page, preview = console.get(PATH).text, console.get(move).text
    answer = console.post(f"{PATH}/move", looked_at_before)

    assert "This event is canceled." in preview
    assert f'href="{PATH}/cancel"' not in page
    assert f'href="{PATH}/move"' not in page
    assert answer.status_code == 409
    assert "This event is canceled." in answer.text


@pytest.mark.parametrize("changes", [{"refund": "half"}, {"reason": "4242 4242 4242 4242"}, {"reason": "x" * 501}])
def test_a_form_with_invalid_input_cancels_no_event(console: Site, changes: dict[str, str]) -> None:
    bookings = evening(console)

    answer = act(console, f"{PATH}/cancel", **changes)

    assert answer.status_code == 400
    assert jobs(console) is None
    assert statuses(console, bookings) == {BookingStatus.CONFIRMED, BookingStatus.PENDING}


def test_an_id_without_bookings_cannot_be_canceled_by_mistake(console: Site) -> None:
    evening(console)
    console.get(f"{PATH}/cancel")
    fields = console.hidden(f"{PATH}/cancel")

    assert console.post("/console/events/evening-2/cancel", fields).status_code == 404


# --- moving


def test_an_event_is_moved_after_a_preview(console: Site) -> None:
    bookings = evening(console)
    query = "look=true&starts=2026-06-01T20:00&grace=2026-05-01T00:00"
    preview = text_of(console.get(f"{PATH}/move?{query}").text)
    fields = console.hidden(f"{PATH}/move")

    answers = [console.post(f"{PATH}/move", fields) for _ in range(2)]
    work(console)

    assert "Begins now 31 Mar 2026, 12:00 UTC Begins then 1 Jun 2026, 20:00 UTC" in preview
    assert "Everything back until 1 May 2026, 00:00 UTC" in preview
    assert {answer.headers["location"] for answer in answers} == {f"{PATH}?done=moved"}
    moved = [booking_of(console, each) for each in bookings]
    assert {each.event_starts_at.isoformat() for each in moved} == {"2026-06-01T20:00:00+00:00"}
    assert {each.refund_grace_until.isoformat() for each in moved} == {"2026-05-01T00:00:00+00:00"}
    assert console.payment_of(bookings[0]).status is PaymentStatus.SUCCEEDED
    assert "3 of 3 bookings taken up." in text_of(console.get(PATH).text)


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        ("tomorrow", "date and time like 2030-01-31 20:00, in UTC"),
        ("2020-01-01T20:00", "is in the past"),
        ("2026-06-01T20:00&grace=soon", "date and time like 2030-01-31 20:00, in UTC"),
        ("2026-06-01T20:00&grace=2020-01-01T20:00", "The time until which everything goes back lies in the past"),
    ],
)
def test_an_invalid_date_is_reported_in_the_preview(console: Site, starts: str, told: str) -> None:
    evening(console)

    page = console.get(f"{PATH}/move?look=true&starts={starts}").text

    assert told in page
    assert f'method="post" action="{PATH}' not in page


@pytest.mark.parametrize("changes", [{"starts": "tomorrow"}, {"starts": "2020-01-01T20:00"}, {"grace": "soon"}])
def test_a_form_with_invalid_dates_moves_no_event(console: Site, changes: dict[str, str]) -> None:
    evening(console)

    answer = act(console, f"{PATH}/move", "look=true&starts=2026-06-01T20:00", **changes)

    assert answer.status_code in (400, 422)
    assert jobs(console) is None


def test_a_second_date_waits_for_the_end_of_the_first_job(console: Site) -> None:
    evening(console)
    later, move = NOW + timedelta(days=90), f"{PATH}/move?look=true&starts=2026-06-01T20:00"
    console.get(move)
    looked_at_before = console.hidden(f"{PATH}/move")
    console.run(console.kit.payments.reschedule_event, EVENT, OPERATOR, event_starts_at=later)

    preview = console.get(move).text
    answer = console.post(f"{PATH}/move", looked_at_before)

    assert "another job of this event is running" in preview.lower()
    assert answer.status_code == 409
    assert "another job of this event is running" in answer.text.lower()
