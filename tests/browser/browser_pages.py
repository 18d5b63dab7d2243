"""Browser pages and the services that they open.

Everything that the browser reports as an error, or loads from another origin, is recorded. With
``SCREENSHOTS=folder`` in the environment, every checked page is photographed there, in desktop and phone size, light
and dark.
"""

import os
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
from attrs import Factory, define
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, TimeoutError, ViewportSize

from tests.e2e.serving import printed
from tests.nightly import NIGHTLY

PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 900}
WIDTHS = (320, 390, 768, 1024, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((each) => !each.closest("pre, svg, .skip, .hidden-label, thead, noscript") && each.checkVisibility())
  .filter((each) => {
    const edge = each.getBoundingClientRect();
    const hides = each.matches("td, th") || getComputedStyle(each).overflowX !== "visible";
    return edge.width && (edge.left < 0 || edge.right > innerWidth || hides && each.scrollWidth > each.clientWidth + 1);
  })
  .map((each) => `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 40)}`)"""
"""Elements that extend beyond an edge: of the window, of a box that hides the overflow, or of a table cell beside
another.
"""
OUTSIDE_ITS_BOX = """[...document.querySelectorAll("svg text")]
  .filter((each) => each.checkVisibility() && each.textContent.trim())
  .filter((each) => {
    const box = each.closest(".lifecycle") ? each.parentElement.querySelector("rect") : each.closest(".panel");
    const [label, edge] = [each.getBoundingClientRect(), box.getBoundingClientRect()];
    return label.left < edge.left - 1 || label.right > edge.right + 1;
  })
  .map((each) => each.textContent)"""
"""Labels of diagrams and charts that are wider than their box."""
TOO_SMALL = """[...document.querySelectorAll(".pygal-chart text, .lifecycle text")]
  .filter((each) => each.checkVisibility() && each.textContent.trim() && each.getClientRects().length)
  .filter((each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a < 9.5)
  .map((each) => each.textContent)"""
"""Labels of diagrams and charts that are too small to read: below 9.5 pixels."""

OVERLAPS = """[...document.querySelectorAll("tbody tr, .facts > div, .head, .filters")].flatMap((row) => {
  const texts = [...row.children].filter((each) => each.checkVisibility() && !each.matches("details")).map((each) => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return { text: each.textContent.trim().slice(0, 40), boxes: [...range.getClientRects()] };
  });
  const meet = (one, other) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 3
    && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4;
  return texts.flatMap((one, place) => texts.slice(place + 1)
    .filter((other) => one.boxes.some((box) => other.boxes.some((its) => meet(box, its))))
    .map((other) => `"${one.text}" and "${other.text}" overlap`));
})"""
"""Cells of a row whose texts lie over each other."""
BROKEN_WORDS = """(() => {
  const found = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const around = text.parentElement;
    if (!around.checkVisibility() || around.closest("pre, svg, code, bdi, thead, .hidden-label")) continue;
    for (const word of text.data.matchAll(/(?<![^\\s(])\\p{L}{2,24}(?![^\\s.,:;!?)])/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(word[0]);
    }
  }
  return found.map((each) => `"${each}" is broken`);
})()"""
"""Words that begin on one line and end on the next. Ids and texts of others may do so."""
TOO_NEAR = """[...document.querySelectorAll("button, .button, input, select, summary")]
  .filter((each) => each.checkVisibility() && !each.matches("[type=hidden], [type=radio], [type=checkbox]"))
  .flatMap((each) => {
    const [edge, before] = [each.getBoundingClientRect(), each.previousElementSibling];
    const its = each.matches("button, .button") && before?.checkVisibility() && before.getBoundingClientRect();
    const near = its && its.height && its.bottom > edge.top - 4 && its.top < edge.top && its.left < edge.right
      && its.right > edge.left && its.bottom < edge.bottom;
    const name = each.name || each.textContent.trim();
    return [edge.height < 24 && `"${name}" is too low`, near && `"${name}" touches what is above`].filter(Boolean);
  })"""
"""Controls that are too low to be touched, and buttons without a space above."""
LAYOUT = f"[{', '.join((TOO_WIDE, OUTSIDE_ITS_BOX, TOO_SMALL, OVERLAPS, BROKEN_WORDS, TOO_NEAR))}].flat()"
"""All of these, asked for at once."""
EVERY_WIDTH: dict[str, Any] = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
"""What axe checks at every width. Other results than violations would take longer to report than to find."""
IN_ALL_WIDTHS = NIGHTLY or "SCREENSHOTS" in os.environ


@define
class RunningService:
    """A running service, with the tokens of a shop that uses it."""

    address: str
    client: httpx2.Client
    folder: Path
    settings: Mapping[str, str]
    app: str
    operator: str
    ann: str
    booked: int = 0

    def book(self, **changes: Any) -> str:
        """Register a booking of Ann, and return its id."""
        self.booked += 1
        new = {
            "reference": f"SEAT-{self.booked}",
            "customer_id": "ann",
            "amount": "100.00",
            "currency": "usd",
            "event_starts_at": "2030-01-01T20:00:00Z",
            **changes,
        }
        answer = self.client.post("/api/bookings/", headers=_bearer(self.app), json=new)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def checkout(self, booking_id: str) -> str:
        """The payment link for Ann."""
        return f"{self.address}/checkout/{booking_id}?token={self.ann}"

    def pay(self, booking_id: str, method: str = "pm_card_visa") -> httpx2.Response:
        """Pay as Ann over the API."""
        body = {"payment_method_id": method, "confirm_immediately": True}
        return self.client.post(f"/api/bookings/{booking_id}/payment/intent/", headers=_bearer(self.ann), json=body)

    def payment(self, booking_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/bookings/{booking_id}/payment/status/", headers=_bearer(self.operator))
        content: dict[str, Any] = answer.json()
        return content

    def log(self) -> str:
        """Return the log of the service."""
        return (self.folder / "serve.log").read_text()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def service_at(address: str, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[RunningService]:
    def token(sub: str, scope: str = "") -> str:
        return printed(folder, "token", "--sub", sub, "--scope", scope, settings=settings)

    with httpx2.Client(base_url=address, trust_env=False, timeout=20) as client:
        yield RunningService(
            address=address,
            client=client,
            folder=folder,
            settings=settings or {},
            app=token("shop", "bookings:write"),
            operator=token("olga", "payments:operate"),
            ann=token("ann"),
        )


@define
class BrowserPage:
    """A browser page. ``complaints``: errors that the browser reports, such as requests refused by policy, missing
    files and failing scripts.
    """

    page: Page
    complaints: list[str] = Factory(list)
    elsewhere: list[str] = Factory(list)

    async def look(self, name: str, like: str = "") -> None:
        """Check the requirements of every page: it fits desktop and phone, a screen reader can use it, and there was
        no error.

        axe is slow, so by day it checks each page in one of the sizes, which depends on ``name``, and not at all if
        ``like`` is the name of the same page in another test, where axe checks it.
        """
        by_axe = (PHONE, DESK) if NIGHTLY else () if like else ((PHONE, DESK)[zlib.crc32(name.encode()) % 2],)
        size = self.page.viewport_size or DESK
        for screen in (PHONE, DESK):
            await self.page.set_viewport_size(screen)
            await self._photograph_screen(f"{name}-{'phone' if screen is PHONE else 'desk'}")
            at = f"{name}-{screen['width']}"
            await self._photograph(at)
            assert await self.page.evaluate(TOO_WIDE) == [], at
            if screen in by_axe:
                found = await Axe().run(self.page)
                assert found.violations_count == 0, f"{at}: {found.generate_report()}"
        await self.page.set_viewport_size(size)
        assert self.complaints == []
        assert self.elsewhere == []

    async def layout_errors(self, name: str) -> list[str]:
        """Return the layout errors of the page at the width that it has."""
        return [f"{name}: {each}" for each in await self.page.evaluate(LAYOUT)]

    async def look_at_every_width(self, name: str, turn: int | None = None) -> list[str]:
        """Return the layout errors of the page at each width, and the accessibility errors that axe reports.

        axe is slow, so it checks each page at two widths, in light and in dark; ``turn`` (0, 1, ...) chooses them,
        and without it axe checks nothing. By day the page is looked at in the smallest width and in one other, and axe
        checks one of the two, in light or in dark; ``turn``, else ``name``, chooses them.
        """
        faults = []
        by_axe = {}
        number = zlib.crc32(name.encode()) if turn is None else turn
        widths = WIDTHS if IN_ALL_WIDTHS else (WIDTHS[0], WIDTHS[1 + number % (len(WIDTHS) - 1)])
        if turn is not None and IN_ALL_WIDTHS:
            by_axe = {WIDTHS[turn % len(WIDTHS)]: SCHEMES[0], WIDTHS[(turn + 2) % len(WIDTHS)]: SCHEMES[1]}
        elif turn is not None:
            by_axe = {widths[turn // 2 % 2]: SCHEMES[turn % 2]}
        for width in widths:
            await self.page.set_viewport_size({"width": width, "height": 900})
            faults += await self.layout_errors(f"{name}-{width}")
            if width in by_axe:
                await self.page.emulate_media(color_scheme=by_axe[width])
                found = await Axe().run(self.page, options=EVERY_WIDTH)
                faults += [f"{name}-{width}: {found.generate_report()}"] if found.violations_count else []
                await self.page.emulate_media(color_scheme="null")
            await self._photograph(f"{name}-{width}")
        return [*faults, *self.complaints, *self.elsewhere]

    async def _photograph(self, name: str) -> None:
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            for scheme in ("light", "dark"):
                await self.page.emulate_media(color_scheme=scheme)
                await self.page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
            await self.page.emulate_media(color_scheme="null")

    async def _photograph_screen(self, name: str) -> None:
        """Return the part that is visible without scrolling."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            await self.page.emulate_media(color_scheme="light")
            await self.page.screenshot(path=Path(folder) / f"{name}.png")
            await self.page.emulate_media(color_scheme="null")

    async def wait_for(self, title: str) -> None:
        """Wait for the page with this title."""
        try:
            await self.page.get_by_role("heading", name=title, level=1).wait_for()
        except TimeoutError as error:
            shown = await self.page.locator("body").inner_text()
            raise AssertionError(f"{title!r} did not come; {self.page.url} shows:\n{shown}") from error


@asynccontextmanager
async def open_page(browser: Browser, viewport: ViewportSize = DESK, **options: Any) -> AsyncIterator[BrowserPage]:
    """The page of a browser context of its own, without cookies."""
    async with open_context(browser, viewport, **options) as context, open_page_in(context) as arrived:
        yield arrived


@asynccontextmanager
async def open_context(
    browser: Browser, viewport: ViewportSize = DESK, **options: Any
) -> AsyncIterator[BrowserContext]:
    """A browser context without cookies, in which nothing moves: drawing a turning mark 60 times a second takes
    processor time that tests need."""
    context = await browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
    context.set_default_timeout(15_000)
    yield context
    await context.close()


@asynccontextmanager
async def open_shared_context(browser: Browser, viewport: ViewportSize = DESK) -> AsyncIterator[BrowserContext]:
    """A browser context in which many tests open a page, one after the other.

    A page of this machine stays open in it. Without one, chromium starts a process for the page of each test, which
    compiles and parses the same scripts and stylesheets again, and takes longer than most tests.
    """
    async with open_context(browser, viewport) as context:
        kept = await context.new_page()
        await kept.route("**/*", lambda route: route.fulfill(body="This page keeps the process of its context."))
        await kept.goto("http://127.0.0.1/")
        yield context


@asynccontextmanager
async def open_page_in(context: BrowserContext) -> AsyncIterator[BrowserPage]:
    """A page of a context that others have used before; it is closed at the end."""
    page = await context.new_page()
    arrived = BrowserPage(page)
    page.on("pageerror", lambda error: arrived.complaints.append(str(error)))
    page.on("console", lambda message: _complain(arrived, message))
    page.on("request", lambda request: _note(arrived, request.url))
    yield arrived
    await page.close()


def _complain(arrived: BrowserPage, message: ConsoleMessage) -> None:
    if message.type == "error":
        arrived.complaints.append(message.text)


def _note(arrived: BrowserPage, url: str) -> None:
    if not url.startswith("http://127.0.0.1:"):
        arrived.elsewhere.append(url)
