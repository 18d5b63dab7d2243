"""The desk: who works at it, the frame of every page, and coming and going."""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from litestar import get, post
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http.frame import request_id_of
from booking_payments.entrypoints.pages.forms import Form, read_form
from booking_payments.entrypoints.pages.page import (
    BROWSER,
    PUBLIC,
    Answer,
    AnyRequest,
    GivenForm,
    GivenServices,
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
class Desk:
    """An operator at work."""

    services: Services
    session: Session
    caller: Caller

    @property
    def reader(self) -> render.Reader:
        return render.Reader(subject=self.session.principal.subject, operator=True)

    def page(self, template: str, here: str, context: Mapping[str, Any], *, status: int = 200) -> Answer:
        """A page of the console; ``here`` is the part of it that is open."""
        frame = {
            "here": here,
            "operator": self.session.principal.subject,
            "form_token": self.session.form_token,
            "test_mode": not self.services.settings.livemode,
            "gateway": self.services.gateway.name,
            "now": self.services.clock.now(),
        }
        return html(template, {**frame, **context}, status=status)


def at_desk(request: AnyRequest, services: Services) -> Desk:
    """The operator who is logged in; everybody else is sent to the door."""
    session = operator_session(request)
    if session is None:
        wanted = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}".rstrip("?")
        asked = request.method == "GET" and wanted.rstrip("/") != CONSOLE and _NEXT.fullmatch(wanted)
        raise SeeOther(f"{LOGIN}?next={_quoted(wanted)}" if asked else LOGIN)
    caller = Caller.operator_of(session.principal.subject, request_id_of(request.scope))
    return Desk(services=services, session=session, caller=caller)


async def provide_desk(request: AnyRequest, services: GivenServices) -> Desk:
    """As ``at_desk``."""
    return at_desk(request, services)


GivenDesk = NamedDependency[SkipValidation[Desk]]


async def provide_form(request: AnyRequest, desk: GivenDesk) -> Form:
    """The form that an operator has sent. Raises 403 for one that is none of ours."""
    form = await read_form(request)
    desk.session.require_own(request, form)
    return form


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("&", "%26").replace("?", "%3F").replace("=", "%3D").replace("+", "%2B")


@get(LOGIN, **PUBLIC)
async def door(services: GivenServices, search: GivenForm) -> Answer:
    """The login page."""
    return _door(services, search.get("next"))


@post(LOGIN, **PUBLIC)
async def enter(request: AnyRequest, services: GivenServices) -> Answer:
    """Let an operator in by a token with scope ``payments:operate``."""
    form = await read_form(request)
    require_own_site(request)
    wanted = form.get("next")
    session = operator_session(request, form.get("token"))
    if session is None:
        await count_guess(request)
        return _door(services, wanted, "This token is wrong, has expired, or lacks the scope payments:operate.", 401)
    answer = see_other(wanted if _NEXT.fullmatch(wanted) else f"{CONSOLE}/")
    answer.set_cookie(cookie_of(request, session, CONSOLE_COOKIE))
    return answer


def _door(services: Services, wanted: str, problem: str | None = None, status: int = 200) -> Answer:
    hint = services.settings.jwt_signing_key is not None and services.settings.in_development
    context = {"wanted": wanted if _NEXT.fullmatch(wanted) else "", "problem": problem, "hint": hint}
    return html("console/login.html", context, status=status)


@post(f"{CONSOLE}/logout", **BROWSER)
async def leave(form: GivenForm) -> Answer:
    """Forget the token in this browser."""
    answer = see_other(LOGIN)
    answer.delete_cookie(CONSOLE_COOKIE, path=CONSOLE)
    return answer


PAGES: Final = (door, enter, leave)
DEPENDENCIES: Final = {"desk": Provide(provide_desk), "form": Provide(provide_form)}
