"""A small OpenID provider with real keys, run in this process. Its attributes make it respond incorrectly."""

import base64
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import httpx2
import jwt
import uvicorn
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from litestar import Litestar, MediaType, Request, get, post
from litestar.response import Response

from booking_payments.adapters.memory.clock import ManualClock

ISSUER: Final = "https://id.example"
CLIENT_ID: Final = "booking-payments"
CLIENT_SECRET: Final = "a client's secret: of the tests"

Json = dict[str, Any]
OLGA: Final[Json] = {
    "sub": "248289761001",
    "name": "Olga Example",
    "email": "olga@example.com",
    "email_verified": True,
}
AnyRequest = Request[Any, Any, Any]


@define
class Grant:
    """A code that was issued, with what the browser brought."""

    nonce: str
    challenge: str
    redirect_uri: str
    used: bool = False


@define
class Provider:
    """The provider's state. ``claims`` are those of the user who is logged in there.

    Attributes:
        change_token: changes the claims of the next ID tokens, as a hostile provider or network would.
        sign: makes the ID token from the claims.
        change_metadata: changes the discovery document.
        requests: the paths that were requested.
        logged_out: the subjects of those who were logged out.
        down: no request is answered.
    """

    clock: ManualClock
    issuer: str = ISSUER
    claims: Json = field(factory=lambda: dict(OLGA))
    roles: Any = field(factory=lambda: ["payments:operate"])
    kid: str = "key-1"
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    published: list[Json] | None = None
    change_token: Callable[[Json], Json] = lambda claims: claims
    sign: Callable[[Json], str] | None = None
    metadata: Json = field(factory=dict)
    requests: list[str] = field(factory=list)
    down: bool = False
    redirects: bool = False
    grants: dict[str, Grant] = field(factory=dict)
    logged_out: list[str] = field(factory=list)

    # --- what a browser does

    def authorize(self, url: str, **instead: str) -> str:
        """Log the user in as the authorization endpoint does, and return the callback's address."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT_ID
        answer = {"state": asked["state"], **instead}
        if "error" not in instead:
            code = secrets.token_urlsafe(16)
            self.grants[code] = Grant(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
            answer["code"] = instead.get("code", code)
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    # --- what the service requests

    @property
    def app(self) -> Litestar:
        """The endpoints."""

        @get("/.well-known/openid-configuration")
        async def discovery() -> Json:
            return self._discovery()

        @get("/keys")
        async def keys() -> Json:
            self.requests.append("/keys")
            return {"keys": self.published if self.published is not None else [self.public_key()]}

        @post("/token", status_code=200)
        async def token(request: AnyRequest) -> Response[Json]:
            self.requests.append("/token")
            return self._token(request.headers.get("authorization", ""), (await request.body()).decode())

        @get("/authorize")
        async def authorize(request: AnyRequest) -> Response[str]:
            """The page on which a user logs in."""
            way_back = escape(self.authorize(str(request.url)))
            head = '<!doctype html><html lang="en"><title>Log in</title><link rel="icon" href="data:,">'
            page = f'{head}<a href="{way_back}">Log in here</a></html>'
            return Response(page, media_type=MediaType.HTML)

        @get("/log-out")
        async def log_out(request: AnyRequest) -> Response[None]:
            asked = dict(parse_qsl(urlsplit(str(request.url)).query))
            self.logged_out.append(jwt.decode(asked["id_token_hint"], options={"verify_signature": False})["sub"])
            return Response(None, status_code=303, headers={"Location": asked["post_logout_redirect_uri"]})

        pages = [discovery, keys, token, authorize, log_out]
        return Litestar(pages, openapi_config=None, logging_config=None)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the endpoints on a free port of this machine, and be the issuer there until the block ends."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.issuer = f"http://localhost:{listening.getsockname()[1]}"  # another site than http://127.0.0.1
            server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, ws="none"))
            thread = Thread(target=server.run, args=([listening],))
            thread.start()
            yield
            server.should_exit = True
            thread.join()

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """The way to the provider, for ``OpenIdProvider``."""
        app: Any = self.app  # the two libraries write the types of ASGI in two ways
        return _Way(self, httpx2.ASGITransport(app))

    def _discovery(self) -> Json:
        self.requests.append("/.well-known/openid-configuration")
        own = self.issuer
        return {
            "issuer": own,
            "authorization_endpoint": f"{own}/authorize",
            "token_endpoint": f"{own}/token",
            "jwks_uri": f"{own}/keys",
            "end_session_endpoint": f"{own}/log-out",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def public_key(self) -> Json:
        public: Json = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.key, self.kid = ec.generate_private_key(ec.SECP256R1()), f"{self.kid}+"

    def _token(self, authorization: str, body: str) -> Response[Json]:
        given = dict(parse_qsl(body, keep_blank_values=True))
        if not self._knows_client(authorization):
            return Response({"error": "invalid_client"}, status_code=401)
        grant = self.grants.get(given.get("code", ""))
        if grant is None or grant.used or not _fits(grant, given):
            return Response({"error": "invalid_grant"}, status_code=400)
        grant.used = True
        claims = self.change_token(self._claims(grant))
        id_token = self.sign(claims) if self.sign else self.signed(claims)
        return Response(
            {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": id_token},
            status_code=200,
        )

    def _knows_client(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        name, _, secret = base64.b64decode(given or "").decode().partition(":")
        return kind == "Basic" and name == CLIENT_ID and unquote(secret) == CLIENT_SECRET

    def _claims(self, grant: Grant) -> Json:
        now = int(self.clock.now().timestamp())
        return {
            **self.claims,
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": grant.nonce,
            "roles": self.roles,
        }

    def signed(self, claims: Json, **headers: Any) -> str:
        return jwt.encode(claims, self.key, "ES256", headers={"kid": self.kid, **headers})

    def signed_by_public_key(self, claims: Json) -> str:
        """A token with HS256 and the public key as its secret, which a careless check takes for a good one."""
        head, body = (_part(each) for each in ({"alg": "HS256", "typ": "JWT", "kid": self.kid}, claims))
        signature = hmac.new(self.public_pem(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        return f"{head}.{body}.{_base64(signature)}"


class _Way(httpx2.AsyncBaseTransport):
    def __init__(self, provider: Provider, inner: httpx2.AsyncBaseTransport) -> None:
        self._provider, self._inner = provider, inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._provider.down:
            raise httpx2.ConnectError("refused", request=request)
        if self._provider.redirects:
            return httpx2.Response(302, headers={"location": "https://elsewhere.example/"}, request=request)
        return await self._inner.handle_async_request(request)


def _fits(grant: Grant, given: dict[str, str]) -> bool:
    challenge = _base64(hashlib.sha256(given.get("code_verifier", "").encode()).digest())
    return challenge == grant.challenge and given.get("redirect_uri") == grant.redirect_uri


def unsigned(claims: Json) -> str:
    """A token with ``alg: none``."""
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."


def _part(content: Json) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
