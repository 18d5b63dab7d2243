"""Forms with nested names: their meaning, and the refused ones."""

from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.sandbox.http.forms import MAX_DEPTH, MAX_FIELDS, BadForm, decode


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a", {"a": ""}),
        ("a=b+c%20d", {"a": "b c d"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("a[3]=x&a[12]=y", {"a": ["x", "y"]}),
        ("a[][b]=1&a[][c]=2&a[][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a[0][b]=1&a[1][b]=2", {"a": [{"b": "1"}, {"b": "2"}]}),
        ("metadata[0]=x", {"metadata": {"0": "x"}}),
        ("a[metadata][1]=x", {"a": {"metadata": {"1": "x"}}}),
        ("a[0]=x&a[b]=y", {"a": {"0": "x", "b": "y"}}),
    ],
)
def test_a_form_means(text: str, meaning: dict[str, Any]) -> None:
    assert decode(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "a=1&a=2",
        "a=1&a[b]=2",
        "a[b]=1&a=2",
        "a[b]=1&a[b]=2",
        "a[b]=1&a[b][c]=2",
        "a[0]=x&a[0]=y",
        "=1",
        "[a]=1",
        "a[b=1",
        "a]b=1",
        "a[[b]]=1",
        "a[b]c=1",
        "a=%FF",
        "%FF=a",
        "a" * 501 + "=1",
        "a" + "[b]" * MAX_DEPTH + "=1",
        "&".join(f"a{number}=1" for number in range(MAX_FIELDS + 1)),
    ],
)
def test_a_form_without_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(BadForm):
        decode(text)


@settings(max_examples=100)
@given(st.text(alphabet="ab01[]=&%+F\x00é", max_size=60))
def test_a_hostile_form_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        decoded = decode(text)
    except BadForm:
        return

    assert isinstance(decoded, dict)


@pytest.mark.parametrize(
    "body",
    [b"amount=1&amount=2", b"amount[", b"\xff\xfe", b"amount=%FF", b"a" + b"[b]" * 5000, b"&".join([b"a[]=1"] * 5000)],
)
def test_a_hostile_body_gets_an_error_of_stripes(http: httpx2.Client, body: bytes) -> None:
    answer = http.post(
        "/v1/payment_intents", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_query_and_body_are_one_set_of_parameters(http: httpx2.Client) -> None:
    answer = http.post("/v1/payment_intents?currency=usd", data={"amount": "1000"})

    assert answer.json()["currency"] == "usd"
