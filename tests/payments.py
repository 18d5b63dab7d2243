"""Steps that many tests of the use cases share: bookings that are paid, held, or whose answer was lost.

All act as the customer ``ANN`` on an in-memory test kit. Keywords called ``booking`` are those of
``PaymentsTestKit.book``: ``amount``, ``reference``, ``expires_in`` and so on.
"""

from typing import Any

import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.views import PaymentView
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.payment import Payment
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.unit.application.failing_gateway import PowerCut

VISA = "pm_card_visa"
CREATE = "POST /v1/payment_intents"
"""The request that creates a payment at the gateway, as fault scripts name it."""


async def start(kit: PaymentsTestKit, **booking: Any) -> PaymentView:
    """Register a booking and start its payment, which waits for the customer's browser."""
    return await kit.payments.start_payment((await kit.book(**booking)).id, ANN)


async def pay(
    kit: PaymentsTestKit, booking: Booking | str, card: str = VISA, *, caller: Caller = ANN, **options: Any
) -> PaymentView:
    """Charge a booking at once, given whole or by id; ``options`` are those of ``start_payment``.

    Raises:
        CardDeclined, PaymentError: as ``start_payment``.
    """
    booking_id = booking if isinstance(booking, str) else booking.id
    return await kit.payments.start_payment(
        booking_id, caller, payment_method_id=card, confirm_immediately=True, **options
    )


async def book_and_pay(kit: PaymentsTestKit, card: str = VISA, *, deliver: bool = False, **booking: Any) -> PaymentView:
    """Register a booking and charge it; the webhooks of the charge wait, unless ``deliver`` is set."""
    view = await pay(kit, await kit.book(**booking), card)
    if deliver:
        await kit.deliver_webhooks()
    return view


async def paid_booking(kit: PaymentsTestKit, card: str = VISA, *, deliver: bool = False, **booking: Any) -> Booking:
    """Like ``book_and_pay``, but returns the booking, as it was registered."""
    registered = await kit.book(**booking)
    await pay(kit, registered, card)
    if deliver:
        await kit.deliver_webhooks()
    return registered


async def authorize(kit: PaymentsTestKit, card: str = VISA, **booking: Any) -> PaymentView:
    """Register a booking and authorize its payment without capturing it."""
    return await pay(kit, await kit.book(**booking), card, capture_method=CaptureMethod.MANUAL)


async def lose_answer(
    kit: PaymentsTestKit, fault: str, card: str = VISA, *, times: int = 3, caller: Caller = ANN, **booking: Any
) -> str:
    """Register a booking and charge it while ``fault`` meets the next ``times`` requests; returns the booking's id.

    The outcome stays unknown to the caller.
    """
    registered = await kit.book(**booking)
    kit.stripe.faults.script(CREATE, fault, times=times)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, registered, card, caller=caller)
    return registered.id


async def die_while_paying(kit: PaymentsTestKit) -> Booking:
    """Register a booking and let the process die while its charge waits for the gateway's answer."""
    registered = await kit.book()
    kit.stripe.faults.script(CREATE, "slow", times=1)

    async def die() -> None:
        raise PowerCut

    kit.clock.meanwhile(die)
    with pytest.raises(PowerCut):
        await pay(kit, registered)
    return registered


def pay_in_browser(kit: PaymentsTestKit, view: PaymentView, card: str = VISA) -> None:
    """Confirm a started payment as the customer's browser does, with the client secret of ``view``."""
    assert view.client_action is not None
    kit.stripe.confirm_as_customer(view.payment.intent_id or "", view.client_action.client_secret or "", card)


async def payment_of(kit: PaymentsTestKit, of: Booking | PaymentView | str) -> Payment:
    """The current payment of a booking: given whole, by an earlier view of its payment, or by id."""
    match of:
        case str():
            booking_id = of
        case Booking():
            booking_id = of.id
        case _:
            booking_id = of.payment.booking_id
    return (await kit.payments.payment_status(booking_id)).payment


def charges_of(kit: PaymentsTestKit, payment: Payment) -> int:
    """How many charges of the payment's intent succeeded at the gateway."""
    return kit.stripe.successful_charges(payment.intent_id or "")


def return_url_of(view: PaymentView) -> object:
    """Where the bank's authentication page leads when the customer leaves it."""
    action: Any = view.client_action.next_action if view.client_action else None
    return action["redirect_to_url"]["return_url"]


def postpone_evidence(kit: PaymentsTestKit, dispute_id: str, days: int = 7) -> dict[str, Any]:
    """Let the bank give more days for the evidence; returns the dispute as the gateway has it then."""
    record = kit.stripe._account.require("dispute", dispute_id, param="dispute")
    details = record.body["evidence_details"]
    kit.stripe._account.update(record, evidence_details=details | {"due_by": details["due_by"] + days * 86_400})
    return dict(record.body)
