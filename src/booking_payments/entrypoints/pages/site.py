"""All pages that the settings switch on."""

from litestar.types import ControllerRouterHandler

from booking_payments.entrypoints.pages import bank, checkout, start
from booking_payments.entrypoints.pages.assets import asset, gateway_script
from booking_payments.entrypoints.pages.console import (
    amendments,
    bookings,
    cancellations,
    dashboard,
    debts,
    disputes,
    drift,
    events,
    messages,
    openid,
    operator_context,
    own_sessions,
    payments,
    receipts,
    refunds,
    webhooks,
)
from booking_payments.entrypoints.pages.console.background_work import background_work
from booking_payments.entrypoints.pages.language import wrong_catalogues
from booking_payments.entrypoints.pages.page import pages
from booking_payments.entrypoints.pages.rendering import wrong_templates
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

__all__ = ["background_work", "pages_of"]

_CONSOLE = (
    operator_context,
    openid,
    own_sessions,
    dashboard,
    bookings,
    amendments,
    cancellations,
    events,
    payments,
    refunds,
    debts,
    receipts,
    disputes,
    webhooks,
    messages,
    drift,
)


def pages_of(services: Services) -> list[ControllerRouterHandler]:
    """Return the routers of the pages and of their static files.

    Raises ``SettingsError`` when a template in ``CHECKOUT_TEMPLATES`` or a catalogue in ``CHECKOUT_CATALOGUES`` cannot
    be used.
    """
    settings = services.settings
    own = settings.checkout_templates if settings.checkout_enabled else None
    if own and (wrong := [*wrong_templates(own)]):
        raise SettingsError(*(SettingProblem("CHECKOUT_TEMPLATES", each) for each in wrong))
    more = settings.checkout_catalogues if settings.checkout_enabled else None
    if more and (wrong := [*wrong_catalogues(more)]):
        raise SettingsError(*(SettingProblem("CHECKOUT_CATALOGUES", each) for each in wrong))
    console = [each for part in _CONSOLE for each in part.PAGES]
    found = [
        *([pages(checkout.PAGES, checkout.DEPENDENCIES)] if settings.checkout_enabled else []),
        *([pages(console, operator_context.DEPENDENCIES)] if settings.console_enabled else []),
        *([pages(bank.PAGES, {})] if services.sandbox is not None else []),
    ]
    return [*found, pages(start.PAGES, {}), asset, gateway_script] if found else []
