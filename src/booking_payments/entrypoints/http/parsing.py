"""Strict parsing of requests: each part is validated once, before a use case sees it.

A body is JSON in UTF-8, not too deep, without repeated names, and fits its model exactly: no unknown fields, no
conversions. What looks like a card number or a secret is turned away wherever it stands, and nothing that came in is
repeated in an answer or a log.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Scope

from booking_payments.entrypoints.http.problems import bad_request, too_large
from booking_payments.presentation.card_numbers import holds_card_number
from booking_payments.presentation.models import Nothing

JSON_LIMIT: Final = 64 * 1024
WEBHOOK_LIMIT: Final = 512 * 1024
HEADERS_LIMIT: Final = 16 * 1024
"""Bytes (our own choice; the largest honest request has about one thousandth of it)."""
TARGET_LIMIT: Final = 8 * 1024
"""Bytes of path and query together, as they were sent (RFC 9110, 4.1 asks for 8,000 at least)."""

MAX_DEPTH: Final = 32
MAX_NUMBER: Final = 15
"""Digits of a JSON number: what every client can hold exactly."""
MAX_QUERY_FIELDS: Final = 50

NO_FIELDS: Final = b"{}"
M = TypeVar("M", bound=msgspec.Struct)

# Every expression here takes time linear in its text (tests/repository/test_linear_time.py): no expression matches
# one place in two ways, and a match that fails late can start at few places. An unclosed string ends with the text.
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^\[\]{}]+")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_WHERE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD: Final = re.compile(r"field `(?P<name>[A-Za-z_][A-Za-z0-9_]{0,39})`")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_ENCODED_IN_VAIN: Final = re.compile(rb"%(?:2[def]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|7e)", re.IGNORECASE)
"""A slash, or a character that RFC 3986, 2.3 calls unreserved: both spellings of it mean the same."""
_LONGER_THAN_AN_ID: Final = "-" * 65
_MONEY_FIELDS: Final = frozenset({"amount", "percent", "unit_amount"})
_SECRET_FIELDS: Final = frozenset({"client_secret"})
_KEY: Final = re.compile(
    # Stripe's keys and webhook secrets, and client secrets.
    r"(?<![A-Za-z0-9])(?:(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8}|whsec_[A-Za-z0-9+/=]{8}"
    r"|(?:pi|seti)_[A-Za-z0-9]++_secret_[A-Za-z0-9]{8})"
)
_TOKEN_HEAD: Final = re.compile(
    # The text before the payload of a token, which may end with the header of the token.
    r"(?<![A-Za-z0-9_-])(?P<head>[A-Za-z0-9_-]++)(?=\.eyJ[A-Za-z0-9_-]{8,}+\.)"
)
_HEADER: Final = re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8}")


# --- bodies ----------------------------------------------------------------------------------------------------


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body, for a route that is called too often for the framework's reading of it (decision 20).

    Raises 413 as soon as it is larger than ``limit`` bytes, or is announced to be, and 400 when the client hangs up
    before its end.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced) > limit:
        raise too_large()
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise bad_request("the request ended before its body was complete", "bad_request")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large()
        if not message.get("more_body"):
            return b"".join(parts)


class WholeRequest(Request[Any, Any, Any]):
    """A request whose body was received completely; the framework would report a client's disconnect as a server
    error."""

    async def body(self) -> bytes:
        """The body. Raises 413 when it is too large, 400 when the client hangs up before its end."""
        try:
            return await super().body()
        except RequestEntityTooLarge:
            raise too_large() from None
        except InternalServerException:
            raise bad_request("the request ended before its body was complete", "bad_request") from None


class JsonRequest(WholeRequest):
    """A request whose body and query are read by the rules of this module.

    Litestar reads JSON with repeated names, to any depth, turns ``"1"`` into a number where one is wanted, and keeps
    the queries that it has read. Handlers declare ``data: Model`` and ``parameters: Model`` as they would otherwise.
    """

    async def body(self) -> bytes:
        """The body; an empty one counts as ``{}``. Raises 413 when it is too large."""
        raw = await super().body()
        return raw if raw.strip() else NO_FIELDS

    async def json(self) -> Any:
        """The body as the struct that the handler declares as its ``data``. Raises 400 for anything else."""
        raw = await self.body()
        if raw is not NO_FIELDS:
            _require_json(self.headers.get("content-type"))
        return fit(parse_json(raw), self._declared("data"))

    def read_query(self) -> msgspec.Struct:
        """The query as the struct that the handler declares as its ``parameters``. Raises 400 for unknown, repeated and
        ill-formed ones."""
        return read_query(self.scope, self._declared("parameters"))

    def refuse_stray_query(self) -> None:
        """400 for any parameter of a handler that declares none."""
        if "parameters" not in self.route_handler.parsed_fn_signature.parameters:
            read_query(self.scope, Nothing)

    def _declared(self, name: str) -> type[msgspec.Struct]:
        model: type[msgspec.Struct] = self.route_handler.parsed_fn_signature.parameters[name].annotation
        return model


def _require_json(content_type: str | None) -> None:
    media, _, parameters = (content_type or "application/json").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise bad_request("send the body as JSON in UTF-8 (Content-Type: application/json)", "not_json")


def parse_json(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``. Raises 400 for everything that two readers could understand differently."""
    text = _text(raw)
    _require_shallow(text)
    try:
        content = json.loads(
            text, object_pairs_hook=_distinct, parse_int=_whole, parse_float=_fraction, parse_constant=_no_constant
        )
    except ValueError:
        raise bad_request("the body is not well-formed JSON", "not_json") from None
    if not isinstance(content, dict):
        raise bad_request("send a JSON object: {...}", "not_json")
    _require_clean(content)
    return content


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request("the body is not valid UTF-8", "not_json") from None
    if text.startswith("\ufeff") or "\x00" in text:
        raise bad_request("send the body without a byte order mark and without NUL characters", "not_json")
    return text


