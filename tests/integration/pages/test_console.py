"""The operator console: log-in, pages, and commands that take effect once."""

import re
from datetime import date, timedelta
from html import unescape
from itertools import combinations
from typing import Any

import pytest
from attrs import evolve

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.entrypoints.pages.console import charts
from booking_payments.entrypoints.pages.console.lifecycle import PLACES, diagram, moves
from booking_payments.ports.gateway_plugin import DashboardLinks
from booking_payments.ports.inbox import InboxStatus
from booking_payments.testing.kit import PaymentsTestKit
from booking_payments.testing.storage_contract import entry
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site, open_site_with
from tests.payments import lose_answer

PAGES = [
    "/console/",
    "/console/bookings",
    "/console/bookings/bk_x",
    "/console/bookings/bk_x/amend",
    "/console/bookings/bk_x/cancel",
    "/console/bookings/bk_x/seats",
    "/console/events",
    "/console/events/ev_x",
    "/console/events/ev_x/cancel",
    "/console/events/ev_x/move",
    "/console/events/ev_x/report.csv",
    "/console/payments",
    "/console/exports/payments",
    "/console/payments/pay_x",
    "/console/payments/pay_x/refund",
    "/console/payments/pay_x/settle",
    "/console/disputes",
    "/console/webhooks",
    "/console/webhooks/evt_x",
    "/console/messages",
    "/console/drift",
    "/console/record",
    "/console/sessions",
]
ACTIONS = [
    "/console/events/ev_x/cancel",
    "/console/events/ev_x/move",
    "/console/bookings/bk_x/amend",
    "/console/bookings/bk_x/cancel",
    "/console/bookings/bk_x/seats",
    "/console/payments/pay_x/refund",
    "/console/payments/pay_x/settle",
    "/console/webhooks/evt_x/replay",
    "/console/webhooks/unfinished/replay",
    "/console/messages/replay",
    "/console/drift/run",
    "/console/record",
    "/console/sessions/end",
    "/console/sessions/others/end",
    "/console/logout",
]
FORMS_ONLY = [path for path in ACTIONS if path not in PAGES and path.endswith(("/replay", "/run", "/end", "/logout"))]


def test_every_route_of_the_console_is_in_one_of_these_lists(site: Site) -> None:
    """Otherwise the tests of log-in and of forged forms would miss a page or a form."""
    routes = [route for route in site.client.app.routes if route.path.startswith("/console")]
    served = {each.path_format for each in routes if not each.path_format.startswith("/console/login")}
    ids = {
        "/ev_x": "/{event_id}",
        "/bk_x": "/{booking_id}",
        "/pay_x": "/{payment_id}",
        "/evt_x": "/{event_id}",
        "exports/payments": "exports/{kind}",
    }
    listed = set[str]()
    for path in (*PAGES, *ACTIONS):
        for example, name in ids.items():
            path = path.replace(example, name)
        listed.add(path.rstrip("/"))

    assert listed == {re.sub(r":\w+}", "}", path).rstrip("/") for path in served}


def page_of(console: Site, booking_id: str) -> str:
    return f"/console/payments/{console.payment_of(booking_id).id}"


# --- log-in


@pytest.mark.parametrize("path", PAGES)
def test_without_a_login_every_page_redirects_to_the_login_page(site: Site, path: str) -> None:
    answer = site.get(path)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/login")


