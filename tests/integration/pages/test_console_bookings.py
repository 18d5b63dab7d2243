"""Canceling bookings, removing single seats and goodwill refunds in the console: first the quote, then the command,
once.
"""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency
from booking_payments.ports.audit import AuditRecord
from booking_payments.testing.kit import ANN, OPERATOR
from tests.integration.pages.site import Site
from tests.integration.pages.test_console_refunds import disputed, page_of, text_of
from tests.unit.application.test_amending import HALF

SEATS = {"adult": (3, "30.00"), "child": (1, "10.00")}


def group(console: Site, **changes: Any) -> str:
    """A paid booking of three adults and a child."""
    return console.paid(amount=None, items=SEATS, **changes)


def booking_of(console: Site, booking_id: str) -> Any:
    return console.run(console.kit.payments.get_booking, booking_id)


def left(console: Site, booking_id: str) -> dict[str, int]:
    return {item.id: item.quantity for item in booking_of(console, booking_id).items}


def returned(console: Site, booking_id: str) -> str:
    payment = console.payment_of(booking_id)
    return str((payment.refunded + payment.refund_pending).major())


def act(console: Site, path: str, query: str = "", **fields: str) -> httpx.Response:
    """Request the quote, and send its form."""
    console.get(f"{path}?{query}")
    return console.post(path, {**console.hidden(path), **fields})


def audit(console: Site, booking_id: str) -> list[AuditRecord]:
    return list(console.run(console.kit.payments.audit_trail, booking_id))


# --- what is shown


def test_the_page_of_a_booking_without_a_payment_has_its_buttons(console: Site) -> None:
    path = f"/console/bookings/{console.book()}"

    page = console.get(path)

    assert page.status_code == 200
    assert [f"{path}/amend" in page.text, f"{path}/cancel" in page.text, f"{path}/seats" in page.text] == [
        *(True, True, False)
    ]
    assert "None yet. One appears when the customer begins to pay." in page.text


def test_the_list_finds_bookings_by_reference_customer_event_status_and_id(console: Site) -> None:
    first = console.book(reference="R-1", event_id="evening-1")
    console.paid(reference="R-2")

    def shown(query: str) -> list[bool]:
        page = console.get(f"/console/bookings?{query}").text
        return [f">{reference}</a>" in page for reference in ("R-1", "R-2")]

    assert [shown(""), shown("q=R-1"), shown("q=ann"), shown("event=evening-1"), shown("status=confirmed")] == [
        *([True, True], [True, False], [True, True], [True, False], [False, True])
    ]
    assert [shown("q=r-"), shown("q=AN"), shown("q=2"), shown("q=nobody")] == [
        *([True, True], [True, True], [False, True], [False, False])
    ]
    assert console.get(f"/console/bookings?q={first}").headers["location"] == f"/console/bookings/{first}"


def test_the_second_page_of_bookings_keeps_the_search(console: Site) -> None:
    for number in range(26):
        console.book(reference=f"S-{number:02}")
        console.kit.clock.advance(timedelta(seconds=1))
    console.book(reference="OTHER")
    older = re.search(r'rel="next" href="([^"]+)"', console.get("/console/bookings?q=s-").text)

    assert older
    page = console.get(unescape(older[1])).text
    assert [f">{reference}</a>" in page for reference in ("S-00", "S-01", "OTHER")] == [True, False, False]


@pytest.mark.parametrize("bad", ["status=lost", "cursor=x"])
def test_an_invalid_search_shows_an_error(console: Site, bad: str) -> None:
    answer = console.get(f"/console/bookings?{bad}")

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("path", ["", "/cancel", "/seats"])
def test_an_unknown_booking_is_not_found(console: Site, path: str) -> None:
    assert console.get(f"/console/bookings/bk_nobody{path}").status_code == 404


def test_the_page_of_a_payment_has_a_link_to_its_booking(console: Site) -> None:
    booking_id = console.paid()

    assert f'href="/console/bookings/{booking_id}"' in console.get(page_of(console, booking_id)).text


def test_titles_and_labels_are_escaped(console: Site) -> None:
    booking_id = console.book()
    change = BookingChange(title="<img src=x onerror=alert(1)>")
    console.run(console.kit.payments.amend_booking, booking_id, change, OPERATOR)

    assert "<img" not in console.get(f"/console/bookings/{booking_id}").text
    assert "<img" not in console.get("/console/bookings").text


