"""What commands share: validated settings, the services built from them, and one line on standard error per problem."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from booking_payments.runtime.services import Services
    from booking_payments.runtime.settings import Settings

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """End with exit status 1 and one line on standard error."""
    raise click.ClickException(" ".join(message.split()))


def settings_or_fail(overrides: Mapping[str, object] | None = None) -> Settings:
    """Return the settings; ``overrides``, given by flags, win over the environment."""
    from booking_payments.runtime.logging import set_up_logging
    from booking_payments.runtime.settings import load_settings
    from booking_payments.runtime.settings_error import SettingsError

    given = {name: str(value) for name, value in (overrides or {}).items() if value is not None}
    try:
        settings = load_settings(overrides=given)
    except SettingsError as error:
        fail("; ".join(str(problem) for problem in error.problems))
    set_up_logging(settings)
    return settings


@contextmanager
def extra_or_fail(name: str, command: str) -> Iterator[None]:
    """For the imports of a command that needs the extra ``name``; fail with the remedy when one is missing."""
    from booking_payments.runtime.extras import extra
    from booking_payments.runtime.settings_error import SettingsError

    try:
        with extra(name, command):
            yield
    except SettingsError as error:
        fail(str(error))


def run_with_services(settings: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Do ``work`` with the services of ``settings``, whose database must be ready."""
    import asyncio

    from sqlalchemy.exc import DBAPIError

    from booking_payments.domain.errors import PaymentError
    from booking_payments.ports.gateway import GatewayError
    from booking_payments.ports.storage import CommitLost, StorageConflict
    from booking_payments.runtime.composition import build
    from booking_payments.runtime.settings_error import SettingsError

    async def run() -> T:
        async with build(settings) as services:
            await require_ready(services)
            return await work(services)

    try:
        return asyncio.run(run())
    except (PaymentError, SettingsError, StorageConflict, CommitLost, GatewayError) as error:
        fail(str(error))
    except DBAPIError as error:
        fail(f"the database returned an error: {error.orig}; run: booking-payments doctor")


async def require_ready(services: Services) -> None:
    """Fail with the remedy when the database is not ready."""
    readiness = await services.ready()
    if not readiness.ok:
        fail(readiness.detail or "the database is not ready; run: booking-payments migrate")
