"""The OpenID provider: Authlib speaks the protocol, joserfc checks signatures, and httpx2 carries the requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import anyio
import httpx2
from attrs import frozen
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from booking_payments.adapters.network import Network
from booking_payments.adapters.openid.claims import has_one_of, operator_in
from booking_payments.adapters.openid.metadata import Metadata, keys_in, metadata_in
from booking_payments.adapters.openid.transport import GuardedTransport, NotAllowed
from booking_payments.ports.clock import Clock
from booking_payments.ports.identity_provider import (
    LoggedIn,
    LogInRejected,
    LogInSecrets,
    ProviderUnavailable,
    TooManyLogIns,
)

TIMEOUT_S: Final = 10
"""Seconds for one request to the provider."""
FRESH: Final = timedelta(hours=1)
"""How long the discovery document and the keys are used before they are read again."""
FAILED_FOR: Final = timedelta(seconds=10)
"""How long the provider is not asked again for its discovery document after it could not be read: anybody can open the
address that asks for it."""
AT_ONCE: Final = 10
"""Log-ins for which the provider is asked at the same time. Each callback with a made-up code causes a request to the
provider, and anybody can send such callbacks."""
WAIT_S: Final = 5
"""Seconds for which a further log-in waits for its turn."""
LONGEST_HINT: Final = 4096
"""Characters of an ID token that is sent with a log-out. A larger one, of an account in many groups, would make an
address that servers refuse; without it the provider asks the user."""
LEEWAY_S: Final = 30
"""Seconds by which the provider's clock and ours may differ."""
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_CLIENT_ERRORS: Final = ("invalid_client", "unauthorized_client")
"""Errors of the token endpoint that are about this service and not about the log-in."""


@frozen(kw_only=True)
class ProviderConfig:
    """What the settings say of the provider.

    Attributes:
        issuer: the issuer, exactly as its documents and tokens name it.
        endpoint_hosts: hosts to which requests may be sent in addition to the issuer's.
        role_claim: the claim of the ID token with the roles.
        read_values: values of the claim of operators who may look.
        operate_values: values of the claim of operators who may act.
        own_address: the address of this service for browsers, without a path.
        callback: the path to which the provider sends browsers back.
        after_log_out: the path to which it sends them after a log-out.
    """

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    endpoint_hosts: tuple[str, ...]
    role_claim: str
    read_values: tuple[str, ...]
    operate_values: tuple[str, ...]
    own_address: str
    callback: str
    after_log_out: str

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to; it knows the address from its own settings."""
        return f"{self.own_address}{self.callback}"

    @property
    def host(self) -> str:
        """The issuer's host."""
        return urlsplit(self.issuer).hostname or ""


@frozen
class _Read:
    """Something that was read from the provider, and when."""

    value: Any
    at: datetime


