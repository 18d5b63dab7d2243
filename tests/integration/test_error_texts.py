"""Errors of libraries quote rows and parameters; no log line and no stored text repeats them."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.sql.engine import open_engine
from booking_payments.domain.error_texts import safe_text
from booking_payments.domain.errors import InvalidInput
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.settings import load_settings

NOTE = "I have had an operation, says Ann Example, Some Street 1"


@pytest.fixture
def lines() -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    set_up_logging(load_settings({"JWT_SECRET": "x" * 32, "LOG_FORMAT": "json"}, env_file=None), stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_an_error_of_the_database_shows_no_parameters(tmp_path: Path, lines: Any) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'books.db'}")
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE notes (note TEXT CHECK (length(note) < 5))"))
        with pytest.raises(SQLAlchemyError) as broken:
            async with engine.begin() as connection:
                await connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": NOTE})
        structlog.get_logger("booking_payments").error("broke", exc_info=broken.value)
    finally:
        await engine.dispose()

    assert NOTE not in str(broken.value)
    (line,) = lines()
    assert NOTE not in json.dumps(line)
    assert "IntegrityError" in line["exception"]
    assert "sqlite_errorname=SQLITE_CONSTRAINT_CHECK" in line["exception"]


def _chained() -> None:
    try:
        int(NOTE)
    except ValueError as error:
        raise RuntimeError(f"could not read {NOTE}") from error


def _in_context() -> None:
    try:
        int(NOTE)
    except ValueError:
        raise KeyError(NOTE)  # noqa: B904 - what happens by mistake


def _grouped() -> None:
    raise ExceptionGroup(NOTE, [ValueError(NOTE), InvalidInput("send one key")])


@pytest.mark.parametrize("broken", [_chained, _in_context, _grouped])
def test_texts_of_foreign_errors_are_not_logged(broken: Callable[[], None], lines: Any) -> None:
    try:
        broken()
    except Exception:
        structlog.get_logger("booking_payments").exception("broke")

    written = json.dumps(lines()[0])
    assert NOTE not in written
    assert "ValueError" in written
    assert "test_error_texts.py" in written, "the log names the place of the error"


def test_a_line_of_a_library_is_masked_as_ours_are(lines: Any) -> None:
    import logging

    try:
        _chained()
    except RuntimeError:
        logging.getLogger("somebody.else").exception("broke")

    assert NOTE not in json.dumps(lines())


def test_texts_of_the_services_own_errors_are_logged() -> None:
    assert safe_text(InvalidInput("send one key")) == "send one key"
    assert safe_text(ConnectionRefusedError(111, NOTE)).startswith("errno=111 ")
    assert NOTE not in safe_text(ValueError(NOTE))
