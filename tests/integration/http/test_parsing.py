"""Invalid input of every kind is a 400 or 413 that says what to do; the response does not repeat the input."""

import json
from typing import Any

import pytest
from msgspec import Meta

from booking_payments.entrypoints.http import parsing
from booking_payments.presentation import models
from booking_payments.presentation.card_numbers import holds_card_number
from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, problem_of

JSON = {"Content-Type": "application/json"}
BOOKING = {
    "reference": "R-1",
    "customer_id": "ann",
    "amount": "100.00",
    "currency": "usd",
    "event_starts_at": "2026-06-01T20:00:00Z",
}


def changed(**changes: Any) -> bytes:
    return json.dumps({**BOOKING, **changes}).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in BOOKING.items() if name != field}).encode()


def raw(field: str, value: str) -> bytes:
    return changed(**{field: "@"}).replace(b'"@"', value.encode())


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"reference=R",
    "cut off": changed()[:-5],
    "two objects": changed() * 2,
    "a list": b"[]",
    "text": b'"R"',
    "null": b"null",
    "a number": b"5",
    "a byte order mark": b"\xef\xbb\xbf" + changed(),
    "UTF-16": changed().decode().encode("utf-16"),
    "Latin-1": '{"reference": "\u00e9"}'.encode("latin-1"),
    "half a character": b'{"reference": "\xff\xfe"}',
    "an overlong slash": b'{"reference": "\xc0\xaf"}',
    "a raw NUL": b'{"reference": "a\x00b"}',
    "an escaped NUL": raw("reference", '"a\\u0000b"'),
    "a lone surrogate": raw("reference", '"\\ud800"'),
    "a lone surrogate in a name": b'{"\\udfff": 1}',
    "a raw line break in text": b'{"reference": "a\nb"}',
    "depth 33": b'{"a":' * 33 + b"1" + b"}" * 33,
    "depth 1,100": b"[" * 1100 + b"]" * 1100,
    "depth 30,000": b"[" * 30_000 + b"]" * 30_000,
    "depth 60,000, unclosed": b"[" * 60_000,
    "depth behind a string": b'{"a": "' + b'\\"[' * 5 + b'", "b": ' + b"[" * 100 + b"]" * 100 + b"}",
    "NaN": raw("amount", "NaN"),
    "Infinity": raw("amount", "Infinity"),
    "-Infinity": raw("amount", "-Infinity"),
    "1e400": raw("amount", "1e400"),
    "26 digits": raw("amount", "1" * 26),
    "5,000 digits": raw("amount", "1" * 5000),
    "many decimals": raw("amount", "0." + "1" * 100),
    "a name twice": changed()[:-1] + b', "amount": "1.00"}',
    "a name twice, deeper": raw("refund_policy", '{"fee": "kept", "fee": "returned"}'),
    "an unknown name": changed(status="confirmed"),
    "an unknown name, deeper": changed(refund_policy={"tiers": [], "discount": 1}),
    "an unknown name in a tier": changed(refund_policy={"tiers": [{"hours_before": 1, "percent": "5", "x": 1}]}),
    "a number for an amount": changed(amount=100),
    "a fraction for an amount": changed(amount=100.0),
    "true for a text": changed(reference=True),
    "null for a text": changed(reference=None),
    "a list for a text": changed(reference=["R"]),
    "an object for a text": changed(reference={"a": "b"}),
    "an empty reference": changed(reference=""),
    "a blank reference": changed(reference="   "),
    "a long reference": changed(reference="R" * 256),
    "a reference on two lines": changed(reference="a\nb"),
    "a reference with an escape": changed(reference="a\x1b[31m"),
    "a reference that turns around": changed(reference="a\u202eb"),
    "a long customer": changed(customer_id="c" * 256),
    "an empty customer": changed(customer_id=""),
    "no reference": without("reference"),
    "no amount": without("amount"),
    "no start": without("event_starts_at"),
    "an empty amount": changed(amount=""),
    "a long amount": changed(amount="1" * 25),
    "13 digits": changed(amount="99999999999.99"),
    "a negative amount": changed(amount="-1.00"),
    "a signed amount": changed(amount="+1.00"),
    "an exponent": changed(amount="1e3"),
    "thousands": changed(amount="1,000.00"),
    "three decimals": changed(amount="1.001"),
    "a space": changed(amount=" 1.00"),
    "a line break": changed(amount="1.00\n"),
    "Arabic digits": changed(amount="\u0661\u0662"),
    "hexadecimal": changed(amount="0x10"),
    "text NaN": changed(amount="NaN"),
    "a currency in capitals": changed(currency="USD"),
    "an unknown currency": changed(currency="xyz"),
    "a long currency": changed(currency="usdd"),
    "decimals that yen lack": changed(currency="jpy", amount="100.00"),
    "a time without zone": changed(event_starts_at="2026-06-01T20:00:00"),
    "a date": changed(event_starts_at="2026-06-01"),
    "a time as a number": changed(event_starts_at=1780344000),
    "a time as digits": changed(event_starts_at="1780344000"),
    "a 13th month": changed(event_starts_at="2026-13-01T20:00:00Z"),
    "the 30th of February": changed(event_starts_at="2026-02-30T20:00:00Z"),
    "year one": changed(event_starts_at="0001-01-01T00:00:00+23:59"),
    "year 9999": changed(event_starts_at="9999-12-31T23:59:59-23:59"),
    "too many tiers": changed(refund_policy={"tiers": [{"hours_before": n, "percent": "1"} for n in range(21)]}),
    "two tiers alike": changed(refund_policy={"tiers": [{"hours_before": 1, "percent": "1"}] * 2}),
    "a negative tier": changed(refund_policy={"tiers": [{"hours_before": -1, "percent": "1"}]}),
    "text for hours": changed(refund_policy={"tiers": [{"hours_before": "5", "percent": "1"}]}),
    "a fraction for hours": changed(refund_policy={"tiers": [{"hours_before": 5.0, "percent": "1"}]}),
    "true for hours": changed(refund_policy={"tiers": [{"hours_before": True, "percent": "1"}]}),
    "a number for percent": changed(refund_policy={"tiers": [{"hours_before": 1, "percent": 50}]}),
    "101 percent": changed(refund_policy={"tiers": [{"hours_before": 1, "percent": "101"}]}),
    "an unknown fee rule": changed(refund_policy={"fee": "doubled"}),
    "a card number": changed(reference="4242424242424242"),
    "a card number in groups": changed(reference="card 4242 4242 4242 4242 please"),
    "a card number with dashes": changed(customer_id="5555-5555-5555-4444"),
    "a card number after other digits": changed(reference="12 4242 4242 4242 4242 99"),
    "a card number in wide digits": changed(reference="\uff14\uff12" * 8),
    "a card number as a name": changed(**{"4242424242424242": "x"}),
    "a card number as a number": changed(number=4242424242424242),
    "a short card number": changed(reference="378282246310005"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused(api: Api, name: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=HOSTILE[name])

    assert response.status_code == 400, response.text
    assert problem_of(response)["detail"]


def test_the_body_without_the_fault_is_accepted(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=changed())

    assert response.status_code == 201


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (changed(amount=5), "amount"),
        (without("customer_id"), "customer_id"),
        (changed(status="x"), "status"),
        (changed(refund_policy={"fee": "doubled"}), "refund_policy.fee"),
        (changed(event_starts_at="tomorrow"), "event_starts_at"),
        (changed(reference="a\nb"), "reference"),
        (changed(currency="USD"), "currency"),
    ],
)
def test_the_detail_names_the_field(api: Api, body: bytes, word: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=body)

    assert word in problem_of(response)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        changed(reference=["canary"]),
        changed(**{"canary " * 10: 1}),
        changed(**{"<canary>": 1}),
        changed(refund_policy={"fee": "canary"}),
        changed(currency="canary"),
        changed(amount="canary"),
        changed(event_starts_at="canary"),
        b'{"canary": ',
    ],
)
def test_the_response_does_not_repeat_the_input(api: Api, body: bytes) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=body)

    assert response.status_code == 400
    assert "canary" not in response.text


