"""The checkout page: access, content at each stage, and that each form takes effect once."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import structlog

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy, RefundTier
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site
from tests.payments import pay_in_browser

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_pages",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_pages",
    "STRIPE_WEBHOOK_SECRET": "whsec_pages",
}


def address(booking_id: str, sub: str = "ann") -> str:
    return f"/checkout/{booking_id}?token={token(sub)}"


def pay(site: Site, booking_id: str, method: str = "pm_card_visa") -> Any:
    return site.send(address(booking_id), f"/checkout/{booking_id}/pay", payment_method=method)


# --- access


def test_without_a_token_known_and_unknown_bookings_give_the_same_response(site: Site) -> None:
    known, unknown = site.get(f"/checkout/{site.book()}"), site.get("/checkout/bk_nobody")

    assert (known.status_code, known.content) == (401, unknown.content)
    assert known.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("bad", ["", "nonsense", "a.b.c", "x" * 5000])
def test_an_invalid_token_is_treated_as_a_missing_one(site: Site, bad: str) -> None:
    assert site.get(f"/checkout/{site.book()}?token={bad}").status_code == 401


def test_a_booking_of_another_customer_is_404(site: Site) -> None:
    foreign, missing = site.get(address(site.book(), "bob")), site.get(address("bk_nobody", "bob"))

    assert (foreign.status_code, foreign.content) == (404, missing.content)


def test_the_token_is_kept_in_an_http_only_same_site_cookie(site: Site) -> None:
    booking_id = site.book()
    cookie = site.get(address(booking_id)).headers["set-cookie"]

    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", f"Path=/checkout/{booking_id}"))
    assert site.get(f"/checkout/{booking_id}").status_code == 200


def test_over_tls_the_cookie_is_secure(site: Site) -> None:
    answer = site.get(address(site.book()), headers={"X-Forwarded-Proto": "https"})

    assert "Secure" in answer.headers["set-cookie"]


def test_the_token_is_neither_on_the_page_nor_in_the_log(site: Site) -> None:
    given = token("ann")
    booking_id = site.book()
    with structlog.testing.capture_logs() as logs:
        page = site.get(f"/checkout/{booking_id}?token={given}")
        site.post(f"/checkout/{booking_id}/pay", {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "x"})

    assert given not in page.text
    assert given not in repr(logs)
    assert page.headers["referrer-policy"] == "no-referrer"


# --- what it shows


def test_the_page_shows_booking_and_price(site: Site) -> None:
    page = site.get(address(site.book(amount="1250.00"))).text

    assert "R-1" in page
    assert "Pay $1,250.00" in page
    assert "included" in page


def test_a_fee_on_top_is_shown_before_it_is_paid() -> None:
    with open_site(PaymentsTestKit(config=PaymentConfig(fees=FeePolicy(payer=FeePayer.CUSTOMER)))) as site:
        page = site.get(address(site.book())).text

    assert "$3.00" in page
    assert "Pay $103.00" in page


STEPS = RefundPolicy(tiers=tuple(RefundTier(hours_before=h, percent=Decimal(p)) for h, p in ((48, 100), (24, 50))))
LAST_TIER = "The refund policy of this booking allows no refund so close to the event."
BY_ORGANIZER = "Only the organizer gives refunds of this booking; please ask them."


@pytest.mark.parametrize(
    ("terms", "changes", "said"),
    [
        (PaymentConfig(), {}, "Everything until the event starts."),
        (
            PaymentConfig(),
            {"refund_policy": STEPS},
            "Everything until Sunday, March 29, 2026, 12:00 PM UTC. 50% until Monday, March 30, 2026, 12:00 PM UTC.",
        ),
        (PaymentConfig(), {"refund_policy": STEPS, "starts_in": timedelta(hours=20)}, LAST_TIER),
        (
            PaymentConfig(fees=FeePolicy(payer=FeePayer.CUSTOMER)),
            {},
            "Everything until the event starts. The processing fee is kept.",
        ),
        (PaymentConfig(customer_refunds=CustomerRefunds.NONE), {"refund_policy": STEPS}, BY_ORGANIZER),
    ],
)
def test_the_page_shows_the_refund_policy_before_and_after_the_payment(
    terms: PaymentConfig, changes: dict[str, Any], said: str
) -> None:
    with open_site(PaymentsTestKit(config=terms)) as site:
        booking_id = site.book(**changes)
        before = " ".join(site.get(address(booking_id)).text.split())
        site.run(site.kit.payments.process_booking_payment, booking_id, "pm_card_visa")
        after = " ".join(site.get(address(booking_id)).text.split())

    assert f"<dt>Refund</dt><dd>{said}</dd>" in before
    assert f"<dt>Refund</dt><dd>{said}</dd>" in after


def test_without_a_possible_refund_the_page_does_not_mention_one(site: Site) -> None:
    free, canceled = site.book(amount="0.00"), site.book(reference="R-2")
    site.run(site.kit.payments.cancel_booking, canceled)

    for booking_id in (free, canceled):
        assert "<dt>Refund</dt>" not in site.get(address(booking_id)).text


def test_a_free_booking_has_no_form(site: Site) -> None:
    page = site.get(address(site.book(amount="0.00"))).text

    assert "Nothing to pay" in page
    assert "is confirmed" in page
    assert "<form" not in page
    assert "Processing fee" not in page


def test_a_booking_with_manual_capture_is_only_authorized_on_the_page() -> None:
    with open_site(PaymentsTestKit(config=PaymentConfig())) as site:
        booking_id = site.book(capture_method=CaptureMethod.MANUAL)
        site.send(address(booking_id), f"/checkout/{booking_id}/pay", payment_method="pm_card_visa")

        assert "Your money is reserved" in site.get(f"/checkout/{booking_id}").text


def test_the_page_says_that_no_attempt_is_left(site: Site) -> None:
    booking_id = site.book()
    for _ in range(3):
        site.run(site.kit.payments.process_booking_payment, booking_id, "pm_card_chargeDeclinedInsufficientFunds")

    page = site.get(address(booking_id)).text

    assert "No attempt is left" in page
    assert "<form" not in page


def test_text_of_others_is_escaped(site: Site) -> None:
    page = site.get(address(site.book(reference="<script>alert(1)</script>\"'&"))).text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("pm_card_visa", "Paid. Thank you!"),
        ("pm_card_chargeDeclined", "Pay for your booking"),
        ("pm_card_authenticationRequired", "Confirm with your bank"),
        ("pm_usBankAccount_processing", "Your bank is working on it"),
    ],
)
def test_each_stage_has_its_title(site: Site, method: str, title: str) -> None:
    booking_id = site.paid(method)

    assert f"<h1>{title}</h1>" in site.get(address(booking_id)).text


def test_the_page_says_that_the_booking_has_expired(site: Site) -> None:
    booking_id = site.book(expires_in=timedelta(minutes=5))
    site.kit.clock.advance(timedelta(minutes=6))

    page = site.get(address(booking_id)).text
    assert "The time to pay for this booking is over; book again." in page
    assert "<form" not in page


def test_the_page_of_a_processing_payment_reloads_without_scripts(site: Site) -> None:
    page = site.get(address(site.paid("pm_usBankAccount_processing"))).text

    assert '<noscript><meta http-equiv="refresh"' in page


def test_the_page_says_how_long_the_booking_is_held(site: Site) -> None:
    page = site.get(address(site.book(expires_in=timedelta(minutes=5)))).text

    assert 'data-left="300"' in page
    assert '<noscript><meta http-equiv="refresh" content="301;' in page


def test_without_an_end_before_the_event_nothing_is_counted_down(site: Site) -> None:
    assert "countdown" not in site.get(address(site.book())).text


def test_stripes_receipt_is_linked_once_the_charge_is_captured() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        before = site.get(address(booking_id)).text
        site.run(site.kit.payments.process_booking_payment, booking_id, "pm_card_visa")
        after = site.get(address(booking_id)).text

    assert "Receipt" not in before
    assert re.search(r'<a href="https://pay.stripe.com/receipts/payment/ch_\w+">Receipt</a>', after)


# --- paying


def test_a_valid_card_pays_the_booking(site: Site) -> None:
    booking_id = site.book()
    answer = pay(site, booking_id)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/checkout/{booking_id}")
    assert "Your booking is confirmed." in site.get(f"/checkout/{booking_id}").text


def test_a_decline_is_shown_and_another_card_can_be_tried(site: Site) -> None:
    booking_id = site.book()
    pay(site, booking_id, "pm_card_chargeDeclinedInsufficientFunds")

    page = site.get(f"/checkout/{booking_id}").text
    assert "Your card has insufficient funds." in page
    assert "2 attempts are left." in page
    assert pay(site, booking_id).status_code == 303
    assert "Paid. Thank you!" in site.get(f"/checkout/{booking_id}").text


def test_a_payment_started_over_the_api_with_a_return_url_can_be_paid_on_the_page(site: Site) -> None:
    booking_id = site.book()
    site.run(site.kit.payments.start_payment, booking_id, return_url="https://shop.example/back")
    pay(site, booking_id)

    assert "Paid. Thank you!" in site.get(f"/checkout/{booking_id}").text


def test_a_secret_decline_code_is_not_shown(site: Site) -> None:
    booking_id = site.paid("pm_card_visa_chargeDeclinedStolenCard")

    page = site.get(address(booking_id)).text
    assert "Your card was declined." in page
    assert "stolen" not in page.lower().replace("pm_card", "")


def test_after_the_last_attempt_there_is_no_form(site: Site) -> None:
    booking_id = site.book()
    for _ in range(3):
        pay(site, booking_id, "pm_card_chargeDeclined")

    page = site.get(f"/checkout/{booking_id}").text
    assert "The payment did not go through" in page
    assert "<form" not in page


def test_a_form_sent_twice_pays_once(site: Site) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    fields = {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "pm_card_chargeDeclined"}
    answers = [site.post(f"/checkout/{booking_id}/pay", fields) for _ in range(2)]

    assert [each.status_code for each in answers] == [303, 303]
    assert site.payment_of(booking_id).attempts_made == 1


@pytest.mark.parametrize(("outcome", "title"), [("succeeded", "Paid. Thank you!"), ("failed", "Pay for your booking")])
def test_the_simulated_authentication_ends_as_the_customer_chooses(site: Site, outcome: str, title: str) -> None:
    booking_id = site.paid("pm_card_authenticationRequired")
    site.send(address(booking_id), f"/checkout/{booking_id}/bank", outcome=outcome)

    assert f"<h1>{title}</h1>" in site.get(f"/checkout/{booking_id}").text


def test_only_the_cards_of_the_panel_are_accepted(site: Site) -> None:
    answer = pay(site, site.book(), "4242424242424242")

    assert answer.status_code == 400
    assert "4242" not in answer.text


def test_the_status_changes_with_the_payment(site: Site) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    before = site.get(f"/checkout/{booking_id}/status").json()
    pay(site, booking_id)

    after = site.get(f"/checkout/{booking_id}/status").json()
    assert (before["stage"], after["stage"]) == ("pay", "paid")
    assert before["version"] != after["version"]


# --- forged forms


@pytest.mark.parametrize("what", ["pay", "bank", "intent", "look"])
def test_a_form_without_a_valid_form_token_is_refused(site: Site, what: str) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    fields = {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "pm_card_visa", "form_token": "0" * 64}

    assert site.post(f"/checkout/{booking_id}/{what}", fields).status_code == 403
    assert site.run(site.kit.payments.checkout, booking_id).payment is None


def test_a_form_sent_from_another_site_is_refused(site: Site) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    fields = {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "pm_card_visa"}

    answer = site.post(f"/checkout/{booking_id}/pay", fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_the_form_token_of_one_booking_is_refused_for_another(site: Site) -> None:
    first, second = site.book(reference="R-1"), site.book(reference="R-2")
    site.get(address(first))
    fields = {**site.hidden(f"/checkout/{first}/pay"), "payment_method": "pm_card_visa"}
    site.get(address(second))

    assert site.post(f"/checkout/{second}/pay", fields).status_code == 403


def test_a_token_in_the_url_of_a_form_is_ignored(site: Site) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    fields = {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "pm_card_visa"}
    site.client.cookies.clear()

    assert site.post(f"/checkout/{booking_id}/pay?token={token()}", fields).status_code == 401


# --- policies


def policy_of(answer: Any) -> dict[str, str]:
    parts = (part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    return {name: value for name, value in parts}


def test_only_scripts_and_styles_with_the_nonce_are_allowed(site: Site) -> None:
    answer = site.get(address(site.book()))
    policy = policy_of(answer)
    nonce = re.fullmatch(r"'nonce-([\w-]+)'", policy["script-src"])

    assert nonce
    assert all(f'nonce="{nonce[1]}"' in tag for tag in re.findall(r"<(?:script|link rel=\"style)[^>]*>", answer.text))
    assert (policy["default-src"], policy["base-uri"], policy["frame-ancestors"]) == ("'none'", "'none'", "'none'")
    assert "style=" not in answer.text
    assert " onclick" not in answer.text


def test_each_response_has_a_new_nonce(site: Site) -> None:
    booking_id = site.book()

    assert policy_of(site.get(address(booking_id))) != policy_of(site.get(address(booking_id)))


def test_without_stripe_no_other_origin_is_allowed(site: Site) -> None:
    answer = site.get(address(site.book()))

    assert "https:" not in answer.headers["content-security-policy"]
    assert "stripe.com" not in answer.text


def test_with_stripe_only_its_origins_are_allowed() -> None:
    with open_site(None, **STRIPE) as site:
        answer = site.get(address(site.book()))
    policy = policy_of(answer)

    assert policy["script-src"].split()[1:] == ["https://*.js.stripe.com", "https://js.stripe.com"]
    assert policy["frame-src"].split() == [
        "https://*.js.stripe.com",
        "https://js.stripe.com",
        "https://hooks.stripe.com",
    ]
    assert policy["connect-src"].split() == ["'self'", "https://api.stripe.com"]
    assert '<script src="https://js.stripe.com/v3/"' in answer.text
    assert 'data-key="pk_test_pages"' in answer.text
    assert "sk_test" not in answer.text


def test_a_script_that_stands_in_for_stripes_may_call_its_own_origin_only() -> None:
    with open_site(None, **STRIPE, STRIPE_JS_URL="http://127.0.0.1:12111/v3/") as site:
        answer = site.get(address(site.book()))
    policy = policy_of(answer)

    assert policy["script-src"].split()[1:] == ["http://127.0.0.1:12111"]
    assert policy["connect-src"] == "'self' http://127.0.0.1:12111"
    assert "frame-src" not in policy
    assert '<script src="http://127.0.0.1:12111/v3/"' in answer.text
    assert "stripe.com" not in answer.text + str(policy)


@pytest.mark.parametrize("method", [None, "pm_card_authenticationRequired"])
def test_the_button_is_disabled_until_stripes_script_is_loaded(method: str | None) -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.paid(method) if method else site.book()
        page = site.get(address(booking_id)).text

    assert re.findall(r"<button[^>]*>", page) == ['<button class="primary wide" disabled>']
    assert "<noscript>" in page


def test_with_stripe_there_is_no_panel_of_test_cards() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        page = site.get(address(booking_id)).text
        fields = {**site.fields(), "payment_method": "pm_card_visa"}

        assert "pm_card_visa" not in page
        assert site.post(f"/checkout/{booking_id}/pay", fields).status_code == 400
        assert site.post(f"/checkout/{booking_id}/pay", {**fields, "gateway": "fake"}).status_code == 404


def test_the_customers_script_receives_the_client_secret() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        site.get(address(booking_id))

        answer = site.post(f"/checkout/{booking_id}/intent", site.fields())
        assert re.fullmatch(r"pi_\w+_secret_\w+", answer.json()["client_secret"])
        assert "_secret_" not in site.get(f"/checkout/{booking_id}").text


# --- methods that redirect, and the return

BROWSER = {"Origin": "http://testserver.local", "Sec-Fetch-Site": "same-origin"}
"""The headers with which a browser sends a request of the page's script."""
HINTS = "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_1&redirect_status=succeeded"


