"""Messages to the booking app that were not delivered, by channel; dead letters can be sent again."""

from typing import Any, Final

from litestar import get, post

from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.entrypoints.http.parsing import is_id
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator
from booking_payments.entrypoints.pages.page import BROWSER, GivenForm, GivenServices, PageResponse, SeeOther
from booking_payments.ports.publisher import MOST_COUNTED
from booking_payments.presentation.status_style import STATUS_STYLE

PATH: Final = "/console/messages"
MOST_LISTED: Final = 100
AT_ONCE: Final = 10_000
"""Dead letters that one press of the button sends again."""


@get(PATH, **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """List undelivered messages, the oldest first; with ``only=dead`` those that are not tried any more."""
    dead = search.get("only") == "dead"
    states = await services.payments.channel_states()
    found = await services.payments.undelivered_messages(dead=dead, limit=MOST_LISTED)
    backlogs = [*(each.backlog for each in states.channels), *states.others]
    counted = sum(each.dead if dead else each.waiting for each in backlogs)
    context: dict[str, Any] = {
        "found": found,
        "more": max(counted - len(found), 0),
        "dead": dead,
        "dead_in_all": sum(each.dead for each in backlogs),
        "states": states,
        "most_counted": MOST_COUNTED,
        "done": search.get("done"),
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/messages.html", "messages", context)


@post(f"{PATH}/replay", **BROWSER)
async def replay(services: GivenServices, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """Make one dead letter due again, or with ``all=yes`` all of them. A background task delivers them."""
    message = form.get("message")
    if message:
        if not is_id(message):
            raise NotFound()
        ids = [message]
    elif form.get("all") != "yes":
        raise InvalidInput("message: say which message, or send the form of all of them")
    else:
        dead = await services.payments.undelivered_messages(dead=True, limit=AT_ONCE)
        ids = [each.message.id for each in dead]
    await services.payments.replay_messages(ids, operator.caller)
    raise SeeOther(f"{PATH}?done={'one' if message else 'all'}")


PAGES: Final = (listing, replay)
