"""Findings: what going through the books has healed, and what it leaves for a person."""

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
"""Facts that change nothing by themselves."""


@frozen(kw_only=True)
class Finding:
    """Something that was healed or is left: ``code`` for scripts, ``text`` for people, and what it is about."""

    code: str
    text: str
    payment_id: str | None = None
    booking_id: str | None = None
    reference: str | None = None
    gateway_id: str | None = None


@define
class Findings:
    """Collects findings."""

    deps: Dependencies
    healed: list[Finding] = Factory(list)
    left: list[Finding] = Factory(list)
    waiting: list[Finding] = Factory(list)

    def leave(self, code: str, text: str, payment: Payment | None, gateway_id: str | None = None) -> None:
        """Leave something for a person."""
        self.left.append(_about(payment, code, text, gateway_id))

    def wait(self, code: str, text: str, payment: Payment | None, gateway_id: str | None = None) -> None:
        """List something that settles by itself when an obstacle is gone."""
        self.waiting.append(_about(payment, code, text, gateway_id))

    def tell_adopted(self, payment: Payment) -> None:
        """Tell of a charge that our books had lost, and that is the payment of its booking again."""
        text = f"{payment.amount} that our books had lost was adopted as {payment.status.value}"
        self.healed.append(_about(payment, "adopted", text, payment.intent_id))

    async def heal(self, before: Payment, code: str, text: str, *, always: bool = False) -> None:
        """Tell of the facts that have happened since ``before``; without any nothing was healed, unless ``always``."""
        journal = await self.deps.storage.read(lambda uow: uow.payments.journal(before.id))
        facts = [recorded.event for recorded in journal if recorded.sequence > before.version]
        told = ", ".join(_words(fact) for fact in facts if not isinstance(fact, _UNTOLD))
        if told or always:
            text = f"{text}: {told}" if told else text
            self.healed.append(_about(before, code, text, before.intent_id))


def _about(payment: Payment | None, code: str, text: str, gateway_id: str | None) -> Finding:
    if payment is None:
        return Finding(code=code, text=text, gateway_id=gateway_id)
    return Finding(
        code=code,
        text=text,
        payment_id=payment.id,
        booking_id=payment.booking_id,
        reference=payment.booking_reference,
        gateway_id=gateway_id,
    )


def _words(fact: ev.Event) -> str:
    """``PaymentSucceeded`` as ``payment succeeded``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(fact).__name__).lower()
