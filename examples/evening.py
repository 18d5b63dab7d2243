"""A group booking that changes, and its evening that is moved and canceled: `python examples/evening.py`."""

from datetime import UTC, datetime, timedelta

from booking_payments import BookingChange, Currency, Item, ItemCount, Money, NewBooking, Quoted, open_payments_sync

now = datetime.now(UTC)
starts = now + timedelta(days=30)
evening = f"evening-{now:%H%M%S%f}"


def seats(category: str, quantity: int, price: str) -> Item:
    return Item(id=category, label=category.title(), quantity=quantity, unit_amount=Money.parse(price, Currency.EUR))


with open_payments_sync(migrate=True) as payments:
    new = NewBooking(
        reference=f"{evening}-order-1",
        customer_id="ann",
        items=(seats("adult", 2, "30.00"), seats("child", 1, "10.00")),
        event_starts_at=starts,
        event_id=evening,
    )
    booking = payments.register_booking(new).booking
    payments.process_booking_payment(booking, "pm_card_visa")
    print("paid", payments.payment_status(booking.id).payment.captured)

    # One adult stays at home. If anything has changed since the quote, the cancellation is refused.
    one_adult = [ItemCount(id="adult", quantity=1)]
    quote = payments.preview_cancellation(booking.id, items=one_adult)
    print("one seat gives back", quote.refund.amount)
    quoted = Quoted(version=quote.before.version, refund=quote.refund.amount)
    booking = payments.cancel_booking(booking.id, items=one_adult, expected=quoted)
    print("the booking costs", booking.amount)

    # The price falls; the version prevents that somebody else's change is overwritten.
    child_is_free = BookingChange(items=(seats("adult", 1, "30.00"), seats("child", 1, "0.00")))
    booking = payments.amend_booking(booking.id, child_is_free, expected_version=booking.version)
    print("the booking costs", booking.amount)

    # The evening is moved, with a week in which customers may have everything back, and canceled in the end.
    moved = payments.reschedule_event(
        evening, event_starts_at=starts + timedelta(days=7), refund_grace_until=now + timedelta(days=7)
    )
    print("moved", payments.run_event_job(moved).total, "booking")
    print("canceling gives back", *payments.preview_event(evening).to_refund)
    report = payments.run_event_job(payments.cancel_event(evening, reason="the hall is flooded"))
    print("canceled; an operator has to act:", report.needs_person)
    print("refunded", payments.payment_status(booking.id).payment.refunded)
