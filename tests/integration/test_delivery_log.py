"""Each failed try is logged with its traceback and without the message's content; so is a channel that no process
serves.
"""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from booking_payments.adapters.memory.publisher import CallablePublisher
from booking_payments.adapters.telemetry.delivery_log import LoggedPublisher
from booking_payments.application.callers import Caller
from booking_payments.ports.publisher import Message
from booking_payments.runtime.maintenance import MaintenanceTasks
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.pages.site import open_site

MESSAGE = Message(
    id="msg_1",
    type="payment.succeeded",
    booking_id="bk_1",
    payment_id=None,
    at=datetime(2026, 3, 1, tzinfo=UTC),
    data={"booking_reference": "Ann's seat"},
)


async def test_a_try_that_fails_is_logged_with_its_traceback_and_raised() -> None:
    def broken(message: Message) -> None:
        raise KeyError(message.data["booking_reference"])

    with capture_logs() as lines, pytest.raises(KeyError):
        await LoggedPublisher(CallablePublisher(broken), "python:app").publish(MESSAGE)

    (line,) = lines
    error = line.pop("exc_info")
    assert line == {
        "event": "message.delivery_failed",
        "log_level": "warning",
        "message_id": "msg_1",
        "type": "payment.succeeded",
        "channel": "python:app",
        "error": "KeyError",
    }
    assert [frame for frame in _functions(error) if frame == "broken"] == ["broken"]


def _functions(error: BaseException) -> list[str]:
    found, at = [], error.__traceback__
    while at is not None:
        found.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    return found


async def test_an_accepted_message_is_not_logged() -> None:
    with capture_logs() as lines:
        await LoggedPublisher(CallablePublisher(lambda _: None), "python:app").publish(MESSAGE)

    assert lines == []


async def test_a_channel_without_a_process_is_logged_until_one_is_alive_again() -> None:
    kit = PaymentsTestKit()
    maintenance = MaintenanceTasks(kit.payments, kit.clock)
    await kit.payments.deliver_messages()
    kit.clock.advance(timedelta(minutes=11))

    with capture_logs() as lines:
        silent = await maintenance.watch_channels()
        await kit.payments.deliver_messages()
        alive = await maintenance.watch_channels()

    assert (silent, alive) == (1, 0)
    assert [(line["event"], line["log_level"], line["channel"]) for line in lines] == [
        ("message.channel_silent", "error", "python:app")
    ]


def test_the_metrics_count_waiting_and_discarded_messages_of_each_channel() -> None:
    with open_site(PaymentsTestKit()) as site:
        site.paid()
        early = site.client.get("/metrics").text
    kit = PaymentsTestKit()
    with open_site(kit) as site:
        site.run(kit.payments.attach_channels)
        site.paid()
        site.run(kit.payments.add_channel, "webhook")
        olga = Caller.operator_of("olga", "test")
        site.run(kit.payments.remove_channel, "python:app", olga, force=True)
        late = site.client.get("/metrics").text

    assert 'booking_payments_messages_waiting{channel="none"} 2.0' in early
    assert 'booking_payments_messages_waiting{channel="webhook"} 0.0' in late
    assert 'booking_payments_messages_discarded{channel="python:app"} 2.0' in late
    assert 'booking_payments_message_channel_silent_seconds{channel="webhook"} 0.0' in late
