"""Authentication: bearer tokens, and the scope that each route requires.

The settings fix one algorithm; the token's own ``alg`` is never used to choose it. Requests to a route that declares no
``Access`` are refused.
"""

import base64
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import jwt
from attrs import field, frozen
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from booking_payments.application.callers import Caller
from booking_payments.entrypoints.http.limits import count_failure, count_money
from booking_payments.entrypoints.http.parsing import is_id
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.presentation.tokens import MAX_LIFETIME_S, MAX_SUBJECT
from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import Settings

MAX_TOKEN: Final = 4096
"""The longest accepted ``Authorization`` header, in characters; tokens of this service have about 200."""
LEEWAY_S: Final = 5
"""Seconds by which the issuer's clock and ours may differ."""

_HEADERS: Final = frozenset({"alg", "typ", "kid"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})

OPERATE: Final = "payments:operate"
READ: Final = "payments:read"
"""For the console only: its holder may look at everything there. No route of the API accepts it."""
WRITE_BOOKINGS: Final = "bookings:write"

_BEARER: Final = re.compile(r"bearer +(?P<token>[A-Za-z0-9_\-.=]+) *", re.ASCII | re.IGNORECASE)


class Access(Enum):
    """The callers that a route accepts; the reference prints the values. Ownership is checked separately."""

    PUBLIC = "all callers, without a token"
    SIGNED = "the gateway, by its signature"
    TOKEN = "any valid token"  # noqa: S105 - no password
    OWNER = "the booking's customer"
    OWNER_OR_OPERATOR = "the booking's customer, or scope payments:operate"
    READER = "the booking's customer, or scope payments:operate or bookings:write"
    APP_OR_OPERATOR = "scope bookings:write or payments:operate"
    OPERATOR = "scope payments:operate"
    BOOKING_APP = "scope bookings:write"
    BROWSER = "a browser, by the token of its link or login, which each page checks"

    @property
    def needs_token(self) -> bool:
        return self not in (Access.PUBLIC, Access.SIGNED, Access.BROWSER)


PUBLIC_PATHS: Final = frozenset(
    {
        "/",
        "/api/webhooks/{gateway:str}",
        "/api/webhooks/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/schema",
        "/schema/openapi.json",
        "/schema/{path:str}",
        "/schema/ui/{name:str}",
        "/_sandbox/payment_intents/{intent_id:str}/authenticate",
        "/pages/{version:str}/{name:str}",
        "/pages/{version:str}/{gateway:str}/{name:str}",
        "/pages/bank/{intent_id:str}",
        "/console/login",
        "/console/login/openid",
        "/console/login/openid/callback",
    }
)
"""All routes that need no token. A test compares this list with the app."""

_SCOPES_OF: Final = {
    Access.OPERATOR: (OPERATE,),
    Access.BOOKING_APP: (WRITE_BOOKINGS,),
    Access.APP_OR_OPERATOR: (WRITE_BOOKINGS, OPERATE),
}
"""The scopes of which a token needs one, by the access of the route."""


@frozen(kw_only=True)
class Principal:
    """The bearer of a valid token. ``subject`` is a customer's id, or the name of an operator or service.

    ``expires_at`` is the token's ``exp``; None without a token.
    """

    subject: str
    issuer: str | None
    scopes: frozenset[str]
    expires_at: datetime | None = None

    @property
    def is_operator(self) -> bool:
        return OPERATE in self.scopes

    @property
    def writes_bookings(self) -> bool:
        return WRITE_BOOKINGS in self.scopes

    @property
    def sees_all(self) -> bool:
        """True when the caller may read every booking."""
        return self.is_operator or self.writes_bookings


def caller_for(access: Access, principal: Principal, cause: str) -> Caller:
    """Return the caller as which ``principal`` uses a route: in the widest role that the route allows its scopes."""
    operates = access in (Access.OPERATOR, Access.OWNER_OR_OPERATOR, Access.READER, Access.APP_OR_OPERATOR)
    if operates and principal.is_operator:
        return Caller.operator_of(principal.subject, cause)
    if _speaks_for_all(access, principal):
        return Caller.service(principal.subject, cause)
    return Caller.customer(principal.subject, cause)


def _speaks_for_all(access: Access, principal: Principal) -> bool:
    """Return whether ``principal`` calls the route as a booking app, which acts for all customers."""
    return access in (Access.BOOKING_APP, Access.READER, Access.APP_OR_OPERATOR) and principal.writes_bookings


