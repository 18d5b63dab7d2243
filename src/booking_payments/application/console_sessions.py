"""The console's sessions: begun at the log-in, used by each request, ended by the operator or by time.

The browser has a random secret in its cookie. The session is stored under a keyed hash of it, so that neither a reader
of the database nor one of a backup can use the session, and a change of the key ends all sessions.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import field, frozen

from booking_payments.application.callers import Caller
from booking_payments.ports.audit import AuditOutcome, AuditRecord
from booking_payments.ports.clock import Clock
from booking_payments.ports.console_sessions import ConsoleSession, LogInWay, OperatorIdentity
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import UnitOfWork

SECRET_LENGTH: Final = 43
"""Characters of a session's secret: 256 random bits in base64."""
MOST_SESSIONS: Final = 20
"""Sessions that one operator may have at the same time."""
CHECK_AFTER: Final = timedelta(minutes=30)
"""When the provider is asked again whether the operator may still log in, and in which role."""
CHECKED_FOR: Final = timedelta(hours=1)
"""When a session ends for which the provider was not asked again."""
POSTPONED_BY: Final = timedelta(minutes=5)
"""When the provider is asked again after it could not be reached."""
USE_SAVED_AFTER: Final = timedelta(minutes=1)
"""How exact the time of the last use is: each saving is a write."""


def new_secret() -> str:
    """Return a new secret for a session's cookie."""
    return secrets.token_urlsafe(32)


@frozen(kw_only=True)
class ChosenOperators:
    """Operators whose sessions an administrator ends. A None chooses no less: all None are all operators.

    Attributes:
        subject: those with this id.
        issuer: those of this issuer.
        way: those who logged in this way.
    """

    subject: str | None = None
    issuer: str | None = None
    way: LogInWay | None = None

    def has(self, operator: OperatorIdentity) -> bool:
        """Return whether ``operator`` is one of them."""
        wanted = ((self.subject, operator.subject), (self.issuer, operator.issuer), (self.way, operator.way))
        return all(its in (None, given) for its, given in wanted)

    @property
    def asked(self) -> dict[str, str]:
        """The choice for the audit trail."""
        given = {"issuer": self.issuer, "way": self.way.value if self.way else None}
        return {"operator": self.subject or "all", **{name: text for name, text in given.items() if text}}


