"""Logs: structlog's and the standard library's loggers share one formatter, which removes secrets.

Everything is written to standard error, so that standard output has only the results of commands. ``LOG_LEVEL`` is the
level of ``booking_payments``; ``LOG_LEVEL_PAYMENTS`` that of the payment log, ``booking_payments.payments``.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from booking_payments.domain.error_texts import safe_text
from booking_payments.runtime.settings import LogFormat, Settings

HIDDEN: Final = "[redacted]"
LONGEST_NAME: Final = 64
"""How many characters of a field's name are checked, from its end; this bounds the cache of names, too."""

_SECRET_FIELDS: Final = re.compile(
    r"(?i)^(authorization|cookie|set-cookie|password|passwd|stripe-signature|cvc|cvv|card_number|token"
    r"|.*(client_secret|api_key|private_key|secret_key|webhook_secret|jwt_secret))$"
)
# Each of these takes time linear in its text (tests/repository/test_linear_time.py).
_PATTERNS: Final = (
    # A client secret, with which its holder can confirm a payment; the intent's id before it stays.
    (re.compile(r"_secret_[A-Za-z0-9_]+"), f"_secret_{HIDDEN}"),
    (re.compile(r"(?<![A-Za-z0-9])(sk|rk)_[A-Za-z0-9_]+"), rf"\1_{HIDDEN}"),
    (re.compile(r"whsec_[^\s\"',;)}\]]+"), f"whsec_{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)([?&](?:token|access_token)=)[^\s&\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^\s:/@]*):[^\s/@]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(password=)('[^']*'|[^\s&]+)"), rf"\1{HIDDEN}"),
    # An e-mail address, which may be used as a customer's id.
    (re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
)
_DOTTED_WORD: Final = re.compile(r"[A-Za-z0-9_.-]+")
_UNQUOTED_WORD: Final = re.compile(r"[^\s\"'<>]+")
_DATABASE: Final = re.compile(r"(?i)\b(?:postgres\w*+|rediss?)(?:\+\w++)?://[^\s:/@]*+:")
_MANY_DIGITS: Final = re.compile(r"[0-9][0-9 -]{12}")
_DIGITS: Final = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
"""Numbers with as many digits as card numbers (ISO/IEC 7812), in groups or not."""

_HARMLESS: Final = (bool, type(None), float, Decimal, date)


