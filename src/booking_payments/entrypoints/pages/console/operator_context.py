"""The logged-in operator, the layout of the console's pages, and log-in and log-out."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from attrs import frozen
from litestar import get, post
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.routes import HTTPRoute

from booking_payments.application.callers import Caller
from booking_payments.application.console_sessions import new_secret
from booking_payments.entrypoints.http.auth import OPERATE, READ, Principal
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.console.devices import device_of
from booking_payments.entrypoints.pages.forms import Form, read_form
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    PUBLIC,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    SeeOther,
    count_guess,
    see_other,
)
from booking_payments.entrypoints.pages.rendering import html
from booking_payments.entrypoints.pages.sessions import (
    CONSOLE,
    Session,
    console_cookie,
    principal_of,
    require_sent_from_here,
)
from booking_payments.ports.console_sessions import ConsoleSession, LogInWay, OperatorIdentity
from booking_payments.presentation import render
from booking_payments.runtime.services import Services

LOGIN: Final = f"{CONSOLE}/login"
BY_PROVIDER: Final = f"{LOGIN}/openid"
OWN_SESSION: Final[Mapping[str, Any]] = {**BROWSER, "opt": {**BROWSER["opt"], "own_session": True}}
"""Arguments of a form that only concerns the operator's own sessions, so that every operator may send it."""
_NEXT: Final = re.compile(r"(?!.*\.\.)/console(/[A-Za-z0-9_\-./]*)?(\?[A-Za-z0-9_\-.=&%+]*)?", re.ASCII)


@frozen(kw_only=True)
class OperatorContext:
    """A request of a logged-in operator."""

    services: Services
    session: Session
    stored: ConsoleSession
    caller: Caller

    @property
    def reader(self) -> render.Reader:
        return render.Reader(subject=self.session.principal.subject, operator=True)

    def page(self, template: str, here: str, context: Mapping[str, Any], *, status: int = 200) -> PageResponse:
        """A page of the console; ``here`` is the navigation entry to highlight."""
        frame = {
            "here": here,
            "operator": self.stored.operator.label,
            "may_act": self.stored.may_act,
            "form_token": self.session.form_token,
            "test_mode": not self.services.settings.livemode,
            "gateway": self.services.gateway.name,
            "now": self.services.clock.now(),
        }
        return html(template, {**frame, **context}, status=status)


async def require_operator(request: AnyRequest, services: Services) -> OperatorContext:
    """Return the logged-in operator.

    Raises:
        SeeOther: to the login page when no operator is logged in, and to the provider when it has to be asked again.
        RequestRefused: (401) the session ended before the form was sent; (403) the operator may only look, and the
            request is a form.
    """
    secret = console_cookie(request).value_in(request) or ""
    sessions = services.operator_sessions
    stored = await sessions.use(secret)
    if stored is None or not is_current(stored, services):
        if secret and request.method == "POST" and not _is_own_session(request):
            raise RequestRefused(401, "session_ended", _LOG_IN_ELSEWHERE)
        raise SeeOther(_log_in_path(LOGIN, request))
    if _is_navigation(request) and is_due(stored, services.clock.now()):
        raise SeeOther(_log_in_path(BY_PROVIDER, request))
    _require_role(request, stored)
    operator = stored.operator
    scopes = frozenset({OPERATE, READ} if stored.may_act else {READ})
    principal = Principal(subject=operator.subject, issuer=operator.issuer or None, scopes=scopes)
    return OperatorContext(
        services=services,
        session=Session(principal=principal, token=secret, path=CONSOLE, form_secret=sessions.form_secret_of(stored)),
        stored=stored,
        caller=Caller.operator_of(operator.actor, request_id_of(request.scope)),
    )


_LOG_IN_ELSEWHERE: Final = (
    "Your session ended before this form was sent, and nothing was done. Log in in another tab, then load this page "
    "again: your browser sends the form once more, as you filled it in."
)


def is_current(stored: ConsoleSession, services: Services) -> bool:
    """Return whether the settings still have the provider that the operator logged in at."""
    by_provider = stored.operator.way is LogInWay.OPENID
    return not by_provider or (
        services.identity_provider is not None and stored.operator.issuer == services.settings.oidc_issuer
    )


def is_due(stored: ConsoleSession, now: datetime) -> bool:
    """Return whether the provider has to be asked again."""
    return stored.check_at is not None and now >= stored.check_at


def _is_navigation(request: AnyRequest) -> bool:
    """Return whether a redirect to another host leads the browser there, and not one of our scripts."""
    return request.method == "GET" and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


def _require_role(request: AnyRequest, stored: ConsoleSession) -> None:
    only_looks = request.method in ("GET", "HEAD") or _is_own_session(request)
    if not only_looks and not stored.may_act:
        raise RequestRefused(
            403, "missing_role", f"You are logged in with the role {READ}. To do this, the role {OPERATE} is needed."
        )


def _is_own_session(request: AnyRequest) -> bool:
    return bool(request.route_handler.opt.get("own_session", False))