# --- single seats


def test_the_quote_of_a_seat_shows_refund_and_remainder_and_changes_nothing(console: Site) -> None:
    booking_id = group(console, refund_policy=HALF)

    page = text_of(console.get(f"/console/bookings/{booking_id}/seats?units.adult=1&look=true").text)

    assert "Price now 100.00 USD Price afterwards 70.00 USD" in page
    assert "Goes back now 15.00 USD" in page
    assert "Remains with you 85.00 USD" in page
    assert "Fee that is kept 3.00 USD" in page
    assert "Left: 2 adult, 1 child." in page
    assert (left(console, booking_id), returned(console, booking_id)) == ({"adult": 3, "child": 1}, "0.00")


def test_a_seat_is_refunded_once_when_its_form_is_sent_repeatedly(console: Site) -> None:
    booking_id = group(console)
    path = f"/console/bookings/{booking_id}/seats"
    console.get(f"{path}?units.adult=1&look=true")
    fields = {**console.hidden(path), "reason": "a child was ill"}

    answers = [console.post(path, fields) for _ in range(3)]

    assert {answer.headers["location"] for answer in answers} == {f"/console/bookings/{booking_id}?done=seats"}
    assert (left(console, booking_id), returned(console, booking_id)) == ({"adult": 2, "child": 1}, "30.00")
    assert "The seats are given back." in console.get(answers[0].headers["location"]).text
    newest = audit(console, booking_id)[0]
    assert (newest.operation, newest.actor) == ("cancel_booking", "operator:olga")


def test_a_seat_refunded_in_another_tab_is_not_refunded_twice(console: Site) -> None:
    booking_id = group(console)
    path = f"/console/bookings/{booking_id}/seats"
    console.get(f"{path}?units.adult=1&look=true")
    old = console.hidden(path)
    act(console, path, "units.adult=1&look=true")

    answer = console.post(path, old)

    assert answer.status_code == 409
    assert "What you see now is the new state; nothing was done." in text_of(answer.text)
    assert "of 2 adult" in text_of(answer.text)
    assert (left(console, booking_id), returned(console, booking_id)) == ({"adult": 2, "child": 1}, "30.00")
    assert console.hidden(path)["version"] == str(booking_of(console, booking_id).version)


def test_removing_all_seats_is_shown_as_a_cancellation_of_the_booking(console: Site) -> None:
    booking_id = group(console)
    path = f"/console/bookings/{booking_id}/seats"
    query = "units.adult=3&units.child=1&look=true"

    assert "so the whole booking is canceled" in console.get(f"{path}?{query}").text
    answer = act(console, path, query)

    assert answer.headers["location"].endswith("?done=canceled")
    assert booking_of(console, booking_id).status is BookingStatus.CANCELED


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("look=true", "Choose at least one seat."),
        ("units.adult=0&look=true", "Choose at least one seat."),
        ("units.adult=4", "only 3 can be given back"),
        ("units.adult=1,5", "dult: write how many as a whole number"),
        ("units.adult=-1", "dult: write how many as a whole number"),
        ("units.balcony=1", "has no item balcony"),
        ("units.adult=1&refund=half", "Choose what goes back"),
    ],
)
def test_the_quote_reports_why_seats_are_not_removable(console: Site, query: str, told: str) -> None:
    booking_id = group(console)

    page = console.get(f"/console/bookings/{booking_id}/seats?{query}").text

    assert told in text_of(page)
    assert '<form method="post" action="/console/bookings' not in page


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"units.adult": "4"}, 422),
        ({"units.adult": ""}, 400),
        ({"units.adult": "one"}, 400),
        ({"version": "x"}, 400),
        ({"quoted": "29"}, 409),
        ({"quoted": "a lot"}, 400),
        ({"refund": "half"}, 400),
        ({"reason": "4242 4242 4242 4242"}, 400),
        ({"reason": "x" * 501}, 400),
    ],
)
def test_a_manipulated_form_refunds_nothing(console: Site, changes: dict[str, str], status: int) -> None:
    booking_id = group(console)
    path = f"/console/bookings/{booking_id}/seats"
    console.get(f"{path}?units.child=1&units.adult=1&look=true")

    answer = console.post(path, {**console.hidden(path), "units.child": "0", "quoted": "31.00", **changes})

    assert answer.status_code == status
    assert (left(console, booking_id), returned(console, booking_id)) == ({"adult": 3, "child": 1}, "0.00")