@pytest.mark.parametrize("path", ACTIONS)
def test_without_a_login_every_form_is_refused(site: Site, path: str) -> None:
    answer = site.post(path, {"form_token": "x"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login")


@pytest.mark.parametrize("path", ACTIONS)
def test_a_form_without_a_valid_form_token_is_refused(console: Site, path: str) -> None:
    assert console.post(path, {"form_token": "0" * 64}).status_code == 403


def test_an_operator_logs_in_with_a_token(site: Site) -> None:
    answer = site.log_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    assert all(part in answer.headers["set-cookie"] for part in ("HttpOnly", "SameSite=lax", "Path=/console"))
    assert "olga" in site.get("/console/").text


@pytest.mark.parametrize("given", ["", "nonsense", token("ann"), token("app", "bookings:write")])
def test_an_invalid_or_insufficient_token_is_refused(site: Site, given: str) -> None:
    answer = site.post("/console/login", {"token": given})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "has neither the scope payments:operate nor payments:read" in answer.text
    assert given not in answer.text or not given


def test_a_customers_cookie_does_not_open_the_console(site: Site) -> None:
    site.client.cookies.set("booking_payments_console", token("ann"))

    assert site.get("/console/").status_code == 303


def test_log_in_redirects_to_the_requested_page(site: Site) -> None:
    door = site.get("/console/payments?status=failed").headers["location"]
    site.get(door)
    fields = {**site.hidden("/console/login"), "token": token("olga", "payments:operate")}

    assert site.post("/console/login", fields).headers["location"] == "/console/payments?status=failed"


@pytest.mark.parametrize(
    "wanted", ["/console/logout", "/console/webhooks/unfinished/replay", "/console/login", "/console/no"]
)
def test_log_in_leads_to_pages_only(site: Site, wanted: str) -> None:
    fields = {"token": token("olga", "payments:operate"), "next": wanted}

    assert site.post("/console/login", fields).headers["location"] == "/console/"
    assert f'value="{wanted}"' not in site.get(f"/console/login?next={wanted}").text


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/console/../x\r\n", "/checkout/x"])
def test_log_in_does_not_redirect_outside_the_console(site: Site, wanted: str) -> None:
    fields = {"token": token("olga", "payments:operate"), "next": wanted}

    assert site.post("/console/login", fields).headers["location"] == "/console/"


def test_log_out_ends_the_session(console: Site) -> None:
    console.stays = ""
    secret = console.client.cookies["booking_payments_console"]
    console.send("/console/", "/console/logout")
    assert console.get("/console/").status_code == 303

    console.client.cookies.set("booking_payments_console", secret, domain="testserver.local", path="/console")
    assert console.get("/console/").status_code == 303


def test_the_console_can_be_switched_off() -> None:
    with open_site(CONSOLE_ENABLED="false") as site:
        assert site.get("/console/").status_code == 404
        assert site.get(f"/checkout/{site.book()}").status_code == 401


# --- the start page, and addresses that lead nowhere


def test_the_start_page_links_to_the_pages_that_are_enabled() -> None:
    with open_site() as site:
        assert re.findall('href="(/(?:console|schema)[^"]*)"', site.get("/").text) == [
            "/console/",
            "/schema",
            "/schema/openapi.json",
        ]
    with open_site(CONSOLE_ENABLED="false") as site:
        assert "/console/" not in site.get("/").text
    with open_site(CONSOLE_ENABLED="false", DOCS_ENABLED="false") as site:
        assert site.get("/").status_code == 404


@pytest.mark.parametrize(
    ("path", "back"),
    [("/console/nowhere", "/console/"), ("/console/payments/pay_nobody", "/console/"), ("/nowhere", "/")],
)
def test_a_page_that_does_not_exist_has_a_way_back(console: Site, path: str, back: str) -> None:
    answer = console.get(path, headers={"Accept": "text/html"})

    assert (answer.status_code, f'href="{back}"' in answer.text) == (404, True)


def test_the_address_of_a_form_is_a_page_with_a_way_back(console: Site) -> None:
    booking = f"/checkout/{console.book()}"
    forms = [*((path, "/console/") for path in FORMS_ONLY), (f"{booking}/pay", booking), (f"{booking}/intent", booking)]
    for path, back in forms:
        answer = console.get(path, headers={"Accept": "text/html,*/*"})

        assert (path, answer.status_code, f'href="{back}"' in answer.text) == (path, 405, True)
        assert "POST" in answer.headers["allow"]
        assert console.get(path, headers={"Accept": "*/*"}).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "accept"), [("/api/nowhere", "text/html"), ("/nowhere", "*/*")])
def test_programs_get_json_for_a_path_that_does_not_exist(site: Site, path: str, accept: str) -> None:
    answer = site.get(path, headers={"Accept": accept})

    assert answer.headers["content-type"] == "application/problem+json"


# --- what it shows


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/bookings",
        "/console/events",
        "/console/payments",
        "/console/disputes",
        "/console/webhooks",
        "/console/messages",
    ],
)
def test_pages_without_records_say_so(console: Site, path: str) -> None:
    answer = console.get(path)

    assert answer.status_code == 200
    assert 'class="empty"' in answer.text


def test_text_of_others_is_escaped(console: Site) -> None:
    booking_id = console.paid(reference="<img src=x onerror=alert(1)>")
    for path in ("/console/payments", page_of(console, booking_id)):
        page = console.get(path).text

        assert "<img" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_payments_are_filtered_by_status(console: Site) -> None:
    console.paid(reference="R-good")
    console.paid("pm_card_chargeDeclined", reference="R-bad")

    page = console.get("/console/payments?status=succeeded").text
    assert "R-good" in page
    assert "R-bad" not in page