def begin(site: Site, booking_id: str, **headers: str) -> Any:
    """Open the page and begin the payment as its script does; returns the payment."""
    site.get(address(booking_id))
    assert site.post(f"/checkout/{booking_id}/intent", site.fields(), headers=headers).status_code == 200
    return site.payment_of(booking_id)


def made_with(site: Site) -> Any:
    """Return the redirect setting of the created intents, the newest first."""
    listed = site.kit.stripe.call("GET", "/v1/payment_intents", {"limit": 10}).body["data"]
    return [each["automatic_payment_methods"]["allow_redirects"] for each in listed]


def confirm_in_browser(site: Site, booking_id: str, method: str) -> None:
    """The customer confirms at Stripe, and no webhook arrives."""
    view = site.run(site.kit.payments.payment_status, booking_id)
    pay_in_browser(site.kit, view, method)


@pytest.mark.parametrize(
    "headers",
    [
        BROWSER,
        BROWSER | {"Host": "upstream:8000"},
        {"Origin": "http://testserver.local"},
        BROWSER | {"Origin": "https://testserver.local", "Host": "upstream:8000"},
    ],
)
def test_the_return_url_is_the_checkout_page(headers: dict[str, str]) -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        payment = begin(site, booking_id, **headers)

        assert payment.return_url == f"{headers['Origin']}/checkout/{booking_id}"
        assert made_with(site) == ["always"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://testserver.local"},
        {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://testserver.local/path"},
        {"Origin": "http://user@testserver.local"},
        {"Origin": "javascript:alert(1)", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_forged_host_header_is_not_used_for_the_return_url(headers: dict[str, str]) -> None:
    with open_site(None, **STRIPE) as site:
        assert begin(site, site.book(), **headers).return_url is None
        assert made_with(site) == ["never"]


@pytest.mark.parametrize("headers", [{}, BROWSER, {"Host": "evil.example", "Origin": "http://evil.example"}])
def test_the_public_url_has_precedence_over_request_headers(headers: dict[str, str]) -> None:
    with open_site(None, **STRIPE, PUBLIC_URL="https://pay.example") as site:
        booking_id = site.book()

        assert begin(site, booking_id, **headers).return_url == f"https://pay.example/checkout/{booking_id}"


@pytest.mark.parametrize("hints", ["", f"?{HINTS}"])
@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("pm_card_visa", "Paid. Thank you!"),
        ("pm_usBankAccount_processing", "Your bank is working on it"),
        ("pm_card_authenticationRequired", "Confirm with your bank"),
    ],
)
def test_a_page_loaded_before_the_webhook_shows_the_gateways_state(method: str, title: str, hints: str) -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        confirm_in_browser(site, booking_id, method)

        assert f"<h1>{title}</h1>" in site.get(f"/checkout/{booking_id}{hints}").text


def test_a_refusal_at_the_bank_is_shown_after_the_return() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        view = site.run(site.kit.payments.payment_status, booking_id)
        pay_in_browser(site.kit, view, "pm_card_visa_chargeDeclined")
        page = site.get(f"/checkout/{booking_id}?{HINTS.replace('succeeded', 'failed')}").text

        assert "<h1>Pay for your booking</h1>" in page
        assert "Your card was declined." in page


@pytest.mark.parametrize("hints", [HINTS, HINTS.replace("succeeded", "failed"), "redirect_status=nonsense"])
def test_the_query_of_the_return_url_is_not_trusted(hints: str) -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)

        assert "<h1>Pay for your booking</h1>" in site.get(f"/checkout/{booking_id}?{hints}").text


