"""The wiring: settings, then gateway and stores, then use cases, then what serves them. Reads top to bottom.

Nothing in the domain or the use cases knows that this file exists.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import SystemRandom
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import structlog
from attrs import evolve
from dependency_injector import containers, providers
from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.bank_transfer import BankTransferEvents, BankTransferGateway, TransferDesk, TransferStore
from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.memory.gateway import FakeGateway
from booking_payments.adapters.memory.ids import RandomIds, ServingIds
from booking_payments.adapters.memory.publisher import Bounded, CallablePublisher, Consumer
from booking_payments.adapters.memory.steps import side_by_side
from booking_payments.adapters.network import Network, NetworkMisconfigured
from booking_payments.adapters.procrastinate.presence import Presence
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.fake_store import SqlFakeStore
from booking_payments.adapters.sql.migrations import current, head, is_newer, missing
from booking_payments.adapters.sql.serve_lock import LONGEST_WAIT, FileServedError, database_file, serving_alone
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.stripe.gateway import StripeGateway
from booking_payments.adapters.stripe.pace import Paced
from booking_payments.adapters.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.telemetry.delivery_log import LoggedPublisher
from booking_payments.adapters.telemetry.gateway_log import logged
from booking_payments.adapters.telemetry.traces import traced, tracer
from booking_payments.application.channels import ChannelNotRecorded, ChannelState
from booking_payments.application.payments import BookingPayments
from booking_payments.application.world import Terms, World
from booking_payments.entrypoints.background import TICK, Alarm, Every, Round, running
from booking_payments.entrypoints.chores import Chores
from booking_payments.entrypoints.http.services import Readiness, Services
from booking_payments.extras import extra, require_driver
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway, OwnGateway
from booking_payments.ports.publisher import BROKER, WEBHOOK, Publisher, python_channel
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.settings import GatewayName, Problem, Settings, SettingsError
from booking_payments.terms import retry_of, terms_of

if TYPE_CHECKING:  # what extras bring, and what few need, is imported where it is chosen
    from booking_payments.adapters.procrastinate.queue import JobQueue
    from booking_payments.adapters.stripe.examination import Finding
    from booking_payments.adapters.stripe.sdk import SdkTransport
    from booking_payments.adapters.throttle import Counters
    from booking_payments.entrypoints.deliveries import Deliveries
    from booking_payments.entrypoints.http.limits import Limits

WORKER_GONE: Final = timedelta(seconds=60)
"""A worker that has not said for so long that it delivers on a channel no longer does."""

LOOK_FOR_WORKERS: Final = timedelta(seconds=5)
"""How often `serve` looks whether there are workers."""

SHOWN: Final = 3
"""How many tables and columns that are missing are named."""

READY_WITHIN_S: Final = 5
"""How long a database may take to say that it is there: a probe gives up sooner or later, too."""

log = structlog.get_logger("booking_payments.serve")

Background = Callable[[], AbstractAsyncContextManager[None]]
T = TypeVar("T")


def _stripe_transport(settings: Settings) -> "SdkTransport":
    if settings.stripe_secret_key is None:
        raise SettingsError(Problem("STRIPE_SECRET_KEY", "must be set for the Stripe gateway"))
    with extra("stripe", "PAYMENT_GATEWAY", "stripe"):
        from booking_payments.adapters.stripe.sdk import SdkTransport
    network = _network()
    return SdkTransport(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base, network=network)


def _network() -> Network:
    """Proxies and certificates of the environment. Raises ``SettingsError``."""
    try:
        return Network.of_environment()
    except NetworkMisconfigured as wrong:
        raise SettingsError(Problem(wrong.variable, wrong.remedy)) from None


def _clock(settings: Settings) -> SystemClock | DatabaseClock:
    """SQLite is one machine's; whoever shares PostgreSQL shares its clock."""
    return DatabaseClock() if settings.on_postgresql else SystemClock()


def _ids(serves: bool) -> RandomIds:
    return ServingIds() if serves else RandomIds()


def _webhook_secrets(settings: Settings) -> Sequence[str]:
    """What webhooks may be signed with. Where the fake gateway needs a secret and has none it is one of this process
    alone: its events are handed over here, and nobody else can sign any."""
    if settings.webhook_secrets or settings.gateway is not GatewayName.FAKE:
        return settings.webhook_secrets
    return (f"whsec_{token_urlsafe(32)}",)