def test_payments_are_filtered_by_day(console: Site) -> None:
    console.paid()

    assert "R-1" in console.get("/console/payments?from=2026-03-01&to=2026-03-01").text
    assert "R-1" not in console.get("/console/payments?from=2026-03-02").text


def test_days_of_the_filter_are_those_of_the_business() -> None:
    with open_site(BUSINESS_TIME_ZONE="Asia/Tokyo") as site:  # NOW is 21:00 there
        site.log_in()
        site.paid(reference="R-evening")
        site.kit.clock.advance(timedelta(hours=4))
        site.log_in()
        site.paid(reference="R-night")

        def found(address: str) -> list[str]:
            return sorted(set(re.findall("R-(?:evening|night)", site.get(address).text)))

        for address in ("/console/payments", "/console/exports/payments"):
            assert found(f"{address}?to=2026-03-01") == ["R-evening"]
            assert found(f"{address}?from=2026-03-02") == ["R-night"]
        assert "Days begin at midnight in Asia/Tokyo" in site.get("/console/payments").text


def test_a_download_says_which_refunds_the_days_choose(console: Site) -> None:
    console.run(console.kit.payments.process_booking_refund, console.paid(), "25.00", "rain")
    told = "Refunds, disputes and postings are those of the chosen days"

    assert told in console.get("/console/payments?from=2026-03-01").text
    assert told not in console.get("/console/payments?status=succeeded").text


@pytest.mark.parametrize(
    ("refund", "method", "badges"),
    [
        (None, "pm_card_visa", ["Succeeded"]),
        ("25.00", "pm_card_visa", ["Partly refunded"]),
        ("100.00", "pm_card_visa", ["Refunded"]),
        (None, "pm_card_createDispute", ["Succeeded", "Disputed: needs response"]),
    ],
)
def test_the_status_says_refunded_and_disputed(
    console: Site, refund: str | None, method: str, badges: list[str]
) -> None:
    booking_id = console.paid(method)
    if refund:
        console.run(console.kit.payments.process_booking_refund, booking_id, refund, "rain")
    console.run(console.kit.settle)

    rows, head = r'<td class="across">.*?</td>', r"<h1>.*?</h1>"
    for address, place in (("/console/payments", rows), (page_of(console, booking_id), head)):
        shown = re.search(place, console.get(address).text, re.DOTALL)
        assert shown
        assert re.findall(r'class="badge[^"]*">([^<]+)<', shown[0]) == badges
    assert f">{badges[0]}</span>" in console.get(f"/console/bookings/{booking_id}").text


def test_an_older_page_has_a_link_to_the_newest(console: Site) -> None:
    for number in range(26):
        console.paid(reference=f"R-{number}")
    first = console.get("/console/payments?status=succeeded")
    older = unescape(re.findall(r'rel="next" href="([^"]+)"', first.text)[0])

    assert ">Newest<" not in first.text
    assert '<a class="button" href="/console/payments?status=succeeded">Newest</a>' in console.get(older).text


@pytest.mark.parametrize(
    "bad",
    [
        "status=lost",
        "from=yesterday",
        "to=0001-01-01",
        "cursor=x",
        "from=2026-13-01",
        "from=2026-03-02&to=2026-03-01",
        "amount=1,000",
        "amount=1.000",
        "amount=much",
        "last4=42",
    ],
)
def test_invalid_filters_show_an_error(console: Site, bad: str) -> None:
    answer = console.get(f"/console/payments?{bad}")

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "Payments found" not in answer.text  # an error is no empty list


def test_a_payment_is_found_by_each_of_its_ids(console: Site) -> None:
    booking_id = console.paid()
    console.run(console.kit.payments.process_booking_refund, booking_id, "25.00", "rain")
    payment = console.payment_of(booking_id)
    refund = payment.refunds[0]
    for known in (
        *(payment.id, booking_id, refund.id),
        *(payment.intent_id, payment.attempts[0].charge_id, refund.gateway_refund_id),
    ):
        answer = console.get("/console/payments", params={"q": known})

        assert (answer.status_code, answer.headers["location"]) == (303, f"/console/payments/{payment.id}")


