"""The operator and the roles that the claims of an ID token name."""

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, Final

from booking_payments.ports.console_sessions import LogInWay, OperatorIdentity
from booking_payments.ports.identity_provider import LogInRejected

LONGEST: Final = 200
"""Characters of a name or an e-mail address that are kept."""
LONGEST_SUBJECT: Final = 255
"""OpenID Connect Core, section 2."""


def operator_in(claims: Mapping[str, Any]) -> OperatorIdentity:
    """Return the operator. Raises ``LogInRejected`` for a subject that cannot be kept."""
    issuer, subject = claims["iss"], claims["sub"]
    if not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise LogInRejected("the subject of the ID token is empty, too long, or not printable")
    email = _line(claims.get("email")) if claims.get("email_verified") is True else None
    if email != claims.get("email"):
        email = None  # the rest may be the address of somebody else
    names = (_line(claims.get(claim)) for claim in ("name", "preferred_username"))
    name = next((each for each in names if each and not _may_mislead(each, email)), None)
    return OperatorIdentity(way=LogInWay.OPENID, issuer=issuer, subject=subject, name=name, email=email)


def _may_mislead(name: str, email: str | None) -> bool:
    """Return whether the name looks like an e-mail address that the provider has not verified. Users can often change
    their names, and an address there would be read as proof of who acted."""
    return "@" in unicodedata.normalize("NFKC", name) and name != email


def _line(value: object) -> str | None:
    """Return text for one line; None for anything else.

    Signs that reorder or hide text are left out, and those that set the address and the subject apart in the audit
    trail: users can often change their own names, and none shall be able to add another's address to it.
    """
    if not isinstance(value, str):
        return None
    return "".join(each for each in value if each.isprintable() and each not in "<>()").strip()[:LONGEST] or None


def has_one_of(wanted: Collection[str], claims: Mapping[str, Any], claim: str) -> bool:
    """Return whether the claim has one of the ``wanted`` values.

    ``claim`` is a name, or names separated by dots for a claim inside another; a name that has dots itself comes first.
    In an object a name counts unless its value says no: ``{"payments:read": true, "payments:operate": false}``.
    """
    value = claims.get(claim)
    if value is None:
        value = _inside(claims, claim)
    if claim == "email" and claims.get("email_verified") is not True:
        return False  # the address is then whatever the user typed
    if isinstance(value, str):
        # Only scopes are words (RFC 8693, section 4.2). A quoted address may hold spaces, and the address of another.
        words = value.split(" ") if claim.rpartition(".")[2] in _OF_WORDS else []
        return not {value, *words}.isdisjoint(wanted)
    if isinstance(value, dict):
        return any(name in wanted and not _says_no(given) for name, given in value.items())
    return isinstance(value, list) and any(isinstance(each, str) and each in wanted for each in value)


def _says_no(given: object) -> bool:
    """Return whether the value of a role's name takes the role away: false, null, 0, empty, or a text for one of them.
    An object or a list says no when all that is in it does."""
    if isinstance(given, str):
        return given.strip().lower() in _NO
    if isinstance(given, dict | list):
        return not any(given.values() if isinstance(given, dict) else given)
    return not given


_NO: Final = ("", "false", "0", "no", "none", "null", "off")

_OF_WORDS: Final = ("scope", "scp")


def _inside(claims: Mapping[str, Any], path: str) -> object:
    """Return the value at ``path``; a name on the way may have dots itself, as a client id often has."""
    for at in (at for at, sign in enumerate(path) if sign == "."):
        inner = claims.get(path[:at])
        if isinstance(inner, dict):
            found = inner.get(path[at + 1 :])
            found = _inside(inner, path[at + 1 :]) if found is None else found
            if found is not None:
                return found
    return None
