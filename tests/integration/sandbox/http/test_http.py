"""Keys, headers, methods and sizes, as seen on the wire."""

import base64

import httpx2
import pytest

from booking_payments.testing.sandbox import Sandbox

NEW = {"amount": "1000", "currency": "usd"}


def ask(sandbox: Sandbox, path: str = "/v1/payment_intents", method: str = "GET", **headers: str) -> httpx2.Response:
    return httpx2.request(method, f"{sandbox.url}{path}", headers=headers, trust_env=False, verify=False)


def basic(user: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:'.encode()).decode()}"


@pytest.mark.parametrize(
    "key", ["Bearer sk_test_", "Bearer sk_test_51abc", "bearer sk_test_x", "Bearer rk_test_x", basic("sk_test_x")]
)
def test_any_secret_test_key_is_let_in(sandbox: Sandbox, key: str) -> None:
    assert ask(sandbox, Authorization=key).status_code == 200


@pytest.mark.parametrize(
    "key",
    [
        "Bearer sk_live_x",
        "Bearer rk_live_x",
        "Bearer nonsense",
        "Bearer",
        "Bearer pk_test_x",
        "Digest sk_test_x",
        "sk_test_x",
        basic("sk_live_x"),
        "Basic sk_test_x",
        "Basic ****",
        "Basic /w==",
        "",
    ],
)
def test_everything_else_is_401(sandbox: Sandbox, key: str) -> None:
    answer = ask(sandbox, Authorization=key)

    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")
    assert answer.headers["Request-Id"].startswith("req_")


def test_no_key_has_no_code(sandbox: Sandbox) -> None:
    answer = ask(sandbox)

    assert (answer.status_code, "code" in answer.json()["error"]) == (401, False)
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_publishable_key_is_refused_as_the_wrong_one(sandbox: Sandbox) -> None:
    answer = ask(sandbox, Authorization="Bearer pk_test_x")

    assert answer.json()["error"]["code"] == "secret_key_required"


def test_a_publishable_key_reads_and_confirms_with_the_intents_secret(sandbox: Sandbox, http: httpx2.Client) -> None:
    made = http.post("/v1/payment_intents", data=NEW | {"allowed_payment_method_types[]": "card"}).json()
    path, key = f"/v1/payment_intents/{made['id']}", {"Authorization": "Bearer pk_test_x"}
    with httpx2.Client(base_url=sandbox.url, headers=key, trust_env=False, verify=False) as browser:
        read = browser.get(path, params={"client_secret": made["client_secret"]})
        wrong = browser.get(path, params={"client_secret": "pi_x_secret_y"})
        without = browser.get(path)
        paid = browser.post(
            f"{path}/confirm", data={"client_secret": made["client_secret"], "payment_method": "pm_card_visa"}
        )
        capture = browser.post(f"{path}/capture")

    assert (read.json()["id"], paid.json()["status"]) == (made["id"], "succeeded")
    assert read.headers["Access-Control-Allow-Origin"] == "*"
    assert (wrong.status_code, without.status_code, capture.status_code) == (400, 400, 401)


def test_the_version_asked_for_is_echoed(http: httpx2.Client) -> None:
    answer = http.get("/v1/payment_intents", headers={"Stripe-Version": "2024-06-20"})

    assert answer.headers["Stripe-Version"] == "2024-06-20"


def test_a_malformed_version_is_refused(http: httpx2.Client) -> None:
    answer = http.get("/v1/payment_intents", headers={"Stripe-Version": "yesterday"})

    assert (answer.status_code, "code" in answer.json()["error"]) == (400, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2/core/events"),
        ("GET", "/v1/unheard_of"),
        ("PUT", "/v1/payment_intents"),
        ("PATCH", "/v1/payment_intents"),
        ("DELETE", "/v1/payment_intents/pi_1"),
        ("GET", "/v1/%00"),
        ("GET", "/_sandbox/unheard_of"),
        ("GET", "/_sandboxes"),
    ],
)
def test_an_unknown_address_is_404_in_stripes_words(http: httpx2.Client, method: str, path: str) -> None:
    answer = http.request(method, path)

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")


def test_head_is_get_without_a_body(http: httpx2.Client) -> None:
    answer, whole = http.head("/v1/refunds"), http.get("/v1/refunds")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(whole.content))


def test_options_says_what_there_is(sandbox: Sandbox) -> None:
    answer = ask(sandbox, method="OPTIONS")

    assert (answer.status_code, "POST" in answer.headers["Allow"]) == (204, True)


def test_a_body_that_is_too_large_is_413(http: httpx2.Client) -> None:
    answer = http.post("/v1/payment_intents", data={"description": "x" * 2_000_000})

    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize("media", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_a_body_that_is_no_form_is_refused(http: httpx2.Client, media: str) -> None:
    answer = http.post("/v1/payment_intents", content=b'{"amount": 1}', headers={"Content-Type": media})

    assert (answer.status_code, "application/x-www-form-urlencoded" in answer.text) == (400, True)