def test_payments_are_found_by_reference_and_customer(console: Site) -> None:
    console.paid(reference="R-1")
    console.paid(reference="R-2")

    assert "R-2" not in console.get("/console/payments?q=R-1").text
    assert all(each in console.get("/console/payments?q=ann").text for each in ("R-1", "R-2"))
    assert "No payment matches" in console.get("/console/payments?q=nobody").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=eat-1", ["SEAT-1"]),
        ("q=EAT-", ["SEAT-1", "SEAT-2"]),
        ("amount=100", ["SEAT-1", "SEAT-2"]),
        ("amount=100,00", ["SEAT-1", "SEAT-2"]),
        ("amount=99,99", []),
        ("amount=100.00 USD", ["SEAT-1", "SEAT-2"]),
        ("amount=100.00 EUR", []),
        ("last4=4242", ["SEAT-1", "SEAT-2"]),
        ("last4=1881", []),
        ("event=hamlet", []),
        ("email=ann@", []),
        ("status=partly_refunded", ["SEAT-2"]),
        ("status=refunded", []),
        ("status=disputed", []),
    ],
)
def test_payments_are_found_by_details_from_the_customer(console: Site, query: str, found: list[str]) -> None:
    console.paid(reference="SEAT-1")
    refunded = console.paid(reference="SEAT-2")
    console.run(console.kit.payments.process_booking_refund, refunded, "25.00", "rain")

    page = console.get(f"/console/payments?{query}").text

    assert [each for each in ("SEAT-1", "SEAT-2") if f">{each}</a>" in page] == found


def test_the_second_page_keeps_the_search(console: Site) -> None:
    for number in range(26):
        console.paid(reference=f"S-{number:02}")
        console.kit.clock.advance(timedelta(seconds=1))
    console.paid(reference="OTHER")
    first = console.get("/console/payments?q=s-").text
    older = re.search(r'rel="next" href="([^"]+)"', first)

    assert older
    assert ">S-00</a>" in console.get(older[1].replace("&amp;", "&")).text


def test_the_list_can_be_downloaded_as_csv(console: Site) -> None:
    console.paid(reference="SEAT-1")
    refunded = console.paid(reference="SEAT-2")
    console.run(console.kit.payments.process_booking_refund, refunded, "25.00", "rain")
    page = console.get("/console/payments?status=partly_refunded").text
    assert 'href="/console/exports/refunds?status=partly_refunded"' in page

    answer = console.get("/console/exports/payments?status=partly_refunded")

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="payments.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbfpayment_id,")  # Excel needs the mark to read UTF-8
    assert [line.split(",")[2] for line in answer.text.splitlines()] == ["booking_reference", "SEAT-2"]


def test_an_export_of_an_unknown_kind_is_not_found(console: Site) -> None:
    assert console.get("/console/exports/secrets").status_code == 404


def test_an_export_with_an_invalid_filter_is_refused(console: Site) -> None:
    answer = console.get("/console/exports/payments?amount=much")

    assert (answer.status_code, "write the amount as 1000.50" in answer.text.lower()) == (400, True)


def test_payments_are_paged(console: Site) -> None:
    for number in range(26):
        console.paid(reference=f"S-{number:02}")
        console.kit.clock.advance(timedelta(seconds=1))
    first = console.get("/console/payments").text
    older = re.search(r'rel="next" href="([^"]+)"', first)

    assert older
    assert "S-25" in first
    assert "S-00" not in first
    second = console.get(older[1].replace("&amp;", "&")).text
    assert "S-00" in second
    assert 'rel="next"' not in second


def test_a_payment_shows_every_event_with_cause_and_actor(console: Site) -> None:
    booking_id = console.paid("pm_card_visa_chargeDeclinedStolenCard")
    journal = console.run(console.kit.payments.journal, booking_id)

    page = console.get(page_of(console, booking_id)).text
    timeline = page[page.index('id="timeline"') : page.index("</ol>")]
    assert timeline.count("<h3>") == len(journal)
    assert "stolen_card" in page  # operators see more than customers
    assert all(f"{each.actor} · {each.cause}" in page for each in journal)


def test_the_page_of_a_payment_has_money_card_and_customer_first_and_the_lifecycle_last(console: Site) -> None:
    page = console.get(page_of(console, console.paid())).text

    order = ["money", "card", "customer", "timeline", "audit", "life"]
    assert sorted(order, key=lambda each: page.index(f'id="{each}"')) == order


def test_records_of_the_machinery_are_folded(console: Site) -> None:
    page = console.get(page_of(console, console.paid())).text
    folded = "".join(re.findall(r'<li class="technical"><details>.*?</details></li>', page, re.DOTALL))

    assert "Operation intended" in folded
    assert "<h3>Payment succeeded</h3>" not in folded
    assert "<h3>Payment succeeded</h3>" in page


