"""The form by which a customer pays at one gateway, in templates and scripts of that gateway."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader
from markupsafe import Markup

from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.ports.gateway_plugin import SOURCES, CheckoutForm, FormFacts
from booking_payments.ports.gateway_settings import web_address

FOLDER: Final = "checkout"
"""The folder of a gateway's package in which its templates and scripts are."""

ORIGINAL: Final = "original"
"""The prefix by which a replacing template extends the built-in one: ``original/checkout.html``."""

_BUTTON: Final = {True: "gateway_act.html", False: "gateway_pay.html"}
"""The templates of a gateway without its own, by whether the customer has to act."""


@frozen(kw_only=True)
class OfferedForm:
    """A gateway's form, ready to be shown.

    Attributes:
        gateway: the gateway's name.
        title: the gateway's name for customers.
        form: the form as the plugin declares it.
        settings: the settings of the gateway.
        acting: the customer has to act on the payment; otherwise they choose how to pay.
        facts: what the templates may show of the payment.
        hidden: the hidden fields that every form sends.
        path: the address of the checkout page.
    """

    gateway: str
    title: str
    form: CheckoutForm
    settings: Any
    acting: bool
    facts: FormFacts
    hidden: Mapping[str, str]
    path: str

    @property
    def sources(self) -> Mapping[str, str]:
        """What the policy of the page has to allow for this form, by directive.

        Raises ``ValueError`` for a directive that keeps others out and is no gateway's.
        """
        found = self.form.sources(self.settings)
        if unknown := found.keys() - SOURCES:
            raise ValueError(f"a checkout form adds no sources to {', '.join(sorted(unknown))}")
        return found

    def scripts(self, nonce: str) -> Markup:
        """The elements that load the form's scripts."""
        remote = [
            Markup('<script src="%s" defer></script>') % address for address in self.form.remote_scripts(self.settings)
        ]
        loaded = Markup('<script src="%s" nonce="%s" defer></script>')
        own = [loaded % (script_address(self.gateway, self.form, name), nonce) for name in self.form.scripts]
        return Markup("\n").join([*remote, *own])

    def render(self, pages: Environment, nonce: str, texts: Mapping[str, Any], templates: Path | None = None) -> Markup:
        """The form, with the filters of ``pages``. Templates in the folder ``templates``/GATEWAY take precedence."""
        own = self.form.package
        template = (self.form.act if self.acting else self.form.pay) if own else _BUTTON[self.acting]
        environment = _environment(pages, own, templates and templates / self.gateway) if own else pages
        fields = [Markup('<input type="hidden" name="%s" value="%s">') % each for each in self.hidden.items()]
        context = {
            **texts,
            "path": self.path,
            "price": self.facts.price,
            "title": self.title,
            "method": next(iter(self.form.methods), ""),
            "address": _address(self.facts.next_action),
            **self.form.context(self.settings, self.facts),
            "fields": Markup("\n    ").join(fields),
            "nonce": nonce,
        }
        return Markup(environment.get_template(template).render(context))  # noqa: S704 - rendered with autoescape


@cache
def _environment(pages: Environment, package: str, folder: Path | None) -> Environment:
    """Return the environment of one gateway's form: templates in ``folder`` take precedence over the gateway's."""
    own = PackageLoader(package, FOLDER)
    if folder is None:
        return pages.overlay(loader=own)
    return pages.overlay(loader=ChoiceLoader([FileSystemLoader(folder), PrefixLoader({ORIGINAL: own}), own]))


def _address(next_action: Mapping[str, Any]) -> str | None:
    """Where the customer goes on at the gateway; None where the gateway says no web address."""
    try:
        return web_address(str(next_action.get("redirect_to_url", {}).get("url")))
    except ValueError:
        return None


def script_address(gateway: str, form: CheckoutForm, name: str) -> str:
    """Where the script ``name`` of a form is served. The address changes with its content."""
    return f"/pages/{_version(script(form, name))}/{gateway}/{name}"


def script(form: CheckoutForm, name: str) -> bytes:
    """The content of a script. Raises ``RequestRefused`` (404) for a name that the form does not declare."""
    if form.package is None or name not in form.scripts:
        raise RequestRefused(404, "not_found", "there is no such file")
    return _content(form.package, name)


def is_current(version: str, content: bytes) -> bool:
    """Whether an address names the version of this content."""
    return version == _version(content)


@cache
def _content(package: str, name: str) -> bytes:
    return (files(package) / FOLDER / name).read_bytes()


@cache
def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
