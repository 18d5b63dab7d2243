"""What a log line looks like, who may speak how loud, and that no secret gets out."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from booking_payments.runtime.logging import HIDDEN, redacted, set_up_logging
from booking_payments.runtime.settings import load_settings

Lines = Callable[[], list[dict[str, Any]]]
NAMES = (None, "booking_payments", "booking_payments.payments", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Set-up is for the whole process: put its handlers back. Structlog stays: loggers that were used keep it."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(each, each.level, each.handlers[:], each.propagate) for each in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def written(**env: str) -> Lines:
    """Set up JSON logs with these settings; the result reads the lines written so far."""
    stream = io.StringIO()
    set_up_logging(load_settings({"LOG_FORMAT": "json", **env}, env_file=None), stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_the_services_loggers_is_one_json_object() -> None:
    lines = written()

    structlog.get_logger("booking_payments.payments").info("payment.operation", operation="refund", status=200)

    (line,) = lines()
    assert (line["event"], line["operation"], line["status"]) == ("payment.operation", "refund", 200)
    assert (line["logger"], line["level"]) == ("booking_payments.payments", "info")


def test_times_are_utc() -> None:
    lines = written()

    structlog.get_logger("booking_payments").info("now")

    assert datetime.fromisoformat(lines()[0]["timestamp"]).utcoffset() == datetime.now(UTC).utcoffset()


def test_the_standard_library_speaks_the_same_way() -> None:
    lines = written()

    logging.getLogger("booking_payments.somewhere").info("paid %s", "R-1")

    assert lines()[0]["event"] == "paid R-1"


def test_the_servers_lines_come_along() -> None:
    lines = written()

    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    assert lines()[0]["event"] == "Started server process [7]"


def test_the_servers_own_handlers_are_gone() -> None:
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler(io.StringIO()))
    lines = written()

    logging.getLogger("uvicorn.access").info("GET /")

    assert len(lines()) == 1


def test_an_access_log_that_was_switched_off_stays_off() -> None:
    access = logging.getLogger("uvicorn.access")
    access.handlers[:], access.propagate = [], False
    lines = written()

    access.info("GET /")

    assert lines() == []


def test_setting_up_twice_writes_once() -> None:
    written()
    lines = written()

    structlog.get_logger("booking_payments").info("once")

    assert len(lines()) == 1


def test_the_level_silences() -> None:
    lines = written(LOG_LEVEL="ERROR")

    structlog.get_logger("booking_payments.http").warning("no")

    assert lines() == []


def test_the_payment_log_can_be_turned_up_alone() -> None:
    lines = written(LOG_LEVEL="WARNING", LOG_LEVEL_PAYMENTS="DEBUG")

    structlog.get_logger("booking_payments.payments").debug("heard")
    structlog.get_logger("booking_payments.http").info("not heard")

    assert [line["event"] for line in lines()] == ["heard"]


def test_libraries_do_not_chat_at_debug() -> None:
    lines = written(LOG_LEVEL="DEBUG")

    logging.getLogger("httpcore.http11").debug("send_request_headers: Authorization")
    logging.getLogger("aiosqlite").info("executing")

    assert lines() == []


def test_libraries_warn() -> None:
    lines = written(LOG_LEVEL="DEBUG")

    logging.getLogger("alembic").warning("careful")

    assert lines()[0]["event"] == "careful"


def test_every_log_line_of_a_request_has_its_context() -> None:
    lines = written()

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        structlog.get_logger("booking_payments").info("one")

    assert lines()[0]["request_id"] == "req-1"


def test_a_traceback_is_written_without_its_secrets() -> None:
    lines = written()

    try:
        raise RuntimeError("postgresql://u:canary@h/n said no")
    except RuntimeError:
        structlog.get_logger("booking_payments").exception("broken")

    (line,) = lines()
    assert "RuntimeError" in line["exception"]
    assert "canary" not in json.dumps(line)


def test_lines_for_people_hide_secrets_too() -> None:
    stream = io.StringIO()
    set_up_logging(load_settings({"LOG_FORMAT": "console"}, env_file=None), stream)

    structlog.get_logger("booking_payments").info("key is sk_test_canary", header="Bearer canary")

    assert "key is" in stream.getvalue()
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"a": "plain", "client_secret": "pi_1"}, HIDDEN),
        ({"a": "plain", "api_key": 7}, HIDDEN),
        ({"a": "plain", "api_key": 7.5}, HIDDEN),
        ({"a": "plain", "note": "whsec_1234"}, f"whsec_{HIDDEN}"),
        ({"a": "plain", "number": 4242424242424242}, HIDDEN),
        ({"a": "424242424242", "number": "4242"}, "4242"),
        ({"a": "plain", "deep": {"password": "x"}}, {"password": HIDDEN}),
    ],
)
def test_one_suspicious_value_among_plain_ones_is_hidden(fields: dict[str, object], shown: object) -> None:
    lines = written()

    structlog.get_logger("booking_payments.payments").info("payment operation", **fields)

    (line,) = lines()
    assert line["a"] == fields["a"]
    assert line[list(fields)[-1]] == shown


def test_bound_and_positional_values_hide_secrets() -> None:
    lines = written()

    structlog.get_logger("booking_payments").bind(why="whsec_canary").info("got %s", "sk_live_canary")
    logging.getLogger("uvicorn.access").info("GET %s", "/checkout/1?token=canary&x=1")

    assert "canary" not in json.dumps(lines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pi_3Nabc_secret_x1Y2", f"pi_3Nabc_secret_{HIDDEN}"),
        ("sk_test_4eC39HqLyjW", f"sk_{HIDDEN}"),
        ("paid by ann.lee+tickets@example.com", f"paid by {HIDDEN}"),
        ("rk_live_4eC39HqLyjW", f"rk_{HIDDEN}"),
        ("secret whsec_abc+/=, other", f"secret whsec_{HIDDEN}, other"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {HIDDEN}"),
        ("eyJhbGciOiJI.eyJzdWIiOiJh.c2ln", HIDDEN),
        ("4242424242424242", HIDDEN),
        ("card 4242 4242 4242 4242 declined", f"card {HIDDEN} declined"),
        ("3782-822463-10005", HIDDEN),
        ("number=5555555555554444;", f"number={HIDDEN};"),
        ("postgresql+psycopg://u:p@ss/w@h:5432/n", f"postgresql+psycopg://u:{HIDDEN}@h:5432/n"),
        ("postgres://u:secret@h/n", f"postgres://u:{HIDDEN}@h/n"),
        ("http://u:secret@proxy/", f"http://u:{HIDDEN}@proxy/"),
        ("host=h password=secret dbname=n", f"host=h password={HIDDEN} dbname=n"),
        ("/checkout/b1?token=abc&x=1", f"/checkout/b1?token={HIDDEN}&x=1"),
    ],
)
def test_hides(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "pi_3NabcDEF",
        "task_1 risk_score work_2",
        "1700000000000",
        "2026-03-01T12:00:00.000000+00:00",
        "4242424242424241",
        "booking R-1 of ann",
        "https://example.com:8443/paid",
    ],
)
def test_leaves(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("name", ["authorization", "client_secret", "STRIPE_SECRET_KEY", "password", "cvc", "token"])
def test_hides_fields_by_name(name: str) -> None:
    assert redacted({name: "anything"}) == {name: HIDDEN}


def test_an_empty_secret_shows_that_it_is_empty() -> None:
    assert redacted({"client_secret": None}) == {"client_secret": None}


def test_hides_at_any_depth() -> None:
    assert redacted({"a": [{"b": ("sk_test_x",)}]}) == {"a": [{"b": [f"sk_{HIDDEN}"]}]}


@pytest.mark.parametrize("value", [b"sk_test_canary", ValueError("sk_test_canary"), SecretStr("canary")])
def test_secrets_are_hidden_in_values_that_are_not_text(value: object) -> None:
    assert "canary" not in str(redacted(value))


def test_hides_a_card_number_that_came_as_a_number() -> None:
    assert redacted(4242424242424242) == HIDDEN


@pytest.mark.parametrize("value", [True, None, 1999, 0.25, Decimal("10.99")])
def test_leaves_numbers(value: object) -> None:
    assert redacted(value) == value