def test_a_booking_without_items_has_links_to_other_actions(console: Site) -> None:
    booking_id = console.book()

    page = console.get(f"/console/bookings/{booking_id}/seats").text

    assert f"/console/bookings/{booking_id}/cancel" in page


# --- changing


def changing(console: Site, booking_id: str, **fields: str) -> str:
    """The page of the quote for changed fields."""
    path = f"/console/bookings/{booking_id}/amend"
    version = str(booking_of(console, booking_id).version)
    return console.get(path, params={"look": "true", "version": version, **fields}).text


@pytest.mark.parametrize(
    ("currency", "before", "typed", "back", "kept"),
    [
        (Currency.USD, "100.00", "80.00", "20.00 USD", "80.00 USD"),
        (Currency.USD, "100.00", "90,75", "9.25 USD", "90.75 USD"),
        (Currency.JPY, "4500", "4,000", "500 JPY", "4,000 JPY"),
        (Currency.KWD, "5.120", "4,12", "1.000 KWD", "4.120 KWD"),
    ],
)
def test_a_lower_price_is_quoted_and_the_difference_refunded(
    console: Site, currency: Currency, before: str, typed: str, back: str, kept: str
) -> None:
    booking_id = console.paid(amount=before, currency=currency)
    path = f"/console/bookings/{booking_id}/amend"

    quote = text_of(changing(console, booking_id, amount=typed))
    fields = console.hidden(path)
    untouched = booking_of(console, booking_id).version
    answers = [console.post(path, fields) for _ in range(2)]

    assert f"Goes back now {back} Remains with you {kept}" in quote
    assert untouched == int(fields["version"])
    assert {answer.headers["location"] for answer in answers} == {f"/console/bookings/{booking_id}?done=amended"}
    assert returned(console, booking_id) == back.split()[0]
    assert booking_of(console, booking_id).amount.major() == kept.split()[0].replace(",", "")
    newest = audit(console, booking_id)[0]
    assert (newest.operation, newest.actor) == ("amend_booking", "operator:olga")


@pytest.mark.parametrize(("refund", "back"), [("policy", "10.00"), ("full", "20.00"), ("none", "0.00")])
def test_the_operator_chooses_the_refund_of_a_lower_price(console: Site, refund: str, back: str) -> None:
    booking_id = console.paid(refund_policy=HALF)
    path = f"/console/bookings/{booking_id}/amend"
    quote = text_of(changing(console, booking_id, amount="80", refund=refund))

    console.post(path, console.hidden(path))

    assert f"Goes back now {back} USD" in quote
    assert returned(console, booking_id) == back


def test_items_title_and_date_change_together(console: Site) -> None:
    booking_id = group(console)
    path = f"/console/bookings/{booking_id}/amend"
    changes = {"units.adult": "2", "price.child": "5,50", "title": "Hall B", "starts": "2026-04-02T19:30"}
    quote = text_of(changing(console, booking_id, **changes, grace="2026-03-20 00:00"))

    console.post(path, console.hidden(path))

    booking = booking_of(console, booking_id)
    assert "2 adult, 30.00 USD each 1 child, 5.50 USD each" in quote
    assert "Begins 2 Apr 2026, 19:30 UTC" in quote
    assert (booking.amount.major(), booking.details.title) == ("65.50", "Hall B")
    assert booking.event_starts_at.isoformat() == "2026-04-02T19:30:00+00:00"
    assert booking.refund_grace_until.isoformat() == "2026-03-20T00:00:00+00:00"
    assert returned(console, booking_id) == "34.50"


