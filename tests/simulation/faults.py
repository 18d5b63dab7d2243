"""What may go wrong at a boundary, and who decides that it does."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from random import Random
from typing import Final, NamedTuple, Protocol

from attrs import define, field


class BoundaryKind(Enum):
    """What kind of boundary a point is."""

    GATEWAY = "gateway"
    TRANSACTION = "transaction"
    READ = "read"
    STATEMENT = "statement"
    PUBLISH = "publish"


class InjectedFault(Enum):
    """What goes wrong. The first group takes the process down, the second is the gateway's and the network's, the
    third the database's, the fourth the consumer's of our messages."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"

    TIMEOUT_BEFORE = "timeout, not applied"
    TIMEOUT_AFTER = "timeout, applied"
    RESET_BEFORE = "reset, not applied"
    RESET_AFTER = "reset, applied"
    CONFLICT = "409"
    RATE_LIMIT = "429 limit"
    LOCK_TIMEOUT = "429 lock"
    ERROR_BEFORE = "500, not applied"
    ERROR_AFTER = "500, applied"
    ERROR_LATER = "500, applied later"
    UNAVAILABLE = "503"
    SLOW = "slow"
    ARRIVES_LATE = "timeout, applied later"
    DECLINE = "decline"

    STORAGE_CONFLICT = "storage conflict"
    STORAGE_GONE_BEFORE = "storage gone, not committed"
    STORAGE_GONE_AFTER = "storage gone, committed"

    CONSUMER_BEFORE = "consumer refuses"
    CONSUMER_AFTER = "consumer takes it and fails"


CRASHES: Final = (InjectedFault.CRASH_BEFORE, InjectedFault.CRASH_AFTER)

SCRIPTS: Final[Mapping[InjectedFault, str]] = {
    InjectedFault.TIMEOUT_BEFORE: "timeout_before",
    InjectedFault.TIMEOUT_AFTER: "timeout_after",
    InjectedFault.RESET_BEFORE: "reset_before",
    InjectedFault.RESET_AFTER: "reset_after",
    InjectedFault.CONFLICT: "409",
    InjectedFault.RATE_LIMIT: "429_limit",
    InjectedFault.LOCK_TIMEOUT: "429_lock",
    InjectedFault.ERROR_BEFORE: "500_before",
    InjectedFault.ERROR_AFTER: "500_after",
    InjectedFault.ERROR_LATER: "500_later",
    InjectedFault.UNAVAILABLE: "503",
    InjectedFault.SLOW: "slow",
}
"""How the model of Stripe calls the faults of the gateway."""

FAULTS_AT: Final[Mapping[BoundaryKind, tuple[InjectedFault, ...]]] = {
    BoundaryKind.GATEWAY: (
        *CRASHES,
        *(each for each in SCRIPTS if each is not InjectedFault.ERROR_LATER),
        InjectedFault.ARRIVES_LATE,
        InjectedFault.DECLINE,
    ),
    BoundaryKind.TRANSACTION: (
        *CRASHES,
        InjectedFault.STORAGE_CONFLICT,
        InjectedFault.STORAGE_GONE_BEFORE,
        InjectedFault.STORAGE_GONE_AFTER,
    ),
    BoundaryKind.READ: (*CRASHES, InjectedFault.STORAGE_CONFLICT, InjectedFault.STORAGE_GONE_BEFORE),
    BoundaryKind.STATEMENT: (InjectedFault.CRASH_BEFORE,),
    BoundaryKind.PUBLISH: (*CRASHES, InjectedFault.CONSUMER_BEFORE, InjectedFault.CONSUMER_AFTER),
}
"""What can go wrong where. ``ERROR_LATER`` takes a day to be over, so only the scenario of stored errors has it."""


class Point(NamedTuple):
    """One crossing of a boundary: its number in the run, its kind, and a label of the request."""

    number: int
    kind: BoundaryKind
    label: str


class FaultSource(Protocol):
    """Decides what goes wrong."""

    def at(self, point: Point) -> InjectedFault | None:
        """What goes wrong at ``point``, if anything does."""
        ...


class NoFaults:
    """Nothing goes wrong."""

    def at(self, point: Point) -> InjectedFault | None:
        return None


@define
class OneFault:
    """Exactly one thing goes wrong, at the point with this number, and there again at the next ``times`` - 1 crossings
    for the same request: so that it outlasts our retries."""

    number: int
    fault: InjectedFault
    times: int = 1
    _label: str | None = None

    def at(self, point: Point) -> InjectedFault | None:
        if point.number == self.number:
            self._label = point.label
        if self.times and point.label == self._label:
            self.times -= 1
            return self.fault
        return None


@define
class NextCall:
    """The next ``times`` calls to the gateway whose label begins with ``label`` go wrong."""

    fault: InjectedFault
    times: int = 1
    label: str = ""

    def at(self, point: Point) -> InjectedFault | None:
        if point.kind is not BoundaryKind.GATEWAY or not self.times or not point.label.startswith(self.label):
            return None
        self.times -= 1
        return self.fault


_OUTAGES: Final = (InjectedFault.TIMEOUT_BEFORE, InjectedFault.TIMEOUT_AFTER, InjectedFault.UNAVAILABLE)


class Swarm:
    """Chooses a subset of the fault kinds for each run, each with its own rate: some runs have crashes only, some rate
    limits only, and in some the gateway never responds. ``random`` decides everything. Faults in ``never`` do not
    occur; those in ``stored`` apply to many of the gateway's requests that change something."""

    def __init__(
        self,
        random: Random,
        harshness: float,
        never: Collection[InjectedFault] = (),
        stored: Collection[InjectedFault] = (),
    ) -> None:
        self._random = random
        self.struck: Counter[InjectedFault] = Counter()
        self._rates = {
            kind: {
                fault: harshness * random.random() ** 2
                for fault in faults
                if random.random() < 0.5 and fault not in never
            }
            for kind, faults in FAULTS_AT.items()
        }
        if harshness and random.random() < 0.03:
            self._rates[BoundaryKind.GATEWAY] = {random.choice(_OUTAGES): 1.0}
        self._stored = {fault: 0.4 * random.random() for fault in stored}

    def at(self, point: Point) -> InjectedFault | None:
        if point.kind is BoundaryKind.GATEWAY and point.label.startswith("POST"):
            for fault, rate in self._stored.items():
                if self._random.random() < rate:
                    self.struck[fault] += 1
                    return fault
        for fault, rate in self._rates[point.kind].items():
            if self._random.random() < rate:
                self.struck[fault] += 1
                return fault
        return None


@define
class Switch:
    """Faults that can be healed: from then on nothing goes wrong any more. ``seen`` are all points crossed."""

    faults: FaultSource
    seen: list[Point] = field(factory=list)
    keep: bool = False

    def at(self, point: Point) -> InjectedFault | None:
        if self.keep:
            self.seen.append(point)
        return self.faults.at(point)

    @contextmanager
    def instead(self, faults: FaultSource) -> Iterator[None]:
        """For a while other faults than usual."""
        usual, self.faults = self.faults, faults
        yield
        self.faults = usual

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.faults = NoFaults()
