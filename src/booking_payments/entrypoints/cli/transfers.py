"""``transfers list``, ``received``, ``sent`` and ``failed``: what happened on the account, with bank transfers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from booking_payments.entrypoints.cli.choices import IdentifierText, OneLineText
from booking_payments.entrypoints.cli.runner import fail, run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import coloured, table

if TYPE_CHECKING:
    from booking_payments.adapters.gateways.bank_transfer import BankTransferOperations
    from booking_payments.adapters.gateways.bank_transfer.records import BankRefund, Transfer
    from booking_payments.application.callers import Caller
    from booking_payments.runtime.services import Services

T = TypeVar("T")

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group(short_help="List bank transfers and record their receipt and refunds.")
def transfers() -> None:
    """List awaited bank transfers and refunds to send, and record transfers received and refunds sent.

    For the gateways bank_transfer and manual.

    \b
    Examples:
      booking-payments transfers list
      booking-payments transfers received bt_7k3m9qxd2f4h6n 103.00 usd
    """


@transfers.command("list", short_help="List awaited transfers and refunds to send.")
@_json
def list_(as_json: bool) -> None:
    """List transfers that customers have not sent yet, and refunds that an operator has to send.

    \b
    Examples:
      booking-payments transfers list
      booking-payments transfers list --json
    """
    import msgspec

    async def work(operations: BankTransferOperations) -> tuple[Sequence[Transfer], Sequence[BankRefund]]:
        return await operations.awaited(), await operations.to_send()

    found = run_with_services(settings_or_fail(), lambda services: _from_each(services, work))
    awaited = [each for some, _ in found for each in some]
    to_send = [each for _, some in found for each in some]
    if as_json:
        content = {"awaited": [*map(_content, awaited)], "to_send": [*map(_content, to_send)]}
        click.echo(msgspec.json.encode(content).decode())
        return
    rows = [*(_row(each, "Awaited") for each in awaited), *(_row(each, "To send back") for each in to_send)]
    if rows:
        click.echo("\n".join(table(("since", "status", "amount", "booking", "id"), rows)))
    if not awaited:
        click.echo("no transfer is awaited")
    if not to_send:
        click.echo("no refund is to be sent")


@transfers.command(short_help="Record that a transfer was received.")
@click.argument("reference", type=IdentifierText())
@click.argument("amount")
@click.argument("currency")
@_json
def received(reference: str, amount: str, currency: str, as_json: bool) -> None:
    """The money with this reference is on the account: AMOUNT in major units of CURRENCY, as the bank says.

    \b
    Examples:
      booking-payments transfers received bt_7k3m9qxd2f4h6n 103.00 usd
    """
    from booking_payments.domain.errors import PaymentError
    from booking_payments.domain.money import Currency, Money

    try:
        money = Money.parse(amount, Currency.of(currency.lower()))
    except PaymentError as error:
        raise click.BadParameter(error.message, param_hint="AMOUNT, CURRENCY") from None
    found = _run_operation(lambda operations: operations.received(reference, money, _operator("received")), reference)
    _report(found, f"{found.amount} received", as_json)


@transfers.command()
@click.argument("refund_id", type=IdentifierText())
@_json
def sent(refund_id: str, as_json: bool) -> None:
    """The money of a refund was sent to the customer.

    \b
    Examples:
      booking-payments transfers sent btr_7k3m9qxd2f4h6n
    """
    found = _run_operation(lambda operations: operations.sent(refund_id, _operator("sent")), refund_id)
    _report(found, f"{found.amount} sent", as_json)


@transfers.command(short_help="Record that a refund failed or was returned.")
@click.argument("refund_id", type=IdentifierText())
@click.option("--reason", type=OneLineText(), required=True, help="Why, for example: account closed.")
@_json
def failed(refund_id: str, reason: str, as_json: bool) -> None:
    """Record that the money of a refund can't be sent or was returned; it may be refunded again.

    \b
    Examples:
      booking-payments transfers failed btr_7k3m9qxd2f4h6n --reason "account closed"
    """
    found = _run_operation(lambda operations: operations.failed(refund_id, reason, _operator("failed")), refund_id)
    _report(found, f"the refund of {found.amount} failed", as_json)


def _run_operation(work: Callable[[BankTransferOperations], Awaitable[T]], given: str) -> T:
    """Do ``work`` at the gateway that knows the reference or refund id ``given``; at the first one where none does, so
    that the error is the operation's own."""

    async def run(services: Services) -> T:
        bank_transfer_operations = _bank_transfer_operations(services)
        known = [operations for operations in bank_transfer_operations if await operations.knows(given)]
        return await work([*known, *bank_transfer_operations][0])

    return run_with_services(settings_or_fail(), run)


def _bank_transfer_operations(services: Services) -> Sequence[BankTransferOperations]:
    """Return the operator commands of each gateway that is settled by hand. Fails without such a gateway."""
    if not services.bank_transfer_operations:
        fail("there are no bank transfers here: they need PAYMENT_GATEWAY=bank_transfer")
    return list(services.bank_transfer_operations.values())


async def _from_each(services: Services, work: Callable[[BankTransferOperations], Awaitable[T]]) -> Sequence[T]:
    return [await work(operations) for operations in _bank_transfer_operations(services)]


def _operator(command: str) -> Caller:
    """Return the operator for the audit trail: the user who is logged in to this machine."""
    from booking_payments.application.callers import Caller

    return Caller.operator_of(os.environ.get("USER") or "cli", f"transfers {command}")


def _report(record: Transfer | BankRefund, what: str, as_json: bool) -> None:
    import msgspec

    click.echo(msgspec.json.encode(_content(record)).decode() if as_json else f"{record.id}: {what}")


def _content(record: Transfer | BankRefund) -> dict[str, Any]:
    return {
        "id": record.id,
        "transfer_id": getattr(record, "transfer_id", record.id),
        "booking_id": record.metadata.get("booking_id"),
        "booking_reference": record.metadata.get("booking_reference"),
        "amount": record.amount.major(),
        "currency": record.amount.currency.code,
        "status": record.status.value,
        "created_at": record.created_at,
    }


def _row(record: Transfer | BankRefund, status: str) -> tuple[str, ...]:
    from booking_payments.presentation import formatting
    from booking_payments.presentation.formatting import exact

    booking = record.metadata.get("booking_reference") or record.metadata.get("booking_id", "")
    return exact(record.created_at)[:10], coloured(status, "warn"), formatting.money(record.amount), booking, record.id
