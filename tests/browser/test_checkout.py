"""The checkout in a real browser, on a phone, with the fake gateway."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

from playwright.async_api import Browser, expect

from tests.browser.browser_pages import PHONE, BrowserPage, RunningService, open_page


async def choose(customer: BrowserPage, card: str) -> None:
    await customer.page.get_by_label(card).first.check()
    await customer.page.get_by_role("button", name="Pay").click()


async def test_a_booking_can_be_paid_with_the_keyboard_only(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(service.checkout(service.book(reference="SEAT-A1")))
    await customer.look("checkout-pay")
    for key in ("Tab", "Tab", "ArrowDown", "Tab", "Enter"):
        await customer.page.keyboard.press(key)
    await customer.wait_for("Paid. Thank you!")

    await expect(customer.page.get_by_text("Your booking is confirmed.")).to_be_visible()
    await customer.look("checkout-paid")


async def test_the_first_focusable_element_skips_to_the_content(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(service.checkout(service.book()))
    await customer.page.keyboard.press("Tab")

    await expect(customer.page.get_by_role("link", name="Skip to the content")).to_be_focused()


async def test_the_token_is_removed_from_the_address(customer: BrowserPage, service: RunningService) -> None:
    booking_id = service.book()
    await customer.page.goto(service.checkout(booking_id))

    assert customer.page.url == f"{service.address}/checkout/{booking_id}"
    await customer.page.reload()
    await customer.wait_for("Pay for your booking")
    assert service.ann not in await customer.page.content()
    assert service.ann not in service.log()


async def test_a_decline_is_announced_and_another_card_works(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(service.checkout(service.book()))
    await choose(customer, "No money")

    await expect(customer.page.get_by_role("alert")).to_be_focused()
    await expect(customer.page.get_by_role("alert")).to_contain_text("insufficient funds")
    await customer.look("checkout-declined")
    await choose(customer, "Mastercard")
    await customer.wait_for("Paid. Thank you!")


async def test_the_banks_window_can_be_approved(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(service.checkout(service.book()))
    await choose(customer, "3-D Secure")
    await customer.wait_for("Confirm with your bank")
    await customer.look("checkout-bank")
    await customer.page.get_by_role("button", name="approve").click()

    await customer.wait_for("Paid. Thank you!")


async def test_a_page_in_authentication_shows_an_approval_in_another_window(
    browser: Browser, customer: BrowserPage, service: RunningService
) -> None:
    link = service.checkout(service.book())
    await customer.page.goto(link)
    await choose(customer, "3-D Secure")
    await customer.wait_for("Confirm with your bank")
    async with open_page(browser, viewport=PHONE) as elsewhere:
        await elsewhere.page.goto(link)
        await elsewhere.page.get_by_role("button", name="approve").click()
        await elsewhere.wait_for("Paid. Thank you!")

    await customer.wait_for("Paid. Thank you!")


async def test_the_banks_window_can_be_refused(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(service.checkout(service.book()))
    await choose(customer, "3-D Secure")
    await customer.page.get_by_role("button", name="Refuse").click()

    await customer.wait_for("Pay for your booking")
    await expect(customer.page.get_by_role("alert")).to_contain_text("You have not been charged.")


async def test_the_page_of_a_payment_in_progress_updates_automatically(
    customer: BrowserPage, service: RunningService
) -> None:
    await customer.page.goto(service.checkout(service.book()))
    await choose(customer, "Bank account")
    await customer.wait_for("Your bank is working on it")
    await customer.look("checkout-processing")

    await customer.wait_for("Paid. Thank you!")


async def test_after_the_last_attempt_the_payment_is_shown_as_failed(
    customer: BrowserPage, service: RunningService
) -> None:
    booking_id = service.book()
    for _ in range(3):
        service.pay(booking_id, "pm_card_chargeDeclined")
    await customer.page.goto(service.checkout(booking_id))

    await customer.wait_for("The payment did not go through")
    await customer.look("checkout-failed")


async def test_the_page_says_that_the_booking_has_expired(customer: BrowserPage, service: RunningService) -> None:
    booking_id = service.book()
    with sqlite3.connect(service.folder / "booking-payments.db") as books:
        books.execute("UPDATE bp_bookings SET expires_at = created_at WHERE id = ?", [booking_id])
    await customer.page.goto(service.checkout(booking_id))

    await customer.wait_for("This booking has expired")
    await customer.look("checkout-expired")


async def test_the_hold_is_counted_down_and_its_end_closes_the_form(
    customer: BrowserPage, service: RunningService
) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    booking_id = service.book(expires_at=ends)
    await customer.page.clock.install()
    await customer.page.goto(service.checkout(booking_id))
    await customer.page.clock.fast_forward(570_000)  # the device was asleep
    await expect(customer.page.get_by_role("status")).to_have_text(re.compile(r"^0:[123]\d left$"))

    await customer.page.goto(service.checkout(booking_id))
    await customer.page.clock.run_for(480_000)
    await expect(customer.page.get_by_role("timer")).to_have_text(re.compile(r"^[12]:\d\d left$"))
    await customer.page.clock.run_for(80_000)
    await expect(customer.page.get_by_role("status")).to_have_text("1 minute left")

    await customer.page.clock.run_for(60_000)
    await expect(customer.page.get_by_role("button", name="Pay")).to_be_disabled()
    await expect(customer.page.get_by_role("status")).to_have_text("The time to pay is over.")

    with sqlite3.connect(service.folder / "booking-payments.db") as books:
        books.execute("UPDATE bp_bookings SET expires_at = created_at WHERE id = ?", [booking_id])
    await customer.page.clock.run_for(20_000)
    await customer.wait_for("This booking has expired")


async def test_without_a_token_the_page_says_what_to_do(customer: BrowserPage, service: RunningService) -> None:
    await customer.page.goto(f"{service.address}/checkout/{service.book()}")
    customer.complaints.clear()  # the browser reports the 401

    await customer.wait_for("Please open your payment link again")
    await customer.look("checkout-no-token")


async def test_a_booking_can_be_paid_without_scripts(browser: Browser, service: RunningService) -> None:
    async with open_page(browser, viewport=PHONE, java_script_enabled=False) as customer:
        await customer.page.goto(service.checkout(service.book()))
        await choose(customer, "3-D Secure")
        await customer.page.get_by_role("button", name="approve").click()

        await customer.wait_for("Paid. Thank you!")


async def test_two_clicks_pay_once(customer: BrowserPage, service: RunningService) -> None:
    booking_id = service.book()
    await customer.page.goto(service.checkout(booking_id))
    await customer.page.get_by_label("No money").check()
    await customer.page.get_by_role("button", name="Pay").dblclick()
    await expect(customer.page.get_by_role("alert")).to_be_visible()

    assert service.payment(booking_id)["attempts_made"] == 1


async def test_a_page_from_right_to_left_fits_the_window(customer: BrowserPage, service: RunningService) -> None:
    booking_id = service.book(locale="ar", title="هاملت")
    service.pay(booking_id, "pm_card_chargeDeclined")
    await customer.page.goto(service.checkout(booking_id))
    await customer.wait_for("ادفع ثمن حجزك")
    await customer.look("checkout-arabic")

    assert await customer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_words_stay_whole_on_a_narrow_phone(customer: BrowserPage, service: RunningService) -> None:
    booking_id = service.book(
        locale="de", title="Hamlet", reference="LONG-REFERENCE-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    service.pay(booking_id, "pm_card_chargeDeclined")
    await customer.page.set_viewport_size({"width": 320, "height": 700})
    await customer.page.goto(service.checkout(booking_id))
    await customer.wait_for("Buchung bezahlen")

    assert await customer.layout_errors("checkout-german") == []
