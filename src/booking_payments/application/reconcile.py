"""Reconciling: compare our books with the gateway, repair the safe differences, and list the others.

1. Operations in flight are settled; their leases are waited for.
2. Failed events are tried again, and events that were never delivered are fetched and processed.
3. Payments, refunds and disputes are compared: all that are not final, and those of the last 30 days.

A difference is safe to repair when the decisions for webhooks accept the gateway's report: a later status, a capture, a
refund, a dispute or its new deadline, a late payment, the id of an intent that was abandoned. Lost charges are adopted
under the conditions in ``domain.decisions.adopting``. Another amount or currency, a second charge, or an object of
our books that the gateway lacks is listed and changes nothing.

The gateway's lists are read page by page. Where a list differs from our books, the payment itself is read from the
gateway, and the observation is applied under the booking's lock by the same decisions as a webhook. A difference that
remains after that is listed for an operator, with its reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from attrs import Factory, define, evolve, frozen

from booking_payments.application.adopting import adopt
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.differences import (
    Difference,
    all_differences,
    of_dispute,
    of_intent,
    of_refund,
    refund_owed,
    refund_waiting,
)
from booking_payments.application.findings import Finding, Findings
from booking_payments.application.gateway_call import with_retries
from booking_payments.application.intent_list import CLOCKS_APART
from booking_payments.application.operations import Observation, apply_observation, fetch_observation
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.reading import load
from booking_payments.application.recording import Recorder
from booking_payments.application.replaying import (
    UNFINISHED,
    batches,
    catch_up_each,
    keys_of,
    replay_all,
    windows,
)
from booking_payments.application.settling import (
    CALLER,
    go_on,
    leave_in_flight,
    payment_of,
    payments_since,
    settle_in_flight,
)
from booking_payments.domain import metadata_keys
from booking_payments.domain.error_texts import safe_text
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport, Unreadable
from booking_payments.ports.gateway import GatewayError, ObjectNotFound
from booking_payments.ports.inbox import InboxFilter
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.ports.webhooks import WebhookRefused

LOOK_BACK: Final = timedelta(days=30)
"""How far back final payments are compared by default."""

WINDOW: Final = timedelta(days=3)
"""The time span of one listing. It bounds the memory, and a failure repeats one span and not the whole period."""

AT_ONCE = 200
"""How many of the gateway's objects are looked up in our books with one query."""

MAX_READS = 3
"""How often a payment is read when it changes during each read. After that it is listed, and left for the next run."""

Part = TypeVar("Part", RefundReport, DisputeReport)


@frozen(kw_only=True)
class ComparedGateway:
    """The comparison with one gateway.

    Attributes:
        name: the gateway's name.
        intents: how many of its intents were compared.
        refunds: how many of its refunds were compared.
        disputes: how many of its disputes were compared.
        foreign: how many of these intents this installation did not make.
        error: the code of the error for which its events or lists could not be read to the end; None otherwise.
    """

    name: str
    intents: int = 0
    refunds: int = 0
    disputes: int = 0
    foreign: int = 0
    error: str | None = None


@frozen(kw_only=True)
class Reconciliation:
    """The result of one run.

    Attributes:
        since: final payments and objects at the gateway are compared from this time on.
        until: when the run began.
        payments: how many payments of our books were compared.
        intents: how many of the gateway's intents were compared.
        refunds: how many of the gateway's refunds were compared.
        disputes: how many of the gateway's disputes were compared.
        foreign: how many intents this installation did not make, but another user of the same gateway account.
        events: how many events had failed or had never been delivered.
        healed: differences that this run repaired.
        left: differences that an operator has to look at.
        waiting: refunds that the system sends by itself once an open dispute has ended.
        gateways: what was compared with each gateway, the default one first.
    """

    since: datetime
    until: datetime
    payments: int
    intents: int
    refunds: int
    disputes: int
    foreign: int
    events: int
    healed: tuple[Finding, ...]
    left: tuple[Finding, ...]
    waiting: tuple[Finding, ...] = ()
    gateways: tuple[ComparedGateway, ...] = ()


