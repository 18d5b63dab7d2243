"""The simulated world: the product's real use cases in processes that may crash, with one gateway and one database.

Every call of a process to the outside crosses a boundary here. Before and after each crossing the scheduler may
continue
another task, the process may crash, and a fault may occur. The database and the gateway survive every process.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from attrs import field, frozen

from booking_payments.adapters.gateways.fake.gateway import ModelTransport
from booking_payments.adapters.gateways.stripe.gateway import StripeGateway, TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.application.dependencies import Dependencies, PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.gateway import GatewayError, NotSent, OutcomeAmbiguous
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.ports.unit_of_work import LockScope, TransactionBody
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import CHANNEL
from tests.simulation.amendment_watch import AmendmentWatch
from tests.simulation.books import Books, Changes, MemoryBackend, SqlBackend
from tests.simulation.faults import SCRIPTS, BoundaryKind, FaultSource, InjectedFault, NoFaults, Point, Switch
from tests.simulation.invariants import GatewaySide, Invariants, OurSide
from tests.simulation.run_log import RunLog
from tests.simulation.scheduler import PAUSE, Pause, Time

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET: Final = "whsec_simulation"
SLOWEST: Final = timedelta(seconds=20)
"""An answer takes at most as long as a request may."""

T = TypeVar("T")


class ProcessDied(BaseException):
    """The process has crashed, and its work is lost. No ``except Exception`` catches this."""


class StorageGone(Exception):  # noqa: N818 - named like the faults of the ports
    """The connection to the database broke; only the database knows whether it had committed."""


@frozen(kw_only=True)
class Setup:
    """What a world is made with. ``skews`` has one entry per process: how far the clock of its machine is ahead.

    ``shared_clock``: the processes tell the time as those on one PostgreSQL do. Where they don't, and clocks are moved
    by more than a lease is long, leases do not keep two processes from one operation (``leases_hold`` False): then it
    is up to the keys that nothing is done twice.

    ``amends``: bookings are amended, and a broken connection raises the errors of the storage port.
    """

    seed: int | str = 1
    faults: FaultSource = field(factory=NoFaults)
    terms: PaymentConfig = field(factory=lambda: PaymentConfig(capture_by_customer=True))
    sql: bool = False
    skews: tuple[timedelta, ...] = (timedelta(0), timedelta(0))
    longest_key_age: timedelta = timedelta(hours=23)
    shared_clock: bool = False
    leases_hold: bool = True
    banks_obey: bool = True
    refused_in_action: tuple[str, ...] = ()
    amends: bool = False


@frozen
class InTransit:
    """A request on its way, and when it arrives."""

    at: datetime
    method: str
    path: str
    params: Params
    key: str | None


class SimulatedWorld:
    """One gateway, one database, and the processes of the service at this moment."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.time = Time(NOW)
        self.log = RunLog()
        self.faults = Switch(setup.faults)
        self.invariants = Invariants(setup.longest_key_age, setup.banks_obey)
        self.theirs = GatewaySide(self.invariants)
        self.ours = OurSide(self.invariants, alone=setup.leases_hold)
        self.stripe = FakeStripe(
            lambda: self.time.now,
            self.chance("stripe"),
            store=self.theirs,
            refused_in_action=setup.refused_in_action,
        )
        self.watch = AmendmentWatch(self.ours, self.theirs) if setup.amends else None
        if self.watch is not None:
            self.theirs.on_intent = self.watch.taken
        self.books: Books = SqlBackend(self._statement) if setup.sql else MemoryBackend()
        self.published: list[Message] = []
        self.booking_ids: list[str] = []
        self.amounts_asked: set[int] = set()
        self.points = 0
        self.crashes = 0
        self.jumped_back = timedelta(0)
        self.declined_keys: set[str] = set()
        self.keys_sent: set[str] = set()
        self.in_transit: list[InTransit] = []
        self._delays = self.chance("delays")
        self.sending: dict[str | None, ServiceProcess] = {}
        self.ids = RandomIds(self.chance("ids"))
        self._at_work: ServiceProcess | None = None
        self.processes = [ServiceProcess(self, f"process {n}", skew) for n, skew in enumerate(setup.skews, start=1)]

    def chance(self, what: str) -> Random:
        """Random numbers for one purpose, so that changes elsewhere don't change them."""
        return Random(f"{self.setup.seed}:{what}")

    def tell(self, who: str, what: str) -> None:
        """Add an entry to the log."""
        self.log.tell(self.time.now, who, what)

    def crash(self, process: "ServiceProcess") -> None:
        """The process dies, and another one takes its place."""
        self.tell(process.name, "dies")
        process.alive = False
        self.crashes += 1
        place = self.processes.index(process)
        self.processes[place] = ServiceProcess(self, f"{process.name}'", process.skew)

    def jump_back(self, by: timedelta) -> None:
        """Our clocks are set back; the gateway's is not."""
        self.tell("world", f"our clocks jump back by {by}")
        self.jumped_back = by

    def signed(self, body: bytes) -> dict[str, str]:
        """The headers of a delivery made now."""
        return {"Stripe-Signature": sign(body, SECRET, self.time.now)}

    # --- requests that are long under way

    def late(self) -> datetime:
        """Some moment soon, but not now."""
        return self.time.now + self._delays.random() * SLOWEST

    def completes_after(self) -> timedelta:
        """How long after a 500 the gateway completes the request: minutes, hours, or most of a day."""
        longest = self._delays.choice((timedelta(minutes=20), timedelta(hours=3), timedelta(hours=23, minutes=50)))
        return self._delays.random() * longest

    def send_later(self, request: "InTransit") -> None:
        """Deliver the request when its caller no longer waits for the response."""
        self.in_transit.append(request)

    def arrive(self) -> None:
        """Deliver the requests in transit that are due."""
        if not self.in_transit:
            return
        for request in [each for each in self.in_transit if each.at <= self.time.now]:
            self.in_transit.remove(request)
            answer = self.stripe.call(request.method, request.path, request.params, request.key)
            self.tell("gateway", f"gets {request.method} {request.path} late: {answer.status}")

    # --- crossing a boundary

    def point(self, kind: BoundaryKind, label: str) -> InjectedFault | None:
        """Count one crossing; what goes wrong there."""
        self.points += 1
        return self.faults.at(Point(self.points, kind, label))

    def at_work(self, process: "ServiceProcess") -> None:
        """``process`` is the one whose transaction runs."""
        self._at_work = process

    def _statement(self, label: str) -> None:
        if self._at_work is not None and self.point(BoundaryKind.STATEMENT, label) is InjectedFault.CRASH_BEFORE:
            self.crash(self._at_work)
            raise ProcessDied


