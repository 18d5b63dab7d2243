"""The checkout in a real browser with Stripe as the gateway, which the sandbox replaces."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from playwright.async_api import Browser, Response, Route, expect

from booking_payments.testing.sandbox import Sandbox
from tests.browser.browser_pages import PHONE, BrowserPage, RunningService, open_page
from tests.browser.card_form import choose, decide_at_bank, fill_card, number_of
from tests.nightly import NIGHTLY


async def pay(customer: BrowserPage, card: str) -> None:
    """Pay with a test card, named by its id."""
    await fill_card(customer.page, number_of(card))
    await customer.page.get_by_role("button", name="Pay").click()


def confirm_elsewhere(sandbox: Sandbox, service: RunningService, booking_id: str, method: str) -> None:
    """The customer confirms in another tab, and no webhook arrives."""
    intent_id = service.payment(booking_id)["payment_intent_id"]
    secret = sandbox.stripe.by_hand("GET", f"/v1/payment_intents/{intent_id}", {}).body["client_secret"]
    assert sandbox.stripe.confirm_as_customer(intent_id, secret, method).ok


@contextmanager
def webhooks(sandbox: Sandbox, service: RunningService) -> Iterator[None]:
    """Deliver events to the service inside this block."""
    address = f"{sandbox.url}/_sandbox/webhook_endpoints"
    endpoint = {"url": f"{service.address}/api/webhooks/stripe/", "secret": "whsec_browser"}
    made = httpx2.post(address, json=endpoint, trust_env=False).raise_for_status().json()
    try:
        yield
    finally:
        httpx2.delete(f"{address}/{made['id']}", trust_env=False).raise_for_status()


@contextmanager
def unreadable(sandbox: Sandbox) -> Iterator[None]:
    """Inside this block the service cannot read intents; the browser can."""
    sandbox.play("/faults", match="GET /v1/payment_intents/*", fault="503", times=1000)
    try:
        yield
    finally:
        httpx2.delete(f"{sandbox.url}/_sandbox/faults", trust_env=False).raise_for_status()


async def test_the_card_goes_from_the_browser_to_stripe(customer: BrowserPage, stripe_service: RunningService) -> None:
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    await customer.look("checkout-stripe")
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_stripe_never_sees_the_token(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    headers: list[dict[str, str]] = []

    async def noting(route: Route) -> None:
        script = await route.fetch()
        await route.fulfill(response=script, body=f"window.seenByStripe = location.href;{await script.text()}")

    await customer.page.route(f"{sandbox.url}/v3/", noting)
    customer.page.on("request", lambda request: headers.append({"url": request.url, **request.headers}))
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    seen = await customer.page.evaluate("window.seenByStripe")

    assert "?" not in seen
    to_stripe = [each for each in headers if each["url"].startswith(sandbox.url)]
    assert len(to_stripe) > 1
    assert stripe_service.ann not in repr(to_stripe)


WATCHED = """
  const made = window.Stripe;
  window.Stripe = (key, options) => {
    const stripe = made(key, options);
    const elements = stripe.elements;
    stripe.elements = (more) => {
      window.asked = { ...options, ...more.appearance };
      return elements(more);
    };
    return stripe;
  };
