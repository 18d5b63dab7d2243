"""One ``serve`` for each SQLite file; commands and embedded processes share the file and end no lease."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from booking_payments import Currency, Money, NewBooking, open_payments
from booking_payments.adapters.memory.ids import RandomIds, ServingIds
from booking_payments.adapters.sql import serve_lock
from booking_payments.adapters.sql.serve_lock import FileServedError, database_file, serving_alone
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.runtime.composition import build
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.runtime.settings_error import SettingsError

NOT_AT_ALL = timedelta(0)
FOR_EVER = timedelta(days=1)
FAR = "2999-01-01T00:00:00.000000Z"


@pytest.fixture
def file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A migrated database."""
    file = tmp_path / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    return file


@pytest.fixture
def settings(file: Path) -> Settings:
    return load_settings({"DATABASE_URL": f"sqlite:///{file}"}, None)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[None]:
    """Relative names are meant from here."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///books.db",
        "sqlite:///./x/../books.db",
        "sqlite+aiosqlite:///books.db?timeout=5",
        "sqlite:///{folder}/books.db",
        "sqlite:///link.db",
        "sqlite:///file:books.db?uri=true&mode=rw",
        "sqlite:///file://{folder}/books.db?uri=true",
    ],
)
def test_one_file_has_many_names(file: Path, url: str) -> None:
    (file.parent / "link.db").symlink_to(file)

    assert database_file(url.replace("{folder}", str(file.parent))) == file.resolve()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "postgresql://u@h/books.db"]
)
def test_a_database_without_a_file_has_no_lock(url: str) -> None:
    assert database_file(url) is None


async def test_the_error_of_a_second_one_names_file_and_process(file: Path) -> None:
    async with serving_alone(file, NOT_AT_ALL, print):
        with pytest.raises(FileServedError, match=rf"^process {os.getpid()} serves .*books\.db already"):
            async with serving_alone(file, NOT_AT_ALL, print):
                pytest.fail("two serve")


async def test_a_lock_file_without_a_process_id_is_a_lock(file: Path) -> None:
    async with serving_alone(file, NOT_AT_ALL, print):
        file.with_name("books.db.lock").write_text("nobody\n")
        with pytest.raises(FileServedError, match=r"^another process serves"):
            async with serving_alone(file, NOT_AT_ALL, print):
                pytest.fail("two serve")


async def test_a_second_one_waits_until_the_first_has_ended(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_lock, "LOOK_AGAIN_S", 0)
    waits, order = anyio.Event(), list[object]()

    def told(holder: int | None) -> None:
        order.append(holder)
        waits.set()

    async def second() -> None:
        async with serving_alone(file, FOR_EVER, told):
            order.append("second")

    async with anyio.create_task_group() as tasks, serving_alone(file, NOT_AT_ALL, print):
        tasks.start_soon(second)
        await waits.wait()
        for _ in range(20):  # the second one looks again and again meanwhile
            await anyio.lowlevel.checkpoint()
        order.append("first ends")

    assert order == [os.getpid(), "first ends", "second"]


async def test_other_files_are_free(file: Path) -> None:
    async with serving_alone(file, NOT_AT_ALL, print), serving_alone(file.with_name("other.db"), NOT_AT_ALL, print):
        pass


async def test_a_lock_file_that_cannot_be_opened_is_named(file: Path) -> None:
    file.with_name("books.db.lock").mkdir()

    with pytest.raises(FileServedError, match=r"books\.db\.lock can't be opened: is a directory"):
        await serving_alone(file, NOT_AT_ALL, print).__aenter__()


async def test_only_one_serves_and_any_number_share(settings: Settings, file: Path) -> None:
    async with build(settings, serving=True):
        with pytest.raises(SettingsError, match=r"DATABASE_URL: process .* only one serve may use a SQLite file"):
            async with build(settings, serving=True, wait=NOT_AT_ALL):
                pytest.fail("two serve")
        async with build(settings), open_payments({"DATABASE_URL": f"sqlite:///{file}"}, env_file=None) as payments:
            assert (await payments.list_payments()).items == ()

    async with build(settings, serving=True, wait=NOT_AT_ALL):  # the first has ended
        pass


async def test_a_folder_that_is_not_there_is_an_error_of_the_setting(tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": f"sqlite:///{tmp_path}/no/such/folder/books.db"}, None)

    with pytest.raises(SettingsError, match="DATABASE_URL"):
        await build(settings, serving=True).__aenter__()


async def test_several_serve_on_postgresql(postgres_copy: str) -> None:
    settings = load_settings({"DATABASE_URL": postgres_copy}, None)

    async with (
        build(settings, serving=True, wait=NOT_AT_ALL) as one,
        build(settings, serving=True, wait=NOT_AT_ALL) as other,
    ):
        assert (await one.ready()).ok
        assert (await other.ready()).ok


# --- which leases are ended


async def _leave_leases(settings: Settings, file: Path, holder: str) -> None:
    """A paid booking whose operation ``holder`` works on, and requests with a key over HTTP and of the library."""
    now = datetime.now(UTC)
    async with build(settings) as services:
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("10.00", Currency.USD),
            event_starts_at=now + timedelta(days=1),
        )
        await services.payments.process_booking_payment((await services.payments.register_booking(new)).booking)
        for route in ("POST /api/x", "library x"):
            mark = StoredAnswer(
                caller="a",
                route=route,
                key="k",
                fingerprint="f",
                created_at=now,
                locked_until=datetime.fromisoformat(FAR),
            )
            await services.storage.transact(lambda uow, mark=mark: uow.answers.put(mark))  # type: ignore[misc]
    with sqlite3.connect(file) as books:
        books.execute("UPDATE bp_payments SET lease_until = ?, lease_holder = ?", (FAR, holder))


def _held(file: Path) -> list[str]:
    """The marks and operations whose lease runs."""
    with sqlite3.connect(file) as books:
        marks = books.execute("SELECT route FROM bp_answers WHERE locked_until = ? ORDER BY route", (FAR,)).fetchall()
        leases = books.execute("SELECT 'operation' FROM bp_payments WHERE lease_until = ?", (FAR,)).fetchall()
    return [name for (name,) in marks + leases]


@pytest.mark.parametrize(
    ("holder", "left"),
    [
        (ServingIds().new("run"), ["library x"]),
        (RandomIds().new("run"), ["library x", "operation"]),
    ],
    ids=["left by serve", "left by an embedded process"],
)
async def test_serve_ends_the_leases_of_an_earlier_serve_and_no_others(
    settings: Settings, file: Path, holder: str, left: list[str]
) -> None:
    await _leave_leases(settings, file, holder)

    async with build(settings, serving=True) as services:
        assert services.background is not None
        async with services.background():
            assert _held(file) == left


async def test_an_embedded_process_ends_no_lease(settings: Settings, file: Path) -> None:
    await _leave_leases(settings, file, ServingIds().new("run"))

    async with open_payments({"DATABASE_URL": f"sqlite:///{file}"}, env_file=None) as payments:
        await payments.reconcile()

    assert _held(file) == ["POST /api/x", "library x", "operation"]


async def test_leases_of_serve_are_marked(settings: Settings, file: Path) -> None:
    async with build(settings, serving=True) as serving, build(settings) as other:
        assert serving.ids.new("run").startswith("run_serve_")
        assert not other.ids.new("run").startswith("run_serve_")