class OpenIdProvider:
    """The provider of the settings.

    Args:
        config: the settings.
        clock: the time, for the validity of ID tokens.
        wait_s: seconds for which a log-in waits while ``AT_ONCE`` others are finished.
        network: proxies and certificates; None: from the environment.
        inner: sends the requests in place of connections to the network, for tests.
    """

    def __init__(
        self,
        config: ProviderConfig,
        clock: Clock,
        *,
        wait_s: float = WAIT_S,
        network: Network | None = None,
        inner: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._config, self._clock, self._wait_s = config, clock, wait_s
        self._loopback = config.host in _LOOPBACK
        self._transport = GuardedTransport(
            {config.host, *config.endpoint_hosts},
            insecure_hosts={config.host} if self._loopback else (),
            network=network or Network.of_environment(),
            inner=inner,
        )
        self._reading = anyio.Lock()
        self._turns = anyio.Semaphore(AT_ONCE)
        self._failure: _Read | None = None
        self._metadata: _Read | None = None
        self._keys: _Read | None = None

    @property
    def title(self) -> str:
        """The issuer's host."""
        return self._config.host

    async def log_in_url(self, secrets: LogInSecrets) -> str:
        """As the port says."""
        metadata = await self._read_metadata()
        async with self._client(metadata) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=secrets.state,
                nonce=secrets.nonce,
                code_verifier=secrets.code_verifier,
            )
        return str(url)

    async def log_in(self, code: str, secrets: LogInSecrets, issuer: str | None) -> LoggedIn:
        """As the port says."""
        metadata = await self._read_metadata()
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise LogInRejected("the callback does not name the issuer, which the provider says that it does")
        if issuer not in (None, metadata.issuer):
            raise LogInRejected("the callback names another issuer")
        async with self._turn():
            tokens = await self._redeem(metadata, code, secrets.code_verifier)
            id_token = tokens.get("id_token")
            if not isinstance(id_token, str):
                raise LogInRejected("the provider sent no ID token")
            claims = await self._verified(metadata, id_token, secrets.nonce, tokens.get("access_token"))
        config = self._config
        may_act = has_one_of(config.operate_values, claims, config.role_claim)
        return LoggedIn(
            operator=operator_in(claims),
            may_read=may_act or has_one_of(config.read_values, claims, config.role_claim),
            may_act=may_act,
            id_token=id_token,
        )

    async def log_out_url(self, id_token: str | None) -> str | None:
        """As the port says."""
        try:
            # Also one that is not fresh any more: a log-out should not have to wait for the provider.
            known: Metadata = self._metadata.value if self._metadata else await self._read_metadata()
            end_session_endpoint = known.end_session_endpoint
        except ProviderUnavailable:
            return None
        if end_session_endpoint is None:
            return None
        given = {
            "id_token_hint": id_token if id_token and len(id_token) <= LONGEST_HINT else None,
            "client_id": self._config.client_id,
            "post_logout_redirect_uri": f"{self._config.own_address}{self._config.after_log_out}",
        }
        query = urlencode({name: value for name, value in given.items() if value})
        return f"{end_session_endpoint}{'&' if urlsplit(end_session_endpoint).query else '?'}{query}"

    async def examine(self) -> str:
        """As the port says. A code that nobody issued is sent, since only then the provider judges the secret."""
        self._metadata = self._keys = self._failure = None
        metadata = await self._read_metadata()
        keys = await self._read_keys(metadata)
        with suppress(LogInRejected):  # what an unknown code deserves: id and secret were accepted
            await self._redeem(metadata, "booking-payments-doctor", "-" * 43)
        log_out = "with" if metadata.end_session_endpoint else "without"
        return f"{metadata.issuer} answers with {len(keys.keys)} keys, {log_out} log-out, and knows the client"

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    # --- requests

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for one of the ``AT_ONCE`` places. Raises ``TooManyLogIns`` when none becomes free in time."""
        try:
            self._turns.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(self._wait_s) as waiting:
                await self._turns.acquire()
            if waiting.cancelled_caught:
                raise TooManyLogIns from None
        try:
            yield
        finally:
            self._turns.release()

    def _client(self, metadata: Metadata) -> Any:  # Authlib ships no types
        return AsyncOAuth2Client(
            client_id=self._config.client_id,
            client_secret=self._config.client_secret,
            token_endpoint_auth_method=metadata.auth_method,
            scope=self._config.scopes,
            redirect_uri=self._config.redirect_uri,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )

    async def _redeem(self, metadata: Metadata, code: str, code_verifier: str) -> dict[str, Any]:
        """Return the tokens for ``code``."""
        self._require_allowed("token_endpoint", metadata.token_endpoint)
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with self._client(metadata) as client:
                    tokens: dict[str, Any] = await client.fetch_token(
                        metadata.token_endpoint,
                        grant_type="authorization_code",
                        code=code,
                        code_verifier=code_verifier,
                        redirect_uri=self._config.redirect_uri,
                    )
        except AuthlibBaseError as error:
            if error.error in _CLIENT_ERRORS:
                text = f"the provider does not accept OIDC_CLIENT_ID and OIDC_CLIENT_SECRET ({error.error})"
                raise ProviderUnavailable(text) from None
            raise LogInRejected(f"the provider does not accept the code ({str(error.error)[:80]})") from None
        except (httpx2.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable(_reason(self.title, error)) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ProviderUnavailable("the answer of the token endpoint cannot be read") from None
        return tokens

    async def _get(self, what: str, url: str) -> bytes:
        self._require_allowed(what, url)
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with httpx2.AsyncClient(transport=self._transport, timeout=TIMEOUT_S, trust_env=False) as client:
                    answer = await client.get(url, headers={"Accept": "application/json"})
        except (httpx2.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable(_reason(self.title, error)) from None
        if answer.status_code != 200:
            raise ProviderUnavailable(f"{what} is answered with {answer.status_code}")
        return answer.content

    def _require_allowed(self, what: str, url: str) -> None:
        try:
            self._transport.require_allowed(url)
        except NotAllowed as error:
            raise ProviderUnavailable(
                f"{what}: {error}; name it in OIDC_ENDPOINT_HOSTS if it is the provider's"
            ) from None

    def _is_fresh(self, read: _Read | None) -> bool:
        return read is not None and self._clock.now() - read.at < FRESH

    async def _read_metadata(self) -> Metadata:
        """Return the discovery document."""
        async with self._reading:  # requests that come together cause one read, also while the provider is down
            if self._metadata is None or not self._is_fresh(self._metadata):
                if self._failure is not None and self._clock.now() - self._failure.at < FAILED_FOR:
                    raise ProviderUnavailable(self._failure.value)
                try:
                    value = await self._get_metadata()
                except ProviderUnavailable as error:
                    self._failure = _Read(str(error), self._clock.now())
                    raise
                self._metadata, self._failure = _Read(value, self._clock.now()), None
            known: Metadata = self._metadata.value
        return known

    async def _get_metadata(self) -> Metadata:
        issuer = self._config.issuer
        content = await self._get("the discovery document", f"{issuer.rstrip('/')}{_WELL_KNOWN}")
        return metadata_in(content, issuer, loopback=self._loopback)

    async def _read_keys(self, metadata: Metadata, *, anew: bool = False) -> KeySet:
        if anew or self._keys is None or not self._is_fresh(self._keys):
            self._keys = _Read(keys_in(await self._get("jwks_uri", metadata.jwks_uri)), self._clock.now())
        known: KeySet = self._keys.value
        return known

    # --- ID tokens

    async def _verified(
        self, metadata: Metadata, id_token: str, nonce: str, access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims of a valid ID token. Raises ``LogInRejected`` for another one."""
        try:
            token = await self._signed(metadata, id_token)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": metadata.issuer},
                    "aud": {"essential": True, "value": self._config.client_id},
                },
                params={"nonce": nonce, "client_id": self._config.client_id, "access_token": access_token},
            )
            claims.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"{error.error} {error.description}" if isinstance(error, JoseError) else type(error).__name__
            raise LogInRejected(f"the ID token is not valid: {what.strip()}") from None
        return dict(claims)

    async def _signed(self, metadata: Metadata, id_token: str) -> jwt.Token:
        """Return the token when its signature is right, by keys that are read again when none of the known ones fits:
        the provider may have changed them.

        Each token comes from the provider's token endpoint, in exchange for a code, so that nobody else can cause
        these reads.
        """
        registry = JWSRegistry(algorithms=metadata.algorithms, strict_check_header=False)
        try:
            return jwt.decode(id_token, await self._read_keys(metadata), registry=registry)
        except (InvalidKeyIdError, BadSignatureError):
            return jwt.decode(id_token, await self._read_keys(metadata, anew=True), registry=registry)


def _reason(host: str, error: Exception) -> str:
    if isinstance(error, NotAllowed):
        return str(error)
    if isinstance(error, httpx2.HTTPStatusError):
        return f"{host} answered with {error.response.status_code}"
    return f"{host} cannot be reached ({type(error).__name__})"