def test_the_page_of_a_payment_contains_no_secrets(console: Site) -> None:
    booking_id = console.paid("pm_card_authenticationRequired")
    view = console.run(console.kit.payments.payment_status, booking_id)

    assert view.client_action.client_secret not in console.get(page_of(console, booking_id)).text


def test_the_current_status_is_highlighted_in_the_diagram(console: Site) -> None:
    page = console.get(page_of(console, console.paid("pm_card_authenticationRequired"))).text
    lit = re.findall(r'<g class="here">(.*?)</g>', page)

    assert [" ".join(re.findall(r"<text[^>]*>([^<]+)", each)) for each in lit] == ["requires action"] * 2
    assert "Its way: requires payment method, then requires action." in page


@pytest.mark.parametrize(
    ("method", "charged"),
    [
        ("pm_card_visa", "100.00 USD"),
        ("pm_card_chargeDeclined", "nothing"),
        ("pm_usBankAccount_success", "not yet, the bank is working on it"),
    ],
)
def test_the_charged_amount_follows_the_payments_state(console: Site, method: str, charged: str) -> None:
    console.get(page_of(console, console.paid(method)))

    assert fact(console, "Charged") == charged


def test_held_money_is_not_charged(console: Site) -> None:
    console.get(page_of(console, console.held()))

    assert (fact(console, "Held, not charged"), fact(console, "Charged")) == ("100.00 USD", "nothing")


def test_a_payment_that_ended_without_a_charge_has_a_price_and_no_fee(console: Site) -> None:
    booking_id = console.held()
    console.run(console.kit.payments.cancel_payment, booking_id)
    page = console.get(page_of(console, booking_id)).text

    assert (fact(console, "Price"), fact(console, "Method")) == ("100.00 USD", "Visa 4242")
    assert not any(each in page for each in ("To be paid<", "Paid with", "Fee, once charged", "<dt>Fee ("))


def test_an_unknown_outcome_is_not_called_no_money(console: Site) -> None:
    page = console.get(page_of(console, console.run(lose_answer, console.kit, "timeout_after"))).text

    assert fact(console, "Charged") == "outcome unknown"
    assert "No money has moved" not in page


def fact(console: Site, name: str) -> str:
    """Return the value next to ``name`` in the description lists of the last page."""
    found = re.search(rf"<dt>{re.escape(name)}</dt><dd[^>]*>([^<]*)", console.seen)
    assert found, name
    return found[1]


def test_unfinished_webhooks_of_all_time_are_counted(console: Site) -> None:
    console.run(console.kit.storage.transact, lambda uow: uow.inbox.put(entry(1, status=InboxStatus.FAILED)))
    console.kit.clock.advance(timedelta(days=60))

    page = console.get("/console/?days=1").text

    assert '<span>Unfinished webhooks</span><strong class="figure bad">1<' in page


def test_what_does_not_fit_the_dashboard_is_counted(console: Site) -> None:
    for number in range(8):
        console.paid("pm_card_createDispute", reference=f"R-{number}")
    console.run(console.kit.settle)

    assert "and 3 more" in console.get("/console/").text


def test_an_unknown_payment_is_404(console: Site) -> None:
    assert console.get("/console/payments/pay_nobody").status_code == 404


def test_the_dashboard_shows_the_figures(console: Site) -> None:
    console.paid(reference="R-1")
    console.paid("pm_card_chargeDeclined", reference="R-2")
    console.paid("pm_card_createDispute", reference="R-3")
    console.run(console.kit.settle)
    page = console.get("/console/").text

    assert "Generic decline" in page
    assert "200.00 USD" in page
    assert "R-3" in page
    assert "33.3 %" in page  # one of three attempts was declined


@pytest.mark.parametrize("days", ["1", "7", "30", "90", "x", "-1"])
def test_the_dashboard_shows_the_requested_period(console: Site, days: str) -> None:
    console.paid()

    assert console.get(f"/console/?days={days}").status_code == 200


@pytest.mark.parametrize(("days", "bars"), [(7, 7), (31, 31), (32, 5), (90, 13), (91, 13)])
def test_bars_of_long_periods_are_weeks_and_lose_nothing(days: int, bars: int) -> None:
    dates = [date(2030, 1, 1) + timedelta(days=number) for number in range(days)]
    values = list(range(days))

    picture = charts.stacked("Payments", dates, [("Begun", values)])

    assert picture.count('class="bar"') == bars
    assert sum(charts.weekly(values)) == sum(values)
    assert charts.weekly(values)[-1] == sum(values[-7:])


