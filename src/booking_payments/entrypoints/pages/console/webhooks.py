"""Received webhooks with the result of their processing; a webhook can be processed again."""

import json
from typing import Any, Final

from litestar import get, post

from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.entrypoints.pages.console.operator_context import GivenOperator, OperatorContext
from booking_payments.entrypoints.pages.form_actions import count_gateway_call
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
    path_id,
    sentence,
)
from booking_payments.ports.inbox import InboxEntry
from booking_payments.ports.overview import InboxPage
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.runtime.logging import redacted

PATH: Final = "/console/webhooks"
PAGE_SIZE: Final = 25


@get(PATH, **BROWSER)
async def listing(services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """List webhooks, the newest first; with ``only=unfinished`` those that failed or were not processed yet."""
    unfinished, cursor, wanted = search.get("only") == "unfinished", search.get("cursor") or None, search.get("q")
    problem = None
    try:
        if wanted:
            found = await services.storage.read(lambda uow: uow.inbox.find(wanted))
            shown = InboxPage(items=tuple(found), next_cursor=None)
        else:
            shown = await services.storage.read(
                lambda uow: uow.overview.webhooks(unfinished=unfinished, cursor=cursor, limit=PAGE_SIZE)
            )
    except InvalidInput as error:
        shown, problem = InboxPage(items=(), next_cursor=None), sentence(error.message)
    context: dict[str, Any] = {
        "webhooks": shown.items,
        "next_cursor": shown.next_cursor,
        "unfinished": unfinished,
        "search": search,
        "problem": problem,
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/webhooks.html", "webhooks", context, status=400 if problem else 200)


@get(f"{PATH}/{{event_id:str}}", **BROWSER)
async def one(request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm) -> PageResponse:
    """Show one webhook with its content, without the secrets in it."""
    event_id = path_id(request, "event_id")
    entries = await services.storage.read(lambda uow: uow.inbox.find(event_id))
    if not entries:
        raise NotFound()
    return _render_list(operator, tuple(entries), search.get("done"))


def _render_list(operator: OperatorContext, entries: tuple[InboxEntry, ...], outcome: str) -> PageResponse:
    known = outcome if outcome in ("processed", "duplicate", "ignored", "failed") else ""
    context = {"entries": [(each, _body(each)) for each in entries], "outcome": known, "status_style": STATUS_STYLE}
    return operator.page("console/webhook.html", "webhooks", context)


def _body(entry: InboxEntry) -> str:
    try:
        return json.dumps(redacted(json.loads(entry.body)), indent=2, ensure_ascii=False)
    except ValueError:
        return str(redacted(entry.body))


@post(f"{PATH}/{{event_id:str}}/replay", **BROWSER)
async def replay(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Process a webhook again. If it was processed already, this has no effect."""
    event_id = path_id(request, "event_id")
    await count_gateway_call(request, services, operator.session)
    replayed = await services.payments.replay_webhooks([event_id], caller=operator.caller)
    if any(each.outcome == "unknown" for each in replayed):
        raise NotFound()
    worst = next((each.outcome for each in replayed if each.failed), replayed[0].outcome)
    raise SeeOther(f"{PATH}/{event_id}?done={worst}")


PAGES: Final = (listing, one, replay)
