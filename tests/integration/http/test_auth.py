"""Tokens: which are accepted, and the many that are not."""

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from booking_payments.entrypoints.http.auth import MAX_TOKEN, Access, TokenRules, authenticate, caller_for, rules_of
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.runtime.settings import load_settings
from tests.integration.http.api import JWT_SECRET, Api, problem_of, settings
from tests.rows import row

RULES = TokenRules(key=JWT_SECRET, algorithm="HS256")
STRICT = TokenRules(key=JWT_SECRET, algorithm="HS256", issuer="https://issuer.example", audience="payments")
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def soon() -> int:
    return int(time.time()) + 4 * 3600  # many tokens are made before the first test runs


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
    """Sign the given parts correctly, even when they are malformed."""
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
def test_a_hostile_token_is_refused(name: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        authenticate(f"Bearer {HOSTILE[name]}", RULES)

    assert refused.value.problem.code == "token_invalid"


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "bearer a b", "Token x", "x" * 10_000, "\u00e4"])
def test_a_header_without_a_bearer_token_is_refused(header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
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
def test_issuer_and_audience_are_required_if_configured(claims: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused):
        authenticate(f"Bearer {signed(claims)}", STRICT)


def test_the_configured_issuer_and_audience_are_accepted() -> None:
    claims = {"iss": "https://issuer.example", "aud": ["payments", "others"]}

    assert authenticate(f"Bearer {signed(claims)}", STRICT).issuer == "https://issuer.example"


def test_an_audience_is_ignored_if_none_is_configured() -> None:
    assert authenticate(f"Bearer {signed({'aud': 'anything'})}", RULES).subject == "ann"


def test_a_valid_token_has_a_subject() -> None:
    assert authenticate(f"Bearer {signed({})}", RULES).subject == "ann"


def test_scopes_are_separated_by_spaces() -> None:
    principal = authenticate(f"Bearer {signed({'scope': 'bookings:write  payments:operate'})}", RULES)

    assert principal.scopes == {"bookings:write", "payments:operate"}


def test_an_ec_key_verifies_es256_tokens() -> None:
    rules = TokenRules(key=PUBLIC_PEM, algorithm="ES256")
    token = jwt.encode({"sub": "ann", "exp": soon()}, PRIVATE, "ES256")

    assert authenticate(f"Bearer {token}", rules).subject == "ann"


def test_a_token_signed_with_the_public_key_as_hmac_secret_is_refused() -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = rsa_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    from hashlib import sha256
    from hmac import digest

    content = f"{part(HEADER)}.{part({'sub': 'ann', 'exp': soon()})}"
    confused = f"{content}.{part(digest(pem, content.encode(), sha256))}"

    with pytest.raises(RequestRefused):
        authenticate(f"Bearer {confused}", TokenRules(key=pem.decode(), algorithm="RS256"))


def test_without_a_token_the_response_asks_for_one(api: Api) -> None:
    response = api.get("/api/payment/config/")

    assert problem_of(response)["code"] == "token_missing"
    assert response.headers["www-authenticate"] == "Bearer"


def test_an_invalid_token_and_a_missing_one_have_different_codes(api: Api) -> None:
    response = api.get("/api/payment/config/", {"Authorization": f"Bearer {UNSIGNED}"})

    assert problem_of(response)["code"] == "token_invalid"


# --- public keys: the same attacks on RS256 and ES256, and those that only public keys have

ALGORITHMS = ("RS256", "ES256")


@cache
def keys_for(algorithm: str) -> tuple[Any, bytes, Any]:
    """The service's key pair and an attacker's key: made for the first test that uses them, since RSA takes long."""
    if algorithm == "ES256":
        return PRIVATE, PUBLIC_PEM.encode(), ec.generate_private_key(ec.SECP256R1())
    private, strange = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return private, private.public_key().public_bytes(*form), strange


def with_mac(header: Any, key: bytes, name: str = "sha256") -> str:
    """A token signed by HMAC with a key of the attacker's choice."""
    from hmac import digest

    content = f"{part(header)}.{part({'sub': 'ann', 'exp': soon()})}"
    return f"{content}.{part(digest(key, content.encode(), name))}"


def forged(algorithm: str) -> dict[str, str]:
    """Tokens that are not signed with the service's private key, or that name another algorithm."""
    private, pem, strange = keys_for(algorithm)
    claims = {"sub": "ann", "exp": soon()}
    genuine = jwt.encode(claims, private, algorithm)
    head, payload, signature = genuine.split(".")
    der = load_pem(pem).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    strange_jwk = {"kty": "oct", "k": part(b"x" * 32)}
    hmac_keys = {"PEM": pem, "stripped PEM": pem.strip(), "DER": der, "nothing": b"", "the shared secret": b"x" * 32}
    confused = {f"HS256 with {name}": with_mac({"alg": "HS256", "typ": "JWT"}, key) for name, key in hmac_keys.items()}
    renamed = {
        f"HMAC under the name {algorithm}, with {name}": with_mac({"alg": algorithm, "typ": "JWT"}, key)
        for name, key in hmac_keys.items()
    }
    return {
        **confused,
        **renamed,
        "HS384 with PEM": with_mac({"alg": "HS384", "typ": "JWT"}, pem, "sha384"),
        "HS512 with PEM": with_mac({"alg": "HS512", "typ": "JWT"}, pem, "sha512"),
        "HS256 with the service's secret": signed({}),
        "a stranger's key": jwt.encode(claims, strange, algorithm),
        "a stranger's key, embedded": jwt.encode(claims, strange, algorithm, headers={"jwk": strange_jwk}),
        "a stranger's key, to fetch": jwt.encode(claims, strange, algorithm, headers={"jku": "http://127.0.0.1/k"}),
        "a stranger's certificate": jwt.encode(claims, strange, algorithm, headers={"x5c": ["AAAA"]}),
        "a key from the file system": with_mac({"alg": "HS256", "typ": "JWT", "kid": "../../dev/null"}, b""),
        "a key from the database": with_mac({"alg": "HS256", "typ": "JWT", "kid": "' UNION SELECT 'x"}, b"x"),
        "a key by its kid, a stranger's": jwt.encode(claims, strange, algorithm, headers={"kid": "../../etc/passwd"}),
        "none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "None": f"{part({'alg': 'None', 'typ': 'JWT'})}.{payload}.{signature}",
        "NONE": f"{part({'alg': 'NONE', 'typ': 'JWT'})}.{payload}.",
        "no algorithm": f"{part({'typ': 'JWT'})}.{payload}.{signature}",
        "an algorithm that is null": f"{part({'alg': None, 'typ': 'JWT'})}.{payload}.{signature}",
        "an algorithm that is a list": f"{part({'alg': [algorithm], 'typ': 'JWT'})}.{payload}.{signature}",
        "in lower case": f"{part({'alg': algorithm.lower(), 'typ': 'JWT'})}.{payload}.{signature}",
        "another header": f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'x'})}.{payload}.{signature}",
        "another payload": f"{head}.{part({'sub': 'bob', 'exp': soon()})}.{signature}",
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "a signature of zeros": f"{head}.{payload}.{part(bytes(64))}",
        "half a signature": f"{head}.{payload}.{signature[: len(signature) // 2]}",
        "a signature twice": f"{head}.{payload}.{signature}{signature}",
        "a signature spoilt": f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "expired": jwt.encode({**claims, "exp": 1}, private, algorithm),
        "no end": jwt.encode({"sub": "ann"}, private, algorithm),
        "no name": jwt.encode({"exp": soon()}, private, algorithm),
        "not yet": jwt.encode({**claims, "nbf": soon()}, private, algorithm),
        "a stranger's type": jwt.encode(claims, private, algorithm, headers={"typ": "logout+jwt"}),
        "an unknown demand": jwt.encode(claims, private, algorithm, headers={"crit": ["b64"], "b64": False}),
        "large": f"{head}.{part({'sub': 'ann', 'exp': soon(), 'x': 'y' * 1_000_000})}.{signature}",
    }