def test_the_dashboard_says_that_its_bars_are_weeks(console: Site) -> None:
    console.paid()

    assert "Each bar is a week" not in console.get("/console/?days=30").text
    assert (
        "Each bar is a week, the first one of 6 days, named by its first day." in console.get("/console/?days=90").text
    )


def test_charts_contain_no_styles_and_no_scripts(console: Site) -> None:
    console.paid()
    page = console.get("/console/").text

    assert 'class="pygal-chart"' in page
    assert "<style" not in page
    assert "style=" not in page
    assert len(re.findall("<script", page)) == 1


def test_disputes_are_listed_with_their_deadlines(console: Site) -> None:
    console.paid("pm_card_createDispute")
    console.run(console.kit.settle)
    page = console.get("/console/disputes").text

    assert "R-1" in page
    assert "Needs response" in page
    assert " days left" in page


# --- refunds


def refund_form(console: Site, booking_id: str, amount: str = "25.00") -> tuple[str, dict[str, str]]:
    action = f"{page_of(console, booking_id)}/refund"
    console.get(f"{action}?amount={amount}")
    return action, {**console.hidden(action), "reason": "requested_by_customer", "note": "rain"}


def test_a_quote_moves_no_money(console: Site) -> None:
    booking_id = console.paid()
    page = console.get(f"{page_of(console, booking_id)}/refund?amount=25.00").text

    assert "Refund 25.00 USD" in page
    assert console.payment_of(booking_id).refunds == ()


def test_a_refund_returns_the_quoted_amount(console: Site) -> None:
    booking_id = console.paid()
    action, fields = refund_form(console, booking_id)
    answer = console.post(action, fields)
    refund = console.payment_of(booking_id).refunds[0]

    assert answer.headers["location"].endswith("?done=refund")
    assert (refund.amount.major(), refund.note, refund.reason) == ("25.00", "rain", "requested_by_customer")
    journal = console.run(console.kit.payments.journal, booking_id)
    assert "operator:olga" in {each.actor for each in journal}


def test_a_double_click_refunds_once(console: Site) -> None:
    booking_id = console.paid()
    action, fields = refund_form(console, booking_id)
    answers = [console.post(action, fields) for _ in range(2)]

    assert [each.status_code for each in answers] == [303, 303]
    assert len(console.payment_of(booking_id).refunds) == 1


def test_a_second_form_makes_a_second_refund(console: Site) -> None:
    booking_id = console.paid()
    for _ in range(2):
        console.post(*refund_form(console, booking_id))

    assert console.payment_of(booking_id).refunded.major() == "50.00"


@pytest.mark.parametrize("amount", ["100.01", "-1", "0", "1e9", "ten"])
def test_the_quote_shows_that_an_amount_cannot_be_refunded(console: Site, amount: str) -> None:
    booking_id = console.paid()
    page = console.get(f"{page_of(console, booking_id)}/refund", params={"amount": amount}).text

    assert 'role="alert"' in page
    assert '<form method="post" action="/console/payments/' not in page


@pytest.mark.parametrize(
    ("field", "value"), [("reason", "because"), ("note", "x" * 501), ("note", "a\x07b"), ("amount", "")]
)
def test_an_invalid_form_moves_no_money(console: Site, field: str, value: str) -> None:
    booking_id = console.paid()
    action, fields = refund_form(console, booking_id)
    answer = console.post(action, {**fields, field: value})

    assert answer.status_code == 400
    assert console.payment_of(booking_id).refunds == ()


def test_a_refund_above_the_amount_left_since_the_quote_is_refused(console: Site) -> None:
    booking_id = console.paid()
    action, fields = refund_form(console, booking_id, "80.00")
    console.run(console.kit.payments.refund_payment, booking_id, amount="60.00")
    answer = console.post(action, fields)

    assert answer.status_code == 422
    assert "larger than what can still be refunded" in answer.text
    assert console.payment_of(booking_id).refunded.major() == "60.00"


# --- webhooks


def test_webhooks_are_listed_and_processed_again(console: Site) -> None:
    console.paid()
    console.run(console.kit.deliver_webhooks)
    page = console.get("/console/webhooks").text
    found = re.search(r'href="(/console/webhooks/evt_\w+)">payment_<wbr>intent.<wbr>succeeded<', page)

    assert found
    answer = console.send(found[1], f"{found[1]}/replay")
    assert answer.headers["location"].endswith("?done=duplicate")
    assert "processed before" in console.get(answer.headers["location"]).text