def test_after_a_return_with_an_unresponsive_gateway_no_form_is_shown() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        confirm_in_browser(site, booking_id, "pm_card_visa")
        site.kit.stripe.faults.script("GET /v1/payment_intents/*", "503", times=100)

        page = site.get(f"/checkout/{booking_id}?{HINTS}").text
        assert "<h1>We are checking with the bank</h1>" in page
        assert "stripe-form" not in page
        assert f'content="4; url=/checkout/{booking_id}"' in page

        site.kit.stripe.faults.clear()
        site.kit.clock.advance(timedelta(seconds=4))
        assert "<h1>Paid. Thank you!</h1>" in site.get(f"/checkout/{booking_id}").text


def test_a_customer_who_paid_in_time_and_returns_later_sees_the_payment() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        confirm_in_browser(site, booking_id, "pm_card_visa")
        site.kit.clock.advance(timedelta(days=365))
        page = site.get(address(booking_id) + f"&{HINTS}").text

        assert "<h1>Paid. Thank you!</h1>" in page


def test_after_a_return_to_a_canceled_booking_no_form_is_shown() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        site.run(site.kit.payments.cancel_booking, booking_id)

        for hints in (HINTS, ""):
            page = site.get(f"/checkout/{booking_id}?{hints}").text
            assert "<h1>This booking can't be paid</h1>" in page or "This booking can&#39;t be paid" in page
            assert "stripe-form" not in page