@frozen(kw_only=True)
class OperatorSessions:
    """The sessions of an installation.

    Attributes:
        storage: where they are.
        clock: the time.
        key: hashes the secrets.
        idle: how long a session lasts without a use.
        lifetime: how long it lasts at most.
    """

    storage: Storage
    clock: Clock
    key: str = field(repr=False)
    idle: timedelta
    lifetime: timedelta

    def id_of(self, secret: str) -> str:
        """Return the id under which the session with this secret is stored."""
        return hmac.new(self.key.encode(), f"console session {secret}".encode(), hashlib.sha256).hexdigest()

    def form_secret_of(self, session: ConsoleSession) -> str:
        """Return the text from which the values of the session's forms are derived."""
        return hmac.new(self.key.encode(), f"console forms {session.form_seed}".encode(), hashlib.sha256).hexdigest()

    async def begin(
        self,
        secret: str,
        operator: OperatorIdentity,
        *,
        may_act: bool,
        device: str,
        cause: str,
        until: datetime | None = None,
        replaced: str | None = None,
        sealed_id_token: str | None = None,
    ) -> ConsoleSession:
        """Store a session for the new ``secret``, with an audit record.

        Sessions of the operator in another role end, so that nobody keeps a role that they have no more; and the
        oldest ones, so that there are ``MOST_SESSIONS`` at most.

        Args:
            secret: of ``new_secret``; the cookie's value from now on.
            operator: who logged in.
            may_act: their role.
            device: their browser.
            cause: the request's id, for the audit trail.
            until: when the proof of the log-in ends, such as the token's ``exp``; the session ends then at the latest.
            replaced: the secret in the browser's cookie so far; its session ends. If it was of the same operator, forms
                that the browser still shows stay valid.
            sealed_id_token: as ``ConsoleSession`` has it.
        """
        now = self.clock.now()

        async def work(uow: UnitOfWork) -> ConsoleSession:
            started_at, form_seed = now, new_secret()
            if replaced is not None:
                earlier = await uow.console_sessions.get(self.id_of(replaced))
                if earlier is not None:
                    if _is_same(earlier.operator, operator):
                        form_seed = earlier.form_seed
                        started_at = earlier.started_at if self._is_alive(earlier, now) else now
                    await uow.console_sessions.remove(earlier.id)
            await uow.console_sessions.remove_ended(now, now - self.idle)
            for place, other in enumerate(await uow.console_sessions.of_operator(operator), start=1):
                if other.may_act != may_act or place >= MOST_SESSIONS:
                    await uow.console_sessions.remove(other.id)
            by_provider = operator.way is LogInWay.OPENID
            latest = min(started_at + self.lifetime, until or datetime.max.replace(tzinfo=UTC))
            session = ConsoleSession(
                id=self.id_of(secret),
                operator=operator,
                may_act=may_act,
                device=device,
                started_at=started_at,
                last_used_at=now,
                check_at=now + CHECK_AFTER if by_provider else None,
                ends_at=min(latest, now + CHECKED_FOR) if by_provider else latest,
                form_seed=form_seed,
                sealed_id_token=sealed_id_token,
            )
            await uow.console_sessions.add(session)
            role = "payments:operate" if may_act else "payments:read"
            await uow.audit.append(_record("console_log_in", operator, now, cause, {"role": role}))
            return session

        return await self.storage.transact(work)

    async def refuse(self, operator: OperatorIdentity, cause: str) -> None:
        """End all sessions of an operator who has no role any more, and store an audit record."""
        now = self.clock.now()

        async def work(uow: UnitOfWork) -> None:
            for each in await uow.console_sessions.of_operator(operator):
                await uow.console_sessions.remove(each.id)
            await uow.audit.append(_record("console_log_in", operator, now, cause, {}, code="missing_role"))

        await self.storage.transact(work)

    async def use(self, secret: str) -> ConsoleSession | None:
        """Return the session with this secret, and save that it is used; None when there is none, or it has ended."""
        if len(secret) != SECRET_LENGTH or not secret.isascii():
            return None  # such as a token in the cookie of an earlier release
        now, its = self.clock.now(), self.id_of(secret)
        found = await self.storage.read(lambda uow: uow.console_sessions.get(its))
        if found is None or not self._is_alive(found, now):
            return None
        if now - found.last_used_at >= USE_SAVED_AFTER:
            await self.storage.transact(lambda uow: uow.console_sessions.save_use(its, now, found.check_at))
        return found

    async def postpone_check(self, session: ConsoleSession) -> None:
        """Have the provider asked later, because it cannot be reached now. The session's end stays."""
        now = self.clock.now()
        await self.storage.transact(
            lambda uow: uow.console_sessions.save_use(session.id, now, now + POSTPONED_BY),
        )

    async def of_operator(self, operator: OperatorIdentity) -> Sequence[ConsoleSession]:
        """Return the operator's sessions that have not ended, the one used last first."""
        now = self.clock.now()
        found = await self.storage.read(lambda uow: uow.console_sessions.of_operator(operator))
        return [each for each in found if self._is_alive(each, now)]

    async def end(self, operator: OperatorIdentity, session_id: str | None, cause: str) -> int:
        """End the operator's session with this id, or all with None; returns how many.

        The session of another operator is not found, so it stays.
        """
        now = self.clock.now()

        async def work(uow: UnitOfWork) -> int:
            its = await uow.console_sessions.of_operator(operator)
            ended = [each for each in its if session_id in (None, each.id)]
            for each in ended:
                await uow.console_sessions.remove(each.id)
            if ended:
                await uow.audit.append(
                    _record("console_log_out", operator, now, cause, {"sessions": str(len(ended))}),
                )
            return len(ended)

        return await self.storage.transact(work)

    # --- for administrators

    async def of_everybody(self) -> Sequence[ConsoleSession]:
        """Return the sessions of all operators that have not ended, the one used last first."""
        now = self.clock.now()
        found = await self.storage.read(lambda uow: uow.console_sessions.all())
        return [each for each in found if self._is_alive(each, now)]

    async def end_of_others(self, caller: Caller, chosen: ChosenOperators) -> int:
        """End all sessions of the chosen operators, and store an audit record; returns how many sessions ended."""
        now = self.clock.now()

        async def work(uow: UnitOfWork) -> int:
            ended = [each for each in await uow.console_sessions.all() if chosen.has(each.operator)]
            for each in ended:
                await uow.console_sessions.remove(each.id)
            alive = [each for each in ended if self._is_alive(each, now)]
            record = AuditRecord(
                at=now,
                operation="end_console_sessions",
                actor=caller.actor,
                cause=caller.cause,
                outcome=AuditOutcome.DONE,
                request_id=caller.request_id,
                asked={**chosen.asked, "sessions": str(len(alive))},
            )
            await uow.audit.append(record)
            return len(alive)

        return await self.storage.transact(work)

    def _is_alive(self, session: ConsoleSession, now: datetime) -> bool:
        return now < session.ends_at and now < session.last_used_at + self.idle


def _is_same(one: OperatorIdentity, other: OperatorIdentity) -> bool:
    return (one.way, one.issuer, one.subject) == (other.way, other.issuer, other.subject)


def _record(
    operation: str,
    operator: OperatorIdentity,
    at: datetime,
    cause: str,
    asked: dict[str, str],
    *,
    code: str | None = None,
) -> AuditRecord:
    return AuditRecord(
        at=at,
        operation=operation,
        actor=f"operator:{operator.actor}",
        cause=cause,
        outcome=AuditOutcome.REFUSED if code else AuditOutcome.DONE,
        code=code,
        request_id=cause,
        asked={"way": operator.way.value, **asked},
    )
