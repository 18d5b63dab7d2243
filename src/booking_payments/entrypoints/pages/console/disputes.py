"""The page of disputes, the most urgent first."""

from typing import Any, Final

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
    settled = [each for each in found if not each.dispute.status.is_open]
    context: dict[str, Any] = {
        "open": still_open,
        "settled": settled[:SETTLED_SHOWN],
        "settled_more": max(len(settled) - SETTLED_SHOWN, 0),
        "dashboards": services.dashboards,
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/disputes.html", "disputes", context)


PAGES: Final = (listing,)