async def reconcile(
    deps: Dependencies, since: datetime | None = None, progress: Progress = in_silence
) -> Reconciliation:
    """Settle operations in flight, process missed events, and compare our books with the gateway.

    A failure of a gateway is not raised: it is a finding in ``left``, and the other gateways are compared.

    Args:
        deps: the dependencies.
        since: final payments and events are looked at from this time on; None: the last 30 days.
        progress: called with the current step and its progress.
    """
    until = deps.clock.now()
    findings = Findings(deps)
    comparison = _Comparison(deps, findings, progress, since or until - LOOK_BACK)
    await settle_in_flight(deps, findings, progress)
    events = await _take_in_events(deps, comparison, since)
    await comparison.run()
    return comparison.result(until, events)


async def _take_in_events(deps: Dependencies, comparison: "_Comparison", since: datetime | None) -> int:
    """Process failed events again, and fetch those that were never delivered; returns how many there were of both.

    A gateway whose list of events can't be read becomes a finding.
    """
    unfinished = await keys_of(deps, InboxFilter(statuses=UNFINISHED))
    again = await replay_all(deps, unfinished, comparison.progress)
    caught = await catch_up_each(deps, since, comparison.progress)
    known = set(unfinished)
    missed = [each for each in caught.replayed if each.key not in known]
    for each in (*again, *missed):
        if each.failed:
            text = f"{each.type} can't be processed ({each.reason}); see: booking-payments webhooks list --failed"
            comparison.findings.leave_for(each.gateway, "event_failed", text, each.event_id)
    for name, error in caught.unread.items():
        comparison.leave_unread(name, error)
    return len(again) + len(missed)


