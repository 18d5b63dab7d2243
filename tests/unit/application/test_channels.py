"""Channels: how they are recorded, which process delivers on which, and that a process never discards messages of a
channel that it does not serve.
"""

from datetime import timedelta

import attrs
import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.channels import ChannelNotRecorded, MessagesWait
from booking_payments.application.dependencies import Attached, DeliveryConfig, PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.publisher import DeliveryFailed, Message, Publisher
from booking_payments.testing.kit import CHANNEL, OPERATOR, PaymentsTestKit
from tests.payments import paid_booking

WEBHOOK = "webhook"


class RecordingPublisher:
    """A publisher that accepts messages, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.types: list[str] = []

    async def publish(self, message: Message) -> None:
        if self.down:
            raise DeliveryFailed("the receiver answered 500")
        self.types.append(message.type)


def another(kit: PaymentsTestKit, **channels: Publisher) -> BookingPayments:
    """Another process on the same database with these channels; ``python`` is the channel of the kit's own
    publisher.
    """
    names = {CHANNEL if name == "python" else name: publisher for name, publisher in channels.items()}
    return BookingPayments(attrs.evolve(kit.deps, channels=names, attached=Attached()))


async def test_a_process_without_a_channel_does_not_touch_messages(kit: PaymentsTestKit) -> None:
    await paid_booking(kit)

    await another(kit).work()

    assert [each.message.type for each in await kit.payments.undelivered_messages()] == [
        "payment.succeeded",
        "booking.confirmed",
    ]


async def test_the_first_process_with_channels_records_them_and_delivers_the_waiting_messages(
    kit: PaymentsTestKit,
) -> None:
    await paid_booking(kit)
    python, webhook = RecordingPublisher(), RecordingPublisher()

    await another(kit, python=python, webhook=webhook).deliver_messages()

    states = await kit.payments.channel_states()
    assert python.types == webhook.types == ["payment.succeeded", "booking.confirmed"]
    assert [each.channel.name for each in states.channels] == [CHANNEL, WEBHOOK]


async def test_a_process_with_an_unrecorded_channel_fails_to_start_and_names_the_command_to_run(
    kit: PaymentsTestKit,
) -> None:
    await kit.payments.attach_channels()

    with pytest.raises(ChannelNotRecorded, match="booking-payments messages channels add webhook"):
        await another(kit, webhook=RecordingPublisher()).attach_channels()


async def test_a_message_is_done_when_every_channel_has_delivered_it(kit: PaymentsTestKit) -> None:
    up, down = RecordingPublisher(), RecordingPublisher()
    down.down = True
    payments = another(kit, python=up, webhook=down)
    await payments.attach_channels()
    await paid_booking(kit)

    await payments.deliver_messages()

    waiting = await kit.payments.undelivered_messages()
    assert up.types == ["payment.succeeded", "booking.confirmed"]
    assert [(each.channel, each.tries) for each in waiting] == [(WEBHOOK, 1), (WEBHOOK, 0)]


async def test_each_process_delivers_on_its_own_channel(kit: PaymentsTestKit) -> None:
    python, webhook = RecordingPublisher(), RecordingPublisher()
    await kit.payments.attach_channels()
    await kit.payments.add_channel(WEBHOOK)
    await paid_booking(kit)

    done = [
        await another(kit, python=python).deliver_messages(),
        await another(kit, webhook=webhook).deliver_messages(),
    ]

    assert done == [2, 2]
    assert python.types == webhook.types == ["payment.succeeded", "booking.confirmed"]
    assert await kit.payments.undelivered_messages() == []


async def test_a_process_does_not_deliver_on_a_channel_of_another_process(kit: PaymentsTestKit) -> None:
    await paid_booking(kit)

    assert await kit.payments.deliver_messages(besides=[CHANNEL]) == 0
    assert kit.publisher.published == []


async def test_a_channel_is_recorded_once_and_an_invalid_name_is_refused(kit: PaymentsTestKit) -> None:
    added = [await kit.payments.add_channel(WEBHOOK) for _ in range(2)]

    assert added == [True, False]
    for wrong in ("Webhook", "python:", "python:Á", "pull:" + "a" * 41, "email", ""):
        with pytest.raises(InvalidInput):
            await kit.payments.add_channel(wrong)


async def test_a_channel_is_removed_only_by_force_while_messages_wait_on_it(kit: PaymentsTestKit) -> None:
    await kit.payments.attach_channels()
    await paid_booking(kit)

    with pytest.raises(MessagesWait):
        await kit.payments.remove_channel(CHANNEL)
    kept = len(await kit.payments.undelivered_messages())
    discarded = await kit.payments.remove_channel(CHANNEL, OPERATOR, force=True)

    states = await kit.payments.channel_states()
    assert (kept, discarded, states.waiting, states.discarded, states.channels) == (2, 2, 0, 2, ())
    with pytest.raises(NotFound):
        await kit.payments.remove_channel(CHANNEL)


async def test_a_running_process_does_not_record_a_removed_channel_again(kit: PaymentsTestKit) -> None:
    await kit.payments.deliver_messages()
    await kit.payments.remove_channel(CHANNEL)
    await paid_booking(kit)

    await kit.payments.deliver_messages()

    states = await kit.payments.channel_states()
    assert (states.channels, states.unassigned) == ((), 2)


async def test_waiting_messages_can_be_discarded_when_the_first_channel_is_added(kit: PaymentsTestKit) -> None:
    await paid_booking(kit)

    await kit.payments.add_channel(CHANNEL, OPERATOR, discard_waiting=True)
    await kit.payments.deliver_messages()

    assert kit.publisher.published == []
    assert (await kit.payments.channel_states()).discarded == 2


async def test_a_channel_is_reported_silent_when_no_process_served_it_for_ten_minutes(kit: PaymentsTestKit) -> None:
    await kit.payments.deliver_messages()
    kit.clock.advance(timedelta(minutes=10))
    (alive,) = (await kit.payments.channel_states()).channels
    kit.clock.advance(timedelta(seconds=1))
    (silent,) = (await kit.payments.channel_states()).channels
    await kit.payments.deliver_messages()
    (again,) = (await kit.payments.channel_states()).channels

    assert (alive.silent_since, again.silent_since) == (None, None)
    assert silent.silent_since == kit.clock.now() - timedelta(minutes=10, seconds=1)


async def test_a_dead_letter_is_discarded_on_one_channel_and_stays_on_another(kit: PaymentsTestKit) -> None:
    python, webhook = RecordingPublisher(), RecordingPublisher()
    python.down = webhook.down = True
    kit.deps = attrs.evolve(kit.deps, config=PaymentConfig(deliveries=DeliveryConfig(retry=RetryPolicy(max_tries=1))))
    payments = another(kit, python=python, webhook=webhook)
    await payments.attach_channels()
    await paid_booking(kit)
    await payments.deliver_messages()
    dead = [each.message.id for each in await payments.undelivered_messages(dead=True)]

    dropped = await payments.drop_messages(dead, Caller.operator_of("olga", "test"), channel=WEBHOOK)

    left = await payments.undelivered_messages(dead=True)
    assert (dropped, [each.channel for each in left]) == (1, [CHANNEL])


# --- reading with a cursor -------------------------------------------------------------------------------------


async def test_messages_are_read_with_a_cursor_and_count_as_delivered(kit: PaymentsTestKit) -> None:
    await paid_booking(kit)

    first = await kit.payments.messages(limit=1)
    rest = await kit.payments.messages(first[0].cursor)
    nothing = await kit.payments.messages(rest[-1].cursor)

    assert [[each.type for each in found] for found in (first, rest, nothing)] == [
        ["payment.succeeded"],
        ["booking.confirmed"],
        [],
    ]
    assert await kit.payments.undelivered_messages() == []


async def test_a_pull_channel_beside_other_channels_has_to_be_recorded(kit: PaymentsTestKit) -> None:
    await kit.payments.attach_channels()
    with pytest.raises(ChannelNotRecorded, match="channels add pull:shop"):
        await kit.payments.messages(channel="shop")

    await kit.payments.add_channel("pull:shop")
    await paid_booking(kit)

    assert len(await kit.payments.messages(channel="shop")) == 2


@pytest.mark.parametrize("cursor", ["-1", "x", "", "9" * 19, "٣"])
async def test_an_invalid_cursor_is_refused(kit: PaymentsTestKit, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await kit.payments.messages(cursor)


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_limit_out_of_bounds_is_refused(kit: PaymentsTestKit, limit: int) -> None:
    with pytest.raises(InvalidInput):
        await kit.payments.messages(limit=limit)


# --- holds that end soon ---------------------------------------------------------------------------------------


async def _types(kit: PaymentsTestKit) -> list[str]:
    return [each.message.type for each in await kit.payments.undelivered_messages()]


async def test_a_hold_that_ends_soon_is_announced_once(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=20))
    early = await kit.payments.announce_expiring()
    kit.clock.advance(timedelta(minutes=11))

    found = [await kit.payments.announce_expiring() for _ in range(2)]

    (message,) = [each.message for each in await kit.payments.undelivered_messages()]
    assert (early, found, message.type) == (0, [1, 0], "booking.expiring")
    assert message.data["expires_at"] == booking.expires_at.isoformat()
    assert (message.data["booking_status"], message.data["amount"], message.data["status"]) == (
        "pending",
        "100.00",
        None,
    )


async def test_paid_ended_and_overdue_holds_are_not_announced(kit: PaymentsTestKit) -> None:
    paid = await kit.book(expires_in=timedelta(minutes=5), reference="R-1")
    canceled = await kit.book(expires_in=timedelta(minutes=5), reference="R-2")
    await kit.payments.process_booking_payment(paid, "pm_card_visa")
    await kit.payments.cancel_booking(canceled.id)
    await kit.book(expires_in=timedelta(minutes=5), reference="R-3")
    before = await _types(kit)
    kit.clock.advance(timedelta(minutes=5))

    assert await kit.payments.announce_expiring() == 0
    assert await _types(kit) == before


async def test_a_hold_whose_payment_is_authorized_is_not_announced(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=5))
    await kit.payments.start_payment(
        booking.id, payment_method_id="pm_card_visa", confirm_immediately=True, capture_method=CaptureMethod.MANUAL
    )

    assert await kit.payments.announce_expiring() == 0


async def test_without_a_notice_period_no_hold_is_announced(kit: PaymentsTestKit) -> None:
    await kit.book(expires_in=timedelta(minutes=5))
    payments = BookingPayments(attrs.evolve(kit.deps, config=PaymentConfig(expiring_notice=timedelta(0))))

    assert await payments.announce_expiring() == 0