def _log_in_path(start: str, request: AnyRequest) -> str:
    """Return the address of ``start`` with the page that the operator wanted, where there is one to come back to."""
    wanted = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}".rstrip("?")
    asked = request.method == "GET" and wanted.rstrip("/") != CONSOLE and _NEXT.fullmatch(wanted)
    return f"{start}?next={quote(wanted, safe='/')}" if asked else start


async def provide_operator(request: AnyRequest, services: GivenServices) -> OperatorContext:
    """As ``require_operator``."""
    return await require_operator(request, services)


GivenOperator = NamedDependency[SkipValidation[OperatorContext]]


async def provide_form(request: AnyRequest, operator: GivenOperator) -> Form:
    """Return the form in the body. Raises ``RequestRefused`` (403) when it was not made for this session."""
    form = await read_form(request)
    operator.session.require_own(request, form)
    return form


def local_page(request: AnyRequest, wanted: str) -> str:
    """Return the page of the console that ``wanted`` names, or its first page when it names anything else."""
    return wanted if _is_page(request, wanted) else f"{CONSOLE}/"


def _is_page(request: AnyRequest, wanted: str) -> bool:
    """Return whether ``wanted`` is the address of a page of the console; that of a form or of the log-in is none."""
    if not _NEXT.fullmatch(wanted):
        return False
    parts = wanted.partition("?")[0].strip("/").split("/")
    return f"/{'/'.join(parts[:2])}" != LOGIN and any(
        isinstance(route, HTTPRoute) and "GET" in route.methods and _leads_to(route, parts)
        for route in request.app.routes
    )


def _leads_to(route: HTTPRoute, parts: Sequence[str]) -> bool:
    """Return whether the route serves the path with these ``parts``."""
    components = route.path_components
    return len(components) == len(parts) and all(
        component == part or not isinstance(component, str) for component, part in zip(components, parts, strict=True)
    )


async def begin_session(
    request: AnyRequest,
    services: Services,
    operator: OperatorIdentity,
    *,
    may_act: bool,
    wanted: str,
    until: datetime | None = None,
    secret: str | None = None,
    sealed_id_token: str | None = None,
) -> PageResponse:
    """Begin a session with a new secret, ignoring a cookie that the browser has, and redirect to ``wanted``.

    ``until``: the session ends then at the latest.
    """
    cookie, secret = console_cookie(request), secret or new_secret()
    await services.operator_sessions.begin(
        secret,
        operator,
        may_act=may_act,
        device=device_of(request.headers.get("user-agent", "")),
        cause=request_id_of(request.scope),
        until=until,
        replaced=cookie.value_in(request),
        sealed_id_token=sealed_id_token,
    )
    answer = see_other(local_page(request, wanted))
    answer.set_cookie(cookie.holding(secret))
    return answer


@get(LOGIN, **PUBLIC)
async def login_page(request: AnyRequest, search: GivenForm) -> PageResponse:
    """The login page."""
    return _login_page(request, search.get("next"))


@post(LOGIN, **PUBLIC)
async def log_in(request: AnyRequest, services: GivenServices) -> PageResponse:
    """Log an operator in by a token with scope ``payments:operate``, or ``payments:read`` to look only."""
    form = await read_form(request)
    require_sent_from_here(request)
    wanted = form.get("next")
    principal = principal_of(request, form.get("token"))
    if principal is None or principal.scopes.isdisjoint((OPERATE, READ)) or _has_ended(principal, services):
        await count_guess(request)
        return _login_page(
            request, wanted, f"This token is wrong, has expired, or has neither the scope {OPERATE} nor {READ}.", 401
        )
    operator = OperatorIdentity(way=LogInWay.TOKEN, issuer=principal.issuer or "", subject=principal.subject)
    return await begin_session(
        request, services, operator, may_act=principal.is_operator, wanted=wanted, until=principal.expires_at
    )


def _has_ended(principal: Principal, services: Services) -> bool:
    """Return whether the token is at its end, which authentication passes over for some seconds."""
    return principal.expires_at is not None and principal.expires_at <= services.clock.now()


def _login_page(request: AnyRequest, wanted: str, problem: str | None = None, status: int = 200) -> PageResponse:
    services: Services = request.app.state["services"]
    hint = services.settings.jwt_signing_key is not None and services.settings.in_development
    wanted = wanted if _is_page(request, wanted) else ""
    provider = services.identity_provider
    by_provider = f"{services.settings.own_address}{BY_PROVIDER}"
    context = {
        "wanted": wanted,
        "problem": problem,
        "hint": hint,
        "provider": provider.title if provider else None,
        "by_provider": f"{by_provider}?next={quote(wanted, safe='/')}" if wanted else by_provider,
    }
    # Under our usual policy browsers would send ``Origin: null`` with the form, which says nothing of its page.
    return html("console/login.html", context, status=status, headers={"Referrer-Policy": "same-origin"})


PAGES: Final = (login_page, log_in)
DEPENDENCIES: Final = {"operator": Provide(provide_operator), "form": Provide(provide_form)}
