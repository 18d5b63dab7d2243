"""Several gateways in one installation: each payment belongs to one, and a customer may switch to another."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from booking_payments.domain.errors import NotPossibleNow, OurFault, OutcomeUnknown, PaymentError, RefusedByRule
from booking_payments.domain.ledger import Account
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency
from booking_payments.domain.reports import IntentReport
from booking_payments.domain.reports import Unreadable as Listed
from booking_payments.ports.gateway import GatewayRefused, OutcomeAmbiguous
from booking_payments.ports.inbox import InboxFilter
from booking_payments.ports.storage import Storage
from booking_payments.ports.webhooks import GatewayEvent, WebhooksNotTaken
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.two_gateways import SECRET, VISA, Two
from tests.unit.application.failing_gateway import FailingGateway, use_gateway


@pytest.fixture
def two(storage: Storage) -> Two:
    return Two(storage)


async def test_a_payment_uses_the_default_gateway(two: Two) -> None:
    booking = await two.kit.book()

    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, confirm_immediately=True)

    assert (view.payment.gateway, view.payment.status) == ("fake", PaymentStatus.SUCCEEDED)
    assert (two.intents(two.kit.stripe), two.intents(two.stripe)) == (["succeeded"], [])


async def test_a_payment_and_its_refund_use_the_named_gateway(two: Two) -> None:
    booking = await two.kit.book()
    await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway="other")

    refund = await two.payments.refund_payment(booking.id, ANN)

    assert refund.payment.gateway == "other"
    assert (two.intents(two.kit.stripe), two.intents(two.stripe)) == ([], ["succeeded"])
    assert refund.payment.refunded == refund.payment.amount


async def test_an_unknown_gateway_is_refused_with_the_configured_names(two: Two) -> None:
    booking = await two.kit.book()

    with pytest.raises(RefusedByRule, match="choose one of: fake, other") as refused:
        await two.payments.start_payment(booking.id, ANN, gateway="paypal")

    assert refused.value.code == "gateway_unknown"


async def test_an_open_payment_continues_at_its_gateway(two: Two) -> None:
    booking = await two.kit.book()
    await two.payments.start_payment(booking.id, ANN, gateway="other")

    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, confirm_immediately=True)

    assert (view.payment.gateway, view.payment.status) == ("other", PaymentStatus.SUCCEEDED)
    assert two.intents(two.kit.stripe) == []


@pytest.mark.parametrize(("first", "second"), [("fake", "other"), ("other", "fake")])
async def test_switching_the_gateway_cancels_the_open_payment_first(two: Two, first: str, second: str) -> None:
    booking = await two.kit.book()
    left = await two.payments.start_payment(booking.id, ANN, gateway=first)

    view = await two.payments.start_payment(
        booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway=second
    )

    sides = {"fake": two.intents(two.kit.stripe), "other": two.intents(two.stripe)}
    assert (sides[first], sides[second]) == (["canceled"], ["succeeded"])
    assert (view.payment.gateway, view.payment.status) == (second, PaymentStatus.SUCCEEDED)
    before = await two.kit.storage.read(lambda uow: uow.payments.get(left.payment.id))
    assert before is not None
    assert before.status is PaymentStatus.CANCELED


async def test_switching_the_gateway_during_authentication_cancels_the_payment(two: Two) -> None:
    booking = await two.kit.book()
    await two.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_card_authenticationRequired", confirm_immediately=True
    )

    await two.payments.start_payment(booking.id, ANN, gateway="other")

    assert (two.intents(two.kit.stripe), two.intents(two.stripe)) == (["canceled"], ["requires_payment_method"])


async def test_no_second_payment_starts_while_the_cancellation_of_the_first_is_unknown(two: Two) -> None:
    booking = await two.kit.book()
    await two.payments.start_payment(booking.id, ANN)
    silent = [OutcomeAmbiguous("no answer", code="timeout")] * 3
    use_gateway(two.kit, FailingGateway(two.kit, cancel_intent=silent))

    with pytest.raises(OutcomeUnknown):
        await two.payments.start_payment(
            booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway="other"
        )

    assert two.intents(two.stripe) == []
    view = await two.payments.payment_status(booking.id, ANN)
    assert (view.payment.gateway, view.payment.operation is not None) == ("fake", True)


async def test_the_gateway_cannot_be_switched_after_the_payment_succeeded(two: Two) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA)
    two.kit.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)

    with pytest.raises(NotPossibleNow):
        await two.payments.start_payment(
            booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway="other"
        )

    paid = await two.payments.payment_status(booking.id, ANN)
    assert (paid.payment.gateway, paid.payment.status) == ("fake", PaymentStatus.SUCCEEDED)
    assert two.intents(two.stripe) == []


async def test_switching_without_an_intent_makes_no_gateway_call(two: Two) -> None:
    booking = await two.kit.book()
    gateway = FailingGateway(two.kit, create_intent=[GatewayRefused("not now", code="no")])
    use_gateway(two.kit, gateway)
    with pytest.raises(PaymentError):
        await two.payments.start_payment(booking.id, ANN)

    view = await two.payments.start_payment(
        booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway="other"
    )

    assert (view.payment.gateway, view.payment.status) == ("other", PaymentStatus.SUCCEEDED)
    assert two.intents(two.kit.stripe) == []


async def deliver(two: Two, name: str, secret: str, event: Mapping[str, object]) -> str:
    body = json.dumps(event).encode()
    headers: dict[str, str] = {"Stripe-Signature": sign(body, secret, two.kit.clock.now())}
    return (await two.payments.receive_webhook(body, headers, gateway=name)).outcome


async def test_webhooks_are_parsed_by_the_gateway_of_their_endpoint(two: Two) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, gateway="other")
    answer = two.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)
    event = {"id": "evt_9", "object": "event", "type": "payment_intent.succeeded", "data": {"object": answer.body}}

    assert await deliver(two, "other", SECRET, event) == "processed"

    paid = await two.payments.payment_status(booking.id, ANN)
    assert paid.payment.status is PaymentStatus.SUCCEEDED
    rows = await two.kit.storage.read(lambda uow: uow.inbox.latest(InboxFilter(), 5))
    assert [(row.event_id, row.gateway) for row in rows] == [("evt_9", "other")]


async def test_an_event_of_one_gateway_about_a_payment_of_another_is_ignored(two: Two) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA)
    intent = {"id": view.payment.intent_id, "object": "payment_intent", "status": "canceled"}
    metadata = {"payment_id": view.payment.id, "booking_id": booking.id}
    subject = {**intent, "amount": 10000, "currency": "usd", "metadata": metadata, "amount_received": 0}
    event = {"id": "evt_8", "object": "event", "type": "payment_intent.canceled", "data": {"object": subject}}

    assert await deliver(two, "other", SECRET, event) == "ignored"

    assert (await two.payments.payment_status(booking.id, ANN)).payment.status is not PaymentStatus.CANCELED


async def _paid_with(two: Two, gateway: str) -> tuple[str, dict[str, object]]:
    """Return a booking whose payment has succeeded at ``gateway``, unknown to our books, and the event ``evt_7``."""
    booking = await two.kit.book(reference=f"at {gateway}")
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, gateway=gateway)
    stripe = two.kit.stripe if gateway == "fake" else two.stripe
    answer = stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)
    data: dict[str, object] = {"object": answer.body}
    event: dict[str, object] = {"id": "evt_7", "type": "payment_intent.succeeded", "data": data}
    return booking.id, event


async def test_the_same_event_id_of_two_gateways_is_processed_for_each(two: Two) -> None:
    at_other, of_other = await _paid_with(two, "other")
    at_fake, of_fake = await _paid_with(two, "fake")
    events = [("other", SECRET, of_other), ("fake", "whsec_tests", of_fake)]

    outcomes = [await deliver(two, *each) for each in (*events, *events)]

    assert outcomes == ["processed", "processed", "duplicate", "duplicate"]
    paid = [(await two.payments.payment_status(each)).payment.status for each in (at_other, at_fake)]
    assert paid == [PaymentStatus.SUCCEEDED] * 2
    rows = await two.kit.storage.read(lambda uow: uow.inbox.latest(InboxFilter(), 5))
    assert [row.key for row in rows] == [(name, "evt_7", "payment_intent.succeeded") for name in ("fake", "other")]


async def test_an_event_id_that_two_gateways_use_is_replayed_for_each(two: Two) -> None:
    for name, secret in (("other", SECRET), ("fake", "whsec_tests")):
        _, event = await _paid_with(two, name)
        await deliver(two, name, secret, event)

    replayed = await two.payments.replay_webhooks(["evt_7"])

    assert [(each.gateway, each.outcome) for each in replayed] == [("other", "duplicate"), ("fake", "duplicate")]


async def test_catching_up_begins_at_the_newest_event_of_each_gateway(two: Two) -> None:
    """Events of a busy gateway do not shorten the time over which another one's lost events are read."""
    booking_id, _ = await _paid_with(two, "other")
    two.kit.clock.advance(timedelta(days=10))
    _, event = await _paid_with(two, "fake")
    assert await deliver(two, "fake", "whsec_tests", {**event, "created": int(two.kit.clock.now().timestamp())})

    await two.payments.catch_up()

    assert (await two.payments.payment_status(booking_id)).payment.status is PaymentStatus.SUCCEEDED


