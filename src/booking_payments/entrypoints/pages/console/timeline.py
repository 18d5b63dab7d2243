"""The journal of a payment as a person reads it: what happened, with the records of the machinery folded between."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from attrs import frozen

from booking_payments.domain import events as ev
from booking_payments.domain.money import Money
from booking_payments.presentation.decline_reasons import DeclineReason, reason_of
from booking_payments.presentation.formatting import method, money, words
from booking_payments.presentation.models import EventAnswer
from booking_payments.presentation.status_style import style_of_event

TECHNICAL: Final = (
    ev.OperationIntended,
    ev.OperationSettled,
    ev.CallNotFound,
    ev.CallGivenUp,
    ev.LostCallEnded,
    ev.ObservationDeferred,
    ev.ReturnUrlChosen,
    ev.IntentLinked,
    ev.ClientNamed,
    ev.MethodRequired,
    ev.MethodAttached,
    ev.MethodSeen,
    ev.PromiseRaised,
    ev.PromiseConfirmed,
    ev.PromiseWithdrawn,
    ev.RefundAcknowledged,
    ev.RefundLinked,
)
"""Events that say how the system came to a result, and nothing that an operator would tell a customer."""


@frozen(kw_only=True)
class TimelineStep:
    """An event of the journal.

    Attributes:
        entry: the event as operators may see it.
        style: the style of its mark.
        gist: what matters about it, in a few words; None when its name says all.
        declined: the explanation of a decline; None for other events.
    """

    entry: EventAnswer
    style: str
    gist: str | None
    declined: DeclineReason | None


@frozen(kw_only=True)
class TimelineStretch:
    """Events in a row that are all ``technical``, or all not."""

    technical: bool
    steps: tuple[TimelineStep, ...]


def timeline(journal: Sequence[ev.Recorded], shown: Sequence[EventAnswer]) -> list[TimelineStretch]:
    """Return the journal in stretches, oldest first. ``shown`` has the entry of each event of ``journal``."""
    together = zip(journal, shown, strict=True)
    return [
        TimelineStretch(technical=technical, steps=tuple(_step(recorded.event, entry) for recorded, entry in group))
        for technical, group in groupby(together, key=lambda each: isinstance(each[0].event, TECHNICAL))
    ]


def _step(event: ev.Event, entry: EventAnswer) -> TimelineStep:
    declined = reason_of(event.decline) if isinstance(event, ev.AttemptRefused) else None
    return TimelineStep(entry=entry, style=style_of_event(event), gist=_gist(event), declined=declined)


def _gist(event: ev.Event) -> str | None:
    describe = _GISTS.get(type(event))
    if describe is not None:
        return describe(event)
    amount = getattr(event, "amount", None)
    return money(amount) if isinstance(amount, Money) else None


def _of_refund(event: ev.RefundMoved) -> str:
    status = words(event.status.value)
    return f"{status}: {words(event.failure_reason).lower()}" if event.failure_reason else status


_GISTS: Final[Mapping[type, Callable[[Any], str]]] = {
    ev.PaymentSucceeded: lambda event: money(event.breakdown.gross),
    ev.MethodSeen: lambda event: method(event.method),
    ev.DebtSettled: lambda event: f"{money(event.settled.amount)}, {words(event.how.value).lower()}",
    ev.RefundMoved: _of_refund,
    ev.RefundDeferred: lambda event: f"{money(event.amount)}, waits for: {words(event.why.value).lower()}",
    ev.DisputeOpened: lambda event: f"{money(event.amount)}, {words(event.reason).lower()}",
    ev.DisputeMoved: lambda event: words(event.status.value),
    ev.DisputeFundsMoved: lambda event: f"{money(event.withdrawn)} withdrawn so far",
    ev.BookingReleased: lambda event: words(event.status),
    ev.DriftFound: lambda event: event.detail,
}
"""Short texts of events for which the amount is not enough."""
