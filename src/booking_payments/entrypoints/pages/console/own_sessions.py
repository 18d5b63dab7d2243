"""The operator's own sessions: where they are logged in, and log-out here, there and everywhere."""

from typing import Any, Final

from litestar import get, post

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
from booking_payments.entrypoints.pages.sessions import CONSOLE, console_cookie, sessions_of

PATH: Final = f"{CONSOLE}/sessions"


@get(PATH, **BROWSER)
async def listing(operator: GivenOperator, search: GivenForm) -> PageResponse:
    """The browsers in which the operator is logged in."""
    provider = operator.services.identity_provider
    sessions = await sessions_of(operator.services).of_operator(operator.stored.operator)
    context: dict[str, Any] = {
        "sessions": sessions,
        "current": operator.stored,
        "ended": search.get("done") == "ended",
        "provider": provider.title if provider and operator.stored.check_at is not None else None,
    }
    return operator.page("console/sessions.html", "sessions", context)


@post(f"{PATH}/end", **OWN_SESSION)
async def end(request: AnyRequest, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """End one of the operator's sessions, or with ``session=all`` each of them."""
    wanted = form.get("session")
    everywhere = wanted == "all"
    if everywhere or wanted == operator.stored.id:
        return await _log_out(request, operator, everywhere=everywhere)
    await sessions_of(operator.services).end(operator.stored.operator, wanted, request_id_of(request.scope))
    raise SeeOther(f"{PATH}?done=ended")


@post(f"{CONSOLE}/logout", **OWN_SESSION)
async def log_out(request: AnyRequest, operator: GivenOperator, form: GivenForm) -> PageResponse:
    """End this session, and the one at the provider where it offers that."""
    return await _log_out(request, operator, everywhere=False)


async def _log_out(request: AnyRequest, operator: OperatorContext, *, everywhere: bool) -> PageResponse:
    stored, services = operator.stored, operator.services
    await sessions_of(services).end(stored.operator, None if everywhere else stored.id, request_id_of(request.scope))
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


PAGES: Final = (listing, end, log_out)
