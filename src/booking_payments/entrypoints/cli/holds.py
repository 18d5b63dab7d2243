"""``payments capture``, ``cancel`` and ``record``: what an operator does with a payment that is not over.

With ``--json`` each prints what the HTTP API answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from booking_payments.entrypoints.cli.bookings import booking_named
from booking_payments.entrypoints.cli.choices import EnumChoice, FreeText
from booking_payments.entrypoints.cli.refunds import encoded, operator, reader, with_payment
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.application.views import PaymentView
    from booking_payments.domain.payment import Payment
    from booking_payments.runtime.services import Services

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")


@click.command(short_help="Capture held money.")
@click.argument("name", metavar="ID")
@click.option("--amount", metavar="AMOUNT", help="Amount in major units: 25.00. By default the whole held amount.")
@_json
def capture(name: str, amount: str | None, as_json: bool) -> None:
    """Capture the held money or AMOUNT of it; the rest is released.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's.

    \b
    Examples:
      booking-payments payments capture order-1003
      booking-payments payments capture order-1004 --amount 60.00 --json
    """

    async def work(services: Services, payment: Payment) -> PaymentView:
        caller = operator("payments capture")
        return await services.payments.capture_payment(payment.booking_id, caller, amount=amount)

    _report(name, work, as_json)


@click.command(short_help="Cancel a payment.")
@click.argument("name", metavar="ID")
@_json
def cancel(name: str, as_json: bool) -> None:
    """Cancel a payment and release the money that it holds. Its booking stays pending and may be paid by a new payment.

    ID is the payment's, its booking's, the booking's reference, or an id of the gateway's. To cancel the booking, too:
    booking-payments bookings cancel.

    \b
    Examples:
      booking-payments payments cancel order-1005
    """

    async def work(services: Services, payment: Payment) -> PaymentView:
        return await services.payments.cancel_payment(payment.booking_id, operator("payments cancel"))

    _report(name, work, as_json)


@click.command(short_help="Record money received by hand.")
@click.argument("name", metavar="BOOKING")
@click.option("--amount", metavar="AMOUNT", required=True, help="The whole price in major units: 100.00.")
@click.option("--kind", type=EnumChoice("domain.receipts:ReceiptKind"), required=True, help="How it was received.")
@click.option("--reference", type=FreeText(), required=True, help="Number of the receipt, the invoice or the voucher.")
@_json
def record(name: str, amount: str, kind: str, reference: str, as_json: bool) -> None:
    """Record that the price of BOOKING, an id or a reference, was received by hand.

    Needs the gateway manual in PAYMENT_GATEWAYS. An open payment of another gateway is canceled first. Money is given
    back with: booking-payments payments refund.

    \b
    Examples:
      booking-payments payments record order-1009 --amount 100.00 --kind cash --reference 17-204
    """
    from booking_payments.domain.receipts import ReceiptKind

    async def work(services: Services) -> tuple[Services, PaymentView]:
        booking = await booking_named(services, name)
        caller, what = operator("payments record"), ReceiptKind(kind)
        view = await services.payments.record_payment(booking.id, caller, amount=amount, kind=what, reference=reference)
        return services, view

    services, view = run_with_services(settings_or_fail(), work)
    _show(services, view, as_json)


def _report(name: str, work: Callable[[Services, Payment], Awaitable[PaymentView]], as_json: bool) -> None:
    _show(*with_payment(name, work, current=True), as_json)


def _show(services: Services, view: PaymentView, as_json: bool) -> None:
    from booking_payments.presentation import render
    from booking_payments.presentation.formatting import money, words

    if as_json:
        click.echo(encoded(render.payment(view, reader(), services.clock.now())))
        return
    payment = view.payment
    held = f", {money(payment.captured)} captured" if payment.captured.minor else ""
    click.echo(f"{payment.booking_reference}: {words(payment.status.value).lower()}{held}")
