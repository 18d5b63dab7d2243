"""What the routes of the API have in common, as arguments of Litestar's ``@get`` and ``@post``: who may call them,
which problems may come back, and whether it is an operation on money."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec

from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.problems import PROBLEM_MEDIA, ProblemDetails

MEANINGS: Final[Mapping[int, str]] = {
    200: "Done",
    201: "Created",
    202: "Begun: background work carries it out",
    400: "The request cannot be understood; `detail` names the field",
    401: "No valid token",
    402: "The card was declined; `detail` is written for the customer",
    403: "The token lacks the scope",
    404: "No such booking or payment, or one of another customer",
    409: "Not possible in the present state, or the first request with this key is in progress",
    413: "Too large",
    414: "The address is too long",
    422: "Understood, and refused by a rule",
    429: "Too many requests; repeat it after `Retry-After` seconds",
    500: "An error of this service",
    502: "The payment provider refused the request of this service, for example for its key",
    503: "Cannot be reached, or the outcome is unknown (`outcome_unknown`)",
}

ALSO_AS: Final = "also_as"
"""In a handler's ``opt``: another media type of its answer, for the OpenAPI document."""

EVERYWHERE: Final = frozenset({413, 414, 429, 500})
WITH_TOKEN: Final = frozenset({400, 401, 403, 503})
OF_OPERATIONS: Final = frozenset({409, 422})
BEARER: Final = [{"bearer": list[str]()}]


class _Answer(ResponseSpec):
    """An answer of a route, for the OpenAPI document. Copies of a route share it: Litestar makes deep copies of every
    route while it builds an app, which took half of the time, and nothing changes an answer."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Answer":
        return self


def public(
    access: Access = Access.PUBLIC,
    *,
    errors: Iterable[int] = (),
    counted: bool = True,
    answer: type[msgspec.Struct] | None = None,
) -> dict[str, Any]:
    """A route without a token. ``counted``: whether the rate limit per address applies (``limits.UNCOUNTED``);
    ``answer``: the type of the response, where the handler's annotation does not give it."""
    good = {200: _Answer(answer, description=MEANINGS[200], generate_examples=False)} if answer else {}
    return {
        "opt": {"access": access},
        "status_code": 200,
        "description": f"For {access.value}.",
        "response_description": MEANINGS[200],
        "responses": {**good, **problems({*EVERYWHERE, *errors} - ({429} if not counted else set()))},
    }


def for_token(access: Access, *, errors: Iterable[int] = ()) -> dict[str, Any]:
    """A route that only reads, for bearers of a token."""
    return {
        **public(access, errors={*WITH_TOKEN, *errors}),
        "security": BEARER,
    }


def also_as(media_type: str, when: str, route: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``route``, whose good answer may also be text of ``media_type``; ``when`` says when."""
    described = {"description": f"{route['description']} {when}"}
    return {**route, **described, "opt": {**route["opt"], ALSO_AS: media_type}}


def operation(
    name: str,
    access: Access,
    *,
    errors: Iterable[int] = (),
    status_code: int = 200,
    also: Mapping[int, type[msgspec.Struct]] | None = None,
) -> dict[str, Any]:
    """A route that may move money: it takes an ``Idempotency-Key``, and ``name`` stands in audit log and metrics.
    ``also`` are answers of other statuses than ``status_code`` that are no problems."""
    declared = for_token(access, errors={*OF_OPERATIONS, *errors})
    others = {
        status: _Answer(model, description=MEANINGS[status], generate_examples=False)
        for status, model in (also or {}).items()
    }
    return {
        **declared,
        "responses": {**others, **declared["responses"]},
        "opt": {"access": access, "operation": name},
        "status_code": status_code,
        "response_description": MEANINGS[status_code],
        "response_headers": [
            ResponseHeader(
                name="Idempotent-Replayed",
                value="true",
                documentation_only=True,
                description="`true` when this is the stored answer of an earlier request",
            )
        ],
    }


def problems(statuses: Iterable[int]) -> dict[int, ResponseSpec]:
    """The problems (RFC 9457) that a route may answer with, for the OpenAPI document."""
    return {
        status: _Answer(ProblemDetails, description=MEANINGS[status], media_type=PROBLEM_MEDIA, generate_examples=False)
        for status in sorted(statuses)
    }
