"""``booking create``: register a booking from the command line."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.booking_options import fitted, registration_options, values_of_options
from booking_payments.entrypoints.cli.choices import EnumChoice, IdentifierText, Moment
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.application.views import BookingView, Registered
    from booking_payments.runtime.services import Services


@click.group()
def booking() -> None:
    """Register a booking that is to be paid.

    \b
    Examples:
      booking-payments booking create --reference order-1001 --customer ann \\
          --amount 100.00 --currency usd --starts 2030-01-01T20:00:00Z
    """


@booking.command(short_help="Register a booking.")
@click.option("--reference", type=IdentifierText(), required=True, help="Your own unique name for the booking.")
@click.option("--customer", type=IdentifierText(), required=True, help="The customer's id: the `sub` of their tokens.")
@click.option("--amount", help="In major units, for example 100.00. Required without --item.")
@click.option("--currency", required=True, help="Lower-case ISO 4217 code, for example usd.")
@click.option("--starts", type=Moment(), required=True, help="When the event starts.")
@click.option("--expires", type=Moment(), help="Deadline for its payment; by default the event's start.")
@registration_options
@click.option(
    "--capture",
    type=EnumChoice("domain.instructions:CaptureMethod"),
    help="Whether its payment is captured at once (automatic, the default) or only authorized (manual).",
)
@click.option(
    "--customer-refunds",
    type=EnumChoice("domain.refunds:CustomerRefunds"),
    help="Which refunds its customer may request: those of the refund policy, or none. The default is the setting "
    "CUSTOMER_REFUNDS.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the booking as JSON.")
def create(
    reference: str,
    customer: str,
    amount: str | None,
    currency: str,
    starts: datetime,
    expires: datetime | None,
    content: dict[str, Any],
    capture: str | None,
    customer_refunds: str | None,
    as_json: bool,
) -> None:
    """Register a booking. A repeated reference with the same content returns the booking that exists. A booking of
    amount 0 is confirmed at once.

    \b
    Examples:
      booking-payments bookings create --reference order-1001 --customer ann \\
          --amount 100.00 --currency usd --starts 2030-01-01T20:00:00Z
      booking-payments bookings create --reference order-1002 --customer ann --event evening-1 \\
          --item adult:2:30.00:Adult --item child:1:10.00:Child --currency usd \\
          --starts 2030-01-01T20:00:00Z --title "Hamlet, 8 pm" --refund-tier 48:100 --refund-tier 24:50
    """
    from booking_payments.application.callers import Caller
    from booking_payments.presentation.asked import new_booking
    from booking_payments.presentation.models import RegisterBooking

    if amount is None and "items" not in content:
        raise click.UsageError("give --amount, or --item")
    given = {
        "reference": reference,
        "customer_id": customer,
        "amount": amount,
        "currency": currency,
        "event_starts_at": starts,
        "expires_at": expires,
        "capture_method": capture,
        "customer_refunds": customer_refunds,
        **content,
    }
    settings = settings_or_fail()
    asked = fitted(given, RegisterBooking, settings)
    with values_of_options():
        new = new_booking(asked)

    async def work(services: Services) -> tuple[Registered, BookingView]:
        caller = Caller.service("cli", "booking create")
        registered = await services.payments.register_booking(new, caller)
        return registered, await services.payments.describe_booking(registered.booking.id, caller)

    registered, view = run_with_services(settings, work)
    click.echo(_registration_text(registered, view, as_json))


def _registration_text(registered: Registered, view: BookingView, as_json: bool) -> str:
    import msgspec

    from booking_payments.presentation import render

    if as_json:
        return msgspec.json.encode(render.booking(view)).decode()
    found = "registered" if registered.created else "was registered already"
    confirmed = "; it costs nothing and is confirmed" if registered.booking.free else ""
    return f"{registered.booking.id} ({registered.booking.reference}, {registered.booking.amount}) {found}{confirmed}"
