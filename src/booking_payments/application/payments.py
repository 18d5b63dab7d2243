"""``BookingPayments``: the one thing that an embedding service imports.

::

    async with open_payments() as payments:
        result = await payments.process_booking_payment(booking_id, "pm_card_visa")

Every method is a use case; ``SyncBookingPayments`` has the same methods for callers without an event loop.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from decimal import Decimal

from booking_payments.application import bookings, paying, refunding, webhooks
from booking_payments.application.auditing import audited, plain
from booking_payments.application.bookkeeping import LedgerCheck, check_ledger
from booking_payments.application.callers import Caller
from booking_payments.application.checking_out import Checkout, look_at_checkout
from booking_payments.application.delivering import (
    deliver_messages,
    drop_messages,
    replay_messages,
    undelivered_messages,
)
from booking_payments.application.drift import KeptReport, keep_report, last_reports
from booking_payments.application.figures import Figures, OpenDispute, disputes, figures
from booking_payments.application.paying import AmountInput
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.reconcile import Reconciliation, reconcile
from booking_payments.application.replaying import Replayed, catch_up, list_webhooks, replay_webhooks
from booking_payments.application.resolve import resolve_due, resolve_if_due
from booking_payments.application.rounds import each_by_itself
from booking_payments.application.views import (
    NewBooking,
    PaymentResult,
    PaymentView,
    RefundOnCancel,
    RefundView,
    Registered,
    WebhookResult,
)
from booking_payments.application.world import World
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import CardDeclined, PaymentError, TryAgainLater
from booking_payments.domain.events import Recorded
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.refunds import RefundQuote, RefundReason
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.publisher import Delivery
from booking_payments.ports.storage import (
    BookingFilter,
    BookingPage,
    InboxEntry,
    InboxFilter,
    PaymentFilter,
    PaymentPage,
)

BACKEND = Caller.service("backend", "backend call")
"""Who calls when an embedding service does not say."""


class BookingPayments:
    """Takes payments for bookings, gives them back, and never twice.

    Methods raise the errors of ``domain.errors``; the three ``process_...``/``retry_...`` calls return results
    instead. ``caller`` says who asks: it goes into the journal and the audit trail, where every command leaves a
    record, and limits customers to their own bookings.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    # --- bookings

    async def register_booking(self, new: NewBooking, caller: Caller = BACKEND) -> Registered:
        """Register what is to be paid for; the same reference with the same content again finds it."""
        return await audited(
            self._world,
            "register_booking",
            caller,
            bookings.register_booking(self._world, new),
            asked={"reference": new.reference, "amount": new.amount},
            subject=lambda registered: registered.booking.id,
        )

    async def get_booking(self, booking_id: str, caller: Caller = BACKEND) -> Booking:
        """The booking. Raises ``NotFound``."""
        return await bookings.get_booking(self._world, booking_id, caller)

    async def cancel_booking(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        reason: str | None = None,
        refund: RefundOnCancel = RefundOnCancel.POLICY,
    ) -> Booking:
        """Close a booking; its open payment is canceled first, a paid one refunded as ``refund`` says.

        Raises ``RefundRefused`` when the booking is canceled and its refund was refused; canceling again asks for it
        again.
        """
        work = bookings.cancel_booking(self._world, booking_id, caller, reason=reason, refund=refund)
        asked = {"refund": refund.value}
        return await audited(self._world, "cancel_booking", caller, work, booking_id=booking_id, asked=asked)

    # --- paying

    async def start_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str | None = None,
        confirm_immediately: bool = False,
        capture_method: CaptureMethod | None = None,
        return_url: str | None = None,
    ) -> PaymentView:
        """The booking's open payment, or a new one; charged at once when ``confirm_immediately`` is set.

        ``capture_method`` is for a new one: an open payment keeps the one that it was started with. Its
        ``return_url`` is the default of later calls, too.
        """
        work = paying.start_payment(
            self._world,
            booking_id,
            caller,
            payment_method_id=payment_method_id,
            confirm_immediately=confirm_immediately,
            capture_method=capture_method,
            return_url=return_url,
        )
        asked = {"payment_method_id": payment_method_id, "confirm_immediately": confirm_immediately}
        return await audited(self._world, "start_payment", caller, work, booking_id=booking_id, asked=asked)

    async def confirm_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str | None = None,
        return_url: str | None = None,
    ) -> PaymentView:
        """Charge the payment, with ``payment_method_id`` or the method that it has."""
        return await self._confirm("confirm_payment", booking_id, caller, payment_method_id, return_url)

    async def retry_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str,
        return_url: str | None = None,
    ) -> PaymentView:
        """Try again after a decline, with another payment method."""
        return await self._confirm("retry_payment", booking_id, caller, payment_method_id, return_url)

    async def _confirm(
        self, operation: str, booking_id: str, caller: Caller, method_id: str | None, return_url: str | None
    ) -> PaymentView:
        work = paying.confirm_payment(
            self._world, booking_id, caller, payment_method_id=method_id, return_url=return_url
        )
        asked = {"payment_method_id": method_id}
        return await audited(self._world, operation, caller, work, booking_id=booking_id, asked=asked)

    async def capture_payment(
        self, booking_id: str, caller: Caller = BACKEND, *, amount: AmountInput = None
    ) -> PaymentView:
        """Collect held money, all of it or ``amount``."""
        work = paying.capture_payment(self._world, booking_id, caller, amount=amount)
        asked = {"amount": plain(amount)}
        return await audited(self._world, "capture_payment", caller, work, booking_id=booking_id, asked=asked)

    async def cancel_payment(self, booking_id: str, caller: Caller = BACKEND) -> PaymentView:
        """Give the payment up; the booking stays pending."""
        work = paying.cancel_payment(self._world, booking_id, caller)
        return await audited(self._world, "cancel_payment", caller, work, booking_id=booking_id)

    async def payment_status(self, booking_id: str, caller: Caller = BACKEND) -> PaymentView:
        """The booking's latest payment. Raises ``NotFound`` when none was started."""
        return await paying.payment_status(self._world, booking_id, caller)

    async def checkout(self, booking_id: str, caller: Caller = BACKEND) -> Checkout:
        """The booking with its price and where the customer stands: what a page to pay on shows."""
        return await look_at_checkout(self._world, booking_id, caller)

    async def look_at_payment(self, booking_id: str, caller: Caller = BACKEND) -> PaymentView:
        """Ask the gateway how an open payment stands, and book it: for a customer who has just acted there.

        When the gateway can't be read, the payment as our books have it.
        """
        return await paying.look_at_payment(self._world, booking_id, caller)

    async def journal(self, booking_id: str, caller: Caller = BACKEND) -> Sequence[Recorded]:
        """All facts of the booking's latest payment, oldest first."""
        return await paying.journal(self._world, booking_id, caller)

    async def list_payments(
        self, which: PaymentFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> PaymentPage:
        """Payments, newest first. Raises ``InvalidInput`` for a cursor that is none of ours."""
        chosen = which or PaymentFilter()
        return await self._world.storage.read(lambda uow: uow.payments.page(chosen, cursor, limit))

    async def list_bookings(
        self, which: BookingFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> BookingPage:
        """Bookings, newest first. Raises ``InvalidInput`` for a cursor that is none of ours."""
        chosen = which or BookingFilter()
        return await self._world.storage.read(lambda uow: uow.bookings.page(chosen, cursor, limit))

    # --- refunding

    async def quote_refund(
        self, booking_id: str, caller: Caller = BACKEND, *, amount: AmountInput = None
    ) -> RefundQuote:
        """What a refund of ``amount`` (None: all that can come back) would give now."""
        return await refunding.quote_refund(self._world, booking_id, caller, amount=amount)

    async def refund_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput = None,
        reason: RefundReason = RefundReason.REQUESTED_BY_CUSTOMER,
        note: str | None = None,
    ) -> RefundView:
        """Give ``amount`` (None: all that can come back) to the customer."""
        work = refunding.refund_payment(self._world, booking_id, caller, amount=amount, reason=reason, note=note)
        asked = {"amount": plain(amount), "reason": reason.value}
        return await audited(self._world, "refund_payment", caller, work, booking_id=booking_id, asked=asked)

    # --- webhooks and background work

    async def receive_webhook(self, body: bytes, signature: str | None) -> WebhookResult:
        """Take in a delivery of the gateway: the raw body and its signature header.

        Raises ``WebhookRefused`` for one that is not genuine, ``WebhookFailed`` to be sent it again.
        """
        return await webhooks.receive_webhook(self._world, body, signature)

    async def work(self) -> int:
        """One round of background work: deliver messages, settle what is due, expire bookings, and deliver what these
        have to tell. Returns how much there was to do.

        A silent gateway holds up no message that waits already, and the rest for minutes at most. Raises an
        ``ExceptionGroup`` of what broke when everything had its turn; the next round tries it again.
        """
        done: list[int] = []

        async def part(round_of: Callable[[World], Awaitable[int]]) -> None:
            done.append(await round_of(self._world))

        await each_by_itself((deliver_messages, resolve_due, bookings.expire_bookings, deliver_messages), part)
        return sum(done)

    async def deliver_messages(self) -> int:
        """Deliver messages that are due; returns how many were taken."""
        return await deliver_messages(self._world)

    async def undelivered_messages(self, *, dead: bool = False, limit: int = 50) -> Sequence[Delivery]:
        """Messages that wait for their delivery, oldest first; with ``dead`` only those that were given up."""
        return await undelivered_messages(self._world, dead=dead, limit=limit)

    async def replay_messages(self, message_ids: Collection[str]) -> int:
        """Have dead letters delivered after all; returns how many of these there were."""
        return await replay_messages(self._world, message_ids)

    async def drop_messages(self, message_ids: Collection[str]) -> int:
        """Give dead letters up for good; returns how many of these there were."""
        return await drop_messages(self._world, message_ids)

    async def settle_payment(self, payment_id: str) -> bool:
        """Go on with one payment that was left or waits for news; False when it is not due."""
        return await resolve_if_due(self._world, payment_id)

    async def settle_due(self) -> int:
        """Go on with every payment that was left or waits too long for news, until the gateway falls silent; returns
        how many were taken up."""
        return await resolve_due(self._world)

    async def expire_bookings(self) -> int:
        """Close the bookings whose time to pay is over, until the gateway falls silent; returns how many were looked
        at."""
        return await bookings.expire_bookings(self._world)

    async def forget_answers(self, before: datetime) -> int:
        """Remove the stored answers of requests that were made before then; returns how many."""
        return await self._world.storage.transact(lambda uow: uow.answers.remove_older(before))

    # --- going through the books

    async def reconcile(
        self, since: datetime | None = None, progress: Progress = in_silence, *, caller: Caller = BACKEND
    ) -> Reconciliation:
        """Compare our books with the gateway's, heal what is safe, and list what is left for a person.

        First everything in flight is settled, and events that never came are taken in. Then everything that is not
        final is compared, and what has changed since ``since`` (None: in the last 30 days).
        """
        work = reconcile(self._world, since, progress)
        result = await audited(self._world, "reconcile", caller, work, asked={"since": since})
        await keep_report(self._world, result, caller)
        return result

    async def catch_up(self, since: datetime | None = None) -> Sequence[Replayed]:
        """Take in the gateway's events that never came, from ``since`` (None: the last one seen) on.

        Raises ``GatewayError`` when they can't be read.
        """
        return await catch_up(self._world, since)

    async def check_ledger(self, progress: Progress = in_silence) -> LedgerCheck:
        """Whether every posting balances, and snapshots and postings are what the journals tell of."""
        return await check_ledger(self._world, progress)

    async def list_webhooks(self, which: InboxFilter | None = None, limit: int = 50) -> Sequence[InboxEntry]:
        """Webhook events received, newest first."""
        return await list_webhooks(self._world, which or InboxFilter(), limit)

    async def replay_webhooks(
        self,
        event_ids: Sequence[str] = (),
        which: InboxFilter | None = None,
        *,
        dry_run: bool = False,
        progress: Progress = in_silence,
        caller: Caller = BACKEND,
    ) -> Sequence[Replayed]:
        """Process received events again, oldest first: those named (none: all) that ``which`` means.

        An event that was processed already has no second effect. ``dry_run`` only says which they are.
        """
        filter_ = which or InboxFilter()
        work = replay_webhooks(self._world, filter_, event_ids, dry_run=dry_run, progress=progress)
        if dry_run or caller.by_itself:  # the rounds of background work: each event leaves its own record
            return await work
        asked = {"events": " ".join(event_ids) or "all that are meant"}
        return await audited(self._world, "replay_webhooks", caller, work, asked=asked)

    async def audit_trail(self, booking_id: str | None = None, limit: int = 100) -> Sequence[AuditRecord]:
        """Who asked for what and what came of it, newest first; of one booking where its id is given."""
        return await self._world.storage.read(lambda uow: uow.audit.latest(limit, booking_id))

    # --- for whoever runs the house

    async def figures(self, since: datetime) -> Figures:
        """Rates, volume, times and what is open, since then."""
        return await figures(self._world, since)

    async def disputes(self) -> Sequence[OpenDispute]:
        """The newest disputes: open ones first, by their deadlines."""
        now = self._world.clock.now()
        return await self._world.storage.read(lambda uow: disputes(uow, now))

    async def drift_reports(self, limit: int = 10) -> Sequence[KeptReport]:
        """What the last reconciliations said, newest first."""
        return await last_reports(self._world, limit)

    # --- the backend calls of a booking app

    async def process_booking_payment(
        self,
        booking: Booking | str,
        payment_method_id: str | None = None,
        *,
        confirm_immediately: bool = True,
        return_url: str | None = None,
        caller: Caller = BACKEND,
    ) -> PaymentResult:
        """Pay a booking: start its payment and, by default, charge it. Never raises for a decline."""
        confirm = confirm_immediately and payment_method_id is not None
        try:
            view = await self.start_payment(
                _id(booking),
                caller,
                payment_method_id=payment_method_id,
                confirm_immediately=confirm,
                return_url=return_url,
            )
        except PaymentError as error:
            return await self._failed(booking, caller, error)
        return PaymentResult.of(view)

    async def retry_booking_payment(
        self,
        booking: Booking | str,
        payment_method_id: str,
        *,
        return_url: str | None = None,
        caller: Caller = BACKEND,
    ) -> PaymentResult:
        """Try a declined payment again with another method."""
        try:
            view = await self.retry_payment(
                _id(booking), caller, payment_method_id=payment_method_id, return_url=return_url
            )
        except PaymentError as error:
            return await self._failed(booking, caller, error)
        return PaymentResult.of(view)

    async def process_booking_refund(
        self,
        booking: Booking | str,
        refund_amount: Decimal | str | None = None,
        reason: RefundReason | str = RefundReason.REQUESTED_BY_CUSTOMER,
        *,
        caller: Caller = BACKEND,
    ) -> PaymentResult:
        """Refund a booking whole, or ``refund_amount`` of it. A reason that is none of Stripe's becomes the note, of
        500 characters at most."""
        kind, note = (reason, None) if isinstance(reason, RefundReason) else RefundReason.read(reason)
        try:
            view = await self.refund_payment(_id(booking), caller, amount=refund_amount, reason=kind, note=note)
        except PaymentError as error:
            return await self._failed(booking, caller, error)
        lost = view.refund.status.is_lost
        return PaymentResult(
            success=not lost,
            payment_intent_id=view.payment.intent_id,
            status=view.refund.status.value,
            refund_id=view.refund.id,
            error="the refund did not go through" if lost else None,
            error_code=view.refund.failure_reason,
        )

    async def _failed(self, booking: Booking | str, caller: Caller, error: PaymentError) -> PaymentResult:
        unknown = isinstance(error, TryAgainLater) and error.outcome_unknown
        seen = None
        if isinstance(error, CardDeclined | TryAgainLater):
            seen = (await self.payment_status(_id(booking), caller)).payment
        return PaymentResult(
            success=False,
            payment_intent_id=seen.intent_id if seen else None,
            status=seen.status.value if seen else None,
            error=error.message,
            error_code=error.code,
            outcome_unknown=unknown,
        )


def _id(booking: Booking | str) -> str:
    return booking if isinstance(booking, str) else booking.id