def test_a_webhooks_content_is_shown_without_secrets(console: Site) -> None:
    booking_id = console.paid("pm_card_authenticationRequired")
    console.run(console.kit.deliver_webhooks)
    view = console.run(console.kit.payments.payment_status, booking_id)
    events = re.findall(r"/console/webhooks/evt_\w+", console.get("/console/webhooks").text)
    pages = [console.get(each).text for each in events]

    assert all("sha256" in each and "client_secret" not in each for each in pages)
    assert pages
    assert all(view.client_action.client_secret not in each for each in pages)


def test_an_unknown_webhook_is_404(console: Site) -> None:
    console.get("/console/")
    form = console.hidden("/console/logout")

    assert console.get("/console/webhooks/evt_nobody").status_code == 404
    assert console.post("/console/webhooks/evt_nobody/replay", form).status_code == 404


def test_a_webhook_is_found_by_its_id(console: Site) -> None:
    console.paid()
    console.run(console.kit.deliver_webhooks)
    event_id = re.findall(r"/console/webhooks/(evt_\w+)", console.get("/console/webhooks").text)[0]

    assert event_id in console.get("/console/webhooks", params={"q": event_id}).text
    assert "No event with this id" in console.get("/console/webhooks?q=evt_nobody").text


def fail_webhooks(console: Site, number: int) -> None:
    """Store webhooks whose processing has failed."""

    async def work(uow: Any) -> None:
        for each in range(1, number + 1):
            await uow.inbox.put(entry(each, status=InboxStatus.FAILED))

    console.run(console.kit.storage.transact, work)


def test_all_unfinished_webhooks_are_processed_again_by_one_button(console: Site) -> None:
    console.paid()
    console.run(console.kit.deliver_webhooks)
    (received,) = console.run(console.kit.payments.list_webhooks, None, 1)
    failed = evolve(received, status=InboxStatus.FAILED)
    console.run(console.kit.storage.transact, lambda uow: uow.inbox.put(failed))

    console.send("/console/webhooks?only=unfinished", "/console/webhooks/unfinished/replay")
    page = settled(console, "/console/webhooks?only=unfinished", "Processing unfinished webhooks")

    assert "The last replay: 1 " in page
    assert "All received webhooks are processed." in page


def test_a_replay_says_how_many_webhooks_failed_again(console: Site) -> None:
    fail_webhooks(console, 3)
    console.send("/console/webhooks?only=unfinished", "/console/webhooks/unfinished/replay")
    page = settled(console, "/console/webhooks?only=unfinished", "Processing unfinished webhooks")

    assert "The last replay: 3 failed." in page
    assert "Process all 3 again" in page


# --- messages


async def give_up(kit: PaymentsTestKit, number: int) -> None:
    """Register bookings, and give up the message of each."""
    await kit.payments.add_channel("webhook")
    for each in range(number):
        await kit.book(reference=f"M-{each}")
        await kit.payments.process_booking_payment((await kit.payments.list_bookings()).items[0].id, "pm_card_visa")

    async def work(uow: Any) -> None:
        for each in await uow.outbox.undelivered(dead=False, limit=100):
            await uow.outbox.reschedule(evolve(each, tries=9, dead_at=kit.clock.now(), error="status 500"))

    await kit.storage.transact(work)


def test_messages_that_were_given_up_are_sent_again_one_by_one_and_all_at_once(console: Site) -> None:
    console.run(give_up, console.kit, 2)
    page = console.get("/console/messages?only=dead").text
    given_up = page.count("Given up</span>")
    assert (given_up > 1, page.count("status 500")) == (True, given_up)

    one = {
        **console.hidden("/console/messages/replay"),
        "message": re.findall(r'name="message" value="(\w+)"', page)[0],
    }
    assert console.post("/console/messages/replay", one).status_code == 303
    assert console.get("/console/messages?only=dead").text.count("Given up</span>") == given_up - 1
    console.send("/console/messages?only=dead", "/console/messages/replay")

    (at_once, single) = console.run(console.kit.payments.audit_trail, None, 2)
    assert {each.operation for each in (at_once, single)} == {"replay_messages"}
    assert {each.actor for each in (at_once, single)} == {"operator:olga"}
    assert single.asked == {"messages": one["message"]}
    assert "No message was given up." in console.get("/console/messages?only=dead").text
    assert console.get("/console/messages").text.count("Waiting</span>") == given_up


# --- why a card was declined


