"""The wiring: settings, then gateway and stores, then use cases, then what serves them. Reads top to bottom.

Nothing in the domain or the use cases knows that this file exists.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from random import SystemRandom

from dependency_injector import containers, providers

from booking_payments.adapters.fake_stripe import FakeStripe
from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.memory.gateway import FakeGateway
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.memory.publisher import CallablePublisher
from booking_payments.adapters.sql.fake_store import SqlFakeStore
from booking_payments.adapters.sql.migrations import current, head
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.stripe.gateway import StripeGateway
from booking_payments.adapters.stripe.pace import Paced
from booking_payments.adapters.stripe.sdk import SdkTransport
from booking_payments.adapters.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.throttle import Counters
from booking_payments.application.payments import BookingPayments
from booking_payments.application.replaying import REDELIVERY, UNFINISHED
from booking_payments.application.world import Terms, World
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.refunds import RefundPolicy
from booking_payments.domain.retry import RetryPolicy
from booking_payments.entrypoints.background import Alarm, Every, running
from booking_payments.entrypoints.deliveries import Deliveries
from booking_payments.entrypoints.http.idempotency import LIFETIME
from booking_payments.entrypoints.http.limits import Limits
from booking_payments.entrypoints.http.services import Readiness, Services
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.storage import InboxFilter
from booking_payments.settings import GatewayName, Problem, Settings, SettingsError

Background = Callable[[], AbstractAsyncContextManager[None]]


def _terms(settings: Settings) -> Terms:
    fees = FeePolicy(
        rate=settings.processing_fee_rate,
        fixed=settings.fee_fixed,
        minimum=settings.fee_min,
        maximum=settings.fee_max,
        payer=settings.fee_payer,
        on_refund=settings.fee_refund,
    )
    return Terms(
        fees=fees,
        refunds=RefundPolicy(fee=settings.fee_refund),
        max_attempts=settings.retry_attempts,
        return_url=settings.return_url,
        max_unpaid_bookings=settings.max_unpaid_bookings_per_customer,
        lease=timedelta(seconds=settings.operation_lease_s),
    )


def _retry(settings: Settings) -> RetryPolicy:
    microseconds = int(settings.retry_delay_s * Decimal(1_000_000))
    return RetryPolicy(max_tries=settings.retry_attempts, first_delay=timedelta(microseconds=microseconds))


def _stripe_transport(settings: Settings) -> SdkTransport:
    if settings.stripe_secret_key is None:
        raise SettingsError(Problem("STRIPE_SECRET_KEY", "must be set for the Stripe gateway"))
    return SdkTransport(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base)


def _counters(settings: Settings) -> Counters:
    url = settings.rate_limit_store_url
    try:
        return Counters.open(url.get_secret_value() if url else None)
    except ImportError:
        remedy = "needs a client library; install it with: pip install 'booking-payments[redis]'"
        raise SettingsError(Problem("RATE_LIMIT_STORE_URL", remedy)) from None


class Container(containers.DeclarativeContainer):
    """Everything that the service is made of."""

    settings = providers.Dependency(instance_of=Settings)
    database_url = settings.provided.normalized_database_url

    # The world outside
    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(RandomIds)
    random = providers.Singleton(SystemRandom)
    alarm = providers.Singleton(Alarm)

    # Gateway and stores
    fake_store = providers.Singleton(SqlFakeStore.beside, database_url)
    fake_stripe = providers.Singleton(FakeStripe, clock=clock.provided.now, store=fake_store)
    stripe_transport = providers.Singleton(_stripe_transport, settings)
    paced_transport = providers.Singleton(
        Paced,
        stripe_transport,
        max_per_s=settings.provided.gateway_max_per_s,
        max_concurrent=settings.provided.gateway_max_concurrent,
    )
    gateway = providers.Selector(
        settings.provided.gateway.value,
        fake=providers.Singleton(FakeGateway, stripe=fake_stripe, clock=clock),
        stripe=providers.Singleton(StripeGateway, paced_transport, livemode=settings.provided.livemode),
    )
    webhooks = providers.Singleton(StripeWebhooks, secrets=settings.provided.webhook_secrets)
    storage = providers.Singleton(SqlStorage.open, database_url, on_jobs=alarm.provided.ring)
    publisher = providers.Singleton(CallablePublisher)

    # How often somebody may call
    counters = providers.Singleton(_counters, settings)
    limits = providers.Singleton(Limits.of, settings, counters)

    # Use cases
    world = providers.Singleton(
        World,
        storage=storage,
        gateway=gateway,
        webhooks=webhooks,
        publisher=publisher,
        clock=clock,
        ids=ids,
        random=random,
        terms=providers.Callable(_terms, settings),
        retry=providers.Callable(_retry, settings),
    )
    payments = providers.Singleton(BookingPayments, world)


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Services]:
    """The services of one process, closed when the context ends. Raises ``SettingsError``."""
    container = Container(settings=settings)
    storage: SqlStorage = container.storage()
    fake = settings.gateway is GatewayName.FAKE
    try:
        yield Services(
            payments=container.payments(),
            gateway=container.gateway(),
            storage=storage,
            clock=container.clock(),
            ids=container.ids(),
            settings=settings,
            ready=lambda: readiness(storage),
            background=_background(container, settings),
            sandbox=container.fake_stripe() if fake else None,
            limits=container.limits() if settings.rate_limit_enabled else None,
        )
    finally:
        await storage.close()
        await _close_gateway(container, settings)
        await container.counters().close()


@asynccontextmanager
async def gateway_alone(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway without the rest of the house, closed when the context ends."""
    container = Container(settings=settings)
    try:
        yield container.gateway()
    finally:
        await _close_gateway(container, settings)


