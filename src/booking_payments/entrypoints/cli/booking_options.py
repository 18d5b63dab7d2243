"""The options that say what a booking contains, for ``bookings create`` and ``bookings amend``.

They are collected under the names of the HTTP API's fields and checked by its models, so that both accept the same
values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from booking_payments.entrypoints.cli.choices import EnumChoice, IdentifierText, OneLineText
from booking_payments.entrypoints.cli.runner import fail

if TYPE_CHECKING:
    from booking_payments.domain.booking import Booking
    from booking_payments.presentation.models import AmendBooking, RegisterBooking
    from booking_payments.runtime.settings import Settings

M = TypeVar("M", "AmendBooking", "RegisterBooking")

_MAX_LONG_TEXT: Final = 2048


class _NewItem(click.ParamType[Mapping[str, Any]]):
    """An item of a booking: ID:QUANTITY:PRICE, and its label behind another colon."""

    name = "item"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, Any]:
        """The item with the names of the HTTP API."""
        text = OneLineText(_MAX_LONG_TEXT).convert(value, param, ctx)
        its, quantity, price, label, *_ = *text.split(":", 3), "", "", "", ""
        if not (its and price and quantity.isascii() and quantity.isdecimal() and len(quantity) < 6):
            self.fail("write an item as ID:QUANTITY:PRICE or ID:QUANTITY:PRICE:LABEL: adult:2:30.00:Adult", param, ctx)
        item = {"id": its, "quantity": int(quantity), "unit_amount": price}
        return {**item, "label": label} if label else item


class _Entry(click.ParamType[tuple[str, str]]):
    """An entry of the metadata: KEY=VALUE."""

    name = "entry"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Key and value."""
        key, equals, content = OneLineText(_MAX_LONG_TEXT).convert(value, param, ctx).partition("=")
        if not key or not equals:
            self.fail("write an entry as KEY=VALUE: row=B", param, ctx)
        return key, content


class _TierParameter(click.ParamType[Mapping[str, Any]]):
    """A tier of a refund policy: HOURS:PERCENT."""

    name = "tier"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, Any]:
        """The tier with the names of the HTTP API."""
        hours, _, percent = str(value).partition(":")
        if not (hours.isascii() and hours.isdecimal() and len(hours) < 6 and percent):
            self.fail("write a tier as HOURS:PERCENT: 48:100", param, ctx)
        return {"hours_before": int(hours), "percent": percent}


_CONTENT: Final = (
    click.option(
        "--item",
        "items",
        type=_NewItem(),
        multiple=True,
        metavar="ID:QUANTITY:PRICE[:LABEL]",
        help="A part of the booking with the price of one unit: adult:2:30.00:Adult. Their sum is the amount. May be "
        "repeated; in amend they replace all earlier ones, and LABEL stays that of the ID.",
    ),
    click.option("--title", type=OneLineText(), metavar="TEXT", help="The name of the event."),
    click.option("--description", type=OneLineText(_MAX_LONG_TEXT), metavar="TEXT", help="More about it."),
    click.option("--customer-email", type=OneLineText(), metavar="ADDRESS", help="For receipts and operators."),
    click.option("--customer-name", type=OneLineText(), metavar="TEXT", help="For operators."),
    click.option("--locale", type=OneLineText(), metavar="TAG", help="The customer's language: de-AT."),
    click.option(
        "--success-url",
        type=OneLineText(_MAX_LONG_TEXT),
        metavar="URL",
        help="Your page to which the checkout leads after a payment.",
    ),
    click.option(
        "--cancel-url",
        type=OneLineText(_MAX_LONG_TEXT),
        metavar="URL",
        help="Your page to which the checkout leads without a payment.",
    ),
    click.option(
        "--metadata",
        type=_Entry(),
        multiple=True,
        metavar="KEY=VALUE",
        help="An entry of your own data. May be repeated; in amend they replace all earlier ones.",
    ),
)
_CONTENT_NAMES: Final = (
    *("items", "title", "description", "customer_email", "customer_name", "locale"),
    *("success_url", "cancel_url", "metadata"),
)

