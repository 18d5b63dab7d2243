"""Embedding: ``BookingPayments`` inside another service, with or without an event loop.

::

    async with open_payments() as payments:
        await payments.process_booking_payment(booking_id, "pm_card_visa")

    with open_payments_sync() as payments:
        payments.process_booking_payment(booking_id, "pm_card_visa")

Both read the same settings as the service. Settings that are only needed over HTTP are not required: ``JWT_SECRET``,
``STRIPE_WEBHOOK_SECRET``, ``HOST``.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.memory.publisher import Consumer
from booking_payments.adapters.sql.migrations import CannotMigrateError
from booking_payments.adapters.sql.migrations import migrate as bring_up_to_date
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.gateway import OwnGateway
from booking_payments.ports.publisher import CHANNEL_NAMES, is_channel_name, python_channel
from booking_payments.runtime.channels import attach_channels
from booking_payments.runtime.composition import build
from booking_payments.runtime.extras import require_driver
from booking_payments.runtime.logging import log_through_the_host
from booking_payments.runtime.settings import load_settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def open_payments(
    env: Mapping[str, str] | None = None,
    *,
    env_file: str | Path | None = ".env",
    migrate: bool = False,
    background: bool = True,
    consumers: Sequence[Consumer] = (),
    channel: str | None = None,
    gateway: OwnGateway | None = None,
) -> AsyncIterator[BookingPayments]:
    """Open the database and the gateway of the settings; the context value is the facade.

    Args:
        env: used in place of the process's environment.
        env_file: file with settings that the environment does not have; None: no file.
        migrate: bring the database's schema up to date first.
        background: settle, expire and deliver in the background while the context is open. Set it to False if
            ``booking-payments serve`` runs on the same database, too.
        consumers: functions that receive the messages to the booking app, called on the event loop if they are async,
            otherwise in threads. Together they are the channel ``python:NAME``; all processes with consumers of the
            same NAME share its messages, and the background work of these processes delivers them.
        channel: NAME of that channel, and of the channel that ``messages`` reads; None: ``MESSAGES_CHANNEL``.
        gateway: your own gateway adapter with its webhook reader, in place of the one that the settings name.

    Raises:
        SettingsError: When a setting is wrong, a package that it needs is not installed, the database can't be reached,
            its schema is old or can't be migrated, or a channel is not recorded while others are.
    """
    settings = load_settings(env, env_file, embedded=True)
    if channel is not None and not is_channel_name(python_channel(channel)):
        raise SettingsError(SettingProblem("channel", f"a channel is called {CHANNEL_NAMES}"))
    log_through_the_host()
    if migrate:
        require_driver(on_postgresql=settings.on_postgresql)
        _bring_up_to_date(settings.normalized_database_url)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(build(settings, consumers, gateway, channel_name=channel))
        ready = await services.ready()
        if not ready.ok:
            raise SettingsError(SettingProblem("DATABASE_URL", ready.detail or "must be ready"))
        if background or consumers:
            await attach_channels(services)
        if background and services.background is not None:
            await stack.enter_async_context(services.background())
        yield services.payments


def _bring_up_to_date(url: str) -> None:
    try:
        bring_up_to_date(url)
    except CannotMigrateError as error:
        raise SettingsError(SettingProblem("DATABASE_URL", str(error))) from error
    except SQLAlchemyError as error:
        raise SettingsError(SettingProblem("DATABASE_URL", f"can't be migrated ({type(error).__name__})")) from error


FORKED: Final = (
    "these payments were opened before this process was forked, and their thread does not exist in this process; "
    "call open_payments_sync() in each process, after the fork"
)


class SyncBookingPayments:
    """``BookingPayments`` for callers without an event loop: the same methods, run on an event loop in a thread.

    They may be called from any number of threads. In a forked process they raise ``RuntimeError``.
    See ``BookingPayments`` for what each method does.
    """

    def __init__(self, payments: BookingPayments, portal: BlockingPortal) -> None:
        opened_in = os.getpid()

        def blocking(method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
            @wraps(method)
            def call(*args: P.args, **kwargs: P.kwargs) -> T:
                if os.getpid() != opened_in:
                    raise RuntimeError(FORKED)
                return portal.call(lambda: method(*args, **kwargs))

            return call

        self.register_booking = blocking(payments.register_booking)
        self.get_booking = blocking(payments.get_booking)
        self.describe_booking = blocking(payments.describe_booking)
        self.describe_bookings = blocking(payments.describe_bookings)
        self.quote_refund_of_payment = blocking(payments.quote_refund_of_payment)
        self.refund_payment_by_id = blocking(payments.refund_payment_by_id)
        self.settle_debt = blocking(payments.settle_debt)
        self.cancel_booking = blocking(payments.cancel_booking)
        self.amend_booking = blocking(payments.amend_booking)
        self.preview_amendment = blocking(payments.preview_amendment)
        self.preview_cancellation = blocking(payments.preview_cancellation)
        self.preview_event = blocking(payments.preview_event)
        self.upcoming_events = blocking(payments.upcoming_events)
        self.event_overview = blocking(payments.event_overview)
        self.cancel_event = blocking(payments.cancel_event)
        self.reschedule_event = blocking(payments.reschedule_event)
        self.event_report = blocking(payments.event_report)
        self.event_lines = blocking(payments.event_lines)
        self.run_event_job = blocking(payments.run_event_job)
        self.continue_event_jobs = blocking(payments.continue_event_jobs)
        self.start_payment = blocking(payments.start_payment)
        self.record_payment = blocking(payments.record_payment)
        self.confirm_payment = blocking(payments.confirm_payment)
        self.retry_payment = blocking(payments.retry_payment)
        self.capture_payment = blocking(payments.capture_payment)
        self.cancel_payment = blocking(payments.cancel_payment)
        self.payment_status = blocking(payments.payment_status)
        self.checkout = blocking(payments.checkout)
        self.poll_payment = blocking(payments.poll_payment)
        self.journal = blocking(payments.journal)
        self.list_payments = blocking(payments.list_payments)
        self.quote_refund = blocking(payments.quote_refund)
        self.refund_payment = blocking(payments.refund_payment)
        self.receive_webhook = blocking(payments.receive_webhook)
        self.list_bookings = blocking(payments.list_bookings)
        self.work = blocking(payments.work)
        self.deliver_messages = blocking(payments.deliver_messages)
        self.undelivered_messages = blocking(payments.undelivered_messages)
        self.replay_messages = blocking(payments.replay_messages)
        self.drop_messages = blocking(payments.drop_messages)
        self.messages = blocking(payments.messages)
        self.attach_channels = blocking(payments.attach_channels)
        self.channel_states = blocking(payments.channel_states)
        self.add_channel = blocking(payments.add_channel)
        self.remove_channel = blocking(payments.remove_channel)
        self.announce_expiring = blocking(payments.announce_expiring)
        self.settle_payment = blocking(payments.settle_payment)
        self.settle_due = blocking(payments.settle_due)
        self.expire_bookings = blocking(payments.expire_bookings)
        self.forget_answers = blocking(payments.forget_answers)
        self.reconcile = blocking(payments.reconcile)
        self.catch_up = blocking(payments.catch_up)
        self.check_ledger = blocking(payments.check_ledger)
        self.list_webhooks = blocking(payments.list_webhooks)
        self.replay_webhooks = blocking(payments.replay_webhooks)
        self.audit_trail = blocking(payments.audit_trail)
        self.figures = blocking(payments.figures)
        self.recent_figures = blocking(payments.recent_figures)
        self.disputes = blocking(payments.disputes)
        self.drift_reports = blocking(payments.drift_reports)
        self.process_booking_payment = blocking(payments.process_booking_payment)
        self.retry_booking_payment = blocking(payments.retry_booking_payment)
        self.process_booking_refund = blocking(payments.process_booking_refund)


@contextmanager
def open_payments_sync(
    env: Mapping[str, str] | None = None,
    *,
    env_file: str | Path | None = ".env",
    migrate: bool = False,
    background: bool = True,
    consumers: Sequence[Consumer] = (),
    channel: str | None = None,
    gateway: OwnGateway | None = None,
) -> Iterator[SyncBookingPayments]:
    """``open_payments`` for scripts, Flask and Django: an event loop runs in a thread until the context ends."""
    opening = open_payments(
        env,
        env_file=env_file,
        migrate=migrate,
        background=background,
        consumers=consumers,
        channel=channel,
        gateway=gateway,
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opening) as payments:
        yield SyncBookingPayments(payments, portal)