async def require_declared_access(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard all routes of the app: check the declared access, the token and its scopes, and apply the rate limits.

    Failed tokens are counted per address, and operations that move money per principal.

    Raises:
        RequestRefused: 403 for a route without a declared access or a token without the scope, 401 for a missing or
            invalid token, 429 above a limit.
    """
    access = handler.opt.get("access")
    if connection.scope.get("method") == "OPTIONS":
        return  # the framework answers with the methods of the route
    if not isinstance(access, Access):
        raise RequestRefused(403, "forbidden", "this route accepts no caller")
    if access.needs_token:
        principal = await _authenticated(connection)
        require_scope(access, principal)
        await _count_money(connection, handler, principal)
        connection.scope["user"] = principal


async def _authenticated(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    state = connection.app.state
    limits: RateLimits | None = state["services"].limits
    try:
        return authenticate(connection.headers.get("authorization"), state["token_rules"])
    except RequestRefused:
        if limits is not None:
            await count_failure(limits, connection.scope, state["metrics"])
        raise


async def _count_money(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler, principal: Principal
) -> None:
    limits: RateLimits | None = connection.app.state["services"].limits
    if limits is not None and moves_money(handler.opt) and not _speaks_for_all(handler.opt["access"], principal):
        await count_money(limits, principal.subject, principal.issuer, connection.app.state["metrics"])


def moves_money(opt: Mapping[str, Any]) -> bool:
    """Return whether ``RATE_LIMIT_MONEY`` counts requests to the route with these options.

    Requests of booking apps are not counted, since one app acts for all customers: their limits are the address's and
    the gateway's.
    """
    return "operation" in opt and opt["access"] is not Access.BOOKING_APP


async def require_own(connection: ASGIConnection[Any, Any, Any, Any], access: Access, principal: Principal) -> None:
    """Refuse a caller who may read all bookings and calls a customer's route for the booking of another customer.

    Such a caller gets 403 and not 404, since it may know that the booking exists; for a booking that does not exist the
    response is the same. For all other callers the use case checks the ownership under the booking's lock, and raises
    ``NotFound``. This is not a guard of the framework, because guards run before the body is read, and a body that is
    too large must be a 413 for every caller.

    Raises:
        RequestRefused: 403 (``missing_scope``).
    """
    booking_id = connection.path_params.get("booking_id")
    if booking_id is None or not principal.sees_all or caller_for(access, principal, "").customer_id is None:
        return
    if is_id(booking_id):
        services: Services = connection.app.state["services"]
        booking = await services.storage.read(lambda uow: uow.bookings.get(booking_id))
        if booking is not None and booking.customer_id == principal.subject:
            return
    operates = access is Access.OWNER_OR_OPERATOR
    who = f"the booking's customer, or a token with scope {OPERATE}," if operates else "the booking's customer only"
    raise missing_scope(f"{who} may do this", OPERATE if operates else None)


def require_scope(access: Access, principal: Principal) -> None:
    """Raise 403 (``missing_scope``) unless the token has one of the scopes that ``access`` requires."""
    needed = _SCOPES_OF.get(access, ())
    if needed and not principal.scopes.intersection(needed):
        raise missing_scope(f"this needs a token with scope {' or '.join(needed)}", needed[0])


def missing_scope(detail: str, scope: str | None = None) -> RequestRefused:
    """Return the error for a valid token without the required scope. ``scope``: one that would suffice; None: none."""
    wanted = f', scope="{scope}"' if scope else ""
    headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope"{wanted}'}
    return RequestRefused(403, "missing_scope", detail, headers=headers)


@frozen(kw_only=True)
class TokenRules:
    """The requirements for a token: ``key`` and ``algorithm`` of its signature; ``issuer`` and ``audience`` if set."""

    key: str = field(repr=False)
    algorithm: str
    issuer: str | None = None
    audience: str | None = None


def rules_of(settings: Settings) -> TokenRules:
    """Return the requirements for tokens from the settings."""
    return TokenRules(
        key=settings.jwt_verification_key,
        algorithm=settings.jwt_algorithm.value,
        issuer=settings.jwt_issuer or None,
        audience=settings.jwt_audience or None,
    )


def authenticate(header: str | None, rules: TokenRules) -> Principal:
    """Return the bearer of the token in an ``Authorization`` header.

    Raises:
        RequestRefused: 401, ``token_missing`` without a header, ``token_invalid`` for every other failure.
    """
    if not header:
        raise _unauthorized("token_missing", "send a token: Authorization: Bearer ...", challenge="Bearer")
    match = _BEARER.fullmatch(header) if len(header) <= MAX_TOKEN else None
    claims = _claims(match["token"], rules) if match else None
    principal = _principal(claims) if claims is not None else None
    if principal is None:
        invalid = "the token is not valid or has expired; get a new one"
        raise _unauthorized("token_invalid", invalid, challenge='Bearer error="invalid_token"')
    return principal


def _unauthorized(code: str, detail: str, *, challenge: str) -> RequestRefused:
    return RequestRefused(401, code, detail, headers={"WWW-Authenticate": challenge})


def _claims(token: str, rules: TokenRules) -> dict[str, Any] | None:
    """Return the verified claims; None for an invalid token. The reason is kept back, since it would help forgers."""
    try:
        _require_plain(token)
        return jwt.decode(
            token,
            rules.key,
            algorithms=[rules.algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "sub"], "verify_aud": rules.audience is not None},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError, AttributeError):
        return None


def _require_plain(token: str) -> None:
    """Raise ``ValueError`` for a token with repeated claims, unknown header fields, or a lifetime that is too long.

    Repeated claims are refused because two parsers may read different values.
    """
    header, payload = (_part(part) for part in token.split(".")[:2])
    if not header.keys() <= _HEADERS or str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise ValueError("not a plain token")
    expires = payload.get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool) or expires > time.time() + MAX_LIFETIME_S:
        raise ValueError("a token without an expiry, or with one that is too late")


def _part(part: str) -> dict[str, Any]:
    content = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), object_pairs_hook=_distinct)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a claim comes twice")
    return dict(pairs)


def _scopes(text: str) -> frozenset[str]:
    """Split a list of scopes at spaces (U+0020) only, as RFC 8693 section 4.2 says."""
    return frozenset(text.split(" ")) - {""}


def _principal(claims: dict[str, Any]) -> Principal | None:
    subject, scope, issuer = claims["sub"], claims.get("scope", ""), claims.get("iss")
    named = isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and subject.isprintable()
    if not named or not isinstance(scope, str) or not isinstance(issuer, str | None):
        return None
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    return Principal(subject=subject, issuer=issuer, scopes=_scopes(scope), expires_at=expires_at)