class ServiceProcess:
    """One running copy of the service, with everything that it keeps in memory."""

    def __init__(self, world: SimulatedWorld, name: str, skew: timedelta) -> None:
        self.world = world
        self.name = name
        self.skew = skew
        self.alive = True
        self.clock = clock = ProcessClock(self)
        self.payments = BookingPayments(
            Dependencies(
                storage=StorageBoundary(self),
                gateway=StripeGateway(TransportBoundary(self, clock), livemode=False, name="fake"),
                webhooks=StripeWebhooks([SECRET]),
                channels={CHANNEL: PublisherBoundary(self)},
                clock=clock,
                ids=world.ids,
                random=world.chance(f"jitter of {name}"),
                config=world.setup.terms,
            )
        )

    async def cross(self, kind: BoundaryKind, label: str, act: Callable[[InjectedFault | None], Awaitable[T]]) -> T:
        """Do something outside this process."""
        await self.pause()
        fault = self.world.point(kind, label)
        self.world.tell(self.name, f"{label}{f'  -- {fault.value}' if fault else ''}")
        if fault is InjectedFault.CRASH_BEFORE:
            self._die()
        try:
            result = await act(fault)
        except Exception:
            await self._after(fault)
            raise
        await self._after(fault)
        return result

    async def _after(self, fault: InjectedFault | None) -> None:
        if fault is InjectedFault.CRASH_AFTER:
            self._die()
        await self.pause()

    async def pause(self) -> None:
        """Let others go on; the end of everything here, if this process has died meanwhile."""
        await PAUSE
        if not self.alive:
            raise ProcessDied

    def _die(self) -> None:
        self.world.crash(self)
        raise ProcessDied


