"""Payments, refunds, disputes and postings as rows of a table, for accountants: the newest payment first.

The columns are part of the public interface: names stay, and new ones are added at the end.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import evolve, frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.booking import Booking
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.payments import PaymentFilter, PaymentHistory, PaymentPage
from booking_payments.ports.unit_of_work import UnitOfWork

Cell = str | int | datetime | Money | None
"""A value of a row; None is an empty cell."""

PAGE_SIZE: Final = 500
"""Payments that are read in one transaction."""


class ExportKind(StrEnum):
    """What an export has one row for."""

    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    POSTINGS = "postings"


@frozen(kw_only=True)
class _Exported:
    """A payment with what its rows are made of; ``history`` only for postings."""

    payment: Payment
    booking: Booking
    history: PaymentHistory | None


@frozen(kw_only=True)
class _Table:
    """The columns of an export, and the rows of one payment, each with the time that filters compare."""

    columns: tuple[str, ...]
    rows: Callable[[_Exported], Iterator[tuple[datetime, Sequence[Cell]]]]


def export_columns(kind: ExportKind) -> tuple[str, ...]:
    """Return the names of the columns, in order."""
    return _TABLES[kind].columns


async def export_rows(
    deps: Dependencies, kind: ExportKind, which: PaymentFilter
) -> AsyncIterator[list[Sequence[Cell]]]:
    """Yield the rows of the payments that ``which`` asks for, in groups that may be empty.

    ``created_from`` and ``created_to`` are compared with the row's own time: a payment's creation, a refund's request,
    a dispute's opening, a posting's time. Each group is read in a separate transaction, so that a long export does not
    block others; payments that start meanwhile are left out.

    Raises ``InvalidInput`` for a period that ends before it begins.
    """
    which.require_period()
    table = _TABLES[kind]
    of_payments = kind is ExportKind.PAYMENTS
    asked = which if of_payments else evolve(which, created_from=None, updated_from=which.created_from)
    cursor: str | None = None
    while True:
        group, cursor = await _read(deps, asked, cursor, with_postings=kind is ExportKind.POSTINGS)
        yield [row for each in group for at, row in table.rows(each) if _is_within(at, which)]
        if cursor is None:
            return


async def _read(
    deps: Dependencies, which: PaymentFilter, cursor: str | None, *, with_postings: bool
) -> tuple[list[_Exported], str | None]:
    async def work(uow: UnitOfWork) -> tuple[PaymentPage, Mapping[str, Booking], Mapping[str, PaymentHistory]]:
        page = await uow.payments.page(which, cursor, PAGE_SIZE)
        bookings = await uow.bookings.many({each.booking_id for each in page.items})
        ids = [each.id for each in page.items]
        return page, bookings, await uow.payment_reader.histories(ids) if with_postings else {}

    page, bookings, histories = await deps.storage.read(work)
    group = [
        _Exported(payment=each, booking=bookings[each.booking_id], history=histories.get(each.id))
        for each in page.items
    ]
    return group, page.next_cursor


def _is_within(at: datetime, which: PaymentFilter) -> bool:
    first, end = which.created_from, which.created_to
    return (first is None or at >= first) and (end is None or at < end)


def _payment(of: _Exported) -> Iterator[tuple[datetime, Sequence[Cell]]]:
    payment, details, method = of.payment, of.booking.details, of.payment.method
    decline, dispute = payment.last_decline, payment.dispute
    price = payment.breakdown
    yield (
        payment.created_at,
        (
            payment.id,
            payment.booking_id,
            payment.booking_reference,
            payment.customer_id,
            of.booking.event_id,
            details.title,
            payment.event_starts_at,
            payment.gateway,
            payment.intent_id,
            payment.status.value,
            payment.amount.currency.code,
            payment.amount,
            payment.captured,
            price.fee,
            price.payer.value,
            price.net,
            payment.refunded,
            payment.refund_pending,
            payment.owed.amount,
            payment.withdrawn,
            dispute.status.value if dispute else None,
            method.type if method else None,
            method.brand if method else None,
            method.last4 if method else None,
            payment.attempts_made,
            (decline.decline_code or decline.code) if decline else None,
            payment.created_at,
            payment.updated_at,
        ),
    )


def _refunds(of: _Exported) -> Iterator[tuple[datetime, Sequence[Cell]]]:
    for refund in of.payment.refunds:
        yield (
            refund.created_at,
            (
                *_named(of),
                refund.id,
                refund.gateway_refund_id,
                refund.status.value,
                refund.amount.currency.code,
                refund.amount,
                refund.fee_refunded,
                refund.reason,
                refund.note,
                refund.requested_by,
                refund.failure_reason,
                refund.created_at,
                refund.updated_at,
            ),
        )


def _disputes(of: _Exported) -> Iterator[tuple[datetime, Sequence[Cell]]]:
    for dispute in of.payment.disputes:
        yield (
            dispute.opened_at,
            (
                *_named(of),
                dispute.id,
                dispute.status.value,
                dispute.reason,
                dispute.amount.currency.code,
                dispute.amount,
                dispute.withdrawn,
                dispute.opened_at,
                dispute.evidence_due_by,
            ),
        )


def _postings(of: _Exported) -> Iterator[tuple[datetime, Sequence[Cell]]]:
    postings = of.history.postings if of.history else ()
    for number, posting in enumerate(postings, start=1):
        debit, credit = posting.lines
        yield (
            posting.at,
            (
                *_named(of),
                number,
                posting.at,
                posting.kind.value,
                posting.subject,
                debit.amount.currency.code,
                debit.account.value,
                credit.account.value,
                debit.amount,
            ),
        )


def _named(of: _Exported) -> tuple[Cell, ...]:
    payment = of.payment
    return payment.id, payment.booking_reference, payment.customer_id, of.booking.event_id, payment.gateway


_NAMED: Final = ("payment_id", "booking_reference", "customer_id", "event_id", "gateway")
_TABLES: Final = {
    ExportKind.PAYMENTS: _Table(
        columns=(
            "payment_id",
            "booking_id",
            "booking_reference",
            "customer_id",
            "event_id",
            "title",
            "event_starts_at",
            "gateway",
            "gateway_payment_id",
            "status",
            "currency",
            "amount",
            "captured",
            "fee",
            "fee_payer",
            "net",
            "refunded",
            "refund_pending",
            "refund_owed",
            "withdrawn",
            "dispute_status",
            "method",
            "brand",
            "last4",
            "attempts",
            "decline_code",
            "created_at",
            "updated_at",
        ),
        rows=_payment,
    ),
    ExportKind.REFUNDS: _Table(
        columns=(
            *_NAMED,
            "refund_id",
            "gateway_refund_id",
            "status",
            "currency",
            "amount",
            "fee_refunded",
            "reason",
            "note",
            "requested_by",
            "failure_reason",
            "created_at",
            "updated_at",
        ),
        rows=_refunds,
    ),
    ExportKind.DISPUTES: _Table(
        columns=(
            *_NAMED,
            "dispute_id",
            "status",
            "reason",
            "currency",
            "amount",
            "withdrawn",
            "opened_at",
            "evidence_due_by",
        ),
        rows=_disputes,
    ),
    ExportKind.POSTINGS: _Table(
        columns=(*_NAMED, "number", "at", "kind", "subject", "currency", "debit", "credit", "amount"),
        rows=_postings,
    ),
}