def load_pem(pem: bytes) -> Any:
    return serialization.load_pem_public_key(pem)


def test_there_are_at_least_forty_hostile_tokens_for_each_algorithm() -> None:
    assert min(len(HOSTILE), *(len(forged(algorithm)) for algorithm in ALGORITHMS)) >= 40


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_not_signed_by_the_private_key_is_refused(algorithm: str) -> None:
    rules = TokenRules(key=keys_for(algorithm)[1].decode(), algorithm=algorithm)

    for name, forgery in forged(algorithm).items():
        with row(name):
            with pytest.raises(RequestRefused) as refused:
                authenticate(f"Bearer {forgery}", rules)

            assert (refused.value.problem.status, refused.value.problem.code) == (401, "token_invalid")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_signed_by_the_private_key_is_accepted(algorithm: str) -> None:
    private, pem, _ = keys_for(algorithm)
    token = jwt.encode({"sub": "ann", "exp": soon(), "scope": "bookings:write"}, private, algorithm)

    assert authenticate(f"Bearer {token}", TokenRules(key=pem.decode(), algorithm=algorithm)).writes_bookings


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
def test_another_algorithm_with_the_right_key_is_refused(algorithm: str) -> None:
    private, pem, _ = keys_for("RS256")
    token = jwt.encode({"sub": "ann", "exp": soon()}, private, algorithm)

    with pytest.raises(RequestRefused):
        authenticate(f"Bearer {token}", TokenRules(key=pem.decode(), algorithm="RS256"))