class ProcessClock:
    """The clock of one process: its machine's, or the one that all on the same database share."""

    def __init__(self, process: ServiceProcess) -> None:
        self._process = process
        self._shared = DatabaseClock(self._wall, self._elapsed) if process.world.setup.shared_clock else None

    def now(self) -> datetime:
        return self._shared.now() if self._shared else self._wall()

    def tell(self) -> None:
        """The database, which is being talked to, says what time it is to a process that wants to hear it."""
        if self._shared is not None and self._shared.wants_to_hear:
            self._shared.heard(self._process.world.time.now)

    def _wall(self) -> datetime:
        world = self._process.world
        return world.time.now + self._process.skew - world.jumped_back

    def _elapsed(self) -> float:
        return (self._process.world.time.now - NOW).total_seconds()

    async def sleep(self, duration: timedelta) -> None:
        await Pause(self._process.world.time.now + duration)
        if not self._process.alive:
            raise ProcessDied


class TransportBoundary:
    """Requests to the gateway."""

    def __init__(self, process: ServiceProcess, clock: ProcessClock) -> None:
        self._process = process
        self._world = process.world
        self._model = ModelTransport(process.world.stripe, clock)

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        label = f"{method} {path}" + (f" {idempotency_key}" if idempotency_key else "")
        return await self._process.cross(
            BoundaryKind.GATEWAY, label, lambda fault: self._call(fault, method, path, params, idempotency_key)
        )

    async def _call(
        self, fault: InjectedFault | None, method: str, path: str, params: Params, key: str | None
    ) -> TransportResponse:
        self._script(fault, f"{method} {path}")
        self._enter(key)
        params = self._seen(fault, params, key)
        self._check_charge(method, path, params, key)
        try:
            if fault is InjectedFault.ARRIVES_LATE:
                self._world.send_later(InTransit(self._world.late(), method, path, params, key))
                raise OutcomeAmbiguous("timeout", code="timeout")
            self._world.stripe.tick()  # separate from requests of the service, so that late effects can be told apart
            reply = await self._model.call(method, path, params, key)
        except (OutcomeAmbiguous, NotSent) as error:
            self._world.tell("gateway", f"does not say: {error.code}")
            # A stored error that is repeated makes nothing unknown: nothing was done by this sending.
            if isinstance(error, OutcomeAmbiguous) and not (error.stored and key in self._world.ours.walks.stored):
                self._world.ours.silent(key)
            if isinstance(error, OutcomeAmbiguous) and error.stored and key is not None:
                self._world.ours.walks.stored.setdefault(key, self._world.time.now)
            raise
        except GatewayError as error:
            self._definite(path, key, f"refuses: {error.code}")
            raise
        finally:
            self._world.sending.pop(key, None)
            self._check_age()
        self._definite(path, key, _said(reply), replayed=reply.replayed)
        self._world.ours.walks.page(self._process.name, path, params, reply.body, self._world.time.now)
        return reply

    def _enter(self, key: str | None) -> None:
        """Two processes never act on one operation at once: that is what leases are for."""
        sending = self._world.sending
        if key is not None and self._world.setup.leases_hold:
            other = sending.get(key)
            self._world.invariants.require(other is None or not other.alive, f"{key} is sent twice at once")
            sending[key] = self._process

    def _script(self, fault: InjectedFault | None, target: str) -> None:
        if fault is not None and fault in SCRIPTS:
            later = fault is InjectedFault.ERROR_LATER
            delay = self._world.completes_after() if later else self._world.late() - self._world.time.now
            self._world.stripe.faults.script(target, SCRIPTS[fault], delay=delay)

    def _seen(self, fault: InjectedFault | None, params: Params, key: str | None) -> Params:
        """What the gateway sees: the bank has no love for a card whose charge is to be declined."""
        world = self._world
        first = key is not None and key not in world.keys_sent
        if first and fault is InjectedFault.DECLINE and params.get("payment_method"):
            world.declined_keys.add(str(key))
        world.keys_sent.add(str(key))
        if key in world.declined_keys:
            return {**params, "payment_method": "pm_card_chargeDeclined"}
        return params

    def _definite(self, path: str, key: str | None, said: str, *, replayed: bool = False) -> None:
        self._world.tell("gateway", said)
        self._world.ours.answered(path, key, replayed=replayed)

    def _check_charge(self, method: str, path: str, params: Params, key: str | None) -> None:
        """A charge is sent only while the booking is not closed; again with the same key also when it is paid by it.

        An intent that has succeeded is not charged by another confirmation, which the gateway refuses. Nor is a payment
        that is known to have succeeded while its operation is in flight, whose key gives the stored response.
        """
        confirms = path.endswith("/confirm")
        if not self._world.setup.leases_hold or method != "POST" or not (confirms or params.get("confirm")):
            return
        intent = self._world.theirs.records["payment_intent"][path.split("/")[3]] if confirms else params
        booking_id = intent["metadata"]["booking_id"]
        status = self._world.ours.bookings.get(booking_id, BookingStatus.PENDING)
        open_ = status not in (BookingStatus.CANCELED, BookingStatus.EXPIRED) or intent.get("status") == "succeeded"
        open_ = open_ or any(
            payment.operation is not None
            and payment.operation.idempotency_key == key
            and payment.status is PaymentStatus.SUCCEEDED
            for payment in self._world.ours.payments.values()
        )
        self._world.invariants.require(open_, f"{booking_id} is {status.value}, and a charge is sent for it")

    def _check_age(self) -> None:
        call = self._world.stripe.calls[-1] if self._world.stripe.calls else None
        if call is not None and call.key_age is not None:
            invariants = self._world.invariants
            young = call.key_age < invariants.longest_key_age
            invariants.require(young, f"key {call.key} was sent again after {call.key_age}")


