"""Received webhooks with the result of their processing; a webhook can be processed again."""

import json
from collections import Counter
from typing import Any, Final

from litestar import get, post

from booking_payments.application.progress import Progress
from booking_payments.application.replaying import UNFINISHED
from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.entrypoints.pages.console.background_work import WEBHOOK_REPLAYS, BackgroundWork
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
from booking_payments.ports.inbox import InboxEntry, InboxFilter
from booking_payments.ports.overview import InboxPage
from booking_payments.presentation.status_style import STATUS_STYLE
from booking_payments.runtime.logging import redacted

PATH: Final = "/console/webhooks"
PAGE_SIZE: Final = 25


@get(PATH, **BROWSER)
async def listing(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, search: GivenForm
) -> PageResponse:
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
        "unfinished_in_all": sum(
            (await services.storage.read(lambda uow: uow.overview.unfinished_webhooks())).values()
        ),
        "replays": request.app.state[WEBHOOK_REPLAYS],
        "search": search,
        "problem": problem,
        "status_style": STATUS_STYLE,
    }
    return operator.page("console/webhooks.html", "webhooks", context, status=400 if problem else 200)


@post(f"{PATH}/unfinished/replay", **BROWSER)
async def replay_unfinished(
    request: AnyRequest, services: GivenServices, operator: GivenOperator, form: GivenForm
) -> PageResponse:
    """Start to process all unfinished webhooks again, unless that is under way."""
    await count_gateway_call(request, services, operator.session)
    runs: BackgroundWork = request.app.state[WEBHOOK_REPLAYS]
    caller = operator.caller

    async def work(progress: Progress) -> Counter[str]:
        which = InboxFilter(statuses=UNFINISHED)
        replayed = await services.payments.replay_webhooks((), which, progress=progress, caller=caller)
        return Counter(each.outcome for each in replayed)

    runs.start(services.clock, caller.cause, work)
    raise SeeOther(f"{PATH}?only=unfinished")


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


PAGES: Final = (listing, replay_unfinished, one, replay)
