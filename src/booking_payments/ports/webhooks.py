"""Webhooks: deliveries of a gateway, and the port that verifies and decodes them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from booking_payments.domain import metadata_keys
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport


class WebhookRefused(Exception):
    """A webhook that is not from the gateway, or cannot be decoded. ``code`` says which.

    Codes of a missing or wrong signature begin with ``signature_``; ``doctor`` counts these.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class WebhooksNotTaken(WebhookRefused):
    """No gateway of this installation accepts webhooks under the name in their URL."""

    def __init__(self, message: str = "no gateway with this name accepts webhooks") -> None:
        super().__init__(message, code="not_found")


class WebhookHeaders(Mapping[str, str]):
    """The headers of a request; names are case-insensitive.

    The values of a repeated header are joined by a comma and a space (RFC 9110, 5.2).
    """

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        """Collect ``headers``: pairs of a name and a value, as received."""
        self._values: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            before = self._values.get(key)
            self._values[key] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class HeaderItems(Protocol):
    """Headers of a web framework: a mapping, or another class that lists names and values."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return the name and the value of every received header."""
        ...


def _as_headers(given: HeaderItems) -> WebhookHeaders:
    if isinstance(given, WebhookHeaders):
        return given
    if not hasattr(given, "items"):
        raise TypeError(f"give all headers of the request, such as request.headers, not {type(given).__name__}")
    return WebhookHeaders(given.items())


@frozen(kw_only=True)
class WebhookRequest:
    """One delivery of a webhook, not verified yet.

    Attributes:
        body: the raw bytes as received. Signatures are checked on them, before they are decoded.
        headers: all headers of the request; accepts any object with ``items()``.
        received_at: when it arrived, in UTC.
    """

    body: bytes = field(repr=False)
    headers: WebhookHeaders = field(converter=_as_headers, repr=False)
    received_at: datetime


@frozen(kw_only=True)
class GatewayEvent:
    """A decoded event of the gateway.

    At most one of the reports is set: the snapshot in the event. It is None when the event has another kind of object,
    or when its snapshot is incomplete (an old API version, a shortened body); the object then has to be read.

    Attributes:
        created_at: when the gateway created the event; None if it does not say.
        livemode: real money is concerned; None if the event does not say.
        kind: ``intent``, ``charge``, ``refund`` or ``dispute``; None for events that are not processed.
        payment_id: the id of the payment in the object's metadata; None without one.
        body: the stored form of the event, from which it can be decoded again. It contains only the fields that are
            decoded: nothing that authorizes an action, and no personal data.
        charge: a report of the charge's intent with the method and the capture deadline; its other fields do not count.
        remark: why an event is not processed; None if there is nothing to add.
        alert: an operator should check the payment of ``object_id``, or the settings if there is no such payment.
        api_version: the version of the gateway's API in which the event is written.
        delivered_at: when the gateway delivered the event; None if it was read from a list. The receiver sets it.
    """

    id: str
    type: str
    created_at: datetime | None
    livemode: bool | None
    kind: str | None
    object_id: str | None
    intent_id: str | None
    charge_id: str | None
    payment_id: str | None
    body: str
    intent: IntentReport | None = None
    charge: IntentReport | None = None
    refund: RefundReport | None = None
    dispute: DisputeReport | None = None
    remark: str | None = None
    alert: bool = False
    api_version: str | None = None
    delivered_at: datetime | None = None

    @property
    def correlation_id(self) -> str | None:
        """The id of the request that created the object; None if the event does not contain it."""
        report = self.intent or self.refund
        return report.metadata.get(metadata_keys.CORRELATION_ID) if report else None


class WebhookReader(Protocol):
    """Verifies and decodes webhooks."""

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """Verify the signature over the raw bytes and the time, and then return the event.

        The verification may take time, for example to fetch a certificate; no transaction is open meanwhile. The reader
        limits its duration.

        Raises:
            WebhookRefused: the signature is missing, wrong, expired or in the future, or the body contains no event.
            WebhooksNotTaken: this gateway sends no webhooks.
            GatewayError: the signature cannot be verified now; the gateway is asked to deliver the webhook again.
        """
        ...

    def read_again(self, body: str) -> GatewayEvent:
        """Return the event in a stored ``GatewayEvent.body``. Raises ``WebhookRefused`` for any other text."""
        ...
