"""From templates to answers: what every page has around it, above all its content security policy.

Scripts and styles run only with the nonce of their answer; nothing is loaded from elsewhere, except Stripe.js where
Stripe is the gateway (docs.stripe.com/security/guide says from where).
"""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.response import Response

from booking_payments.domain.money import Money
from booking_payments.entrypoints.pages.assets import address_of

STRIPE_JS: Final = "https://js.stripe.com/v3/"
_STRIPE: Final = {
    "script-src": "https://*.js.stripe.com https://js.stripe.com",
    "frame-src": "https://*.js.stripe.com https://js.stripe.com https://hooks.stripe.com",
    "connect-src": "https://api.stripe.com",
}

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("booking_payments.entrypoints.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


PLAIN_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""For pages without scripts and forms."""


def policy(nonce: str, *, stripe: bool = False) -> str:
    """The content security policy of one answer."""
    sources = {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'",
        "style-src": f"'nonce-{nonce}'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    if stripe:
        sources |= {name: f"{sources.get(name, '')} {more}".strip() for name, more in _STRIPE.items()}
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def html(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    stripe: bool = False,
) -> Response[bytes]:
    """A page of ``template``, with a nonce and a policy of its own."""
    nonce = secrets.token_urlsafe(16)
    text = _ENVIRONMENT.get_template(template).render(**context, nonce=nonce)
    return _sent(text, status, {"Content-Security-Policy": policy(nonce, stripe=stripe), **(headers or {})})


def plain(template: str, context: Mapping[str, Any], *, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    """A page without scripts and forms: the same to the byte for the same content."""
    text = _ENVIRONMENT.get_template(template).render(**context, nonce="")
    return _sent(text, status, {"Content-Security-Policy": PLAIN_POLICY, **headers})


def _sent(text: str, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    # The framework adds the charset.
    return Response(content=text.encode(), status_code=status, media_type="text/html", headers=dict(headers))


# --- how values are written ------------------------------------------------------------------------------------


def money(amount: Money) -> str:
    """``1,250.00 USD``."""
    whole, point, fraction = amount.major().partition(".")
    return f"{int(whole):,}{point}{fraction} {amount.currency.code.upper()}"


def moment(at: datetime) -> str:
    """``1 Mar 2026, 12:00 UTC``."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def exact(at: datetime) -> str:
    """``2026-03-01 12:00:00.250 UTC``: for a timeline, in which much happens within a second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def words(name: str) -> str:
    """``payment_started`` and ``PaymentStarted`` as ``Payment started``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_.]", " ", name).lower()
    return spaced[:1].upper() + spaced[1:]


def percent(share: float | None) -> str:
    """``97.5 %``; a dash when there is nothing to say."""
    return "–" if share is None else f"{share * 100:.1f} %"  # noqa: RUF001 - the dash is one


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``12 min``, ``3.5 h``, ``2.0 days``; a dash when there is nothing to say."""
    if seconds is None:
        return "–"  # noqa: RUF001 - the dash is one
    if 0 < seconds < 0.1:
        return "< 0.1 s"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.{1 if seconds / size < 10 else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"


_ENVIRONMENT.filters.update(money=money, moment=moment, exact=exact, words=words, percent=percent, duration=duration)
_ENVIRONMENT.filters["iso"] = lambda at: at.astimezone(UTC).isoformat()
_ENVIRONMENT.globals.update(asset=address_of, stripe_js=STRIPE_JS)