"""
"""Code after Stripe.js that notes what the page asks it for."""


async def test_the_form_of_stripe_has_the_language_and_the_mode_of_the_page(
    browser: Browser, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    async def watching(route: Route) -> None:
        script = await route.fetch()
        await route.fulfill(response=script, body=f"{await script.text()};{WATCHED}")

    async with open_page(browser, viewport=PHONE, color_scheme="dark") as customer:
        await customer.page.route(f"{sandbox.url}/v3/", watching)
        await customer.page.goto(stripe_service.checkout(stripe_service.book(locale="pt-PT")))
        await expect(customer.page.get_by_role("button", name="Pagar")).to_be_enabled()
        asked = await customer.page.evaluate("window.asked")

    assert (asked["locale"], asked["theme"]) == ("pt", "night")
    assert asked["variables"]["colorBackground"] == "#1c2422"


async def test_a_decline_at_stripe_is_shown_and_another_card_works(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))
    await pay(customer, "pm_card_chargeDeclinedInsufficientFunds")
    await expect(customer.page.get_by_text("2 attempts are left.")).to_be_visible()
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_3d_secure_can_be_passed_at_stripe(customer: BrowserPage, stripe_service: RunningService) -> None:
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))
    await pay(customer, "pm_card_authenticationRequired")
    await decide_at_bank(customer.page)

    await customer.wait_for("Paid. Thank you!")


async def test_a_refused_3d_secure_at_stripe_is_shown_and_another_card_works(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))
    await pay(customer, "pm_card_authenticationRequired")
    await decide_at_bank(customer.page, "Refuse")
    await expect(customer.page.get_by_text("2 attempts are left.")).to_be_visible()
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_an_interrupted_authentication_can_be_continued(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    booking_id = stripe_service.book()
    stripe_service.pay(booking_id, "pm_card_authenticationRequired")
    await customer.page.goto(stripe_service.checkout(booking_id))
    await customer.page.get_by_role("button", name="Go on to your bank").click()
    await decide_at_bank(customer.page)

    await customer.wait_for("Paid. Thank you!")


async def test_an_unknown_outcome_is_settled_while_the_customer_waits(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    booking_id = stripe_service.book()
    fault = {"match": "POST /v1/payment_intents", "times": 3, "fault": "reset_after"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        (await client.post(f"{sandbox.url}/_sandbox/faults", json=fault)).raise_for_status()
    assert stripe_service.pay(booking_id).json()["outcome_unknown"]
    await customer.page.goto(stripe_service.checkout(booking_id))

    await customer.wait_for("We are checking with the bank")
    await expect(customer.page.get_by_text("You will not be charged twice.")).to_be_visible()
    await customer.look("checkout-checking")
    await customer.wait_for("Paid. Thank you!")


async def test_the_page_says_that_stripes_script_cannot_be_loaded(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    await customer.page.route(f"{sandbox.url}/v3/", lambda route: route.abort())
    await customer.page.goto(stripe_service.checkout(stripe_service.book()))

    await expect(customer.page.get_by_role("alert")).to_contain_text("The payment form can't be loaded.")
    await expect(customer.page.get_by_role("button", name="Pay")).to_have_count(0)
    await expect(customer.page.get_by_text("The payment form is loading")).to_have_count(0)
    customer.complaints.clear()  # the browser reports the blocked script
    await customer.look("checkout-stripe-blocked")
    assert await customer.layout_errors("checkout-stripe-blocked") == []
    await customer.page.unroute(f"{sandbox.url}/v3/")
    await customer.page.get_by_role("link", name="Load the page again").click()
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()


async def test_the_page_says_that_the_payment_cannot_be_started(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    sandbox.play("/faults", match="POST /v1/payment_intents", fault="429_limit", times=1000)
    try:
        await customer.page.goto(stripe_service.checkout(stripe_service.book()))
        await expect(customer.page.get_by_role("alert")).to_contain_text("The payment provider")
        await expect(customer.page.get_by_role("alert")).to_have_count(1)
        await expect(customer.page.get_by_role("button")).to_have_count(0)
    finally:
        httpx2.delete(f"{sandbox.url}/_sandbox/faults", trust_env=False).raise_for_status()
    await customer.page.get_by_role("link", name="Load the page again").click()

    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()


async def test_without_scripts_the_page_says_that_stripe_needs_them(
    browser: Browser, stripe_service: RunningService
) -> None:
    async with open_page(browser, viewport=PHONE, java_script_enabled=False) as customer:
        await customer.page.goto(stripe_service.checkout(stripe_service.book()))

        section = customer.page.get_by_role("region", name="How you pay")
        await expect(section.get_by_role("alert")).to_contain_text("Please switch scripts on for this page.")
        await expect(customer.page.get_by_role("button")).to_have_count(0)
        assert customer.complaints == []


# --- methods that redirect


TITLES = {"ideal": "iDEAL", "bancontact": "Bancontact", "paypal": "PayPal", "klarna": "Klarna"}


async def pay_by(customer: BrowserPage, service: RunningService, method: str, bank: str = "Approve") -> str:
    """Pay a booking in euro by ``method``, and decide so on the page of its bank; returns the booking's id."""
    booking_id = await go_to_bank(customer, service, method)
    await decide_at_bank(customer.page, bank)
    return booking_id


