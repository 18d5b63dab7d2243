"""Render templates, with the headers that every page has, mainly its content security policy.

Scripts and styles run only with the nonce of their response. Nothing is loaded from other origins, except by
the checkout form of a gateway that declares them.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.response import Response

from booking_payments.entrypoints.pages.assets import address_of
from booking_payments.entrypoints.pages.gateway_forms import OfferedForm
from booking_payments.presentation.formatting import duration, exact, method, moment, money, percent, words

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


def policy(nonce: str, more: Mapping[str, str] | None = None) -> str:
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
    sources |= {name: f"{sources.get(name, '')} {others}".strip() for name, others in (more or {}).items()}
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def html(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form: OfferedForm | None = None,
) -> Response[bytes]:
    """Render ``template`` with a new nonce and the policy for it.

    ``form`` is the form of a gateway that the page contains. The template reads it as ``gateway_form``, and its scripts
    as ``gateway_scripts``.
    """
    nonce = secrets.token_urlsafe(16)
    parts = {
        "gateway_form": form.render(_ENVIRONMENT, nonce) if form else "",
        "gateway_scripts": form.scripts(nonce) if form else "",
    }
    text = _ENVIRONMENT.get_template(template).render(**context, **parts, nonce=nonce)
    allowed = policy(nonce, form.sources if form else None)
    return _sent(text, status, {"Content-Security-Policy": allowed, **(headers or {})})


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
