"""``bookings``: finding, showing, registering, amending and canceling bookings.

With ``--json`` what the HTTP API answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.booking import create
from booking_payments.entrypoints.cli.booking_options import REMOVABLE, content_options, fitted, with_known_labels
from booking_payments.entrypoints.cli.choices import EnumChoice, IdentifierText, ItemUnits, Moment, OneLineText
from booking_payments.entrypoints.cli.refunds import encoded
from booking_payments.entrypoints.cli.runner import fail, run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import coloured, limit_option, table

if TYPE_CHECKING:
    from booking_payments.application.views import BookingView
    from booking_payments.domain.booking import Booking, ItemCount
    from booking_payments.domain.refunds import GivenBack
    from booking_payments.runtime.services import Services

_STATUS_STYLE = {"confirmed": "good", "pending": "warn"}
_json = click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")


@click.group()
def bookings() -> None:
    """Find, show, register, amend and cancel bookings.

    \b
    Examples:
      booking-payments bookings find --customer ann --status pending
      booking-payments bookings show order-1001
      booking-payments bookings amend order-1001 --amount 80.00
      booking-payments bookings cancel order-1008 --reason "the hall is flooded" --refund full
    """


bookings.add_command(create)


# --- find ------------------------------------------------------------------------------------------------------


@bookings.command()
@click.option("--reference", type=IdentifierText(), metavar="REFERENCE", help="Only the booking with this reference.")
@click.option("--customer", type=IdentifierText(), metavar="ID", help="Only bookings of this customer.")
@click.option("--event", type=IdentifierText(), metavar="ID", help="Only bookings of this event.")
@click.option("--status", type=EnumChoice("domain.booking:BookingStatus"), help="Only bookings with this status.")
@limit_option(20, 1000)
@click.option("--cursor", metavar="CURSOR", help="Continue after the page that returned this cursor.")
@_json
def find(
    reference: str | None,
    customer: str | None,
    event: str | None,
    status: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List bookings, newest first.

    \b
    Examples:
      booking-payments bookings find --reference order-1001
      booking-payments bookings find --customer ann --limit 5 --json
    """
    from booking_payments.domain.booking import BookingStatus
    from booking_payments.ports.bookings import BookingFilter
    from booking_payments.presentation import render
    from booking_payments.presentation.models import BookingsAnswer

    which = BookingFilter(
        reference=reference,
        customer_id=customer,
        event_id=event,
        status=BookingStatus(status) if status else None,
    )

    async def work(services: Services) -> tuple[Sequence[BookingView], str | None]:
        page = await services.payments.list_bookings(which, cursor=cursor, limit=limit)
        return await services.payments.describe_bookings(page.items), page.next_cursor

    views, next_cursor = run_with_services(settings_or_fail(), work)
    if as_json:
        items = [render.booking(view) for view in views]
        click.echo(encoded(BookingsAnswer(items=items, next_cursor=next_cursor)))
        return
    click.echo("\n".join(_listed(views, next_cursor)))


def _listed(views: Sequence[BookingView], next_cursor: str | None) -> Iterator[str]:
    from booking_payments.presentation.formatting import exact, money

    if not views:
        yield "no booking matches"
        return
    yield from table(
        ("reference", "status", "amount", "event starts", "customer", "id"),
        [
            (
                view.booking.reference,
                _status(view.booking),
                money(view.booking.amount),
                exact(view.booking.event_starts_at)[:16],
                view.booking.customer_id,
                view.booking.id,
            )
            for view in views
        ],
    )
    if next_cursor:
        yield f"more with: --cursor {next_cursor}"


def _status(booking: Booking) -> str:
    from booking_payments.presentation.formatting import words

    return coloured(words(booking.status.value), _STATUS_STYLE.get(booking.status.value, ""))


# --- show ------------------------------------------------------------------------------------------------------


@bookings.command()
@click.argument("name", metavar="ID")
@_json
def show(name: str, as_json: bool) -> None:
    """Show one booking. ID is the booking's, or its reference.

    \b
    Examples:
      booking-payments bookings show order-1001
    """

    async def work(services: Services) -> BookingView:
        return await services.payments.describe_booking((await booking_named(services, name)).id)

    click.echo(_shown(run_with_services(settings_or_fail(), work), as_json))


