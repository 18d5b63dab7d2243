"""The background tasks of ``serve`` and of an embedding process, and the rule which of them are left to workers."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from booking_payments.adapters.procrastinate.liveness import WorkerLiveness
from booking_payments.application.channels import ChannelState
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway_plugin import TaskDependencies
from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.runtime.background import POLL_PAUSE, Every, RunPass, WokenBy, running
from booking_payments.runtime.container import Container
from booking_payments.runtime.maintenance import MaintenanceTasks
from booking_payments.runtime.settings import Settings

WORKER_GONE: Final = timedelta(seconds=60)
"""A worker that was last alive on a channel longer ago than this does not count as delivering on it."""

LOOK_FOR_WORKERS: Final = timedelta(seconds=5)
"""How often ``serve`` checks whether there are workers."""

Background = Callable[[], AbstractAsyncContextManager[None]]


def background_of(container: Container) -> Background:
    """Return the background tasks of this process: due work, and the periodic tasks of the gateways.

    Messages are delivered on each channel of this process on which no worker delivers. On SQLite, a ``serve`` process
    first ends the leases of the ``serve`` before it. On PostgreSQL, all tasks except those of the gateways are left to
    workers while one is alive.
    """

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        payments, signal, storage = container.payments(), container.work_signal(), container.storage()
        settle: RunPass = payments.settle_due
        deliver: RunPass = payments.deliver_messages
        periodic = list(_periodic(container))
        async with AsyncExitStack() as stack:
            if not container.settings().on_postgresql:
                if container.serves():  # it holds the lock of the file
                    await storage.take_over()
            else:
                liveness = WorkerLiveness(storage.engine, container.queue())
                workers = _Workers(liveness, payments, container.clock())
                await workers.look()
                deliver = workers.deliver_beside
                settle = _unless_others_do(settle, liveness)
                periodic = [Every(each.pause, _unless_others_do(each.work, liveness)) for each in periodic]
                periodic.append(Every(LOOK_FOR_WORKERS, workers.look))
            periodic += _of_gateways(container)
            await stack.enter_async_context(running(signal, _woken(deliver, settle), periodic))
            yield

    return background


def _woken(deliver: RunPass, settle: RunPass) -> list[RunPass | WokenBy]:
    """Return the loops for messages and payments. Each is woken only by its own jobs, since under load every
    transaction has messages and few have payments to settle."""
    return [WokenBy(DeliverMessages, deliver), WokenBy(SettlePayment, settle)]


class _Workers:
    """The workers on the same database, and the channels on which they deliver and this process does not."""

    def __init__(self, liveness: WorkerLiveness, payments: BookingPayments, clock: Clock) -> None:
        self._liveness, self._payments, self._clock = liveness, payments, clock
        self._theirs: frozenset[str] = frozenset()

    async def look(self) -> int:
        """Read once which workers are alive; returns whether there is one, as 0 or 1."""
        found = await self._liveness.look()
        self._theirs = frozenset(await self._carried()) if found else frozenset()
        return found

    async def _carried(self) -> Sequence[str]:
        now = self._clock.now()
        last = [(each.channel.name, each.channel.worker_alive_at) for each in await self._states()]
        return [name for name, at in last if at is not None and now - at < WORKER_GONE]

    async def _states(self) -> Sequence[ChannelState]:
        return (await self._payments.channel_states()).channels

    async def deliver_beside(self) -> int:
        """Deliver messages on the channels of this process on which no worker delivers."""
        return await self._payments.deliver_messages(self._theirs)


def _unless_others_do(work: RunPass, liveness: WorkerLiveness) -> RunPass:
    async def pass_() -> int:
        return 0 if liveness.has_workers else await work()

    return pass_


def _periodic(container: Container) -> Iterator[Every]:
    payments = container.payments()
    maintenance = MaintenanceTasks(payments, container.clock())
    yield Every(POLL_PAUSE, payments.expire_bookings)
    yield Every(timedelta(seconds=10), payments.announce_expiring)
    yield Every(POLL_PAUSE, payments.continue_event_jobs)
    yield Every(timedelta(minutes=5), maintenance.watch_channels)
    yield Every(timedelta(hours=1), maintenance.forget_answers)
    yield Every(timedelta(minutes=5), maintenance.retry_webhooks)
    if not all(each.in_one_process for each in container.settings().plugins.values()):
        yield Every(timedelta(hours=1), maintenance.catch_up)


def _of_gateways(container: Container) -> Iterator[Every]:
    """The periodic tasks of the gateways."""
    for name, built in container.built_gateways().items():
        address = _webhook_address(container.settings(), name) if container.listens() else None
        receive = partial(container.payments().receive_webhook, gateway=name)
        given = TaskDependencies(receive_webhook=receive, webhook_address=address)
        yield from (Every(each.every, each.work) for each in built.tasks(given))


def _webhook_address(settings: Settings, gateway: str) -> str:
    """Return the URL of this process's own webhooks of ``gateway``, for a sender on this machine."""
    host = settings.host if settings.listens_on_loopback and settings.host != "localhost" else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/api/webhooks/{gateway}/"
