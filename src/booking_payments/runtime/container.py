"""The container: settings, then gateways and stores, then use cases, from top to bottom.

The domain and the use cases do not import this module.
"""

from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from attrs import evolve
from dependency_injector import containers, providers

from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.memory.ids import RandomIds, ServingIds
from booking_payments.adapters.memory.publisher import Consumer
from booking_payments.adapters.memory.steps import gather_limited
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.telemetry.traces import traced_class, traced_storage, tracer
from booking_payments.application.dependencies import Dependencies, PaymentConfig
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway_plugin import BuiltGateway
from booking_payments.ports.storage import Storage
from booking_payments.runtime.background import WorkSignal
from booking_payments.runtime.channels import channels_of, publishers_of
from booking_payments.runtime.extras import extra, require_driver
from booking_payments.runtime.gateways import build_gateways, connected
from booking_payments.runtime.payment_config import payment_config_of, retry_policy_of
from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.runtime.settings import Settings

if TYPE_CHECKING:  # packages of extras are imported only when the settings choose them
    from booking_payments.adapters.openid.provider import OpenIdProvider
    from booking_payments.adapters.procrastinate.queue import ProcrastinateJobQueue
    from booking_payments.adapters.throttle import Counters


def _clock(settings: Settings) -> SystemClock | DatabaseClock:
    """Return the clock: the machine's for SQLite; the database's for PostgreSQL, so that all processes share it."""
    return DatabaseClock() if settings.on_postgresql else SystemClock()


def _ids(serves: bool) -> RandomIds:
    return ServingIds() if serves else RandomIds()


def _storage(
    settings: Settings,
    work_signal: WorkSignal,
    clock: SystemClock | DatabaseClock,
    queue: "ProcrastinateJobQueue | None",
) -> SqlStorage:
    require_driver(on_postgresql=settings.on_postgresql)
    shared = clock if isinstance(clock, DatabaseClock) else None
    return SqlStorage.open(settings.normalized_database_url, on_jobs=work_signal.notify, clock=shared, queue=queue)


def _queue(settings: Settings) -> "ProcrastinateJobQueue | None":
    """Return the job queue; None on SQLite, which one process uses, and without the extra ``worker``.

    Without a queue no job is sent to workers; they find due work in the tables a few seconds later.
    """
    if not settings.on_postgresql:
        return None
    try:
        from booking_payments.adapters.procrastinate.queue import ProcrastinateJobQueue
    except ModuleNotFoundError:
        return None
    return ProcrastinateJobQueue()


def _payment_config(settings: Settings, installation_id: str | None) -> PaymentConfig:
    return evolve(payment_config_of(settings), installation_id=installation_id)


def open_counters(settings: Settings) -> "Counters":
    """Return the counters of requests, in memory or in the shared store of the settings.

    Raises:
        SettingsError: When a package for them is not installed.
    """
    with extra("http", "RATE_LIMIT_ENABLED"):
        from booking_payments.adapters.throttle import Counters
    url = settings.rate_limit_store_url
    with extra("redis", "RATE_LIMIT_STORE_URL"):
        return Counters.open(url.get_secret_value() if url else None)


def open_identity_provider(settings: Settings, clock: Clock) -> "OpenIdProvider | None":
    """Return the OpenID provider of the settings; None without one.

    Raises:
        SettingsError: When a package for it is not installed.
    """
    issuer, client_id, secret, claim = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        settings.oidc_role_claim,
    )
    if issuer is None or client_id is None or secret is None or claim is None:
        return None
    with extra("http", "OIDC_ISSUER"):
        from booking_payments.adapters.openid.provider import OpenIdProvider, ProviderConfig
    config = ProviderConfig(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret.get_secret_value(),
        scopes=settings.oidc_scopes,
        endpoint_hosts=settings.oidc_endpoint_hosts,
        role_claim=claim,
        read_values=settings.oidc_read_values,
        operate_values=settings.oidc_operate_values,
        own_address=settings.own_address,
        callback="/console/login/openid/callback",
        after_log_out="/console/login",
    )
    return OpenIdProvider(config, clock)


def _traced(storage: Storage) -> Storage:
    """Return the storage with a span around each transaction, if traces are collected."""
    return traced_storage(storage, tracer())


def _payments(deps: Dependencies) -> BookingPayments:
    """Return the facade with a span around each call, if traces are collected."""
    return traced_class(BookingPayments, "payments", tracer())(deps)


def _connected(settings: Settings, built: Mapping[str, BuiltGateway]) -> Mapping[str, ConnectedGateway]:
    recorded = {name for name, each in settings.plugins.items() if each.recorded}
    return {name: connected(each, recorded=name in recorded) for name, each in built.items()}


def _webhook_names(gateways: Mapping[str, ConnectedGateway]) -> tuple[str, ...]:
    """Return the names under which webhooks are received, those of the default gateway first."""
    return tuple(name for each in gateways.values() for name in each.webhook_names)


def _deps(gateways: Mapping[str, ConnectedGateway], **more: Any) -> Dependencies:
    """Return the dependencies of the use cases; the first of ``gateways`` is the default one."""
    (_, default), *others = gateways.items()
    return Dependencies(
        gateway=default.gateway,
        webhooks=default.webhooks,
        webhook_names=default.webhook_names,
        recorded=default.recorded,
        settle_refund=default.settle_refund,
        refunds_by_hand=default.refunds_by_hand,
        others=dict(others),
        **more,
    )


class Container(containers.DeclarativeContainer):
    """Builds the objects of one process."""

    settings = providers.Dependency(instance_of=Settings)
    consumers = providers.Object[Sequence[Consumer]](())
    channel_name = providers.Object("app")
    in_worker = providers.Object(False)
    serves = providers.Object(False)
    listens = providers.Object(False)  # at HOST and PORT
    installation_id = providers.Object[str | None](None)
    database_url = settings.provided.normalized_database_url

    # The outside
    clock = providers.Singleton(_clock, settings)
    ids = providers.Singleton(_ids, serves)
    random = providers.Singleton(SystemRandom)
    work_signal = providers.Singleton(WorkSignal, clock.provided.now)

    # Gateways and stores
    built_gateways = providers.Singleton(build_gateways, settings, clock)
    connected_gateways = providers.Singleton(_connected, settings, built_gateways)
    webhook_names = providers.Callable(_webhook_names, connected_gateways)
    queue = providers.Singleton(_queue, settings)
    storage = providers.Singleton(_storage, settings, work_signal, clock, queue)
    publishers = providers.Singleton(publishers_of, settings, clock, consumers, channel_name)
    channels = providers.Singleton(channels_of, settings, publishers)

    # Rate limits
    counters = providers.Singleton(open_counters, settings)
    limits = providers.Singleton(RateLimits.of, settings, counters, webhook_names)

    # Log-in to the console
    identity_provider = providers.Singleton(open_identity_provider, settings, clock)

    # Use cases
    deps = providers.Singleton(
        _deps,
        connected_gateways,
        storage=providers.Singleton(_traced, storage),
        channels=channels,
        reader=channel_name,
        in_worker=in_worker,
        clock=clock,
        ids=ids,
        random=random,
        config=providers.Callable(_payment_config, settings, installation_id),
        retry=providers.Callable(retry_policy_of, settings),
        gather=providers.Object(gather_limited),
    )
    payments = providers.Singleton(_payments, deps)