def test_a_return_for_an_earlier_payment_shows_the_newest() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        earlier = begin(site, booking_id)
        site.run(site.kit.payments.cancel_payment, booking_id)
        newest = begin(site, booking_id)
        confirm_in_browser(site, booking_id, "pm_card_visa")
        page = site.get(f"/checkout/{booking_id}?payment_intent={earlier.intent_id}&redirect_status=failed").text

        assert newest.intent_id != earlier.intent_id
        assert "<h1>Paid. Thank you!</h1>" in page


def test_repeated_return_urls_are_rate_limited() -> None:
    with open_site(None, **STRIPE, RATE_LIMIT_ENABLED="true", RATE_LIMIT_MONEY="5/minute") as site:
        booking_id = site.book()
        begin(site, booking_id)
        before = len(site.kit.stripe.calls)
        pages = [site.get(f"/checkout/{booking_id}?{HINTS}").text for _ in range(12)]

        assert len(site.kit.stripe.calls) - before == 4
        assert all("<h1>Pay for your booking</h1>" in page for page in pages[:4])
        assert all("<h1>We are checking with the bank</h1>" in page for page in pages[4:])


def test_repeated_page_loads_read_the_gateway_once() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book()
        begin(site, booking_id)
        before = len(site.kit.stripe.calls)
        for _ in range(12):
            site.get(f"/checkout/{booking_id}")

        assert len(site.kit.stripe.calls) - before == 1