async def test_webhooks_of_an_unconfigured_gateway_are_refused(two: Two) -> None:
    with pytest.raises(WebhooksNotTaken):
        await two.payments.receive_webhook(b"{}", {}, gateway="paypal")


async def test_lost_events_of_the_second_gateway_are_caught_up(two: Two) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, gateway="other")
    two.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)

    await two.payments.catch_up()

    assert (await two.payments.payment_status(booking.id, ANN)).payment.status is PaymentStatus.SUCCEEDED


async def test_payments_of_both_gateways_agree_with_the_database(two: Two) -> None:
    for number, gateway in enumerate(two.payments.gateway_names):
        booking = await two.kit.book(reference=f"R-{number}")
        view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, gateway=gateway)
        stripe = two.kit.stripe if gateway == "fake" else two.stripe
        stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)

    found = await two.payments.reconcile()

    assert (found.left, found.payments, found.intents) == ((), 2, 2)
    paid = await two.payments.list_payments()
    assert {(each.gateway, each.status) for each in paid.items} == {
        ("fake", PaymentStatus.SUCCEEDED),
        ("other", PaymentStatus.SUCCEEDED),
    }


class UnreadableLists(FailingGateway):
    """The default gateway, whose lists cannot be read."""

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Listed]:
        raise OutcomeAmbiguous("no answer", code="timeout")

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        raise OutcomeAmbiguous("no answer", code="timeout")


