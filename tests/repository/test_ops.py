"""Dashboards and alerts in ``ops/`` use existing metrics and pages."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.pages.site import open_site

ROOT = Path(__file__).resolve().parents[2]
RULES = yaml.safe_load((ROOT / "ops/alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = json.loads((ROOT / "ops/dashboard.json").read_text())["panels"]
EXPRESSIONS = {
    **{f"alert {rule['alert']}": rule["expr"] for rule in RULES},
    **{f"panel {panel['title']}": target["expr"] for panel in PANELS for target in panel["targets"]},
}
SUFFIXES = re.compile(r"_(total|bucket|count|sum|created)$")
MADE_BY_PROMETHEUS = {"le"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Return the metrics of a service in which everything has happened once, with their label names."""
    with open_site(PaymentsTestKit()) as site:
        site.paid("pm_card_chargeDeclined", reference="R-2")
        booking_id = site.paid()
        site.held()
        site.run(site.kit.payments.refund_payment, booking_id)
        site.client.post("/api/webhooks/stripe/", content=b"{}")
        return {
            SUFFIXES.sub("", family.name): {name for sample in family.samples for name in sample.labels}
            for family in text_string_to_metric_families(site.client.get("/metrics").text)
        }


def names_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics in an expression, each with the labels that it selects or groups by."""
    grouped = {name.strip() for names in re.findall(r"by \(([^)]*)\)", expression) for name in names.split(",")}
    for name, chosen in re.findall(r"(booking_payments_\w+)(?:\{([^}]*)\})?", expression):
        yield SUFFIXES.sub("", name), {*re.findall(r"(\w+)\s*[!=]", chosen), *grouped} - MADE_BY_PROMETHEUS


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_and_label_in_an_expression_is_exported(where: str, exported: dict[str, set[str]]) -> None:
    read = list(names_in(EXPRESSIONS[where]))

    assert read != []
    for name, labels in read:
        assert name in exported
        assert labels <= exported[name] or exported[name] == set(), f"{name} has no label {labels - exported[name]}"


def test_every_metric_of_the_books_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name, _ in names_in(target["expr"])}
    alerted = {name for rule in RULES for name, _ in names_in(rule["expr"])}

    assert set(exported) - shown - alerted == set()


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_has_instructions_and_a_link(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)

    assert rule["annotations"]["summary"]
    assert rule["annotations"]["action"]
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_dashboards_use_the_metrics_of_the_service() -> None:
    with open_site(PaymentsTestKit()) as site:
        site.paid()
        site.paid("pm_card_chargeDeclined", reference="R-2")
        text = site.client.get("/metrics").text

    assert 'booking_payments_payments{outcome="succeeded"} 1.0' in text
    assert 'booking_payments_payments{outcome="open"} 1.0' in text
    assert 'booking_payments_declines{reason="generic_decline"} 1.0' in text
    assert "booking_payments_books_readable 1.0" in text


def test_a_customer_with_five_declines_is_counted_without_a_name() -> None:
    with open_site(PaymentsTestKit()) as site:
        for number in range(5):
            site.paid("pm_card_chargeDeclined", reference=f"R-{number}")
        text = site.client.get("/metrics").text

    assert "booking_payments_customers_declined_often 1.0" in text
    assert "ann" not in re.findall(r'="([^"]*)"', text)


def test_without_the_database_the_metrics_of_the_process_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_site(PaymentsTestKit()) as site:
        site.get("/health/live")
        monkeypatch.setattr(type(site.kit.storage), "read", _refuse)
        text = site.client.get("/metrics").text

    assert "booking_payments_books_readable 0.0" in text
    assert "booking_payments_http_request_duration_seconds_bucket" in text


async def _refuse(*_: object) -> None:
    raise ConnectionError("the database is gone")


def test_an_authorization_that_ends_soon_is_exported_with_its_payment() -> None:
    with open_site(PaymentsTestKit()) as site:
        payment, kit = site.payment_of(site.held()), site.kit
        early = site.client.get("/metrics").text
    kit.clock.advance(timedelta(days=6, hours=1))
    with open_site(kit) as site:
        late = site.client.get("/metrics").text

    assert f"booking_payments_capture_earliest_seconds {7 * 86400.0}" in early
    assert f'capture_due_seconds{{payment="{payment.id}"}}' not in early
    assert f'booking_payments_capture_due_seconds{{payment="{payment.id}"}} {23 * 3600.0}' in late


def test_without_an_authorization_no_end_is_exported() -> None:
    with open_site(PaymentsTestKit()) as site:
        site.paid()
        text = site.client.get("/metrics").text

    assert "booking_payments_capture_earliest_seconds" not in text


def test_no_metric_has_a_label_reserved_by_prometheus(exported: dict[str, set[str]]) -> None:
    """``promtool check metrics`` refuses ``quantile`` on a gauge."""
    assert {name for name, labels in exported.items() if "quantile" in labels} == set()