def _storage(
    settings: Settings, alarm: Alarm, clock: SystemClock | DatabaseClock, queue: "JobQueue | None"
) -> SqlStorage:
    require_driver(settings)
    shared = clock if isinstance(clock, DatabaseClock) else None
    return SqlStorage.open(settings.normalized_database_url, on_jobs=alarm.ring, clock=shared, queue=queue)


def _queue(settings: Settings) -> "JobQueue | None":
    """SQLite has one process, which needs no queue. Nor need those on PostgreSQL that are alone: where the extra
    ``worker`` is not installed nobody is asked for work, and workers find it a few seconds later by themselves."""
    if not settings.on_postgresql:
        return None
    try:
        from booking_payments.adapters.procrastinate.queue import JobQueue
    except ModuleNotFoundError:
        return None
    return JobQueue()


def _publishers(
    settings: Settings, clock: SystemClock | DatabaseClock, consumers: Sequence[Consumer], name: str
) -> Mapping[str, Publisher]:
    """What delivers on each channel of this process."""
    found: dict[str, Publisher] = {python_channel(name): CallablePublisher(*consumers)} if consumers else {}
    if settings.messages_webhook_url:
        found[WEBHOOK] = _webhook(settings.messages_webhook_url, settings, clock)
    if settings.messages_broker_url:
        found[BROKER] = _broker(settings.messages_broker_url.get_secret_value(), settings)
    return found


def _webhook(url: str, settings: Settings, clock: SystemClock | DatabaseClock) -> Publisher:
    from booking_payments.adapters.messages.webhook import TIMEOUT, WebhookPublisher

    timeout = min(TIMEOUT, _longest_delivery(settings))
    return WebhookPublisher(url, settings.messages_webhook_secrets, clock, timeout, network=_network())


def _broker(url: str, settings: Settings) -> Publisher:
    with extra("broker", "MESSAGES_BROKER_URL"):
        from booking_payments.adapters.messages.broker import TIMEOUT, BrokerPublisher
    timeout = min(TIMEOUT, _longest_delivery(settings))
    return BrokerPublisher(url, settings.messages_broker_queue, timeout=timeout)


def _longest_delivery(settings: Settings) -> timedelta:
    """The half of a claim in which nothing is begun any more: what was begun before ends while it still holds."""
    return timedelta(seconds=settings.operation_lease_s) / 2


def _channels(settings: Settings, publishers: Mapping[str, Publisher]) -> Mapping[str, Publisher]:
    """The same, each with an end to its time, and a line of the log for each try that fails."""
    longest = _longest_delivery(settings)
    return {name: LoggedPublisher(Bounded(each, longest), name) for name, each in publishers.items()}


def _terms(settings: Settings, installation_id: str | None) -> Terms:
    return evolve(terms_of(settings), installation_id=installation_id)


def _counters(settings: Settings) -> "Counters":
    with extra("http", "RATE_LIMIT_ENABLED"):
        from booking_payments.adapters.throttle import Counters
    url = settings.rate_limit_store_url
    with extra("redis", "RATE_LIMIT_STORE_URL"):
        return Counters.open(url.get_secret_value() if url else None)


def _limits(settings: Settings, counters: "Counters", webhook_names: Sequence[str] = ()) -> "Limits":
    from booking_payments.entrypoints.http.limits import Limits

    return Limits.of(settings, counters, webhook_names)


def _traced(target: T, layer: str) -> T:
    """With a span around each call, where somebody collects them."""
    return traced(target, layer, tracer())


def _told_of(gateway: Gateway) -> Gateway:
    """With a line of the log and a span for each call."""
    return _traced(logged(gateway), "gateway")


def _fake_store(database_url: str) -> SqlFakeStore:
    try:
        return SqlFakeStore.beside(database_url)
    except SQLAlchemyError:
        raise DatabaseAwayError(Problem("DATABASE_URL", "the database can't be reached")) from None


class DatabaseAwayError(SettingsError):
    """The fake gateway keeps its state beside the database, which can't be reached."""


