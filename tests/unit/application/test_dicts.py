"""Results as dictionaries: the names, values and JSON types of the HTTP API, and no secrets by default."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from booking_payments.adapters.messages.payload import payload
from booking_payments.application.views import PaymentResult
from booking_payments.domain.errors import CardDeclined
from booking_payments.domain.money import Currency, Money
from booking_payments.presentation import models, render
from booking_payments.presentation.render import Reader
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit


def over_http(answer: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


READERS = [Reader(subject="ann", operator=False), Reader(subject="olga", operator=True)]


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeDeclinedStolenCard"])
@pytest.mark.parametrize("reader", READERS)
async def test_a_payment_as_dictionary_equals_the_http_response(card: str, reader: Reader) -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    try:
        await kit.payments.start_payment(booking.id, ANN, payment_method_id=card, confirm_immediately=True)
    except CardDeclined:
        assert card == "pm_card_chargeDeclinedStolenCard"
    view, now = await kit.payments.payment_status(booking.id), kit.clock.now()

    answer = over_http(render.payment(view, reader, now))

    owner = reader.subject == "ann"
    assert json.loads(json.dumps(view.to_dict(now=now, client_secret=owner, operator=reader.operator))) == answer
    assert view.payment.to_dict(now) == view.to_dict(now=now)


async def test_refunds_disputes_quotes_and_bookings_as_dictionaries_equal_the_http_responses() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    reader, now = READERS[0], kit.clock.now()
    quote = await kit.payments.quote_refund(booking.id)
    refund = await kit.payments.refund_payment(booking.id, OPERATOR, amount="40.00")
    intent = refund.payment.intent_id or ""
    assert kit.stripe.open_dispute(intent, amount=10_00, inquiry=True).ok
    await kit.deliver_webhooks()
    view = await kit.payments.payment_status(booking.id)
    described = await kit.payments.describe_booking(booking.id)

    assert quote.to_dict() == over_http(render.quote(quote))
    assert refund.to_dict(now=now) == over_http(render.refund(refund.payment, refund.refund, reader, now))
    assert view.payment.disputes
    assert view.to_dict(now=now) == over_http(render.payment(view, reader, now))
    assert described.to_dict() == over_http(render.booking(described))
    assert set(described.to_dict()) == set(models.BookingAnswer.__struct_fields__)
    assert {**described.booking.to_dict(), "refund_owed": "0.00", "refund_waiting": "0.00"} == described.to_dict()


def test_what_a_booking_is_registered_with_is_in_its_response() -> None:
    given, shown = models.RegisterBooking.__struct_fields__, models.BookingAnswer.__struct_fields__

    assert set(given) <= set(shown), "add the fields to BookingAnswer, render.booking and Booking.to_dict"


async def test_a_message_as_dictionary_equals_its_webhook() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    await kit.settle()

    assert kit.publisher.published
    for message in kit.publisher.published:
        assert message.to_dict() == json.loads(payload(message))


async def test_secrets_are_left_out_unless_requested() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    assert view.client_action is not None
    secret = view.client_action.client_secret
    result = PaymentResult.of(view)

    assert secret
    assert secret not in json.dumps([view.to_dict(), result.to_dict()])
    assert view.to_dict(client_secret=True)["client_secret"] == secret
    assert result.to_dict(client_secret=True)["client_secret"] == secret


def test_a_result_uses_the_field_names_of_the_payment_and_refund_responses() -> None:
    names = set(models.PaymentAnswer.__struct_fields__) | set(models.RefundAnswer.__struct_fields__)

    assert set(PaymentResult(success=True).to_dict()) <= names


@pytest.mark.parametrize(
    ("text", "currency"),
    [("100.10", Currency.USD), ("-0.05", Currency.USD), ("500", Currency.JPY), ("1.250", Currency.KWD)],
)
def test_the_amount_of_money_is_an_exact_decimal_with_the_decimals_of_its_currency(
    text: str, currency: Currency
) -> None:
    amount = Money.parse(text.lstrip("-"), currency)
    amount = -amount if text.startswith("-") else amount

    assert isinstance(amount.amount, Decimal)
    assert str(amount.amount) == text