def test_the_deadline_of_an_unpaid_booking_is_changed_and_a_paid_one_has_none(console: Site) -> None:
    booking_id = console.book()
    path = f"/console/bookings/{booking_id}/amend"
    quote = text_of(changing(console, booking_id, deadline="2026-03-10T12:00"))

    console.post(path, console.hidden(path))

    assert "To be paid by 10 Mar 2026, 12:00 UTC" in quote
    assert booking_of(console, booking_id).expires_at.isoformat() == "2026-03-10T12:00:00+00:00"
    assert 'name="deadline"' not in console.get(f"/console/bookings/{console.paid()}/amend").text


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("starts", "2020-01-01T20:00", "The new date lies in the past"),
        ("grace", "2020-01-01T20:00", "The time until which everything goes back lies in the past"),
        ("deadline", "2020-01-01T20:00", "The time until which the booking can be paid lies in the past"),
        ("deadline", "2099-01-01T20:00", "A booking can be paid until its event begins, at the latest"),
        ("deadline", "", "Write until when the booking can be paid"),
        ("amount", "80.005", "USD has 2 decimals"),
    ],
)
def test_a_refused_value_is_explained_without_names_of_the_interface(
    console: Site, field: str, typed: str, told: str
) -> None:
    page = changing(console, console.book(), **{field: typed})

    assert told in text_of(page)
    assert not re.search(r"[Ee]vent_starts_at|[Gg]race_until|[Ee]xpires_at", text_of(page))


def test_an_item_is_added_to_an_unpaid_booking(console: Site) -> None:
    booking_id = console.book(amount=None, items=SEATS)
    path = f"/console/bookings/{booking_id}/amend"
    changing(console, booking_id, **{"new.label": "Dinner", "new.units": "2", "new.price": "25"})

    console.post(path, console.hidden(path))

    booking = booking_of(console, booking_id)
    assert booking.amount.major() == "150.00"
    assert [(item.id, item.label, item.quantity) for item in booking.items][-1] == ("extra-1", "Dinner", 2)


def test_a_form_for_an_older_version_changes_nothing_and_shows_the_new_state(console: Site) -> None:
    booking_id = console.book()
    path = f"/console/bookings/{booking_id}/amend"
    changing(console, booking_id, title="Hall B")
    old = console.hidden(path)
    change = BookingChange(title="Hall C")
    console.run(console.kit.payments.amend_booking, booking_id, change, OPERATOR)

    answer = console.post(path, old)

    assert answer.status_code == 409
    assert "What you see now is the new state; nothing was done." in answer.text
    assert 'value="Hall C"' in answer.text
    assert booking_of(console, booking_id).details.title == "Hall C"


def test_a_quote_for_an_older_version_shows_the_new_state(console: Site) -> None:
    booking_id = console.book()
    change = BookingChange(title="Hall C")
    console.run(console.kit.payments.amend_booking, booking_id, change, OPERATOR)

    page = changing(console, booking_id, title="Hall B", version="1")

    assert "has version 2, not 1" in page
    assert 'value="Hall C"' in page
    assert 'method="post" action="/console/bookings' not in page


def test_a_repeated_change_says_that_nothing_would_change(console: Site) -> None:
    booking_id = console.book()

    page = changing(console, booking_id, amount="100,00", title="")

    assert "Nothing would change" in page
    assert 'method="post" action="/console/bookings' not in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"amount": "120.00"}, "is paid or its money is held, and it would cost more"),
        ({"amount": "1,250"}, "may mean 1.250 or 1250 USD"),
        ({"amount": "-5"}, "must not be negative"),
        ({"amount": "ten"}, "rite the amount in USD like 9.25"),
        ({"starts": "tomorrow"}, "date and time like 2030-01-31 20:00, in UTC"),
        ({"starts": ""}, "write when its event begins"),
        ({"starts": "2020-01-01T20:00"}, "lies in the past"),
        ({"starts": "9999-12-31T23:59"}, "date and time like"),
        ({"title": "x" * 201}, "use at most 200 characters"),
        ({"refund": "half", "amount": "80"}, "Choose what goes back"),
        ({"version": "new", "amount": "80"}, "Open this form from the booking"),
    ],
)
def test_an_impossible_change_shows_an_error_and_keeps_the_input(
    console: Site, fields: dict[str, str], told: str
) -> None:
    page = changing(console, console.paid(), **fields)

    assert told in page
    assert 'method="post" action="/console/bookings' not in page
    typed = {name: text for name, text in fields.items() if name in ("amount", "title")}
    assert all(f'value="{text}"' in page for text in typed.values())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"units.adult": "0", "units.child": "0"}, "cancel the booking instead"),
        ({"units.adult": "2.5"}, "write how many as a whole number"),
        ({"price.adult": "thirty"}, "rite the amount in USD"),
        ({"new.label": "Dinner"}, "nother item: name it, and give its price"),
        ({"new.label": "Dinner", "new.price": "5", "new.units": "0"}, "whole number above 0"),
    ],
)
def test_invalid_items_show_an_error(console: Site, fields: dict[str, str], told: str) -> None:
    assert told in changing(console, group(console), **fields)