def _require_shallow(text: str) -> None:
    depth = 0
    for bracket in _NO_BRACKETS.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise bad_request(f"the body is nested more than {MAX_DEPTH} levels deep", "not_json")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise bad_request("a field is given twice; give it once", "duplicate_field")
    return dict(pairs)


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_NUMBER:
        raise bad_request("a number in the body is too large", "number_too_large")
    return int(digits)


def _fraction(digits: str) -> float:
    if len(digits) > 2 * MAX_NUMBER or "e" in digits.lower():
        raise bad_request('write numbers plainly; amounts are text, for example "100.00"', "number_too_large")
    return float(digits)


def _no_constant(name: str) -> float:
    raise bad_request("NaN and Infinity are not JSON numbers", "not_json")


def _require_clean(content: Any, name: str = "") -> None:
    """Refuse text that no database takes (NUL, halves of characters) and card numbers, at any depth."""
    for field, value in _strings(content, name):
        if _UNSTORABLE.search(value):
            raise bad_request("a text in the body holds characters that are not allowed", "invalid_text")
        if field not in _MONEY_FIELDS:
            refuse_card_number(value)
        if field not in _SECRET_FIELDS:
            refuse_secret(value)


def _strings(content: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every text in ``content`` with the name of its field; names count as texts, and so do numbers."""
    left = [(name, content)]
    while left:
        field, value = left.pop()
        if isinstance(value, dict):
            yield from (("", key) for key in value)
            left.extend(value.items())
        elif isinstance(value, list):
            left.extend((field, part) for part in value)
        elif isinstance(value, str | int | float):
            yield field, str(value)


# --- card numbers ----------------------------------------------------------------------------------------------


def refuse_card_number(text: str) -> None:
    """400 when ``text`` holds what looks like a card number (PCI DSS: card data never comes near us)."""
    if holds_card_number(text):
        raise bad_request(
            "this looks like a card number; card data goes to the payment provider only, never here",
            "card_number_refused",
        )


def refuse_secret(text: str) -> None:
    """400 when ``text`` holds what looks like a secret key or token, pasted where it would be kept and shown."""
    if _holds_secret(text):
        raise bad_request(
            "this looks like a secret key or token; do not send it, and replace it at its provider", "secret_refused"
        )


def may_be_kept(text: str) -> bool:
    """Whether ``text`` may stand in journal and logs: no card number, no secret."""
    return not holds_card_number(text) and not _holds_secret(text)


def _holds_secret(text: str) -> bool:
    if _KEY.search(text) is not None:
        return True
    return "eyJ" in text and any(_HEADER.search(found["head"]) for found in _TOKEN_HEAD.finditer(text))


# --- models ----------------------------------------------------------------------------------------------------


def fit(content: Mapping[str, Any], model: type[M]) -> M:
    """``content`` as ``model``, without conversions. Raises 400 that names the field, never the value."""
    try:
        return msgspec.convert(content, model, strict=True)
    except msgspec.ValidationError as error:
        raise bad_request(_explain(str(error)), _code(str(error))) from None


def _code(message: str) -> str:
    return "unknown_field" if "unknown field" in message else "invalid_input"


def _explain(message: str) -> str:
    """msgspec's message, rewritten: it names fields and types, but also repeats input."""
    where = _WHERE.search(message)
    path = where["path"] if where else ""
    named = _FIELD.search(message)
    if "unknown field" in message:
        name = f" {named['name']!r}" if named and may_be_kept(named["name"]) else ""
        return f"there is no field{name} here; leave it out{_in(path)}"
    if "missing required field" in message and named:
        return f"the field {named['name']!r} is missing{_in(path)}"
    if "Invalid enum value" in message:
        return f"{path or 'the value'}: not one of the allowed values"
    expected = _WHERE.sub("", message).replace("`", "")
    return f"{path or 'the body'}: {expected[0].lower()}{expected[1:]}"


def _in(path: str) -> str:
    return f" (in {path})" if path else ""


# --- query and path --------------------------------------------------------------------------------------------


def read_query(scope: Scope, model: type[M]) -> M:
    """The query parameters as ``model``. Raises 400 for unknown, repeated and ill-formed ones."""
    given = query_pairs(scope)
    names = [name for name, _ in given]
    if len(set(names)) != len(names):
        raise bad_request("a query parameter is given twice; give it once", "duplicate_field")
    content = dict(given)
    _require_clean(content)
    return fit({name: _typed(model, name, value) for name, value in content.items()}, model)


def bounded_path(path: str) -> str:
    """``path`` as it is routed: a part that is longer than any id is read as one and the same part that is no id.

    The framework keeps the paths of its last thousand requests; so it keeps no long ones.
    """
    if len(path) <= len(_LONGER_THAN_AN_ID):
        return path
    return "/".join(part if len(part) < len(_LONGER_THAN_AN_ID) else _LONGER_THAN_AN_ID for part in path.split("/"))


def is_plain_path(scope: Scope) -> bool:
    """Whether the path can be read in one way only: no empty part, and nothing encoded that needs no encoding, slashes
    included.

    The framework drops empty parts and decodes the rest: ``//metrics`` and ``/%6detrics`` would be ``/metrics``, past
    every proxy that keeps that closed and compares paths as they were sent.
    """
    return "//" not in scope["path"] and _ENCODED_IN_VAIN.search(_raw_path(scope)) is None


def target_length(scope: Scope) -> int:
    """Bytes of path and query as they were sent."""
    return len(_raw_path(scope)) + len(scope["query_string"])


def _raw_path(scope: Scope) -> bytes:
    """The path as it was sent. Some servers leave it out, others add the query."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    return raw.partition(b"?")[0]


def query_pairs(scope: Scope) -> list[tuple[str, str]]:
    """The query's names and values in order. Raises 400 when there are too many.

    Parsed here and not by the framework, which caches a thousand parsed queries of any length.
    """
    try:
        query = scope["query_string"].decode("latin-1")
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise bad_request(f"the query has more than {MAX_QUERY_FIELDS} parameters") from None


def cookie(scope: Scope, name: str) -> str | None:
    """The value of the first cookie called ``name``, as it was sent; None without one.

    Parsed here and not by the framework: that caches parsed headers, and before Python 3.11.10 and 3.12.6 takes time
    quadratic in the length of a quoted value.
    """
    for header, value in scope["headers"]:
        if header == b"cookie":
            for each in value.decode("latin-1").split(";"):
                given, equals, content = each.partition("=")
                if equals and given.strip() == name:
                    return content.strip()
    return None


def _typed(model: type[msgspec.Struct], name: str, value: str) -> object:
    """Convert text to a number or boolean where the model requires one and the text is one; else return the text."""
    if name in getattr(model, "TRUTHS", ()) and value in _TRUTHS:
        return _TRUTHS[value]
    whole = name in getattr(model, "WHOLE_NUMBERS", ())
    return int(value) if whole and _NUMBER.fullmatch(value) else value


_TRUTHS: Final = {"true": True, "false": False}


def is_id(text: str) -> bool:
    """True when ``text`` has the form of an id of this service; for other text callers answer 404."""
    return _ID.fullmatch(text) is not None and may_be_kept(text)
