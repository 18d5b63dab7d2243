"""The code of ``docs/guides/front-end.md``, as a page of another origin runs it: with Stripe as the gateway, and with
the fake one, on what ``make run`` starts."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from attrs import define
from playwright.async_api import Error

from booking_payments.testing.sandbox import Sandbox
from tests.browser.browser_pages import BrowserPage, RunningService, service_at
from tests.browser.stripe_js import play_stripe
from tests.e2e.serving import serving

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/front-end.md"
BLOCKS = re.findall(r"```javascript\n(.*?)```", GUIDE.read_text(), re.DOTALL)
OUTCOME, RETURN = BLOCKS[-2:]
STEPS = "\n".join(BLOCKS[:-1])
CLIENT = '    client: "stripe_js",\n'


class Page(BaseHTTPRequestHandler):
    """An empty page of the booking app's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Front end</title>")

    def log_message(self, *_: object) -> None:
        """Nothing: pages are not what is tested."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the front end is served. A browser lets no page from elsewhere near this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["stripe", "fake"])
def service(
    request: pytest.FixtureRequest, origin: str, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service that lets the front end in, with each gateway that the guide is for."""
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
    """A customer on the page, and the service it calls."""

    customer: BrowserPage
    service: RunningService
    origin: str
    booking_id: str = ""

    async def pay(self, card: str, steps: str = STEPS) -> Any:
        """What the steps of the guide return."""
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

    async def come_back(self) -> Any:
        """What the page returns that the customer comes back to."""
        given = {"api": self.service.address, "token": self.service.ann, "bookingId": self.booking_id}
        return await self._run(f"{OUTCOME}\n{RETURN}", given)

    async def _run(self, steps: str, given: dict[str, str]) -> Any:
        return await self.customer.page.evaluate(f"async ({{ {', '.join(given)} }}) => {{ {steps} }}", given)

    async def redirect(self, outcome: str) -> None:
        """Go to the bank's page with 3-D Secure, decide there, and come back."""
        steps = STEPS.replace(CLIENT, "")
        assert steps != STEPS
        by_hand = self.service.settings.get("STRIPE_API_BASE") is None
        try:
            await self.pay("pm_card_authenticationRequired", steps)
        except Error as left:  # the browser may be gone before the steps have ended
            assert "Execution context was destroyed" in left.message  # noqa: PT017 - there may be none
        if by_hand:
            button = {"succeeded": "It's me: approve", "failed": "Refuse"}[outcome]
            await self.customer.page.get_by_role("heading", name="Test bank").wait_for()
            await self.customer.look("bank")
            await self.customer.page.get_by_role("button", name=button).click()
        await self.customer.page.wait_for_url(f"{self.origin}/back?booking={self.booking_id}&payment_intent=*")


@pytest.fixture
async def front_end(customer: BrowserPage, service: RunningService, sandbox: Sandbox, origin: str) -> FrontEnd:
    """The page, opened, with Stripe's script."""
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(origin)
    await customer.page.add_script_tag(url="https://js.stripe.com/v3/")
    return FrontEnd(customer, service, origin)


@pytest.mark.parametrize(
    ("card", "outcome"),
    [
        ("pm_card_visa", "succeeded"),
        ("pm_card_authenticationRequired", "succeeded"),
        ("pm_card_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("pm_usBankAccount_success", "succeeded"),
    ],
)
async def test_the_steps_end_as_the_guide_says(front_end: FrontEnd, card: str, outcome: str) -> None:
    assert await front_end.pay(card) == outcome
    assert front_end.customer.page.url == f"{front_end.origin}/"


async def test_with_a_redirect_the_page_one_returns_to_says_paid(front_end: FrontEnd) -> None:
    await front_end.redirect("succeeded")

    assert await front_end.come_back() == "succeeded"
    assert front_end.customer.page.url == f"{front_end.origin}/back"


async def test_with_a_redirect_the_page_one_returns_to_says_why_not(front_end: FrontEnd, sandbox: Sandbox) -> None:
    await front_end.customer.page.unroute("https://hooks.stripe.com/3d_secure_2/hosted**")
    await play_stripe(front_end.customer.page, sandbox, bank="failed")
    await front_end.redirect("failed")

    assert "unable to authenticate" in await front_end.come_back()
    assert front_end.service.payment(front_end.booking_id)["status"] == "requires_payment_method"


async def test_who_loads_the_page_again_after_paying_is_told_the_same(front_end: FrontEnd) -> None:
    await front_end.pay("pm_card_visa")
    await front_end.customer.page.reload()

    assert await front_end.come_back() == "succeeded"
