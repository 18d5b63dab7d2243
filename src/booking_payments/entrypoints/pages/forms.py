"""Parse forms as strictly as JSON: each field once, plain text, nothing that looks like a card number or a secret."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request

from booking_payments.entrypoints.http import parsing
from booking_payments.entrypoints.http.problems import bad_request

AnyRequest = Request[Any, Any, Any]

MAX_FIELDS: Final = 250
"""A booking has up to 100 items, and the form that changes it two fields for each."""

_ENCODED: Final = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form. A field that was not sent, or is blank, reads as empty text."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def names(self) -> Iterable[str]:
        """The names of the fields that were sent."""
        return self._fields.keys()

    def get(self, name: str) -> str:
        """Return the field's text, stripped."""
        return self._fields.get(name, "").strip()

    def safe(self, name: str) -> str:
        """Return the field's text for storage. Raises when it looks like a card number or a secret."""
        text = self.get(name)
        parsing.refuse_card_number(text)
        parsing.refuse_secret(text)
        return text


async def read_form(request: AnyRequest) -> Form:
    """Return the form in the body.

    Raises:
        RequestRefused: 400 for a body of another type, 413 when it is too large.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _ENCODED:
        raise bad_request("Send this form from its page.", "not_a_form")
    return _form(await request.body())


def read_search(request: AnyRequest) -> Form:
    """Return the fields of the query string."""
    return _form(request.scope["query_string"])


def _form(raw: bytes) -> Form:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise bad_request("This address or form can't be read.", "not_a_form") from None
    if len(dict(pairs)) != len(pairs) or any("\x00" in value for _, value in pairs):
        raise bad_request("This address or form can't be read.", "not_a_form")
    return Form(dict(pairs))
