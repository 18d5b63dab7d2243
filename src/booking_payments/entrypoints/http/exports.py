"""Payments, refunds, disputes and postings as CSV, for accountants."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from litestar.response import Stream

from booking_payments.application.exporting import ExportKind, export_columns
from booking_payments.application.payments import BookingPayments
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.commands import GivenContext
from booking_payments.entrypoints.http.payments import filter_of
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.http.routing import for_token
from booking_payments.ports.payments import PaymentFilter
from booking_payments.presentation.models import ExportQuery
from booking_payments.presentation.tables import BYTE_ORDER_MARK, MEDIA_TYPE, csv_lines

_ROUTE: Final = for_token(Access.OPERATOR, errors={404})


@get(
    "/api/exports/{kind:str}",
    summary="Payments, refunds, disputes or postings as CSV, streamed",
    tags=["payment"],
    **{
        **_ROUTE,
        "responses": {
            200: ResponseSpec(
                str,
                description="A header line, then a line for each row, of the newest payment first. The stream is cut "
                "off when the database fails meanwhile: without its last chunk it is not whole",
                media_type="text/csv",
                generate_examples=False,
            ),
            **_ROUTE["responses"],
        },
    },
)
async def export(
    kind: Annotated[str, PathParameter(description="what there is a row for", schema_extra={"enum": [*ExportKind]})],
    parameters: NamedDependency[ExportQuery],
    context: GivenContext,
) -> Stream:
    if kind not in [*ExportKind]:
        raise RequestRefused(404, "not_found", f"there are exports of {', '.join(ExportKind)}")
    return await csv_response(context.payments, ExportKind(kind), filter_of(parameters))


async def csv_response(
    payments: BookingPayments, kind: ExportKind, which: PaymentFilter, *, for_people: bool = False
) -> Stream:
    """Return the export as a download, ``for_people`` with a byte order mark. Its first rows are read before the answer
    begins, so that a filter that is refused is still a problem and no broken file."""
    groups = payments.export_rows(kind, which)
    first = [export_columns(kind), *await anext(groups)]

    async def lines() -> AsyncIterator[str]:
        yield (BYTE_ORDER_MARK if for_people else "") + csv_lines(first)
        async for group in groups:
            if group:
                yield csv_lines(group)

    disposition = f'attachment; filename="{kind.value}.csv"'
    return Stream(lines(), media_type=MEDIA_TYPE, headers={"Content-Disposition": disposition})
