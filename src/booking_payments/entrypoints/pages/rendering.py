"""Render templates, with the headers that every page has, mainly its content security policy.

Scripts and styles run only with the nonce of their response. Nothing is loaded from other origins, except Stripe.js
when Stripe is the gateway (origins by docs.stripe.com/security/guide).
"""

import secrets
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.response import Response

from booking_payments.entrypoints.pages.assets import address_of
from booking_payments.presentation.formatting import duration, exact, method, moment, money, percent, words

_STRIPE_JS: Final = "https://js.stripe.com"
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


def policy(nonce: str, *, stripe_js: str | None = None) -> str:
    """Return the content security policy of one response."""
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
    if stripe_js is not None:
        sources |= {
            name: f"{sources.get(name, '')} {more}".strip() for name, more in _stripe_sources(stripe_js).items()
        }
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def _stripe_sources(script: str) -> Mapping[str, str]:
    """Return what Stripe's script needs; one that stands in for it, such as the sandbox's, has its own origin alone."""
    parts = urlsplit(script)
    origin = f"{parts.scheme}://{parts.netloc}"
    return _STRIPE if origin == _STRIPE_JS else {"script-src": origin, "connect-src": origin}


def html(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    stripe_js: str | None = None,
) -> Response[bytes]:
    """Render ``template`` with a new nonce and the policy for it."""
    nonce = secrets.token_urlsafe(16)
    text = _ENVIRONMENT.get_template(template).render(**context, nonce=nonce, stripe_js=stripe_js)
    return _sent(text, status, {"Content-Security-Policy": policy(nonce, stripe_js=stripe_js), **(headers or {})})


def plain(template: str, context: Mapping[str, Any], *, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    """Render a page without scripts and forms: equal content gives equal bytes."""
    text = _ENVIRONMENT.get_template(template).render(**context, nonce="")
    return _sent(text, status, {"Content-Security-Policy": PLAIN_POLICY, **headers})


def _sent(text: str, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    # The framework adds the charset.
    return Response(content=text.encode(), status_code=status, media_type="text/html", headers=dict(headers))


_ENVIRONMENT.filters.update(money=money, moment=moment, exact=exact, words=words, percent=percent, duration=duration)
_ENVIRONMENT.filters["method"] = method
_ENVIRONMENT.filters["iso"] = lambda at: at.astimezone(UTC).isoformat()
_ENVIRONMENT.globals.update(asset=address_of)