class Container(containers.DeclarativeContainer):
    """Everything that the service is made of."""

    settings = providers.Dependency(instance_of=Settings)
    consumers = providers.Object[Sequence[Consumer]](())
    channel_name = providers.Object("app")
    in_worker = providers.Object(False)
    serves = providers.Object(False)
    listens = providers.Object(False)  # at HOST and PORT
    installation_id = providers.Object[str | None](None)
    database_url = settings.provided.normalized_database_url

    # The world outside
    clock = providers.Singleton(_clock, settings)
    ids = providers.Singleton(_ids, serves)
    random = providers.Singleton(SystemRandom)
    alarm = providers.Singleton(Alarm, clock.provided.now)

    # Gateway and stores
    fake_store = providers.Singleton(_fake_store, database_url)
    fake_stripe = providers.Singleton(
        FakeStripe,
        clock=clock.provided.now,
        store=fake_store,
        amount_digits=settings.provided.gateway_max_amount_digits,
        bank_pages=settings.provided.own_address,
    )
    stripe_transport = providers.Singleton(_stripe_transport, settings)
    paced_transport = providers.Singleton(
        Paced,
        stripe_transport,
        max_per_s=settings.provided.gateway_max_per_s,
        max_concurrent=settings.provided.gateway_max_concurrent,
    )
    transfer_store = providers.Singleton(TransferStore.open, database_url)
    chosen_gateway = providers.Selector(
        settings.provided.gateway.value,
        fake=providers.Singleton(FakeGateway, stripe=fake_stripe, clock=clock),
        stripe=providers.Singleton(
            StripeGateway,
            paced_transport,
            livemode=settings.provided.livemode,
            amount_digits=settings.provided.gateway_max_amount_digits,
        ),
        bank_transfer=providers.Singleton(
            BankTransferGateway, transfer_store, clock=clock, pay_to=settings.provided.bank_transfer_pay_to
        ),
    )
    gateway = providers.Singleton(_told_of, chosen_gateway)
    webhook_secrets = providers.Singleton(_webhook_secrets, settings)
    stripe_webhooks = providers.Singleton(StripeWebhooks, secrets=webhook_secrets)
    webhooks = providers.Selector(
        settings.provided.gateway.value,
        fake=stripe_webhooks,
        stripe=stripe_webhooks,
        bank_transfer=providers.Singleton(BankTransferEvents),
    )
    webhook_names = providers.Callable(tuple, settings.provided.webhook_names)
    queue = providers.Singleton(_queue, settings)
    storage = providers.Singleton(_storage, settings, alarm, clock, queue)
    publishers = providers.Singleton(_publishers, settings, clock, consumers, channel_name)
    channels = providers.Singleton(_channels, settings, publishers)

    # How often somebody may call
    counters = providers.Singleton(_counters, settings)
    limits = providers.Singleton(_limits, settings, counters, webhook_names)

    # Use cases
    world = providers.Singleton(
        World,
        storage=providers.Singleton(_traced, storage, "database"),
        gateway=gateway,
        webhooks=webhooks,
        webhook_names=webhook_names,
        channels=channels,
        reader=channel_name,
        in_worker=in_worker,
        clock=clock,
        ids=ids,
        random=random,
        terms=providers.Callable(_terms, settings, installation_id),
        retry=providers.Callable(retry_of, settings),
        side_by_side=providers.Object(side_by_side),
    )
    payments = providers.Singleton(_traced, providers.Singleton(BookingPayments, world), "payments")
    transfers = providers.Singleton(TransferDesk, gateway, world)


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
    """The services of one process, closed when the context ends. Raises ``SettingsError``.

    ``consumers`` take the messages to the booking app inside this process, on the channel ``python:NAME`` with
    ``channel_name``, by default the name of the settings. ``own`` stands in for the gateway that the settings name.
    ``in_worker``: this process is a background worker. ``serving``: it answers over HTTP, where
    rates are bounded. ``mounted``: it does so inside a host application, at an address that only the host knows. On
    SQLite only one process may serve a file. Another one is waited for, at most
    ``wait``; then ``SettingsError`` is raised.
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
    """Hold the lock of the SQLite file while the context lasts. Raises ``SettingsError``."""
    file = database_file(settings.normalized_database_url)
    async with AsyncExitStack() as stack:
        if file is not None:
            try:
                await stack.enter_async_context(serving_alone(file, wait, _log_wait(file, wait)))
            except FileServedError as error:
                raise SettingsError(Problem("DATABASE_URL", str(error))) from error
        yield


def _log_wait(file: Path, wait: timedelta) -> Callable[[int | None], None]:
    def told(holder: int | None) -> None:
        log.warning("waiting_for_another_serve", file=str(file), process=holder, seconds=wait.total_seconds())

    return told


@asynccontextmanager
async def _built(container: Container, own: OwnGateway | None) -> AsyncIterator[Services]:
    settings, serving = container.settings(), container.serves()
    if own is not None:
        container.chosen_gateway.override(providers.Object(own.gateway))
        container.webhooks.override(providers.Object(own.webhooks))
        container.webhook_names.override(providers.Object((own.gateway.name,)))
    kind = settings.gateway if own is None else None
    storage: SqlStorage = container.storage()
    container.installation_id.override(providers.Object(await _installation_id(settings, storage)))
    try:
        yield Services(
            payments=container.payments(),
            gateway=container.gateway(),
            storage=storage,
            clock=container.clock(),
            ids=container.ids(),
            settings=settings,
            ready=lambda: readiness(storage),
            background=_background(container, kind),
            sandbox=container.fake_stripe() if kind is GatewayName.FAKE else None,
            transfers=container.transfers() if kind is GatewayName.BANK_TRANSFER else None,
            limits=container.limits() if serving and settings.rate_limit_enabled else None,
        )
    finally:
        for publisher in container.publishers().values():
            if hasattr(publisher, "close"):  # functions have nothing to close
                await publisher.close()
        await storage.close()
        await _close_gateway(container, kind)
        if serving:
            await container.counters().close()


async def _installation_id(settings: Settings, storage: SqlStorage) -> str | None:
    """What tells this installation from others: as the settings say, or else as the database has it. None where that
    can't be read, which nothing survives that goes on from here to work with it."""
    if settings.given_installation_id is not None:
        return settings.given_installation_id
    try:
        with anyio.fail_after(READY_WITHIN_S):
            return await storage.installation_id()
    except (SQLAlchemyError, OSError, TimeoutError):
        return None


