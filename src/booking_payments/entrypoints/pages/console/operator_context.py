"""The logged-in operator, the layout of the console's pages, and log-in and log-out."""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from litestar import get, post
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http.middleware import request_id_of
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
    CONSOLE_COOKIE,
    Session,
    cookie_of,
    operator_session,
    require_own_site,
)
from booking_payments.presentation import render
from booking_payments.runtime.services import Services

LOGIN: Final = f"{CONSOLE}/login"
_NEXT: Final = re.compile(r"(?!.*\.\.)/console(/[A-Za-z0-9_\-./]*)?(\?[A-Za-z0-9_\-.=&%+]*)?", re.ASCII)


@frozen(kw_only=True)
class OperatorContext:
    """A request of a logged-in operator."""

    services: Services
    session: Session
    caller: Caller

    @property
    def reader(self) -> render.Reader:
        return render.Reader(subject=self.session.principal.subject, operator=True)

    def page(self, template: str, here: str, context: Mapping[str, Any], *, status: int = 200) -> PageResponse:
        """A page of the console; ``here`` is the navigation entry to highlight."""
        frame = {
            "here": here,
            "operator": self.session.principal.subject,
            "form_token": self.session.form_token,
            "test_mode": not self.services.settings.livemode,
            "gateway": self.services.gateway.name,
            "now": self.services.clock.now(),
        }
        return html(template, {**frame, **context}, status=status)


def require_operator(request: AnyRequest, services: Services) -> OperatorContext:
    """Return the logged-in operator. Raises ``SeeOther`` to the login page when no operator is logged in."""
    session = operator_session(request)
    if session is None:
        wanted = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}".rstrip("?")
        asked = request.method == "GET" and wanted.rstrip("/") != CONSOLE and _NEXT.fullmatch(wanted)
        raise SeeOther(f"{LOGIN}?next={_quoted(wanted)}" if asked else LOGIN)
    caller = Caller.operator_of(session.principal.subject, request_id_of(request.scope))
    return OperatorContext(services=services, session=session, caller=caller)


async def provide_operator(request: AnyRequest, services: GivenServices) -> OperatorContext:
    """As ``require_operator``."""
    return require_operator(request, services)


GivenOperator = NamedDependency[SkipValidation[OperatorContext]]


async def provide_form(request: AnyRequest, operator: GivenOperator) -> Form:
    """Return the form in the body. Raises ``RequestRefused`` (403) when it was not made for this session."""
    form = await read_form(request)
    operator.session.require_own(request, form)
    return form


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("&", "%26").replace("?", "%3F").replace("=", "%3D").replace("+", "%2B")


@get(LOGIN, **PUBLIC)
async def login_page(services: GivenServices, search: GivenForm) -> PageResponse:
    """The login page."""
    return _login_page(services, search.get("next"))


@post(LOGIN, **PUBLIC)
async def log_in(request: AnyRequest, services: GivenServices) -> PageResponse:
    """Log an operator in by a token with scope ``payments:operate``."""
    form = await read_form(request)
    require_own_site(request)
    wanted = form.get("next")
    session = operator_session(request, form.get("token"))
    if session is None:
        await count_guess(request)
        return _login_page(
            services, wanted, "This token is wrong, has expired, or lacks the scope payments:operate.", 401
        )
    answer = see_other(wanted if _NEXT.fullmatch(wanted) else f"{CONSOLE}/")
    answer.set_cookie(cookie_of(request, session, CONSOLE_COOKIE))
    return answer


def _login_page(services: Services, wanted: str, problem: str | None = None, status: int = 200) -> PageResponse:
    hint = services.settings.jwt_signing_key is not None and services.settings.in_development
    context = {"wanted": wanted if _NEXT.fullmatch(wanted) else "", "problem": problem, "hint": hint}
    return html("console/login.html", context, status=status)


@post(f"{CONSOLE}/logout", **BROWSER)
async def log_out(form: GivenForm) -> PageResponse:
    """Delete the token's cookie in this browser."""
    answer = see_other(LOGIN)
    answer.delete_cookie(CONSOLE_COOKIE, path=CONSOLE)
    return answer


PAGES: Final = (login_page, log_in, log_out)
DEPENDENCIES: Final = {"operator": Provide(provide_operator), "form": Provide(provide_form)}
