"""Browser sessions: what a cookie holds that scripts cannot read.

The checkout's cookie contains the token of the payment link itself, so its session ends when the token expires. The
console's contains the secret of a stored session. Each form carries a value derived from either. Another site does not
have it, so it cannot forge a form.
"""

import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from litestar import Request
from litestar.datastructures import Cookie

from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.auth import Principal, authenticate
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.entrypoints.pages.customer_texts import LINK_TOO_OLD, OTHER_BROWSER
from booking_payments.entrypoints.pages.forms import Form
from booking_payments.presentation.origins import allowed_origins, origin_of

AnyRequest = Request[Any, Any, Any]

CHECKOUT_COOKIE: Final = "booking_payments_checkout"
CONSOLE_COOKIE: Final = "booking_payments_console"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
_OWN_SITE: Final = frozenset({"same-origin", "none"})


@frozen(kw_only=True)
class Session:
    """A principal, the token or secret that proves it, and the path of its cookie.

    ``form_secret`` is what the values of forms are derived from; None: the token.
    """

    principal: Principal
    token: str = field(repr=False)
    path: str
    form_secret: str | None = field(default=None, repr=False)

    @property
    def form_token(self) -> str:
        """The value that every form of this session carries."""
        secret = self.form_secret or self.token
        return hmac.new(secret.encode(), f"form {self.path}".encode(), hashlib.sha256).hexdigest()

    def require_own(self, request: AnyRequest, form: Form) -> None:
        """Raise ``RequestRefused`` (403) unless the form was made for this session and sent from a page of this
        service.
        """
        if not hmac.compare_digest(form.get(FORM_TOKEN).encode(), self.form_token.encode()):
            raise _forged()
        require_own_site(request)


def require_own_site(request: AnyRequest) -> None:
    """Raise ``RequestRefused`` (403) when the browser states that another site sent the request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITE:
        raise _forged()


def require_sent_from_here(request: AnyRequest) -> None:
    """Check a form that has no form token: it has to come from a page of this service.

    Browsers send ``Sec-Fetch-Site`` under TLS and to localhost only, and old ones never. Without it ``Origin`` or
    ``Referer`` has to name this service: ``PUBLIC_URL``, or the host to which the request was sent.

    Raises:
        RequestRefused: (403) it comes from elsewhere, or the browser does not say where from.
    """
    require_own_site(request)
    if "sec-fetch-site" in request.headers:
        return
    said = request.headers.get("origin") or request.headers.get("referer") or ""
    settings = request.app.state["services"].settings
    schemes = ("https",) if _by_tls(request) else ("https", "http")
    own = (settings.public_url or "", *(f"{scheme}://{request.headers.get('host', '')}" for scheme in schemes))
    if origin_of(said) not in allowed_origins(own):
        raise RequestRefused(403, "form_not_ours", _NOT_SENT_FROM_HERE)


_NOT_SENT_FROM_HERE: Final = (
    "This form was not sent from the log-in page under the address of this service, or the browser does not say so. "
    "Open the log-in page and try again. If you run this service: PUBLIC_URL must be its address in the browser."
)


def _forged() -> RequestRefused:
    return RequestRefused(403, "form_not_ours", "Go back, load the page again, and send the form once more.")


def principal_of(request: AnyRequest, token: str | None) -> Principal | None:
    """Return the token's principal, or None when the token is missing, invalid or expired."""
    if not token:
        return None
    try:
        return authenticate(f"Bearer {token}", request.app.state["token_rules"])
    except RequestRefused:
        return None


# --- checkout --------------------------------------------------------------------------------------------------


def checkout_session(request: AnyRequest, booking_id: str) -> Session:
    """Return the session of a customer, by the token in the URL or in the cookie.

    Raises:
        RequestRefused: (401) without a valid token. This comes before the lookup of the booking, so it does not reveal
            whether the booking exists.
    """
    path = f"/checkout/{booking_id}"
    given = dict(parsing.query_pairs(request.scope)).get("token") if request.method == "GET" else None
    for token in (given, parsing.cookie(request.scope, CHECKOUT_COOKIE)):
        principal = principal_of(request, token)
        if principal is not None and token:
            return Session(principal=principal, token=token, path=path)
    if comes_back(request):
        # A bank's app may return to another browser than the one the customer started in, which has no cookie.
        raise RequestRefused(401, "token_missing", OTHER_BROWSER)
    raise RequestRefused(401, "token_missing", LINK_TOO_OLD)


