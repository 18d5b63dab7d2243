"""Sessions: where the operator is logged in, with log-out here, there and everywhere; and the other operators'."""

from collections import defaultdict
from typing import Any, Final

from litestar import get, post

from booking_payments.application.console_sessions import ChosenOperators
from booking_payments.domain.errors import InvalidInput, NotFound
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.pages.console.operator_context import (
    LOGIN,
    OWN_SESSION,
    GivenOperator,
    OperatorContext,
)
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    AnyRequest,
    GivenForm,
    PageResponse,
    SeeOther,
    see_other,
)
from booking_payments.entrypoints.pages.rendering import html
from booking_payments.entrypoints.pages.sessions import CONSOLE, console_cookie
from booking_payments.ports.console_sessions import ConsoleSession, LogInWay, OperatorIdentity

PATH: Final = f"{CONSOLE}/sessions"
MOST_LISTED: Final = 100
"""Other operators on the page; the command line lists all."""


@get(PATH, **BROWSER)
async def listing(operator: GivenOperator, search: GivenForm) -> PageResponse:
    """The browsers in which the operator is logged in, and for who may act the other operators who are."""
    provider = operator.services.identity_provider
    sessions = await operator.services.operator_sessions.of_operator(operator.stored.operator)
    others = await _others(operator) if operator.stored.may_act else []
    context: dict[str, Any] = {
        "sessions": sessions,
        "current": operator.stored,
        "ended": search.get("done") == "ended",
        "others": others[:MOST_LISTED],
        "more": max(len(others) - MOST_LISTED, 0),
        "others_ended": search.get("done") == "others",
        "provider": provider.title if provider and operator.stored.check_at is not None else None,
    }
    return operator.page("console/sessions.html", "sessions", context)


async def _others(operator: OperatorContext) -> list[list[ConsoleSession]]:
    """Return the sessions of each other operator, the operator who was active last first."""
    found = defaultdict[tuple[LogInWay, str, str], list[ConsoleSession]](list)
    for each in await operator.services.operator_sessions.of_everybody():
        found[_key(each.operator)].append(each)
    found.pop(_key(operator.stored.operator), None)
    return [*found.values()]


def _key(operator: OperatorIdentity) -> tuple[LogInWay, str, str]:
    return operator.way, operator.issuer, operator.subject


@post(f"{PATH}/others/end", **BROWSER)
async def end_of_other(operator: GivenOperator, form: GivenForm) -> PageResponse:
    """End all sessions of another operator."""
    subject, way = form.get("subject"), form.get("way")
    if not subject or way not in {each.value for each in LogInWay}:
        raise InvalidInput("subject: say which operator")
    chosen = ChosenOperators(subject=subject, issuer=form.get("issuer"), way=LogInWay(way))
    if not await operator.services.operator_sessions.end_of_others(operator.caller, chosen):
        raise NotFound("this operator is not logged in any more")
    raise SeeOther(f"{PATH}?done=others")


@post(f"{PATH}/end", **OWN_SESSION)
async def end(request: AnyRequest, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """End one of the operator's sessions, or with ``session=all`` each of them."""
    wanted = form.get("session")
    everywhere = wanted == "all"
    if everywhere or wanted == operator.stored.id:
        return await _log_out(request, operator, everywhere=everywhere)
    await operator.services.operator_sessions.end(operator.stored.operator, wanted, request_id_of(request.scope))
    raise SeeOther(f"{PATH}?done=ended")


@post(f"{CONSOLE}/logout", **OWN_SESSION)
async def log_out(request: AnyRequest, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """End this session, and the one at the provider where it offers that."""
    return await _log_out(request, operator, everywhere=False)


async def _log_out(request: AnyRequest, operator: OperatorContext, *, everywhere: bool) -> PageResponse:
    stored, services = operator.stored, operator.services
    await services.operator_sessions.end(
        stored.operator, None if everywhere else stored.id, request_id_of(request.scope)
    )
    url = await _url_at_provider(operator)
    # A page and not a redirect: under our policy a browser follows no redirect to another origin after a form.
    answer = html("console/logged_out.html", {"url": url}) if url else see_other(LOGIN)
    answer.set_cookie(console_cookie(request).removed())
    return answer


async def _url_at_provider(operator: OperatorContext) -> str | None:
    provider, stored = operator.services.identity_provider, operator.stored
    if provider is None or stored.sealed_id_token is None:
        return None
    from booking_payments.adapters.openid.sealing import opened

    return await provider.log_out_url(opened(stored.sealed_id_token, operator.session.token))


PAGES: Final = (listing, end_of_other, end, log_out)
