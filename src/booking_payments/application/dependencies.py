"""The dependencies of every use case: the ports and the payment configuration."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import ClassVar, Final

from attrs import Factory, define, evolve, field, frozen

from booking_payments.application.gateways import ConnectedGateway, missing_gateway
from booking_payments.application.postponed import Postponed
from booking_payments.application.recent_reads import RecentReads
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import ANY_METHOD, CaptureMethod, MethodChoice
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import CustomerRefunds, RefundPolicy
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.ids import Ids
from booking_payments.ports.publisher import Publisher
from booking_payments.ports.storage import Storage
from booking_payments.ports.webhooks import GatewayEvent, WebhookReader

LONGEST_TRY: Final = timedelta(seconds=20)
"""The longest time that one request to a gateway takes, by the gateways' time-outs."""


DELIVERED_AGAIN: Final = RetryPolicy(max_tries=18, first_delay=timedelta(seconds=5), max_delay=timedelta(hours=12))
"""Tries of a message: after seconds, minutes and hours, for about two days in all, longer than an outage over a
weekend."""

Step = Callable[[], Awaitable[None]]


async def run_sequentially(steps: Sequence[Step]) -> None:
    """Await ``steps`` one after another."""
    for step in steps:
        await step()


@frozen(kw_only=True)
class DeliveryConfig:
    """How messages are delivered.

    Attributes:
        retry: when a failed delivery is tried again, and after how many tries the message becomes a dead letter.
        lease: how long a process may deliver the messages of a booking that it has claimed. Deliveries begin in the
            first half of it; the second half is for the last one to end.
        skip_dead: whether a booking's later messages are delivered after a dead letter; otherwise they wait for it.
    """

    retry: RetryPolicy = DELIVERED_AGAIN
    lease: timedelta = timedelta(seconds=60)
    skip_dead: bool = False


@frozen(kw_only=True)
class PaymentConfig:
    """The operator's configuration of payments. A payment keeps the fees and refund policy with which it was started.

    Attributes:
        fees: the processing fee, and who bears it.
        refunds: the refund policy of bookings that have none.
        max_attempts: how many attempts a payment may have.
        capture_method: whether money is charged at once or held first, if neither booking nor request says.
        capture_by_customer: whether customers may choose the capture method of their payments.
        customer_refunds: which refunds customers may ask for, if their booking does not say.
        full_refund_cancels: whether a booking is canceled when everything was refunded by its customer or in the
            gateway's dashboard.
        return_url: where customers return to after a redirect, if the request does not say.
        methods: the payment methods that are offered.
        statement_descriptor_suffix: text on the customer's statement; None: the account's default.
        receipt_emails: whether the gateway may mail receipts.
        booking_metadata: whether the metadata of bookings are sent to the gateway.
        installation_id: the id in the metadata of our objects at the gateway, which distinguishes them from those of
            other users of the account; None: every object with ids like ours counts as ours.
        max_unpaid_bookings: how many unpaid bookings one customer may have; 0: any number.
        lease: how long an operation in flight belongs to the process that began it; longer than the longest call with
            its retries.
        deliveries: how messages are delivered.
        expiring_notice: how long before the end of a hold the message ``booking.expiring`` is sent; 0: never.
        time_zone: the time zone of the days in reports.
    """

    fees: FeePolicy = FeePolicy()
    refunds: RefundPolicy = RefundPolicy()
    max_attempts: int = 3
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    capture_by_customer: bool = False
    customer_refunds: CustomerRefunds = CustomerRefunds.POLICY
    full_refund_cancels: bool = True
    return_url: str | None = None
    methods: MethodChoice = ANY_METHOD
    statement_descriptor_suffix: str | None = None
    receipt_emails: bool = False
    booking_metadata: bool = False
    installation_id: str | None = None
    max_unpaid_bookings: int = 0
    lease: timedelta = timedelta(seconds=60)
    deliveries: DeliveryConfig = DeliveryConfig()
    expiring_notice: timedelta = timedelta(minutes=10)
    time_zone: tzinfo = UTC

    @property
    def retry_window(self) -> timedelta:
        """How long one call to the gateway is repeated, so that its last try ends within the lease."""
        return max(self.lease - LONGEST_TRY, self.lease / 2)


@define
class RefusedDeliveries:
    """Counts deliveries with a bad signature in this process, and limits how often their number is stored.

    ``BURST`` of them are stored one by one, and after that one per second; those in between are added to the next.

    Attributes:
        waiting: how many of each gateway are counted and not stored yet.
        left: how many may be stored one by one now.
        seen: when the last one was counted.
    """

    BURST: ClassVar = 60
    waiting: Counter[str] = field(factory=Counter)
    left: float = float(BURST)
    seen: datetime | None = None

    def count(self, gateway: str, now: datetime) -> int:
        """Count one more at ``now``; returns how many of ``gateway`` to store now, or 0 to store none yet."""
        self.waiting[gateway] += 1
        since = (now - self.seen).total_seconds() if self.seen else 0.0
        self.left, self.seen = min(float(self.BURST), self.left + max(since, 0.0)), now
        if self.left < 1:
            return 0
        self.left -= 1
        return self.waiting.pop(gateway)


