"""The languages of the checkout: which one a customer reads, and how amounts and times are written in it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path

import pytest

from booking_payments.domain.booking import BookingDetails
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.entrypoints.pages.language import language_for, tags_accepted, zone_named
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.testing.kit import ANN
from tests.integration.http.api import token
from tests.integration.pages.site import Site, open_site
from tests.integration.pages.test_checkout import STRIPE


def page_of(site: Site, booking_id: str, accepted: str = "") -> str:
    headers = {"Accept-Language": accepted} if accepted else {}
    page = site.get(f"/checkout/{booking_id}?token={token('ann')}", headers=headers).text
    return " ".join(unescape(page).split())


def test_the_bookings_locale_goes_before_the_browsers(site: Site) -> None:
    page = page_of(site, site.book(details=BookingDetails(locale="de-AT")), accepted="fr")

    assert '<html lang="de-AT">' in page
    assert "<h1>Buchung bezahlen</h1>" in page


def test_without_a_locale_of_the_booking_the_browsers_preferred_language_is_shown(site: Site) -> None:
    page = page_of(site, site.book(), accepted="sv, en;q=0.3, it-CH;q=0.8")

    assert '<html lang="it-CH">' in page
    assert "<h1>Paghi la sua prenotazione</h1>" in page


@pytest.mark.parametrize("unknown", ["sv", "xx-YY", "*", "de_AT;q=", "q" * 5000])
def test_without_a_known_language_the_page_is_english(site: Site, unknown: str) -> None:
    assert '<html lang="en">' in page_of(site, site.book(), accepted=unknown)


def test_arabic_is_written_from_right_to_left(site: Site) -> None:
    page = page_of(site, site.book(details=BookingDetails(locale="ar")))

    assert '<html lang="ar" dir="rtl">' in page
    assert "<h1>ادفع ثمن حجزك</h1>" in page


def test_amounts_are_written_as_in_the_customers_country(site: Site) -> None:
    page = page_of(site, site.book(amount="1250.00", currency=Currency.EUR, details=BookingDetails(locale="de-DE")))

    assert "1.250,00\N{NO-BREAK SPACE}€ bezahlen" in site.seen or "1.250,00 € bezahlen" in page


def test_times_are_those_of_the_bookings_time_zone(site: Site) -> None:
    details = BookingDetails(locale="de", time_zone="Europe/Vienna")
    page = page_of(site, site.book(details=details))

    assert "Dienstag, 31. März 2026, 14:00 CEST" in page


def test_without_a_time_zone_of_the_booking_times_are_those_of_the_business() -> None:
    with open_site(BUSINESS_TIME_ZONE="Asia/Tokyo") as site:
        page = page_of(site, site.book(details=BookingDetails(locale="ja")))

    assert "2026年3月31日火曜日 21:00 JST" in page


def test_a_decline_is_explained_in_the_customers_language_with_advice(site: Site) -> None:
    booking_id = site.paid("pm_card_chargeDeclinedInsufficientFunds", details=BookingDetails(locale="fr"))
    page = page_of(site, booking_id)

    assert "Le solde de votre carte est insuffisant." in page
    assert "Veuillez réessayer plus tard ou utiliser une autre carte." in page
    assert "avez pas été débité. Il reste 2 tentatives." in page


def test_a_hidden_reason_stays_hidden_in_other_languages(site: Site) -> None:
    stolen = site.paid("pm_card_visa_chargeDeclinedStolenCard", details=BookingDetails(locale="de"))
    generic = site.paid("pm_card_chargeDeclined", reference="R-2", details=BookingDetails(locale="de"))
    alerts = [page_of(site, each).partition('id="alert">')[2].partition("</div>")[0] for each in (stolen, generic)]

    assert "Ihre Karte wurde abgelehnt." in alerts[0]
    assert alerts[0] == alerts[1]


def test_refunds_are_shown_in_the_customers_language(site: Site) -> None:
    policy = RefundPolicy(tiers=(RefundTier(hours_before=24, percent=Decimal(50)),))
    booking_id = site.paid(refund_policy=policy, details=BookingDetails(locale="es", time_zone="Europe/Madrid"))
    before = page_of(site, booking_id)
    site.run(site.kit.payments.refund_payment, booking_id, ANN, amount="30.00")
    after = page_of(site, booking_id)

    assert "50 % hasta el lunes, 30 de marzo de 2026, 14:00 CEST." in before
    assert "Se han reembolsado 30,00 US$." in after


@pytest.mark.parametrize(
    ("locale", "said"),
    [("de", "Der Link ist unvollständig"), ("pl", "Link jest niepełny"), ("en", "The link is incomplete")],
)
def test_pages_for_errors_are_in_the_browsers_language(site: Site, locale: str, said: str) -> None:
    page = site.get("/checkout/bk_1", headers={"Accept-Language": locale})

    assert page.status_code == 401
    assert said in page.text


@pytest.mark.parametrize("field", ["form_token", "key", "price"])
def test_the_page_of_an_error_is_in_the_bookings_language_and_leads_back(site: Site, field: str) -> None:
    path = f"/checkout/{site.book(details=BookingDetails(locale='de'))}"
    site.get(f"{path}?token={token('ann')}")
    fields = {**site.fields(), "payment_method": "pm_card_visa", field: ""}

    answer = site.post(f"{path}/pay", fields)

    assert answer.status_code in (400, 403)
    assert '<html lang="de">' in answer.text
    assert f'href="{path}">Zurück zu Ihrer Buchung' in answer.text
    assert "Idempotency" not in answer.text


def test_a_key_that_was_used_for_another_choice_is_explained_to_customers(site: Site) -> None:
    path = f"/checkout/{site.book()}"
    site.get(f"{path}?token={token('ann')}")
    fields = {**site.fields(), "payment_method": "pm_card_chargeDeclined"}
    site.post(f"{path}/pay", fields)

    answer = site.post(f"{path}/pay", {**fields, "payment_method": "pm_card_visa"})

    assert answer.status_code == 422
    assert "This form was sent before with another choice." in answer.text
    assert "idempotency" not in answer.text


@pytest.mark.parametrize("field", ["form_token", "key", "price"])
def test_an_error_of_a_broken_form_is_told_to_the_script_in_the_customers_language(field: str) -> None:
    with open_site(None, **STRIPE) as site:
        path = f"/checkout/{site.book(details=BookingDetails(locale='de'))}"
        site.get(f"{path}?token={token('ann')}")
        answer = site.post(f"{path}/intent", {**site.fields(), field: ""})

    assert answer.status_code in (400, 403)
    assert "laden sie die seite" in answer.json()["detail"].lower()


def test_an_error_for_the_script_is_in_the_customers_language() -> None:
    with open_site(None, **STRIPE) as site:
        booking_id = site.book(expires_in=timedelta(minutes=5), details=BookingDetails(locale="nl"))
        site.get(f"/checkout/{booking_id}?token={token('ann')}")
        fields = site.fields()
        site.kit.clock.advance(timedelta(minutes=6))
        answer = site.post(f"/checkout/{booking_id}/intent", fields)

    assert answer.json()["code"] == "booking_expired"
    assert answer.json()["detail"] == "De tijd om deze boeking te betalen is voorbij; boek opnieuw."


@pytest.mark.parametrize("currency", ["usd", "jpy", "kwd", "ugx", "huf", "isk", "clp", "rsd", "iqd"])
@pytest.mark.parametrize("locale", ["en", "de", "ja", "ar", "pl"])
def test_no_digit_of_an_amount_is_lost(currency: str, locale: str) -> None:
    amount = Money(1234560, Currency.of(currency))
    shown = "".join(each for each in language_for([locale]).money(amount) if each.isdigit())

    assert shown == amount.major().replace(".", "")


def test_a_zone_without_a_name_is_shown_by_its_offset() -> None:
    language = language_for(["en"], zone_named("America/Sao_Paulo", UTC))

    assert language.moment(datetime(2030, 1, 1, 12, tzinfo=UTC)).endswith("GMT-03:00")


def test_a_time_zone_that_is_not_known_is_that_of_the_business() -> None:
    assert zone_named("Mars/Base", UTC) is UTC
    assert zone_named("../etc/passwd", UTC) is UTC


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("de", ["de"]),
        ("fr;q=0.5, de-AT, en;q=0.9", ["de-AT", "en", "fr"]),
        ("de;q=0, en", ["en"]),
        ("de;Q=0.5, en; q=1.", ["en", "de"]),
        ("ja-JP-u-ca-japanese, en;q=0.5", ["ja-JP-u-ca-japanese", "en"]),
        ("*, de;q=x, ,;", []),
        ("", []),
    ],
)
def test_the_languages_of_a_browser_are_ordered_by_weight(header: str, tags: list[str]) -> None:
    assert tags_accepted(header) == tags


@pytest.mark.parametrize(
    ("tag", "locale"),
    [
        ("ja-JP-u-ca-japanese", "ja-JP"),
        ("de-AT-u-co-phonebk-nu-latn", "de-AT"),
        ("pt-x-home", "pt"),
        ("de-DE-1996", "de-DE"),
        ("sv-u-ca-buddhist", "en"),
    ],
)
def test_extensions_of_a_tag_change_nothing(tag: str, locale: str) -> None:
    assert language_for([tag]).tag == locale


# --- catalogues of the installation


def write(folder: Path, name: str, **texts: str) -> None:
    lines = ['msgid ""', 'msgstr "Content-Type: text/plain; charset=utf-8\\n"', ""]
    for text in (f'msgid "{text}"\nmsgstr "{other}"\n' for text, other in texts.items()):
        lines.append(text)
    (folder / name).write_text("\n".join(lines), encoding="utf-8")


def test_a_catalogue_of_the_installation_adds_a_language(tmp_path: Path) -> None:
    write(tmp_path, "sv.po", **{"Pay for your booking": "Betala din bokning"})
    with open_site(CHECKOUT_CATALOGUES=str(tmp_path)) as site:
        page = page_of(site, site.book(details=BookingDetails(locale="sv-SE")))

    assert '<html lang="sv-SE">' in page
    assert "<h1>Betala din bokning</h1>" in page
    assert "100,00 US$" in page


def test_a_catalogue_of_the_installation_replaces_single_texts(tmp_path: Path) -> None:
    write(tmp_path, "de.po", **{"Pay for your booking": "Jetzt <bezahlen>"})
    write(tmp_path, "en.po", **{"Pay for your booking": "Pay for your ticket"})
    with open_site(CHECKOUT_CATALOGUES=str(tmp_path)) as site:
        german = site.get(f"/checkout/{site.book(details=BookingDetails(locale='de'))}?token={token('ann')}").text
        english = page_of(site, site.book(reference="R-2"))

    assert "<h1>Jetzt &lt;bezahlen&gt;</h1>" in german
    assert "Bearbeitungsgebühr" in german
    assert "<h1>Pay for your ticket</h1>" in english


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("de.po", 'msgid "x\n'),
        ("german!.po", ""),
        ("fr.po", 'msgid "Pay %(amount)s"\nmsgstr "Payer %(montant)s"\n'),
        ("fr.po", 'msgid "Free"\nmsgstr "100 % gratuit"\n'),
    ],
)
def test_an_unreadable_catalogue_stops_the_start(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    with (
        pytest.raises(SettingsError, match=f"^CHECKOUT_CATALOGUES: {name}: "),
        open_site(CHECKOUT_CATALOGUES=str(tmp_path)),
    ):
        pass
