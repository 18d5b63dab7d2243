"""``booking create``: register a booking from the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from booking_payments.entrypoints.cli.choices import EnumChoice
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.application.views import BookingView, Registered
    from booking_payments.runtime.services import Services

MAX_TEXT = 255


class Moment(click.ParamType[datetime]):
    """A time with its zone, as RFC 3339 writes it."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time in UTC."""
        try:
            read = datetime.fromisoformat(str(value))
            if read.tzinfo is not None:
                return read.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.fail("write a time with its zone, such as 2030-01-01T20:00:00Z", param, ctx)


class OneLineText(click.ParamType[str]):
    """Visible text on one line, for people."""

    name = "text"
    identifier = False

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        from booking_payments.domain.errors import InvalidInput
        from booking_payments.domain.texts import require_identifier, require_line
        from booking_payments.presentation.card_numbers import holds_card_number

        text = str(value)
        check = require_identifier if self.identifier else require_line
        try:
            check(text, self.name)
        except InvalidInput:
            text = ""
        if not 0 < len(text) <= MAX_TEXT:
            self.fail(f"use 1 to {MAX_TEXT} visible characters", param, ctx)
        if holds_card_number(text):
            self.fail("this looks like a card number; card data goes to the payment provider only", param, ctx)
        return text


class IdentifierText(OneLineText):
    """A reference or an id: each character is visible by itself."""

    identifier = True


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
@click.option("--amount", required=True, help="In major units, for example 100.00.")
@click.option("--currency", required=True, help="Lower-case ISO 4217 code, for example usd.")
@click.option("--starts", type=Moment(), required=True, help="When the event starts.")
@click.option("--expires", type=Moment(), help="Deadline for its payment; by default the event's start.")
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
    amount: str,
    currency: str,
    starts: datetime,
    expires: datetime | None,
    capture: str | None,
    customer_refunds: str | None,
    as_json: bool,
) -> None:
    """Register a booking. A repeated reference with the same content returns the booking that exists. A booking of
    amount 0 is confirmed at once.

    \b
    Examples:
      booking-payments booking create --reference order-1001 --customer ann \\
          --amount 100.00 --currency usd --starts 2030-01-01T20:00:00Z
    """
    from booking_payments.application.callers import Caller
    from booking_payments.application.views import NewBooking
    from booking_payments.domain.booking import BookingDetails
    from booking_payments.domain.errors import PaymentError
    from booking_payments.domain.instructions import CaptureMethod
    from booking_payments.domain.money import Currency, Money
    from booking_payments.domain.refunds import CustomerRefunds

    try:
        money = Money.parse(amount, Currency.of(currency))
    except PaymentError as error:
        raise click.BadParameter(error.message, param_hint="--amount, --currency") from None
    new = NewBooking(
        reference=reference,
        customer_id=customer,
        amount=money,
        event_starts_at=starts,
        expires_at=expires,
        details=BookingDetails(
            capture_method=CaptureMethod(capture) if capture else None,
            customer_refunds=CustomerRefunds(customer_refunds) if customer_refunds else None,
        ),
    )

    async def work(services: Services) -> tuple[Registered, BookingView]:
        caller = Caller.service("cli", "booking create")
        registered = await services.payments.register_booking(new, caller)
        return registered, await services.payments.describe_booking(registered.booking.id, caller)

    registered, view = run_with_services(settings_or_fail(), work)
    click.echo(_registration_text(registered, view, as_json))


def _registration_text(registered: Registered, view: BookingView, as_json: bool) -> str:
    import msgspec

    from booking_payments.presentation import render

    if as_json:
        return msgspec.json.encode(render.booking(view)).decode()
    found = "registered" if registered.created else "was registered already"
    confirmed = "; it costs nothing and is confirmed" if registered.booking.free else ""
    return f"{registered.booking.id} ({registered.booking.reference}, {registered.booking.amount}) {found}{confirmed}"
