"""What may go wrong at a boundary, and who decides that it does."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from random import Random
from typing import Final, NamedTuple, Protocol

from attrs import define, field


class Kind(Enum):
    """What kind of boundary a point is."""

    GATEWAY = "gateway"
    TRANSACTION = "transaction"
    READ = "read"
    STATEMENT = "statement"
    PUBLISH = "publish"


class Fault(Enum):
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


CRASHES: Final = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)

SCRIPTS: Final[Mapping[Fault, str]] = {
    Fault.TIMEOUT_BEFORE: "timeout_before",
    Fault.TIMEOUT_AFTER: "timeout_after",
    Fault.RESET_BEFORE: "reset_before",
    Fault.RESET_AFTER: "reset_after",
    Fault.CONFLICT: "409",
    Fault.RATE_LIMIT: "429_limit",
    Fault.LOCK_TIMEOUT: "429_lock",
    Fault.ERROR_BEFORE: "500_before",
    Fault.ERROR_AFTER: "500_after",
    Fault.ERROR_LATER: "500_later",
    Fault.UNAVAILABLE: "503",
    Fault.SLOW: "slow",
}
"""How the model of Stripe calls the faults of the gateway."""

FAULTS_AT: Final[Mapping[Kind, tuple[Fault, ...]]] = {
    Kind.GATEWAY: (
        *CRASHES,
        *(each for each in SCRIPTS if each is not Fault.ERROR_LATER),
        Fault.ARRIVES_LATE,
        Fault.DECLINE,
    ),
    Kind.TRANSACTION: (
        *CRASHES,
        Fault.STORAGE_CONFLICT,
        Fault.STORAGE_GONE_BEFORE,
        Fault.STORAGE_GONE_AFTER,
    ),
    Kind.READ: (*CRASHES, Fault.STORAGE_CONFLICT, Fault.STORAGE_GONE_BEFORE),
    Kind.STATEMENT: (Fault.CRASH_BEFORE,),
    Kind.PUBLISH: (*CRASHES, Fault.CONSUMER_BEFORE, Fault.CONSUMER_AFTER),
}
"""What can go wrong where. ``ERROR_LATER`` takes a day to be over, so only the scenario of stored errors has it."""


class Point(NamedTuple):
    """One crossing of a boundary: its number in the run, its kind, and a label of the request."""

    number: int
    kind: Kind
    label: str


class Faults(Protocol):
    """Decides what goes wrong."""

    def at(self, point: Point) -> Fault | None:
        """What goes wrong at ``point``, if anything does."""
        ...


class NoFaults:
    """Nothing goes wrong."""

    def at(self, point: Point) -> Fault | None:
        return None


@define
class OneFault:
    """Exactly one thing goes wrong, at the point with this number, and there again at the next ``times`` - 1 crossings
    for the same request: so that it outlasts our retries."""

    number: int
    fault: Fault
    times: int = 1
    _label: str | None = None

    def at(self, point: Point) -> Fault | None:
        if point.number == self.number:
            self._label = point.label
        if self.times and point.label == self._label:
            self.times -= 1
            return self.fault
        return None


@define
class NextCall:
    """The next ``times`` calls to the gateway whose label begins with ``label`` go wrong."""

    fault: Fault
    times: int = 1
    label: str = ""

    def at(self, point: Point) -> Fault | None:
        if point.kind is not Kind.GATEWAY or not self.times or not point.label.startswith(self.label):
            return None
        self.times -= 1
        return self.fault


_OUTAGES: Final = (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.UNAVAILABLE)


class Swarm:
    """Chooses a subset of the fault kinds for each run, each with its own rate: some runs have crashes only, some rate
    limits only, and in some the gateway never responds. ``random`` decides everything. Faults in ``never`` do not
    occur; those in ``stored`` apply to many of the gateway's requests that change something."""

    def __init__(
        self, random: Random, harshness: float, never: Collection[Fault] = (), stored: Collection[Fault] = ()
    ) -> None:
        self._random = random
        self.struck: Counter[Fault] = Counter()
        self._rates = {
            kind: {
                fault: harshness * random.random() ** 2
                for fault in faults
                if random.random() < 0.5 and fault not in never
            }
            for kind, faults in FAULTS_AT.items()
        }
        if harshness and random.random() < 0.03:
            self._rates[Kind.GATEWAY] = {random.choice(_OUTAGES): 1.0}
        self._stored = {fault: 0.4 * random.random() for fault in stored}

    def at(self, point: Point) -> Fault | None:
        if point.kind is Kind.GATEWAY and point.label.startswith("POST"):
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

    faults: Faults
    seen: list[Point] = field(factory=list)
    keep: bool = False

    def at(self, point: Point) -> Fault | None:
        if self.keep:
            self.seen.append(point)
        return self.faults.at(point)

    @contextmanager
    def instead(self, faults: Faults) -> Iterator[None]:
        """For a while other faults than usual."""
        usual, self.faults = self.faults, faults
        yield
        self.faults = usual

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.faults = NoFaults()
