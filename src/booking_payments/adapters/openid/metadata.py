"""The provider's discovery document (OpenID Connect Discovery 1.0) and its keys, as far as log-in uses them."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from booking_payments.ports.identity_provider import ProviderUnavailable

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures with a public key. ``none`` is no signature, and ``HS256`` would let everybody sign who has a public
key."""

_KEY_TYPES: Final = ("RSA", "EC", "OKP")
_MIN_MODULUS: Final = 342
"""Characters of an RSA key's modulus in base64: 2,048 bits. A shorter key can be broken."""
_MOST_KEYS: Final = 100


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the discovery document that log-in uses."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False

    @property
    def algorithms(self) -> list[str]:
        """The algorithms of ID tokens that the provider announces and this service accepts."""
        announced = self.id_token_signing_alg_values_supported
        return [each for each in ALGORITHMS if announced is None or each in announced]

    @property
    def auth_method(self) -> str:
        """How this service sends its client secret to the token endpoint."""
        offered = self.token_endpoint_auth_methods_supported
        basic = offered is None or "client_secret_basic" in offered or "client_secret_post" not in offered
        return "client_secret_basic" if basic else "client_secret_post"


def metadata_in(content: bytes, issuer: str, *, loopback: bool) -> Metadata:
    """Return the checked discovery document of ``issuer``.

    ``loopback``: the issuer is on this machine, so addresses there need no TLS.

    Raises:
        ProviderUnavailable: the document is not one, is another issuer's, or the provider cannot do what is needed.
    """
    try:
        found = msgspec.json.decode(content, type=Metadata)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProviderUnavailable(f"the discovery document cannot be read: {error}") from None
    if found.issuer != issuer:
        raise ProviderUnavailable(
            f"the discovery document is that of the issuer {found.issuer[:200]!r}; OIDC_ISSUER must be the same text"
        )
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"):
        url = getattr(found, name)
        if url is not None and not _is_usable(url, issuer, loopback=loopback):
            raise ProviderUnavailable(f"{name} of the discovery document is not an https address")
    if "S256" not in (found.code_challenge_methods_supported or ("S256",)):
        raise ProviderUnavailable("the provider does not support PKCE with S256")
    if not found.algorithms:
        raise ProviderUnavailable(f"the provider signs ID tokens with none of {', '.join(ALGORITHMS)}")
    return found


def _is_usable(url: str, issuer: str, *, loopback: bool) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (
        loopback and parts.scheme == "http" and parts.hostname == urlsplit(issuer).hostname
    )


def keys_in(content: bytes) -> KeySet:
    """Return the public keys for signatures; others are left out.

    Raises:
        ProviderUnavailable: there is none.
    """
    try:
        found = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = {}
    listed = found.get("keys")
    keys = [_key(each) for each in listed[:_MOST_KEYS]] if isinstance(listed, list) else []
    usable = [each for each in keys if each is not None]
    if not usable:
        raise ProviderUnavailable("the document of the provider's keys (jwks_uri) has no key that can be used")
    return KeySet(usable)


def _key(given: object) -> Key | None:
    if not isinstance(given, dict) or given.get("kty") not in _KEY_TYPES or given.get("use", "sig") != "sig":
        return None
    if given["kty"] == "RSA" and len(str(given.get("n", "")).rstrip("=")) < _MIN_MODULUS:
        return None
    try:
        return JWKRegistry.import_key(given)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
