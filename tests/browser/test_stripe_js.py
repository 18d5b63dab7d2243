"""The replacement for Stripe.js that the sandbox serves, on a page of another origin: the functions it has, and
those that it refuses by name.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
from attrs import define
from playwright.async_api import Error, expect

from booking_payments.testing.sandbox import Sandbox
from tests.browser.browser_pages import BrowserPage
from tests.browser.card_form import choose, decide_at_bank, fill_card
from tests.browser.shop_page import serving_shop

NUMBERS = {
    "good": "4242424242424242",
    "declined": "4000000000000002",
    "no money": "4000000000009995",
    "3-D Secure": "4000002500003155",
    "3-D Secure, then no money": "4000008260003178",
}

OPEN = "() => { window.stripe = Stripe('pk_test_shop', { locale: 'en' }); window.shop = {}; }"
PAY = """async ({ options, params, redirect, secret }) => {
  const elements = window.shop.elements || stripe.elements(options);
  const { error: wrong } = await elements.submit();
  if (wrong) { return { error: wrong }; }
  const given = { elements, confirmParams: params, redirect };
  if (secret) { given.clientSecret = secret; }
  return stripe.confirmPayment(given);
}"""
MOUNT = """(options) => new Promise((done, failed) => {
  window.shop = { events: [] };
  shop.elements = stripe.elements(options);
  shop.element = shop.elements.create("payment", options.payment);
  for (const name of ["loaderstart", "ready", "change", "loaderror"]) {
    shop.element.on(name, (event) => shop.events.push([name, event]));
  }
  shop.element.on("ready", () => done());
  shop.element.on("loaderror", ({ error }) => done(error));
  shop.element.mount("#payment-element");
})"""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving_shop() as address:
        yield address


@define
class ShopPage:
    """A page with the script, and the server behind it."""

    customer: BrowserPage
    sandbox: Sandbox
    origin: str

    def intent(self, **changes: Any) -> dict[str, Any]:
        """What the shop's server makes, with the secret key."""
        new = {"amount": 1099, "currency": "usd", "automatic_payment_methods": {"enabled": True}, **changes}
        made = self.sandbox.stripe.call("POST", "/v1/payment_intents", new)
        assert made.ok, made.body
        return dict(made.body)

    def read(self, intent: dict[str, Any]) -> dict[str, Any]:
        """The intent as the server sees it."""
        return dict(self.sandbox.stripe.by_hand("GET", f"/v1/payment_intents/{intent['id']}", {}).body)

    async def mount(self, intent: dict[str, Any], **options: Any) -> Any:
        """Show the form; returns the error of ``loaderror``, None when it is ready."""
        return await self.customer.page.evaluate(MOUNT, {"clientSecret": intent["client_secret"], **options})

    async def pay(self, **given: Any) -> Any:
        """What ``confirmPayment`` resolves to."""
        asked = {"params": {"return_url": f"{self.origin}/back"}, "redirect": "if_required", **given}
        return await self.customer.page.evaluate(PAY, asked)

    async def evaluate(self, code: str, *given: Any) -> Any:
        return await self.customer.page.evaluate(code, *given)

    async def refusal(self, code: str) -> str:
        """What the script says of a mistake in the page's code."""
        return str(
            await self.evaluate(
                f"async () => {{ try {{ await ({code}); }} catch (e) {{ return `${{e.name}}: ${{e.message}}`; }} }}"
            )
        )


@pytest.fixture
async def shop(customer: BrowserPage, sandbox: Sandbox, origin: str) -> ShopPage:
    await customer.page.goto(origin)
    await customer.page.add_script_tag(url=f"{sandbox.url}/v3/")
    await customer.page.evaluate(
        "() => { window.stripe = Stripe('pk_test_shop', { locale: 'en' }); window.shop = {}; }"
    )
    return ShopPage(customer, sandbox, origin)


async def test_a_card_is_paid_in_the_form(shop: ShopPage) -> None:
    intent = shop.intent()
    assert await shop.mount(intent) is None
    await fill_card(shop.customer.page, NUMBERS["good"])
    paid = await shop.pay()

    assert paid["paymentIntent"]["status"] == "succeeded"
    assert shop.read(intent)["status"] == "succeeded"