async def booking_named(services: Services, name: str) -> Booking:
    """Return the booking with this id, or the newest with this reference. Fails without a match."""
    from booking_payments.ports.bookings import BookingFilter

    by_id = await services.storage.read(lambda uow: uow.bookings.get(name))
    found = by_id or next(
        iter((await services.payments.list_bookings(BookingFilter(reference=name), limit=1)).items), None
    )
    if found is None:
        fail("no booking goes by this id or reference; see: booking-payments bookings find")
    return found


def _shown(view: BookingView, as_json: bool) -> str:
    from booking_payments.presentation import render

    return encoded(render.booking(view)) if as_json else "\n".join(_booking_lines(view))


def _booking_lines(view: BookingView) -> Iterator[str]:
    from booking_payments.domain.refunds import CustomerRefunds
    from booking_payments.presentation.formatting import exact, money, words

    booking = view.booking
    reason = f" ({words(booking.end_reason.value).lower()})" if booking.end_reason else ""
    yield f"{click.style(booking.reference, bold=True)}  {_status(booking)}{reason}  {money(booking.amount)}"
    yield f"booking {booking.id}, customer {booking.customer_id}"
    yield f"the event starts {exact(booking.event_starts_at)}; to be paid until {exact(booking.expires_at)}"
    for item in booking.items:
        refunded = f", {item.refunded} of them refunded" if item.refunded else ""
        yield f"{item.quantity} x {item.label} ({item.id}) at {money(item.unit_amount)}{refunded}"
    if booking.details.customer_refunds is CustomerRefunds.NONE:
        yield "only the organizer gives refunds of it"
    if view.refund_owed.minor:
        waits = f", of which {money(view.refund_waiting)} is sent by itself" if view.refund_waiting.minor else ""
        yield f"owed to the customer: {money(view.refund_owed)}{waits}"


async def _changed(
    services: Services, booking: Booking, work: Callable[[], Awaitable[Booking]]
) -> tuple[BookingView, str | None]:
    """Do ``work``. Returns the booking, and a line that says what goes back to the customer by it; None for a booking
    that was not paid."""
    from booking_payments.application.quoted import added_refund
    from booking_payments.domain.payment import payment_of_booking

    before = payment_of_booking(await services.storage.read(lambda uow: uow.payments.of_booking(booking.id)))
    await work()
    view = await services.payments.describe_booking(booking.id)
    if before is None or not before.captured.minor:
        return view, None
    after = await services.storage.read(lambda uow: uow.payments.get(before.id))
    return view, _refund_line(added_refund(before, after, booking.amount))


def _refund_line(refund: GivenBack) -> str:
    from booking_payments.presentation.formatting import money

    if not refund.amount.minor:
        return "nothing goes back to the customer"
    fee = f", and {money(refund.fee)} of the fee" if refund.fee.minor else ""
    return f"goes back to the customer: {money(refund.amount)}{fee}"


def _report(found: tuple[BookingView, str | None], as_json: bool) -> None:
    view, line = found
    click.echo(_shown(view, as_json))
    if line is not None and not as_json:
        click.echo(line)


# --- cancel ----------------------------------------------------------------------------------------------------


@bookings.command(short_help="Cancel a booking.")
@click.argument("name", metavar="ID")
@click.option("--reason", type=OneLineText(), metavar="TEXT", help="Why, for the journal.")
@click.option(
    "--refund",
    type=EnumChoice("domain.refunds:RefundOnCancel"),
    default="policy",
    show_default=True,
    help="What a paid booking gives back: nothing, what its refund policy says, or all.",
)
@click.option(
    "--item",
    "items",
    type=ItemUnits(),
    multiple=True,
    metavar="ID[:QUANTITY]",
    help="Cancel only these units of an item; the booking is kept with the rest. May be repeated.",
)
@_json
def cancel(name: str, reason: str | None, refund: str, items: tuple[ItemCount, ...], as_json: bool) -> None:
    """Cancel a booking. Its open payment is canceled first; a paid one is refunded as --refund says. Prints what goes
    back to the customer.

    ID is the booking's, or its reference.

    \b
    Examples:
      booking-payments bookings cancel order-1006
      booking-payments bookings cancel order-1007 --reason "the hall is flooded" --refund full --json
      booking-payments bookings cancel order-1010 --item adult:1
    """
    from booking_payments.application.callers import Caller
    from booking_payments.domain.refunds import RefundOnCancel

    async def work(services: Services) -> tuple[BookingView, str | None]:
        booking = await booking_named(services, name)
        caller, mode = Caller.operator_of("cli", "bookings cancel"), RefundOnCancel(refund)
        cancel = partial(services.payments.cancel_booking, booking.id, caller, reason=reason, refund=mode, items=items)
        return await _changed(services, booking, cancel)

    _report(run_with_services(settings_or_fail(), work), as_json)


