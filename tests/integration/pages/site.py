"""The pages with an in-memory test kit, as a browser without scripts uses them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from html import unescape
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal
from attrs import define, evolve, field

from booking_payments.application.payments import BookingPayments
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.ports.gateway_plugin import DashboardLinks
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.in_thread import InThreadClient, Portal, open_portal
from tests.integration.http.api import services_of, settings, token
from tests.integration.http.apps import app_over


@define
class Installation:
    """A test kit in a separate event loop."""

    kit: PaymentsTestKit
    portal: Portal | BlockingPortal

    def run(self, work: Any, *given: Any, **more: Any) -> Any:
        """Run a coroutine in the event loop, and return its result."""

        async def call() -> Any:
            return await work(*given, **more)

        return self.portal.call(call)

    def book(self, **changes: Any) -> str:
        """Register a booking of Ann and return its id."""
        return str(self.run(self.kit.book, **changes).id)

    def paid(self, method: str = "pm_card_visa", **changes: Any) -> str:
        """Register a booking, pay it with ``method``, and return its id."""
        booking_id = self.book(**changes)
        self.run(self.kit.payments.process_booking_payment, booking_id, method)
        return booking_id

    def held(self) -> str:
        """Register a booking, authorize its payment, and return its id."""
        booking_id = self.book(reference="R-held")
        manual = {"confirm_immediately": True, "capture_method": CaptureMethod.MANUAL}
        self.run(self.kit.payments.start_payment, booking_id, ANN, payment_method_id="pm_card_visa", **manual)
        return booking_id

    def payment_of(self, booking_id: str) -> Any:
        return self.run(self.kit.payments.payment_status, booking_id).payment


@define
class Site(Installation):
    """A browser without scripts: it keeps cookies and does not follow redirects.

    Attributes:
        stays: the operator who logs in again when their session has ended, since many tests move the clock by days;
            empty: no new log-in.
    """

    client: InThreadClient[Any]
    served: BookingPayments
    seen: str = field(default="")
    stays: str = field(default="")

    def get(self, path: str, **more: Any) -> httpx.Response:
        response = self.client.get(path, follow_redirects=False, **more)
        if self.stays and response.headers.get("location", "").startswith("/console/login"):
            self.log_in(self.stays)
            response = self.client.get(path, follow_redirects=False, **more)
        return self._kept(response)

    def post(self, path: str, fields: dict[str, str], **more: Any) -> httpx.Response:
        if path == "/console/login":  # as all browsers do
            more.setdefault("headers", {"Origin": str(self.client.base_url).rstrip("/")})
        return self._kept(self.client.post(path, data=fields, follow_redirects=False, **more))

    def _kept(self, response: httpx.Response) -> httpx.Response:
        self.seen = response.text
        return response

    def hidden(self, action: str) -> dict[str, str]:
        """Return the hidden fields of the form on the last page that posts to ``action``."""
        form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', self.seen, re.DOTALL)
        assert form, f"no form for {action}"
        found = re.findall(r'<input type="hidden" name="([\w.-]+)" value="([^"]*)"', form[0])
        return {name: unescape(value) for name, value in found}

    def fields(self) -> dict[str, str]:
        """The hidden fields of the page seen last, whichever form they are in."""
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.seen)
        return {name: unescape(value) for name, value in found}

    def send(self, path: str, action: str, **fields: str) -> httpx.Response:
        """Open a page and send its form."""
        self.get(path)
        return self.post(action, {**self.hidden(action), **fields})

    def log_in(self, sub: str = "olga") -> httpx.Response:
        fields = {"token": token(sub, "payments:operate"), "next": ""}
        return self.post("/console/login", fields)


@contextmanager
def without_pages(kit: PaymentsTestKit) -> Iterator[Installation]:
    """Run a test kit without an application, which takes a quarter of a second to make."""
    with open_portal() as portal:
        yield Installation(kit=kit, portal=portal)


def open_site(kit: PaymentsTestKit | None = None, **changes: str) -> AbstractContextManager[Site]:
    """Open the pages with a test kit and changed settings."""
    return _open(kit or PaymentsTestKit(), changes, {})


def open_site_with(dashboards: Mapping[str, DashboardLinks]) -> AbstractContextManager[Site]:
    """Open the pages with gateways that have these dashboards."""
    return _open(PaymentsTestKit(), {}, dashboards)


@contextmanager
def _open(kit: PaymentsTestKit, changes: Mapping[str, str], dashboards: Mapping[str, DashboardLinks]) -> Iterator[Site]:
    given = settings(**changes)
    with_fake = given.gateway == "fake"
    sandbox = kit.stripe if with_fake else None
    services = evolve(services_of(kit, changes=changes), settings=given, sandbox=sandbox, dashboards=dashboards)
    # Where real money may move, the cookies are for TLS only.
    address = f"{'https' if given.livemode else 'http'}://testserver.local"
    with (
        app_over(services, changes) as app,
        InThreadClient(app, base_url=address, raise_server_exceptions=False) as client,
    ):
        yield Site(client=client, kit=kit, portal=client.blocking_portal, served=kit.payments)
