"""Problem details (RFC 9457): the table from errors to HTTP statuses, and the body of every error.

The members: ``type`` (a stable reference), ``title``, ``status``, ``detail``, ``code``, and for clients of the old
guide ``success: false`` and ``error`` (the same text as ``detail``). The request id travels in a header, so that two
refusals of the same kind are the same to the byte.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from attrs import evolve, field, frozen

from booking_payments.domain.declines import GENERIC_DECLINE, Advice, Decline, Remedy
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    Contradiction,
    GatewayRefusedUs,
    IllegalTransition,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    OurFault,
    OutcomeUnknown,
    PaymentError,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.presentation.models import AdviceText, says

PROBLEM_MEDIA: Final = "application/problem+json"
JSON_MEDIA: Final = "application/json"
TOO_LARGE: Final = "the request is too large; 64 KiB are allowed (512 KiB for webhooks)"
RETRY_AFTER_S: Final = 5
"""``Retry-After`` in seconds for a 503 and for an operation in flight: the first step of the resolver's schedule."""

STATUSES: Final[Mapping[type[Exception], int]] = {
    InvalidInput: 400,
    CardDeclined: 402,
    NotFound: 404,
    NotPossibleNow: 409,
    RefusedByRule: 422,
    TryAgainLater: 503,
    OutcomeUnknown: 503,
    StorageConflict: 503,
    CommitLost: 503,
    WebhookRefused: 400,
    # The gateway refused us: 502. The other two are our own contradictions; the client did nothing wrong and can
    # change nothing, so they are no 409.
    GatewayRefusedUs: 502,
    Contradiction: 502,
    IllegalTransition: 500,
    OurFault: 500,
    PaymentError: 500,
}
"""The nearest class in an error's ancestry decides."""

_BUSY: Final = "too many requests change the same data at once; try again in a moment"
_DOWN: Final = "the database can't be reached, and nothing was changed; try again in a moment"
_LOST: Final = "it is not known yet whether this was done, and it is being checked; read the status, do not pay again"

_RETRYABLE: Final = frozenset({Remedy.TRY_AGAIN, Remedy.TRY_LATER})


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of an error. Fields that say nothing about this error are left out."""

    type: Annotated[str, says("a stable reference of the kind of error", "/problems/card_declined")]
    title: Annotated[str, says("the phrase of the status", "Payment Required")]
    status: Annotated[int, says("the status of the response", 402)]
    detail: Annotated[str, says("what went wrong in this case; the text may change", "Your card was declined.")]
    code: Annotated[str, says("a stable code, see the list of error codes", "card_declined")]
    error: Annotated[str, says("the same text as `detail`", "Your card was declined.")]
    success: Annotated[bool, says("always false", False)]
    decline_code: Annotated[str | None, says("the bank's reason, where the reader may learn it", "expired_card")] = None
    retryable: Annotated[bool | None, says("whether the same request may succeed later", False)] = None
    outcome_unknown: Annotated[
        bool | None, says("true: it is not known yet whether money moved; read the status, do not pay again", True)
    ] = None
    advice: Annotated[AdviceText | None, says("what the customer can do", "other_method")] = None


@frozen(kw_only=True)
class EncodedResponse:
    """A response ready to be sent or stored. ``error`` is the code of a problem, for log and metrics, or None."""

    status: int
    body: bytes = field(repr=False)
    media_type: str = JSON_MEDIA
    headers: Mapping[str, str] = field(factory=dict)
    error: str | None = None


class RequestRefused(Exception):
    """The request is refused before it reaches a use case; ``problem`` is the body of the response."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, code, detail, retryable=retryable)
        self.headers = dict(headers or {})

    @property
    def response(self) -> EncodedResponse:
        return encoded(self.problem, self.headers)


EXPLAINED_ERRORS: Final = (PaymentError, StorageConflict, CommitLost, RequestRefused)
"""The errors for which ``response_to`` gives more than an internal error."""


def too_large() -> RequestRefused:
    """413 for a body beyond the limit of its route."""
    return RequestRefused(413, "too_large", TOO_LARGE)


def bad_request(detail: str, code: str = "invalid_input") -> RequestRefused:
    """400: the request cannot be understood; ``detail`` names the field and says what to do."""
    return RequestRefused(400, code, detail)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    decline_code: str | None = None,
    retryable: bool | None = None,
    outcome_unknown: bool | None = None,
    advice: Advice | None = None,
) -> ProblemDetails:
    """The body for an error; its title is the status's own phrase."""
    return ProblemDetails(
        type=f"/problems/{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        error=detail,
        success=False,
        decline_code=decline_code,
        retryable=retryable,
        outcome_unknown=outcome_unknown,
        advice=advice.value if advice else None,
    )


def encoded(content: ProblemDetails, headers: Mapping[str, str] | None = None) -> EncodedResponse:
    """``content`` as bytes, with ``Retry-After`` where a later try may help."""
    waits = {"Retry-After": str(RETRY_AFTER_S)} if content.status == 503 else {}
    return EncodedResponse(
        status=content.status,
        body=msgspec.json.encode(content),
        media_type=PROBLEM_MEDIA,
        headers={**waits, **(headers or {})},
        error=content.code,
    )


def status_of(error: Exception) -> int:
    """The status of an error: that of its nearest class in the table, 500 for a class that is not in it."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def response_to(error: Exception, *, raw_declines: bool = False) -> EncodedResponse:
    """Return the response for ``error``; it contains hidden reasons of a decline only with ``raw_declines``."""
    if isinstance(error, RequestRefused):
        return error.response
    waits = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, AlreadyUnderWay) else None
    return encoded(problem_of(error, raw_declines=raw_declines), waits)


def problem_of(error: Exception, *, raw_declines: bool = False) -> ProblemDetails:
    """Return the problem for ``error``: the body of the response in the API, title and text on a page."""
    if isinstance(error, RequestRefused):
        return error.problem
    if isinstance(error, CardDeclined):
        return _declined(error.decline if raw_declines else error.decline.for_customer())
    if isinstance(error, CommitLost):
        return problem_of(OutcomeUnknown(_LOST))
    status = status_of(error)
    if isinstance(error, StorageDown):
        return problem(status, "storage_unavailable", _DOWN, retryable=True)
    if isinstance(error, StorageConflict):
        return problem(status, "busy", _BUSY, retryable=True)
    if status == 500 or not isinstance(error, PaymentError | WebhookRefused):
        return _internal_error()
    return _problem_for(status, error)


def internal_error() -> EncodedResponse:
    """500 without details of the error."""
    return encoded(_internal_error())


def _internal_error() -> ProblemDetails:
    return problem(500, "internal_error", "internal error; it has been logged under the id in the header X-Request-Id")


def _declined(decline: Decline) -> ProblemDetails:
    # The network's advice on a generic decline would tell it from a hidden reason that only reads like one.
    advised = evolve(decline, advice_code=None) if decline.decline_code == GENERIC_DECLINE else decline
    return problem(
        402,
        decline.code,
        decline.message,
        decline_code=decline.decline_code,
        retryable=advised.rule.remedy in _RETRYABLE and advised.rule.same_card,
        advice=decline.advice,
    )


def _problem_for(status: int, error: PaymentError | WebhookRefused) -> ProblemDetails:
    later = isinstance(error, TryAgainLater | AlreadyUnderWay)
    unknown = isinstance(error, TryAgainLater) and error.outcome_unknown
    return problem(
        status,
        error.code,
        error.message,
        retryable=True if later else None,
        outcome_unknown=True if unknown else None,
        advice=error.advice if isinstance(error, PaymentError) else None,
    )
