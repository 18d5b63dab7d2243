"""Who sits in front of the browser: the token of a link or a login, kept in a cookie that no script can read.

There is no session on the server: the cookie is the token itself, so it ends when the token does. Forms carry a value
that is made of the token; who does not hold the token can't make it, so no other site can send a form of ours.
"""

import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from litestar import Request
from litestar.datastructures import Cookie

from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import OPERATE, Principal, authenticate
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.forms import Form

AnyRequest = Request[Any, Any, Any]

CHECKOUT_COOKIE: Final = "booking_payments_checkout"
CONSOLE_COOKIE: Final = "booking_payments_console"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
_OWN_SITE: Final = frozenset({"same-origin", "none"})


@frozen(kw_only=True)
class Session:
    """A principal, the token that proves it, and where its cookie lives."""

    principal: Principal
    token: str = field(repr=False)
    path: str

    @property
    def form_token(self) -> str:
        """What every form of this session carries."""
        return hmac.new(self.token.encode(), f"form {self.path}".encode(), hashlib.sha256).hexdigest()

    def require_own(self, request: AnyRequest, form: Form) -> None:
        """403 unless the form was made by us for this session, and sent from a page of ours."""
        if not hmac.compare_digest(form.get(FORM_TOKEN).encode(), self.form_token.encode()):
            raise _forged()
        require_own_site(request)


def require_own_site(request: AnyRequest) -> None:
    """403 when the browser says that another site has sent the request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITE:
        raise _forged()


def _forged() -> RequestRefused:
    return RequestRefused(403, "form_not_ours", "Go back, load the page again, and send the form once more.")


def principal_of(request: AnyRequest, token: str | None) -> Principal | None:
    """Whose token this is; None for one that is missing, wrong or over."""
    if not token:
        return None
    try:
        return authenticate(f"Bearer {token}", request.app.state["token_rules"])
    except RequestRefused:
        return None


# --- checkout --------------------------------------------------------------------------------------------------


def checkout_session(request: AnyRequest, booking_id: str) -> Session:
    """The customer of a checkout, by the token of the address or of the cookie. Raises 401 without one: before it is
    known whether there is such a booking."""
    path = f"/checkout/{booking_id}"
    given = dict(parsing.query_pairs(request.scope)).get("token") if request.method == "GET" else None
    for token in (given, parsing.cookie(request.scope, CHECKOUT_COOKIE)):
        principal = principal_of(request, token)
        if principal is not None and token:
            return Session(principal=principal, token=token, path=path)
    if comes_back(request):
        # A bank's app may come back to another browser than the customer has left from, without the cookie.
        text = "You come back from your bank. Open your payment link once more to see how your payment stands."
        raise RequestRefused(401, "token_missing", f"{text} You will not be charged twice.")
    raise RequestRefused(401, "token_missing", "The link is incomplete or too old. Ask where you booked for a new one.")


def comes_back(request: AnyRequest) -> bool:
    """Whether the address looks like that of a customer whom the gateway sends back. Anybody can write such an address:
    it tells that asking is worth it, and nothing about the payment."""
    return request.method == "GET" and "redirect_status" in dict(parsing.query_pairs(request.scope))


def cookie_of(request: AnyRequest, session: Session, name: str) -> Cookie:
    """The cookie that keeps the session: only for its own pages, out of reach of scripts and of other sites' forms."""
    return Cookie(
        key=name,
        value=session.token,
        path=session.path,
        httponly=True,
        samesite="lax",
        secure=_by_tls(request),
    )


def _by_tls(request: AnyRequest) -> bool:
    """Whether the browser has come by TLS, as far as anybody says so: this can only make a cookie stricter."""
    said = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
    settings = request.app.state["services"].settings
    return request.scope["scheme"] == "https" or said == "https" or bool(settings.livemode)


# --- where the browser is ----------------------------------------------------------------------------------------


def public_origin(request: AnyRequest) -> str | None:
    """Where the customer's browser reaches this service: ``PUBLIC_URL``, or what the browser says; None when neither
    does.

    The ``Host`` header counts for nothing by itself: proxies rewrite it, and who sends it may write anything there.
    ``Origin`` is written by the browser, and no page can forge it; ``Sec-Fetch-Site: same-origin`` says that it is the
    origin that the request was sent to, whatever a proxy makes of the host. A browser that does not send the latter
    (only under TLS and on this machine do all of them) has to name the host in both headers.
    """
    settings = request.app.state["services"].settings
    if settings.public_url:
        return str(settings.public_url)
    origin = request.headers.get("origin", "")
    if parsing.origin_of(origin) is None or urlsplit(origin).path:
        return None
    site = request.headers.get("sec-fetch-site")
    same = urlsplit(origin).netloc == request.headers.get("host") if site is None else site == "same-origin"
    return origin if same else None


# --- console ---------------------------------------------------------------------------------------------------

CONSOLE: Final = "/console"


def operator_session(request: AnyRequest, token: str | None = None) -> Session | None:
    """The operator by ``token``, or by the cookie; None without one, or without scope ``payments:operate``."""
    given = token if token is not None else parsing.cookie(request.scope, CONSOLE_COOKIE)
    principal = principal_of(request, given)
    if principal is None or not given or OPERATE not in principal.scopes:
        return None
    return Session(principal=principal, token=given, path=CONSOLE)
