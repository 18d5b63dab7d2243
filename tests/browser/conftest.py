"""A real browser with a real service: Debian's chromium, driven by playwright. Skipped when no chromium is
installed.

Debian's ``chromium-headless-shell`` is preferred, the same engine without the window around the page: the tests need a
third less processor time with it.
"""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright

from booking_payments.testing.sandbox import Sandbox
from tests.browser.browser_pages import (
    PHONE,
    BrowserPage,
    RunningService,
    open_page,
    open_page_in,
    open_shared_context,
    service_at,
)
from tests.e2e.serving import serving

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), "")

FLAGS = ("--no-sandbox", "--disable-gpu", "--renderer-process-limit=1")
"""Without a spare process for each new window, and without drawing by a graphics card that test machines lack."""


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for the whole run."""
    if not CHROMIUM:
        pytest.skip("no chromium is found; on Debian: apt install chromium-headless-shell, elsewhere chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield started
        await started.close()


@pytest.fixture(scope="session")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the fake gateway."""
    folder = tmp_path_factory.mktemp("shop")
    settings = {"MAX_UNPAID_BOOKINGS_PER_CUSTOMER": "100"}  # all tests book for Ann
    with serving(folder, settings) as address, service_at(address, folder, settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def sandbox(browser: Browser) -> Iterator[Sandbox]:
    """The server that replaces Stripe."""
    with Sandbox() as opened:
        yield opened


@pytest.fixture(scope="session")
def stripe_service(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service connected to the sandbox in place of Stripe."""
    folder = tmp_path_factory.mktemp("stripe-shop")
    settings = {
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_JS_URL": f"{sandbox.url}/v3/",
        "STRIPE_SECRET_KEY": "sk_test_browser",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_browser",
        "STRIPE_WEBHOOK_SECRET": "whsec_browser",
        "JWT_SECRET": "a-secret-of-the-browser-tests-32-bytes",
        "PAYMENT_RETRY_DELAY": "0",
        "MAX_UNPAID_BOOKINGS_PER_CUSTOMER": "100",
    }
    with serving(folder, settings) as address, service_at(address, folder, settings) as opened:
        yield opened


@pytest.fixture(scope="session")
async def phone(browser: Browser) -> AsyncIterator[BrowserContext]:
    """The browser of all customers."""
    async with open_shared_context(browser, PHONE) as context:
        yield context


@pytest.fixture
async def customer(phone: BrowserContext) -> AsyncIterator[BrowserPage]:
    """A customer's browser in phone size, without cookies."""
    await phone.clear_cookies()
    async with open_page_in(phone) as arrived:
        yield arrived


async def _log_in(arrived: BrowserPage, service: RunningService) -> None:
    await arrived.page.goto(f"{service.address}/console/")
    await arrived.page.get_by_label("Operator token").fill(service.operator)
    await arrived.page.get_by_role("button", name="Log in").click()
    await arrived.page.get_by_role("heading", name="Dashboard").wait_for()


@pytest.fixture(scope="session")
async def desk(browser: Browser, service: RunningService) -> AsyncIterator[BrowserContext]:
    """The browser of an operator who is logged in."""
    async with open_shared_context(browser) as context:
        async with open_page_in(context) as arrived:
            await _log_in(arrived, service)
        yield context


@pytest.fixture
async def operator(desk: BrowserContext) -> AsyncIterator[BrowserPage]:
    """A browser in which an operator is logged in, without a page. All its users share a session: none may end it."""
    async with open_page_in(desk) as arrived:
        yield arrived


@pytest.fixture
async def operator_who_leaves(browser: Browser, service: RunningService) -> AsyncIterator[BrowserPage]:
    """A browser in which an operator has just logged in, in a session of its own, and sees the dashboard."""
    async with open_page(browser) as arrived:
        await _log_in(arrived, service)
        yield arrived