async def test_a_decline_gives_stripes_error_and_another_card_pays(shop: ShopPage) -> None:
    intent = shop.intent()
    await shop.mount(intent)
    await fill_card(shop.customer.page, NUMBERS["no money"])
    error = (await shop.pay())["error"]
    await fill_card(shop.customer.page, NUMBERS["good"])
    paid = await shop.pay()

    assert (error["type"], error["code"], error["decline_code"]) == (
        "card_error",
        "card_declined",
        "insufficient_funds",
    )
    assert error["message"] == "Your card has insufficient funds."
    assert error["payment_intent"]["id"] == intent["id"]
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert paid["paymentIntent"]["status"] == "succeeded"


async def _pay_and_decide(shop: ShopPage, decide: Any) -> Any:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(decide)
        return await shop.pay()


async def test_3d_secure_opens_a_window_on_the_page(shop: ShopPage) -> None:
    await shop.mount(shop.intent())
    await fill_card(shop.customer.page, NUMBERS["3-D Secure"])

    async def approve() -> None:
        window = shop.customer.page.get_by_role("dialog", name="Test bank: 3-D Secure")
        await expect(window).to_contain_text("$10.99")
        await shop.customer.look("stripe-js-window")
        await decide_at_bank(shop.customer.page)

    paid = await _pay_and_decide(shop, approve)

    assert paid["paymentIntent"]["status"] == "succeeded"
    assert shop.customer.page.url == f"{shop.origin}/"
    await expect(shop.customer.page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("way", ["Refuse", "Escape"])
async def test_a_refused_authentication_gives_an_error(shop: ShopPage, way: str) -> None:
    await shop.mount(shop.intent())
    await fill_card(shop.customer.page, NUMBERS["3-D Secure"])

    async def refuse() -> None:
        await shop.customer.page.get_by_role("dialog").wait_for()
        if way == "Escape":
            await shop.customer.page.keyboard.press("Escape")
        else:
            await decide_at_bank(shop.customer.page, way)

    error = (await _pay_and_decide(shop, refuse))["error"]

    assert (error["type"], error["code"]) == ("invalid_request_error", "payment_intent_authentication_failure")
    assert error["payment_intent"]["status"] == "requires_payment_method"


async def test_a_decline_after_3d_secure_gives_an_error(shop: ShopPage) -> None:
    await shop.mount(shop.intent())
    await fill_card(shop.customer.page, NUMBERS["3-D Secure, then no money"])
    error = (await _pay_and_decide(shop, lambda: decide_at_bank(shop.customer.page)))["error"]

    assert error["decline_code"] == "insufficient_funds"
    assert error["payment_intent"]["last_payment_error"]["decline_code"] == "insufficient_funds"


EURO = {"currency": "eur", "automatic_payment_methods": {"enabled": True, "allow_redirects": "always"}}


@pytest.mark.parametrize(
    ("button", "told", "status"),
    [
        ("Approve", "succeeded", "succeeded"),
        ("Refuse", "failed", "requires_payment_method"),
        ("Approve, and take your time", "pending", "processing"),
    ],
)
async def test_a_method_that_redirects_goes_to_the_bank_and_returns(
    shop: ShopPage, button: str, told: str, status: str
) -> None:
    intent = shop.intent(**EURO)
    await shop.mount(intent)
    page = shop.customer.page
    await choose(page, "iDEAL")
    with pytest.raises(Error, match=r"Execution context was destroyed|navigat"):
        await shop.pay(params={"return_url": f"{shop.origin}/back?seat=A#top"})
    await expect(page.get_by_role("heading", name="Test bank")).to_be_visible()
    if status == "succeeded":  # the page is the same before each decision
        await shop.customer.look("stripe-js-bank")
    await decide_at_bank(page, button)
    await page.wait_for_url(f"{shop.origin}/back?**")

    query = parse_qs(urlsplit(page.url).query)
    assert query == {
        "seat": ["A"],
        "payment_intent": [intent["id"]],
        "payment_intent_client_secret": [intent["client_secret"]],
        "redirect_status": [told],
    }
    assert urlsplit(page.url).fragment == "top"
    assert shop.read(intent)["status"] == status


async def test_a_card_goes_to_the_return_url_unless_redirects_are_only_for_methods_that_need_one(
    shop: ShopPage,
) -> None:
    intent = shop.intent()
    await shop.mount(intent)
    await fill_card(shop.customer.page, NUMBERS["good"])
    with pytest.raises(Error, match=r"Execution context was destroyed|navigat"):
        await shop.pay(redirect="always")
    await shop.customer.page.wait_for_url(f"{shop.origin}/back?**")

    assert f"payment_intent={intent['id']}&" in shop.customer.page.url
    assert shop.customer.page.url.endswith("&redirect_status=succeeded")


INCOMPLETE = (
    ({"number": "4242"}, "incomplete_number"),
    ({"number": "4242424242424241"}, "invalid_number"),
    ({"number": NUMBERS["good"], "expiry": "1"}, "incomplete_expiry"),
    ({"number": NUMBERS["good"], "expiry": "12 / 20"}, "invalid_expiry_year_past"),
    ({"number": NUMBERS["good"], "cvc": "12"}, "incomplete_cvc"),
    ({"number": "378282246310005"}, "incomplete_cvc"),
)
"""What a customer types, and the code of the error."""


async def test_an_incomplete_form_is_not_sent(shop: ShopPage) -> None:
    await shop.mount(shop.intent())
    before = len(shop.sandbox.stripe.calls_so_far())
    for card, code in INCOMPLETE:
        await fill_card(shop.customer.page, **card)
        error = (await shop.pay())["error"]

        assert (error["type"], error["code"]) == ("validation_error", code), card
        await expect(shop.customer.page.get_by_role("alert")).to_have_text(error["message"])
        assert len(shop.sandbox.stripe.calls_so_far()) == before, card


async def test_events_report_that_the_form_is_ready_and_complete(shop: ShopPage) -> None:
    await shop.mount(shop.intent())
    await fill_card(shop.customer.page, NUMBERS["good"])
    events = await shop.evaluate("() => shop.events")

    assert [name for name, _ in events[:2]] == ["loaderstart", "ready"]
    changes = [event for name, event in events if name == "change"]
    assert [each["complete"] for each in changes] == [False, False, True]
    assert changes[-1] == {
        "elementType": "payment",
        "complete": True,
        "empty": False,
        "collapsed": False,
        "value": {"type": "card"},
    }


async def test_no_form_is_shown_for_an_intent_that_is_no_longer_payable(shop: ShopPage) -> None:
    intent = shop.intent(
        payment_method="pm_card_visa",
        confirm=True,
        automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
    )
    error = await shop.mount(intent)

    assert error["code"] == "payment_intent_unexpected_state"
    await expect(shop.customer.page.get_by_label("Card number")).to_have_count(0)


async def test_a_wrong_secret_is_a_loaderror_with_stripes_refusal(shop: ShopPage) -> None:
    intent = shop.intent()
    error = await shop.mount({**intent, "client_secret": f"{intent['id']}_secret_wrong"})

    assert (error["type"], error["param"]) == ("invalid_request_error", "client_secret")


async def test_a_form_before_the_intent_is_paid_with_the_intent_that_comes_later(shop: ShopPage) -> None:
    error = await shop.evaluate(MOUNT, {"mode": "payment", "amount": 1099, "currency": "usd"})
    await fill_card(shop.customer.page, NUMBERS["good"])
    other = await shop.pay(secret=shop.intent(amount=2000)["client_secret"])
    paid = await shop.pay(secret=shop.intent()["client_secret"])

    assert error is None
    assert other["error"]["param"] == "amount"
    assert paid["paymentIntent"]["status"] == "succeeded"


async def test_fetch_updates_shows_the_types_that_the_server_has_chosen_meanwhile(shop: ShopPage) -> None:
    intent = shop.intent(**EURO)
    await shop.mount(intent)
    page = shop.customer.page
    await expect(page.get_by_role("radio")).to_have_count(6)
    changed = {"allowed_payment_method_types": ["card", "ideal"]}
    assert shop.sandbox.stripe.call("POST", f"/v1/payment_intents/{intent['id']}", changed).ok

    assert await shop.evaluate("() => shop.elements.fetchUpdates()") == {}
    await expect(page.get_by_role("radio")).to_have_count(2)


async def test_a_form_can_be_unmounted_and_mounted_again(shop: ShopPage) -> None:
    await shop.mount(shop.intent())
    form = shop.customer.page.get_by_label("Card number")
    await expect(form).to_have_count(1)
    await shop.evaluate("() => shop.element.unmount()")
    await expect(form).to_have_count(0)
    await shop.evaluate("() => shop.element.mount(document.getElementById('payment-element'))")
    await expect(form).to_have_count(1)
    await shop.evaluate("() => shop.element.destroy()")

    await expect(form).to_have_count(0)
    assert "already been destroyed" in await shop.refusal("shop.element.mount('#payment-element')")
    assert await shop.evaluate("() => shop.elements.create('payment') === shop.elements.getElement('payment')")


async def test_a_bank_debit_needs_no_mandate_of_the_servers(shop: ShopPage) -> None:
    intent = shop.intent(currency="eur")
    await shop.mount(intent)
    page = shop.customer.page
    await choose(page, "SEPA Debit")
    for label, text in [("IBAN", "AT611904300234573201"), ("Full name", "Jenny Rosen"), ("Email", "jenny@example.com")]:
        await page.get_by_label(label).fill(text)
    await shop.customer.look("stripe-js-debit")

    assert (await shop.pay())["paymentIntent"]["status"] == "processing"


async def test_a_voucher_is_shown(shop: ShopPage) -> None:
    intent = shop.intent(currency="mxn", allowed_payment_method_types=["oxxo"], automatic_payment_methods=None)
    await shop.mount(intent)
    page = shop.customer.page
    for label, text in [("Full name", "Jenny Rosen"), ("Email", "jenny@example.com")]:
        await page.get_by_label(label).fill(text)

    async def close() -> None:
        number = shop.read(intent)["next_action"]["oxxo_display_details"]["number"]
        await expect(page.get_by_role("dialog")).to_contain_text(number)
        await decide_at_bank(page, "Close")

    async def when_shown() -> None:
        await page.get_by_role("dialog").wait_for()
        await close()

    assert (await _pay_and_decide(shop, when_shown))["paymentIntent"]["status"] == "requires_action"


@pytest.mark.parametrize("call", ["handleNextAction({ clientSecret: secret })", "confirmCardPayment(secret)"])
async def test_a_payment_started_by_the_server_can_be_continued(shop: ShopPage, call: str) -> None:
    begun = shop.intent(
        payment_method="pm_card_authenticationRequired",
        confirm=True,
        automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
        use_stripe_sdk=True,
    )
    assert begun["status"] == "requires_action"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(decide_at_bank, shop.customer.page)
        result = await shop.evaluate(f"(secret) => stripe.{call}", begun["client_secret"])

    assert result["paymentIntent"]["status"] == "succeeded"


async def test_confirming_with_the_id_of_a_method_pays(shop: ShopPage) -> None:
    secret = shop.intent()["client_secret"]
    code = "([secret, method]) => stripe.confirmCardPayment(secret, { payment_method: method })"
    declined = await shop.evaluate(code, [secret, "pm_card_chargeDeclined"])
    paid = await shop.evaluate(code, [secret, "pm_card_visa"])

    assert declined["error"]["decline_code"] == "generic_decline"
    assert paid["paymentIntent"]["status"] == "succeeded"


async def test_a_method_is_created_for_a_server_that_confirms(shop: ShopPage) -> None:
    given = {"mode": "payment", "amount": 1099, "currency": "usd", "paymentMethodCreation": "manual"}
    await shop.evaluate(MOUNT, given)
    await fill_card(shop.customer.page, NUMBERS["good"])
    made = await shop.evaluate(
        """async () => {
          await shop.elements.submit();
          const params = { billing_details: { name: "Jenny" } };
          return stripe.createPaymentMethod({ elements: shop.elements, params });
        }"""
    )

    assert made["paymentMethod"]["card"]["last4"] == "4242"
    assert made["paymentMethod"]["billing_details"]["name"] == "Jenny"


async def test_the_publishable_key_reads_only_with_the_secret(shop: ShopPage) -> None:
    intent = shop.intent()
    good = await shop.evaluate("(secret) => stripe.retrievePaymentIntent(secret)", intent["client_secret"])
    bad = await shop.evaluate("(secret) => stripe.retrievePaymentIntent(secret)", f"{intent['id']}_secret_wrong")

    assert good["paymentIntent"]["id"] == intent["id"]
    assert bad["error"]["param"] == "client_secret"


REFUSED = (
    ("Stripe()", "apiKey should be a string"),
    ("Stripe('sk_test_x')", "should not use your secret key"),
    ("Stripe('pk_live_x')", "begin with pk_test_"),
    ("Stripe('pk_test_x', { stripeAccount: 'acct_1' })", "stripeAccount is not modelled"),
    ("Stripe('pk_test_x', { colour: 'red' })", "colour is not a recognized parameter"),
    ("stripe.elements({ mode: 'setup', currency: 'usd' })", "mode 'setup' is not modelled"),
    ("stripe.elements({ mode: 'payment', amount: 10.5, currency: 'usd' })", "amount should be"),
    ("stripe.elements({ clientSecret: 'seti_1_secret_2' })", "SetupIntent is not modelled"),
    ("stripe.elements({ customerSessionClientSecret: 'x' })", "customerSessionClientSecret is not modelled"),
    ("stripe.elements(FORM).create('card')", "elements.create('card') is not modelled"),
    ("stripe.elements(FORM).create('payment', { applePay: {} })", "applePay is not modelled"),
    ("stripe.elements(FORM).create('payment').mount('#nowhere')", "applies to no DOM elements"),
    ("stripe.elements(FORM).create('payment').on('paid', () => {})", "and not paid"),
    ("stripe.elements(FORM).submit()", "needs a mounted Payment Element"),
    ("stripe.confirmPayment({ clientSecret: 'pi_1_secret_2' })", "return_url is required"),
    ("stripe.confirmPayment({ clientSecret: 'x', redirect: 'if_required' })", "is not a client secret"),
    ("stripe.confirmPayment({ redirect: 'never' })", "redirect: it must be one of"),
    ("stripe.confirmPayment({ confirmParams: { confirmation_token: 'x' } })", "confirmation_token is not modelled"),
    ("stripe.confirmCardPayment('pi_1_secret_2', { payment_method: { card: {} } })", "with a card Element is not"),
    ("stripe.createToken({})", "stripe.createToken() is not modelled"),
    ("stripe.confirmIdealPayment('x')", "Use confirmPayment() with a Payment Element"),
    ("stripe.confirmSetup({})", "stripe.confirmSetup() is not modelled"),
    ("stripe.createPaymentMethod({ type: 'card', card: {} })", "is not modelled"),
)
"""Mistakes in a page's code, and what the refusal says."""


async def test_a_missing_function_is_refused_by_its_name(shop: ShopPage) -> None:
    form = "{ mode: 'payment', amount: 1099, currency: 'usd' }"
    refusals = {code: await shop.refusal(code.replace("FORM", form)) for code, _ in REFUSED}

    assert {code: refusals[code] for code, said in REFUSED if said not in refusals[code]} == {}
    assert {each.partition(":")[0] for each in refusals.values()} == {"IntegrationError"}


async def test_every_function_of_stripe_js_exists_or_is_refused(shop: ShopPage) -> None:
    known = await shop.evaluate("() => Object.keys(stripe)")

    assert {name for name in CALLS if name not in known} == set()


# The calls that Stripe documents for an object that Stripe() returns.
# fmt: off
CALLS = (
    "confirmPayment", "confirmSetup", "confirmCardPayment", "confirmCardSetup", "createConfirmationToken",
    "createPaymentMethod", "createRadarSession", "createSource", "createToken", "elements", "handleCardAction",
    "handleNextAction", "paymentRequest", "registerAppInfo", "retrievePaymentIntent", "retrieveSetupIntent",
)
# fmt: on


@pytest.mark.parametrize("path", ["/v3/", "/v3", "/stripe.js", "/endive/stripe.js"])
def test_the_script_has_the_addresses_of_stripes(sandbox: Sandbox, path: str) -> None:
    answer = httpx2.get(f"{sandbox.url}{path}", trust_env=False)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert re.search(r"window\.Stripe = Stripe;", answer.text)
