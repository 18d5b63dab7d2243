"""Webhooks: what a gateway sends us, and what reads it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport


class WebhookRefused(Exception):
    """A webhook that is not from the gateway, or not readable. ``code`` says which.

    The code begins with ``signature_`` where the signature is at fault: these are counted for ``doctor``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class WebhooksNotTaken(WebhookRefused):
    """No gateway of this installation takes webhooks under the name that they were sent to."""

    def __init__(self, message: str = "there is no gateway of that name here that takes webhooks") -> None:
        super().__init__(message, code="not_found")


class WebhookHeaders(Mapping[str, str]):
    """The headers of a request, looked up by names in any case.

    A header that was sent several times has all its values, joined by a comma and a space as RFC 9110 (5.2) says.
    """

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        """``headers``: pairs of a name and a value, as they came."""
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
    """Headers as web frameworks have them: a mapping, or a class of their own that lists names and values."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Every header that came, as its name and its value."""
        ...


def _as_headers(given: HeaderItems) -> WebhookHeaders:
    if isinstance(given, WebhookHeaders):
        return given
    if not hasattr(given, "items"):
        raise TypeError(f"give all headers of the request, such as request.headers, not {type(given).__name__}")
    return WebhookHeaders(given.items())


@frozen(kw_only=True)
class WebhookRequest:
    """One delivery of a webhook, before anything of it is believed.

    Attributes:
        body: The raw bytes, as they came. Signatures are checked over them, before they are parsed.
        headers: All headers of the request, looked up by names in any case. What has ``items()`` may be given.
        received_at: When it came, in UTC.
    """

    body: bytes = field(repr=False)
    headers: WebhookHeaders = field(converter=_as_headers, repr=False)
    received_at: datetime


@frozen(kw_only=True)
class GatewayEvent:
    """An event of the gateway, read. At most one of the reports is set: the snapshot that the event carries.

    ``charge`` says of the intent of a charge that went through what it was paid with, and nothing else that counts.
    A report is None when the event is about something else, or when its snapshot is too poor to be judged (an old
    API version, a shortened body): then the object has to be read. ``kind`` is ``intent``, ``charge``, ``refund``,
    ``dispute`` or None for events that we do not act on, of which ``remark`` may say why; ``alert`` is True where a
    human should look: at the payment that ``object_id`` belongs to, or at the settings where there is none. ``body`` is
    what is stored of the event, from which it can be read again: what its reader reads of it and no more, without
    anything that lets its holder act, or that tells of a person. ``api_version`` is the version of the gateway's
    interface in which it is written. ``delivered_at`` is set by whoever receives it, where the gateway sent it to us.
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
        """What names the request of ours that made the object; None where the event does not say."""
        report = self.intent or self.refund
        return report.metadata.get("correlation_id") if report else None


class WebhookReader(Protocol):
    """Checks whether a webhook is genuine, and reads what it says."""

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """Check the signature over the raw bytes and the time, and only then read the event.

        The check may be awaited, for example while a certificate is fetched; no transaction is open meanwhile. The
        reader limits how long that takes.

        Raises:
            WebhookRefused: For a missing, wrong, stale or future signature, and for a body that is no event.
            WebhooksNotTaken: When this gateway sends no webhooks.
            GatewayError: When whether it is genuine could not be checked now; the gateway is asked to send it again.
        """
        ...

    def read_again(self, body: str) -> GatewayEvent:
        """The event in a ``GatewayEvent.body`` that was kept. Raises ``WebhookRefused`` for what is no event."""
        ...