@define
class _Comparison:
    """One comparison of our books with the gateways.

    Attributes:
        deps: the dependencies, narrowed to the gateway whose lists are being compared.
        seen: ids of all objects in the gateways' lists.
        examined: ids of the payments that were read from the gateway one by one.
        unread: the error codes of the gateways whose events or lists could not be read, by the gateway's name.
        compared: the counts of the comparison with each gateway, by its name.
    """

    deps: Dependencies
    findings: Findings
    progress: Progress
    since: datetime
    seen: set[str] = Factory(set)
    examined: set[str] = Factory(set)
    unread: dict[str, str] = Factory(dict)
    compared: dict[str, ComparedGateway] = Factory(dict)
    payments: int = 0
    intents: int = 0
    refunds: int = 0
    disputes: int = 0
    foreign: int = 0

    async def run(self) -> None:
        """Compare each gateway's lists with our books, then our books with the objects in those lists.

        A gateway whose lists can't be read becomes a finding and its payments are skipped; the others are compared.
        """
        whole = self.deps
        for each in whole.each_gateway():
            self.deps = each
            await self._compare_one(each.gateway.name)
        self.deps = whole
        if set(self.unread) != set(whole.gateway_names):
            await self._compare_ours()

    async def _compare_one(self, name: str) -> None:
        """Compare the lists of the gateway ``name``, unless its events could not be read already."""
        intents, refunds, disputes, foreign = self.intents, self.refunds, self.disputes, self.foreign
        if name not in self.unread:
            try:
                await self._compare_gateway()
            except (GatewayError, WebhookRefused) as error:
                self.leave_unread(name, error)
        self.compared[name] = ComparedGateway(
            name=name,
            intents=self.intents - intents,
            refunds=self.refunds - refunds,
            disputes=self.disputes - disputes,
            foreign=self.foreign - foreign,
            error=self.unread.get(name),
        )

    def leave_unread(self, name: str, error: GatewayError | WebhookRefused) -> None:
        """Record that events or lists of the gateway ``name`` can't be read, as a finding for an operator."""
        self.unread[name] = error.code
        text = f"the gateway {name} can't be read ({error.code}); reconcile again later"
        self.findings.leave_for(name, "not_compared", text)

    async def _compare_gateway(self) -> None:
        name = self.deps.gateway.name
        doing = "comparing with the gateway" if len(self.deps.gateway_names) == 1 else f"comparing with {name}"
        spans = list(windows(self.since - CLOCKS_APART, self.deps.clock.now(), WINDOW))
        for done, (begin, end) in enumerate(spans, start=1):
            await self._compare_lists(begin, end)
            self.progress(doing, done, len(spans))

    def result(self, until: datetime, events: int) -> Reconciliation:
        return Reconciliation(
            since=self.since,
            until=until,
            payments=self.payments,
            intents=self.intents,
            refunds=self.refunds,
            disputes=self.disputes,
            foreign=self.foreign,
            events=events,
            healed=tuple(self.findings.healed),
            left=tuple(self.findings.left),
            waiting=tuple(self.findings.waiting),
            gateways=tuple(self.compared.values()),
        )

    # --- the gateway's side

    async def _compare_lists(self, begin: datetime, end: datetime | None) -> None:
        gateway = self.deps.gateway
        intents = await with_retries(self.deps, lambda: gateway.list_intents(begin, end))
        for some in batches(intents, AT_ONCE):
            await self._compare_intents(some)
        refunds = await with_retries(self.deps, lambda: gateway.list_refunds_made(begin, end))
        for made in batches(refunds, AT_ONCE):
            await self._compare_parts(made, of_refund)
        disputes = await with_retries(self.deps, lambda: gateway.list_disputes_opened(begin, end))
        for opened in batches(disputes, AT_ONCE):
            await self._compare_parts(opened, of_dispute)
        self.intents += len(intents)
        self.refunds += len(refunds)
        self.disputes += len(disputes)

    async def _compare_intents(self, intents: Sequence[IntentReport | Unreadable]) -> None:
        known = await self._of_intents(intent.id for intent in intents)
        for intent in intents:
            self.seen.add(intent.id)
            payment = known.get(intent.id)
            if isinstance(intent, Unreadable):
                ours = await self._leave_unreadable(intent, payment)
                self.foreign += 0 if ours else 1
            elif payment is None:
                await self._compare_unknown(intent)
            elif any(of_intent(payment, intent)):
                await self._examine(payment.id)

    async def _compare_parts(
        self, reports: Sequence[Part | Unreadable], differing: Callable[[Payment, Part], Iterator[Difference]]
    ) -> None:
        """Compare refunds or disputes with our books.

        Those of an intent that no payment has are skipped here: ``_compare_unknown`` reads them with the intent.
        """
        known = await self._of_intents(report.intent_id for report in reports)
        for report in reports:
            self.seen.add(report.id)
            payment = known.get(report.intent_id or "")
            if isinstance(report, Unreadable):
                await self._leave_unreadable(report, payment)
            elif payment is not None and any(differing(payment, report)):
                await self._examine(payment.id)

    async def _of_intents(self, intent_ids: Iterable[str | None]) -> Mapping[str, Payment]:
        """Return the payments of these intents of ``deps.gateway``, by intent id."""
        ids, name = {each for each in intent_ids if each}, self.deps.gateway.name
        found = await self.deps.storage.read(lambda uow: uow.payment_reader.of_intents(ids))
        return {intent_id: payment for intent_id, payment in found.items() if payment.gateway == name}

    async def _compare_unknown(self, intent: IntentReport) -> None:
        """Handle an intent that no payment in our books has.

        Either the response of the call that made it was lost, or our books have lost its payment or given it another
        intent, or another user of the gateway account made it.
        """
        if not self._is_ours(intent):
            self.foreign += 1
            return
        payment = await self._named_by(intent)
        if payment is not None and payment.intent_id in (None, intent.id):
            await self._examine(payment.id, intent.id)
        else:
            await self._judge_stray(intent, payment)

    async def _adopt(self, intent: IntentReport) -> str | None:
        """Adopt a charge that our books have lost. Returns None, or a text with the reason why it is not adopted.

        The payment is read from the gateway afterwards, since events about it were ignored until now.
        """
        adoption = await adopt(self.deps, intent.id)
        if adoption.payment is None:
            return adoption.not_adopted
        if adoption.made_here:
            self.findings.add_adopted(adoption.payment)
        await self._examine(adoption.payment.id)
        return None

    def _is_ours(self, made: IntentReport | Unreadable) -> bool:
        """Whether this installation made the object.

        Its metadata name a payment or booking, and no other installation. An object whose metadata name no installation
        counts as ours, since it may be from before this installation had an id.
        """
        own = self.deps.config.installation_id
        by_us = own is None or made.metadata.get(metadata_keys.INSTALLATION_ID, own) == own
        return by_us and (metadata_keys.PAYMENT_ID in made.metadata or metadata_keys.BOOKING_ID in made.metadata)

    async def _named_by(self, report: IntentReport | Unreadable) -> Payment | None:
        """Return the payment of this gateway that the metadata name; None when our books do not have it."""
        named = report.metadata.get(metadata_keys.PAYMENT_ID, "")
        payment = await self.deps.storage.read(lambda uow: uow.payments.get(named))
        return payment if payment is not None and payment.gateway == self.deps.gateway.name else None

    async def _leave_unreadable(self, report: Unreadable, payment: Payment | None) -> bool:
        """Record an object that can't be read as a finding if this installation made it; returns whether it did.

        ``payment`` is the payment to whose intent the object belongs, if our books have it.
        """
        payment = payment or await self._named_by(report)
        if payment is None and not self._is_ours(report):
            return False
        self._leave_stray("unreadable", f"it can't be read ({report.problem}); look at it there", report, payment)
        return True

    async def _judge_stray(self, intent: IntentReport, payment: Payment | None) -> None:
        try:
            await self._judge_readable_stray(intent, payment)
        except GatewayError as error:
            text = f"the refunds of an intent can't be read ({error.code}); reconcile again later"
            self._leave_stray("not_read", text, intent, payment)
        except Exception as error:  # an error in one charge must not stop the comparison of the others
            self._leave_stray("broke", f"{type(error).__name__}: {safe_text(error)}", intent, payment)

    async def _judge_readable_stray(self, intent: IntentReport, payment: Payment | None) -> None:
        whose = "for a payment that has another intent" if payment else "for a payment that our books don't have"
        held = await self._held_by(intent)
        if held is not None:
            reason = await self._adopt(intent) if payment is None else ""
            if reason is not None:
                code = "second_charge" if payment else "unknown_charge"
                because = f" ({reason})" if reason else ""
                text = f"{held} {whose}{because}; find out for what before anything is given back"
                self._leave_stray(code, text, intent, payment)
        elif intent.status is None or intent.status.is_open:
            code = "second_intent" if payment else "unknown_intent"
            self._leave_stray(code, f"an intent {whose} may still be charged; cancel it there", intent, payment)

    async def _held_by(self, intent: IntentReport) -> str | None:
        """Return a text that says how much of the customer's money an intent has charged, holds or is charging.

        None when there is no such money, or when it has been refunded or is being refunded in full.
        """
        if intent.status is PaymentStatus.PROCESSING:
            return f"{intent.amount} is being charged"
        if intent.amount_capturable.minor:
            return f"{intent.amount_capturable} is held"
        if not intent.amount_received.minor:
            return None
        refunds = await with_retries(self.deps, lambda: self.deps.gateway.list_refunds(intent.id))
        back = sum(refund.amount.minor for refund in refunds if refund.status and not refund.status.is_lost)
        return f"{intent.amount_received} is charged" if back < intent.amount_received.minor else None

    def _leave_stray(self, code: str, text: str, intent: IntentReport | Unreadable, payment: Payment | None) -> None:
        said = intent.metadata.get
        finding = Finding(
            code=code,
            text=text,
            payment_id=payment.id if payment else said(metadata_keys.PAYMENT_ID),
            booking_id=payment.booking_id if payment else said(metadata_keys.BOOKING_ID),
            reference=payment.booking_reference if payment else said(metadata_keys.BOOKING_REFERENCE),
            gateway_id=intent.id,
            gateway=self.deps.gateway.name,
        )
        self.findings.left.append(finding)

    # --- our side

    async def _compare_ours(self) -> None:
        total = await self.deps.storage.read(lambda uow: uow.payment_reader.count(self.since))
        async for payment in payments_since(self.deps, self.since):
            self.payments += 1
            if payment.gateway not in self.unread and await self._is_suspect(payment):
                await self._examine(payment.id)
            self.progress("comparing our books", self.payments, max(total, self.payments))

    async def _is_suspect(self, payment: Payment) -> bool:
        """Whether an object is missing from the gateway's lists, or a promised refund is still owed."""
        return not self._was_shown(payment) or bool(payment.owed.amount)

    def _was_shown(self, payment: Payment) -> bool:
        if payment.intent_id is None:
            return True  # if an intent had been made for it, the lists would show it, with the payment in its metadata
        recent = payment.created_at >= self.since
        if payment.intent_id not in self.seen and (recent or not payment.is_final):
            return False
        return self.seen.issuperset(self._parts_to_see(payment))

    def _parts_to_see(self, payment: Payment) -> Iterator[str | None]:
        """Yield the gateway's ids of recent and open refunds and disputes; None for a refund without such an id yet."""
        for refund in payment.refunds:
            if refund.status.is_pending or (refund.created_at >= self.since and not refund.status.is_lost):
                yield refund.gateway_refund_id
        for dispute in payment.disputes:
            if dispute.status.is_open or dispute.opened_at >= self.since:
                yield dispute.id

    # --- one payment

    async def _examine(self, payment_id: str, intent_id: str | None = None) -> None:
        """Read the payment from the gateway, apply the observation, and list the differences that remain."""
        before = await payment_of(self.deps, payment_id)
        if payment_id in self.examined or before.operation is not None:
            return  # an operation that began after settling reads the payment itself
        self.examined.add(payment_id)
        observation: Observation | None = None
        try:
            observation = await self._read_and_book(payment_id, intent_id)
        except ObjectNotFound:
            text = f"the gateway {before.gateway} does not know the intent of this payment ({before.status.value})"
            self.findings.leave("not_at_gateway", text, before, before.intent_id)
        except GatewayError as error:
            text = f"the gateway {before.gateway} can't be read ({error.code}); reconcile again later"
            self.findings.leave("not_read", text, before, before.intent_id)
        except Exception as error:  # an error in one payment must not stop the whole comparison
            self.findings.leave("broke", f"{type(error).__name__}: {safe_text(error)}", before, before.intent_id)
        await self.findings.add_healed(before, "healed", "our books lagged behind the gateway's")
        if observation is not None:
            await self._leave_differences(payment_id, observation)

    async def _read_and_book(self, payment_id: str, intent_id: str | None) -> Observation:
        """Read the payment from the gateway, apply the observation, run the operation that follows from it, if any.

        Returns the last observation.

        Raises:
            GatewayError: When the gateway can't be read.
            StorageConflict: When the payment changed during each of ``MAX_READS`` reads.
        """
        observation = await self._until_booked(await payment_of(self.deps, payment_id), intent_id)
        if (await payment_of(self.deps, payment_id)).operation is None:
            return observation
        await go_on(self.deps, payment_id)
        return await self._until_booked(await payment_of(self.deps, payment_id), intent_id)

    async def _until_booked(self, payment: Payment, intent_id: str | None) -> Observation:
        for _ in range(MAX_READS):
            observation = await fetch_observation(self.deps, payment, intent_id)
            moved_on = await _book(self.deps, payment, observation)
            if moved_on is None:
                return observation
            payment = moved_on
        raise StorageConflict("the payment kept changing while it was read")

    async def _leave_differences(self, payment_id: str, observation: Observation) -> None:
        payment = await payment_of(self.deps, payment_id)
        if payment.operation is not None:
            leave_in_flight(self.findings, payment)
            return
        for each in (*_differences(payment, observation), *refund_owed(payment)):
            self.findings.leave(each.code, each.text, payment, each.gateway_id)
        for each in refund_waiting(payment):
            self.findings.wait(each.code, each.text, payment, each.gateway_id)


def _differences(payment: Payment, observation: Observation) -> Iterator[Difference]:
    if observation.intent is not None:
        yield from all_differences(payment, observation.intent, observation.refunds, observation.disputes)


async def _book(deps: Dependencies, seen: Payment, observation: Observation) -> Payment | None:
    """Apply the observation to the payment, and return None.

    Returns the current payment instead, and changes nothing, when it is no longer as ``seen``.
    """

    async def work(uow: UnitOfWork) -> Payment | None:
        booking, payment = await load(uow, seen.id)
        if payment.version != seen.version:
            return payment
        recorder = Recorder(deps, uow, booking, payment, CALLER)
        # While a call is in flight, an intent that is not final is not applied: the call's response is newer.
        left = payment.operation is not None and observation.intent_may_be_stale
        await apply_observation(uow, recorder, evolve(observation, intent=None) if left else observation)
        recorder.follow_up()
        if recorder.payment.version != payment.version:
            await recorder.save()
        return None

    return await deps.storage.transact(work)