PRIVILEGED = [
    "id",
    "user_id",
    "customer_id",
    "amount",
    "amount_paid",
    "amount_received",
    "status",
    "success",
    "role",
    "scope",
    "fee",
    "refunded_amount",
    "currency",
    "payment_intent_id",
    "client_secret",
    "attempts_left",
    "max_attempts",
    "created_at",
    "livemode",
    "operator",
]


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (action, field)
        for action in ("intent", "confirm", "cancel", "retry", "refund")
        for field in PRIVILEGED
        if (action, field) != ("refund", "amount")  # the one that clients may send
    ],
)
def test_a_request_cannot_set_a_field_that_only_the_service_sets(api: Api, action: str, field: str) -> None:
    body = {"payment_method_id": "pm_card_visa"} if action == "retry" else {}

    response = api.post(f"/api/bookings/{api.book()}/payment/{action}/", ANN, json={**body, field: "1"})

    assert problem_of(response)["code"] == "unknown_field"


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "nonsense",
    ],
)
def test_a_body_of_another_type_is_refused(api: Api, media: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers={"Content-Type": media}, content=changed())

    assert problem_of(response)["code"] == "not_json"


@pytest.mark.parametrize(
    "media", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_several_content_types_of_json_are_accepted(api: Api, media: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers={"Content-Type": media}, content=changed())

    assert response.status_code == 201


def test_an_empty_body_is_an_empty_object_if_all_fields_are_optional(api: Api) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"payment_method_id": ""},
        {"payment_method_id": "pm-1"},
        {"payment_method_id": "pm_" + "x" * 300},
        {"payment_method_id": "pm_1; drop"},
        {"payment_method_id": "pm_\u00e9"},
        {"payment_method_id": 5},
        {"payment_method_id": "4242424242424242"},
        {"confirm_immediately": "true"},
        {"confirm_immediately": 1},
        {"capture_method": "later"},
        {"return_url": ""},
        {"return_url": 5},
    ],
)
def test_an_invalid_start_is_refused(api: Api, body: Any) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN, json=body)

    assert response.status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/back",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://user:pw@shop.example/",
        "http://shop.example/",
        "https://shop.example:444/",
        "//shop.example/",
        "/back",
        "javascript:alert(1)",
        "https:\\\\shop.example",
        "https://shop.example\\@evil.example/",
        "https://shop.example\n.evil.example/",
        "https://",
        "https://[::1",
        "https://shop.example:99999/",
        "ftp://shop.example/",
        "https://shop.\u0435xample/",
        "https://shop.example/" + "x" * 2040,
        " https://shop.example/",
    ],
)
def test_a_return_url_outside_the_allowed_origins_is_refused(api: Api, url: str) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN, json={"return_url": url})

    assert response.status_code == 400, response.text


