"""The console's sessions port: who is logged in to the console, in which browsers.

A session is stored under the hash of its secret, which only the browser's cookie holds. A reader of the database
cannot use a session.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import field, frozen


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
        name: for people, as the provider gives it; None: it gives none. Users can often change it.
        email: the e-mail address, if the provider has verified it; None: it has not, or gives none.
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
        """The operator for the audit trail: name and verified e-mail address as the provider gives them, and subject.

        Without a verified address, which proves who it is, the issuer is added. The subject of a token stands alone, as
        in the records of the API.
        """
        name = self.name if self.name != self.email else None
        address = f"<{self.email}>" if self.email and name else self.email
        given = " ".join(part for part in (name, address) if part)
        bare = self.way is LogInWay.OPENID and self.email is None
        unique = f"{self.subject} at {self.issuer}" if bare else self.subject
        return f"{given} ({unique})" if given else unique


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
        form_seed: a random text. Forms carry a value that is derived from it, so that a form stays valid when the same
            operator logs in again in the same browser, which gives the session a new secret.
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
    form_seed: str = field(repr=False)
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

    async def all(self) -> Sequence[ConsoleSession]:
        """Return all sessions, also those that have ended by their time, the one used last first.

        They are few: each operator has a limited number, and each log-in removes those that have ended.
        """
        ...

    async def remove(self, session_id: str) -> bool:
        """Remove the session; returns False if there is none."""
        ...

    async def remove_ended(self, now: datetime, idle_since: datetime) -> int:
        """Remove the sessions whose end has passed at ``now``, and those not used after ``idle_since``; returns how
        many."""
        ...
