"""What every use case works with: the ports and the payment configuration, handed in once."""

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
"""No single request to a gateway takes longer."""


DELIVERED_AGAIN: Final = RetryPolicy(max_tries=18, first_delay=timedelta(seconds=5), max_delay=timedelta(hours=12))
"""Seconds, minutes, hours; about two days in all, so that a weekend's outage ends before a message is given up."""

Step = Callable[[], Awaitable[None]]


async def run_sequentially(steps: Sequence[Step]) -> None:
    """Do ``steps`` in turn."""
    for step in steps:
        await step()


@frozen(kw_only=True)
class DeliveryConfig:
    """How messages are delivered.

    ``retry`` says when one that is not taken is tried again, and when it is given up. ``lease`` is how long a
    booking's messages belong to whoever delivers them; half of it is for beginning, the rest for the last try to end.
    With ``skip_dead`` a booking's messages go on behind one that was given up; otherwise they wait for it.
    """

    retry: RetryPolicy = DELIVERED_AGAIN
    lease: timedelta = timedelta(seconds=60)
    skip_dead: bool = False


@frozen(kw_only=True)
class PaymentConfig:
    """The operator's configuration of payments, of which a payment keeps its terms as they were when it was started.

    ``lease`` is how long an operation in flight belongs to whoever began it; it outlasts the longest call, retries
    included. ``installation_id``: what tells our objects at the gateway from those of others on the same account; None:
    all that bear ids like ours are ours. ``receipt_emails``: whether the gateway may mail receipts.
    ``booking_metadata``: whether the metadata of bookings go to the gateway.
    ``capture_by_customer``: whether customers may choose the capture method of their payments.
    ``customer_refunds``: which refunds customers may ask for, where their booking does not say.
    ``full_refund_cancels``: whether a booking is canceled when its customer, or somebody in the gateway's dashboard,
    has everything sent back.
    ``max_unpaid_bookings`` is how many holds one customer may keep; 0: any number. ``expiring_notice`` is how long
    before a hold ends the booking app is told (``booking.expiring``); 0: never. ``time_zone`` is where the days of
    reports begin and end.
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
        """How long one call to the gateway is tried again, so that its last try still ends within the lease."""
        return max(self.lease - LONGEST_TRY, self.lease / 2)


@define
class RefusedDeliveries:
    """Deliveries refused for their signature that are still to be written down, in this process.

    ``BURST`` of them are written one by one, as one more is every second; those in between are written with the next.
    """

    BURST: ClassVar = 60
    waiting: int = 0
    left: float = float(BURST)
    seen: datetime | None = None

    def count(self, now: datetime) -> int:
        """One more at ``now``. How many are to be written down now; 0 where they wait."""
        self.waiting += 1
        since = (now - self.seen).total_seconds() if self.seen else 0.0
        self.left, self.seen = min(float(self.BURST), self.left + max(since, 0.0)), now
        if self.left < 1:
            return 0
        self.left -= 1
        deliveries, self.waiting = self.waiting, 0
        return deliveries


@define
class Attached:
    """What this process has found out and said of its channels: whether they are recorded, and when it last said of
    each that it is alive."""

    EVERY: ClassVar = timedelta(seconds=15)
    is_done: bool = False
    said_at: dict[str, datetime] = field(factory=dict)

    def unsaid(self, names: Iterable[str], now: datetime) -> list[str]:
        """Those of ``names`` of which it is time to say it again."""
        return [name for name in names if name not in self.said_at or now - self.said_at[name] >= self.EVERY]

    def said(self, names: Iterable[str], now: datetime) -> None:
        """It was said of these."""
        self.said_at.update(dict.fromkeys(names, now))


@frozen(kw_only=True)
class Dependencies:
    """The ports, and the terms.

    ``channels`` are the ways by which this process delivers messages, by the names of the channels; none where it
    leaves messages alone. ``in_worker``: this process is a background worker. ``reader`` is the name under which the
    app reads messages itself. ``gather`` does steps that have nothing to do with one
    another, at the same time where it can. ``webhook_names`` are the names under which webhooks of ``gateway`` are
    taken, by default its own; none where it sends no webhooks.

    ``gateway`` is the default one, or the one that these were narrowed to (``of``, ``at``). ``others`` are the other
    gateways of this installation, by name; ``default_gateway`` is the name of the default one (None: it is
    ``gateway``). ``recorded`` and ``settle_refund`` are as ``ConnectedGateway`` says.
    """

    storage: Storage
    gateway: Gateway
    webhooks: WebhookReader
    webhook_names: Sequence[str] = Factory(lambda deps: (deps.gateway.name,), takes_self=True)
    others: Mapping[str, ConnectedGateway] = field(factory=dict)
    default_gateway: str | None = None
    recorded: bool = False
    settle_refund: Callable[[str], Awaitable[GatewayEvent]] | None = None
    clock: Clock
    ids: Ids
    random: Random
    config: PaymentConfig = field(factory=PaymentConfig)
    retry: RetryPolicy = field(factory=RetryPolicy)
    reads: RecentReads = field(factory=RecentReads, eq=False)
    postponed: Postponed = field(factory=Postponed, eq=False)
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
        """These dependencies narrowed to the gateway ``name``. Where there is no such gateway, every call to it raises
        ``Misconfigured``."""
        if name == self.gateway.name:
            return self
        there = self.others.get(name) or missing_gateway(name)
        here = ConnectedGateway(
            gateway=self.gateway,
            webhooks=self.webhooks,
            webhook_names=self.webhook_names,
            recorded=self.recorded,
            settle_refund=self.settle_refund,
        )
        return evolve(
            self,
            gateway=there.gateway,
            webhooks=there.webhooks,
            webhook_names=there.webhook_names,
            recorded=there.recorded,
            settle_refund=there.settle_refund,
            others={**{key: each for key, each in self.others.items() if key != name}, self.gateway.name: here},
            default_gateway=self.default_gateway or self.gateway.name,
        )

    def of(self, payment: Payment) -> "Dependencies":
        """These dependencies narrowed to the gateway of ``payment``."""
        return self.at(payment.gateway)

    def each_gateway(self) -> Iterator["Dependencies"]:
        """These dependencies narrowed to each gateway of this installation in turn, the default one first."""
        return (self.at(name) for name in self.gateway_names)
