"""What every storage adapter has to keep of ``ports.console_sessions``, as tests.

Subclass ``ConsoleSessionsContract`` beside ``StorageContract`` and give it the same ``storage`` fixture: an empty
storage.
"""

from datetime import timedelta

import attrs

from booking_payments.ports.console_sessions import ConsoleSession, LogInWay, OperatorIdentity
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import NOW

OLGA = OperatorIdentity(
    way=LogInWay.OPENID, issuer="https://id.example", subject="1", name="Olga", email="olga@example.com"
)


def session(number: int = 1, **changes: object) -> ConsoleSession:
    """Return a session of Olga, with a value in each field."""
    made = ConsoleSession(
        id=f"{number:064x}",
        operator=OLGA,
        may_act=True,
        device="Firefox on Linux",
        started_at=NOW,
        last_used_at=NOW + timedelta(minutes=number),
        check_at=NOW + timedelta(minutes=30),
        ends_at=NOW + timedelta(hours=1),
        form_seed="seed",
        sealed_id_token="sealed",  # noqa: S106 - no password
    )
    return attrs.evolve(made, **changes)  # type: ignore[arg-type]


async def _add(storage: Storage, *sessions: ConsoleSession) -> None:
    for each in sessions:
        await storage.transact(lambda uow, each=each: uow.console_sessions.add(each))  # type: ignore[misc]


class ConsoleSessionsContract:
    async def test_a_session_is_returned_as_it_was_stored(self, storage: Storage) -> None:
        bare = attrs.evolve(OLGA, way=LogInWay.TOKEN, issuer="", name=None, email=None)
        sessions = [session(), session(2, operator=bare, may_act=False, check_at=None, sealed_id_token=None)]
        await _add(storage, *sessions)

        for each in sessions:
            assert await storage.read(lambda uow, its=each.id: uow.console_sessions.get(its)) == each  # type: ignore[misc]
        assert await storage.read(lambda uow: uow.console_sessions.get("0")) is None

    async def test_a_use_is_saved_of_a_session_that_is_there(self, storage: Storage) -> None:
        await _add(storage, session())
        later = NOW + timedelta(minutes=9)

        await storage.transact(lambda uow: uow.console_sessions.save_use(session().id, later, None))
        await storage.transact(lambda uow: uow.console_sessions.save_use("0", later, None))

        found = await storage.read(lambda uow: uow.console_sessions.get(session().id))
        assert found == session(last_used_at=later, check_at=None)
        assert await storage.read(lambda uow: uow.console_sessions.get("0")) is None

    async def test_sessions_belong_to_one_operator_of_one_issuer(self, storage: Storage) -> None:
        others = [{"way": LogInWay.TOKEN}, {"issuer": "https://other.example"}, {"subject": "2"}]
        strangers = [
            session(number, operator=attrs.evolve(OLGA, **changes))  # type: ignore[arg-type]
            for number, changes in enumerate(others, 10)
        ]
        renamed = session(3, operator=attrs.evolve(OLGA, name="Olga Example"))
        await _add(storage, session(1), renamed, session(2), *strangers)

        found = await storage.read(lambda uow: uow.console_sessions.of_operator(OLGA))

        assert list(found) == [renamed, session(2), session(1)]
        everybody = await storage.read(lambda uow: uow.console_sessions.all())
        assert [each.id for each in everybody] == [each.id for each in (*reversed(strangers), *found)]

    async def test_a_session_is_removed_once(self, storage: Storage) -> None:
        await _add(storage, session())

        assert await storage.transact(lambda uow: uow.console_sessions.remove(session().id))
        assert not await storage.transact(lambda uow: uow.console_sessions.remove(session().id))
        assert await storage.read(lambda uow: uow.console_sessions.get(session().id)) is None

    async def test_sessions_are_removed_that_have_ended_or_are_not_used(self, storage: Storage) -> None:
        ended, idle = session(1, ends_at=NOW + timedelta(minutes=30)), session(2, last_used_at=NOW)
        await _add(storage, ended, idle, session(3))

        now = NOW + timedelta(minutes=30)
        removed = await storage.transact(lambda uow: uow.console_sessions.remove_ended(now, NOW))

        left = await storage.read(lambda uow: uow.console_sessions.of_operator(OLGA))
        assert (removed, list(left)) == (2, [session(3)])