@pytest.mark.parametrize(
    ("method", "why", "say"),
    [
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "There is not enough money",
            "Please use another card, or try this one later",
        ),
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "The card is reported as stolen.",
            "Your card was declined. Please use",
        ),
    ],
)
def test_a_decline_is_explained_with_what_to_tell_the_customer(console: Site, method: str, why: str, say: str) -> None:
    page = console.get(page_of(console, console.paid(method))).text

    assert why in page
    assert f"Tell the customer: “{say}" in page
    assert ("must not learn the reason" in page) == ("stolen" in why)


# --- the gateway's dashboard


def test_a_dispute_leads_to_the_dashboard_of_the_gateway() -> None:
    links = DashboardLinks(payment="https://bank.example/p/{id}", dispute="https://bank.example/d/{id}")
    with open_site_with({"fake": links}) as console:
        console.log_in()
        console.stays = "olga"
        booking_id = console.paid("pm_card_createDispute")
        console.run(console.kit.settle)
        (dispute,) = console.payment_of(booking_id).disputes
        pages = [console.get(path).text for path in ("/console/disputes", page_of(console, booking_id))]

    assert [f'href="https://bank.example/d/{dispute.id}"' in page for page in pages] == [True, True]


# --- drift


def settled(console: Site, path: str = "/console/drift", running: str = "Comparing since") -> str:
    """The page at ``path``, once what an operator started has ended."""
    for _ in range(200):
        page = console.get(path).text
        if running not in page:
            return page
        console.run(console.kit.deps.clock.sleep, timedelta(0))
    raise AssertionError("it did not end")


def test_the_result_of_a_reconciliation_is_stored_and_shown(console: Site) -> None:
    booking_id = console.paid()
    console.run(console.kit.settle)
    console.kit.stripe.refund_in_dashboard(console.payment_of(booking_id).intent_id, 1000)
    answer = console.send("/console/drift", "/console/drift/run", days="1")

    assert answer.headers["location"] == "/console/drift"
    page = settled(console)
    assert "by operator:olga" in page
    reports = console.run(console.kit.payments.drift_reports)
    assert reports[0].counts["payments"] == 1
    assert reports[0].counts["events"] > 0
    assert console.payment_of(booking_id).refunded.major() == "10.00"


def test_without_a_reconciliation_the_page_says_so(console: Site) -> None:
    assert "No comparison has run yet." in console.get("/console/drift").text


def test_a_failed_reconciliation_is_shown_as_failed() -> None:
    class FailingReads(MemoryStorage):
        """A storage that fails when reconciliation reads the payments."""

        broken = False

        async def read(self, work: Any) -> Any:
            if self.broken and "_compare_ours" in getattr(work, "__qualname__", ""):
                raise RuntimeError("the disk is gone")
            return await super().read(work)

    storage = FailingReads()
    with open_site(PaymentsTestKit(storage=storage)) as site:
        site.log_in()
        site.paid()
        storage.broken = True
        site.send("/console/drift", "/console/drift/run")

        assert "The last comparison failed" in settled(site)


def test_every_status_has_a_place_in_the_diagram() -> None:
    assert set(PLACES) == set(PaymentStatus)
    assert len(set(PLACES.values())) == len(PLACES)
    for status in PaymentStatus:
        lying, standing = (
            each.count('class="next"') for each in re.findall("<svg.*?</svg>", diagram(status, [status]))
        )
        assert lying == standing == len([move for move in moves() if move[0] is status])


def test_the_vertical_diagram_fits_a_phone_and_its_boxes_do_not_overlap() -> None:
    picture = re.findall("<svg.*?</svg>", diagram(PaymentStatus.PROCESSING, []))[1]
    boxes = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', picture)
    width, height = (int(each) for each in re.findall(r'viewBox="0 0 (\d+) (\d+)"', picture)[0])

    assert width <= 390
    places = [[int(each) for each in box] for box in boxes]
    assert all(x + w <= width and y + h <= height for x, y, w, h in places)
    for one, other in combinations(places, 2):
        assert abs(one[0] - other[0]) >= one[2] or abs(one[1] - other[1]) >= one[3]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 23, 1001])
def test_an_axis_of_counts_has_no_fractions(most: int) -> None:
    picture = charts.ranking("Declines", ["A", "B"], [most, 1])
    steps = [each for each in re.findall(r"<text[^>]*>([^<]+)", picture) if each not in ("A", "B")]

    assert [each for each in steps if not each.isdecimal()] == []
    assert len(set(steps)) >= 2
    assert max(int(each) for each in steps) >= most