async def go_to_bank(customer: BrowserPage, service: RunningService, method: str) -> str:
    """Pay a booking in euro by ``method``, up to the page of its bank; returns the booking's id."""
    booking_id = service.book(currency="eur")
    page = customer.page
    await page.goto(service.checkout(booking_id))
    await choose(page, TITLES[method])
    if method == "bancontact":
        await page.get_by_label("Full name").fill("Ann")
    await page.get_by_role("button", name="Pay").click()
    await page.get_by_role("heading", name="Test bank").wait_for()
    return booking_id


# By day one that asks for a name and one that does not; other tests pay by iDEAL and Klarna.
@pytest.mark.parametrize("method", TITLES if NIGHTLY else ["bancontact", "paypal"])
async def test_a_method_that_redirects_is_offered_and_returns_to_the_paid_page(
    customer: BrowserPage, stripe_service: RunningService, method: str
) -> None:
    booking_id = await pay_by(customer, stripe_service, method)
    await customer.wait_for("Paid. Thank you!")

    await expect(customer.page.get_by_text("Your booking is confirmed.")).to_be_visible()
    assert customer.page.url == f"{stripe_service.address}/checkout/{booking_id}"


async def test_after_paying_and_returning_the_form_is_never_shown(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    answers: list[str] = []

    async def note(response: Response) -> None:
        if response.request.is_navigation_request() and "redirect_status" in response.url:
            answers.append(await response.text())

    customer.page.on("response", note)
    await pay_by(customer, stripe_service, "ideal")
    await customer.wait_for("Paid. Thank you!")
    await customer.look("checkout-return-paid", like="checkout-paid")

    assert len(answers) == 1
    assert "Paid. Thank you!" in answers[0]
    assert "payment-element" not in answers[0]


async def test_the_token_is_not_sent_to_the_bank(customer: BrowserPage, stripe_service: RunningService) -> None:
    sent: list[str] = []
    customer.page.on("request", lambda each: sent.append(f"{each.url} {each.headers} {each.post_data}"))
    await pay_by(customer, stripe_service, "ideal")
    await customer.wait_for("Paid. Thank you!")
    elsewhere = [each for each in sent if not each.startswith(stripe_service.address)]

    assert any("/pages/bank/" in each for each in elsewhere)
    assert not [each for each in elsewhere if stripe_service.ann in each or "token=" in each]


async def test_after_a_refusal_the_customer_can_choose_again(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    await pay_by(customer, stripe_service, "ideal", "Refuse")
    await expect(customer.page.get_by_text("2 attempts are left.")).to_be_visible()
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    await customer.look("checkout-return-failed", like="checkout-stripe")
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_after_a_return_a_processing_payment_is_shown_as_such(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    await pay_by(customer, stripe_service, "klarna", "Approve, and take your time")

    await customer.wait_for("Your bank is working on it")
    await customer.look("checkout-return-processing", like="checkout-processing")


async def test_the_page_shows_the_end_of_a_processing_payment(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    with webhooks(sandbox, stripe_service):
        await pay_by(customer, stripe_service, "klarna", "Approve, and take your time")

        await customer.wait_for("Paid. Thank you!")


async def test_a_url_that_claims_success_is_not_trusted(customer: BrowserPage, stripe_service: RunningService) -> None:
    booking_id = stripe_service.book()
    await customer.page.goto(stripe_service.checkout(booking_id))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    forged = f"{stripe_service.address}/checkout/{booking_id}?payment_intent=pi_1&redirect_status=succeeded"
    await customer.page.goto(forged)

    await customer.wait_for("Pay for your booking")
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    assert customer.page.url == f"{stripe_service.address}/checkout/{booking_id}"


async def test_after_a_return_while_stripe_is_unreachable_the_page_shows_the_outcome_later(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox
) -> None:
    async def nothing_new(route: Route) -> None:
        version = await customer.page.locator("#main").get_attribute("data-version")
        await route.fulfill(json={"stage": "checking", "version": version})

    with unreadable(sandbox):
        await customer.page.route("**/status", nothing_new)
        await pay_by(customer, stripe_service, "ideal")
        await customer.wait_for("We are checking with the bank")
        await customer.look("checkout-return-unclear", like="checkout-checking")
    await customer.page.unroute_all(behavior="wait")

    await customer.wait_for("Paid. Thank you!")


async def test_after_a_return_without_a_decision_the_authentication_continues(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    booking_id = await go_to_bank(customer, stripe_service, "ideal")
    intent_id = stripe_service.payment(booking_id)["payment_intent_id"]
    back = f"?payment_intent={intent_id}&redirect_status=succeeded"
    await customer.page.goto(f"{stripe_service.address}/checkout/{booking_id}{back}")

    await customer.wait_for("Confirm with your bank")
    await expect(customer.page.get_by_role("button", name="Go on to your bank")).to_be_enabled()
    await customer.look("checkout-return-open")


async def test_the_back_button_after_a_success_shows_no_form(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    booking_id = await pay_by(customer, stripe_service, "ideal")
    await customer.wait_for("Paid. Thank you!")
    await customer.page.go_back()
    await customer.page.get_by_role("heading", name="Test bank").wait_for()
    await customer.page.go_back()
    assert customer.page.url == f"{stripe_service.address}/checkout/{booking_id}"

    await customer.wait_for("Paid. Thank you!")


async def test_a_return_in_another_browser_shows_what_to_do(browser: Browser, stripe_service: RunningService) -> None:
    async with open_page(browser, viewport=PHONE) as other:
        back = (
            f"{stripe_service.address}/checkout/{stripe_service.book()}?payment_intent=pi_1&redirect_status=succeeded"
        )
        await other.page.goto(back)
        other.complaints.clear()  # the browser reports the 401

        await expect(other.page.get_by_text("You will not be charged twice.")).to_be_visible()
        await other.look("checkout-return-no-cookie")


# --- between the confirmation and its webhook


@pytest.mark.parametrize(
    ("method", "title"), [("pm_card_visa", "Paid. Thank you!"), ("pm_usBankAccount_processing", "Your bank is working")]
)
async def test_a_page_reloaded_before_the_webhook_shows_the_payment(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox, method: str, title: str
) -> None:
    booking_id = stripe_service.book()
    await customer.page.goto(stripe_service.checkout(booking_id))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    confirm_elsewhere(sandbox, stripe_service, booking_id, method)
    assert stripe_service.payment(booking_id)["status"] == "requires_payment_method"
    await customer.page.reload()

    await expect(customer.page.get_by_role("heading", level=1)).to_contain_text(title)
    await expect(customer.page.get_by_label("Card number")).to_have_count(0)


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_usBankAccount_processing"])
async def test_no_element_is_mounted_for_a_paid_intent_whose_webhook_is_late(
    customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox, method: str
) -> None:
    booking_id = stripe_service.book()
    await customer.page.goto(stripe_service.checkout(booking_id))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    confirm_elsewhere(sandbox, stripe_service, booking_id, method)
    with unreadable(sandbox):
        await customer.page.reload()
        await customer.wait_for("We are checking with the bank")
        await customer.look("checkout-beyond-paying", like="checkout-checking")

        await expect(customer.page.get_by_label("Card number")).to_have_count(0)
        await expect(customer.page.get_by_role("button")).to_have_count(0)


async def test_a_payment_in_another_tab_is_shown_on_return_to_this_one(
    customer: BrowserPage, stripe_service: RunningService
) -> None:
    booking_id = stripe_service.book()
    await customer.page.goto(stripe_service.checkout(booking_id))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    assert stripe_service.pay(booking_id).status_code == 200
    await customer.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await customer.wait_for("Paid. Thank you!")


async def test_two_tabs_pay_once(customer: BrowserPage, stripe_service: RunningService, sandbox: Sandbox) -> None:
    booking_id = stripe_service.book()
    await customer.page.goto(stripe_service.checkout(booking_id))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    confirm_elsewhere(sandbox, stripe_service, booking_id, "pm_card_visa")
    await pay(customer, "pm_card_mastercard")

    await customer.wait_for("Paid. Thank you!")
    intent_id = stripe_service.payment(booking_id)["payment_intent_id"]
    assert sandbox.stripe.successful_charges(intent_id) == 1


async def test_3d_secure_opens_in_a_window_of_the_page(customer: BrowserPage, stripe_service: RunningService) -> None:
    await customer.page.goto(stripe_service.checkout(stripe_service.book(currency="eur")))
    went: list[str] = []
    customer.page.on("framenavigated", lambda frame: went.append(frame.url))
    await pay(customer, "pm_card_authenticationRequired")
    await decide_at_bank(customer.page)
    await customer.wait_for("Paid. Thank you!")

    assert {each.partition("/checkout/")[0] for each in went} == {stripe_service.address}