def test_a_return_without_the_cookie_asks_to_open_the_payment_link_again(site: Site) -> None:
    known, unknown = (site.get(f"/checkout/{each}?{HINTS}") for each in (site.book(), "bk_nobody"))

    assert (known.status_code, known.content) == (401, unknown.content)
    assert "You will not be charged twice." in known.text


# --- the test bank of the fake gateway


@pytest.fixture
def at_bank() -> Iterator[tuple[Site, str, str]]:
    """A site, a booking whose payment waits at the bank, and the URL of the bank's page."""
    kit = PaymentsTestKit()
    kit.stripe._account.bank_pages = "http://testserver.local"
    with open_site(kit) as site:
        booking_id = site.book()
        more = {"payment_method_id": "pm_card_authenticationRequired", "confirm_immediately": True}
        back = f"http://testserver.local/checkout/{booking_id}"
        view = site.run(site.kit.payments.start_payment, booking_id, ANN, return_url=back, **more)
        url = view.client_action.next_action["redirect_to_url"]["url"]
        yield site, booking_id, url.removeprefix("http://testserver.local")


@pytest.mark.parametrize(
    ("outcome", "told", "title"),
    [("succeeded", "succeeded", "Paid. Thank you!"), ("failed", "failed", "Pay for your booking")],
)
def test_the_test_bank_sends_the_customer_back(
    at_bank: tuple[Site, str, str], outcome: str, told: str, title: str
) -> None:
    site, booking_id, url = at_bank
    sent = [site.send(url, url.partition("?")[0], outcome=outcome).text for _ in range(2)]
    target = re.search(r'content="0; url=http://testserver.local([^"]+)"', sent[0])
    assert target
    back = unescape(target[1])

    assert back.startswith(f"/checkout/{booking_id}?payment_intent=pi_")
    assert back.endswith(f"&redirect_status={told}")
    assert back in unescape(sent[1])
    site.get(address(booking_id))
    assert f"<h1>{title}</h1>" in site.get(back).text


