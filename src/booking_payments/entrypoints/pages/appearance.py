"""What an installation changes about the checkout: the merchant's name, logo, colour and links, and own templates."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from litestar import Request

from booking_payments.domain.booking import NO_DETAILS, Booking
from booking_payments.entrypoints.pages.colours import style_of
from booking_payments.entrypoints.pages.language import Language, language_for, tags_accepted, zone_named
from booking_payments.runtime.settings import Settings


@frozen(kw_only=True)
class Appearance:
    """What the checkout shows of its merchant, as the settings ``MERCHANT_...`` say. None: not shown.

    Attributes:
        name: the merchant's name.
        logo_url: an https address of an image.
        colour: the colour of buttons, as ``#rrggbb``.
        support_url: where customers get help: an https address, or ``mailto:`` and an e-mail address.
        terms_url, privacy_url: https addresses of legal texts.
        templates: a folder with templates that replace those of the checkout; None without one.
        catalogues: a folder with translations beside ours; None without one.
        zone: the time zone of bookings that name none.
    """

    name: str | None = None
    logo_url: str | None = None
    colour: str | None = None
    support_url: str | None = None
    terms_url: str | None = None
    privacy_url: str | None = None
    templates: Path | None = None
    catalogues: Path | None = None
    zone: tzinfo = UTC

    @property
    def style(self) -> str:
        """The rules for the merchant's colour; empty without one."""
        return style_of(self.colour) if self.colour else ""

    @property
    def sources(self) -> Mapping[str, str]:
        """What the policy of a page has to allow, by directive: the origin of the logo, and the hash of the style."""
        logo = urlsplit(self.logo_url) if self.logo_url else None
        hashed = base64.b64encode(hashlib.sha256(self.style.encode()).digest()).decode()
        return {
            **({"img-src": f"{logo.scheme}://{logo.netloc}"} if logo else {}),
            **({"style-src": f"'sha256-{hashed}'"} if self.style else {}),
        }


def appearance_of(settings: Settings) -> Appearance:
    """Return what the settings say of the checkout."""
    return Appearance(
        name=settings.merchant_name,
        logo_url=settings.merchant_logo_url,
        colour=settings.merchant_color,
        support_url=settings.merchant_support_url,
        terms_url=settings.merchant_terms_url,
        privacy_url=settings.merchant_privacy_url,
        templates=settings.checkout_templates,
        catalogues=settings.checkout_catalogues,
        zone=settings.business_time_zone,
    )


def language_of(request: Request[Any, Any, Any], booking: Booking | None = None) -> Language:
    """Return the customer's language: that of the booking, else what the browser accepts, else English. Times are shown
    in the booking's time zone, else in that of the business.
    """
    appearance = appearance_of(request.app.state["services"].settings)
    details = booking.details if booking else NO_DETAILS
    tags = [details.locale] if details.locale else []
    tags += tags_accepted(request.headers.get("accept-language", ""))
    return language_for(tags, zone_named(details.time_zone, appearance.zone), appearance.catalogues)
