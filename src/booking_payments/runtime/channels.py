"""The channels on which messages to the booking app leave this process, and what delivers on each."""

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
    return WebhookPublisher(url, settings.messages_webhook_secrets, clock, timeout, network=network_of_environment())


def _broker(url: str, settings: Settings) -> Publisher:
    with extra("broker", "MESSAGES_BROKER_URL"):
        from booking_payments.adapters.messages.broker import TIMEOUT, BrokerPublisher
    timeout = min(TIMEOUT, _longest_delivery(settings))
    return BrokerPublisher(url, settings.messages_broker_queue, timeout=timeout)


def _longest_delivery(settings: Settings) -> timedelta:
    """The half of a claim in which nothing is begun any more: what was begun before ends while it still holds."""
    return timedelta(seconds=settings.operation_lease_s) / 2


def channels_of(settings: Settings, publishers: Mapping[str, Publisher]) -> Mapping[str, Publisher]:
    """The same, each with an end to its time, and a line of the log for each try that fails."""
    longest = _longest_delivery(settings)
    return {name: LoggedPublisher(WithTimeout(each, longest), name) for name, each in publishers.items()}


async def attach_channels(services: Services) -> None:
    """Begin to deliver on the channels of this process. Raises ``SettingsError`` where one is not recorded though
    others are."""
    try:
        await services.payments.attach_channels()
    except ChannelNotRecorded as error:
        raise SettingsError(SettingProblem(_SET_BY.get(error.name, "consumers"), error.message)) from error
