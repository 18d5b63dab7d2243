"""Render templates, with the headers that every page has, mainly its content security policy.

Scripts and styles run only with the nonce of their response. Nothing is loaded from other origins, except by
the checkout form of a gateway that declares them.
"""

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateSyntaxError,
    pass_context,
)
from jinja2.runtime import Context
from litestar.response import Response
from markupsafe import Markup, escape

from booking_payments.domain.money import Money
from booking_payments.entrypoints.pages.appearance import Appearance
from booking_payments.entrypoints.pages.assets import address_of
from booking_payments.entrypoints.pages.gateway_forms import ORIGINAL, OfferedForm
from booking_payments.entrypoints.pages.language import ENGLISH, Language
from booking_payments.presentation.formatting import (
    duration,
    exact,
    method,
    moment,
    money,
    percent,
    with_printed_amounts,
    words,
)

_OWN_TEMPLATES: Final = PackageLoader("booking_payments.entrypoints.pages")

_ENVIRONMENT: Final = Environment(
    loader=_OWN_TEMPLATES,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_PLAIN_SOURCES: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
"""For pages without scripts and forms."""


@cache
def environment_with(folder: Path | None) -> Environment:
    """Return the environment whose templates in ``folder`` take precedence over ours; ours alone for None."""
    if folder is None:
        return _ENVIRONMENT
    ours = PrefixLoader({ORIGINAL: _OWN_TEMPLATES})
    return _ENVIRONMENT.overlay(loader=ChoiceLoader([FileSystemLoader(folder), ours, _OWN_TEMPLATES]))


def policy(nonce: str, *more: Mapping[str, str]) -> str:
    """Return the content security policy of one response. ``more`` are further sources by directive."""
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
    return _joined(sources, *more)


def _joined(sources: Mapping[str, str], *more: Mapping[str, str]) -> str:
    added = dict(sources)
    for name, others in (pair for each in more for pair in each.items()):
        added[name] = f"{added.get(name, '')} {others}".strip()
    return "; ".join(f"{name} {value}" for name, value in added.items())


def html(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form: OfferedForm | None = None,
    appearance: Appearance | None = None,
    language: Language | None = None,
) -> Response[bytes]:
    """Render ``template`` with a new nonce and the policy for it.

    ``form`` is the form of a gateway that the page contains. The template reads it as ``gateway_form``, and its scripts
    as ``gateway_scripts``. ``appearance`` is given for pages that customers see: the template reads it as ``merchant``,
    and its own folder of templates takes precedence. ``language`` is that of the customer; None: English for operators.
    """
    nonce = secrets.token_urlsafe(16)
    templates = appearance.templates if appearance else None
    environment = environment_with(templates)
    texts = _texts(language)
    parts = {
        **texts,
        "merchant": appearance or Appearance(),
        "gateway_form": form.render(environment, nonce, texts, templates) if form else "",
        "gateway_scripts": form.scripts(nonce) if form else "",
    }
    text = environment.get_template(template).render(**context, **parts, nonce=nonce)
    allowed = policy(nonce, form.sources if form else {}, appearance.sources if appearance else {})
    return _sent(text, status, {"Content-Security-Policy": allowed, **(headers or {})})


def plain(
    template: str,
    context: Mapping[str, Any],
    *,
    status: int,
    headers: Mapping[str, str],
    appearance: Appearance | None = None,
    language: Language | None = None,
) -> Response[bytes]:
    """Render a page without scripts and forms: equal content gives equal bytes. The rest is as for ``html``."""
    environment = environment_with(appearance.templates if appearance else None)
    parts = {**_texts(language), "merchant": appearance or Appearance(), "nonce": ""}
    text = environment.get_template(template).render(**context, **parts)
    allowed = _joined(_PLAIN_SOURCES, appearance.sources if appearance else {})
    return _sent(text, status, {"Content-Security-Policy": allowed, **headers})


def wrong_templates(folder: Path) -> Iterator[str]:
    """Yield an error text for each template in ``folder`` with a syntax error, with its name and line."""
    environment = environment_with(folder)
    for name in FileSystemLoader(folder).list_templates():
        try:
            if name.endswith(".html"):
                environment.get_template(name)
        except TemplateSyntaxError as error:
            yield f"{name}, line {error.lineno}: {error.message}"
        except UnicodeDecodeError:
            yield f"{name}: must be a text file in UTF-8"


def _sent(text: str, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    # The framework adds the charset.
    return Response(content=text.encode(), status_code=status, media_type="text/html", headers=dict(headers))


@pass_context
def _money(context: Context, amount: Money) -> str:
    language: Language | None = context.get("language")
    return language.money(amount) if language else money(amount)


@pass_context
def _moment(context: Context, at: datetime) -> str:
    language: Language | None = context.get("language")
    return language.moment(at) if language else moment(at)


def _texts(language: Language | None) -> dict[str, Any]:
    """Return what templates translate with: ``_`` and ``ngettext``, whose results are escaped."""
    of = language or ENGLISH

    def translated(text: str, **values: object) -> Markup:
        return escape(of.gettext(text)) % values if values else escape(of.gettext(text))

    def counted(one: str, many: str, count: int) -> Markup:
        return escape(of.ngettext(one, many, count))

    return {"language": language, "_": translated, "ngettext": counted}


_ENVIRONMENT.filters.update(money=_money, moment=_moment, exact=exact, words=words, percent=percent, duration=duration)
_ENVIRONMENT.filters.update(method=method, with_printed_amounts=with_printed_amounts)
_ENVIRONMENT.filters["iso"] = lambda at: at.astimezone(UTC).isoformat()
_ENVIRONMENT.globals.update(asset=address_of)
