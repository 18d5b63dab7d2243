"""``events`` and ``bookings amend`` on the command line."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking
from booking_payments.domain.booking import Item
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.runtime.services import Services
from tests.integration.cli.test_refunds import _migrated_directory, inside, run

__all__ = ["_migrated_directory"]

EVENT = "evening-1"


def booked(reference: str = "R-1", method: str | None = "pm_card_visa", **more: Any) -> str:
    async def work(services: Services) -> str:
        new = NewBooking(
            reference=reference,
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD) if "items" not in more else None,
            event_starts_at=datetime.now(UTC) + timedelta(days=30),
            event_id=EVENT,
            **more,
        )
        booking = (await services.payments.register_booking(new)).booking
        if method:
            caller = Caller.customer("ann", "test")
            await services.payments.start_payment(
                booking.id, caller, payment_method_id=method, confirm_immediately=True
            )
        return booking.id

    return inside(work)


def answered(*args: str, status: int = 0) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_booking_is_amended() -> None:
    booked()

    booking = answered("bookings", "amend", "R-1", "--amount", "60.00", "--title", "Matinee", "--refund", "full")

    assert (booking["amount"], booking["title"], booking["version"]) == ("60.00", "Matinee", 3)
    assert answered("bookings", "find", "--event", EVENT)["items"][0]["amount"] == "60.00"


def test_an_amendment_to_zero_refunds_in_full_by_default() -> None:
    late = RefundPolicy(tiers=(RefundTier(hours_before=24 * 60, percent=Decimal(100)),))
    booked("R-1", refund_policy=late)
    booked("R-2", refund_policy=late)

    answered("bookings", "amend", "R-1", "--amount", "0.00")
    answered("bookings", "amend", "R-2", "--amount", "0.00", "--refund", "policy")

    assert [refunded_of(name) for name in ("R-1", "R-2")] == ["100.00", "0.00"]


def refunded_of(reference: str) -> str:
    found = answered("payments", "list", "--reference", reference)["items"]
    return str(found[0]["refunded_amount"])


def test_a_refused_amendment_exits_with_1() -> None:
    booked()

    done = run("bookings", "amend", "R-1", "--amount", "100.01")
    assert (done.exit_code, "cost more than before" in done.stderr) == (1, True)
    assert run("bookings", "amend", "R-1").exit_code == 1
    assert run("bookings", "amend", "R-1", "--starts", "tomorrow").exit_code == 2


def test_single_items_can_be_removed() -> None:
    booked(items=(Item(id="adult", label="Adult", quantity=3, unit_amount=Money(3000, Currency.USD)),))

    booking = answered("bookings", "cancel", "R-1", "--item", "adult:1")
    assert (booking["status"], booking["amount"], booking["items"][0]["quantity"]) == ("confirmed", "60.00", 2)
    assert run("bookings", "cancel", "R-1", "--item", "adult:x").exit_code == 2


CREATE = "bookings create --reference R-1 --customer ann --currency usd --starts 2100-01-01T20:00:00Z"


def test_a_group_booking_of_an_event_is_registered() -> None:
    given = {
        "event": "evening-1",
        "title": "Hamlet",
        "description": "Row B",
        "customer-email": "ann@example.com",
        "customer-name": "Ann Smith",
        "locale": "de-AT",
        "time-zone": "Europe/Vienna",
        "statement-descriptor-suffix": "HAMLET",
        "metadata": "row=B",
        "refund-tier": "48:100",
        "fee-on-refund": "returned",
        "allow-method": "card",
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    items = ["--item", "adult:2:30.00:Adult: stalls", "--item", "child:1:10.00", "--refund-tier", "24:50"]

    booking = answered(*CREATE.split(), *options, *items)

    assert (booking["event_id"], booking["amount"], booking["title"]) == (EVENT, "70.00", "Hamlet")
    assert [(each["id"], each["label"], each["quantity"]) for each in booking["items"]] == [
        ("adult", "Adult: stalls", 2),
        ("child", "child", 1),
    ]
    tiers = [{"hours_before": 48, "percent": "100"}, {"hours_before": 24, "percent": "50"}]
    assert booking["refund_policy"] == {"tiers": tiers, "fee": "returned"}
    texts = ("description", "customer_email", "customer_name", "locale", "time_zone", "statement_descriptor_suffix")
    assert [booking[name] for name in texts] == [given[name.replace("_", "-")] for name in texts]
    assert (booking["metadata"], booking["payment_methods"]["allowed"]) == ({"row": "B"}, ["card"])
    assert answered("events", "preview", EVENT)["unpaid"] == 1


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ([], "--item"),
        (["--amount", "1.005"], "--amount"),
        (["--item", "adult:30.00"], "--item"),
        (["--item", "ad ult:1:30.00"], "--item"),
        (["--amount", "10.00", "--event", "no/id"], "--event"),
        (["--amount", "10.00", "--metadata", "row"], "--metadata"),
        (["--amount", "10.00", "--title", "x" * 201], "--title"),
        (["--amount", "10.00", "--time-zone", "Europe/Wien"], "time_zone"),
        (["--amount", "10.00", "--refund-tier", "48"], "--refund-tier"),
        (["--amount", "10.00", "--refund-tier", "48:101"], "--refund-tier"),
        (["--amount", "10.00", "--allow-method", "card", "--exclude-method", "klarna"], "payment_methods"),
        (["--amount", "10.00", "--success-url", "https://elsewhere.example/"], "PAYMENT_RETURN_URL_ORIGINS"),
        (["--amount", "10.00", "--title", "4242 4242 4242 4242"], "--title"),
    ],
)
def test_a_value_that_the_http_api_refuses_exits_with_2_and_names_its_option(more: list[str], named: str) -> None:
    done = run(*CREATE.split(), *more)

    assert done.exit_code == 2, done.output
    assert named in done.stderr
    assert answered("bookings", "find")["items"] == []


def test_texts_and_metadata_are_amended_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_RETURN_URL_ORIGINS", "https://shop.example")
    booked()
    given = {
        "title": "Matinee",
        "description": "Row C",
        "customer-email": "ann@example.com",
        "customer-name": "Ann Smith",
        "locale": "de",
        "success-url": "https://shop.example/thanks",
        "cancel-url": "https://shop.example/seats",
        "refund-grace-until": "2031-01-15T00:00:00Z",
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]

    set_ = answered("bookings", "amend", "R-1", *options, "--metadata", "row=C", "--metadata", "seat=7")
    removed = answered("bookings", "amend", "R-1", *(f"--remove={name}" for name in (*given, "metadata")))

    names = [name.replace("-", "_") for name in given]
    assert [set_[name] for name in names] == list(given.values())
    assert set_["metadata"] == {"row": "C", "seat": "7"}
    assert [removed[name] for name in names] == [None] * len(names)
    assert removed["metadata"] == {}
    assert run("bookings", "amend", "R-1", "--title", "x", "--remove", "title").exit_code == 2


def test_a_booking_with_items_is_repriced_and_says_what_goes_back() -> None:
    booked(items=ITEMS)

    said = run("bookings", "amend", "R-1", "--item", "adult:2:25.00", "--item", "child:1:10.00:Under 12").stdout

    assert "goes back to the customer: 10.00 USD" in said
    assert ("2 x Adult (adult) at 25.00 USD" in said, "1 x Under 12 (child)" in said) == (True, True)


def test_a_cancellation_says_what_goes_back() -> None:
    booked("R-1", items=ITEMS)
    booked("R-2")
    booked("R-3", None)

    of_an_item = run("bookings", "cancel", "R-1", "--item", "adult:1").stdout
    of_the_rest = run("bookings", "cancel", "R-1").stdout
    of_nothing = run("bookings", "cancel", "R-2", "--refund", "none").stdout

    assert "goes back to the customer: 30.00 USD" in of_an_item
    assert "goes back to the customer: 40.00 USD" in of_the_rest
    assert "nothing goes back to the customer" in of_nothing
    assert "goes back" not in run("bookings", "cancel", "R-3").stdout


def test_an_event_is_canceled_after_a_preview() -> None:
    booked("R-1")
    booked("R-2", None)

    assert answered("events", "preview", EVENT)["to_refund"] == [{"currency": "usd", "amount": "100.00"}]
    assert "to refund: " in run("events", "preview", EVENT).stdout
    job = answered("events", "cancel", EVENT, "--reason", "the hall is flooded")["job"]
    assert (job["state"], job["done"], job["total"]) == ("done", 2, 2)
    assert run("events", "status", EVENT).exit_code == 0


ITEMS = (
    Item(id="adult", label="Adult", quantity=2, unit_amount=Money(3000, Currency.USD)),
    Item(id="child", label="Child", quantity=1, unit_amount=Money(1000, Currency.USD)),
)


def test_single_items_are_quoted_and_refunded_and_the_booking_keeps_them() -> None:
    booked(items=ITEMS)

    quoted = answered("payments", "quote", "R-1", "--item", "adult:1", "--item", "child")
    made = answered("payments", "refund", "R-1", "--item", "adult:1", "--item", "child")

    assert (quoted["amount"], made["amount"], made["status"]) == ("40.00", "40.00", "succeeded")
    kept = [(each["quantity"], each["refunded_quantity"]) for each in answered("bookings", "show", "R-1")["items"]]
    assert kept == [(2, 1), (1, 1)]
    assert "can be given back" in run("payments", "refund", "R-1", "--item", "child").stderr


@pytest.mark.parametrize("command", ["quote", "refund"])
@pytest.mark.parametrize("more", ["--item adult:x", "--item :1", "--item adult --amount 10.00"])
def test_malformed_items_exit_with_2(command: str, more: str) -> None:
    booked(items=ITEMS)

    assert run("payments", command, "R-1", *more.split()).exit_code == 2


def test_canceling_again_without_refund_continues_the_known_job() -> None:
    booked()
    answered("events", "cancel", EVENT, "--refund", "policy")

    again, other = answered("events", "cancel", EVENT), run("events", "cancel", EVENT, "--refund", "full")

    assert (again["job"]["refund"], again["job"]["state"]) == ("policy", "done")
    assert (other.exit_code, "leave refund out" in other.stderr) == (1, True)


def test_a_move_can_be_previewed() -> None:
    booked("R-1")
    booked("R-2", None)
    before = answered("bookings", "show", "R-1")
    move = ("--starts", "2031-02-01T20:00:00Z", "--refund-grace-until", "2031-01-15T00:00:00Z")

    found, said = answered("events", "preview", EVENT, *move), run("events", "preview", EVENT, *move).stdout

    assert (found["bookings"], found["to_refund"]) == ({"confirmed": 1, "pending": 1}, [])
    assert "bookings that would start 2031-02-01 20:00" in said
    assert "until 2031-01-15 00:00" in said
    assert "to release" not in said
    assert answered("bookings", "show", "R-1") == before


def test_the_preview_of_a_move_refuses_dates_in_the_past_as_the_move_does() -> None:
    booked()
    past = run("events", "preview", EVENT, "--starts", "2021-02-01T20:00:00Z")

    assert (past.exit_code, "event_starts_at is in the past" in past.stderr) == (1, True)


@pytest.mark.parametrize(
    "line",
    [
        "preview evening-1 --refund-grace-until 2031-01-15T00:00:00Z",
        "preview evening-1 --refund full --starts 2031-02-01T20:00:00Z",
        "status evening-1 --csv --json",
    ],
)
def test_options_that_exclude_each_other_exit_with_2(line: str) -> None:
    booked()

    assert run("events", *line.split()).exit_code == 2


def test_the_csv_of_an_event_without_a_job_is_an_error_without_output() -> None:
    booked()

    done = run("events", "status", EVENT, "--csv")

    assert (done.exit_code, done.stdout) == (1, "")
    assert "no job of this event" in done.stderr


def test_the_report_can_be_csv_without_formulas() -> None:
    booked("=cmd()")
    run("events", "cancel", EVENT)

    done = run("events", "status", EVENT, "--csv")

    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert (row["reference"], row["outcome"], row["refunded"], row["owed"]) == ("'=cmd()", "done", "100.00", "0.00")


def test_an_event_is_moved() -> None:
    booked()
    starts = "2031-02-01T20:00:00Z"

    assert answered("events", "reschedule", EVENT, "--starts", starts)["job"]["kind"] == "reschedule"
    assert answered("bookings", "show", "R-1")["event_starts_at"] == starts


def test_an_unknown_event_exits_with_1() -> None:
    assert run("events", "status", "nothing").exit_code == 1
    assert run("events", "cancel", "no/id").exit_code == 1
