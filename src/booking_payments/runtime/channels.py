"""The channels on which this process delivers messages to the booking app, with the publisher of each."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.memory.publisher import CallablePublisher, Consumer, WithTimeout
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.telemetry.delivery_log import LoggedPublisher
from booking_payments.application.channels import ChannelNotRecorded
from booking_payments.ports.publisher import BROKER, WEBHOOK, Publisher, python_channel
from booking_payments.runtime.extras import extra
from booking_payments.runtime.gateways import network_of_environment
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import Settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

_SET_BY: Final = {WEBHOOK: "MESSAGES_WEBHOOK_URL", BROKER: "MESSAGES_BROKER_URL"}


def publishers_of(
    settings: Settings, clock: SystemClock | DatabaseClock, consumers: Sequence[Consumer], name: str
) -> Mapping[str, Publisher]:
    """Return the publishers of this process's channels, by channel name."""
    found: dict[str, Publisher] = {python_channel(name): CallablePublisher(*consumers)} if consumers else {}
    if settings.messages_webhook_url:
        found[WEBHOOK] = _webhook(settings.messages_webhook_url, settings, clock)
    if settings.messages_broker_url:
        found[BROKER] = _broker(settings.messages_broker_url.get_secret_value(), settings)
    return found


def _webhook(url: str, settings: Settings, clock: SystemClock | DatabaseClock) -> Publisher:
    from booking_payments.adapters.messages.webhook import TIMEOUT, WebhookPublisher

    timeout = min(TIMEOUT, _longest_delivery(settings))
    return WebhookPublisher(url, settings.messages_webhook_secrets, clock, timeout, network=network_of_environment())


def _broker(url: str, settings: Settings) -> Publisher:
    with extra("broker", "MESSAGES_BROKER_URL"):
        from booking_payments.adapters.messages.broker import TIMEOUT, BrokerPublisher
    timeout = min(TIMEOUT, _longest_delivery(settings))
    return BrokerPublisher(url, settings.messages_broker_queue, timeout=timeout)


def _longest_delivery(settings: Settings) -> timedelta:
    """Return the longest time of one delivery: half of a claim, since none begins in its second half."""
    return timedelta(seconds=settings.operation_lease_s) / 2


def channels_of(settings: Settings, publishers: Mapping[str, Publisher]) -> Mapping[str, Publisher]:
    """Return the publishers with a time-out for each delivery, and a log event for each one that fails."""
    longest = _longest_delivery(settings)
    return {name: LoggedPublisher(WithTimeout(each, longest), name) for name, each in publishers.items()}


async def attach_channels(services: Services) -> None:
    """Check that this process's channels are recorded, or record them if no channel is recorded at all.

    Raises:
        SettingsError: When one is not recorded while others are.
    """
    try:
        await services.payments.attach_channels()
    except ChannelNotRecorded as error:
        raise SettingsError(SettingProblem(_SET_BY.get(error.name, "consumers"), error.message)) from error
