"""The composition root: builds the services of one process from its settings, and closes them.

Only this module uses the container. The commands, ``asgi`` and ``embedding`` call ``build``, which yields ``Services``.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import structlog
from dependency_injector import providers
from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.memory.publisher import Consumer
from booking_payments.adapters.sql.serve_lock import LONGEST_WAIT, FileServedError, database_file, serving_alone
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.dependencies import Dependencies
from booking_payments.ports.gateway import Gateway, OwnGateway
from booking_payments.ports.gateway_plugin import BuiltGateway, DashboardLinks
from booking_payments.runtime.background_tasks import background_of
from booking_payments.runtime.container import Container, open_counters, open_identity_provider
from booking_payments.runtime.gateways import observed
from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.runtime.readiness import READY_WITHIN_S, readiness
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import Settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError
from booking_payments.sandbox.emulator import FakeStripe

log = structlog.get_logger("booking_payments.serve")


@asynccontextmanager
async def build(
    settings: Settings,
    consumers: Sequence[Consumer] = (),
    own: OwnGateway | None = None,
    *,
    channel_name: str | None = None,
    in_worker: bool = False,
    serving: bool = False,
    mounted: bool = False,
    wait: timedelta = LONGEST_WAIT,
) -> AsyncIterator[Services]:
    """Build the services of one process, and close them when the context ends.

    Args:
        settings: the settings.
        consumers: functions of this process that receive the messages to the booking app, on the channel
            ``python:NAME``.
        own: a gateway in place of the one that the settings name.
        channel_name: NAME of that channel; None: as set.
        in_worker: this process is a background worker.
        serving: this process serves HTTP, with rate limits. On SQLite only one process may serve a file.
        mounted: it does so inside a host application, at an address that only the host knows.
        wait: how long to wait for another process that serves the same SQLite file.

    Raises:
        SettingsError: When the services can't be built, or the other process still serves after ``wait``.
    """
    async with AsyncExitStack() as stack:
        if serving:
            await stack.enter_async_context(_serving_alone(settings, wait))
        container = Container(
            settings=settings,
            consumers=providers.Object(consumers),
            channel_name=providers.Object(channel_name or settings.messages_channel),
            in_worker=providers.Object(in_worker),
            serves=providers.Object(serving),
            listens=providers.Object(serving and not mounted),
        )
        yield await stack.enter_async_context(_built(container, own))


@asynccontextmanager
async def _serving_alone(settings: Settings, wait: timedelta) -> AsyncIterator[None]:
    """Hold the lock of the SQLite file until the context ends. Raises ``SettingsError`` if another process holds it."""
    file = database_file(settings.normalized_database_url)
    async with AsyncExitStack() as stack:
        if file is not None:
            try:
                await stack.enter_async_context(serving_alone(file, wait, _log_wait(file, wait)))
            except FileServedError as error:
                raise SettingsError(SettingProblem("DATABASE_URL", str(error))) from error
        yield


def _log_wait(file: Path, wait: timedelta) -> Callable[[int | None], None]:
    def log_wait(holder: int | None) -> None:
        log.warning("serve.waiting_for_other_serve", file=str(file), process=holder, seconds=wait.total_seconds())

    return log_wait


@asynccontextmanager
async def _built(container: Container, own: OwnGateway | None) -> AsyncIterator[Services]:
    settings, serving = container.settings(), container.serves()
    if own is not None:
        built = BuiltGateway(gateway=own.gateway, webhooks=own.webhooks, webhook_names=(own.gateway.name,))
        container.built_gateways.override(providers.Object({own.gateway.name: built}))
    gateways = container.built_gateways()
    stripe = next((part for each in gateways.values() for part in each.parts if isinstance(part, FakeStripe)), None)
    storage: SqlStorage = container.storage()
    container.installation_id.override(providers.Object(await _installation_id(settings, storage)))
    try:
        yield Services(
            payments=container.payments(),
            gateway=container.deps().gateway,
            gateways={name: each.gateway for name, each in container.connected_gateways().items()},
            dashboards={} if own is not None else _dashboards(settings),
            gateway_titles={name: plugin.title for name, plugin in settings.plugins.items() if name in gateways},
            own_gateway=own is not None,
            storage=storage,
            clock=container.clock(),
            ids=container.ids(),
            settings=settings,
            ready=lambda: readiness(storage),
            background=background_of(container),
            sandbox=stripe,
            bank_transfer_operations=_bank_transfer_operations(gateways, container.deps()),
            identity_provider=container.identity_provider() if serving else None,
            limits=container.limits() if serving and settings.rate_limit_enabled else None,
        )
    finally:
        for publisher in container.publishers().values():
            if hasattr(publisher, "close"):  # functions have nothing to close
                await publisher.close()
        await storage.close()
        for each in gateways.values():
            await each.close()
        if serving:
            provider = container.identity_provider()
            if provider is not None:
                await provider.close()
            await container.counters().close()


async def _installation_id(settings: Settings, storage: SqlStorage) -> str | None:
    """Return the id of this installation: as set, otherwise from the database.

    None when the database can't be read; the readiness check then reports that.
    """
    if settings.given_installation_id is not None:
        return settings.given_installation_id
    try:
        with anyio.fail_after(READY_WITHIN_S):
            return await storage.installation_id()
    except (SQLAlchemyError, OSError, TimeoutError):
        return None


def _bank_transfer_operations(gateways: Mapping[str, BuiltGateway], deps: Dependencies) -> Mapping[str, Any]:
    """Return the operators' use cases of each gateway that they settle by hand, by the gateway's name."""
    return {name: each.operations(deps.at(name)) for name, each in gateways.items() if each.operations is not None}


@asynccontextmanager
async def gateways_alone(settings: Settings) -> AsyncIterator[Mapping[str, Gateway]]:
    """Build only the gateways, by name, and close them when the context ends."""
    container = Container(settings=settings)
    built = container.built_gateways()
    try:
        yield {name: observed(each.gateway) for name, each in built.items()}
    finally:
        for each in built.values():
            await each.close()


async def shared_store_answers(settings: Settings) -> bool:
    """Return whether the store of the rate limits responds. Raises ``SettingsError`` without its client library."""
    counters = open_counters(settings)
    try:
        decision = await RateLimits.of(settings, counters, ()).address.take("doctor")
    finally:
        await counters.close()
    return not decision.alone


def _dashboards(settings: Settings) -> Mapping[str, DashboardLinks]:
    found = {name: plugin.dashboard(settings.of_gateway(name)) for name, plugin in settings.plugins.items()}
    return {name: links for name, links in found.items() if links is not None}


async def examine_identity_provider(settings: Settings) -> str:
    """Return what was found at the OpenID provider of the settings.

    Raises:
        ProviderUnavailable: it cannot be reached or used.
        LogInRejected: it does not know this service.
        SettingsError: When a package for it is not installed.
    """
    provider = open_identity_provider(settings, SystemClock())
    if provider is None:
        raise SettingsError(SettingProblem("OIDC_ISSUER", "is not set"))
    try:
        return await provider.examine()
    finally:
        await provider.close()