async def _close_gateway(container: Container, settings: Settings) -> None:
    if settings.gateway is GatewayName.FAKE:
        container.fake_store().close()
    else:
        await container.stripe_transport().close()


async def shared_store_answers(settings: Settings) -> bool:
    """Whether the store of the rate limits can be asked. Raises ``SettingsError`` without its client library."""
    counters = _counters(settings)
    try:
        verdict = await Limits.of(settings, counters).address.look("doctor")
    finally:
        await counters.close()
    return not verdict.alone


async def readiness(storage: SqlStorage) -> Readiness:
    """Whether the database can be reached and has the schema of this version."""
    try:
        revision = await current(storage.engine)
    except Exception:
        return Readiness(database=False, migrations=False, detail="the database can't be reached; check DATABASE_URL")
    if revision != head():
        return Readiness(
            database=True, migrations=False, detail="the schema is not current; run: booking-payments migrate"
        )
    return Readiness(database=True, migrations=True)


def _background(container: Container, settings: Settings) -> Background:
    """What runs beside the HTTP app: due work, and with the fake gateway its webhooks to ourselves."""

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        if not settings.on_postgresql:
            await container.storage().take_over()
        async with running(container.payments(), container.alarm(), *_rounds(container, settings)):
            yield

    return background


def _rounds(container: Container, settings: Settings) -> Iterator[Every]:
    payments, clock = container.payments(), container.clock()

    async def forget_answers() -> int:
        return await payments.forget_answers(clock.now() - LIFETIME)

    async def retry_webhooks() -> int:
        unfinished = InboxFilter(statuses=UNFINISHED, received_from=clock.now() - REDELIVERY)
        return len(await payments.replay_webhooks(which=unfinished))

    async def catch_up() -> int:
        return len(await payments.catch_up())

    yield Every(timedelta(hours=1), forget_answers)
    yield Every(timedelta(minutes=5), retry_webhooks)
    if settings.gateway is GatewayName.FAKE:
        yield Every(timedelta(milliseconds=100), _deliveries(container, settings).round)
    else:
        yield Every(timedelta(hours=1), catch_up)


def _deliveries(container: Container, settings: Settings) -> Deliveries:
    host = settings.host if settings.listens_on_loopback and settings.host != "localhost" else "127.0.0.1"
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/api/webhooks/stripe/"
    return Deliveries(container.fake_stripe(), container.clock(), url, settings.webhook_secrets[0])