@pytest.mark.parametrize("url", ["https://shop.example/back?x=1", "HTTPS://SHOP.example/", "https://shop.example:443/"])
def test_a_return_url_inside_the_allowed_origins_is_accepted(api: Api, url: str) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN, json={"return_url": url})

    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=5.0",
        "limit=",
        "limit=ten",
        "limit=99999999999999999999",
        "limit=%D9%A1",
        "limit=1&limit=2",
        "page=2",
        "status=paid",
        "status=",
        "created_from=yesterday",
        "created_from=1780344000",
        "created_from=2026-06-01T00:00:00",
        "created_to=0001-01-01T00:00:00Z",
        "cursor=",
        "cursor=%00",
        "cursor=nonsense",
        "cursor=" + "x" * 600,
        "customer_id=",
        "customer_id=%00",
        "customer_id=%0A",
        "reference=4242424242424242",
        "q=4242424242424242",
        "q=",
        "q=%00",
        "email=%0A",
        "event_id=",
        "amount=9,25",
        "amount=-1",
        "amount=1e3",
        "last4=424",
        "last4=4242%0A",
        "refunded=maybe",
        "disputed=1",
        "reference=" + "x" * 256,
    ],
)
def test_an_invalid_query_is_refused(api: Api, query: str) -> None:
    response = api.get(f"/api/payments/?{query}", OPERATOR)

    assert response.status_code == 400, response.text
    assert problem_of(response)["detail"]