def test_the_token_rules_come_from_the_settings() -> None:
    pem = keys_for("RS256")[1].decode()
    given = {"JWT_PUBLIC_KEY": pem, "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "payments"}
    own = load_settings({**given, "PAYMENT_GATEWAY": "fake"}, env_file=None)

    assert rules_of(own) == TokenRules(
        key=pem.strip(), algorithm="RS256", issuer="https://issuer.example", audience="payments"
    )
    assert rules_of(settings()) == TokenRules(key=JWT_SECRET, algorithm="HS256", issuer=None, audience=None)
    assert JWT_SECRET not in repr(rules_of(settings()))


@pytest.mark.parametrize("name", [name for name, token in HOSTILE.items() if token.isascii()])
def test_a_hostile_token_is_401_over_http(api: Api, name: str) -> None:
    response = api.get("/api/payment/config/", {"Authorization": f"Bearer {HOSTILE[name]}"})

    assert (response.status_code, problem_of(response)["code"]) == (401, "token_invalid")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_of_a_megabyte_is_too_large(api: Api) -> None:
    response = api.get("/api/payment/config/", {"Authorization": "Bearer " + "a" * 1_000_000})

    assert (response.status_code, problem_of(response)["code"]) == (413, "too_large")


# --- limits


@pytest.mark.parametrize(
    ("length", "gets_in"), [(MAX_TOKEN, True), (MAX_TOKEN + 1, False)], ids=["at the limit", "above it"]
)
def test_a_header_has_at_most_four_kilobytes(length: int, gets_in: bool) -> None:
    header = f"Bearer {signed({})}"
    header += " " * (length - len(header))

    if gets_in:
        assert authenticate(header, RULES).subject == "ann"
    else:
        with pytest.raises(RequestRefused):
            authenticate(header, RULES)


@pytest.mark.parametrize("subject", ["a", "a" * 255])
def test_a_subject_has_one_to_255_characters(subject: str) -> None:
    assert authenticate(f"Bearer {signed({'sub': subject})}", RULES).subject == subject


def test_small_clock_differences_are_accepted() -> None:
    assert authenticate(f"Bearer {signed({'exp': int(time.time()) - 1})}", RULES).subject == "ann"


def test_a_token_without_a_scope_has_none() -> None:
    assert authenticate(f"Bearer {signed({})}", RULES).scopes == frozenset()


@pytest.mark.parametrize(
    "header", [{"alg": "HS256"}, {"alg": "HS256", "typ": "at+jwt"}, {"alg": "HS256", "typ": "JWT", "kid": "key-1"}]
)
def test_a_minimal_header_is_accepted(header: dict[str, str]) -> None:
    assert authenticate(f"Bearer {hand_made(header, {'sub': 'ann', 'exp': soon()})}", RULES).subject == "ann"


@pytest.mark.parametrize(
    ("access", "scopes", "actor"),
    [
        (Access.OWNER, "payments:operate bookings:write", "customer:ann"),
        (Access.TOKEN, "payments:operate", "customer:ann"),
        (Access.OWNER_OR_OPERATOR, "payments:operate", "operator:ann"),
        (Access.OWNER_OR_OPERATOR, "bookings:write", "customer:ann"),
        (Access.OPERATOR, "payments:operate", "operator:ann"),
        (Access.READER, "bookings:write", "service:ann"),
        (Access.READER, "payments:operate bookings:write", "operator:ann"),
        (Access.READER, "", "customer:ann"),
        (Access.BOOKING_APP, "bookings:write payments:operate", "service:ann"),
    ],
)
def test_a_caller_acts_in_the_widest_role_that_the_route_grants(access: Access, scopes: str, actor: str) -> None:
    principal = authenticate(f"Bearer {signed({'scope': scopes})}", RULES)

    caller = caller_for(access, principal, "req_1")

    assert (caller.actor, caller.cause) == (actor, "req_1")
