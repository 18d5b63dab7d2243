"""Tokens: which get in, and the many that do not."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from booking_payments.entrypoints.http.auth import TokenRules, authenticate
from booking_payments.entrypoints.http.problems import Refused
from tests.integration.http.api import JWT_SECRET, Api, problem_of

RULES = TokenRules(key=JWT_SECRET, algorithm="HS256")
STRICT = TokenRules(key=JWT_SECRET, algorithm="HS256", issuer="https://issuer.example", audience="payments")
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def soon() -> int:
    return int(time.time()) + 600


def signed(claims: dict[str, Any], headers: dict[str, Any] | None = None, key: str = JWT_SECRET) -> str:
    return jwt.encode({"sub": "ann", "exp": soon(), **claims}, key, "HS256", headers=headers)


def without(claim: str) -> str:
    claims = {"sub": "ann", "exp": soon()}
    del claims[claim]
    return jwt.encode(claims, JWT_SECRET, "HS256")


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_made(header: Any, payload: Any) -> str:
    """Correctly signed, whatever its parts are."""
    from hashlib import sha256
    from hmac import digest

    content = f"{part(header)}.{part(payload)}"
    return f"{content}.{part(digest(JWT_SECRET.encode(), content.encode(), sha256))}"


HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS = {"sub": "ann", "exp": 4_000_000_000}
UNSIGNED = f"{part({'alg': 'none'})}.{part({'sub': 'ann', 'exp': soon()})}."
HOSTILE = {
    "unsigned": UNSIGNED,
    "unsigned, oddly written": UNSIGNED.replace(part({"alg": "none"}), part({"alg": "nOnE"})),
    "unsigned, with a signature": UNSIGNED + "abc",
    "empty signature": signed({}).rpartition(".")[0] + ".",
    "no signature": signed({}).rpartition(".")[0],
    "another key": signed({}, key="x" * 40),
    "empty key": hand_made(HEADER, {"sub": "ann", "exp": soon()})[:-6] + "AAAAAA",
    "another algorithm": jwt.encode({"sub": "ann", "exp": soon()}, "x" * 64, "HS512"),
    "HS384 with our key": jwt.encode({"sub": "ann", "exp": soon()}, JWT_SECRET + "-" * 16, "HS384"),
    "elliptic": jwt.encode({"sub": "ann", "exp": soon()}, PRIVATE, "ES256"),
    "changed payload": ".".join(
        [signed({}).split(".")[0], part({"sub": "bob", "exp": soon()}), signed({}).split(".")[2]]
    ),
    "no exp": without("exp"),
    "no sub": without("sub"),
    "expired": signed({"exp": int(time.time()) - 60}),
    "expired long ago": signed({"exp": 0}),
    "negative end": signed({"exp": -1}),
    "ends in a thousand years": signed({"exp": int(time.time()) + 1000 * 366 * 86400}),
    "ends at infinity": hand_made(HEADER, b'{"sub": "ann", "exp": 1e999}'),
    "end is text": hand_made(HEADER, {"sub": "ann", "exp": str(soon())}),
    "end is a list": hand_made(HEADER, {"sub": "ann", "exp": [soon()]}),
    "end is true": hand_made(HEADER, {"sub": "ann", "exp": True}),
    "not yet": signed({"nbf": soon()}),
    "issued in the future": signed({"iat": soon()}),
    "no name": signed({"sub": ""}),
    "a number for a name": hand_made(HEADER, {"sub": 5, "exp": soon()}),
    "null for a name": hand_made(HEADER, {"sub": None, "exp": soon()}),
    "a list for a name": hand_made(HEADER, {"sub": ["ann"], "exp": soon()}),
    "a long name": signed({"sub": "a" * 256}),
    "a name with a NUL": signed({"sub": "ann\x00"}),
    "a name on two lines": signed({"sub": "ann\nbob"}),
    "scope as a list": signed({"scope": ["payments:operate"]}),
    "scope as a number": signed({"scope": 1}),
    "the name twice": hand_made(HEADER, f'{{"sub": "bob", "sub": "ann", "exp": {soon()}}}'.encode()),
    "the algorithm twice": hand_made(b'{"alg": "none", "alg": "HS256"}', {"sub": "ann", "exp": soon()}),
    "an embedded key": signed({}, {"jwk": {"kty": "oct", "k": part(b"x" * 40)}}),
    "a key to fetch": signed({}, {"jku": "https://evil.example/keys"}),
    "a certificate to fetch": signed({}, {"x5u": "https://evil.example/cert"}),
    "an unknown demand": signed({}, {"crit": ["exp"]}),
    "another type": signed({}, {"typ": "at-refresh"}),
    "header is a list": hand_made([], {"sub": "ann", "exp": soon()}),
    "payload is a list": hand_made(HEADER, []),
    "payload is text": hand_made(HEADER, "ann"),
    "payload is no JSON": hand_made(HEADER, b"{"),
    "payload is no UTF-8": hand_made(HEADER, b"\xff\xfe"),
    "deep payload": hand_made(HEADER, b"[" * 900 + b"]" * 900),
    "two parts": "a.b",
    "five parts": "a.b.c.d.e",
    "dots": "..",
    "too long": signed({"x": "y" * 5000}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_does_not_get_in(name: str) -> None:
    with pytest.raises(Refused) as refused:
        authenticate(f"Bearer {HOSTILE[name]}", RULES)

    assert refused.value.problem.code == "token_invalid"


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "bearer a b", "Token x", "x" * 10_000, "\u00e4"])
def test_a_header_that_is_no_bearer_token_does_not_get_in(header: str) -> None:
    with pytest.raises(Refused) as refused:
        authenticate(header, RULES)

    assert refused.value.problem.status == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "payments"},
        {"iss": "https://issuer.example"},
        {"iss": "https://evil.example", "aud": "payments"},
        {"iss": "https://issuer.example", "aud": "others"},
        {"iss": "https://issuer.example", "aud": None},
    ],
)
def test_issuer_and_audience_are_asked_for_where_configured(claims: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        authenticate(f"Bearer {signed(claims)}", STRICT)


def test_the_right_issuer_and_audience_get_in() -> None:
    claims = {"iss": "https://issuer.example", "aud": ["payments", "others"]}

    assert authenticate(f"Bearer {signed(claims)}", STRICT).issuer == "https://issuer.example"


def test_an_audience_is_no_obstacle_where_none_is_configured() -> None:
    assert authenticate(f"Bearer {signed({'aud': 'anything'})}", RULES).subject == "ann"


def test_a_valid_token_names_its_bearer() -> None:
    assert authenticate(f"Bearer {signed({})}", RULES).subject == "ann"


def test_scopes_are_separated_by_spaces() -> None:
    principal = authenticate(f"Bearer {signed({'scope': 'bookings:write  payments:operate'})}", RULES)

    assert principal.scopes == {"bookings:write", "payments:operate"}


def test_an_elliptic_key_checks_elliptic_tokens() -> None:
    rules = TokenRules(key=PUBLIC_PEM, algorithm="ES256")
    token = jwt.encode({"sub": "ann", "exp": soon()}, PRIVATE, "ES256")

    assert authenticate(f"Bearer {token}", rules).subject == "ann"


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = rsa_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    from hashlib import sha256
    from hmac import digest

    content = f"{part(HEADER)}.{part({'sub': 'ann', 'exp': soon()})}"
    confused = f"{content}.{part(digest(pem, content.encode(), sha256))}"

    with pytest.raises(Refused):
        authenticate(f"Bearer {confused}", TokenRules(key=pem.decode(), algorithm="RS256"))


def test_without_a_token_the_answer_asks_for_one(api: Api) -> None:
    response = api.get("/api/payment/config/")

    assert problem_of(response)["code"] == "token_missing"
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_bad_token_is_told_apart_from_none(api: Api) -> None:
    response = api.get("/api/payment/config/", {"Authorization": f"Bearer {UNSIGNED}"})

    assert problem_of(response)["code"] == "token_invalid"