@pytest.mark.parametrize("amount", ["", "0", "-1", "1e3", "NaN", "1.001", "9" * 30])
def test_an_invalid_amount_of_a_quote_is_refused(api: Api, amount: str) -> None:
    response = api.get(f"/api/bookings/{api.paid()}/payment/refund/quote/?amount={amount}", ANN)

    assert response.status_code == 400


def test_an_unexpected_query_is_refused(api: Api) -> None:
    response = api.get(f"/api/bookings/{api.book()}/?status=confirmed", ANN)

    assert problem_of(response)["code"] == "unknown_field"


# --- sizes


def test_a_large_body_is_413(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=b" " * (parsing.JSON_LIMIT + 1))

    assert problem_of(response)["code"] == "too_large"


def test_a_large_body_without_a_length_is_413(api: Api) -> None:
    chunks = (b" " * 10_000 for _ in range(10))

    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=chunks)

    assert response.status_code == 413


def test_a_body_at_the_limit_is_accepted(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers=JSON, content=changed().ljust(parsing.JSON_LIMIT))

    assert response.status_code == 201


def test_a_large_webhook_is_413(api: Api) -> None:
    assert api.deliver(b" " * (parsing.WEBHOOK_LIMIT + 1)).status_code == 413


def test_a_large_webhook_without_a_length_is_413(api: Api) -> None:
    chunks = (b" " * 100_000 for _ in range(6))

    response = api.post("/api/webhooks/stripe/", content=chunks)

    assert problem_of(response)["code"] == "too_large"


def test_large_headers_are_413(api: Api) -> None:
    response = api.get("/api/payment/config/", ANN, headers={"X-Much": "x" * parsing.HEADERS_LIMIT})

    assert problem_of(response)["code"] == "too_large"


# --- card numbers


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "6011111111111117",
        "4222222222222",
        "(4000056655665556)",
    ],
)
def test_a_card_number_is_recognized(text: str) -> None:
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",
        "424242424242",
        "42424242424242424242424242",
        "2026-06-01 20:00",
        "1732360000000",
        "order 17",
        "a4000056655665556b",
        "",
        "pm_card_visa",
    ],
)
def test_other_numbers_are_not_recognized_as_card_numbers(text: str) -> None:
    assert not holds_card_number(text)


def test_amounts_are_not_taken_for_card_numbers(api: Api) -> None:
    response = api.get(f"/api/bookings/{api.paid()}/payment/refund/quote/?amount=5555555555554444", ANN)

    assert problem_of(response)["code"] == "invalid_amount"


# --- secrets

LETTERS = "0123456789abcdef"
PASTED = [
    "_".join(["sk", "live", LETTERS]),
    "_".join(["rk", "test", LETTERS]),
    "my key: " + "_".join(["sk", "test", LETTERS]),
    "_".join(["whsec", LETTERS]),
    "_".join(["pi", "3abc", "secret", LETTERS]),
    ANN["Authorization"],
]


@pytest.mark.parametrize("text", PASTED)
def test_a_pasted_secret_is_refused(api: Api, text: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(reference=text[:255]))

    assert problem_of(response)["code"] == "secret_refused"
    assert text not in response.text


@pytest.mark.parametrize("text", PASTED[:5])
def test_a_secret_as_idempotency_key_is_refused(api: Api, text: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, headers={"Idempotency-Key": text}, json=api.new_booking())

    assert problem_of(response)["code"] == "secret_refused"


@pytest.mark.parametrize(
    "text", ["pm_card_visa", "my_secret_santaparty", "risk_test_0123456789", "task_live_0123456789", "eyJ", "sk_live"]
)
def test_text_that_only_resembles_a_secret_is_accepted(api: Api, text: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(reference=text))

    assert response.status_code == 201


def test_no_pattern_lets_a_line_break_through_at_its_end() -> None:
    patterns = {
        meta.pattern
        for each in vars(models).values()
        for meta in getattr(each, "__metadata__", ())
        if isinstance(meta, Meta) and meta.pattern is not None
    }

    assert len(patterns) > 5
    assert [each for each in patterns if not each.endswith(r"\Z")] == []