def _said(reply: TransportResponse) -> str:
    body: dict[str, Any] = reply.body
    again = ", again" if reply.replayed else ""
    if "data" in body:
        return f"lists {len(body['data'])} of {body.get('url')}"
    return f"{body['id']} is {body.get('status')}{again}"


class StorageBoundary:
    """Transactions. Each runs in one piece, as if alone: what the databases guarantee."""

    def __init__(self, process: ServiceProcess) -> None:
        self._process = process
        self._world = process.world

    async def transact(self, work: TransactionBody[T], about: LockScope | None = None) -> T:
        return await self._process.cross(
            BoundaryKind.TRANSACTION, f"writes {_name(work)}", partial(self._transact, work)
        )

    async def read(self, work: TransactionBody[T]) -> T:
        return await self._process.cross(BoundaryKind.READ, f"reads {_name(work)}", partial(self._read, work))

    async def _transact(self, work: TransactionBody[T], fault: InjectedFault | None) -> T:
        self._break(fault)
        changes = Changes()
        self._world.at_work(self._process)
        self._process.clock.tell()
        result = await self._world.books.transact(work, changes)
        self._committed(changes)
        if fault is InjectedFault.STORAGE_GONE_AFTER:
            raise CommitLost if self._world.setup.amends else StorageGone
        return result

    def _committed(self, changes: Changes) -> None:
        for appended in changes.appended:
            events = ", ".join(type(recorded.event).__name__ for recorded in appended.recorded)
            self._world.tell("books", f"{appended.payment.id} {appended.payment.status.value}: {events}")
        for booking in changes.bookings:
            self._world.tell("books", f"{booking.id} {booking.status.value}")
        self._world.ours.committed(changes)
        if self._world.watch is not None:
            self._world.watch.committed(changes)

    async def _read(self, work: TransactionBody[T], fault: InjectedFault | None) -> T:
        self._break(fault)
        self._world.at_work(self._process)
        self._process.clock.tell()
        return await self._world.books.read(work)

    def _break(self, fault: InjectedFault | None) -> None:
        if fault is InjectedFault.STORAGE_CONFLICT:
            raise StorageConflict("the database is too busy; try again")
        if fault is InjectedFault.STORAGE_GONE_BEFORE:
            raise StorageDown if self._world.setup.amends else StorageGone


def _name(work: object) -> str:
    work = getattr(work, "func", work)
    return str(getattr(work, "__qualname__", "work")).replace(".<locals>", "")


class PublisherBoundary:
    """Messages to the booking app."""

    def __init__(self, process: ServiceProcess) -> None:
        self._process = process

    async def publish(self, message: Message) -> None:
        await self._process.cross(BoundaryKind.PUBLISH, f"publishes {message.type}", partial(self._publish, message))

    async def _publish(self, message: Message, fault: InjectedFault | None) -> None:
        if fault is InjectedFault.CONSUMER_BEFORE:
            raise ConnectionError("the consumer refuses")
        self._process.world.published.append(message)
        if fault is InjectedFault.CONSUMER_AFTER:
            raise ConnectionError("the consumer took it and failed")