# --- amend -----------------------------------------------------------------------------------------------------


@bookings.command(short_help="Amend a booking: price, items, date, deadline, texts.")
@click.argument("name", metavar="ID")
@click.option("--amount", metavar="AMOUNT", help="The new price, in major units: 80.00. For a booking without items.")
@click.option("--starts", type=Moment(), help="The new start of the event.")
@click.option("--expires", type=Moment(), help="The new deadline for its payment.")
@click.option("--refund-grace-until", type=Moment(), help="Until then its customer may request a full refund.")
@content_options
@click.option(
    "--remove",
    type=click.Choice([name.replace("_", "-") for name in REMOVABLE]),
    multiple=True,
    help="Remove this text, the metadata or the grace. May be repeated.",
)
@click.option(
    "--expected-version",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="Refuse unless the booking has this version.",
)
@click.option(
    "--refund",
    type=EnumChoice("domain.refunds:RefundOnCancel"),
    help="What a paid booking that becomes cheaper gives back: nothing, what its refund policy says, or all. "
    "[default: policy; full when the new price is zero]",
)
@_json
def amend(
    name: str,
    amount: str | None,
    starts: datetime | None,
    expires: datetime | None,
    refund_grace_until: datetime | None,
    content: dict[str, Any],
    remove: tuple[str, ...],
    expected_version: int | None,
    refund: str | None,
    as_json: bool,
) -> None:
    """Amend a booking: either all changes are made or none. Prints what goes back to the customer.

    ID is the booking's, or its reference. An unpaid payment follows the price; a paid booking that becomes cheaper
    gives the difference back. A booking with items is repriced by its items: name all that it is to have.

    \b
    Examples:
      booking-payments bookings amend order-1001 --amount 80.00
      booking-payments bookings amend order-1001 --starts 2030-02-01T20:00:00Z --refund-grace-until 2030-01-15T00:00:00Z
      booking-payments bookings amend order-1001 --title "Hamlet, 3 pm" --remove description --remove refund-grace-until
      booking-payments bookings amend order-1002 --item adult:2:25.00 --item child:1:10.00
    """
    from booking_payments.application.callers import Caller
    from booking_payments.domain.refunds import RefundOnCancel
    from booking_payments.presentation.asked import change_asked
    from booking_payments.presentation.models import AmendBooking

    given = {
        "amount": amount,
        "event_starts_at": starts,
        "expires_at": expires,
        "refund_grace_until": refund_grace_until,
        **content,
    }
    given = {field: value for field, value in given.items() if value is not None}
    settings = settings_or_fail()
    asked = fitted({**given, **_removed(remove, given)}, AmendBooking, settings)

    async def work(services: Services) -> tuple[BookingView, str | None]:
        booking = await booking_named(services, name)
        change = partial(
            services.payments.amend_booking,
            booking.id,
            change_asked(with_known_labels(asked, booking), booking.amount.currency),
            Caller.operator_of("cli", "bookings amend"),
            expected_version=expected_version,
            refund=RefundOnCancel(refund) if refund is not None else None,
        )
        return await _changed(services, booking, change)

    _report(run_with_services(settings, work), as_json)


def _removed(options: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Return the values that remove the fields named by ``options``."""
    names = [option.replace("-", "_") for option in options]
    for name, option in zip(names, options, strict=True):
        if name in given:
            raise click.UsageError(f"--{option} sets what --remove {option} removes: leave one of them out")
    return {name: {} if name == "metadata" else None for name in names}