def comes_back(request: AnyRequest) -> bool:
    """Return whether the gateway may have redirected the customer here. Anyone can open such a URL, so it only
    justifies a read from the gateway and proves nothing about the payment.
    """
    return request.method == "GET" and "redirect_status" in dict(parsing.query_pairs(request.scope))


def cookie_of(request: AnyRequest, session: Session, name: str) -> Cookie:
    """Return the session's cookie: limited to its pages, not readable by scripts, and not sent with forms of other
    sites.
    """
    return Cookie(
        key=name,
        value=session.token,
        path=session.path,
        httponly=True,
        samesite="lax",
        secure=_by_tls(request),
    )


def _by_tls(request: AnyRequest) -> bool:
    """Return whether the browser uses TLS, by the scheme or a header. The header is not trusted for more than this: it
    can only make the cookie stricter.
    """
    said = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
    settings = request.app.state["services"].settings
    return request.scope["scheme"] == "https" or said == "https" or bool(settings.livemode)


# --- where the browser is ----------------------------------------------------------------------------------------


def public_origin(request: AnyRequest) -> str | None:
    """Return the origin under which the customer's browser reaches this service, or None when it cannot be determined.

    It is ``PUBLIC_URL``, or the request's ``Origin`` header. The ``Host`` header alone is not used: proxies rewrite it,
    and a client may send any value. A page cannot forge ``Origin``, which the browser writes; ``Sec-Fetch-Site:
    same-origin`` confirms that the request was sent to this origin, even if a proxy rewrites the host. Browsers send
    ``Sec-Fetch-Site`` only under TLS and to localhost; without it, both headers have to name the same host.
    """
    settings = request.app.state["services"].settings
    if settings.public_url:
        return str(settings.public_url)
    origin = request.headers.get("origin", "")
    if origin_of(origin) is None or urlsplit(origin).path:
        return None
    site = request.headers.get("sec-fetch-site")
    same = urlsplit(origin).netloc == request.headers.get("host") if site is None else site == "same-origin"
    return origin if same else None


# --- console ---------------------------------------------------------------------------------------------------

CONSOLE: Final = "/console"


@frozen(kw_only=True)
class ConsoleCookie:
    """A cookie of the console.

    Attributes:
        name: its name; in a browser that uses TLS with the prefix ``__Host-``, so that a page of another host of the
            same domain cannot set it.
        path: where it is sent.
        secure: whether it is sent over TLS only.
    """

    name: str
    path: str
    secure: bool

    def value_in(self, request: AnyRequest) -> str | None:
        """Return the value that the browser sent; None without one."""
        return parsing.cookie(request.scope, self.name)

    def holding(self, value: str, max_age_s: int | None = None) -> Cookie:
        """Return the cookie with a value: not readable by scripts, not sent with forms of other sites. Without
        ``max_age_s`` it ends with the browser."""
        return Cookie(
            key=self.name,
            value=value,
            path=self.path,
            httponly=True,
            samesite="lax",
            secure=self.secure,
            max_age=max_age_s,
        )

    def removed(self) -> Cookie:
        """Return the cookie as a browser accepts it to remove it, which needs the attributes that set it."""
        return self.holding("", max_age_s=0)


def console_cookie(request: AnyRequest, name: str = CONSOLE_COOKIE, path: str = CONSOLE) -> ConsoleCookie:
    """Return the cookie called ``name``, as this browser's connection allows it."""
    secure = _by_tls(request) or request.app.state["services"].settings.own_address.startswith("https://")
    return ConsoleCookie(name=f"__Host-{name}" if secure else name, path="/" if secure else path, secure=secure)
