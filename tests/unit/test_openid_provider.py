"""Log-in at an OpenID provider: which ID tokens and metadata are accepted. The provider runs here, with real keys."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs
import httpx2
import jwt
import pytest
from attrs import define
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.adapters.network import Network
from booking_payments.adapters.openid.claims import has_one_of, operator_in
from booking_payments.adapters.openid.provider import (
    AT_ONCE,
    FAILED_FOR,
    FRESH,
    LONGEST_HINT,
    OpenIdProvider,
    ProviderConfig,
)
from booking_payments.adapters.openid.sealing import opened, sealed
from booking_payments.adapters.openid.transport import LARGEST, GuardedTransport, NotAllowed
from booking_payments.entrypoints.pages.console.openid import secrets_of
from booking_payments.ports.identity_provider import LoggedIn, LogInRejected, ProviderUnavailable, TooManyLogIns
from booking_payments.testing.kit import NOW
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, Json, Provider, unsigned

SECRETS = secrets_of("s" * 43)
CONFIG = ProviderConfig(
    issuer=ISSUER,
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    scopes="openid profile email",
    endpoint_hosts=(),
    role_claim="roles",
    read_values=("payments:read",),
    operate_values=("payments:operate",),
    own_address="https://pay.example",
    callback="/console/login/openid/callback",
    after_log_out="/console/login",
)


@pytest.fixture
def provider() -> Provider:
    return Provider(ManualClock(NOW))


def client_of(provider: Provider, **changes: Any) -> OpenIdProvider:
    network = Network(proxies={})
    return OpenIdProvider(attrs.evolve(CONFIG, **changes), provider.clock, network=network, inner=provider.transport)


async def log_in(provider: Provider, client: OpenIdProvider | None = None, issuer: str | None = None) -> LoggedIn:
    """Log in as a browser does."""
    client = client or client_of(provider)
    callback = provider.authorize(await client.log_in_url(SECRETS))
    return await client.log_in(code_in(callback), SECRETS, issuer)


def code_in(callback: str) -> str:
    return parse_qs(urlsplit(callback).query)["code"][0]


async def test_an_operator_is_named_as_the_provider_names_them(provider: Provider) -> None:
    logged_in = await log_in(provider)

    assert logged_in.operator.actor == "Olga Example <olga@example.com> (248289761001)"
    assert (logged_in.may_read, logged_in.may_act) == (True, True)


async def test_the_request_proves_the_browser_and_asks_for_no_more_than_the_settings_say(provider: Provider) -> None:
    asked = parse_qs(urlsplit(await client_of(provider).log_in_url(SECRETS)).query)

    assert asked["scope"] == ["openid profile email"]
    assert asked["redirect_uri"] == ["https://pay.example/console/login/openid/callback"]
    assert asked["code_challenge_method"] == ["S256"]
    assert SECRETS.code_verifier not in str(asked)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda claims: {**claims, "nonce": "another"}, "nonce"),
        (lambda claims: {name: value for name, value in claims.items() if name != "nonce"}, "nonce"),
        (lambda claims: {**claims, "iss": "https://evil.example"}, "iss"),
        (lambda claims: {**claims, "iss": f"{ISSUER}/"}, "iss"),
        (lambda claims: {**claims, "aud": "another-client"}, "aud"),
        (lambda claims: {**claims, "aud": ["another-client"]}, "aud"),
        (lambda claims: {**claims, "aud": [CLIENT_ID, "another-client"]}, "azp"),
        (lambda claims: {**claims, "azp": "another-client"}, "azp"),
        (lambda claims: {**claims, "exp": claims["iat"] - 31}, "expired"),
        (lambda claims: {**claims, "iat": claims["iat"] + 3600}, "in the future"),
        (lambda claims: {**claims, "nbf": claims["iat"] + 3600}, "not yet valid"),
        (lambda claims: {name: value for name, value in claims.items() if name != "exp"}, "exp"),
        (lambda claims: {name: value for name, value in claims.items() if name != "sub"}, "sub"),
        (lambda claims: {**claims, "sub": ""}, "subject"),
        (lambda claims: {**claims, "sub": "x" * 256}, "subject"),
        (lambda claims: {**claims, "sub": "a\u202eb"}, "subject"),
        (lambda claims: {**claims, "sub": "a\r\nSet-Cookie: x=1"}, "subject"),
        (lambda claims: {**claims, "sub": 248289761001}, "sub"),
        (lambda claims: {**claims, "sub": ["248289761001"]}, "sub"),
        (lambda claims: {**claims, "at_hash": "of-another-access-token"}, "at_hash"),
    ],
)
async def test_an_id_token_with_another_claim_proves_nothing(
    provider: Provider, change: Callable[[Json], Json], reason: str
) -> None:
    provider.change_token = change

    with pytest.raises(LogInRejected, match=reason):
        await log_in(provider)


def _of_another_key(claims: Json) -> str:
    return Provider(ManualClock(NOW)).signed(claims)


async def test_an_unsigned_id_token_proves_nothing(provider: Provider) -> None:
    provider.sign = unsigned

    with pytest.raises(LogInRejected, match="ID token"):
        await log_in(provider)


async def test_a_public_key_is_no_secret_for_a_signature(provider: Provider) -> None:
    provider.sign = provider.signed_by_public_key

    with pytest.raises(LogInRejected, match="ID token"):
        await log_in(provider)


async def test_a_provider_cannot_make_us_accept_a_shared_secret_by_announcing_it(provider: Provider) -> None:
    provider.metadata = {"id_token_signing_alg_values_supported": ["HS256", "none"]}

    with pytest.raises(ProviderUnavailable, match="signs ID tokens with none of"):
        await log_in(provider)


async def test_an_id_token_of_another_key_proves_nothing(provider: Provider) -> None:
    provider.sign = _of_another_key

    with pytest.raises(LogInRejected, match="ID token"):
        await log_in(provider)


@pytest.mark.parametrize("text", ["", "nonsense", "a.b.c", "e30.e30.", "[]"])
async def test_text_that_is_no_token_proves_nothing(provider: Provider, text: str) -> None:
    provider.sign = lambda _: text

    with pytest.raises(LogInRejected):
        await log_in(provider)


async def test_a_new_key_of_the_provider_is_read_when_it_is_used(provider: Provider) -> None:
    client = client_of(provider)
    await log_in(provider, client)
    provider.rotate()

    assert (await log_in(provider, client)).may_act
    assert provider.requests.count("/keys") == 2


async def test_a_key_with_the_old_name_and_new_content_is_read_anew(provider: Provider) -> None:
    client = client_of(provider)
    await log_in(provider, client)
    provider.rotate()
    provider.kid = "key-1"

    assert (await log_in(provider, client)).may_act


async def test_a_withdrawn_key_is_not_used_for_longer_than_an_hour(provider: Provider) -> None:
    client = client_of(provider)
    await log_in(provider, client)
    old, old_id = provider.key, provider.kid
    provider.rotate()
    provider.sign = lambda claims: jwt.encode(claims, old, "ES256", headers={"kid": old_id})
    assert (await log_in(provider, client)).may_act

    provider.clock.advance(FRESH)

    with pytest.raises(LogInRejected):
        await log_in(provider, client)


async def test_rsa_keys_work_and_weak_ones_do_not(provider: Provider) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "rsa"}
    provider.published = [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}, public]
    provider.sign = lambda claims: jwt.encode(claims, key, "RS256", headers={"kid": "rsa"})
    assert (await log_in(provider)).may_act

    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is refused
    provider.published = [{**RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "rsa"}]
    with pytest.raises(ProviderUnavailable, match="no key that can be used"):
        await log_in(provider)


async def test_a_code_is_taken_once(provider: Provider) -> None:
    client = client_of(provider)
    code = code_in(provider.authorize(await client.log_in_url(SECRETS)))
    await client.log_in(code, SECRETS, None)

    with pytest.raises(LogInRejected, match="invalid_grant"):
        await client.log_in(code, SECRETS, None)


async def test_a_stolen_code_is_of_no_use_without_the_verifier(provider: Provider) -> None:
    client = client_of(provider)
    code = code_in(provider.authorize(await client.log_in_url(SECRETS)))

    with pytest.raises(LogInRejected, match="invalid_grant"):
        await client.log_in(code, secrets_of("t" * 43), None)


async def test_a_callback_that_names_another_issuer_is_rejected(provider: Provider) -> None:
    with pytest.raises(LogInRejected, match="another issuer"):
        await log_in(provider, issuer="https://evil.example")
    assert (await log_in(provider, issuer=ISSUER)).may_act

    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(LogInRejected, match="does not name the issuer"):
        await log_in(provider)


# --- the provider's documents, and the way there


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://evil.example"}, "the same text"),
        ({"token_endpoint": "http://id.example/token"}, "token_endpoint .* not an https address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint .* not an https"),
        ({"end_session_endpoint": "https://id.example@evil.example/"}, "end_session_endpoint .* not an https"),
        ({"token_endpoint": "https://evil.example/token"}, r"evil\.example is not the host of OIDC_ISSUER"),
        ({"jwks_uri": "https://169.254.169.254/keys"}, "is not the host of OIDC_ISSUER"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"token_endpoint": 7}, "cannot be read"),
    ],
)
async def test_a_discovery_document_that_leads_elsewhere_is_refused(
    provider: Provider, changes: Json, reason: str
) -> None:
    provider.metadata = changes

    with pytest.raises(ProviderUnavailable, match=reason):
        await log_in(provider)


async def test_other_hosts_of_the_provider_are_named_in_the_settings(provider: Provider) -> None:
    provider.metadata = {"token_endpoint": "https://token.example/token"}

    assert (await log_in(provider, client_of(provider, endpoint_hosts=("token.example",)))).may_act


async def test_no_redirect_is_followed(provider: Provider) -> None:
    provider.redirects = True

    with pytest.raises(ProviderUnavailable, match="redirects are not followed"):
        await log_in(provider)


async def test_a_provider_that_is_down_is_named(provider: Provider) -> None:
    client = client_of(provider)
    await log_in(provider, client)
    provider.down = True

    with pytest.raises(ProviderUnavailable, match=r"id\.example cannot be reached"):
        await client.log_in("a-code", SECRETS, None)
    with pytest.raises(ProviderUnavailable, match=r"id\.example cannot be reached"):
        await client_of(provider).log_in_url(SECRETS)
    assert (await client.log_out_url(None) or "").startswith(f"{ISSUER}/log-out?")


async def test_a_provider_that_is_down_is_not_asked_again_at_once(provider: Provider) -> None:
    """The address that asks the provider is public."""
    provider.metadata = {"issuer": "https://evil.example"}
    client = client_of(provider)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable, match="the same text"):
            await client.log_in_url(SECRETS)
    assert len(provider.requests) == 1

    provider.metadata = {}
    provider.clock.advance(FAILED_FOR)
    assert await client.log_in_url(SECRETS)


@define
class _Slow(httpx2.AsyncBaseTransport):
    """A provider whose token endpoint does not answer before ``goes_on`` is set."""

    inner: httpx2.AsyncBaseTransport
    goes_on: anyio.Event
    waiting: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            self.waiting += 1
            await self.goes_on.wait()
        return await self.inner.handle_async_request(request)


async def test_the_provider_is_asked_for_few_log_ins_at_once_and_the_others_are_turned_away(
    provider: Provider,
) -> None:
    slow = _Slow(provider.transport, anyio.Event())
    client = OpenIdProvider(CONFIG, provider.clock, wait_s=0, network=Network(proxies={}), inner=slow)
    url = await client.log_in_url(SECRETS)
    codes = [code_in(provider.authorize(url)) for _ in range(AT_ONCE)]
    async with anyio.create_task_group() as tasks:
        for code in codes:
            tasks.start_soon(client.log_in, code, SECRETS, None)
        await anyio.wait_all_tasks_blocked()

        with pytest.raises(TooManyLogIns):
            await client.log_in("a-code", SECRETS, None)
        assert slow.waiting == AT_ONCE
        slow.goes_on.set()

    assert (await log_in(provider, client)).may_act


async def _answered(answer: httpx2.Response) -> httpx2.Response:
    transport = GuardedTransport(
        {"id.example"}, network=Network(proxies={}), inner=httpx2.MockTransport(lambda _: answer)
    )
    async with httpx2.AsyncClient(transport=transport) as client:
        return await client.get(f"{ISSUER}/")


async def test_answers_that_are_large_or_packed_are_not_read() -> None:
    assert (await _answered(_answer(b"x" * LARGEST))).status_code == 200
    with pytest.raises(NotAllowed, match="too large"):
        await _answered(_answer(b"x" * (LARGEST + 1)))
    with pytest.raises(NotAllowed, match="packs"):
        await _answered(_answer(b"x", {"content-encoding": "gzip"}))


@define
class _Bytes(httpx2.AsyncByteStream):
    content: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


def _answer(content: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(200, headers=headers, stream=_Bytes(content))


@pytest.mark.parametrize(
    "url", ["http://id.example/", "https://id.example.evil.example/", "https://u@id.example/", "x"]
)
def test_no_request_goes_to_another_address(url: str) -> None:
    with pytest.raises(NotAllowed):
        GuardedTransport({"id.example"}, network=Network(proxies={})).require_allowed(url)


async def test_examining_says_what_is_wrong_with_the_client(provider: Provider) -> None:
    assert re.search(r"1 keys, with log-out, and knows the client", await client_of(provider).examine())

    with pytest.raises(ProviderUnavailable, match="OIDC_CLIENT_ID and OIDC_CLIENT_SECRET"):
        await client_of(provider, client_secret="a wrong one").examine()


async def test_the_log_out_at_the_provider_leads_back_here(provider: Provider) -> None:
    logged_in = await log_in(provider)
    asked = parse_qs(urlsplit(await client_of(provider).log_out_url(logged_in.id_token) or "").query)

    assert asked["post_logout_redirect_uri"] == ["https://pay.example/console/login"]
    assert asked["id_token_hint"] == [logged_in.id_token]
    too_long = parse_qs(urlsplit(await client_of(provider).log_out_url("x" * (LONGEST_HINT + 1)) or "").query)
    assert too_long.keys() == {"client_id", "post_logout_redirect_uri"}
    provider.metadata = {"end_session_endpoint": None}
    assert await client_of(provider).log_out_url(logged_in.id_token) is None


# --- roles and names


@pytest.mark.parametrize(
    ("claim", "claims", "found"),
    [
        ("roles", {"roles": ["x", "payments:read"]}, True),
        ("roles", {"roles": "payments:read"}, True),
        ("scope", {"scope": "openid payments:read"}, True),
        ("roles", {"roles": {"payments:read": {"org": "1"}}}, True),
        ("roles", {"roles": {"payments:read": True}}, True),
        ("roles", {"roles": {"payments:read": False, "payments:operate": True}}, False),
        ("roles", {"roles": {"payments:read": None}}, False),
        ("roles", {"roles": {"payments:read": {}}}, False),
        ("roles", {"roles": {"payments:read": {"enabled": False}}}, False),
        ("roles", {"roles": {"payments:read": "False"}}, False),
        ("realm_access", {"realm_access": {"payments:read": 0}}, False),
        ("roles", {"roles": "payments:read payments:operate"}, False),
        ("realm_access.roles", {"realm_access": {"roles": ["payments:read"]}}, True),
        ("resource_access.pay.example.roles", {"resource_access": {"pay.example": {"roles": ["payments:read"]}}}, True),
        ("https://pay.example/roles", {"https://pay.example/roles": ["payments:read"]}, True),
        ("roles", {"roles": ["payments:reader", "PAYMENTS:READ"]}, False),
        ("roles", {"roles": [["payments:read"], 7, None]}, False),
        ("roles", {"roles": True}, False),
        ("roles", {}, False),
        ("realm_access.roles", {"realm_access": ["payments:read"]}, False),
    ],
)
def test_roles_are_found_in_the_claim_of_the_settings(claim: str, claims: Json, found: bool) -> None:
    assert has_one_of({"payments:read"}, claims, claim) is found


def test_an_address_that_is_not_verified_gives_no_role() -> None:
    typed = {"email": "boss@example.com"}

    assert has_one_of({"boss@example.com"}, {**typed, "email_verified": True}, "email")
    assert not has_one_of({"boss@example.com"}, {**typed, "email_verified": False}, "email")
    assert not has_one_of({"boss@example.com"}, typed, "email")


def test_only_a_scope_is_read_as_words() -> None:
    quoted = '"a olga@example.com b"@elsewhere.example'

    assert not has_one_of({"olga@example.com"}, {"email": quoted, "email_verified": True}, "email")
    assert not has_one_of({"olga@example.com"}, {"name": "a olga@example.com b"}, "name")
    assert has_one_of({"payments:read"}, {"scope": "openid payments:read"}, "scope")


def test_a_name_is_one_line_without_signs_that_reorder_it() -> None:
    claims = {"iss": ISSUER, "sub": "1", "name": "Ol\u202ega\n <(>", "email": "x@example.com", "email_verified": False}

    assert operator_in(claims).actor == f"Olga (1 at {ISSUER})"


@pytest.mark.parametrize(
    ("claims", "actor", "label"),
    [
        ({"email": "o@x.example", "email_verified": True}, "o@x.example (1)", "o@x.example"),
        ({"email": "o@x.example"}, f"1 at {ISSUER}", "1"),
        ({"email": "o@x.example", "email_verified": "true"}, f"1 at {ISSUER}", "1"),
        ({"name": "Olga", "email": "o@x.example"}, f"Olga (1 at {ISSUER})", "Olga"),
        ({"name": "o@x.example", "email": "o@x.example", "email_verified": False}, f"1 at {ISSUER}", "1"),
        ({"name": "o\uff20x.example", "preferred_username": "olga"}, f"olga (1 at {ISSUER})", "olga"),
        ({"name": "o@x.example", "email": "o@x.example", "email_verified": True}, "o@x.example (1)", "o@x.example"),
        ({"email": "o(@x.example", "email_verified": True}, f"1 at {ISSUER}", "1"),
        ({"email": "o@x.example\u200b", "email_verified": True}, f"1 at {ISSUER}", "1"),
        ({"email": f"o@{'x' * 200}.example", "email_verified": True}, f"1 at {ISSUER}", "1"),
        ({"name": ["Olga"], "email": 7, "email_verified": True}, f"1 at {ISSUER}", "1"),
    ],
)
def test_only_a_verified_address_names_an_operator(claims: Json, actor: str, label: str) -> None:
    found = operator_in({"iss": ISSUER, "sub": "1", **claims})

    assert (found.actor, found.label) == (actor, label)


def test_a_sealed_id_token_opens_with_its_secret_only() -> None:
    text = sealed("an.id.token", "a-secret")

    assert "an.id.token" not in text
    assert opened(text, "a-secret") == "an.id.token"
    assert opened(text, "another") is None
