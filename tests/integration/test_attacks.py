"""What an attacker or bad luck tries next: frames, planted cookies, clocks that jump, a lost write-ahead log."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_site(None, CHECKOUT_ENABLED="true", CONSOLE_ENABLED="true") as opened:
        yield opened


# --- clickjacking


@pytest.mark.parametrize(
    "path",
    [
        *("/checkout/bk_1", "/console/login", "/console/", "/console/payments", "/api/payment/config/", "/health/live"),
        *("/metrics", "/schema", "/nowhere", "//metrics", "/checkout/" + "x" * 9_000),
    ],
)
@pytest.mark.parametrize("logged_in", [False, True])
def test_no_page_is_shown_in_a_frame(site: Site, path: str, logged_in: bool) -> None:
    site.client.cookies.clear()
    if logged_in:
        site.log_in()

    headers = site.get(path).headers

    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


PAGES_OF_OPERATORS = (
    "/console/",
    "/console/payments",
    "/console/sessions",
    "/console/login",
    "/console/exports/payments",
)


@pytest.mark.parametrize("path", [*PAGES_OF_OPERATORS, "/console/payments/pay_nobody", "/console/nowhere"])
def test_no_page_of_the_console_is_kept_by_browsers_and_proxies(site: Site, path: str) -> None:
    site.client.cookies.clear()
    site.log_in()

    assert site.get(path).headers["cache-control"] == "no-store"
    assert site.post("/console/drift/run", {"form_token": "x"}).headers["cache-control"] == "no-store"


# --- sessions


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("https, http", True), ("http", False), ("", False)])
def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_and_this_host_only(site: Site, proto: str, secure: bool) -> None:
    site.client.cookies.clear()
    fields = {"token": token("olga", "payments:operate"), "next": ""}
    headers = {
        "X-Forwarded-Proto": proto,
        "Origin": "https://testserver.local" if secure else "http://testserver.local",
    }

    cookie = site.post("/console/login", fields, headers=headers).headers["set-cookie"]

    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "samesite=lax"} <= parts
    assert ("secure" in parts, cookie.startswith("__Host-"), "path=/" in parts) == (secure, secure, secure)
    assert not any(part.startswith("domain") for part in parts)


def test_a_planted_cookie_is_replaced_at_the_login(site: Site) -> None:
    planted = token("mallory", "payments:operate")
    site.client.cookies.clear()
    site.client.cookies.set("booking_payments_console", planted, domain="testserver.local", path="/console")

    site.log_in("olga")

    kept = [each.value for each in site.client.cookies.jar if each.name == "booking_payments_console"]
    assert planted not in kept
    assert "olga" in site.get("/console/").text


def test_a_form_on_another_site_cannot_log_a_browser_in(site: Site) -> None:
    site.client.cookies.clear()
    fields = {"token": token("mallory", "payments:operate"), "next": ""}

    answer = site.post("/console/login", fields, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://testserver.local.evil.example"}, 403),
        ({"Origin": "http://testserver.local:8080"}, 403),
        ({"Referer": "https://evil.example/?http://testserver.local/console/login"}, 403),
        ({"Origin": "https://evil.example", "Referer": "http://testserver.local/console/login"}, 403),
        ({}, 403),
        ({"Origin": "http://testserver.local"}, 303),
        ({"Origin": "https://testserver.local"}, 303),
        ({"Referer": "http://testserver.local/console/login?next=/console/drift"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 303),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://testserver.local"}, 403),
    ],
)
def test_a_login_without_the_browsers_word_needs_our_origin(site: Site, headers: dict[str, str], status: int) -> None:
    """Browsers leave ``Sec-Fetch-Site`` out without TLS, and old ones always."""
    site.client.cookies.clear()
    fields = {"token": token("olga", "payments:operate"), "next": ""}

    answer = site.post("/console/login", fields, headers=headers)

    assert answer.status_code == status
    assert ("set-cookie" in answer.headers) == (status == 303)
    assert status == 303 or "form" in answer.text


def test_behind_a_proxy_that_changes_the_host_the_public_url_is_our_origin() -> None:
    fields = {"token": token("olga", "payments:operate"), "next": ""}
    with open_site(None, CONSOLE_ENABLED="true", PUBLIC_URL="https://pay.example") as site:
        ours = {"Origin": "https://pay.example", "Host": "10.0.0.7:8000", "X-Forwarded-Proto": "https"}
        without_tls = {**ours, "Origin": "http://pay.example"}

        assert site.post("/console/login", fields, headers=without_tls).status_code == 403
        assert site.post("/console/login", fields, headers=ours).status_code == 303


def test_the_login_page_lets_browsers_name_their_origin(site: Site) -> None:
    """Under ``no-referrer`` they send ``Origin: null`` with a form."""
    assert site.get("/console/login").headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/console/../../evil",
            "/console\\@evil.example",
        ),
        *(
            "/console/%0d%0aSet-Cookie:x=1",
            "javascript:alert(1)",
            "/consoleevil",
            "/console/?x=//evil.example/\r\nX: 1",
        ),
    ],
)
def test_the_login_leads_to_no_other_site(site: Site, wanted: str) -> None:
    site.client.cookies.clear()

    answer = site.post("/console/login", {"token": token("olga", "payments:operate"), "next": wanted})

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/")
    assert "evil" not in answer.headers["location"]


# --- clocks


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-3), timedelta(hours=1), timedelta(seconds=-1)])
async def test_a_clock_that_jumps_in_the_middle_of_a_payment_loses_nothing(jump: timedelta) -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    view = await kit.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_card_authenticationRequired", confirm_immediately=True
    )
    kit.authenticate(view, "succeeded")
    kit.clock.advance(jump)

    await kit.payments.poll_payment(booking.id, ANN)
    await kit.deliver_webhooks()
    await kit.payments.work()
    refund = await kit.payments.refund_payment(booking.id, ANN)

    status = await kit.payments.payment_status(booking.id)
    assert status.payment.status is PaymentStatus.SUCCEEDED
    assert refund.refund.amount == status.payment.captured
    assert kit.stripe.successful_charges(status.payment.intent_id or "") == 1
    assert (await kit.payments.check_ledger()).agrees


async def test_a_hold_that_the_clock_jumped_back_over_is_still_a_hold() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book(expires_in=timedelta(minutes=10))
    kit.clock.advance(timedelta(hours=-1))

    await kit.payments.expire_bookings()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.PENDING


@pytest.mark.parametrize(
    "starts_at", ["2026-03-29T02:30:00+01:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
)
async def test_hours_before_an_event_are_hours_also_when_the_clocks_change(starts_at: str) -> None:
    kit = PaymentsTestKit()
    moment = datetime.fromisoformat(starts_at).astimezone(UTC)
    policy = RefundPolicy(tiers=(RefundTier(hours_before=48, percent=Decimal(100)),))
    booking = await kit.book(starts_in=moment - kit.clock.now(), refund_policy=policy)
    await kit.payments.process_booking_payment(booking.id, "pm_card_visa")

    quote = await kit.payments.quote_refund(booking.id, ANN)

    assert quote.refundable_until == moment - timedelta(hours=48)


# --- a write-ahead log that is lost


async def test_a_database_that_lost_its_latest_commits_is_consistent_and_payments_are_read_again(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path, copy = tmp_path / "books.db", tmp_path / "restored.db"
    shutil.copy(sqlite_template, path)
    storage = SqlStorage.open(f"sqlite:///{path}")
    kit = PaymentsTestKit(storage=storage)
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)
    await storage.close()  # the file itself has all commits now
    shutil.copy(path, copy)

    kit = _over(kit, storage := SqlStorage.open(f"sqlite:///{path}"))
    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")
    assert view.payment.status is PaymentStatus.SUCCEEDED
    await storage.close()

    kit = _over(kit, storage := SqlStorage.open(f"sqlite:///{copy}"))
    try:
        before = (await kit.payments.payment_status(booking.id)).payment.status
        await kit.payments.reconcile()
        after = (await kit.payments.payment_status(booking.id)).payment.status
        booked = (await kit.payments.get_booking(booking.id)).status
        ledger = await kit.payments.check_ledger()
    finally:
        await storage.close()

    assert (before, after) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.SUCCEEDED)
    assert booked is BookingStatus.CONFIRMED
    assert ledger.agrees


def _over(kit: PaymentsTestKit, storage: SqlStorage) -> PaymentsTestKit:
    """The same gateway and clock, over other books."""
    again = PaymentsTestKit(storage=storage)
    again.clock, again.stripe = kit.clock, kit.stripe
    again.deps = evolve(again.deps, gateway=kit.deps.gateway, clock=kit.clock)
    again.payments = BookingPayments(again.deps)
    return again
