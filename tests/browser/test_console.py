"""The operator's console in a real browser."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.browser_pages import BrowserPage, RunningService


@pytest.fixture(scope="module")
async def used_service(service: RunningService) -> RunningService:
    """A shop in which all kinds of things have happened."""
    cards = ("visa", "chargeDeclinedExpiredCard", "createDispute", "pendingRefund", "authenticationRequired")
    for number, card in enumerate(cards):
        service.pay(service.book(reference=f"ROW-{number}", amount=f"{20 + number}.50"), f"pm_card_{card}")
    service.pay(service.book(reference="<b>ROW & Söhne</b>", currency="jpy", amount="4500"))
    return service


async def open_payment(operator: BrowserPage, service: RunningService, reference: str) -> None:
    await operator.page.goto(f"{service.address}/console/payments")
    await operator.page.get_by_label("Search").fill(reference)
    await operator.page.get_by_role("button", name="Show").click()
    await operator.page.get_by_role("link", name=reference, exact=True).click()
    await operator.page.get_by_role("heading", name="What happened").wait_for()


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("", "Dashboard"),
        ("payments", "Payments"),
        ("payments?q=nobody", "Payments"),
        ("disputes", "Disputes"),
        ("webhooks", "Webhooks"),
        ("webhooks?only=unfinished", "Webhooks"),
        ("drift", "Drift"),
    ],
)
async def test_every_page_fits_and_can_be_read_by_all(
    operator: BrowserPage, used_service: RunningService, path: str, title: str
) -> None:
    await operator.page.goto(f"{used_service.address}/console/{path}")
    await operator.wait_for(title)
    await operator.look(f"console-{path.replace('?', '-').replace('=', '-') or 'dashboard'}")


@pytest.mark.parametrize("reference", ["ROW-1", "ROW-2", "ROW-4"])
async def test_a_payments_page_fits_and_can_be_read_by_all(
    operator: BrowserPage, used_service: RunningService, reference: str
) -> None:
    await open_payment(operator, used_service, reference)
    await operator.look(f"console-payment-{reference}")


async def test_the_door_tells_what_is_wrong(operator: BrowserPage, service: RunningService) -> None:
    await operator.page.get_by_role("button", name="Log out").click()
    await operator.page.get_by_label("Operator token").fill("nonsense")
    await operator.page.get_by_role("button", name="Log in").click()

    await expect(operator.page.get_by_role("alert")).to_contain_text("This token is wrong")
    operator.complaints.clear()  # the browser notes the 401
    await operator.look("console-login")


async def test_money_goes_back_once_after_a_look_at_the_quote(
    operator: BrowserPage, used_service: RunningService
) -> None:
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
    await operator.look("console-payment-refunded")


async def open_booking(operator: BrowserPage, service: RunningService, booking_id: str, button: str) -> None:
    await operator.page.goto(f"{service.address}/console/bookings/{booking_id}")
    await operator.look("console-booking")
    await operator.page.get_by_role("link", name=button).click()


def group(service: RunningService, reference: str, **changes: Any) -> str:
    """A paid booking of two adults and a child."""
    adults = {"id": "adult", "label": "Adult", "quantity": 2, "unit_amount": "30.00"}
    child = {"id": "child", "label": "Child", "quantity": 1, "unit_amount": "10.00"}
    booking_id = service.book(reference=reference, amount="70.00", items=[adults, child], **changes)
    service.pay(booking_id)
    return booking_id


async def test_one_seat_goes_back_after_a_look_at_the_quote(
    operator: BrowserPage, used_service: RunningService
) -> None:
    booking_id = group(used_service, "SEATS-1", title="An evening with Söhne & Töchter")
    await open_booking(operator, used_service, booking_id, "Give seats back")
    await operator.page.get_by_label("of 2 Adult").fill("1")
    await operator.page.get_by_role("button", name="Look at the quote").click()
    await expect(operator.page.get_by_text("Left: 1 Adult, 1 Child.")).to_be_visible()
    await operator.look("console-seats")
    await operator.page.get_by_label("Reason").fill("ill")
    await operator.page.get_by_role("button", name="Give 30.00 USD back").dblclick()
    await expect(operator.page.get_by_role("status")).to_contain_text("The seats are given back.")

    assert [each["amount"] for each in used_service.payment(booking_id)["refunds"]] == ["30.00"]
    await operator.look("console-booking-seats-given-back")


async def test_a_booking_becomes_cheaper_after_a_look_at_the_quote(
    operator: BrowserPage, used_service: RunningService
) -> None:
    booking_id = used_service.book(reference="CHEAPER-1")
    used_service.pay(booking_id)
    await open_booking(operator, used_service, booking_id, "Change the booking")
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
    await operator.look("console-bookings")


async def test_more_than_is_left_is_refused_before_money_moves(
    operator: BrowserPage, used_service: RunningService
) -> None:
    used_service.pay(used_service.book(reference="BACK-2"))
    await open_payment(operator, used_service, "BACK-2")
    await operator.page.get_by_label("Amount in USD").fill("100.01")
    await operator.page.get_by_role("button", name="Look at the quote").click()

    await expect(operator.page.get_by_role("alert")).to_contain_text("larger than what can still be refunded")
    await expect(operator.page.get_by_role("button", name="Refund")).to_have_count(0)


async def test_a_webhook_is_processed_again_without_effect(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/webhooks")
    await operator.page.get_by_role("link", name="payment_intent.succeeded").first.click()
    await operator.page.get_by_role("button", name="Process again").click()

    await expect(operator.page.get_by_role("status")).to_contain_text("processed before")
    await operator.look("console-webhook")


async def test_the_books_are_compared_on_demand(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/drift")
    await operator.page.get_by_role("button", name="Compare").click()

    await expect(operator.page.get_by_text("by operator:olga").first).to_be_visible()
    await operator.look("console-drift-report")


async def test_the_figures_stand_behind_every_chart(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.goto(f"{used_service.address}/console/?days=1")
    panel = operator.page.get_by_role("region", name="Declines by reason")
    await panel.get_by_text("Figures").click()

    await expect(panel.get_by_role("cell", name="Expired card")).to_be_visible()


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    operator: BrowserPage, used_service: RunningService
) -> None:
    await operator.page.goto(f"{used_service.address}/console/payments")
    await operator.page.keyboard.press("Tab")
    await operator.page.keyboard.press("Enter")
    focused = await operator.page.evaluate("document.activeElement.id")
    await operator.page.keyboard.press("Tab")
    outline = await operator.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert (focused, outline) == ("main", "solid")


async def test_who_logs_out_is_out(operator: BrowserPage, used_service: RunningService) -> None:
    await operator.page.get_by_role("button", name="Log out").click()
    await operator.page.goto(f"{used_service.address}/console/payments")

    await operator.wait_for("Operator console")