@asynccontextmanager
async def gateway_alone(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway without the rest of the house, closed when the context ends."""
    container = Container(settings=settings)
    try:
        yield container.gateway()
    finally:
        await _close_gateway(container, settings.gateway)


async def examined(settings: Settings) -> "Sequence[Finding]":
    """What is right and wrong at Stripe: rights of the key, webhook endpoints. Raises ``GatewayError``."""
    transport = _stripe_transport(settings)
    from booking_payments.adapters.stripe.examination import examine

    try:
        return await examine(transport, livemode=settings.livemode)
    finally:
        await transport.close()


async def _close_gateway(container: Container, kind: GatewayName | None) -> None:
    match kind:
        case GatewayName.FAKE:
            container.fake_store().close()
        case GatewayName.STRIPE:
            await container.stripe_transport().close()
        case GatewayName.BANK_TRANSFER:
            await container.transfer_store().close()


async def shared_store_answers(settings: Settings) -> bool:
    """Whether the store of the rate limits can be asked. Raises ``SettingsError`` without its client library."""
    counters = _counters(settings)
    try:
        verdict = await _limits(settings, counters).address.take("doctor")
    finally:
        await counters.close()
    return not verdict.alone


async def attach_channels(services: Services) -> None:
    """Begin to deliver on the channels of this process. Raises ``SettingsError`` where one is not recorded though
    others are."""
    try:
        await services.payments.attach_channels()
    except ChannelNotRecorded as error:
        raise SettingsError(Problem(_SET_BY.get(error.name, "consumers"), error.message)) from error


_SET_BY: Final = {WEBHOOK: "MESSAGES_WEBHOOK_URL", BROKER: "MESSAGES_BROKER_URL"}


async def readiness(storage: SqlStorage) -> Readiness:
    """Whether the database can be reached and has the schema of this version."""
    try:
        with anyio.fail_after(READY_WITHIN_S):
            revision = await current(storage.engine)
            lacking = await missing(storage.engine) if revision == head() else ()
    except Exception:
        return Readiness(database=False, migrations=False, detail="the database can't be reached; check DATABASE_URL")
    if lacking:
        what = f"the schema says that it is current, but has no {', '.join(lacking[:SHOWN])}"
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        return Readiness(database=True, migrations=False, detail=f"{what}{more}; restore a backup of it")
    if revision == head():
        return Readiness(database=True, migrations=True)
    outdated = "the schema is not current; run: booking-payments migrate"
    newer = "the schema is of a newer release of booking-payments; install that one"
    return Readiness(database=True, migrations=False, detail=newer if is_newer(revision) else outdated)


def _background(container: Container, kind: GatewayName | None) -> Background:
    """What runs beside the HTTP app: due work, and with the fake gateway its webhooks to ourselves.

    Messages are delivered here on each channel of this process, unless a worker says that it delivers there.

    On SQLite a ``serve`` process first ends the leases of the ``serve`` before it. Where several processes
    share PostgreSQL, all of that is left to workers as long as one is alive.
    """

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        payments, alarm, storage = container.payments(), container.alarm(), container.storage()
        woken: list[Round] = [payments.settle_due]
        deliver: Round = payments.deliver_messages
        rounds = list(_rounds(container, kind))
        async with AsyncExitStack() as stack:
            if not container.settings().on_postgresql:
                if container.serves():  # it holds the lock of the file
                    await storage.take_over()
            else:
                presence = Presence(storage.engine, container.queue())
                workers = _Workers(presence, payments, container.clock())
                await workers.look()
                deliver = workers.deliver_beside
                woken = [_unless_others_do(work, presence) for work in woken]
                rounds = [Every(each.pause, _unless_others_do(each.work, presence)) for each in rounds]
                rounds.append(Every(LOOK_FOR_WORKERS, workers.look))
            await stack.enter_async_context(running(alarm, [deliver, *woken], rounds))
            yield

    return background


class _Workers:
    """The workers beside this process, and the channels on which they deliver: this process leaves those to them."""

    def __init__(self, presence: Presence, payments: BookingPayments, clock: Clock) -> None:
        self._presence, self._payments, self._clock = presence, payments, clock
        self._theirs: frozenset[str] = frozenset()

    async def look(self) -> int:
        """Look for workers once; returns whether there are any."""
        found = await self._presence.look()
        self._theirs = frozenset(await self._carried()) if found else frozenset()
        return found

    async def _carried(self) -> Sequence[str]:
        now = self._clock.now()
        last = [(each.channel.name, each.channel.worker_alive_at) for each in await self._states()]
        return [name for name, at in last if at is not None and now - at < WORKER_GONE]

    async def _states(self) -> Sequence[ChannelState]:
        return (await self._payments.channel_states()).channels

    async def deliver_beside(self) -> int:
        """Deliver on the channels of this process on which no worker does."""
        return await self._payments.deliver_messages(self._theirs)


def _unless_others_do(work: Round, presence: Presence) -> Round:
    async def round_() -> int:
        return 0 if presence.has_workers else await work()

    return round_


def _rounds(container: Container, kind: GatewayName | None) -> Iterator[Every]:
    payments = container.payments()
    chores = Chores(payments, container.clock())
    yield Every(TICK, payments.expire_bookings)
    yield Every(timedelta(seconds=10), payments.announce_expiring)
    yield Every(timedelta(minutes=5), chores.watch_channels)
    yield Every(timedelta(hours=1), chores.forget_answers)
    yield Every(timedelta(minutes=5), chores.retry_webhooks)
    if kind is GatewayName.FAKE:
        yield Every(timedelta(milliseconds=100), _deliveries(container, container.settings()).round)
    else:
        yield Every(timedelta(hours=1), chores.catch_up)


def _deliveries(container: Container, settings: Settings) -> "Deliveries":
    from booking_payments.entrypoints.deliveries import Deliveries, HandedOver, Posted

    address = settings.fake_webhook_url or (_own_webhooks(settings) if container.listens() else None)
    receiver = Posted(address) if address else HandedOver(container.payments().receive_webhook)
    return Deliveries(container.fake_stripe(), container.clock(), receiver, container.webhook_secrets()[0])


def _own_webhooks(settings: Settings) -> str:
    """Where this process takes in webhooks, reached from this machine."""
    host = settings.host if settings.listens_on_loopback and settings.host != "localhost" else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/api/webhooks/{settings.webhook_names[0]}/"