@define
class OpenEvents:
    """Events that were not canceled when this process looked last, so that not every charge has to look again.

    Attributes:
        seen: when it looked, by event id.
    """

    FOR: ClassVar = timedelta(seconds=2)
    MOST: ClassVar = 1_000
    seen: dict[str, datetime] = field(factory=dict)

    def knows(self, event_id: str, now: datetime) -> bool:
        """Return True for ``FOR`` after the event was seen."""
        at = self.seen.get(event_id)
        return at is not None and timedelta(0) <= now - at < self.FOR

    def saw(self, event_id: str, now: datetime) -> None:
        """Remember that the event was not canceled at ``now``; of at most ``MOST`` events."""
        if len(self.seen) >= self.MOST:
            self.seen.clear()
        self.seen[event_id] = now

    def forget(self, event_id: str) -> None:
        """The event is canceled, or may be."""
        self.seen.pop(event_id, None)


@define
class Attached:
    """The state of this process's channels.

    ``is_done``: they were found to be recorded. ``said_at``: when this process last stored that it is alive on each.
    """

    EVERY: ClassVar = timedelta(seconds=15)
    is_done: bool = False
    said_at: dict[str, datetime] = field(factory=dict)

    def unsaid(self, names: Iterable[str], now: datetime) -> list[str]:
        """Return the channels of ``names`` for which it is time to store again that this process is alive."""
        return [name for name in names if name not in self.said_at or now - self.said_at[name] >= self.EVERY]

    def said(self, names: Iterable[str], now: datetime) -> None:
        """Note that it was stored for these channels at ``now``."""
        self.said_at.update(dict.fromkeys(names, now))


@frozen(kw_only=True)
class Dependencies:
    """The ports and the configuration.

    Attributes:
        storage: the storage.
        gateway: the default gateway, or the one to which these dependencies were narrowed (``of``, ``at``).
        webhooks: reads the webhooks of ``gateway``.
        webhook_names: the names under which its webhooks are received, by default its own; empty if it sends none.
        others: the other gateways of this installation, by name.
        default_gateway: the name of the default gateway; None: it is ``gateway``.
        recorded: see ``ConnectedGateway``.
        settle_refund: see ``ConnectedGateway``.
        refunds_by_hand: see ``ConnectedGateway``.
        clock: the time.
        ids: makes ids.
        random: chance for delays.
        config: the configuration of payments.
        retry: when a call to the gateway is repeated.
        reads: limits how often a payment is read from the gateway.
        postponed: bookings that expiry skips for a while.
        open_events: events that were not canceled a moment ago.
        gather: runs independent steps, at the same time if it can.
        channels: the publishers of this process's channels, by name; empty if it delivers no messages.
        reader: the default name under which an app reads messages itself.
        in_worker: whether this process is a background worker.
        attached: the state of this process's channels.
        refused_deliveries: counts deliveries with a bad signature.
    """

    storage: Storage
    gateway: Gateway
    webhooks: WebhookReader
    webhook_names: Sequence[str] = Factory(lambda deps: (deps.gateway.name,), takes_self=True)
    others: Mapping[str, ConnectedGateway] = field(factory=dict)
    default_gateway: str | None = None
    recorded: bool = False
    settle_refund: Callable[[str], Awaitable[GatewayEvent]] | None = None
    refunds_by_hand: bool = False
    clock: Clock
    ids: Ids
    random: Random
    config: PaymentConfig = field(factory=PaymentConfig)
    retry: RetryPolicy = field(factory=RetryPolicy)
    reads: RecentReads = field(factory=RecentReads, eq=False)
    postponed: Postponed = field(factory=Postponed, eq=False)
    open_events: OpenEvents = field(factory=OpenEvents, eq=False)
    gather: Callable[[Sequence[Step]], Awaitable[None]] = run_sequentially
    channels: Mapping[str, Publisher] = field(factory=dict)
    reader: str = "app"
    in_worker: bool = False
    attached: Attached = field(factory=Attached, eq=False, repr=False)
    refused_deliveries: RefusedDeliveries = field(factory=RefusedDeliveries, eq=False, repr=False)

    @property
    def gateway_names(self) -> tuple[str, ...]:
        """The names of all gateways of this installation, the default one first."""
        default = self.default_gateway or self.gateway.name
        return tuple(dict.fromkeys((default, self.gateway.name, *self.others)))

    def at(self, name: str) -> "Dependencies":
        """Return these dependencies narrowed to the gateway ``name``.

        If the settings do not name this gateway, every call to it raises ``Misconfigured``.
        """
        if name == self.gateway.name:
            return self
        there = self.others.get(name) or missing_gateway(name)
        here = ConnectedGateway(
            gateway=self.gateway,
            webhooks=self.webhooks,
            webhook_names=self.webhook_names,
            recorded=self.recorded,
            settle_refund=self.settle_refund,
            refunds_by_hand=self.refunds_by_hand,
        )
        return evolve(
            self,
            gateway=there.gateway,
            webhooks=there.webhooks,
            webhook_names=there.webhook_names,
            recorded=there.recorded,
            settle_refund=there.settle_refund,
            refunds_by_hand=there.refunds_by_hand,
            others={**{key: each for key, each in self.others.items() if key != name}, self.gateway.name: here},
            default_gateway=self.default_gateway or self.gateway.name,
        )

    def of(self, payment: Payment) -> "Dependencies":
        """Return these dependencies narrowed to the gateway of ``payment``."""
        return self.at(payment.gateway)

    def each_gateway(self) -> Iterator["Dependencies"]:
        """Yield these dependencies narrowed to each gateway of this installation, the default one first."""
        return (self.at(name) for name in self.gateway_names)
