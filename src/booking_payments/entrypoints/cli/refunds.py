"""``payments quote``, ``payments refund`` and ``payments settle``.

With ``--json`` each prints the response of the HTTP API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from booking_payments.entrypoints.cli.choices import EnumChoice, FreeText, ItemUnits
from booking_payments.entrypoints.cli.runner import fail, run_with_services, settings_or_fail

if TYPE_CHECKING:
    import msgspec

    from booking_payments.application.callers import Caller
    from booking_payments.application.views import PaymentView, RefundView
    from booking_payments.domain.booking import ItemCount
    from booking_payments.domain.payment import Payment
    from booking_payments.domain.refunds import RefundQuote
    from booking_payments.presentation.render import Reader
    from booking_payments.runtime.services import Services

T = TypeVar("T")

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")
_amount = click.option("--amount", metavar="AMOUNT", help="In major units: 25.00. By default everything refundable.")
_items = click.option(
    "--item",
    "items",
    type=ItemUnits(),
    multiple=True,
    metavar="ID[:QUANTITY]",
    help="Instead of --amount: these units of an item of the booking. May be repeated.",
)
_override = click.option(
    "--override", is_flag=True, help="Ignore tiers, the event's start and, for a partial refund, an open inquiry."
)


def reader() -> Reader:
    """The reader of what the command line prints: an operator."""
    from booking_payments.presentation.render import Reader

    return Reader(subject="cli", operator=True)


def operator(command: str) -> Caller:
    """Return the caller of a command: an operator."""
    from booking_payments.application.callers import Caller

    return Caller.operator_of("cli", command)


async def payment_named(services: Services, name: str) -> Payment:
    """Return the payment with the id ``name``; for a booking or reference the one that holds it, or else its latest."""
    from booking_payments.application.payment_details import find_by_any_id
    from booking_payments.ports.payments import PaymentFilter

    found = await find_by_any_id(services.storage, name)
    if found is None:
        named = await services.payments.list_payments(PaymentFilter(reference=name), limit=1)
        found = next(iter(named.items), None)
    if found is None:
        fail("no payment has this id; see: booking-payments payments list")
    if name in (found.booking_id, found.booking_reference):
        return (await services.payments.payment_status(found.booking_id)).payment
    return found


def with_payment(
    name: str, work: Callable[[Services, Payment], Awaitable[T]], *, current: bool = False
) -> tuple[Services, T]:
    """Do ``work`` with the payment that goes by ``name``; returns the services, too.

    With ``current`` it has to be the one that its booking counts on: fails for an earlier one.
    """

    async def run(services: Services) -> tuple[Services, T]:
        payment = await payment_named(services, name)
        if current and (await services.payments.payment_status(payment.booking_id)).payment.id != payment.id:
            fail("its booking has a newer payment; name the booking, or that payment")
        return services, await work(services, payment)

    return run_with_services(settings_or_fail(), run)


# --- quote -----------------------------------------------------------------------------------------------------


@click.command(short_help="Show the amount that a refund would return now.")
@click.argument("name", metavar="ID")
@_amount
@_items
@_override
@_json
def quote(name: str, amount: str | None, items: tuple[ItemCount, ...], override: bool, as_json: bool) -> None:
    """Show the amount that a refund would return now. Moves no money.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's. Exit status 1 when a refund
    is not allowed.

    \b
    Examples:
      booking-payments payments quote order-1001
      booking-payments payments quote order-1001 --amount 80.00 --override --json
      booking-payments payments quote order-1010 --item adult:1
    """
    from booking_payments.presentation import render

    _require_one(amount, items)

    async def work(services: Services, payment: Payment) -> RefundQuote:
        caller, payments = operator("payments quote"), services.payments
        if items:
            return await payments.quote_refund(payment.booking_id, caller, items=items, override=override)
        return await payments.quote_refund_of_payment(payment.id, caller, amount=amount, override=override)

    _, found = with_payment(name, work, current=bool(items))
    click.echo(encoded(render.quote(found)) if as_json else "\n".join(_quoted(found)))
    click.get_current_context().exit(0 if found.allowed else 1)


def _require_one(amount: str | None, items: tuple[ItemCount, ...]) -> None:
    """Wrong usage when both an amount and items are given."""
    if amount is not None and items:
        raise click.UsageError("--amount and --item are two ways to say how much: leave one of them out")


def _quoted(found: RefundQuote) -> Iterator[str]:
    from booking_payments.presentation.formatting import moment, money, words

    if not found.allowed:
        yield f"no refund: {found.reason.message} ({found.reason.code})"
        return
    yield f"{money(found.amount)} would be refunded, and {money(found.fee_refunded)} of the fee ({found.reason.code})"
    if found.refundable_until:
        yield f"until {moment(found.refundable_until)}"
    if found.deferred_by:
        yield f"it would wait before it is sent: {words(found.deferred_by.value).lower()}"
    if found.overrides:
        yield f"rules passed over: {', '.join(words(each).lower() for each in found.overrides)}"


# --- refund ----------------------------------------------------------------------------------------------------


@click.command(short_help="Refund a payment.")
@click.argument("name", metavar="ID")
@_amount
@_items
@_override
@click.option(
    "--reason",
    type=EnumChoice("domain.refunds:RefundReason"),
    default="requested_by_customer",
    show_default=True,
    help="The reason for the gateway; fraudulent also blocks the card there.",
)
@click.option(
    "--note",
    type=FreeText(),
    help="Free text, kept with the payment and not sent to the gateway. Required with --override.",
)
@_json
def refund(
    name: str,
    amount: str | None,
    items: tuple[ItemCount, ...],
    override: bool,
    reason: str,
    note: str | None,
    as_json: bool,
) -> None:
    """Refund a payment: AMOUNT, or the units named by --item, or everything refundable.

    The booking keeps the units; to give their seats up, too: booking-payments bookings cancel --item.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's. When the outcome is unknown,
    the same command within 24 hours returns that refund and makes no second one.

    \b
    Examples:
      booking-payments payments refund order-1001 --amount 25.00
      booking-payments payments refund order-1001 --override --note "the band was ill"
      booking-payments payments refund order-1010 --item adult:1 --item child
    """
    from booking_payments.domain.refunds import RefundReason
    from booking_payments.presentation import render

    if override and not (note and note.strip()):
        raise click.UsageError("--override requires --note with the reason")
    _require_one(amount, items)

    async def work(services: Services, payment: Payment) -> RefundView:
        caller, payments, why = operator("payments refund"), services.payments, RefundReason(reason)
        if items:
            return await payments.refund_payment(
                payment.booking_id, caller, items=items, reason=why, note=note, override=override
            )
        return await payments.refund_payment_by_id(
            payment.id, caller, amount=amount, reason=why, note=note, override=override
        )

    services, view = with_payment(name, work, current=bool(items))
    answer = render.refund(view.payment, view.refund, reader(), services.clock.now(), asked_by_reader=True)
    click.echo(encoded(answer) if as_json else "\n".join(_made(view)))
    click.get_current_context().exit(0 if answer.success else 1)


def _made(view: RefundView) -> Iterator[str]:
    from booking_payments.domain.payment import DeferredRefund
    from booking_payments.presentation.formatting import money, words

    refund, payment = view.refund, view.payment
    if isinstance(refund, DeferredRefund):
        why = words(refund.why.value).lower()
        yield f"{money(refund.amount)} is promised and is sent automatically once this ends: {why}"
    else:
        yield f"{money(refund.amount)} {words(refund.status.value).lower()}, refund {refund.id}"
    if view.replayed:
        yield "this refund was made by the same request earlier, whose outcome was not known then"
    yield from owed_lines(payment)


def owed_lines(payment: Payment) -> Iterator[str]:
    """Yield a line with the amount owed to the customer and the part that is sent later; none when nothing is owed."""
    from booking_payments.presentation.formatting import money

    owed, waiting = payment.owed.amount, payment.owed_waiting
    if owed.minor:
        rest = f", of which {money(waiting)} is sent by itself" if waiting.minor else ""
        yield f"owed to the customer: {money(owed)}{rest}"


# --- settle ----------------------------------------------------------------------------------------------------


@click.command(short_help="Settle a debt to a customer.")
@click.argument("name", metavar="ID")
@click.option("--amount", required=True, metavar="AMOUNT", help="The settled amount in major units: 25.00.")
@click.option("--how", type=EnumChoice("domain.events:Settlement"), required=True, help="How it was settled.")
@click.option("--note", type=FreeText(), required=True, help="Explanation, kept with the payment.")
@_json
def settle(name: str, amount: str, how: str, note: str, as_json: bool) -> None:
    """Settle a debt to a customer that was paid elsewhere or waived. Moves no money.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's.

    \b
    Examples:
      booking-payments payments settle order-1002 --amount 50.00 --how paid_elsewhere --note "in cash"
      booking-payments payments settle order-1002 --amount 50.00 --how waived --note "mail of 3 May" --json
    """
    from booking_payments.domain.events import Settlement
    from booking_payments.presentation import render
    from booking_payments.presentation.formatting import words

    async def work(services: Services, payment: Payment) -> PaymentView:
        caller = operator("payments settle")
        return await services.payments.settle_debt(payment.id, caller, amount=amount, how=Settlement(how), note=note)

    services, view = with_payment(name, work)
    if as_json:
        click.echo(encoded(render.payment(view, reader(), services.clock.now())))
    else:
        settled = f"{amount} {view.payment.amount.currency.code.upper()} settled: {words(how).lower()}"
        click.echo("\n".join([settled, *(list(owed_lines(view.payment)) or ["no debt is left"])]))


def encoded(answer: msgspec.Struct) -> str:
    """An answer of the HTTP API as JSON."""
    import msgspec

    return msgspec.json.encode(answer).decode()
