"""The page of disputes, the most urgent first."""

from typing import Final

from litestar import get

from booking_payments.entrypoints.pages.console.operator_context import GivenOperator
from booking_payments.entrypoints.pages.page import BROWSER, GivenServices, PageResponse
from booking_payments.presentation.status_style import STATUS_STYLE

SETTLED_SHOWN: Final = 50


@get("/console/disputes", **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator) -> PageResponse:
    """List open disputes by deadline, then settled ones, the newest first."""
    found = await services.payments.disputes()
    still_open = [each for each in found if each.dispute.status.is_open]
    settled = [each for each in found if not each.dispute.status.is_open][:SETTLED_SHOWN]
    return operator.page(
        "console/disputes.html", "disputes", {"open": still_open, "settled": settled, "status_style": STATUS_STYLE}
    )


PAGES: Final = (listing,)
