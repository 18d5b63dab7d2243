"""The three steps of ``docs/guides/front-end.md``, as a page of another origin runs them."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from attrs import define

from booking_payments.testing.sandbox import Sandbox
from tests.browser.stripe_js import play_stripe
from tests.browser.visitors import Shop, Visitor, shop_at
from tests.e2e.serving import serving

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/front-end.md"
STEPS = "\n".join(re.findall(r"```javascript\n(.*?)```", GUIDE.read_text(), re.DOTALL))


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


@pytest.fixture(scope="module")
def service(origin: str, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A service that lets the front end in."""
    folder = tmp_path_factory.mktemp("front-end")
    settings = {
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_SECRET_KEY": "sk_test_browser",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_browser",
        "STRIPE_WEBHOOK_SECRET": "whsec_browser",
        "JWT_SECRET": "a-secret-of-the-browser-tests-32-bytes",
        "CORS_ORIGINS": origin,
    }
    with serving(folder, settings) as address, shop_at(address, folder, settings) as opened:
        endpoint = {"url": f"{address}/api/webhooks/stripe/", "secret": "whsec_browser"}
        httpx.post(f"{sandbox.url}/_sandbox/webhook_endpoints", json=endpoint, trust_env=False).raise_for_status()
        yield opened


@define
class FrontEnd:
    """A customer on the page, and the service it calls."""

    customer: Visitor
    service: Shop

    async def pay(self, card: str) -> Any:
        """What the steps of the guide return."""
        given = {
            "api": self.service.address,
            "token": self.service.ann,
            "bookingId": self.service.book(),
            "paymentMethodId": card,
            "key": f"click-of-a-test-{self.service.booked}",
        }
        return await self.customer.page.evaluate(f"async ({{ {', '.join(given)} }}) => {{ {STEPS} }}", given)


@pytest.fixture
async def front_end(customer: Visitor, service: Shop, sandbox: Sandbox, origin: str) -> FrontEnd:
    """The page, opened, with Stripe's script."""
    await play_stripe(customer.page, sandbox)
    await customer.page.goto(origin)
    await customer.page.add_script_tag(url="https://js.stripe.com/v3/")
    return FrontEnd(customer, service)


@pytest.mark.parametrize(
    ("card", "outcome"),
    [
        ("pm_card_visa", "succeeded"),
        ("pm_card_authenticationRequired", "succeeded"),
        ("pm_card_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
    ],
)
async def test_the_steps_end_as_the_guide_says(front_end: FrontEnd, card: str, outcome: str) -> None:
    assert await front_end.pay(card) == outcome
