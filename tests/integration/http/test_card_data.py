"""Card data is never accepted: no route has a field for it, and text that looks like it is refused, not stored and
not logged.
"""

import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import structlog

from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, bearer, problem_of
from tests.integration.http.routes import DOCUMENT
from tests.nightly import NIGHTLY

PAYLOADS = 10_000 if NIGHTLY else 300
CARD_WORDS = re.compile(r"(^|_)(number|pan|cvc|cvv|csc|security_code|track\d?|pin|exp_month|exp_year|card)($|_)")
GAPS = ("", "", " ", "-", ".", "  ", "\t", "\n", "\u00a0", "\u2013", "\u2011", "\u200b", "\u3000", " - ")
DIGITS = (
    "0123456789",
    "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
    "".join(map(chr, range(0x660, 0x66A))),
)


def names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from names(value)


def test_no_route_has_a_field_for_card_data() -> None:
    asked = {name for name in names(DOCUMENT["components"]["schemas"]) if CARD_WORDS.search(name)}

    assert asked == set()


@pytest.mark.parametrize("name", ["number", "card_number", "cvc", "card", "exp_month", "payment_method_data"])
def test_a_field_for_card_data_is_unknown(api: Api, name: str) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN, json={name: "123"})

    assert problem_of(response)["code"] == "unknown_field"


# --- disguised card numbers


SCHEMES = {
    "4": (13, 16, 19),
    "51": (16,),
    "2223": (16,),
    "37": (15,),
    "36": (14, 16),
    "6011": (16, 19),
    "3530": (16, 19),
}
SCHEMES |= {"62": (16, 17, 18, 19), "6759": (13, 16, 19), "2200": (16,)}


def card_number(chance: Random) -> str:
    """Generate a number with the prefix and length of a card scheme and a valid check digit."""
    prefix = chance.choice(list(SCHEMES))
    length = chance.choice(SCHEMES[prefix])
    digits = prefix + "".join(chance.choices("0123456789", k=length - len(prefix) - 1))
    sums = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value - 9 * (value > 9) for value in sums) % 10)


def disguised(number: str, chance: Random) -> str:
    """Generate the number in groups, in digits of another script, and between words."""
    script, size, gap = chance.choice(DIGITS), chance.choice([4, 4, 5, 6, 19]), chance.choice(GAPS)
    digits = "".join(script[int(digit)] for digit in number)
    grouped = gap.join(digits[place : place + size] for place in range(0, len(digits), size))
    return chance.choice(["{}", "card {} thanks", "x_{}_x", "({})", "\u00fc{}", "#{}", "n={}", '"{}"']).format(grouped)


def requests(text: str, booking_id: str) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """Yield every place of the API that accepts text, with ``text`` in it: path, principal, and the rest."""
    base = f"/api/bookings/{booking_id}"
    new = {"reference": "R-c", "customer_id": "ann", "amount": "1.00", "currency": "usd"}
    new["event_starts_at"] = "2026-06-01T20:00:00Z"
    pay = {"payment_method_id": "pm_card_visa"}
    return [
        ("/api/bookings/", BOOKING_APP, {"json": {**new, "reference": text}}),
        ("/api/bookings/", BOOKING_APP, {"json": {**new, "customer_id": text}}),
        ("/api/bookings/", BOOKING_APP, {"json": {**new, text: "x"}}),
        ("/api/bookings/", BOOKING_APP, {"json": {**new, "refund_policy": {"tiers": [{"note": [text]}]}}}),
        (f"{base}/cancel/", BOOKING_APP, {"json": {"reason": text}}),
        (f"{base}/payment/intent/", ANN, {"json": {"payment_method_id": text}}),
        (f"{base}/payment/intent/", ANN, {"json": {"return_url": f"https://shop.example/{text}"}}),
        (f"{base}/payment/intent/", ANN, {"json": {"number": text, "cvc": "123"}}),
        (f"{base}/payment/intent/", ANN, {"json": pay, "params": {"card": text}}),
        (f"{base}/payment/retry/", ANN, {"json": {**pay, "card": {"number": text}}}),
        (f"{base}/payment/refund/", ANN, {"json": {"note": text}}),
        (f"{base}/payment/refund/", OPERATOR, {"json": {"note": f"line\n{text}\nline"}}),
        (f"{base}/payment/refund/", OPERATOR, {"json": {"amount": text}}),
        (f"{base}/payment/capture/", OPERATOR, {"json": {"amount": text}}),
    ]


def everything_kept(api: Api) -> str:
    return repr(api.kit.storage._tables)  # type: ignore[attr-defined] # all that was stored, not what is shown


def plain(text: str) -> str:
    """Return all digits in a row, so that no disguise hides a number."""
    return re.sub(r"[^0-9]", "", text)


def test_a_card_number_is_refused_in_every_place(api: Api) -> None:
    chance, booking_id = Random(7), api.paid()
    numbers = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(PAYLOADS // 14 + 1):
            number = card_number(chance)
            numbers.append(number)
            for path, who, more in requests(disguised(number, chance), booking_id):
                response = api.post(path, who, **more)
                assert response.status_code == 400, (path, more, response.text)
                assert number not in plain(response.text)

    kept, logged = everything_kept(api), repr(logs)
    assert [number for number in numbers if number in kept or number in logged] == []
    assert "Tables(" in kept


@pytest.mark.parametrize("place", ["X-Request-Id", "Idempotency-Key"])
def test_a_card_number_in_a_header_is_not_stored_or_logged(api: Api, place: str) -> None:
    number = card_number(Random(1))

    with structlog.testing.capture_logs() as logs:
        response = api.post("/api/bookings/", BOOKING_APP, headers={place: f"4-{number}"}, json=api.new_booking())

    assert number not in everything_kept(api) + repr(logs) + repr(dict(response.headers))


def test_a_card_number_in_the_path_is_404_and_not_stored(api: Api) -> None:
    number = card_number(Random(2))

    headers = {"Idempotency-Key": "a-key-of-some-length"}
    response = api.post(f"/api/bookings/{number}/payment/intent/", ANN, headers=headers, json={})

    assert response.status_code == 404
    assert number not in everything_kept(api)


# A UUID whose groups have the length, prefix and check digit of a card; one in 415 UUIDs does.
UNLUCKY = ["f2424242-4242-4242-4242-424242424242", "0199c1d2-7e4f-7abc-4242-424242424242"]


@pytest.mark.parametrize("text", UNLUCKY)
def test_a_uuid_is_accepted_wherever_a_client_chooses_ids(api: Api, text: str) -> None:
    booked = api.post(
        "/api/bookings/",
        BOOKING_APP,
        headers={"Idempotency-Key": text},
        json=api.new_booking(reference=text, customer_id=text),
    )
    booking_id, who = booked.json()["id"], bearer(text)
    paid = api.post(
        f"/api/bookings/{booking_id}/payment/intent/",
        who,
        headers={"Idempotency-Key": text, "X-Request-Id": text},
        json={"return_url": f"https://shop.example/back/{text}?booking={text}"},
    )

    assert (booked.status_code, paid.status_code) == (201, 200), (booked.text, paid.text)
    assert paid.headers["x-request-id"] == text


def test_other_long_numbers_are_accepted(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(reference="order 4242424242424241"))

    assert response.status_code == 201
