"""Findings of a reconciliation: repaired differences, and those that are left for an operator."""

import re
from typing import Final

from attrs import Factory, define, frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain import events as ev
from booking_payments.domain.payment import Payment

_UNTOLD: Final = (
    ev.CallGivenUp,
    ev.CallNotFound,
    ev.DriftFound,
    ev.LostCallEnded,
    ev.ObservationDeferred,
    ev.OperationIntended,
    ev.OperationSettled,
    ev.OutcomeLeftUnknown,
)
"""Events that a finding does not list: they record how a call went, and change no amount or status."""


@frozen(kw_only=True)
class Finding:
    """A difference that was repaired or is left.

    ``code`` is for scripts, ``text`` for operators; the other values name the objects, as far as they are known.
    ``gateway`` is the name of the gateway that it is about.
    """

    code: str
    text: str
    payment_id: str | None = None
    booking_id: str | None = None
    reference: str | None = None
    gateway_id: str | None = None
    gateway: str | None = None


@define
class Findings:
    """Collects the findings of one run."""

    deps: Dependencies
    healed: list[Finding] = Factory(list)
    left: list[Finding] = Factory(list)
    waiting: list[Finding] = Factory(list)

    def leave(self, code: str, text: str, payment: Payment, gateway_id: str | None = None) -> None:
        """Add a difference that an operator has to look at."""
        self.left.append(_about(payment, code, text, gateway_id))

    def leave_for(self, gateway: str, code: str, text: str, gateway_id: str | None = None) -> None:
        """Add what an operator has to look at with a gateway, apart from any payment."""
        self.left.append(Finding(code=code, text=text, gateway_id=gateway_id, gateway=gateway))

    def wait(self, code: str, text: str, payment: Payment, gateway_id: str | None = None) -> None:
        """Add a refund that the system sends by itself once an obstacle, such as an open dispute, is gone."""
        self.waiting.append(_about(payment, code, text, gateway_id))

    def add_adopted(self, payment: Payment) -> None:
        """Add the adoption of a charge that our books had lost to ``healed``."""
        text = f"{payment.amount} that our books had lost was adopted as {payment.status.value}"
        self.healed.append(_about(payment, "adopted", text, payment.intent_id))

    async def add_healed(self, before: Payment, code: str, text: str, *, always: bool = False) -> None:
        """Add the events since ``before`` to ``healed``; adds nothing without events, unless ``always`` is set."""
        journal = await self.deps.storage.read(lambda uow: uow.payments.journal(before.id))
        events = [recorded.event for recorded in journal if recorded.sequence > before.version]
        described = ", ".join(_words(event) for event in events if not isinstance(event, _UNTOLD))
        if described or always:
            text = f"{text}: {described}" if described else text
            self.healed.append(_about(before, code, text, before.intent_id))


def _about(payment: Payment, code: str, text: str, gateway_id: str | None) -> Finding:
    return Finding(
        code=code,
        text=text,
        payment_id=payment.id,
        booking_id=payment.booking_id,
        reference=payment.booking_reference,
        gateway_id=gateway_id,
        gateway=payment.gateway,
    )


def _words(event: ev.Event) -> str:
    """Return the name of an event in words: ``PaymentSucceeded`` as ``payment succeeded``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(event).__name__).lower()
