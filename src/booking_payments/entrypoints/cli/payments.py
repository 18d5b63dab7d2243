"""``payments list`` and ``payments show``: what the books say, with everything that happened to a payment.

The commands that give money back are in ``refunds``.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from booking_payments.application.views import PaymentView
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.entrypoints.cli.house import in_the_house, settings_or_fail
from booking_payments.entrypoints.cli.refunds import READER, owed_lines, payment_named, quote, refund, settle
from booking_payments.entrypoints.cli.since import HINT, Since
from booking_payments.entrypoints.http import render
from booking_payments.entrypoints.http.models import EventAnswer
from booking_payments.entrypoints.http.services import Services
from booking_payments.entrypoints.pages.console.tones import TONES, fact_tone
from booking_payments.entrypoints.payment_file import File, file_of
from booking_payments.entrypoints.wording import exact, method, moment, money, words
from booking_payments.ports.storage import PaymentFilter, PaymentPage

_COLOURS: Final = {"good": "green", "bad": "red", "warn": "yellow"}
NOTHING: Final[tuple[Any, ...]] = (None, [])
"""What a fact leaves open is left out of its lines."""

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
def payments() -> None:
    """Payments: which there are, and what happened to one.

    \b
    Examples:
      booking-payments payments list --status requires_action
      booking-payments payments show order-1001
      booking-payments payments quote order-1001
    """


for command in (quote, refund, settle):
    payments.add_command(command)


# --- list ------------------------------------------------------------------------------------------------------


@payments.command("list")
@click.option("--status", type=click.Choice([each.value for each in PaymentStatus]), help="Only payments there.")
@click.option("--customer", help="Only payments of this customer.")
@click.option("--reference", help="Only payments of the booking with this reference.")
@click.option(
    "--since", type=Since(ahead=True), metavar="WHEN", help=f"Only payments begun since then. WHEN is {HINT}."
)
@click.option("--until", type=Since(ahead=True), metavar="WHEN", help="Only payments begun before then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--cursor", help="Go on after the page that gave this cursor.")
@_json
def list_(
    status: str | None,
    customer: str | None,
    reference: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List payments, newest first.

    \b
    Examples:
      booking-payments payments list --customer ann --limit 5
      booking-payments payments list --status failed --since 7d --json
    """
    which = PaymentFilter(
        status=PaymentStatus(status) if status else None,
        customer_id=customer,
        reference=reference,
        created_from=since,
        created_to=until,
    )

    async def work(services: Services) -> PaymentPage:
        return await services.payments.list_payments(which, cursor=cursor, limit=limit)

    found = in_the_house(settings_or_fail(), work)
    click.echo(_page_as_json(found) if as_json else "\n".join(_listed(found)))


def _page_as_json(found: PaymentPage) -> str:
    content = {"payments": [_content(each) for each in found.items], "next_cursor": found.next_cursor}
    return msgspec.json.encode(content).decode()


def _content(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "booking_id": payment.booking_id,
        "reference": payment.booking_reference,
        "customer_id": payment.customer_id,
        "status": payment.status.value,
        "amount": payment.amount.major(),
        "captured": payment.captured.major(),
        "refunded": payment.refunded.major(),
        "currency": payment.amount.currency.code,
        "intent_id": payment.intent_id,
        "created_at": payment.created_at.isoformat(),
    }


def _listed(found: PaymentPage) -> Iterator[str]:
    if not found.items:
        yield "no payment is like this"
        return
    width = max(len(each.booking_reference) for each in found.items)
    for each in found.items:
        status = _coloured(f"{each.status.value:<23}", TONES[each.status.value])
        begun, reference = exact(each.created_at)[:16], f"{each.booking_reference:<{width}}"
        yield f"{begun}  {status}  {money(each.amount):>16}  {reference}  {each.id}"
    if found.next_cursor:
        yield f"more with: --cursor {found.next_cursor}"


# --- show ------------------------------------------------------------------------------------------------------


@payments.command(short_help="Show one payment and its timeline.")
@click.argument("name", metavar="ID")
@_json
def show(name: str, as_json: bool) -> None:
    """Show one payment and its timeline: every fact, with its cause and who acted.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's.

    \b
    Examples:
      booking-payments payments show order-1001
      booking-payments payments show pi_3N2k --json
    """

    async def work(services: Services) -> File:
        return await file_of(services, (await payment_named(services, name)).id)

    file = in_the_house(settings_or_fail(), work)
    click.echo(_file_as_json(file) if as_json else "\n".join(_shown(file)))


def _file_as_json(file: File) -> str:
    payment, now = file.payment, file.at
    answer = render.payment(PaymentView(payment=payment), READER, now)
    content = {
        **_content(payment),
        "refund_owed": answer.refund_owed,
        "refund_waiting": answer.refund_waiting,
        "withdrawn": answer.withdrawn_amount,
        "refunds": answer.refunds,
        "deferred_refunds": [render.refund(payment, each, READER, now) for each in payment.deferred],
        "disputes": answer.disputes,
        "events": render.journal(list(file.journal), READER).events,
    }
    return msgspec.json.encode(content).decode()


def _shown(file: File) -> Iterator[str]:
    payment = file.payment
    status = _coloured(words(payment.status.value), TONES[payment.status.value])
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
    for recorded, event in zip(file.journal, render.journal(list(file.journal), READER).events, strict=True):
        yield ""
        yield _coloured(words(event.type), fact_tone(recorded.fact))
        yield from _told(event)


def _dispute(dispute: Dispute) -> str:
    kind = "inquiry" if dispute.status.is_inquiry else "dispute"
    status = _coloured(words(dispute.status.value).lower(), TONES[dispute.status.value])
    due = f", to be answered until {moment(dispute.evidence_due_by)}" if dispute.evidence_due_by else ""
    return f"{kind} {dispute.id} over {money(dispute.amount)}: {status}, {money(dispute.withdrawn)} withdrawn{due}"


def _told(event: EventAnswer) -> Iterator[str]:
    yield click.style(f"  {exact(event.at)} by {event.actor}, {event.cause}", dim=True)
    for name, value in msgspec.to_builtins(event.data, builtin_types=(datetime,)).items():
        if value not in NOTHING:
            yield f"  {words(name).lower()}: {_plain(value)}"


def _plain(value: Any) -> str:
    """A value of a fact as a person writes it: ``100.00 USD``, not the object that the API has for it."""
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


def _coloured(text: str, tone: str) -> str:
    """Without colour where nobody sees it: click takes it out for what is no terminal."""
    return click.style(text, fg=_COLOURS.get(tone), bold=True)