_REGISTRATION: Final = (
    click.option("--event", "event_id", type=IdentifierText(), metavar="ID", help="Your own id of the event."),
    click.option("--time-zone", type=OneLineText(), metavar="NAME", help="The event's time zone: Europe/Vienna."),
    click.option(
        "--refund-tier",
        "tiers",
        type=_TierParameter(),
        multiple=True,
        metavar="HOURS:PERCENT",
        help="Until HOURS before the event PERCENT of the charge is refunded. May be repeated; without one everything "
        "until the event starts.",
    ),
    click.option(
        "--fee-on-refund",
        type=EnumChoice("domain.fees:FeeOnRefund"),
        help="Whether a refund returns the fee. The default is kept with a --refund-tier, else the setting "
        "PAYMENT_FEE_REFUND.",
    ),
    click.option(
        "--statement-descriptor-suffix", type=OneLineText(), metavar="TEXT", help="Text on a card's statement."
    ),
    click.option(
        "--allow-method",
        "allowed",
        type=OneLineText(),
        multiple=True,
        metavar="TYPE",
        help="Offer only this type of payment method: card. May be repeated.",
    ),
    click.option(
        "--exclude-method",
        "excluded",
        type=OneLineText(),
        multiple=True,
        metavar="TYPE",
        help="Offer all types but this one. May be repeated.",
    ),
)
_REGISTRATION_NAMES: Final = (
    *("event_id", "time_zone", "tiers", "fee_on_refund"),
    *("statement_descriptor_suffix", "allowed", "excluded"),
)

REMOVABLE: Final = (
    *("title", "description", "customer_email", "customer_name", "locale"),
    *("success_url", "cancel_url", "metadata", "refund_grace_until"),
)
"""The fields of a booking that an amendment may remove."""


def content_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options of what may be amended, too, and call it with ``content``, the given ones."""
    return _with_content(command, _CONTENT, _CONTENT_NAMES)


def registration_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` all options of a new booking's content, and call it with ``content``, the given ones."""
    return _with_content(command, (*_CONTENT, *_REGISTRATION), (*_CONTENT_NAMES, *_REGISTRATION_NAMES))


def _with_content(
    command: Callable[..., None], options: tuple[Callable[..., Any], ...], names: tuple[str, ...]
) -> Callable[..., None]:
    @wraps(command)
    def with_content(**given: Any) -> None:
        taken = {name: given.pop(name) for name in names}
        command(content=_content(taken), **given)

    for option in reversed(options):
        with_content = option(with_content)
    return with_content


def _content(taken: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options as fields of the HTTP API."""
    given = {name: value for name, value in taken.items() if value not in (None, ())}
    content = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if "metadata" in content:
        content["metadata"] = dict(content["metadata"])
    tiers, fee = content.pop("tiers", None), content.pop("fee_on_refund", None)
    if tiers or fee:
        content["refund_policy"] = {"tiers": tiers or [], **({"fee": fee} if fee else {})}
    methods = {name: content.pop(name) for name in ("allowed", "excluded") if name in content}
    if methods:
        content["payment_methods"] = methods
    return content


def fitted(content: Mapping[str, Any], model: type[M], settings: Settings) -> M:
    """Return ``content`` as a request of the HTTP API. What that refuses is wrong usage."""
    import msgspec

    from booking_payments.presentation.asked import require_allowed_pages

    try:
        asked = msgspec.convert(content, model, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$.")
        raise click.BadParameter(text.replace("`", ""), param_hint=_option(where.rstrip("`"))) from None
    with values_of_options():
        require_allowed_pages(asked, settings.return_url_origins)
    return asked


@contextmanager
def values_of_options() -> Iterator[None]:
    """For the conversion of options: a value that is not allowed is wrong usage, a rule that refuses it an error."""
    from booking_payments.domain.errors import InvalidAmount, InvalidInput, PaymentError, UnknownCurrency

    try:
        yield
    except (InvalidAmount, UnknownCurrency) as error:
        raise click.BadParameter(error.message, param_hint="--amount, --item, --currency") from None
    except InvalidInput as error:
        raise click.UsageError(error.message) from None
    except PaymentError as error:
        fail(error.message)


_OPTIONS: Final = {
    "items": "--item",
    "customer_id": "--customer",
    "event_id": "--event",
    "event_starts_at": "--starts",
    "expires_at": "--expires",
    "refund_policy": "--refund-tier",
    "payment_methods": "--allow-method, --exclude-method",
    "capture_method": "--capture",
}


def _option(path: str) -> str:
    """Return the option of a field, given the path to the part of it that is refused."""
    name = path.partition(".")[0].partition("[")[0]
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def with_known_labels(asked: AmendBooking, booking: Booking) -> AmendBooking:
    """Return the amendment with the labels that the booking's items have, where it gives none."""
    import msgspec

    if isinstance(asked.items, msgspec.UnsetType):
        return asked
    known = {item.id: item.label for item in booking.items}
    items = [msgspec.structs.replace(each, label=each.label or known.get(each.id)) for each in asked.items]
    return msgspec.structs.replace(asked, items=items)
