"""Log-in at an OpenID provider in a real browser: there, back, in a role, and out again everywhere."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from attrs import frozen
from playwright.async_api import Browser, expect

from booking_payments.adapters.memory.clock import ManualClock
from tests.browser.browser_pages import BrowserPage, RunningService, open_page, service_at
from tests.e2e.serving import serving
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, OLGA, Provider

RITA = {**OLGA, "sub": "7", "name": "Rita Example", "email": "rita@example.com"}


@frozen
class Console:
    """A service, the provider at which its operators log in, and browsers that nobody is logged in with."""

    service: RunningService
    provider: Provider
    browsers: list[BrowserPage]

    async def log_in(self, browser: BrowserPage, path: str) -> None:
        """Open a page of the console, and log in at the provider on the way."""
        await browser.page.goto(f"{self.service.address}{path}")
        await browser.page.get_by_role("link", name="Log in with localhost").click()
        await browser.page.get_by_role("link", name="Log in here").click()


@pytest.fixture(scope="module")
def running(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, Provider]]:
    folder, provider = tmp_path_factory.mktemp("console"), Provider(ManualClock(datetime.now(UTC)))
    with provider.serving():
        settings = {
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_ROLE_CLAIM": "roles",
        }
        with serving(folder, settings) as address, service_at(address, folder, settings) as opened:
            yield opened, provider


@pytest.fixture
async def console(browser: Browser, running: tuple[RunningService, Provider]) -> AsyncIterator[Console]:
    service, provider = running
    async with AsyncExitStack() as stack:
        yield Console(service, provider, [await stack.enter_async_context(open_page(browser)) for _ in range(3)])


async def test_operators_log_in_at_the_provider_in_their_role_and_log_out_everywhere(console: Console) -> None:
    service, provider, (olga, again, rita) = console.service, console.provider, console.browsers
    booking_id = service.book()
    service.pay(booking_id)
    payment = f"/console/payments/{service.payment(booking_id)['payment_id']}"

    await console.log_in(olga, payment)
    await expect(olga.page.get_by_role("link", name="Olga Example")).to_be_visible()
    await expect(olga.page.get_by_role("button", name="Look at the quote")).to_be_visible()
    assert olga.page.url == f"{service.address}{payment}"
    await console.log_in(again, "/console/")
    await again.wait_for("Dashboard")

    provider.claims, provider.roles = RITA, ["payments:read"]
    await console.log_in(rita, payment)
    await expect(rita.page.get_by_role("link", name="Rita Example")).to_be_visible()
    await expect(rita.page.get_by_text("you may look at everything and change nothing")).to_be_visible()
    assert await rita.page.get_by_role("main").get_by_role("button").all_inner_texts() == []

    await olga.page.get_by_role("link", name="Olga Example").click()
    await expect(olga.page.get_by_text("may act (payments:operate)")).to_be_visible()
    await expect(olga.page.get_by_role("button", name="Log out Rita Example everywhere")).to_be_visible()
    olga.elsewhere.clear()  # the provider
    await olga.look("console-sessions")
    await olga.page.get_by_role("button", name="Log out everywhere", exact=True).click()
    await olga.wait_for("Operator console")
    assert olga.page.url == f"{service.address}/console/login"
    assert provider.logged_out == [OLGA["sub"]]

    await again.page.reload()
    await again.wait_for("Operator console")
    await rita.page.reload()
    await expect(rita.page.get_by_role("link", name="Rita Example")).to_be_visible()


async def test_a_form_that_came_too_late_is_sent_again_by_the_browser_after_a_log_in(console: Console) -> None:
    """The page says so: log in in another tab, then load this page again."""
    service, provider, late = console.service, console.provider, console.browsers[0]
    provider.claims, provider.roles = OLGA, ["payments:operate"]
    await console.log_in(late, "/console/drift")
    await late.wait_for("Drift")
    with sqlite3.connect(service.folder / "booking-payments.db") as books:
        books.execute("UPDATE bp_console_sessions SET ends_at = started_at")
    books.close()

    await late.page.get_by_role("button", name="Compare with the gateway now").click()
    await late.wait_for("You are logged out")
    other_tab = BrowserPage(await late.page.context.new_page())
    await console.log_in(other_tab, "/console/")
    await other_tab.wait_for("Dashboard")
    await late.page.reload()

    await late.wait_for("Drift")
    assert late.page.url == f"{service.address}/console/drift"  # where the form leads when it is taken
