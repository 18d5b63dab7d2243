"""``BookingPayments``: the one thing that an embedding service imports.

::

    async with open_payments() as payments:
        result = await payments.process_booking_payment(booking_id, "pm_card_visa")

Every method is a use case; ``SyncBookingPayments`` has the same methods for callers without an event loop.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from booking_payments.application import bookings, event_jobs, paying, previews, refunding, webhooks
from booking_payments.application.amending import amend_booking
from booking_payments.application.auditing import audited, plain
from booking_payments.application.bookkeeping import LedgerCheck, check_ledger
from booking_payments.application.callers import Caller
from booking_payments.application.channels import (
    ChannelStates,
    add_channel,
    attach_channels,
    channel_states,
    read_messages,
    remove_channel,
)
from booking_payments.application.checking_out import Checkout, ask_about_checkout, look_at_checkout
from booking_payments.application.delivering import (
    deliver_messages,
    drop_messages,
    replay_messages,
    undelivered_messages,
)
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.drift import KeptReport, keep_report, last_reports
from booking_payments.application.event_jobs import EventLine, EventPreview, EventReport
from booking_payments.application.expiring import announce_expiring
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
from booking_payments.ports.event_jobs import EventJob
from booking_payments.ports.inbox import InboxEntry, InboxFilter
from booking_payments.ports.payments import PaymentFilter, PaymentPage
from booking_payments.ports.publisher import Message, MessageDelivery
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import HeaderItems

T = TypeVar("T")

BACKEND = Caller.service("backend", "backend call")
"""Who calls when an embedding service does not say."""


class BookingPayments:
    """Takes payments for bookings, gives them back, and never twice.

    Methods raise the errors of ``domain.errors``; the three ``process_...``/``retry_...`` calls return results
    instead. ``caller`` says who asks: it goes into the journal and the audit trail, where every command leaves a
    record, and limits customers to their own bookings.

    Every command takes an ``idempotency_key`` of 16 to 255 printable ASCII characters, with the rules of the HTTP
    header ``Idempotency-Key``. Within 72 hours the same command of the same caller with the same key and arguments is
    done once: when it is called again its payment, refund or booking is read from the books, as it is then, and a
    decline or a refusal by a rule is raised again. With other arguments it raises ``RefusedByRule``
    (``idempotency_key_reused``), while it is being worked on ``AlreadyUnderWay`` (``idempotency_key_in_use``). After an
    unknown outcome and after a crash the next call with the key goes on from where the last one stopped.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._marks = Marks(storage=deps.storage, clock=deps.clock, ids=deps.ids, lease=deps.config.lease)

    # --- bookings

    async def register_booking(
        self, new: NewBooking, caller: Caller = BACKEND, *, idempotency_key: str | None = None
    ) -> Registered:
        """Register what is to be paid for; the same reference with the same content again finds it.

        One that costs nothing is confirmed at once. The reference of a booking that is canceled or has expired may be
        used for a new one. Raises ``NotPossibleNow`` for a reference with other content; ``RefusedByRule`` for an
        amount that the gateway can't charge, times in the past, and a customer with too many unpaid bookings.
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
        """The booking. Raises ``NotFound``."""
        return await bookings.get_booking(self._deps, booking_id, caller)

    async def describe_booking(self, booking_id: str, caller: Caller = BACKEND) -> BookingView:
        """The booking with what is owed for it. Raises ``NotFound``."""
        return await bookings.describe_booking(self._deps, booking_id, caller)

    async def describe_bookings(self, found: Sequence[Booking]) -> Sequence[BookingView]:
        """These bookings, in their order, each with what is owed for it."""
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
        """Close a booking; its open payment is canceled first, a paid one refunded as ``refund`` says (None: as its
        policy says). With ``expected`` it refuses to do anything else than what a preview said.

        A customer may cancel an own booking while it is not paid, and does not say what is refunded.

        Raises ``RefundRefused`` when the booking is canceled and its refund was refused; canceling again asks for it
        again.
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
        """Change a booking: its price, items, date, deadline or texts; its payment follows.

        Nothing is changed unless all of it is. Returns the booking with its new content and ``version``.

        Args:
            change: the values to change; all others stay.
            expected_version: refuse with ``version_conflict`` unless the booking has this version.
            expected_refund: refuse with ``quote_changed`` unless this goes back, as ``preview_amendment`` said.
            refund: what a paid booking that becomes cheaper gives back; None: as its policy says, and everything when
                the new price is zero.

        Raises ``NotPossibleNow`` (``already_paid``, ``balance_needed``, ``payment_in_flight``, ``version_conflict``,
        ``booking_canceled``, ``booking_expired``), ``RefusedByRule`` and ``InvalidInput`` for values that are not
        allowed, ``OutcomeUnknown`` while the gateway has not said whether the payment was changed: the amendment is
        completed once that is known. ``RefundRefused``: the booking is amended, and its refund is owed.
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
            asked = {"amount": plain(amount), "refund": (refund or RefundOnCancel.POLICY).value}
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
        self, event_id: str, *, refund: RefundOnCancel | None = None, event_starts_at: datetime | None = None
    ) -> EventPreview:
        """What canceling an event (or moving it to ``event_starts_at``) would do now. Raises ``NotFound``."""
        return await event_jobs.preview_event(self._deps, event_id, refund=refund, event_starts_at=event_starts_at)

    async def cancel_event(
        self,
        event_id: str,
        caller: Caller = BACKEND,
        *,
        refund: RefundOnCancel | None = None,
        reason: str | None = None,
    ) -> EventJob:
        """Cancel an event: it takes no new bookings, and a job cancels all that it has and refunds them.

        Background work carries the job out, or ``run_event_job``. The same event again: the same job, which takes up
        again what failed. ``refund`` None gives everything back.
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
        """Move an event: a job gives its live bookings the new date, and until ``refund_grace_until`` customers may
        have everything back. Raises ``RefusedByRule``, ``NotPossibleNow`` (``event_canceled``,
        ``event_job_running``)."""
        work = event_jobs.reschedule_event(
            self._deps, event_id, caller, event_starts_at=event_starts_at, refund_grace_until=refund_grace_until
        )
        asked = {"event_id": event_id, "event_starts_at": event_starts_at.isoformat()}
        return await audited(self._deps, "reschedule_event", caller, work, asked=asked)

    async def event_report(self, event_id: str) -> EventReport:
        """The sums over an event's bookings, and how its newest job stands. Raises ``NotFound``."""
        return await event_jobs.event_report(self._deps, event_id)

    async def event_lines(self, event_id: str) -> Sequence[EventLine]:
        """One line for each booking that the event's newest job has taken up. Raises ``NotFound``."""
        return await event_jobs.event_lines(self._deps, event_id)

    async def run_event_job(self, job: EventJob, progress: Progress = in_silence) -> EventReport:
        """Carry a job out to its end, as far as the gateway answers; returns the report."""
        return await event_jobs.run_event_job(self._deps, job, progress)

    async def continue_event_jobs(self) -> int:
        """Take up a part of each running job; returns how many bookings were taken up."""
        return await event_jobs.continue_event_jobs(self._deps)

    # --- paying

    @property
    def gateway_choices(self) -> tuple[str, ...]:
        """The names of the gateways that customers may pay by: all but those whose payments operators record."""
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
        idempotency_key: str | None = None,
    ) -> PaymentView:
        """The booking's open payment, or a new one; charged at once when ``confirm_immediately`` is set.

        ``gateway`` names the one to pay by, by default the installation's first. An open payment of another gateway is
        canceled first, and the new one is made when that gateway has confirmed it. A name that this installation does
        not have raises ``RefusedByRule`` (``gateway_unknown``).

        Of an open payment the newest ``payment_method_id`` is charged by ``confirm_payment``, and the newest
        ``return_url`` is the default of later calls; where its intent takes no methods that redirect, it is canceled
        for a new payment that does. Another ``capture_method`` than it was started with raises ``NotPossibleNow``
        (``capture_method_fixed``). The method that waits for the customer to act is not charged again.
        With ``client=Client.STRIPE_JS`` 3-D Secure is left to Stripe.js, on the page of the front end; it holds for all
        later charges of the payment, too.
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
        """Write down that the whole price, ``amount``, was received by hand, at the gateway ``manual``.

        An open payment of another gateway is canceled first. Raises ``RefusedByRule`` for customers
        (``operators_only``), another amount (``amount_differs``) and an installation without such a gateway
        (``gateway_unknown``).
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
        """Charge the payment, with ``payment_method_id`` or the method that it has.

        While the customer is to act, another method takes the place of the one that waits; the same one, or none, only
        looks, and raises ``NotPossibleNow`` (``action_pending``) for another ``return_url``.
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
        """Try again after a decline, with another payment method."""
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
        """Collect held money, all of it or ``amount``."""

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.capture_payment(self._deps, booking_id, caller, amount=amount)
            asked = {"amount": plain(amount)}
            return audited(self._deps, "capture_payment", caller, work, booking_id=booking_id, asked=asked)

        given = {"booking_id": booking_id, "amount": amount_asked(amount)}
        return await self._once("capture_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def cancel_payment(
        self, booking_id: str, caller: Caller = BACKEND, *, idempotency_key: str | None = None
    ) -> PaymentView:
        """Give the payment up; the booking stays pending."""

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = paying.cancel_payment(self._deps, booking_id, caller)
            return audited(self._deps, "cancel_payment", caller, work, booking_id=booking_id)

        given = {"booking_id": booking_id}
        return await self._once("cancel_payment", caller, idempotency_key, given, work, self._payment_memory)

    async def payment_status(self, booking_id: str, caller: Caller = BACKEND) -> PaymentView:
        """The booking's latest payment. Raises ``NotFound`` when none was started."""
        return await payment_status(self._deps, booking_id, caller)

    async def checkout(
        self, booking_id: str, caller: Caller = BACKEND, *, ask: bool = False, anew: bool = False
    ) -> Checkout:
        """The booking with its price and where the customer stands: what a page to pay on shows.

        With ``ask`` the gateway is asked first where the customer may have acted there since: at most once in two
        seconds for each payment, unless ``anew`` is set, too.
        """
        if ask:
            return await ask_about_checkout(self._deps, booking_id, caller, anew=anew)
        return await look_at_checkout(self._deps, booking_id, caller)

    async def look_at_payment(self, booking_id: str, caller: Caller = BACKEND, *, anew: bool = False) -> PaymentView:
        """Ask the gateway how an open payment stands, and book it: for a customer who has just acted there.

        When the gateway can't be read, or was read less than two seconds ago (unless ``anew`` is set), the payment as
        our books have it.
        """
        return await paying.look_at_payment(self._deps, booking_id, caller, anew=anew)

    async def journal(self, booking_id: str, caller: Caller = BACKEND) -> Sequence[Recorded]:
        """All facts of the booking's latest payment, oldest first."""
        return await journal(self._deps, booking_id, caller)

    async def list_payments(
        self, which: PaymentFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> PaymentPage:
        """Payments, newest first. Raises ``InvalidInput`` for a cursor that is none of ours."""
        chosen = which or PaymentFilter()
        return await self._deps.storage.read(lambda uow: uow.payments.page(chosen, cursor, limit))

    async def list_bookings(
        self, which: BookingFilter | None = None, *, cursor: str | None = None, limit: int = 20
    ) -> BookingPage:
        """Bookings, newest first. Raises ``InvalidInput`` for a cursor that is none of ours."""
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
        """What a refund of ``amount`` (None: all that can come back), or of ``items``, would give now.

        With ``override`` it also names the rules that would be passed over.
        """
        target = Target(booking_id=booking_id)
        return await refunding.quote_refund(self._deps, target, caller, amount=amount, items=items, override=override)

    async def quote_refund_of_payment(
        self, payment_id: str, caller: Caller = BACKEND, *, amount: AmountInput = None, override: bool = False
    ) -> RefundQuote:
        """The same for one payment by its id, which may not hold its booking any more."""
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
        """Give ``amount`` (None: all that can come back) to the customer, or what the tiers give for ``items``.

        A customer who has items refunded gives their seats up; after an operator's refund the booking keeps them. Each
        unit is refunded once. ``override`` passes over the refund rules; it needs a ``note``, and customers may not use
        it.
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
        """The same for one payment by its id: late money whose own return failed, for example."""
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
        """Take ``amount`` off what is owed to the customer, because it was paid elsewhere or waived."""
        booking_id = await self._deps.storage.read(Target(payment_id=payment_id).booking_of)

        def work(caller: Caller) -> Awaitable[PaymentView]:
            work = refunding.settle_debt(self._deps, payment_id, caller, amount=amount, how=how, note=note)
            asked = {"amount": plain(amount), "how": how.value}
            return audited(self._deps, "settle_debt", caller, work, booking_id=booking_id, asked=asked)

        given = {"payment_id": payment_id, "amount": amount_asked(amount), "how": how.value, "note": note}
        return await self._once("settle_debt", caller, idempotency_key, given, work, self._payment_memory)

    # --- webhooks and background work

    async def receive_webhook(self, body: bytes, headers: HeaderItems, *, gateway: str | None = None) -> WebhookResult:
        """Take in a delivery of a gateway: the raw body and all headers of the request.

        ``headers`` are those of your web framework (``request.headers``) or a dict; their names may be in any case.
        ``gateway`` is the name of the gateway that the address belongs to, such as ``stripe``; None stands for the one
        that this installation uses.

        Raises ``WebhookRefused`` for a delivery that is not genuine (``WebhooksNotTaken`` where no gateway of that name
        takes webhooks here), ``WebhookFailed`` to be sent it again.
        """
        return await webhooks.receive_webhook(self._deps, body, headers, gateway)

    async def work(self) -> int:
        """One round of background work: deliver messages, settle what is due, announce and expire holds, and deliver
        what these have to tell. Returns how much there was to do.

        A silent gateway holds up no message that waits already, and the rest for minutes at most. Raises an
        ``ExceptionGroup`` of what broke when everything had its turn; the next round tries it again.
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
        """Deliver messages that are due on this process's channels, except those in ``besides``; returns how many were
        taken. Raises ``ChannelNotRecorded``."""
        return await deliver_messages(self._deps, besides)

    async def undelivered_messages(
        self, *, dead: bool = False, limit: int = 50, channel: str | None = None
    ) -> Sequence[MessageDelivery]:
        """Messages that wait for their delivery, oldest first, once for each channel; with ``dead`` only those that
        were given up, with ``channel`` only those of that channel."""
        return await undelivered_messages(self._deps, dead=dead, limit=limit, channel=channel)

    async def replay_messages(self, message_ids: Collection[str], *, channel: str | None = None) -> int:
        """Have dead letters delivered after all, on ``channel`` or on all; returns how many of these there were."""
        return await replay_messages(self._deps, message_ids, channel)

    async def drop_messages(
        self, message_ids: Collection[str], caller: Caller = BACKEND, *, channel: str | None = None
    ) -> int:
        """Discard dead letters on ``channel`` or on all; returns how many of these there were."""
        return await drop_messages(self._deps, message_ids, caller, channel)

    async def messages(
        self, after: str | None = None, *, limit: int = 100, channel: str | None = None
    ) -> Sequence[Message]:
        """The next messages, oldest first, for an app that reads them itself; each has a ``cursor``.

        ``after`` is the cursor of the last message that the app has dealt with, which it keeps in its own database and
        changes in the same transaction as its own rows (None: from the first). No message is ever skipped, whatever
        commits when; the same call again returns the same messages. Messages up to ``after`` count as delivered.

        ``channel`` is the NAME of the channel ``pull:NAME``, by default the one of the settings. The first call records
        it where no channel is recorded; where others are, add it by ``booking-payments messages channels add``.
        ``limit`` is from 1 to 1000. Raises ``ChannelNotRecorded``, and ``InvalidInput`` for a cursor that was never
        handed out.
        """
        return await read_messages(self._deps, after, limit, channel)

    async def attach_channels(self) -> None:
        """Begin to deliver on this process's channels: record them where none is recorded. Raises
        ``ChannelNotRecorded`` where others are recorded and one of these is not."""
        await attach_channels(self._deps)

    async def channel_states(self) -> ChannelStates:
        """The recorded channels, what each of them still has to get, and which are silent."""
        return await channel_states(self._deps)

    async def add_channel(self, name: str, caller: Caller = BACKEND, *, discard_waiting: bool = False) -> bool:
        """Record a channel, which gets all messages from now on; False where it is recorded already.

        What was written while no channel was recorded is delivered on it, too, or discarded with ``discard_waiting``.
        Raises ``InvalidInput`` for a name that is none.
        """
        return await add_channel(self._deps, name, caller, discard_waiting=discard_waiting)

    async def remove_channel(self, name: str, caller: Caller = BACKEND, *, force: bool = False) -> int:
        """Forget a channel; with ``force`` what waits on it is discarded. Returns how many messages that were.

        Raises ``NotFound`` where it is not recorded, ``MessagesWait`` where messages wait and ``force`` is not given.
        """
        return await remove_channel(self._deps, name, caller, force=force)

    async def announce_expiring(self) -> int:
        """Write ``booking.expiring`` for holds that end soon; returns how many there were."""
        return await announce_expiring(self._deps)

    async def settle_payment(self, payment_id: str) -> bool:
        """Go on with one payment that was left or waits for news; False when it is not due."""
        return await resolve_if_due(self._deps, payment_id)

    async def settle_due(self) -> int:
        """Go on with every payment that was left or waits too long for news, until the gateway falls silent; returns
        how many were taken up."""
        return await resolve_due(self._deps)

    async def expire_bookings(self) -> int:
        """Close the bookings whose time to pay is over, until the gateway falls silent; returns how many were looked
        at."""
        return await bookings.expire_bookings(self._deps)

    async def forget_answers(self, before: datetime) -> int:
        """Remove the stored answers of requests that were made before then; returns how many."""
        return await self._deps.storage.transact(lambda uow: uow.answers.remove_older(before))

    # --- going through the books

    async def reconcile(
        self, since: datetime | None = None, progress: Progress = in_silence, *, caller: Caller = BACKEND
    ) -> Reconciliation:
        """Compare our books with the gateway's, heal what is safe, and list what is left for a person.

        First everything in flight is settled, and events that never came are taken in. Then everything that is not
        final is compared, and what has changed since ``since`` (None: in the last 30 days).
        """
        work = reconcile(self._deps, since, progress)
        result = await audited(self._deps, "reconcile", caller, work, asked={"since": since})
        await keep_report(self._deps, result, caller)
        return result

    async def catch_up(self, since: datetime | None = None) -> Sequence[Replayed]:
        """Take in the gateway's events that never came, from ``since`` (None: the last one seen) on.

        Raises ``GatewayError`` when they can't be read.
        """
        return await catch_up(self._deps, since)

    async def check_ledger(self, progress: Progress = in_silence) -> LedgerCheck:
        """Whether every posting balances, and snapshots and postings are what the journals tell of."""
        return await check_ledger(self._deps, progress)

    async def list_webhooks(self, which: InboxFilter | None = None, limit: int = 50) -> Sequence[InboxEntry]:
        """Webhook events received, newest first."""
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
        """Process received events again, oldest first: those named (none: all) that ``which`` means.

        An event that was processed already has no second effect. ``dry_run`` only says which they are.
        """
        filter_ = which or InboxFilter()
        if caller.by_itself and not event_ids and not dry_run:
            return await retry_unfinished(self._deps, filter_)
        work = replay_webhooks(self._deps, filter_, event_ids, dry_run=dry_run, progress=progress)
        if dry_run or caller.by_itself:  # the rounds of background work: each event leaves its own record
            return await work
        asked = {"events": " ".join(event_ids) or "all that are meant"}
        return await audited(self._deps, "replay_webhooks", caller, work, asked=asked)

    async def audit_trail(self, booking_id: str | None = None, limit: int = 100) -> Sequence[AuditRecord]:
        """Who asked for what and what came of it, newest first; of one booking where its id is given."""
        return await self._deps.storage.read(lambda uow: uow.audit.latest(limit, booking_id))

    # --- for operators

    async def figures(self, since: datetime) -> Figures:
        """Rates, money, times and what is open, since then."""
        return await figures(self._deps, since)

    async def recent_figures(self, days: int) -> Figures:
        """The same of the last ``days`` days in the terms' time zone, today counted."""
        since = days_back(self._deps.clock.now(), days, self._deps.config.time_zone)
        return await figures(self._deps, since)

    async def disputes(self) -> Sequence[OpenDispute]:
        """The newest disputes: open ones first, by their deadlines."""
        now = self._deps.clock.now()
        return await self._deps.storage.read(lambda uow: disputes(uow, now))

    async def drift_reports(self, limit: int = 10) -> Sequence[KeptReport]:
        """What the last reconciliations said, newest first."""
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
        """Pay a booking: start its payment and, by default, charge it. Never raises for a decline."""
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
        """Try a declined payment again with another method."""
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
        """Refund a booking whole, or ``refund_amount`` of it. A reason that is none of Stripe's becomes the note, of
        500 characters at most."""
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
        """Do ``work``; with a key once. ``given`` are the arguments, ``result`` says how what it returns is kept."""
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
