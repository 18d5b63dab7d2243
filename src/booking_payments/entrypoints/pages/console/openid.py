"""Log-in at the OpenID provider: the way there, and the callback.

All that belongs to one log-in is derived from a secret in a cookie of the browser that began it: ``state``, ``nonce``
and the code verifier. So a callback is accepted in that browser only, and only once: the cookie is removed with it, and
nothing is stored for browsers that never come back.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from urllib.parse import quote

import structlog
from litestar import get

from booking_payments.application.console_sessions import new_secret
from booking_payments.entrypoints.http.middleware import request_id_of
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.console.operator_context import (
    BY_PROVIDER,
    LOGIN,
    begin_session,
    is_current,
    is_due,
    local_page,
)
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.entrypoints.pages.page import (
    PUBLIC,
    AnyRequest,
    GivenForm,
    GivenServices,
    PageResponse,
    count_guess,
    count_log_in,
    see_other,
)
from booking_payments.entrypoints.pages.rendering import html
from booking_payments.entrypoints.pages.sessions import CONSOLE, ConsoleCookie, console_cookie
from booking_payments.ports.identity_provider import (
    IdentityProvider,
    LoggedIn,
    LogInRejected,
    LogInSecrets,
    ProviderUnavailable,
    TooManyLogIns,
)
from booking_payments.runtime.services import Services

log = structlog.get_logger("booking_payments.console")

CALLBACK: Final = f"{BY_PROVIDER}/callback"
COOKIE: Final = "booking_payments_log_in"
LASTS_S: Final = 900
"""Seconds that an operator has for the provider's pages."""
LONGEST_PATH: Final = 1000
"""Characters of an address to come back to; a longer one leads to the first page."""
_HELD: Final = re.compile(r"(?P<secret>[A-Za-z0-9_\-]{43})(?P<wanted>[A-Za-z0-9_\-]{0,1400})", re.ASCII)
"""The cookie's value: the secret, and the page to come back to in base64."""
_FAULTS: Final = ("server_error", "temporarily_unavailable")
"""Errors of RFC 6749, section 4.1.2.1, that say nothing of the operator."""
_CODE: Final = re.compile(r"[ -~]{1,4096}", re.ASCII)
"""RFC 6749, appendix A.11."""


