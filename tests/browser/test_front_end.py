"""The code of ``docs/guides/front-end.md``, run by a page of another origin: with Stripe as the gateway, and with
the fake one, as ``make run`` starts it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from attrs import define
from playwright.async_api import Error

from booking_payments.testing.sandbox import Sandbox
from tests.browser.browser_pages import BrowserPage, RunningService, service_at
from tests.browser.card_form import decide_at_bank
from tests.browser.shop_page import serving_shop
from tests.e2e.serving import serving

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/front-end.md"
BLOCKS = re.findall(r"```javascript\n(.*?)```", GUIDE.read_text(), re.DOTALL)
OUTCOME, RETURN = BLOCKS[-2:]
STEPS = "\n".join(BLOCKS[:-1])
CLIENT = '    client: "stripe_js",\n'


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The origin of the front end. Browsers do not let pages of other machines connect to this one."""
    with serving_shop() as address:
        yield address


@pytest.fixture(scope="module", params=["stripe", "fake"])
def service(
    request: pytest.FixtureRequest, origin: str, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service that allows the front end's origin, with each gateway of the guide."""
    folder = tmp_path_factory.mktemp("front-end")
    settings = {"CORS_ORIGINS": origin, "PAYMENT_RETURN_URL_ORIGINS": origin}
    if request.param == "fake":
        with serving(folder, settings) as address, service_at(address, folder, settings) as opened:
            yield opened
        return
    settings |= {
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_SECRET_KEY": "sk_test_browser",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_browser",
        "STRIPE_WEBHOOK_SECRET": "whsec_browser",
        "JWT_SECRET": "a-secret-of-the-browser-tests-32-bytes",
    }
    with serving(folder, settings) as address, service_at(address, folder, settings) as opened:
        endpoint = {"url": f"{address}/api/webhooks/stripe/", "secret": "whsec_browser"}
        httpx2.post(f"{sandbox.url}/_sandbox/webhook_endpoints", json=endpoint, trust_env=False).raise_for_status()
        yield opened


@define
class FrontEnd:
    """A customer's page, and the service that it calls."""

    customer: BrowserPage
    service: RunningService
    origin: str
    booking_id: str = ""

    async def pay(self, card: str, steps: str = STEPS) -> Any:
        """Return the result of the guide's steps."""
        self.booking_id = self.service.book()
        given = {
            "api": self.service.address,
            "token": self.service.ann,
            "bookingId": self.booking_id,
            "paymentMethodId": card,
            "key": f"click-of-a-test-{self.service.booked}",
            "returnUrl": f"{self.origin}/back?booking={self.booking_id}",
        }
        return await self._run(steps, given)

    async def pay_in_window(self, card: str) -> Any:
        """The same; the customer approves in the window of 3-D Secure, where the script shows one."""
        window = self.service.settings.get("STRIPE_API_BASE") and card.startswith("pm_card_authentication")
        async with anyio.create_task_group() as tasks:
            if window:
                tasks.start_soon(decide_at_bank, self.customer.page)
            return await self.pay(card)

    async def come_back(self) -> Any:
        """Return the result of the page to which the customer returns."""
        given = {"api": self.service.address, "token": self.service.ann, "bookingId": self.booking_id}
        return await self._run(f"{OUTCOME}\n{RETURN}", given)

    async def _run(self, steps: str, given: dict[str, str]) -> Any:
        return await self.customer.page.evaluate(f"async ({{ {', '.join(given)} }}) => {{ {steps} }}", given)

    async def redirect(self, outcome: str) -> None:
        """Go to the bank's page for 3-D Secure, decide there, and return."""
        steps = STEPS.replace(CLIENT, "")
        assert steps != STEPS
        fake = self.service.settings.get("STRIPE_API_BASE") is None
        try:
            await self.pay("pm_card_authenticationRequired", steps)
        except Error as left:  # the page may have navigated away before the steps have ended
            assert "Execution context was destroyed" in left.message  # noqa: PT017 - there may be none
        approve = "It's me: approve" if fake else "Approve"
        await self.customer.page.get_by_role("heading", name="Test bank").wait_for()
        if outcome == "succeeded":  # the page is the same before either decision
            await self.customer.look("bank", like="" if fake else "stripe-js-bank")
        await decide_at_bank(self.customer.page, {"succeeded": approve, "failed": "Refuse"}[outcome])
        await self.customer.page.wait_for_url(f"{self.origin}/back?booking={self.booking_id}&payment_intent=*")


@pytest.fixture
async def front_end(customer: BrowserPage, service: RunningService, sandbox: Sandbox, origin: str) -> FrontEnd:
    """Open the page with Stripe's script."""
    await customer.page.goto(origin)
    await customer.page.add_script_tag(url=f"{sandbox.url}/v3/")
    return FrontEnd(customer, service, origin)


OUTCOMES = {
    "pm_card_visa": "succeeded",
    "pm_card_authenticationRequired": "succeeded",
    "pm_card_chargeDeclinedInsufficientFunds": "Your card has insufficient funds.",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "Your card has insufficient funds.",
    "pm_usBankAccount_success": "succeeded",
}


async def test_the_steps_have_the_result_in_the_guide(front_end: FrontEnd) -> None:
    assert {card: await front_end.pay_in_window(card) for card in OUTCOMES} == OUTCOMES
    assert front_end.customer.page.url == f"{front_end.origin}/"


async def test_after_a_redirect_the_return_page_shows_the_payment(front_end: FrontEnd) -> None:
    await front_end.redirect("succeeded")

    assert await front_end.come_back() == "succeeded"
    assert front_end.customer.page.url == f"{front_end.origin}/back"


async def test_after_a_redirect_the_return_page_shows_the_decline(front_end: FrontEnd) -> None:
    await front_end.redirect("failed")

    assert "unable to authenticate" in await front_end.come_back()
    assert front_end.service.payment(front_end.booking_id)["status"] == "requires_payment_method"


async def test_reloading_the_page_after_paying_shows_the_same_result(front_end: FrontEnd) -> None:
    await front_end.pay("pm_card_visa")
    await front_end.customer.page.reload()

    assert await front_end.come_back() == "succeeded"