def redacted(value: Any, name: str = "") -> Any:
    """Return ``value`` without secrets, including those in nested values; ``name`` is the name of its field."""
    if _is_secret(name[-LONGEST_NAME:]) and value not in (None, "", True, False):
        return HIDDEN
    if type(value) is str:
        return _redacted_text(value)
    if isinstance(value, Mapping):
        return {str(key): redacted(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(part) for part in value]
    if isinstance(value, _HARMLESS):
        return value
    return _redacted_number(value) if isinstance(value, int) else _redacted_text(_text(value))


@lru_cache(maxsize=1024)
def _is_secret(field: str) -> bool:
    return _SECRET_FIELDS.match(field) is not None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _redacted_number(value: int) -> int | str:
    return HIDDEN if _DIGITS.fullmatch(str(value)) and _passes_luhn(str(value)) else value


def _is_suspicious(text: str) -> bool:
    """Return whether a text may contain a secret. Most texts do not, and the patterns are not applied to them."""
    low = text.lower()
    return (
        "k_" in low
        or "_secret_" in low
        or "whsec_" in low
        or "bearer" in low
        or "basic" in low
        or "eyj" in low
        or "token=" in low
        or "://" in low
        or "password=" in low
        or "@" in low
        or _MANY_DIGITS.search(text) is not None
    )


def _redacted_text(text: str) -> str:
    if not _is_suspicious(text):
        return text
    if "eyJ" in text:
        text = _DOTTED_WORD.sub(_without_token, text)
    if "://" in text:
        text = _UNQUOTED_WORD.sub(_without_password, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _DIGITS.sub(_without_card, text)


def _without_token(match: re.Match[str]) -> str:
    """Return a word without a JSON web token: its header begins with {" in base64, and it has two dots."""
    word = match[0]
    start = word.find("eyJ")
    return word if start < 0 or word.count(".", start) < 2 else f"{word[:start]}{HIDDEN}"


def _without_password(match: re.Match[str]) -> str:
    """Return a database address without its password, which may contain any character and ends at the last @."""
    word = match[0]
    database, end = _DATABASE.search(word), word.rfind("@")
    return word if database is None or end <= database.end() else f"{word[: database.end()]}{HIDDEN}{word[end:]}"


def _without_card(match: re.Match[str]) -> str:
    """Hide a number whose check digit is right. Nine in ten other numbers, such as ids and times, fail the check."""
    return HIDDEN if _passes_luhn(match[0]) else match[0]


def _passes_luhn(text: str) -> bool:
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=256)
def _has_secret(fields: frozenset[str]) -> bool:
    """Whether one of these fields of a line holds a secret by its name. The same lines come again and again."""
    return any(_is_secret(name[-LONGEST_NAME:]) for name in fields)


def _is_harmless(event: EventDict) -> bool:
    """Whether none of the values can be or contain a secret."""
    if not _PLAIN.issuperset(map(type, event.values())) or _has_secret(frozenset(event)):
        return False
    return not _is_suspicious("\n".join(map(str, event.values())))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Remove secrets from every value of a log line. As a processor it comes after tracebacks have become text.

    Most lines are texts and numbers without anything suspicious. Their values are looked at together, joined to one
    text: where that has nothing suspicious, no part of it has.
    """
    if _is_harmless(event):
        return dict(event)  # a renderer may take it apart
    return {name: value if name.startswith("_") else redacted(value, name) for name, value in event.items()}


def set_up_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (None: standard error). Calling it again replaces the set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(_renderer(settings.log_format)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    for name, level in _levels(settings):
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        _let_through(logging.getLogger(name))
    _configure_structlog()
    _collect_less()


def _collect_less() -> None:
    """Do not collect thread, process and source line of a log record, since no line shows them.

    Python's logging how-to describes this in the section "Optimization".
    """
    vars(logging)["_srcfile"] = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _levels(settings: Settings) -> Iterator[tuple[str | None, str]]:
    """Yield loggers with their levels. Libraries log at WARNING at least: below, they log parameters and keys."""
    own, quiet = settings.log_level.value, logging.getLevelName(logging.WARNING)
    louder = max(own, quiet, key=logging.getLevelNamesMapping().__getitem__)
    yield None, louder
    yield "booking_payments", own
    yield "booking_payments.payments", settings.log_level_payments.value
    yield "uvicorn", own


def _let_through(logger: logging.Logger) -> None:
    """Remove the handlers of a logger of uvicorn, so that its lines reach our handler.

    A logger without a handler stays off: uvicorn removes the handlers of the access log to disable it.
    """
    if logger.hasHandlers():
        logger.handlers[:] = []
        logger.propagate = True


def _traceback(exc_info: ExcInfo) -> str:
    """Format a traceback: source lines, and the type and safe text (``error_texts``) of every error in the chain."""
    return "\n".join(_lines_of(exc_info[1], set()))


def _lines_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines_of(before, seen)
        yield "The above exception was followed by:"
    yield "Traceback (most recent call last):"
    for line in traceback.format_tb(error.__traceback__):
        yield line.rstrip("\n")
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}: {safe_text(error)}"
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(each) not in seen:
            yield "One of the group:"
            yield from _lines_of(each, seen)


_FORMAT_EXCEPTION: Final = structlog.processors.ExceptionRenderer(_traceback)


def _shared() -> list[Processor]:
    """Return the processors for lines of this service and of libraries."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _FORMAT_EXCEPTION,
    ]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders lines without secrets. Lines of this service have passed the processors already, and skip them here."""

    def __init__(self, render: Processor) -> None:
        without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=_shared(), processors=[without_meta, redact, render])
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, dict) and "_logger" in record.__dict__:
            return str(self._render(None, "", redact(None, "", record.msg)))
        return super().format(record)


def _renderer(kind: LogFormat) -> Processor:
    if kind is LogFormat.JSON:
        return structlog.processors.JSONRenderer(serializer=_as_json)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _as_json(event: EventDict, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


_PROCESSORS: Final[list[Processor]] = [
    structlog.stdlib.filter_by_level,
    *_shared(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
"""One list object for the whole process: loggers keep a reference to it, and tests change it to capture lines."""


def _configure_structlog() -> None:
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,  # this configuration never changes, only the handlers
    )


def log_through_the_host() -> None:
    """Send our lines to the standard library's loggers, which the embedding application configures.

    Changes nothing if the application has configured structlog: our lines then pass its processors.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _FORMAT_EXCEPTION,
            redact,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # the application may configure structlog later
    )
