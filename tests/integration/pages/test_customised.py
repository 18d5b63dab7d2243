"""What an installation changes about the checkout: ways back to the shop, the merchant's look, own templates."""

import re
from datetime import timedelta
from html import unescape
from pathlib import Path

import attrs
import pytest

from booking_payments.domain.booking import BookingDetails
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.entrypoints.pages import appearance, colours
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.testing.kit import ANN
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site

THANKS, CART = "https://shop.example/thanks", "https://shop.example/cart"
WAYS = BookingDetails(success_url=THANKS, cancel_url=CART)
MERCHANT = {
    "MERCHANT_NAME": "Lantern & Sons",
    "MERCHANT_LOGO_URL": "https://img.example/lantern.svg",
    "MERCHANT_COLOR": "#ffd400",
    "MERCHANT_SUPPORT_URL": "mailto:help@lantern.example",
    "MERCHANT_TERMS_URL": "https://lantern.example/terms",
    "MERCHANT_PRIVACY_URL": "https://lantern.example/privacy",
}


def page_of(site: Site, booking_id: str) -> str:
    return " ".join(site.get(f"/checkout/{booking_id}?token={token('ann')}").text.split())


def way_on(page: str) -> tuple[str, str] | None:
    """The address and the text of the button that leads back to the shop."""
    found = re.search(r'<a class="button primary wide" href="([^"]+)">([^<]+)</a>', page)
    return (unescape(found[1]), unescape(found[2])) if found else None


def expired(site: Site) -> str:
    booking_id = site.book(expires_in=timedelta(minutes=5), details=WAYS)
    site.kit.clock.advance(timedelta(minutes=6))
    return booking_id


def canceled(site: Site) -> str:
    booking_id = site.book(details=WAYS)
    site.run(site.kit.payments.cancel_booking, booking_id)
    return booking_id


def refunded(site: Site) -> str:
    booking_id = site.paid(details=WAYS)
    site.run(site.kit.payments.refund_payment, booking_id, ANN)
    return booking_id


def canceled_without_refund(site: Site) -> str:
    booking_id = site.paid(details=WAYS)
    site.run(site.kit.payments.cancel_booking, booking_id, refund=RefundOnCancel.NONE)
    return booking_id


def out_of_attempts(site: Site) -> str:
    booking_id = site.book(details=WAYS)
    for _ in range(3):
        site.run(site.kit.payments.process_booking_payment, booking_id, "pm_card_chargeDeclined")
    return booking_id


@pytest.mark.parametrize("end", [expired, canceled, refunded, canceled_without_refund, out_of_attempts])
def test_every_unsuccessful_outcome_has_a_button_to_the_cancel_url(site: Site, end: object) -> None:
    assert callable(end)

    assert way_on(page_of(site, end(site))) == (CART, "Back to the shop")


def test_every_successful_outcome_has_a_button_to_the_success_url(site: Site) -> None:
    ends = site.paid(details=WAYS), site.book(reference="R-2", amount="0.00", details=WAYS)
    processing = site.paid("pm_usBankAccount_processing", reference="R-3", details=WAYS)

    assert [way_on(page_of(site, each)) for each in (*ends, processing)] == [(THANKS, "Continue")] * 3


def test_a_customer_may_leave_without_paying(site: Site) -> None:
    assert f'<a href="{CART}">Back without paying</a>' in page_of(site, site.book(details=WAYS))


def test_without_addresses_there_is_no_button(site: Site) -> None:
    assert way_on(page_of(site, site.paid())) is None


def test_an_address_whose_origin_is_not_allowed_is_not_shown() -> None:
    with open_site(PAYMENT_RETURN_URL_ORIGINS="https://elsewhere.example") as site:
        page = page_of(site, site.paid(details=WAYS))

    assert "shop.example" not in page


def test_title_description_and_items_of_the_booking_are_shown(site: Site) -> None:
    details = BookingDetails(title="Hamlet & friends", description="Doors open at 19:00.\nNo pause.")
    page = page_of(site, site.book(items={"Balcony <left>": (2, "20.00")}, details=details))

    assert '<h2 id="booking" dir="auto">Hamlet &amp; friends</h2>' in page
    assert "Doors open at 19:00." in page
    assert '<dt>2 \N{MULTIPLICATION SIGN} <bdi>Balcony &lt;left&gt;</bdi></dt><dd class="amount">$40.00</dd>' in page
    assert "<dt>Date</dt>" in page


# --- the merchant


def test_the_merchant_is_shown_with_help_and_legal_texts() -> None:
    with open_site(None, **MERCHANT) as site:
        page = page_of(site, site.paid(details=WAYS))

    assert '<img src="https://img.example/lantern.svg" alt="" height="40">' in page
    assert "<span>Lantern &amp; Sons</span>" in page
    assert way_on(page) == (THANKS, "Continue to Lantern & Sons")
    assert '<a href="mailto:help@lantern.example">Help</a>' in page
    assert '<a href="https://lantern.example/terms">Terms</a>' in page
    assert '<a href="https://lantern.example/privacy">Privacy</a>' in page