def test_the_test_bank_page_opens_only_with_the_key_in_its_url(at_bank: tuple[Site, str, str]) -> None:
    site, _, url = at_bank
    path, _, key = url.partition("?key=")
    answers = [site.get(f"{path}{query}").status_code for query in ("", "?key=", f"?key={key[:-1]}x")]
    posted = site.post(path, {"key": "guess", "outcome": "succeeded"}).status_code

    assert (answers, posted) == ([404] * 3, 404)


def test_with_stripe_there_is_no_test_bank() -> None:
    with open_site(None, **STRIPE) as site:
        assert site.get("/pages/bank/pi_1?key=k").status_code == 404


def test_the_checkout_can_be_switched_off() -> None:
    with open_site(CHECKOUT_ENABLED="false") as site:
        assert site.get(address(site.book())).status_code == 404
        assert site.get("/console/").status_code == 303


def test_a_page_with_an_old_price_cannot_pay_the_new_one(site: Site) -> None:
    booking_id = site.book()
    site.get(address(booking_id))
    fields = {**site.hidden(f"/checkout/{booking_id}/pay"), "payment_method": "pm_card_visa"}
    change = BookingChange(amount=Money.parse("120.00", Currency.USD))
    site.run(site.kit.payments.amend_booking, booking_id, change)

    answer = site.post(f"/checkout/{booking_id}/pay", fields)

    assert (answer.status_code, "price of this booking has changed" in answer.text) == (409, True)
    assert "120.00" in answer.text
    assert pay(site, booking_id).status_code == 303
