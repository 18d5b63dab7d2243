"""``BookingPayments``: the facade with all use cases, which an embedding service imports.

::

    async with open_payments() as payments:
        result = await payments.process_booking_payment(booking_id, "pm_card_visa")

Every method is a use case; ``SyncBookingPayments`` has the same methods for callers without an event loop.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from booking_payments.application import bookings, event_jobs, event_overview, paying, previews, refunding, webhooks
from booking_payments.application.amending import amend_booking
from booking_payments.application.auditing import audited, plain
from booking_payments.application.bookkeeping import LedgerCheck, check_ledger
from booking_payments.application.callers import Caller
from booking_payments.application.channels import (
    ChannelStates,
    add_channel,
    attach_channels,
    channel_asked,
    channel_states,
    read_messages,
    remove_channel,
)
from booking_payments.application.checking_out import Checkout, poll_checkout, read_checkout
from booking_payments.application.delivering import (
    deliver_messages,
    drop_messages,
    messages_asked,
    replay_messages,
    undelivered_messages,
)
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.drift import KeptReport, keep_report, last_reports
from booking_payments.application.event_jobs import EventLine, EventPreview, EventReport
from booking_payments.application.event_overview import EventOverview, EventPage
from booking_payments.application.expiring import announce_expiring
from booking_payments.application.exporting import Cell, ExportKind, export_rows
from booking_payments.application.figures import Figures, OpenDispute, days_back, disputes, figures
from booking_payments.application.idempotency import Marks, Memory, amount_asked, library_request, once
from booking_payments.application.passes import each_by_itself
from booking_payments.application.paying import AmountInput
from booking_payments.application.previews import ChangePreview
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.quoted import UNQUOTED, Quoted
from booking_payments.application.reading import Target, journal, payment_status
from booking_payments.application.reconcile import Reconciliation, reconcile
from booking_payments.application.replaying import (
    Replayed,
    catch_up,
    list_webhooks,
    replay_webhooks,
    retry_unfinished,
)
from booking_payments.application.resolve import resolve_due, resolve_if_due
from booking_payments.application.views import (
    BookingView,
    NewBooking,
    PaymentResult,
    PaymentView,
    RefundOnCancel,
    RefundView,
    Registered,
    WebhookResult,
)
from booking_payments.domain.amendments import BookingChange, Keep
from booking_payments.domain.arguments import require_moment
from booking_payments.domain.booking import Booking, ItemCount
from booking_payments.domain.errors import CardDeclined, NotFound, PaymentError, TryAgainLater
from booking_payments.domain.events import Recorded, Settlement
from booking_payments.domain.instructions import CaptureMethod, Client
from booking_payments.domain.money import Money
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.domain.refunds import RefundQuote, RefundReason
from booking_payments.domain.texts import LONGEST
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.bookings import BookingFilter, BookingPage
from booking_payments.ports.event_jobs import EventJob, UpcomingEvent
from booking_payments.ports.inbox import InboxEntry, InboxFilter
from booking_payments.ports.payments import PaymentFilter, PaymentPage
from booking_payments.ports.publisher import Message, MessageDelivery
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import HeaderItems

T = TypeVar("T")

BACKEND = Caller.service("backend", "backend call")
"""The caller when an embedding service passes none."""


class BookingPayments:
    """Charges and refunds the payments of bookings, each at most once.

    Methods raise the errors of ``domain.errors``; ``process_booking_payment``, ``retry_booking_payment`` and
    ``process_booking_refund`` return a ``PaymentResult`` instead. ``caller`` says who makes the call: it is stored in
    the journal and in the audit trail, which has a record of every command, and it limits customers to their own
    bookings.

    Every command takes an ``idempotency_key`` of 16 to 255 printable ASCII characters, with the rules of the HTTP
    header ``Idempotency-Key``. Within 72 hours a command with the same caller, key and arguments runs once: a repeated
    call returns the current state of its payment, refund or booking, and raises a decline or a refusal by a rule again.
    With other arguments it raises ``RefusedByRule`` (``idempotency_key_reused``); while the first call is still running
    it raises ``AlreadyUnderWay`` (``idempotency_key_in_use``). After an unknown outcome or a crash, the next call with
    the key continues where the last one stopped.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._marks = Marks(storage=deps.storage, clock=deps.clock, ids=deps.ids, lease=deps.config.lease)

    # --- bookings

    async def register_booking(
        self, new: NewBooking, caller: Caller = BACKEND, *, idempotency_key: str | None = None
    ) -> Registered:
        """Register a booking; the same reference with the same content returns the booking registered before.

        A booking with a price of zero is confirmed at once. The reference of a canceled or expired booking may be used
        for a new one.

        Raises:
            NotPossibleNow: When the reference belongs to a booking with other content.
            RefusedByRule: When the gateway can't charge the amount, a time is in the past, or the customer has too
                many unpaid bookings.
        """

        def work(caller: Caller) -> Awaitable[Registered]:
            return audited(
                self._deps,
                "register_booking",
                caller,
                bookings.register_booking(self._deps, new, caller),
                asked={"reference": new.reference, "amount": new.amount},
                subject=lambda registered: registered.booking.id,
            )

        result = Memory(
            names=lambda registered: {"booking_id": registered.booking.id, "created": registered.created},
            read=self._registered,
        )
        return await self._once("register_booking", caller, idempotency_key, {"new": new}, work, result)

    async def get_booking(self, booking_id: str, caller: Caller = BACKEND) -> Booking:
        """Return the booking. Raises ``NotFound`` when it does not exist or is not the caller's."""
        return await bookings.get_booking(self._deps, booking_id, caller)

    async def describe_booking(self, booking_id: str, caller: Caller = BACKEND) -> BookingView:
        """Return the booking with the refund owed for it. Raises ``NotFound`` as ``get_booking`` does."""
        return await bookings.describe_booking(self._deps, booking_id, caller)

    async def describe_bookings(self, found: Sequence[Booking]) -> Sequence[BookingView]:
        """Return these bookings in the same order, each with the refund owed for it."""
        return await bookings.describe_bookings(self._deps, found)

    async def cancel_booking(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        reason: str | None = None,
        refund: RefundOnCancel | None = None,
        items: Sequence[ItemCount] = (),
        expected: Quoted = UNQUOTED,
        idempotency_key: str | None = None,
    ) -> Booking:
        """Cancel a booking: an open payment is canceled first, a paid one is refunded.

        Customers may cancel their own bookings while these are not paid, and may not set ``refund``.

        Args:
            booking_id: the booking's id.
            caller: who cancels it.
            reason: a text that is kept with the booking.
            refund: how much a paid booking gives back; None: as its refund policy says.
            items: cancel only these items, and refund them; empty: the whole booking.
            expected: what ``preview_cancellation`` said; refuse with ``version_conflict`` or ``quote_changed`` to do
                anything else.
            idempotency_key: see the class.

        Raises:
            RefundRefused: When the booking is canceled but its refund was refused; the same call tries it again. With
                ``items`` the booking is returned, and the refund is owed.
        """

        def work(caller: Caller) -> Awaitable[Booking]:
            work = bookings.cancel_booking(
                self._deps, booking_id, caller, reason=reason, refund=refund, items=items, expected=expected
            )
            asked = {"refund": (refund or RefundOnCancel.POLICY).value, **items_asked(items)}
            return audited(self._deps, "cancel_booking", caller, work, booking_id=booking_id, asked=asked)

        given: dict[str, object] = {"booking_id": booking_id, "reason": reason, "refund": refund}
        if items:
            given["items"] = tuple(items)
        if expected != UNQUOTED:
            given["expected"] = expected
        result = Memory(names=lambda booking: {"booking_id": booking.id}, read=self._booking)
        return await self._once("cancel_booking", caller, idempotency_key, given, work, result)

    async def amend_booking(
        self,
        booking_id: str,
        change: BookingChange,
        caller: Caller = BACKEND,
        *,
        expected_version: int | None = None,
        expected_refund: Money | None = None,
        refund: RefundOnCancel | None = None,
        idempotency_key: str | None = None,
    ) -> Booking:
        """Change a booking's price, items, date, deadline or texts, and adjust its payment.

        Either all changes are made or none. Returns the booking with its new content and ``version``.

        Args:
            booking_id: the booking's id.
            caller: who changes it.
            change: the values to change; all others stay.
            expected_version: refuse with ``version_conflict`` unless the booking has this version.
            expected_refund: refuse with ``quote_changed`` unless this goes back, as ``preview_amendment`` said.
            refund: how much a paid booking that becomes cheaper gives back; None: as its policy says, and the whole
                price that is left when the new price is zero.
            idempotency_key: see the class.

        Raises:
            NotPossibleNow: ``already_paid``, ``balance_needed``, ``payment_in_flight``, ``version_conflict``,
                ``quote_changed``, ``booking_canceled`` or ``booking_expired``.
            RefusedByRule: When a rule forbids a value.
            InvalidInput: When a value is malformed.
            OutcomeUnknown: When it is unknown whether the gateway changed the payment; the amendment is completed
                once the outcome is known.
            RefundRefused: When the booking is amended but its refund was refused; the refund is owed.
        """

        def work(caller: Caller) -> Awaitable[Booking]:
            work = amend_booking(
                self._deps,
                booking_id,
                caller,
                change,
                expected_version=expected_version,
                expected_refund=expected_refund,
                refund=refund,
            )
            amount = None if isinstance(change.amount, Keep) else change.amount
            asked = {"amount": plain(amount), "refund": refund.value if refund is not None else None}
            return audited(self._deps, "amend_booking", caller, work, booking_id=booking_id, asked=asked)

        given: dict[str, object] = {
            "booking_id": booking_id,
            "change": change,
            "expected_version": expected_version,
            "refund": refund,
        }
        if expected_refund is not None:
            given["expected_refund"] = expected_refund
        result = Memory(names=lambda booking: {"booking_id": booking.id}, read=self._booking)
        return await self._once("amend_booking", caller, idempotency_key, given, work, result)

    async def preview_amendment(
        self,
        booking_id: str,
        change: BookingChange,
        caller: Caller = BACKEND,
        *,
        expected_version: int | None = None,
        refund: RefundOnCancel | None = None,
    ) -> ChangePreview:
        """What ``amend_booking`` with the same arguments would do now: what goes back, what remains. Raises as it."""
        return await previews.preview_amendment(
            self._deps, booking_id, caller, change, expected_version=expected_version, refund=refund
        )

    async def preview_cancellation(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        refund: RefundOnCancel | None = None,
        items: Sequence[ItemCount] = (),
    ) -> ChangePreview:
        """What ``cancel_booking`` with the same arguments would do now: what goes back, what remains. Raises as it."""
        return await previews.preview_cancellation(self._deps, booking_id, caller, refund=refund, items=items)

    # --- events

    async def preview_event(
        self,
        event_id: str,
        *,
        refund: RefundOnCancel | None = None,
        event_starts_at: datetime | None = None,
        refund_grace_until: datetime | None = None,
    ) -> EventPreview:
        """Return what canceling an event (or moving it to ``event_starts_at``) would do now, and change nothing.

        Raises:
            NotFound: When no booking has this event.
            RefusedByRule: When the new date or the end of the grace is in the past.
            InvalidInput: When one of them has no time zone.
        """
        _require_moments(event_starts_at=event_starts_at, refund_grace_until=refund_grace_until)
        return await event_jobs.preview_event(
            self._deps,
            event_id,
            refund=refund,
            event_starts_at=event_starts_at,
            refund_grace_until=refund_grace_until,
        )

    async def cancel_event(
        self,
        event_id: str,
        caller: Caller = BACKEND,
        *,
        refund: RefundOnCancel | None = None,
        reason: str | None = None,
    ) -> EventJob:
        """Cancel an event: it accepts no new bookings, and a job cancels and refunds all its bookings.

        The job is run by background work, or by ``run_event_job``. A repeated call for the same event returns the same
        job, which then tries its failed bookings again. ``refund`` says how much is given back; None: everything, or
        what the known job gives back.

        Raises:
            NotPossibleNow: ``event_refund_differs``, when the event was canceled with another ``refund``.
        """
        work = event_jobs.cancel_event(self._deps, event_id, caller, refund=refund, reason=reason)
        asked = {"event_id": event_id, "refund": (refund or RefundOnCancel.FULL).value}
        return await audited(self._deps, "cancel_event", caller, work, asked=asked)

    async def reschedule_event(
        self,
        event_id: str,
        caller: Caller = BACKEND,
        *,
        event_starts_at: datetime,
        refund_grace_until: datetime | None = None,
    ) -> EventJob:
        """Move an event: a job gives its live bookings the new date.

        Until ``refund_grace_until`` customers may have everything refunded; None: the refund policy alone applies.

        Raises:
            RefusedByRule: When a rule forbids one of the times.
            InvalidInput: When one of them has no time zone.
            NotPossibleNow: ``event_canceled``, or ``event_job_running`` while another job of the event runs.
        """
        require_moment(event_starts_at, "event_starts_at")
        _require_moments(refund_grace_until=refund_grace_until)
        work = event_jobs.reschedule_event(
            self._deps, event_id, caller, event_starts_at=event_starts_at, refund_grace_until=refund_grace_until
        )
        asked = {"event_id": event_id, "event_starts_at": event_starts_at.isoformat()}
        return await audited(self._deps, "reschedule_event", caller, work, asked=asked)

    async def upcoming_events(self, *, after: UpcomingEvent | None = None, limit: int = 20) -> EventPage:
        """Return events that have not begun, the earliest first, with their sums and their newest jobs."""
        return await event_overview.upcoming_events(self._deps, after, limit)

    async def event_overview(self, event_id: str, *, attention: int = 50) -> EventOverview:
        """Return an event with the bookings of its newest job that are not done. Raises ``NotFound``."""
        return await event_overview.event_overview(self._deps, event_id, attention=attention)

    async def event_report(self, event_id: str) -> EventReport:
        """Return the totals of an event's bookings and the state of its newest job. Raises ``NotFound``."""
        return await event_jobs.event_report(self._deps, event_id)

    async def event_lines(self, event_id: str) -> Sequence[EventLine]:
        """Return one line for each booking that the event's newest job has processed. Raises ``NotFound``."""
        await self.event_report(event_id)
        return [line async for line in self.each_event_line(event_id)]

    def each_event_line(self, event_id: str) -> AsyncIterator[EventLine]:
        """Iterate over the same lines, each read when it is needed, for long reports.

        The results are as stored; ``event_report`` brings them up to date. Raises ``NotFound`` at the first step.
        """
        return event_jobs.event_lines(self._deps, event_id)

    async def run_event_job(self, job: EventJob, progress: Progress = in_silence) -> EventReport:
        """Run a job until it is finished or the gateway stops responding; returns the report."""
        return await event_jobs.run_event_job(self._deps, job, progress)

    async def continue_event_jobs(self) -> int:
        """Process a batch of bookings of each running job; returns how many bookings were processed."""
        return await event_jobs.continue_event_jobs(self._deps)

    # --- paying

    @property
    def gateway_choices(self) -> tuple[str, ...]:
        """The names of the gateways that customers may choose: all but those whose payments operators record."""
        return tuple(name for name in self._deps.gateway_names if not self._deps.at(name).recorded)

    @property
    def gateway_names(self) -> tuple[str, ...]:
        """The names of this installation's gateways, the default one first."""
        return self._deps.gateway_names

    async def start_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str | None = None,
        confirm_immediately: bool = False,
        capture_method: CaptureMethod | None = None,
        return_url: str | None = None,
        client: Client | None = None,
        gateway: str | None = None,
        expected_price: Money | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Return the booking's open payment, or start a new one.

        Args:
            booking_id: the booking's id.
            caller: who pays.
            payment_method_id: the payment method; an open payment keeps the newest for ``confirm_payment``.
            confirm_immediately: charge at once. A method that waits for the customer to act is not charged again.
            capture_method: whether the money is charged or only held; None: as configured.
            return_url: where a payment method that redirects returns to; the newest is the default of later calls. If
                the open payment's intent does not allow such methods, it is canceled and a new payment is started.
            client: with ``Client.STRIPE_JS``, 3-D Secure is handled by Stripe.js on the front end's page, for all later
                charges of the payment, too.
            gateway: name of the gateway; None: the installation's first. An open payment of another gateway is canceled
                first, and the new one is started once that gateway has confirmed the cancellation.
            expected_price: what the customer was shown, the fee included where they pay it; None does not check it.
            idempotency_key: see the class.

        Raises:
            RefusedByRule: ``gateway_unknown`` when the installation has no gateway of that name.
            NotPossibleNow: ``capture_method_fixed`` when the open payment was started with another ``capture_method``,
                ``price_changed`` when the price is not the expected one any more.
        """

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.start_payment(
                self._deps,
                booking_id,
                caller,
                payment_method_id=payment_method_id,
                confirm_immediately=confirm_immediately,
                capture_method=capture_method,
                return_url=return_url,
                client=client,
                gateway=gateway,
                expected_price=expected_price,
            )
            asked = {"payment_method_id": payment_method_id, "confirm_immediately": confirm_immediately}
            if gateway is not None:
                asked["gateway"] = gateway
            return audited(self._deps, "start_payment", caller, work, booking_id=booking_id, asked=asked)

        given = {
            "booking_id": booking_id,
            "payment_method_id": payment_method_id,
            "confirm_immediately": confirm_immediately,
            "capture_method": capture_method,
            "return_url": return_url,
            "client": client,
            "gateway": gateway,
            "expected_price": expected_price,
        }
        return await self._once("start_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def record_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput,
        kind: ReceiptKind,
        reference: str,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Record that the whole price was received by hand, such as in cash, as a payment of the gateway ``manual``.

        An open payment of another gateway is canceled first.

        Args:
            booking_id: the booking's id.
            caller: the operator who records it.
            amount: the amount received; it must be the whole price.
            kind: how it was received.
            reference: number or text of the receipt.
            idempotency_key: see the class.

        Raises:
            RefusedByRule: ``operators_only`` for customers, ``amount_differs`` for another amount, ``gateway_unknown``
                when the installation has no such gateway.
        """

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.record_payment(self._deps, booking_id, caller, amount=amount, kind=kind, reference=reference)
            asked = {"amount": plain(amount), "kind": kind.value, "reference": reference}
            return audited(self._deps, "record_payment", caller, work, booking_id=booking_id, asked=asked)

        given = {"booking_id": booking_id, "amount": amount_asked(amount), "kind": kind, "reference": reference}
        return await self._once("record_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def confirm_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str | None = None,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Charge the payment with ``payment_method_id``, or with the method that it has already.

        While the payment waits for the customer to act, another method replaces the waiting one. With the same method,
        or with None, the payment is only read from the gateway.

        Raises:
            NotPossibleNow: ``action_pending`` for another ``return_url`` while the customer has to act.
        """
        given = {"payment_method_id": payment_method_id, "return_url": return_url}
        return await self._confirm("confirm_payment", booking_id, caller, given, idempotency_key)

    async def retry_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        payment_method_id: str,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Charge the payment again after a decline, with another payment method."""
        given = {"payment_method_id": payment_method_id, "return_url": return_url}
        return await self._confirm("retry_payment", booking_id, caller, given, idempotency_key)

    async def _confirm(
        self, operation: str, booking_id: str, caller: Caller, given: Mapping[str, str | None], key: str | None
    ) -> PaymentView:
        def work(caller: Caller) -> Awaitable[PaymentView]:
            method_id, return_url = given["payment_method_id"], given["return_url"]
            work = paying.confirm_payment(
                self._deps, booking_id, caller, payment_method_id=method_id, return_url=return_url
            )
            asked = {"payment_method_id": method_id}
            return audited(self._deps, operation, caller, work, booking_id=booking_id, asked=asked)

        asked = {"booking_id": booking_id, **given}
        return await self._once(operation, caller, key, asked, work, self._payment_memory)

    async def capture_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput = None,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Capture held money: ``amount``, or all of it for None. The gateway releases the rest."""

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.capture_payment(self._deps, booking_id, caller, amount=amount)
            asked = {"amount": plain(amount)}
            return audited(self._deps, "capture_payment", caller, work, booking_id=booking_id, asked=asked)

        given = {"booking_id": booking_id, "amount": amount_asked(amount)}
        return await self._once("capture_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def cancel_payment(
        self, booking_id: str, caller: Caller = BACKEND, *, idempotency_key: str | None = None
    ) -> PaymentView:
        """Cancel the booking's open payment; the booking stays pending."""

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.cancel_payment(self._deps, booking_id, caller)
            return audited(self._deps, "cancel_payment", caller, work, booking_id=booking_id)

        given = {"booking_id": booking_id}
        return await self._once("cancel_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def payment_status(self, booking_id: str, caller: Caller = BACKEND) -> PaymentView:
        """Return the booking's latest payment. Raises ``NotFound`` when it has no payment."""
        return await payment_status(self._deps, booking_id, caller)

    async def checkout(
        self, booking_id: str, caller: Caller = BACKEND, *, ask: bool = False, anew: bool = False
    ) -> Checkout:
        """Return what a checkout page shows: the booking, its price, and the customer's next step.

        Args:
            booking_id: the booking's id.
            caller: the customer, or the service that shows the page.
            ask: read the payment from the gateway first, if the customer may have acted there; at most once in two
                seconds for each payment.
            anew: with ``ask``, read it however recent the last read is.
        """
        if ask:
            return await poll_checkout(self._deps, booking_id, caller, anew=anew)
        return await read_checkout(self._deps, booking_id, caller)

    async def poll_payment(self, booking_id: str, caller: Caller = BACKEND, *, anew: bool = False) -> PaymentView:
        """Read an open payment from the gateway, and book its state: for a customer who has just acted there.

        Returns the payment as our books have it when the gateway can't be read, or was read less than two seconds ago
        and ``anew`` is not set.
        """
        return await paying.poll_payment(self._deps, booking_id, caller, anew=anew)

    async def journal(self, booking_id: str, caller: Caller = BACKEND) -> Sequence[Recorded]:
        """Return all events of the booking's latest payment, oldest first."""
        return await journal(self._deps, booking_id, caller)

    def export_rows(self, kind: ExportKind, which: PaymentFilter | None = None) -> AsyncIterator[list[Sequence[Cell]]]:
        """Yield the rows of an export in groups, which may be empty: see ``application.exporting``.

        Their columns are those of ``export_columns(kind)``. Iterating raises ``InvalidInput`` for a bad filter.
        """
        return export_rows(self._deps, kind, which or PaymentFilter())

    async def list_payments(
        self, which: PaymentFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> PaymentPage:
        """Return a page of payments, newest first.

        Raises ``InvalidInput`` for a malformed cursor, and for a period that ends before it begins.
        """
        chosen = which or PaymentFilter()
        chosen.require_period()
        return await self._deps.storage.read(lambda uow: uow.payments.page(chosen, cursor, limit))

    async def list_bookings(
        self, which: BookingFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> BookingPage:
        """Return a page of bookings, newest first. Raises ``InvalidInput`` for a malformed cursor."""
        chosen = which or BookingFilter()
        return await self._deps.storage.read(lambda uow: uow.bookings.page(chosen, cursor, limit))

    # --- refunding

    async def quote_refund(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput = None,
        items: Sequence[ItemCount] = (),
        override: bool = False,
    ) -> RefundQuote:
        """Return what a refund of ``amount`` (None: the whole refundable amount), or of ``items``, would give now.

        With ``override`` the quote is without the refund rules, and names the rules that would be overridden.
        """
        target = Target(booking_id=booking_id)
        return await refunding.quote_refund(self._deps, target, caller, amount=amount, items=items, override=override)

    async def quote_refund_of_payment(
        self, payment_id: str, caller: Caller = BACKEND, *, amount: AmountInput = None, override: bool = False
    ) -> RefundQuote:
        """Return the quote for one payment by its id, which may be an earlier payment of its booking."""
        target = Target(payment_id=payment_id)
        return await refunding.quote_refund(self._deps, target, caller, amount=amount, override=override)

    async def refund_payment(
        self,
        booking_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput = None,
        reason: RefundReason = RefundReason.REQUESTED_BY_CUSTOMER,
        note: str | None = None,
        override: bool = False,
        items: Sequence[ItemCount] = (),
        idempotency_key: str | None = None,
    ) -> RefundView:
        """Refund ``amount`` (None: the whole refundable amount), or the share of ``items`` that the refund tiers allow.

        The seats of items that a customer has refunded are released; after an operator's refund the booking keeps them.
        Each unit of an item is refunded once. ``override`` ignores the refund rules; it requires a ``note``, and
        customers may not use it.
        """
        target = Target(booking_id=booking_id)
        request = refunding.RefundRequest(
            amount=amount, reason=reason, note=note, override=override, items=tuple(items)
        )
        return await self._refund(target, caller, request, booking_id, idempotency_key)

    async def refund_payment_by_id(
        self,
        payment_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput = None,
        reason: RefundReason = RefundReason.REQUESTED_BY_CUSTOMER,
        note: str | None = None,
        override: bool = False,
        idempotency_key: str | None = None,
    ) -> RefundView:
        """Refund one payment by its id, such as a late payment whose automatic refund failed."""
        target = Target(payment_id=payment_id)
        request = refunding.RefundRequest(amount=amount, reason=reason, note=note, override=override)
        booking_id = await self._deps.storage.read(target.booking_of)
        return await self._refund(target, caller, request, booking_id, idempotency_key)

    async def _refund(
        self,
        target: Target,
        caller: Caller,
        request: refunding.RefundRequest,
        booking_id: str,
        idempotency_key: str | None,
    ) -> RefundView:
        override = "true" if request.override else None

        def work(caller: Caller) -> Awaitable[RefundView]:
            work = refunding.refund_payment(self._deps, target, caller, request)
            asked = {"amount": plain(request.amount), "reason": request.reason.value, "override": override}
            asked |= items_asked(request.items)
            return audited(self._deps, "refund_payment", caller, work, booking_id=booking_id, asked=asked)

        given: dict[str, object] = {
            "booking_id": target.booking_id,
            "payment_id": target.payment_id,
            "amount": amount_asked(request.amount),
            "reason": request.reason,
            "note": request.note,
            "override": override,
        }
        if request.items:
            given["items"] = request.items
        result = Memory(
            names=lambda view: {"payment_id": view.payment.id, "refund_id": view.refund.id}, read=self._refund_view
        )
        return await self._once("refund_payment", caller, idempotency_key, given, work, result)

    async def settle_debt(
        self,
        payment_id: str,
        caller: Caller = BACKEND,
        *,
        amount: AmountInput,
        how: Settlement,
        note: str,
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """Reduce the refund owed to the customer by ``amount``, because it was paid elsewhere or waived."""
        booking_id = await self._deps.storage.read(Target(payment_id=payment_id).booking_of)

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = refunding.settle_debt(self._deps, payment_id, caller, amount=amount, how=how, note=note)
            asked = {"amount": plain(amount), "how": how.value}
            return audited(self._deps, "settle_debt", caller, work, booking_id=booking_id, asked=asked)

        given = {"payment_id": payment_id, "amount": amount_asked(amount), "how": how.value, "note": note}
        return await self._once("settle_debt", caller, idempotency_key, given, work, self._payment_memory)

    # --- webhooks and background work

    async def receive_webhook(self, body: bytes, headers: HeaderItems, *, gateway: str | None = None) -> WebhookResult:
        """Verify and process a webhook.

        Args:
            body: the request's raw body.
            headers: all headers of the request: your web framework's ``request.headers``, or a dict. Their names may be
                in any case.
            gateway: name of the gateway to which the webhook's URL belongs, such as ``stripe``; None stands for the
                default gateway.

        Raises:
            WebhookRefused: When its signature or body is invalid; answer with status 400.
            WebhooksNotTaken: When the installation has no gateway of that name that sends webhooks.
            WebhookFailed: When it was not processed; answer with an error status, so that it is sent again.
        """
        return await webhooks.receive_webhook(self._deps, body, headers, gateway)

    async def work(self) -> int:
        """Run one pass of background work: deliver messages, settle due payments, announce and expire holds.

        Messages are delivered first and last, so that waiting ones do not depend on the gateway, and new ones leave in
        the same pass. If the gateway does not respond, the pass takes minutes at most. Returns how many items were
        processed.

        Raises:
            ExceptionGroup: With all errors, when each part has run; the next pass tries the failed items again.
        """
        done: list[int] = []

        async def part(round_of: Callable[[Dependencies], Awaitable[int]]) -> None:
            done.append(await round_of(self._deps))

        parts = (
            deliver_messages,
            resolve_due,
            event_jobs.continue_event_jobs,
            announce_expiring,
            bookings.expire_bookings,
            deliver_messages,
        )
        await each_by_itself(parts, part)
        return sum(done)

    async def deliver_messages(self, besides: Collection[str] = ()) -> int:
        """Deliver the messages that are due on this process's channels, except the channels in ``besides``.

        Returns how many were delivered. Raises ``ChannelNotRecorded``.
        """
        return await deliver_messages(self._deps, besides)

    async def undelivered_messages(
        self, *, dead: bool = False, limit: int = 50, channel: str | None = None
    ) -> Sequence[MessageDelivery]:
        """Return deliveries that are waiting, oldest first; a message waits once for each channel.

        ``dead`` limits the list to dead letters, ``channel`` to one channel.
        """
        return await undelivered_messages(self._deps, dead=dead, limit=limit, channel=channel)

    async def replay_messages(
        self, message_ids: Collection[str], caller: Caller = BACKEND, *, channel: str | None = None
    ) -> int:
        """Make dead letters due again on ``channel``, or on all channels; returns how many deliveries changed."""
        work = replay_messages(self._deps, message_ids, channel)
        asked = {"messages": messages_asked(message_ids), "channel": channel_asked(channel)}
        return await audited(self._deps, "replay_messages", caller, work, asked=asked)

    async def drop_messages(
        self, message_ids: Collection[str], caller: Caller = BACKEND, *, channel: str | None = None
    ) -> int:
        """Discard dead letters on ``channel``, or on all channels; returns how many deliveries were discarded."""
        work = drop_messages(self._deps, message_ids, caller, channel)
        asked = {"messages": messages_asked(message_ids), "channel": channel_asked(channel)}
        return await audited(self._deps, "drop_messages", caller, work, asked=asked)

    async def messages(
        self, after: str | None = None, *, limit: int = 100, channel: str | None = None
    ) -> Sequence[Message]:
        """Return the next messages, oldest first, for an app that reads them itself; each has a ``cursor``.

        Cursors follow the order in which messages become visible, so none is skipped, whichever transaction commits
        first; the same call returns the same messages again. Messages up to ``after`` count as delivered.

        Args:
            after: cursor of the last message that the app has processed; None: from the first. The app stores it in its
                own database, in the transaction that processes the message.
            limit: how many messages to return at most, from 1 to 1000.
            channel: NAME of the channel ``pull:NAME``; None: as configured. The first call records the channel when no
                channel is recorded; otherwise add it with ``booking-payments messages channels add``.

        Raises:
            ChannelNotRecorded: When the channel is not recorded while others are.
            InvalidInput: When ``after`` is not a cursor, or ``limit`` is out of range.
        """
        return await read_messages(self._deps, after, limit, channel)

    async def attach_channels(self) -> None:
        """Check that this process's channels are recorded; record them if no channel is recorded at all.

        Raises:
            ChannelNotRecorded: When one of them is not recorded while others are.
        """
        await attach_channels(self._deps)

    async def channel_states(self) -> ChannelStates:
        """Return the recorded channels with their backlogs, and since when a channel is silent."""
        return await channel_states(self._deps)

    async def add_channel(self, name: str, caller: Caller = BACKEND, *, discard_waiting: bool = False) -> bool:
        """Record a channel, which gets all messages from now on; returns False when it is recorded already.

        Messages that were written while no channel was recorded are delivered on it, too; with ``discard_waiting`` they
        are discarded. Raises ``InvalidInput`` when ``name`` is not the name of a channel.
        """
        work = add_channel(self._deps, name, caller, discard_waiting=discard_waiting)
        asked = {"channel": channel_asked(name), "discard_waiting": "true" if discard_waiting else None}
        return await audited(self._deps, "add_channel", caller, work, asked=asked)

    async def remove_channel(self, name: str, caller: Caller = BACKEND, *, force: bool = False) -> int:
        """Remove a channel; returns how many waiting messages were discarded, which requires ``force``.

        Raises:
            NotFound: When the channel is not recorded.
            MessagesWait: When messages wait on it and ``force`` is not set.
        """
        work = remove_channel(self._deps, name, caller, force=force)
        asked = {"channel": channel_asked(name), "force": "true" if force else None}
        return await audited(self._deps, "remove_channel", caller, work, asked=asked)

    async def announce_expiring(self) -> int:
        """Store the message ``booking.expiring`` for holds that end soon; returns how many holds were due."""
        return await announce_expiring(self._deps)

    async def settle_payment(self, payment_id: str) -> bool:
        """Continue one payment: resume its operation, or read it from the gateway. Returns False when it is not due."""
        return await resolve_if_due(self._deps, payment_id)

    async def settle_due(self) -> int:
        """Continue the payments whose next check is due, until the gateway stops responding; returns how many."""
        return await resolve_due(self._deps)

    async def expire_bookings(self) -> int:
        """Expire the bookings whose deadline has passed, until the gateway stops responding; returns how many were
        processed."""
        return await bookings.expire_bookings(self._deps)

    async def forget_answers(self, before: datetime) -> int:
        """Remove the stored responses of idempotency keys that were first used before ``before``; returns how many."""
        return await self._deps.storage.transact(lambda uow: uow.answers.remove_older(before))

    # --- going through the books

    async def reconcile(
        self, since: datetime | None = None, progress: Progress = in_silence, *, caller: Caller = BACKEND
    ) -> Reconciliation:
        """Compare our books with the gateway, repair the safe differences, and list the others for an operator.

        First, operations in flight are settled and events that were never delivered are fetched. Then everything that
        is not final or has changed since ``since`` (None: in the last 30 days) is compared.
        """
        work = reconcile(self._deps, since, progress)
        result = await audited(self._deps, "reconcile", caller, work, asked={"since": since})
        await keep_report(self._deps, result, caller)
        return result

    async def catch_up(self, since: datetime | None = None) -> Sequence[Replayed]:
        """Fetch and process events that were never delivered, from ``since`` (None: the last event received) on.

        Raises:
            GatewayError: When the gateway's list of events can't be read.
        """
        return await catch_up(self._deps, since)

    async def check_ledger(self, progress: Progress = in_silence) -> LedgerCheck:
        """Check that every posting balances, and that snapshots and postings agree with the journals."""
        return await check_ledger(self._deps, progress)

    async def list_webhooks(self, which: InboxFilter | None = None, limit: int = 50) -> Sequence[InboxEntry]:
        """Return the webhook events received, newest first."""
        return await list_webhooks(self._deps, which or InboxFilter(), limit)

    async def replay_webhooks(
        self,
        event_ids: Sequence[str] = (),
        which: InboxFilter | None = None,
        *,
        dry_run: bool = False,
        progress: Progress = in_silence,
        caller: Caller = BACKEND,
    ) -> Sequence[Replayed]:
        """Process received events again, oldest first; returns the result of each.

        An event that was processed already has no second effect.

        Args:
            event_ids: only these events; empty: all.
            which: only events that this filter selects.
            dry_run: process nothing, and return the selected events.
            progress: called after each event.
            caller: who asks for it.
        """
        filter_ = which or InboxFilter()
        if caller.by_itself and not event_ids and not dry_run:
            return await retry_unfinished(self._deps, filter_)
        work = replay_webhooks(self._deps, filter_, event_ids, dry_run=dry_run, progress=progress)
        if dry_run or caller.by_itself:  # in background work each event has its own audit record
            return await work
        asked = {"events": " ".join(event_ids) or "all selected"}
        return await audited(self._deps, "replay_webhooks", caller, work, asked=asked)

    async def audit_trail(self, booking_id: str | None = None, limit: int = 100) -> Sequence[AuditRecord]:
        """Return the audit records, newest first: actor, command and outcome; only those of one booking if given."""
        return await self._deps.storage.read(lambda uow: uow.audit.latest(limit, booking_id))

    # --- for operators

    async def figures(self, since: datetime) -> Figures:
        """Return rates, money, times and open items from ``since`` until now."""
        return await figures(self._deps, since)

    async def recent_figures(self, days: int) -> Figures:
        """Return the figures of the last ``days`` days in the configured time zone, including today."""
        since = days_back(self._deps.clock.now(), days, self._deps.config.time_zone)
        return await figures(self._deps, since)

    async def disputes(self) -> Sequence[OpenDispute]:
        """Return the newest disputes: open ones first, by their deadlines."""
        now = self._deps.clock.now()
        return await self._deps.storage.read(lambda uow: disputes(uow, now))

    async def drift_reports(self, limit: int = 10) -> Sequence[KeptReport]:
        """Return the stored reports of the last reconciliations, newest first."""
        return await last_reports(self._deps, limit)

    # --- the backend calls of a booking app

    async def process_booking_payment(
        self,
        booking: Booking | str,
        payment_method_id: str | None = None,
        *,
        confirm_immediately: bool = True,
        return_url: str | None = None,
        client: Client | None = None,
        caller: Caller = BACKEND,
        idempotency_key: str | None = None,
    ) -> PaymentResult:
        """Start a booking's payment and, by default, charge it. A decline is in the result, and is not raised."""
        confirm = confirm_immediately and payment_method_id is not None
        try:
            view = await self.start_payment(
                _id(booking),
                caller,
                payment_method_id=payment_method_id,
                confirm_immediately=confirm,
                return_url=return_url,
                client=client,
                idempotency_key=idempotency_key,
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
        idempotency_key: str | None = None,
    ) -> PaymentResult:
        """Charge a declined payment again with another method. A decline is in the result, and is not raised."""
        try:
            view = await self.retry_payment(
                _id(booking),
                caller,
                payment_method_id=payment_method_id,
                return_url=return_url,
                idempotency_key=idempotency_key,
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
        idempotency_key: str | None = None,
    ) -> PaymentResult:
        """Refund a booking in full, or ``refund_amount`` of it. A refusal is in the result, and is not raised.

        A ``reason`` that Stripe does not have becomes the refund's note, of 500 characters at most.
        """
        kind, note = (reason, None) if isinstance(reason, RefundReason) else RefundReason.read(reason)
        try:
            view = await self.refund_payment(
                _id(booking), caller, amount=refund_amount, reason=kind, note=note, idempotency_key=idempotency_key
            )
        except PaymentError as error:
            return await self._failed(booking, caller, error)
        lost = view.refund.status.is_lost
        return PaymentResult(
            success=not lost,
            payment_intent_id=view.payment.intent_id,
            status=view.refund.status.value,
            refund_id=view.refund.id,
            error="the refund failed" if lost else None,
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

    # --- once for each idempotency key

    async def _once(
        self,
        command: str,
        caller: Caller,
        key: str | None,
        given: Mapping[str, object],
        work: Callable[[Caller], Awaitable[T]],
        result: Memory,
    ) -> T:
        """Await ``work``; with a ``key`` at most once.

        ``given`` are the command's arguments, which must be the same in each call with the key; ``result`` stores the
        ids of the returned object, and reads it again for a repeated call.
        """
        if key is None:
            return await work(caller)
        return await once(self._marks, library_request(command, caller, key, given), caller, work, result)

    async def _registered(self, caller: Caller, names: Mapping[str, Any]) -> Registered:
        return Registered(booking=await self._booking(caller, names), created=names["created"])

    async def _booking(self, caller: Caller, names: Mapping[str, Any]) -> Booking:
        return await bookings.get_booking(self._deps, names["booking_id"], caller)

    @property
    def _payment_memory(self) -> Memory:
        return Memory(names=lambda view: {"payment_id": view.payment.id}, read=self._payment)

    async def _payment(self, caller: Caller, names: Mapping[str, Any]) -> PaymentView:
        async def work(uow: UnitOfWork) -> PaymentView:
            payment = await uow.payments.get(names["payment_id"])
            if payment is None:
                raise NotFound()
            return PaymentView(payment=payment, client_action=await uow.payments.client_action(payment.id))

        return await self._deps.storage.read(work)

    async def _refund_view(self, caller: Caller, names: Mapping[str, Any]) -> RefundView:
        payment = (await self._payment(caller, names)).payment
        refund = payment.refund(names["refund_id"]) or payment.deferred_refund(names["refund_id"])
        if refund is None:
            raise NotFound()
        return RefundView(payment=payment, refund=refund)


def items_asked(items: Sequence[ItemCount]) -> dict[str, str]:
    """Return what the audit trail keeps of named items: ``id x quantity`` of each; nothing without items."""
    named = [each.id if each.quantity is None else f"{each.id} x {each.quantity}" for each in items]
    return {"items": ", ".join(named)[:LONGEST]} if named else {}


def _id(booking: Booking | str) -> str:
    return booking if isinstance(booking, str) else booking.id


def _require_moments(**moments: datetime | None) -> None:
    """Raise ``InvalidInput`` for a time without a time zone; None is allowed."""
    for name, moment in moments.items():
        if moment is not None:
            require_moment(moment, name)
