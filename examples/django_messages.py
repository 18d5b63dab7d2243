"""Django that applies each message to its own rows exactly once: `python examples/django_messages.py work`.

One transaction changes the seat of a message and the row with the cursor of the last message. If this process is
killed, both are changed or neither is. Any number of processes may run this.
"""

import os
import sys
import time
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

from booking_payments import Message, SyncBookingPayments, open_payments_sync

if not settings.configured:
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    seats = {"ENGINE": "django.db.backends.sqlite3", "NAME": "seats.sqlite3"}
    if url.scheme.startswith("postgres"):  # the database of the payments, which have a schema of their own there
        place = {"NAME": url.path.lstrip("/"), "HOST": url.hostname or "", "PORT": str(url.port or "")}
        login = {"USER": unquote(url.username or ""), "PASSWORD": unquote(url.password or "")}
        seats = {"ENGINE": "django.db.backends.postgresql", **place, **login}
    settings.configure(DATABASES={"default": seats}, SECRET_KEY="for-this-example-only", USE_TZ=True)
    django.setup()

from django.db import connection, models, transaction

STATUSES = {"booking.confirmed": "sold", "booking.canceled": "free", "booking.expired": "free"}


class Seat(models.Model):
    """A seat, and how often it was changed by a message."""

    name = models.CharField(max_length=40, unique=True)
    status = models.CharField(max_length=20, default="free")
    changes = models.IntegerField(default=0)

    class Meta:
        app_label = "seats"


class Progress(models.Model):
    """The cursor of the last processed message; empty before the first."""

    name = models.CharField(max_length=40, primary_key=True)
    cursor = models.CharField(max_length=40, blank=True)

    class Meta:
        app_label = "seats"


def apply(message: Message) -> None:
    """Change the seat that the message is about. Messages of other types are ignored."""
    if message.type in STATUSES:
        seat, _ = Seat.objects.get_or_create(name=message.data["booking_reference"])
        seat.status = STATUSES[message.type]
        seat.changes += 1
        seat.save()


def catch_up(payments: SyncBookingPayments) -> int:
    """Process the new messages, each in a separate transaction; returns how many there were."""
    cursor = Progress.objects.get_or_create(name="payments")[0].cursor
    done = 0
    for message in payments.messages(after=cursor or None):  # outside of our transaction
        with transaction.atomic():
            # This comes first: it locks the row, and changes no row if another process has processed the message.
            if not Progress.objects.filter(name="payments", cursor=cursor).update(cursor=message.cursor):
                break
            apply(message)
        cursor = message.cursor or ""
        done += 1
    return done


def create_tables() -> None:
    """Create the tables of the models. A project with more than one file leaves this to Django's migrations."""
    with connection.schema_editor() as editor:
        for model in (Seat, Progress):
            if model._meta.db_table not in connection.introspection.table_names():
                editor.create_model(model)


if __name__ == "__main__":
    create_tables()
    if sys.argv[1:] == ["work"]:
        with open_payments_sync(migrate=True) as payments:
            while True:
                if not catch_up(payments):
                    time.sleep(1)