def _base64(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _text_in(encoded: str) -> str:
    """Return the text; empty when the cookie was not made here."""
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
    except ValueError:
        return ""


def secrets_of(secret: str) -> LogInSecrets:
    """Return the values of the log-in that this secret began. None of them shows another, or the secret."""

    def derived(purpose: str) -> str:
        digest = hmac.new(secret.encode(), f"log-in {purpose}".encode(), hashlib.sha256).digest()
        return _base64(digest)

    return LogInSecrets(state=derived("state"), nonce=derived("nonce"), code_verifier=derived("verifier"))


def _provider(services: Services) -> IdentityProvider:
    if services.identity_provider is None:
        raise RequestRefused(404, "not_found", "there is no OpenID provider here")
    return services.identity_provider


@get(BY_PROVIDER, **PUBLIC)
async def start(request: AnyRequest, services: GivenServices, search: GivenForm) -> PageResponse:
    """Send the browser to the provider. A link on another site leads to the login page only."""
    provider, wanted = _provider(services), local_page(request, search.get("next"))
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return see_other(f"{LOGIN}?next={quote(wanted, safe='/')}" if search.get("next") else LOGIN)
    secret = new_secret()
    try:
        url = await provider.log_in_url(secrets_of(secret))
    except ProviderUnavailable as error:
        return await _without_provider(request, services, wanted, error)
    answer = see_other(url)
    back = wanted if len(wanted) <= LONGEST_PATH else ""
    answer.set_cookie(_cookie(request).holding(f"{secret}{_base64(back.encode())}", max_age_s=LASTS_S))
    return answer


async def _without_provider(
    request: AnyRequest, services: Services, wanted: str, error: ProviderUnavailable | TooManyLogIns
) -> PageResponse:
    """Let a logged-in operator go on until the session ends; tell others how to log in."""
    if isinstance(error, ProviderUnavailable):
        log.warning("console.provider_unavailable", reason=str(error))
    else:
        log.warning("console.too_many_log_ins")
    sessions = services.operator_sessions
    stored = await sessions.use(console_cookie(request).value_in(request) or "")
    if stored is not None and is_current(stored, services):
        await sessions.postpone_check(stored)
        return see_other(wanted)
    return _problem_page("busy" if isinstance(error, TooManyLogIns) else "unavailable", 503)


@get(CALLBACK, **PUBLIC)
async def callback(request: AnyRequest, services: GivenServices, search: GivenForm) -> PageResponse:
    """Log the operator in whom the provider names, in the browser that began it."""
    provider, cookie = _provider(services), _cookie(request)
    held = _HELD.fullmatch(cookie.value_in(request) or "")
    secrets = secrets_of(held["secret"]) if held else None
    if held is None or secrets is None or not hmac.compare_digest(search.get("state").encode(), secrets.state.encode()):
        # The cookie stays: it may belong to a log-in in another tab, which began later.
        await count_guess(request)
        is_logged_in = await _was_checked_elsewhere(request, services)
        return see_other(f"{CONSOLE}/") if is_logged_in else _problem_page("other_browser", 400)
    wanted = local_page(request, _text_in(held["wanted"]))
    try:
        if search.get("error") in _FAULTS:
            raise ProviderUnavailable(f"the provider answered {search.get('error')}")
        if search.get("error"):
            return _finished(cookie, _declined(search))
        code = search.get("code")
        if not _CODE.fullmatch(code):
            raise LogInRejected("the callback has no code")
        # Before the provider is asked, whatever it will say: each made-up code causes a request to it.
        await count_log_in(request)
        logged_in = await provider.log_in(code, secrets, search.get("iss") or None)
    except LogInRejected as error:
        _log_rejected(str(error))
        return _finished(cookie, _problem_page("rejected", 400))
    except (ProviderUnavailable, TooManyLogIns) as error:
        return _finished(cookie, await _without_provider(request, services, wanted, error))
    return _finished(cookie, await _logged_in(request, services, logged_in, wanted))


async def _was_checked_elsewhere(request: AnyRequest, services: Services) -> bool:
    """Return whether a log-in in another tab was finished already, as when all tabs of a window ask the provider."""
    stored = await services.operator_sessions.use(console_cookie(request).value_in(request) or "")
    return stored is not None and is_current(stored, services) and not is_due(stored, services.clock.now())


async def _logged_in(request: AnyRequest, services: Services, logged_in: LoggedIn, wanted: str) -> PageResponse:
    from booking_payments.adapters.openid.sealing import sealed

    if not logged_in.may_read:
        await services.operator_sessions.refuse(logged_in.operator, request_id_of(request.scope))
        log.warning("console.role_missing", subject=logged_in.operator.subject)
        return _problem_page("no_role", 403, logged_in.operator.label)
    secret = new_secret()
    return await begin_session(
        request,
        services,
        logged_in.operator,
        may_act=logged_in.may_act,
        wanted=wanted,
        secret=secret,
        sealed_id_token=sealed(logged_in.id_token, secret),
    )


def _declined(search: Form) -> PageResponse:
    """The page for an error that the provider sent; its text is not shown, since any site can send one."""
    code = search.get("error")
    _log_rejected(f"the provider answered {code[:80]!r}")
    return _problem_page("denied" if code == "access_denied" else "rejected", 403 if code == "access_denied" else 400)


def _log_rejected(reason: str) -> None:
    log.warning("console.log_in_rejected", reason=reason)


def _cookie(request: AnyRequest) -> ConsoleCookie:
    return console_cookie(request, COOKIE, BY_PROVIDER)


def _finished(cookie: ConsoleCookie, answer: PageResponse) -> PageResponse:
    answer.set_cookie(cookie.removed())
    return answer


def _problem_page(what: str, status: int, operator: str | None = None) -> PageResponse:
    return html("console/log_in_problem.html", {"what": what, "operator": operator}, status=status)


PAGES: Final = (start, callback)