def test_an_open_payment_gets_the_new_price(console: Site) -> None:
    booking_id = console.book()
    console.run(console.kit.payments.start_payment, booking_id, ANN)
    path = f"/console/bookings/{booking_id}/amend"

    quote = changing(console, booking_id, amount="80")
    console.post(path, console.hidden(path))

    assert "The open payment asks for the new price from now on." in quote
    assert console.payment_of(booking_id).amount.major() == "80.00"


def test_a_canceled_booking_offers_no_change(console: Site) -> None:
    booking_id = console.book()
    console.run(console.kit.payments.cancel_booking, booking_id)

    page = console.get(f"/console/bookings/{booking_id}/amend").text

    assert "can't be changed any more" in page
    assert '<form method="get"' not in page


# --- canceling


@pytest.mark.parametrize(
    ("currency", "amount", "refund", "back", "kept"),
    [
        (Currency.USD, "100.00", "policy", "50.00 USD", "50.00 USD"),
        (Currency.USD, "100.00", "full", "100.00 USD", "0.00 USD"),
        (Currency.USD, "100.00", "none", "0.00 USD", "100.00 USD"),
        (Currency.JPY, "4500", "policy", "2,250 JPY", "2,250 JPY"),
        (Currency.KWD, "5.120", "policy", "2.560 KWD", "2.560 KWD"),
    ],
)
def test_a_cancellation_refunds_the_quoted_amount(
    console: Site, currency: Currency, amount: str, refund: str, back: str, kept: str
) -> None:
    booking_id = console.paid(amount=amount, currency=currency, refund_policy=HALF)
    path = f"/console/bookings/{booking_id}/cancel"

    quote = text_of(console.get(f"{path}?refund={refund}").text)
    before = booking_of(console, booking_id).status
    answer = act(console, path, f"refund={refund}", reason="the hall is flooded")

    assert f"Goes back now {back}" in quote
    assert f"Remains with you {kept}" in quote
    assert before is BookingStatus.CONFIRMED
    assert answer.headers["location"] == f"/console/bookings/{booking_id}?done=canceled"
    assert booking_of(console, booking_id).status is BookingStatus.CANCELED
    given = console.payment_of(booking_id).given_back.amount
    assert given.major() == back.split()[0].replace(",", "")
    assert "the hall is flooded" in console.get(page_of(console, booking_id)).text


def test_an_unpaid_booking_is_canceled_with_its_open_payment(console: Site) -> None:
    booking_id = console.paid("pm_card_authenticationRequired")
    path = f"/console/bookings/{booking_id}/cancel"

    quote = console.get(path).text
    act(console, path)

    assert "The open payment is canceled." in quote
    assert "Cancel, nothing goes back" in quote
    assert console.payment_of(booking_id).status is PaymentStatus.CANCELED


def test_canceling_releases_an_authorization(console: Site) -> None:
    booking_id = console.held()
    path = f"/console/bookings/{booking_id}/cancel"

    assert "The hold is released." in console.get(path).text
    act(console, path)

    assert console.payment_of(booking_id).status is PaymentStatus.CANCELED


def test_a_second_click_cancels_once(console: Site) -> None:
    booking_id = console.paid()
    path = f"/console/bookings/{booking_id}/cancel"
    console.get(f"{path}?refund=full")
    fields = console.hidden(path)

    answers = [console.post(path, fields) for _ in range(2)]

    assert {answer.headers["location"] for answer in answers} == {f"/console/bookings/{booking_id}?done=canceled"}
    assert len(console.payment_of(booking_id).refunds) == 1


def test_a_quote_from_before_the_payment_cancels_nothing(console: Site) -> None:
    booking_id = console.book()
    path = f"/console/bookings/{booking_id}/cancel"
    console.get(path)
    old = console.hidden(path)
    console.run(console.kit.payments.process_booking_payment, booking_id, "pm_card_visa")

    answer = console.post(path, old)

    assert answer.status_code == 409
    assert "Goes back now 100.00 USD" in text_of(answer.text)
    assert booking_of(console, booking_id).status is BookingStatus.CONFIRMED


