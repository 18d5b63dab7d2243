"""The checkout forms of all gateways that have one, those of this package and the one of ``examples``."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.pages.gateway_forms import FOLDER, script_address
from booking_payments.ports.gateway_plugin import CheckoutForm, GatewayPlugin
from booking_payments.ports.gateway_settings import read_settings
from booking_payments.runtime.plugins import installed_plugins, plugin_named
from booking_payments.runtime.services import Services
from tests.examples.installed import installed
from tests.examples.test_paypal_gateway import FILE
from tests.integration.http.api import token
from tests.integration.pages.site import open_site

SETTINGS: dict[str, dict[str, str]] = {
    "stripe": {
        "STRIPE_SECRET_KEY": "sk_test_pages",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_pages",
        "STRIPE_WEBHOOK_SECRET": "whsec_pages",
    },
    "bank_transfer": {"BANK_TRANSFER_PAY_TO": "DE02 1203 0000 0000 2020 51"},
    "fake": {},
    "paypal": {"PAYPAL_CLIENT_ID": "x", "PAYPAL_SECRET": "x", "PAYPAL_WEBHOOK_ID": "x"},
}


@pytest.fixture(autouse=True)
def paypal(tmp_path: Path) -> Iterator[None]:
    """The example's distribution, beside the gateways of this package."""
    shutil.copy(FILE, tmp_path)
    with installed(tmp_path, "paypal", "paypal_gateway:PLUGIN"):
        yield


def test_every_gateway_that_has_a_form_is_tried_here() -> None:
    with_form = {name for name, plugin in installed_plugins().items() if plugin.checkout is not None}

    assert with_form == SETTINGS.keys()


def plugin_of(gateway: str) -> GatewayPlugin:
    plugin = plugin_named(gateway)
    assert plugin is not None
    return plugin


def form_of(gateway: str) -> CheckoutForm:
    form = plugin_of(gateway).checkout
    assert form is not None
    return form


@pytest.mark.parametrize("gateway", SETTINGS)
@pytest.mark.parametrize("shown", ["the old price", "none"])
def test_a_form_that_shows_another_price_than_the_booking_has_charges_nothing(gateway: str, shown: str) -> None:
    form = form_of(gateway)
    with open_site(None, PAYMENT_GATEWAY=gateway, **SETTINGS[gateway]) as site:
        booking_id = site.book()
        site.get(f"/checkout/{booking_id}?token={token('ann')}")
        fields = site.fields()
        assert (fields["price"], fields["gateway"]) == ("100.00", gateway)
        if shown == "the old price":
            change = BookingChange(amount=Money.parse("120.00", Currency.USD))
            site.run(site.kit.payments.amend_booking, booking_id, change)
        else:
            del fields["price"]

        # A gateway without methods of its form's has a script, which asks for the client secret.
        what, more = ("pay", {"payment_method": next(iter(form.methods))}) if form.methods else ("intent", {})
        answer = site.post(f"/checkout/{booking_id}/{what}", {**fields, **more})

        if shown == "the old price":
            told = answer.json()["code"] if what == "intent" else answer.text
            assert answer.status_code == 409
            assert told == "price_changed" or "price of this booking has changed" in told
        else:
            assert answer.status_code == 400
        assert site.kit.stripe.call("GET", "/v1/payment_intents", {"limit": 1}).body["data"] == []


@pytest.mark.parametrize("gateway", SETTINGS)
def test_scripts_and_policy_are_those_of_the_gateway(gateway: str) -> None:
    form = form_of(gateway)
    with open_site(None, PAYMENT_GATEWAY=gateway, **SETTINGS[gateway]) as site:
        page = site.get(f"/checkout/{site.book()}?token={token('ann')}")
        own = [script_address(gateway, form, name) for name in form.scripts]
        served = [site.get(address) for address in own]

    loaded = re.findall(r'<script src="([^"]+)"', page.text)
    settings, _ = read_settings(plugin_of(gateway).settings, SETTINGS[gateway].get)
    sources = form.sources(settings)
    assert loaded[1:] == [*form.remote_scripts(settings), *own]
    assert all("immutable" in each.headers["cache-control"] for each in served)
    policy = dict(each.split(" ", 1) for each in page.headers["content-security-policy"].split("; "))
    assert all(policy[directive].endswith(allowed) for directive, allowed in sources.items())
    assert ("https://" in page.headers["content-security-policy"]) == bool(sources)


@pytest.mark.parametrize(
    "path", ["stripe/pay.html", "stripe/../plugin.py", "stripe/%2e%2e%2fplugin.py", "paypal/x.js", "nobody/stripe.js"]
)
def test_only_the_scripts_of_a_form_are_served(path: str) -> None:
    with open_site(None, PAYMENT_GATEWAY="stripe", **SETTINGS["stripe"]) as site:
        assert site.get(f"/pages/0000/{path}").status_code == 404


def test_another_version_of_a_script_is_not_kept() -> None:
    with open_site(None, PAYMENT_GATEWAY="stripe", **SETTINGS["stripe"]) as site:
        assert site.get("/pages/0000/stripe/stripe.js").headers["cache-control"] == "no-cache"


def test_a_form_whose_intent_has_an_unknown_outcome_says_that_nothing_was_charged() -> None:
    with open_site(None, PAYMENT_GATEWAY="stripe", **SETTINGS["stripe"]) as site:
        path = f"/checkout/{site.book()}"
        site.get(f"{path}?token={token('ann')}")
        site.kit.stripe.faults.script("POST /v1/payment_intents", "500_before", times=3)

        answer = site.post(f"{path}/intent", site.fields())
        told = (answer.status_code, answer.json()["detail"])
        page = site.get(path).text

    assert told == (503, "The payment can't be started right now. You have not been charged.")
    assert 'id="stripe-form"' in page
    assert "charged twice" not in re.sub(r'data-wait="[^"]*"', "", page)


def test_the_form_of_a_gateway_that_is_not_offered_is_refused() -> None:
    with open_site() as site:
        booking_id = site.book()
        site.get(f"/checkout/{booking_id}?token={token('ann')}")
        fields = {**site.fields(), "gateway": "bank_transfer", "payment_method": "bank_transfer"}

        assert site.post(f"/checkout/{booking_id}/pay", fields).status_code == 404
        assert site.post(f"/checkout/{booking_id}/intent", fields).status_code == 404


@pytest.mark.parametrize("gateway", ["manual"])
def test_a_gateway_without_a_form_offers_nothing_to_pay_by(gateway: str) -> None:
    with open_site(None, PAYMENT_GATEWAY=gateway) as site:
        page = site.get(f"/checkout/{site.book()}?token={token('ann')}").text

    assert "be paid on this page" in page
    assert "<form" not in page


def test_a_form_adds_no_source_to_a_directive_that_keeps_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = evolve(form_of("fake"), sources=lambda settings: {"frame-ancestors": "*"})
    monkeypatch.setattr(Services, "forms", {"fake": wrong})
    with open_site() as site:
        page = site.get(f"/checkout/{site.book()}?token={token('ann')}")

    assert page.status_code == 500
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("gateway", ["stripe", "fake", "bank_transfer"])
def test_a_folder_holds_the_templates_and_scripts_of_the_form_and_nothing_else(gateway: str) -> None:
    form = form_of(gateway)
    folder = Path(__file__).parents[3] / "src/booking_payments/adapters/gateways" / gateway / FOLDER

    assert {each.name for each in folder.iterdir()} == {form.pay, form.act, *form.scripts}