async def test_an_unreadable_gateway_does_not_stop_the_comparison_of_others(two: Two) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, gateway="other")
    two.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/confirm", {}, None)
    use_gateway(two.kit, UnreadableLists(two.kit))

    found = await two.payments.reconcile()

    assert [(each.code, each.text) for each in found.left] == [
        ("not_compared", "the gateway fake can't be read (timeout); reconcile again later")
    ]
    assert [(each.name, each.intents, each.error) for each in found.gateways] == [
        ("fake", 0, "timeout"),
        ("other", 1, None),
    ]
    assert (await two.payments.payment_status(booking.id, ANN)).payment.status is PaymentStatus.SUCCEEDED


async def test_what_is_left_names_its_gateway(two: Two) -> None:
    """A charge at the second gateway for a payment that our books do not have."""
    charge = {"amount": "1000", "currency": "usd", "payment_method": VISA, "confirm": "true"}
    methods = {"automatic_payment_methods": {"enabled": "true", "allow_redirects": "never"}}
    metadata = {"metadata": {"payment_id": "pay_lost", "booking_id": "bk_lost"}}
    made = two.stripe.call("POST", "/v1/payment_intents", {**charge, **methods, **metadata}, "key_1")
    assert made.body["status"] == "succeeded"

    found = await two.payments.reconcile()

    assert [(each.code, each.gateway) for each in found.left] == [("unknown_charge", "other")]


async def test_catching_up_names_the_gateway_that_cannot_be_read(two: Two) -> None:
    use_gateway(two.kit, UnreadableLists(two.kit))

    with pytest.raises(OutcomeAmbiguous) as unread:
        await two.payments.catch_up()

    assert unread.value.__notes__ == ["while reading the events of the gateway fake"]


async def test_the_ledger_has_balances_for_each_gateway(two: Two) -> None:
    for gateway in two.payments.gateway_names:
        booking = await two.kit.book(reference=f"at {gateway}")
        await two.payments.start_payment(
            booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway=gateway
        )
    await two.payments.refund_payment(booking.id, ANN)

    balances = (await two.payments.check_ledger()).balances

    assert {name: balances[name, Account.GATEWAY, Currency.USD].minor for name in ("fake", "other")} == {
        "fake": 10000,
        "other": 0,
    }
    for name in ("fake", "other"):
        assert sum(amount.minor for (its, _, _), amount in balances.items() if its == name) == 0


async def test_payments_of_a_removed_gateway_are_not_changed(two: Two, storage: Storage) -> None:
    booking = await two.kit.book()
    view = await two.payments.start_payment(
        booking.id, ANN, payment_method_id=VISA, confirm_immediately=True, gateway="other"
    )
    alone = PaymentsTestKit(storage=storage, seed=3)

    with pytest.raises(OurFault):
        await alone.payments.refund_payment(booking.id, ANN)

    kept = await two.payments.payment_status(booking.id, ANN)
    assert kept.payment.status is view.payment.status
    assert [refund.failure_reason for refund in kept.payment.refunds] == ["never_sent"]
