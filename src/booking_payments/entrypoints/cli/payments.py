"""``payments list`` and ``payments show``: stored payments, each with its journal.

The commands that give money back are in ``refunds``, those that capture, cancel and record in ``holds``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from booking_payments.entrypoints.cli.conditions import payment_conditions
from booking_payments.entrypoints.cli.holds import cancel, capture, record
from booking_payments.entrypoints.cli.refunds import owed_lines, payment_named, quote, reader, refund, settle
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import coloured, limit_option, table

if TYPE_CHECKING:
    from booking_payments.application.payment_details import PaymentDetails
    from booking_payments.domain.payment import Dispute, Payment
    from booking_payments.ports.payments import PaymentFilter, PaymentPage
    from booking_payments.presentation.models import EventAnswer
    from booking_payments.runtime.services import Services

NOTHING: Final[tuple[Any, ...]] = (None, [])
"""Values of an event that are not printed."""

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
def payments() -> None:
    """List and show payments, refund, capture, cancel and record them.

    \b
    Examples:
      booking-payments payments list --status requires_action
      booking-payments payments show order-1001
      booking-payments payments quote order-1001
    """


for command in (quote, refund, settle, capture, cancel, record):
    payments.add_command(command)


# --- list ------------------------------------------------------------------------------------------------------


@payments.command("list")
@payment_conditions
@limit_option(20, 1000)
@click.option("--cursor", metavar="CURSOR", help="Continue after the page that returned this cursor.")
@_json
def list_(which: PaymentFilter, limit: int, cursor: str | None, as_json: bool) -> None:
    """List payments, newest first.

    \b
    Examples:
      booking-payments payments list --customer ann --limit 5
      booking-payments payments list --status failed --since 7d --json
      booking-payments payments list --last4 4242 --amount 25.00
      booking-payments payments list --event hamlet-0301 --refunded partly
    """

    async def work(services: Services) -> tuple[PaymentPage, datetime]:
        return await services.payments.list_payments(which, cursor=cursor, limit=limit), services.clock.now()

    found, now = run_with_services(settings_or_fail(), work)
    click.echo(_page_as_json(found, now) if as_json else "\n".join(_listed(found)))


def _page_as_json(found: PaymentPage, now: datetime) -> str:
    import msgspec

    items = [_content(each, now) for each in found.items]
    return msgspec.json.encode({"items": items, "next_cursor": found.next_cursor}).decode()


def _content(payment: Payment, now: datetime) -> dict[str, Any]:
    """A payment as the HTTP API has it, with what its booking is known by."""
    import msgspec

    from booking_payments.application.views import PaymentView
    from booking_payments.presentation import render

    answer = render.payment(PaymentView(payment=payment), reader(), now)
    named = {"booking_reference": payment.booking_reference, "customer_id": payment.customer_id}
    return {**named, **msgspec.to_builtins(answer, builtin_types=(datetime,))}


def _listed(found: PaymentPage) -> Iterator[str]:
    from booking_payments.presentation.formatting import exact, money, words
    from booking_payments.presentation.status_style import STATUS_STYLE

    if not found.items:
        yield "no payment matches"
        return
    yield from table(
        ("begun", "status", "amount", "refunded", "reference", "id"),
        [
            (
                exact(each.created_at)[:16],
                coloured(words(each.status.value), STATUS_STYLE[each.status.value]),
                money(each.amount),
                money(each.refunded) if each.refunded.minor else "-",
                each.booking_reference,
                each.id,
            )
            for each in found.items
        ],
    )
    if found.next_cursor:
        yield f"more with: --cursor {found.next_cursor}"


# --- show ------------------------------------------------------------------------------------------------------


@payments.command(short_help="Show one payment and its timeline.")
@click.argument("name", metavar="ID")
@_json
def show(name: str, as_json: bool) -> None:
    """Show one payment and its timeline: every event, with its cause and who acted.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's.

    \b
    Examples:
      booking-payments payments show order-1001
      booking-payments payments show pi_3N2k --json
    """
    from booking_payments.application.payment_details import payment_details

    async def work(services: Services) -> PaymentDetails:
        payment = await payment_named(services, name)
        return await payment_details(services.storage, payment.id, services.clock.now())

    file = run_with_services(settings_or_fail(), work)
    click.echo(_file_as_json(file) if as_json else "\n".join(_payment_lines(file)))


def _file_as_json(file: PaymentDetails) -> str:
    import msgspec

    from booking_payments.presentation import render

    payment, now = file.payment, file.at
    content = {
        **_content(payment, now),
        "deferred_refunds": [render.refund(payment, each, reader(), now) for each in payment.deferred],
        "events": render.journal(list(file.journal), reader()).events,
    }
    return msgspec.json.encode(content).decode()


def _payment_lines(file: PaymentDetails) -> Iterator[str]:
    from booking_payments.presentation import render
    from booking_payments.presentation.formatting import exact, method, money, words
    from booking_payments.presentation.status_style import STATUS_STYLE, style_of_event

    payment = file.payment
    status = coloured(words(payment.status.value), STATUS_STYLE[payment.status.value])
    yield f"{click.style(payment.booking_reference, bold=True)}  {status}  {money(payment.amount)}"
    yield f"payment {payment.id}, booking {payment.booking_id}, customer {payment.customer_id}"
    yield f"captured {money(payment.captured)}, refunded {money(payment.refunded)}"
    if payment.method is not None:
        yield f"paid with {method(payment.method)}"
    if payment.captured_by is not None:
        yield f"held; capture before {exact(payment.captured_by)}"
    yield from owed_lines(payment)
    for deferred in payment.deferred:
        yield f"refund {deferred.id} of {money(deferred.amount)} waits: {words(deferred.why.value).lower()}"
    for dispute in payment.disputes:
        yield _dispute(dispute)
    for recorded, event in zip(file.journal, render.journal(list(file.journal), reader()).events, strict=True):
        yield ""
        yield coloured(words(event.type), style_of_event(recorded.event))
        yield from _event_details(event)


def _dispute(dispute: Dispute) -> str:
    from booking_payments.presentation.formatting import moment, money, words
    from booking_payments.presentation.status_style import STATUS_STYLE

    kind = "inquiry" if dispute.status.is_inquiry else "dispute"
    status = coloured(words(dispute.status.value).lower(), STATUS_STYLE[dispute.status.value])
    due = f", to be answered until {moment(dispute.evidence_due_by)}" if dispute.evidence_due_by else ""
    return f"{kind} {dispute.id} over {money(dispute.amount)}: {status}, {money(dispute.withdrawn)} withdrawn{due}"


def _event_details(event: EventAnswer) -> Iterator[str]:
    import msgspec

    from booking_payments.presentation.formatting import exact, words

    yield click.style(f"  {exact(event.at)} by {event.actor}, {event.cause}", dim=True)
    for name, value in msgspec.to_builtins(event.data, builtin_types=(datetime,)).items():
        if value not in NOTHING:
            yield f"  {words(name).lower()}: {_plain(value)}"


def _plain(value: Any) -> str:
    """A value of an event as a person writes it: ``100.00 USD``, not the object that the API has for it."""
    from booking_payments.presentation.formatting import exact, words

    match value:
        case {"amount": str(amount), "currency": str(currency)}:
            return f"{amount} {currency.upper()}"
        case dict():
            said = ((words(name).lower(), part) for name, part in value.items() if part not in NOTHING)
            return ", ".join(f"{name}: {_plain(part)}" for name, part in said)
        case list() | tuple():
            return "; ".join(_plain(part) for part in value)
        case bool():
            return "yes" if value else "no"
        case datetime():
            return exact(value)
    return str(value)
