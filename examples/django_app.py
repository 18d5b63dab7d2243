"""Django with payments beside its own models: `python examples/django_app.py migrate`, then `... runserver`.

The seats are a model of this project, in its database. The payments have separate tables: with SQLite in another file,
with PostgreSQL (`DATABASE_URL`) in the same database. A seat stores only the id of its booking.
"""

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.datastructures import MultiValueDictKeyError

from booking_payments import (
    Caller,
    CardDeclined,
    Currency,
    InvalidInput,
    Money,
    NewBooking,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    PaymentError,
    RefusedByRule,
    SyncBookingPayments,
    TryAgainLater,
    WebhookRefused,
    open_payments_sync,
)

if not settings.configured:
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    seats = {"ENGINE": "django.db.backends.sqlite3", "NAME": "seats.sqlite3"}
    if url.scheme.startswith("postgres"):  # the database of the payments, which have a schema of their own there
        place = {"NAME": url.path.lstrip("/"), "HOST": url.hostname or "", "PORT": str(url.port or "")}
        login = {"USER": unquote(url.username or ""), "PASSWORD": unquote(url.password or "")}
        seats = {"ENGINE": "django.db.backends.postgresql", **place, **login}
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost", "testserver"],
        DATABASES={"default": seats},
        DEBUG=False,
        MIDDLEWARE=[f"{__name__}.Refusals"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for-this-example-only",
        USE_TZ=True,
    )
    django.setup()

from django.db import connection, models

PRICE = Money.parse("100.00", Currency.USD)
# All seats are for one show, so that a customer who holds a seat again gets the same booking.
STARTS = datetime(2100, 1, 1, 20, tzinfo=UTC)
STATUSES = {
    CardDeclined: 402,  # the customer has to use another card
    InvalidInput: 400,
    NotFound: 404,
    NotPossibleNow: 409,  # held by another customer, or paid already
    RefusedByRule: 422,
    TryAgainLater: 503,
}


def status_of(error: PaymentError) -> int:
    """Return the HTTP status of an error; 500 for an error of this service."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


class Seat(models.Model):
    """A seat, and the booking that holds it."""

    name = models.CharField(max_length=40, unique=True)
    booking_id = models.CharField(max_length=64, blank=True)

    class Meta:
        app_label = "seats"


@cache
def payments() -> SyncBookingPayments:
    """Return the payments of this process: opened at the first call, closed when the process ends."""
    closing = ExitStack()
    atexit.register(closing.close)
    return closing.enter_context(open_payments_sync(migrate=True))


class Refusals:
    """Middleware: turns the errors of the views into responses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> JsonResponse | None:
        if isinstance(error, PaymentError):
            return JsonResponse({"error": error.message, "code": error.code}, status=status_of(error))
        if isinstance(error, MultiValueDictKeyError):
            return JsonResponse({"error": f"send the field {error}"}, status=400)
        return None


def hold(request: HttpRequest, name: str) -> JsonResponse:
    new = NewBooking(reference=name, customer_id=request.POST["customer"], amount=PRICE, event_starts_at=STARTS)
    booking = payments().register_booking(new).booking
    Seat.objects.update_or_create(name=name, defaults={"booking_id": booking.id})
    return JsonResponse({"booking": booking.id})


def pay(request: HttpRequest, name: str) -> JsonResponse:
    seat = get_object_or_404(Seat, name=name)
    customer = Caller.customer(request.POST["customer"], "checkout")
    try:
        view = payments().start_payment(
            seat.booking_id, customer, payment_method_id=request.POST["card"], confirm_immediately=True
        )
    except OutcomeUnknown:  # it may have been charged: do not ask for another payment; the outcome is settled later
        return JsonResponse({"status": "pending"})
    return JsonResponse({"status": view.payment.status.value})


def webhook(request: HttpRequest) -> JsonResponse:
    try:
        result = payments().receive_webhook(request.body, request.headers)
    except (WebhookRefused, PaymentError) as error:  # anything but 2xx, so that Stripe sends it again
        return JsonResponse({"error": str(error)}, status=400)
    return JsonResponse({"outcome": result.outcome})


urlpatterns = [
    path("seats/<str:name>/hold", hold),
    path("seats/<str:name>/pay", pay),
    path("webhooks/stripe", webhook),
]


def create_seats() -> None:
    """Create the table of the model. A project with more than one file leaves this to Django's migrations."""
    if Seat._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Seat)


if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    if sys.argv[1:] == ["migrate"]:
        create_seats()
    else:
        execute_from_command_line(sys.argv)