@pytest.mark.parametrize("path", ["/checkout/bk_1?token={token}", "/checkout/bk_1"], ids=["missing", "without a token"])
def test_pages_for_errors_show_the_merchant_too(path: str) -> None:
    with open_site(None, **MERCHANT) as site:
        page = site.get(path.format(token=token("ann")))

    assert page.status_code in (401, 404)
    assert "Lantern &amp; Sons" in page.text
    assert "mailto:help@lantern.example" in page.text
    assert "img-src 'self' https://img.example;" in page.headers["content-security-policy"]


def test_the_console_does_not_show_the_merchant() -> None:
    with open_site(None, **MERCHANT) as site:
        assert "Lantern" not in site.get("/console/login").text


def test_the_policy_allows_the_logos_origin_for_images_and_for_nothing_else() -> None:
    with open_site(None, **MERCHANT) as site:
        answer = site.get(f"/checkout/{site.book()}?token={token('ann')}")
    policy = answer.headers["content-security-policy"]

    assert "img-src 'self' https://img.example;" in policy
    assert policy.count("https://") == 1
    assert "unsafe" not in policy


@pytest.mark.parametrize("colour", ["#ffd400", "#0b5fff", "#000000", "#ffffff", "#808080", "#ff0000", "#001133"])
def test_text_in_and_on_any_colour_can_be_read_in_both_modes(colour: str) -> None:
    style = colours.style_of(colour)
    by_day, by_night = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in style.split("@media"))

    for shown, mode in ((by_day, colours.LIGHT), (by_night, colours.DARK)):
        assert colours.contrast(shown["on-button"], shown["button"]) >= 4.5
        for ground in (mode.paper, mode.page, shown["tint"]):
            assert colours.contrast(shown["accent"], ground) >= 4.5


def test_the_modes_are_those_of_the_style_sheet() -> None:
    sheet = Path(colours.__file__).with_name("static").joinpath("pages.css").read_text()
    values = dict[str, list[str]]()
    for name, value in re.findall(r"--(paper|page): (#[0-9a-f]{6});", sheet):
        values.setdefault(name, []).append(value)

    assert values == {name: [getattr(mode, name) for mode in (colours.LIGHT, colours.DARK)] for name in values}


# --- own templates


def test_a_template_of_the_folder_replaces_the_built_in_one_and_may_extend_it(tmp_path: Path) -> None:
    (tmp_path / "checkout.html").write_text(
        '{% extends "original/checkout.html" %}{% block brand %}<p>Banner of {{ booking.reference }}</p>{% endblock %}'
    )
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/pay.html").write_text('{% include "original/pay.html" %}<p>Our cards</p>')
    with open_site(CHECKOUT_TEMPLATES=str(tmp_path)) as site:
        page = page_of(site, site.book())

    assert "<p>Banner of R-1</p>" in page
    assert "Pay $100.00" in page
    assert "<p>Our cards</p>" in page


def test_the_template_of_the_guide_changes_two_blocks_and_keeps_the_rest(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/customise-the-checkout.md").read_text()
    found = re.search(r"^```html\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert found
    (tmp_path / "checkout.html").write_text(found[1])
    with open_site(CHECKOUT_TEMPLATES=str(tmp_path)) as site:
        page = page_of(site, site.book())

    assert re.search(r'<style nonce="[\w-]+">.card { border-radius: 0; }</style>', page)
    assert "<dt>Reference</dt>" in page
    assert "Please be there 15 minutes before Tuesday, March 31, 2026, 12:00 PM UTC." in page


def test_the_console_keeps_its_own_templates(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("<p>mine</p>")
    with open_site(CHECKOUT_TEMPLATES=str(tmp_path)) as site:
        assert site.get(f"/checkout/{site.book()}?token={token('ann')}").text == "<p>mine</p>"
        assert "<p>mine</p>" not in site.get("/console/login").text


def test_a_template_with_a_syntax_error_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "checkout.html").write_text("{% if %}\n")

    with (
        pytest.raises(SettingsError, match=r"^CHECKOUT_TEMPLATES: checkout.html, line 1: "),
        open_site(CHECKOUT_TEMPLATES=str(tmp_path)),
    ):
        pass


def test_each_setting_of_the_appearance_is_used_by_a_page() -> None:
    pages = Path(appearance.__file__).parent
    texts = "\n".join(path.read_text(encoding="utf-8") for kind in ("*.html", "*.py") for path in pages.rglob(kind))
    names = [each.name for each in attrs.fields(appearance.Appearance)]

    unread = [name for name in names if not re.search(rf"\b(merchant|appearance|self)\.{name}\b", texts)]
    assert unread == [], "no template shows them"
