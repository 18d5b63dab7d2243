"""Disputes, the most urgent first."""

from typing import Final

from booking_payments.entrypoints.pages.console.desk import at_desk
from booking_payments.entrypoints.pages.page import Answer, AnyRequest, page
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.runtime.services import Services

SETTLED_SHOWN: Final = 50


@page("GET", "/console/disputes")
async def listing(request: AnyRequest, services: Services) -> Answer:
    """Open disputes by their deadline, then the newest that are settled."""
    desk = at_desk(request, services)
    found = await services.payments.disputes()
    still_open = [each for each in found if each.dispute.status.is_open]
    settled = [each for each in found if not each.dispute.status.is_open][:SETTLED_SHOWN]
    return desk.page(
        "console/disputes.html", "disputes", {"open": still_open, "settled": settled, "tones": STATUS_STYLE}
    )


PAGES: Final = (listing,)
