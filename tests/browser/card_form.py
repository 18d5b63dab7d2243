"""The form of the sandbox's Stripe.js, as a customer fills it in."""

from playwright.async_api import Page

from booking_payments.sandbox.emulator.cards import behaviour, name_of


def number_of(method: str) -> str:
    """The number of a test card that a test names by its id, such as ``pm_card_visa``."""
    name = name_of(method)
    number = behaviour(name).number if name else None
    assert number is not None, f"{method} has no number"
    return number


async def fill_card(page: Page, number: str, expiry: str = "12 / 34", cvc: str = "123") -> None:
    """Type a card."""
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiration date").fill(expiry)
    await page.get_by_label("Security code").fill(cvc)


async def choose(page: Page, title: str) -> None:
    """Choose a type of payment method by its title, such as ``iDEAL``."""
    await page.get_by_role("radio", name=title, exact=True).check()


async def decide_at_bank(page: Page, button: str = "Approve") -> None:
    """Leave the bank's window, or its page."""
    await page.get_by_role("button", name=button, exact=True).click()