def test_a_tier_that_ended_since_the_quote_cancels_nothing(console: Site) -> None:
    booking_id = console.paid(refund_policy=HALF, starts_in=timedelta(hours=48, minutes=10))
    path = f"/console/bookings/{booking_id}/cancel"
    console.get(path)
    old = console.hidden(path)
    console.kit.clock.advance(timedelta(minutes=20))

    answer = console.post(path, old)

    assert answer.status_code == 409
    assert "0.00 USD would go back now, not 50.00 USD" in text_of(answer.text)
    assert booking_of(console, booking_id).status is BookingStatus.CONFIRMED


def test_the_quote_shows_the_amount_that_waits_for_a_dispute(console: Site) -> None:
    booking_id = disputed(console)

    page = text_of(console.get(f"/console/bookings/{booking_id}/cancel?refund=full").text)

    assert "Of it waits (dispute) 100.00 USD" in page


def test_a_cancellation_without_a_response_is_shown_as_unknown(console: Site) -> None:
    booking_id = console.paid("pm_card_authenticationRequired")
    console.kit.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_before", times=20)
    console.kit.stripe.faults.script("GET /v1/payment_intents/{id}", "timeout_before", times=20)

    answer = act(console, f"/console/bookings/{booking_id}/cancel")

    assert answer.headers["location"].endswith("?done=unknown")
    assert "It is not known yet" in console.get(answer.headers["location"]).text


def test_an_expired_booking_shows_why_it_cannot_be_canceled(console: Site) -> None:
    booking_id = console.book()
    console.kit.clock.advance(timedelta(days=31))
    console.run(console.kit.payments.expire_bookings)

    page = console.get(f"/console/bookings/{booking_id}/cancel")

    assert "This booking has expired already." in page.text
    assert '<form method="post" action="/console/bookings' not in page.text


# --- goodwill


def test_a_goodwill_refund_may_exceed_the_policy_with_a_note(console: Site) -> None:
    booking_id = console.paid(starts_in=timedelta(hours=1))
    console.kit.clock.advance(timedelta(hours=2))
    path = f"{page_of(console, booking_id)}/refund"
    assert f"{path}?goodwill=true" in console.get(f"/console/bookings/{booking_id}").text
    asked = console.get(f"{path}?goodwill=true").text
    quote = text_of(console.get(f"{path}?goodwill=true&amount=9,25&look=true").text)
    fields = {**console.hidden(path), "reason": "requested_by_customer", "note": "the show was late"}

    answers = [console.post(path, fields) for _ in range(2)]

    assert '<h2 id="confirm">' not in asked
    assert "At most 100.00 USD, whatever the refund policy says" in asked
    assert "The customer gets 9.25 USD" in quote
    assert "Remains with you 90.75 USD" in quote
    assert {answer.status_code for answer in answers} == {303}
    [refund] = console.payment_of(booking_id).refunds
    assert (refund.amount.major(), refund.note) == ("9.25", "the show was late")
    assert booking_of(console, booking_id).status is BookingStatus.CONFIRMED


@pytest.mark.parametrize(
    ("amount", "told"),
    [("", "Name the amount."), ("1,250", "This may mean 1.250 or 1250 USD"), ("100.01", "larger than what can still")],
)
def test_an_invalid_goodwill_amount_shows_an_error(console: Site, amount: str, told: str) -> None:
    path = f"{page_of(console, console.paid())}/refund"

    page = console.get(path, params={"goodwill": "true", "amount": amount, "look": "true"}).text

    assert told in page
    assert f'<form method="post" action="{path}"' not in page


def test_a_goodwill_refund_without_a_note_is_refused(console: Site) -> None:
    booking_id = console.paid()
    path = f"{page_of(console, booking_id)}/refund"

    answer = act(console, path, "goodwill=true&amount=5", reason="requested_by_customer", note="")

    assert answer.status_code == 422
    assert console.payment_of(booking_id).refunds == ()


def test_every_link_on_the_page_of_a_booking_has_a_target(console: Site) -> None:
    console.get(f"/console/bookings/{group(console, event_id='evening-1')}")

    for link in set(re.findall(r'href="(/console[^"]*)"', console.seen)):
        assert console.get(link.replace("&amp;", "&")).status_code == 200, link
