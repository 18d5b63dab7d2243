"""The examples that change their own rows by messages: once for each message, also when they are cut off."""

import subprocess
import sys
import time
from pathlib import Path

from tests.examples.test_examples import ENV, EXAMPLES, running

DJANGO = """
import sys; sys.path.insert(0, {examples!r})
import django_messages as app
from datetime import UTC, datetime, timedelta
from booking_payments import Currency, Money, NewBooking, open_payments_sync

app.create_tables()
with open_payments_sync(migrate=True) as payments:
    for name in ("A-1", "A-2"):
        starts = datetime.now(UTC) + timedelta(days=30)
        price = Money.parse("10.00", Currency.USD)
        new = NewBooking(reference=name, customer_id="ann", amount=price, event_starts_at=starts)
        payments.process_booking_payment(payments.register_booking(new).booking, "pm_card_visa")
    applied, seats = app.apply, app.Seat.objects.order_by("name")

    def cut_off(message):
        applied(message)
        if message.data["booking_reference"] == "A-2" and message.type == "booking.confirmed":
            raise KeyboardInterrupt

    app.apply = cut_off
    try:
        app.catch_up(payments)
    except KeyboardInterrupt:
        pass
    print([(seat.name, seat.status, seat.changes) for seat in seats.all()])
    app.apply = applied
    app.catch_up(payments)
    print([(seat.name, seat.status, seat.changes) for seat in seats.all()], app.catch_up(payments))
"""


def test_django_changes_a_seat_once_for_each_message_though_it_is_cut_off(tmp_path: Path) -> None:
    code = DJANGO.format(examples=str(EXAMPLES))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines() == [
        "[('A-1', 'sold', 1)]",
        "[('A-1', 'sold', 1), ('A-2', 'sold', 1)] 0",
    ], done.stderr


def test_fastapi_changes_a_seat_by_its_messages_also_over_a_restart(tmp_path: Path) -> None:
    command = [["-m", "uvicorn", "fastapi_messages:app", "--app-dir", str(EXAMPLES), "--port", "PORT"]]
    seen = []
    for seat in ("A-1", "A-2"):
        with running(command, tmp_path) as client:
            bought = client.post(f"/seats/{seat}/buy", params={"customer": "ann", "card": "pm_card_visa"}).json()
            for _ in range(200):
                shown = client.get(f"/seats/{seat}").json()
                if shown["status"] == "sold":
                    break
                time.sleep(0.05)
            seen.append((bought, shown, client.get("/seats/A-1").json()))

    assert seen == [({"paid": True}, {"status": "sold", "changes": 1}, {"status": "sold", "changes": 1})] * 2
