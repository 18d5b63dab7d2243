"""The options that say which payments a command is about."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from booking_payments.entrypoints.cli.choices import EnumChoice, IdentifierText, LastFour, MajorUnits, OneLineText
from booking_payments.entrypoints.cli.since import HINT, Since

if TYPE_CHECKING:
    from booking_payments.ports.payments import PaymentFilter

_OPTIONS: Final = (
    click.option("--status", type=EnumChoice("domain.lifecycle:PaymentStatus"), help="Only payments with this status."),
    click.option("--customer", type=IdentifierText(), metavar="ID", help="Only payments of this customer."),
    click.option(
        "--reference",
        type=IdentifierText(),
        metavar="REFERENCE",
        help="Only payments of the booking with this reference.",
    ),
    click.option(
        "--since", type=Since(ahead=True), metavar="WHEN", help=f"Only rows from this time on. WHEN is {HINT}."
    ),
    click.option("--until", type=Since(ahead=True), metavar="WHEN", help="Only rows from before this time."),
    click.option("--event", type=IdentifierText(), metavar="ID", help="Only payments for bookings of this event."),
    click.option(
        "--find",
        type=OneLineText(),
        metavar="TEXT",
        help="A part of the booking's reference, customer, name, address or title.",
    ),
    click.option("--email", type=OneLineText(), metavar="TEXT", help="A part of the booking's e-mail address."),
    click.option("--amount", type=MajorUnits(), metavar="AMOUNT", help="Only payments of this charge, such as 12.50."),
    click.option(
        "--last4",
        type=LastFour(),
        metavar="DIGITS",
        help="Only payments by a card or account with these last four digits.",
    ),
    click.option("--refunded", type=EnumChoice("ports.payments:Refunded"), help="How much of it is refunded."),
    click.option("--disputed/--undisputed", default=None, help="Only payments with, or without, a dispute."),
)


def payment_conditions(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options, and call it with ``which``, the ``PaymentFilter`` that they add up to."""

    @wraps(command)
    def with_filter(**given: Any) -> None:
        names = ("status", "customer", "reference", "since", "until", "event", "find", "email", "amount", "last4")
        taken = {name: given.pop(name) for name in (*names, "refunded", "disputed")}
        command(which=_filter(taken), **given)

    for option in reversed(_OPTIONS):
        with_filter = option(with_filter)
    return with_filter


def _filter(taken: dict[str, Any]) -> PaymentFilter:
    from booking_payments.domain.lifecycle import PaymentStatus
    from booking_payments.ports.payments import PaymentFilter, Refunded

    return PaymentFilter(
        status=PaymentStatus(taken["status"]) if taken["status"] else None,
        customer_id=taken["customer"],
        reference=taken["reference"],
        created_from=taken["since"],
        created_to=taken["until"],
        event_id=taken["event"],
        text=taken["find"],
        email=taken["email"],
        amount=taken["amount"],
        last4=taken["last4"],
        refunded=Refunded(taken["refunded"]) if taken["refunded"] else None,
        disputed=taken["disputed"],
    )
