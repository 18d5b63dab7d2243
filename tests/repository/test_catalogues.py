"""The catalogues of the checkout: every text of templates, scripts and code is translated, in each language."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from tools import catalogues

from booking_payments.application.checking_out import CheckoutStage
from booking_payments.domain.booking import Payability
from booking_payments.domain.declines import Advice
from booking_payments.domain.refunds import QuoteReason
from booking_payments.entrypoints.pages import checkout, customer_texts
from booking_payments.entrypoints.pages.language import wrong_placeholders
from booking_payments.runtime.plugins import plugin_named

ROOT = catalogues.ROOT
LANGUAGES = {"ar", "de", "es", "fr", "it", "ja", "nl", "pl", "pt"}
FILES = sorted(catalogues.FOLDER.glob("*.po"))
PAGES = ROOT / "src/booking_payments/entrypoints/pages"
GATEWAYS = ROOT / "src/booking_payments/adapters/gateways"


def test_there_is_a_catalogue_for_each_language_except_english() -> None:
    assert {path.stem for path in FILES} == LANGUAGES


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_text_is_translated(path: Path) -> None:
    assert list(catalogues.missing(catalogues.catalogue(path))) == []


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_catalogue_has_the_texts_of_the_source_and_no_other(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == catalogues.updated(path), "run `make catalogues`"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_translation_has_the_placeholders_of_its_text(path: Path) -> None:
    assert list(wrong_placeholders(catalogues.catalogue(path))) == []


def test_a_text_that_is_not_translated_and_a_wrong_placeholder_are_named() -> None:
    found = Catalog(locale="de")
    found.add("Pay %(amount)s", "%(sum)s bezahlen")
    found.add("Help", "")

    assert list(catalogues.missing(found)) == ["Help"]
    assert list(wrong_placeholders(found)) == ["Pay %(amount)s"]


# --- nothing is shown that is not in the catalogues


TEMPLATES = sorted(
    [
        *(PAGES / "templates").glob("*.html"),
        *(GATEWAYS / "stripe/checkout").glob("*.html"),
        *(GATEWAYS / "bank_transfer/checkout").glob("*.html"),
        *(GATEWAYS / "fake/checkout").glob("*.html"),
    ]
)
IN_ENGLISH = {"bank.html", "fake/act.html", "start.html"}
"""Pages of simulated banks, which only developers see, and the start page, which operators see."""


@pytest.mark.parametrize("path", TEMPLATES, ids=[f"{path.parent.parent.name}-{path.name}" for path in TEMPLATES])
def test_a_template_has_no_text_outside_of_the_catalogues(path: Path) -> None:
    name = path.name if path.parent.name == "templates" else f"{path.parent.parent.name}/{path.name}"
    text = re.sub(r'<(\w+)[^>]* lang="en".*?</\1>', "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"\{% block kind %\}\w*\{% endblock %\}", "", text)
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<style.*?</style>", "", text, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", "", bare)
    attributes = re.findall(r'(?:alt|title|data-[\w-]+|aria-label)="([^"]*)"', bare)
    words = re.findall(r"[A-Za-z]{2,}(?: [A-Za-z]+)*", " ".join([shown, *(each for each in attributes if " " in each)]))

    assert words == ["Payments"] * (name == "base.html") or name in IN_ENGLISH


@pytest.mark.parametrize("path", [PAGES / "static/checkout.js", GATEWAYS / "stripe/checkout/stripe.js"])
def test_a_script_has_no_text_of_its_own(path: Path) -> None:
    code = re.sub(r"//[^\n]*", "", path.read_text())
    texts = re.findall(r'"([A-Z][a-z]+ [^"]+)"|`([A-Z][a-z]+ [^`]+)`', code)

    assert texts == []


# --- codes


def test_every_reason_why_a_booking_cannot_be_paid_has_a_text() -> None:
    assert {each.code for each in Payability} - {"payable"} <= customer_texts.PROBLEMS.keys()


def test_every_reason_why_a_customer_gets_no_refund_has_a_text() -> None:
    denied = {QuoteReason.REFUNDED_BY_ORGANIZER, QuoteReason.TOO_LATE}

    assert {each.code for each in denied} <= customer_texts.REFUND_RULES.keys()
    assert customer_texts.REFUND_RULES.keys() <= {each.code for each in QuoteReason}


def test_every_advice_has_a_text() -> None:
    assert set(customer_texts.ADVICE) == set(Advice)


def test_every_stage_has_a_title() -> None:
    assert set(checkout._TITLES) == set(CheckoutStage)


def test_what_gateways_are_called_is_translated() -> None:
    named = set[str]()
    for name in ("stripe", "bank_transfer"):
        plugin = plugin_named(name)
        assert plugin is not None
        assert plugin.checkout is not None
        named |= {each for each in (plugin.title, plugin.checkout.act_title) if each}

    assert named == set(customer_texts.GATEWAYS)
