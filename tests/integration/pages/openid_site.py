"""The console with log-in at an OpenID provider, and the steps of an operator's browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from attrs import define, evolve

from booking_payments.adapters.openid.provider import OpenIdProvider, ProviderConfig
from booking_payments.ports.storage import Storage
from booking_payments.runtime.settings import Settings
from booking_payments.testing.kit import PaymentsTestKit
from tests.in_thread import InThreadClient
from tests.integration.http.api import services_of, settings
from tests.integration.http.apps import app_over
from tests.integration.pages.site import Site
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, Provider

OWN = "https://testserver.local"
SETTINGS = {
    "PUBLIC_URL": OWN,
    "OIDC_ISSUER": ISSUER,
    "OIDC_CLIENT_ID": CLIENT_ID,
    "OIDC_CLIENT_SECRET": CLIENT_SECRET,
    "OIDC_ROLE_CLAIM": "roles",
}


def config_of(given: Settings) -> ProviderConfig:
    """The provider's part of the settings."""
    return ProviderConfig(
        issuer=given.oidc_issuer or "",
        client_id=given.oidc_client_id or "",
        client_secret=given.oidc_client_secret.get_secret_value() if given.oidc_client_secret else "",
        scopes=given.oidc_scopes,
        endpoint_hosts=given.oidc_endpoint_hosts,
        role_claim=given.oidc_role_claim or "",
        read_values=given.oidc_read_values,
        operate_values=given.oidc_operate_values,
        own_address=given.own_address,
        callback="/console/login/openid/callback",
        after_log_out="/console/login",
    )


@define(kw_only=True)
class OpenIdSite(Site):
    """A browser without scripts, and the provider that it logs in at."""

    provider: Provider

    def begin(self, wanted: str = "") -> str:
        """Follow the log-in page's link, and return the provider's address that it leads to."""
        answer = self.get(f"/console/login/openid?next={wanted}" if wanted else "/console/login/openid")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def come_back(self, callback: str, **more: Any) -> httpx.Response:
        """Open the callback, as the provider's redirect does."""
        parts = urlsplit(callback)
        return self.get(f"{parts.path}?{parts.query}", headers={"Sec-Fetch-Site": "cross-site"}, **more)

    def log_in_there(self, wanted: str = "", **instead: str) -> httpx.Response:
        """Log in at the provider, and return the callback's answer."""
        return self.come_back(self.provider.authorize(self.begin(wanted), **instead))

    def other_browser(self) -> "OpenIdSite":
        """Another browser, with no cookies."""
        client = InThreadClient(self.client.app, base_url=OWN, raise_server_exceptions=False)
        client.blocking_portal = self.client.blocking_portal
        return OpenIdSite(client=client, kit=self.kit, portal=self.portal, served=self.served, provider=self.provider)

    def is_logged_in(self) -> bool:
        return self.get("/console/").status_code == 200


@contextmanager
def open_openid_site(
    provider: Provider | None = None, storage: Storage | None = None, **changes: str
) -> Iterator[OpenIdSite]:
    """Open the console with log-in at ``provider``."""
    kit = PaymentsTestKit(storage=storage)
    provider = provider or Provider(kit.clock)
    provider.clock = kit.clock
    changes = {**SETTINGS, **changes}
    given = settings(**changes)
    identity_provider = OpenIdProvider(config_of(given), kit.clock, inner=provider.transport)
    services = evolve(
        services_of(kit, changes=changes), settings=given, sandbox=kit.stripe, identity_provider=identity_provider
    )
    with (
        app_over(services, changes) as app,
        InThreadClient(app, base_url=OWN, raise_server_exceptions=False) as client,
    ):
        yield OpenIdSite(client=client, kit=kit, portal=client.blocking_portal, served=kit.payments, provider=provider)
