"""The operator's console in a real browser."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.browser_pages import TOO_WIDE, BrowserPage, RunningService

LONG = "A-LONG-REFERENCE-WITHOUT-ANY-SPACE-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.fixture(scope="session")  # as the service: a worker may come back to this module, where its bookings are
async def used_service(service: RunningService) -> RunningService:
    """A service with payments in all states."""
    cards = ("visa", "chargeDeclinedExpiredCard", "createDispute", "pendingRefund", "authenticationRequired")
    for number, card in enumerate(cards):
        service.pay(service.book(reference=f"ROW-{number}", amount=f"{20 + number}.50"), f"pm_card_{card}")
    service.pay(service.book(reference="<b>ROW & Söhne</b>", currency="jpy", amount="4500"))
    service.pay(service.book(reference=LONG, customer_name=LONG.lower(), title=LONG, event_id="long"))
    return service


async def open_payment(operator: BrowserPage, service: RunningService, reference: str) -> None:
    await operator.page.goto(f"{service.address}/console/payments")
    await operator.page.get_by_label("Search").fill(reference)
    await operator.page.get_by_role("button", name="Show").click()
    await operator.page.get_by_role("link", name=reference, exact=True).click()
    await operator.page.get_by_role("heading", name="What happened").wait_for()


async def test_the_main_pages_fit_every_width_in_light_and_dark(
    operator: BrowserPage, used_service: RunningService
) -> None:
    evening(used_service, "widths")
    paths = {
        "dashboard": "console/",
        "payments": "console/payments?last4=4242",
        "bookings": "console/bookings",
        "events": "console/events",
        "event": "console/events/widths",
        "disputes": "console/disputes",
        "webhooks": "console/webhooks",
        "messages": "console/messages",
        "drift": "console/drift",
        "start": "",
    }
    faults = []
    for turn, (name, path) in enumerate(paths.items()):
        await operator.page.goto(f"{used_service.address}/{path}")
        faults += await operator.look_at_every_width(f"console-{name}", turn)
    for turn, reference in enumerate(("ROW-2", "ROW-4")):
        await open_payment(operator, used_service, reference)
        faults += await operator.look_at_every_width(f"console-payment-{reference}", turn)

    assert "\n".join(faults) == ""


async def test_long_texts_and_large_amounts_stay_in_their_boxes_at_every_width(
    operator: BrowserPage, used_service: RunningService
) -> None:
    used_service.pay(used_service.book(reference="LARGE", currency="kwd", amount="27000.500", event_id="large"))
    await open_payment(operator, used_service, LONG)
    faults = await operator.look_at_every_width("console-payment-long")
    await operator.page.get_by_role("link", name="Change or cancel").click()
    faults += await operator.look_at_every_width("console-booking-long")
    for name, path in {
        "payments": "payments?q=A-LONG",
        "cancel": "events/large/cancel",
        "event": "events/long",
    }.items():
        await operator.page.goto(f"{used_service.address}/console/{path}")
        faults += await operator.look_at_every_width(f"console-{name}-long")

    assert "\n".join(faults) == ""


async def test_an_address_that_leads_nowhere_has_a_way_back(
    operator: BrowserPage, used_service: RunningService
) -> None:
    await operator.page.goto(f"{used_service.address}/console/nowhere")
    await operator.page.get_by_role("link", name="Back to the console").click()

    await operator.wait_for("Dashboard")


async def test_buttons_and_navigation_are_not_printed(operator: BrowserPage, used_service: RunningService) -> None:
    await open_payment(operator, used_service, "ROW-2")
    await operator.page.emulate_media(media="print")

    await expect(operator.page.get_by_role("heading", name="Money")).to_be_visible()
    for role in ("button", "navigation", "textbox"):
        assert [each for each in await operator.page.locator(f"role={role}").all() if await each.is_visible()] == []
    assert await operator.page.evaluate(TOO_WIDE) == []


async def test_on_paper_tables_have_their_headers_and_folded_records_stay_folded(
    operator: BrowserPage, used_service: RunningService
) -> None:
    await open_payment(operator, used_service, "ROW-2")
    record = operator.page.get_by_role("list").filter(has_text="Payment started").get_by_text("Fee policy").first
    await operator.page.set_viewport_size({"width": 794, "height": 1123})  # A4
    await operator.page.emulate_media(media="print")

    header = await operator.page.get_by_role("columnheader", name="Debit").bounding_box()
    assert header
    assert header["width"] > 24
    await expect(operator.page.get_by_text("Record", exact=True).first).to_be_hidden()
    await expect(record).to_be_hidden()
    await operator.page.locator(".timeline details").first.evaluate("each => each.open = true")
    await expect(record).to_be_visible()
    assert await operator.page.evaluate(TOO_WIDE) == []


async def test_the_login_page_shows_why_a_token_is_refused(
    operator_who_leaves: BrowserPage, service: RunningService
) -> None:
    operator = operator_who_leaves
    await operator.page.get_by_role("button", name="Log out").click()
    await operator.page.get_by_label("Operator token").fill("nonsense")
    await operator.page.get_by_role("button", name="Log in").click()

    await expect(operator.page.get_by_role("alert")).to_contain_text("This token is wrong")
    operator.complaints.clear()  # the browser reports the 401
    await operator.look("console-login")


async def test_a_refund_is_made_once_after_the_quote(operator: BrowserPage, used_service: RunningService) -> None:
    booking_id = used_service.book(reference="BACK-1")
    used_service.pay(booking_id)
    await open_payment(operator, used_service, "BACK-1")
    await operator.page.get_by_label("Amount in USD").fill("30.00")
    await operator.page.get_by_role("button", name="Look at the quote").click()
    await expect(operator.page.get_by_text("The customer gets")).to_be_visible()
    await operator.look("console-refund")
    assert used_service.payment(booking_id)["refunds"] == []
    await operator.page.get_by_label("Note").fill("it rained")
    await operator.page.get_by_role("button", name="Refund 30.00 USD").dblclick()
    await expect(operator.page.get_by_role("status")).to_contain_text("The refund is made.")

    assert [each["amount"] for each in used_service.payment(booking_id)["refunds"]] == ["30.00"]
    await operator.look("console-payment-refunded", like="console-payment-ROW-4")


def group(service: RunningService, reference: str, **changes: Any) -> str:
    """A paid booking of two adults and a child."""
    adults = {"id": "adult", "label": "Adult", "quantity": 2, "unit_amount": "30.00"}
    child = {"id": "child", "label": "Child", "quantity": 1, "unit_amount": "10.00"}
    booking_id = service.book(reference=reference, amount="70.00", items=[adults, child], **changes)
    service.pay(booking_id)
    return booking_id


async def test_one_seat_is_refunded_after_the_quote(operator: BrowserPage, used_service: RunningService) -> None:
    booking_id = group(used_service, "SEATS-1", title="An evening with Söhne & Töchter")
    await operator.page.goto(f"{used_service.address}/console/bookings/{booking_id}")
    await operator.look("console-booking")
    await operator.page.get_by_role("link", name="Give seats back").click()
    await operator.page.get_by_label("of 2 Adult").fill("1")
    await operator.page.get_by_role("button", name="Look at the quote").click()
    await expect(operator.page.get_by_text("Left: 1 Adult, 1 Child.")).to_be_visible()
    await operator.look("console-seats")
    await operator.page.get_by_label("Reason").fill("ill")
    await operator.page.get_by_role("button", name="Give 30.00 USD back").dblclick()
    await expect(operator.page.get_by_role("status")).to_contain_text("The seats are given back.")

    assert [each["amount"] for each in used_service.payment(booking_id)["refunds"]] == ["30.00"]
    await operator.look("console-booking-seats-given-back", like="console-booking")


async def test_a_price_is_lowered_after_the_quote(operator: BrowserPage, used_service: RunningService) -> None:
    booking_id = used_service.book(reference="CHEAPER-1")
    used_service.pay(booking_id)
    await operator.page.goto(f"{used_service.address}/console/bookings/{booking_id}")
    await operator.page.get_by_role("link", name="Change the booking").click()
    await operator.page.get_by_label("Price in USD").fill("90,75")
    await operator.page.get_by_label("Title").fill("Hall B")
    await operator.page.get_by_role("button", name="Look at the quote").click()
    await expect(operator.page.get_by_text("Goes back now")).to_be_visible()
    await operator.look("console-amend")
    await operator.page.get_by_role("button", name="Change it and give 9.25 USD back").dblclick()
    await expect(operator.page.get_by_role("status")).to_contain_text("The booking is changed.")

    assert [each["amount"] for each in used_service.payment(booking_id)["refunds"]] == ["9.25"]


async def test_the_forms_of_a_group_booking_fit(operator: BrowserPage, used_service: RunningService) -> None:
    booking_id = group(used_service, "SEATS-2")
    await operator.page.goto(f"{used_service.address}/console/bookings/{booking_id}/amend")
    await operator.page.get_by_text("Add another item").click()
    await operator.look("console-amend-items")
    await operator.page.goto(f"{used_service.address}/console/bookings/{booking_id}/cancel?refund=full")
    await expect(operator.page.get_by_role("button", name="Cancel and give 70.00 USD back")).to_be_visible()
    await operator.look("console-cancel")
    await operator.page.goto(f"{used_service.address}/console/bookings?q=nobody")
    await operator.look("console-bookings-none")
    await operator.page.get_by_role("link", name="Clear").click()
    await expect(operator.page.get_by_role("link", name="SEATS-2", exact=True)).to_be_visible()


def evening(service: RunningService, event_id: str) -> list[str]:
    """Bookings of one event, in two currencies, paid and not."""
    its: dict[str, Any] = {"event_id": event_id, "title": "An evening with Söhne & Töchter"}
    bookings = [
        service.book(reference=f"{event_id}-1", **its),
        service.book(reference=f"{event_id}-2", currency="jpy", amount="4500", **its),
        service.book(reference=f"{event_id}-3", **its),
    ]
    for booking_id in bookings[:2]:
        service.pay(booking_id)
    return bookings


async def test_an_evening_is_canceled_after_a_look_at_the_preview(
    operator: BrowserPage, used_service: RunningService
) -> None:
    bookings = evening(used_service, "flooded")
    await operator.page.goto(f"{used_service.address}/console/events")
    await operator.page.get_by_role("row", name="flooded").get_by_role("link").click()
    await operator.wait_for("An evening with Söhne & Töchter")
    await operator.page.get_by_role("link", name="Cancel the event").click()
    await expect(operator.page.get_by_text("4,500 JPY", exact=True)).to_be_visible()
    await operator.look("console-event-cancel")
    await operator.page.get_by_label("Reason").fill("the hall is flooded")
    await operator.page.get_by_role("button", name="Cancel the event and its bookings").dblclick()
    await expect(operator.page.get_by_text("3 of 3 bookings taken up.")).to_be_visible(timeout=30_000)
    await expect(operator.page.get_by_text("This page looks again by itself.")).to_have_count(0)

    assert [used_service.payment(each)["refunded_amount"] for each in bookings[:2]] == ["100.00", "4500"]
    await operator.look("console-event-canceled", like="console-event")


async def test_an_evening_is_moved_after_a_look_at_the_preview(
    operator: BrowserPage, used_service: RunningService
) -> None:
    evening(used_service, "moved")
    await operator.page.goto(f"{used_service.address}/console/events/moved")
    await operator.page.get_by_role("link", name="Move the event").click()
    await operator.page.get_by_label("Begins (UTC)").fill("2030-02-02T20:00")
    await operator.page.get_by_label("Everything back until").fill("2030-01-15T00:00")
    await operator.page.get_by_role("button", name="Look at the preview").click()
    await expect(operator.page.get_by_text("Begins then")).to_be_visible()
    await operator.look("console-event-move")
    await operator.page.get_by_role("button", name="Move the event and its bookings").click()
    await expect(operator.page.get_by_text("3 of 3 bookings taken up.")).to_be_visible(timeout=30_000)
    await expect(operator.page.get_by_text("2 Feb 2030, 20:00 UTC").first).to_be_visible()


async def test_a_quote_above_the_refundable_amount_is_refused(
    operator: BrowserPage, used_service: RunningService
) -> None:
    used_service.pay(used_service.book(reference="BACK-2"))
    await open_payment(operator, used_service, "BACK-2")
    await operator.page.get_by_label("Amount in USD").fill("100.01")
    await operator.page.get_by_role("button", name="Look at the quote").click()

    await expect(operator.page.get_by_role("alert")).to_contain_text("larger than what can still be refunded")
    await expect(operator.page.get_by_role("button", name="Refund")).to_have_count(0)


async def test_processing_a_webhook_again_has_no_effect(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/webhooks")
    await operator.page.get_by_role("link", name="payment_intent.succeeded").first.click()
    await operator.page.get_by_role("button", name="Process again").click()

    await expect(operator.page.get_by_role("status")).to_contain_text("processed before")
    await operator.look("console-webhook")


async def test_a_reconciliation_can_be_started(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/drift")
    await operator.page.get_by_role("button", name="Compare").click()

    await expect(operator.page.get_by_text("by operator:olga").first).to_be_visible()
    await operator.look("console-drift-report")


async def test_every_chart_has_a_table_of_its_figures(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/?days=1")
    panel = operator.page.get_by_role("region", name="Declines by reason")
    await panel.get_by_text("Figures").click()

    await expect(panel.get_by_role("cell", name="Expired card")).to_be_visible()


async def test_keyboard_focus_is_visible_and_can_skip_to_the_content(
    operator: BrowserPage, used_service: RunningService
) -> None:
    await operator.page.goto(f"{used_service.address}/console/payments")
    await operator.page.keyboard.press("Tab")
    await operator.page.keyboard.press("Enter")
    focused = await operator.page.evaluate("document.activeElement.id")
    await operator.page.keyboard.press("Tab")
    outline = await operator.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert (focused, outline) == ("main", "solid")


async def test_log_out_ends_the_session(operator_who_leaves: BrowserPage, used_service: RunningService) -> None:
    operator = operator_who_leaves
    await operator.page.get_by_role("button", name="Log out").click()
    await operator.page.goto(f"{used_service.address}/console/payments")

    await operator.wait_for("Operator console")
