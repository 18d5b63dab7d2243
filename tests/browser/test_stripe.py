"""The checkout in a real browser with Stripe as the gateway; the sandbox plays Stripe."""

import httpx
from playwright.async_api import expect

from booking_payments.testing.sandbox import Sandbox
from tests.browser.stripe_js import play_stripe
from tests.browser.visitors import Shop, Visitor


async def pay(customer: Visitor, card: str) -> None:
    await customer.page.get_by_label("Card").fill(card)
    await customer.page.get_by_role("button", name="Pay").click()


async def test_the_card_goes_from_the_browser_to_stripe(customer: Visitor, stripe_shop: Shop, sandbox: Sandbox) -> None:
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(stripe_shop.checkout(stripe_shop.book()))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    await customer.look("checkout-stripe")
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_stripe_never_sees_the_token(customer: Visitor, stripe_shop: Shop, sandbox: Sandbox) -> None:
    await play_stripe(customer.page, sandbox)
    headers: list[dict[str, str]] = []
    customer.page.on("request", lambda request: headers.append({"url": request.url, **request.headers}))
    await customer.page.goto(stripe_shop.checkout(stripe_shop.book()))
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_enabled()
    seen = await customer.page.evaluate("window.seenByStripe")

    assert "?" not in seen
    assert stripe_shop.ann not in repr([each for each in headers if "stripe.com" in each["url"]])


async def test_a_decline_at_stripe_is_told_and_another_card_works(
    customer: Visitor, stripe_shop: Shop, sandbox: Sandbox
) -> None:
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(stripe_shop.checkout(stripe_shop.book()))
    await pay(customer, "pm_card_chargeDeclinedInsufficientFunds")
    await expect(customer.page.get_by_text("2 attempts are left.")).to_be_visible()
    await pay(customer, "pm_card_visa")

    await customer.wait_for("Paid. Thank you!")


async def test_3d_secure_is_passed_at_stripe(customer: Visitor, stripe_shop: Shop, sandbox: Sandbox) -> None:
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(stripe_shop.checkout(stripe_shop.book()))
    await pay(customer, "pm_card_authenticationRequired")

    await customer.wait_for("Paid. Thank you!")


async def test_an_authentication_that_was_left_is_gone_on_with(
    customer: Visitor, stripe_shop: Shop, sandbox: Sandbox
) -> None:
    booking_id = stripe_shop.book()
    stripe_shop.pay(booking_id, "pm_card_authenticationRequired")
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(stripe_shop.checkout(booking_id))
    await customer.page.get_by_role("button", name="Go on to your bank").click()

    await customer.wait_for("Paid. Thank you!")


async def test_what_nobody_knows_is_found_out_while_the_customer_waits(
    customer: Visitor, stripe_shop: Shop, sandbox: Sandbox
) -> None:
    booking_id = stripe_shop.book()
    fault = {"match": "POST /v1/payment_intents", "times": 3, "fault": "reset_after"}
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{sandbox.url}/_sandbox/faults", json=fault)).raise_for_status()
    assert stripe_shop.pay(booking_id).json()["outcome_unknown"]
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(stripe_shop.checkout(booking_id))

    await customer.wait_for("We are checking with the bank")
    await expect(customer.page.get_by_text("You will not be charged twice.")).to_be_visible()
    await customer.look("checkout-checking")
    await customer.wait_for("Paid. Thank you!")


async def test_when_stripes_script_can_not_be_had_it_is_told(
    customer: Visitor, stripe_shop: Shop, sandbox: Sandbox
) -> None:
    await play_stripe(customer.page, sandbox, loads=False)
    await customer.page.goto(stripe_shop.checkout(stripe_shop.book()))

    await expect(customer.page.get_by_role("alert")).to_contain_text("The payment form can't be loaded.")
