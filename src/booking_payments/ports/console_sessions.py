"""The console's sessions port: who is logged in to the console, in which browsers.

A session is stored under the hash of its secret, which only the browser's cookie holds. A reader of the database
cannot use a session.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import frozen


class LogInWay(Enum):
    """How an operator logged in: with a pasted bearer token, or at the OpenID provider."""

    TOKEN = "token"  # noqa: S105 - no password
    OPENID = "openid"


@frozen(kw_only=True)
class OperatorIdentity:
    """An operator as the token or the provider names them.

    Attributes:
        way: how the operator logged in.
        issuer: the issuer of the token or the provider; empty for a token without one.
        subject: the operator's id at the issuer. Together with ``way`` and ``issuer`` it is unique.
        name: for people, as the provider gives it; None: it gives none.
        email: the same.
    """

    way: LogInWay
    issuer: str
    subject: str
    name: str | None = None
    email: str | None = None

    @property
    def label(self) -> str:
        """The operator for people: the name, else the e-mail address, else the subject."""
        return self.name or self.email or self.subject

    @property
    def actor(self) -> str:
        """The operator for the audit trail: name and e-mail address as the provider gives them, and the subject."""
        address = f"<{self.email}>" if self.email and self.name else self.email
        given = " ".join(part for part in (self.name, address) if part)
        return f"{given} ({self.subject})" if given else self.subject


@frozen(kw_only=True)
class ConsoleSession:
    """A login of an operator in one browser.

    Attributes:
        id: the SHA-256 hash of the session's secret, in hexadecimal.
        operator: who is logged in.
        may_act: whether the operator may do what moves money; otherwise they may only look.
        device: browser and system, such as ``Firefox on Linux``.
        started_at: when the operator logged in. Logging in again in the same browser, as the same operator, keeps it.
        last_used_at: when the session was used last, to the minute.
        check_at: when the provider is asked again who the operator is; None: never.
        ends_at: when the session ends, however much it is used.
        sealed_id_token: the provider's ID token, encrypted with a key made of the session's secret; None without one.
    """

    id: str
    operator: OperatorIdentity
    may_act: bool
    device: str
    started_at: datetime
    last_used_at: datetime
    check_at: datetime | None
    ends_at: datetime
    sealed_id_token: str | None = None


class ConsoleSessions(Protocol):
    """The stored sessions."""

    async def get(self, session_id: str) -> ConsoleSession | None:
        """Return the session with this id, also one that has ended by its time; None without one."""
        ...

    async def add(self, session: ConsoleSession) -> None:
        """Store a new session."""
        ...

    async def save_use(self, session_id: str, last_used_at: datetime, check_at: datetime | None) -> None:
        """Store both times. A session that is gone stays gone."""
        ...

    async def of_operator(self, operator: OperatorIdentity) -> Sequence[ConsoleSession]:
        """Return all sessions of the operator, by way, issuer and subject, the one used last first."""
        ...

    async def remove(self, session_id: str) -> bool:
        """Remove the session; returns False if there is none."""
        ...

    async def remove_ended(self, now: datetime, idle_since: datetime) -> int:
        """Remove the sessions whose end has passed at ``now``, and those not used after ``idle_since``; returns how
        many."""
        ...
