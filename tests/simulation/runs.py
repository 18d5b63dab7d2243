"""One run: a world from a seed, a time of faults, and a time in which everything has to come to its end."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Final

import attrs
from attrs import field, frozen

from tests.simulation.actors import (
    ACTIONS,
    ALL,
    METHODS,
    OBLIGATIONS,
    SECOND_METHODS,
    CustomerActor,
    Repairs,
    Resolver,
    RunProfile,
    WebhookCarrier,
    register,
)
from tests.simulation.amending_actors import AMENDMENTS, register_amendable
from tests.simulation.faults import InjectedFault, Swarm
from tests.simulation.invariants import KEPT_AT_LEAST, LONGEST_KEY_AGE, Pair
from tests.simulation.scheduler import Scheduler
from tests.simulation.settling import Settling
from tests.simulation.world import Setup, SimulatedWorld

MAX_STEPS: Final = 20_000

_STEPS: Final = tuple(timedelta(milliseconds=each) for each in range(40))
"""How much time may pass before a step."""


class InvariantBroken(Exception):  # noqa: N818 - it is not a mistake of the simulation
    """Something did not hold, so that this run need not go on."""


@frozen(kw_only=True)
class Scenario:
    """What kind of run: everything but the seed."""

    sql: bool = False
    repairs: Repairs = ALL
    actions: tuple[str, ...] = tuple(ACTIONS)
    methods: tuple[str, ...] = METHODS
    skew: timedelta = timedelta(0)
    jumps_back: bool = False
    faults: bool = True
    never: tuple[InjectedFault, ...] = ()
    stored: tuple[InjectedFault, ...] = ()
    banks_obey: bool = True
    first: str | None = None
    refused_in_action: tuple[str, ...] = ()
    amends: bool = False
    of_event: bool = False
    items: bool = False


_CARDS: Final = tuple(each for each in METHODS if not each.startswith("pm_us"))
_QUIET: Final = tuple(each for each in METHODS if "Dispute" not in each and "refundFail" not in each)
_OURS: Final = ("pay", "confirm", "authenticate", "cancel", "refund", "capture", "cancel booking", "time")

FULL: Final = Scenario()
CLIENT_ONLY: Final = Scenario(
    repairs=Repairs(webhooks=False, resolver=False),
    actions=tuple(each for each in _OURS if each != "authenticate"),
    methods=tuple(each for each in _CARDS if each in _QUIET and "pending" not in each),
    never=(InjectedFault.ARRIVES_LATE,),
)
"""The knowledge of a client that repeats requests: the outcomes of its own requests, and of an authentication."""

WEBHOOKS_ONLY: Final = Scenario(repairs=Repairs(client=False, resolver=False))
RESOLVER_ONLY: Final = Scenario(
    repairs=Repairs(client=False, webhooks=False),
    actions=(*_OURS, "start"),
    methods=_QUIET,
    never=(InjectedFault.ARRIVES_LATE,),
)
"""What our own looking finds out: everything about payments and refunds that are not final yet."""


DISPUTES: Final = Scenario(
    actions=("pay", "dispute", "evidence", "time", "refund in dashboard"),
    methods=("pm_card_visa", "pm_card_createDispute", "pm_card_createDisputeInquiry"),
)
"""Mostly disputes, which else are few."""

OBLIGATED: Final = Scenario(
    actions=(*OBLIGATIONS, "pay", "refund", "cancel booking", "refund in dashboard", "bounce", "time"),
    methods=("pm_card_visa", "pm_card_mastercard", "pm_card_createDisputeInquiry", "pm_card_pendingRefund"),
    banks_obey=False,
)
"""Promises and debts: refunds, cancellations, operators and disputes that change in any order."""

_MINDS: Final = Scenario(
    actions=(*SECOND_METHODS, "confirm", "authenticate", "cancel", "capture", "time"),
    methods=(
        "pm_card_visa",
        "pm_card_mastercard",
        "pm_card_chargeDeclined",
        "pm_card_chargeDeclinedLostCard",
        "pm_card_authenticationRequired",
        "pm_card_threeDSecure2Required",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
    ),
    first="pay own",
    never=(InjectedFault.DECLINE,),  # which charges another method than the one that was named
)
SECOND: Final = _MINDS
"""Customers who change their minds: another method while one waits for its authentication, here and in the browser."""

SECOND_REFUSED: Final = attrs.evolve(_MINDS, refused_in_action=("updated", "confirmed"))
"""The same, with a gateway that refuses another method while the customer is to act."""
_AMENDED: Final = Scenario(
    methods=(
        "pm_card_visa",
        "pm_card_mastercard",
        "pm_card_chargeDeclined",
        "pm_card_authenticationRequired",
        "pm_card_createDispute",
        "pm_card_createDisputeInquiry",
        "pm_card_pendingRefund",
        "pm_card_refundFail",
        "pm_usBankAccount_success",
    ),
    amends=True,
)
_PAYS: Final = ("pay", "start", "confirm", "authenticate", "cancel", "capture", "time")
AMENDED: Final = attrs.evolve(
    _AMENDED, actions=("amend", "hesitate", "pay old page", *_PAYS, "cancel booking", "dispute")
)
"""Operators amend bookings while their customers pay."""

AMENDED_REFUSED: Final = attrs.evolve(AMENDED, refused_in_action=("updated",))
"""The same, with a gateway that does not change the amount of an intent while the customer is to act."""

ITEMS: Final = attrs.evolve(
    _AMENDED, actions=("cancel items", "refund items", *_PAYS, "cancel booking", "dispute", "bounce"), items=True
)
"""Customers and operators give single items back."""

EVENTS: Final = attrs.evolve(
    _AMENDED,
    actions=(
        "hesitate",
        "pay old page",
        *_PAYS,
        "amend",
        "cancel items",
        "refund items",
        "refund",
        "cancel booking",
        "dispute",
        "evidence",
    ),
    of_event=True,
)
"""An organizer cancels and moves the event while its customers pay, have refunds and are disputed."""

STORED: Final = Scenario(
    actions=("pay", "start", "confirm", "cancel", "refund", "capture", "cancel booking", "time"),
    methods=("pm_card_visa", "pm_card_mastercard", "pm_card_chargeDeclined", "pm_card_authenticationRequired"),
    stored=(InjectedFault.ERROR_LATER, InjectedFault.ERROR_BEFORE),
)
"""Mostly 500s that the gateway stores under the key; the request is applied later, within a day, or never."""

STORED_RESOLVER_ONLY: Final = attrs.evolve(
    STORED, repairs=Repairs(client=False, webhooks=False), never=(InjectedFault.ARRIVES_LATE,)
)
"""The same without the webhooks that report late effects."""

SKEWED: Final = Scenario(skew=timedelta(minutes=10))
"""The machine of one process is ten minutes ahead of the gateway, that of the other ten minutes behind."""

JUMPS_BACK: Final = Scenario(jumps_back=True)
"""The clock of one machine is set back by an hour during the run, and corrected later."""

SKEWED_AND_SET_BACK: Final = Scenario(skew=timedelta(minutes=10), jumps_back=True)
"""Both, on several machines."""


@frozen(kw_only=True)
class Result:
    """How a run went. ``broken`` is empty when everything held."""

    seed: int
    broken: tuple[str, ...]
    trace: str
    steps: int
    points: int
    crashes: int
    struck: Counter[InjectedFault]
    pairs: Counter[Pair]
    events: Counter[str]
    log: str = field(repr=False, default="")


def simulate(seed: int, scenario: Scenario = Scenario(), *, log: bool = False) -> Result:
    """Run ``seed``. The same seed and scenario give the same run, step by step."""
    run = Run(seed, scenario)
    run.go()
    world = run.world
    return Result(
        seed=seed,
        broken=tuple(dict.fromkeys(world.invariants.broken)),
        trace=world.log.trace(),
        steps=run.scheduler.steps,
        points=world.points,
        crashes=world.crashes,
        struck=run.swarm.struck,
        pairs=world.invariants.pairs,
        events=world.ours.events + Counter(EventJob=len(world.watch.jobs) if world.watch is not None else 0),
        log=world.log.text() if log or world.invariants.broken else "",
    )


class Run:
    """A world and its actors."""

    def __init__(self, seed: int, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = Random(f"{seed}:run")
        harshness = self.random.choice((0.02, 0.1, 0.3)) if scenario.faults else 0.0
        self.swarm = Swarm(Random(f"{seed}:faults"), harshness, scenario.never, scenario.stored)
        skew = scenario.skew
        own_clock = scenario.jumps_back and not skew
        setup = Setup(
            seed=seed,
            faults=self.swarm,
            sql=scenario.sql,
            skews=(skew, -skew),
            longest_key_age=KEPT_AT_LEAST if own_clock else LONGEST_KEY_AGE,
            shared_clock=bool(skew),
            leases_hold=not own_clock,
            banks_obey=scenario.banks_obey,
            refused_in_action=scenario.refused_in_action,
            amends=scenario.amends,
        )
        self.world = SimulatedWorld(setup)
        profile = RunProfile.of(self.random, scenario.repairs, scenario.actions, scenario.methods)
        self.profile = attrs.evolve(profile, first=scenario.first or profile.first)
        if scenario.amends:
            self.profile = self._amending(self.profile)
        self.crash_rate = self.random.choice((0.0, 0.002, 0.02)) if scenario.faults else 0.0
        self.may_jump_back = scenario.jumps_back
        self.scheduler = Scheduler(self.world.time, Random(f"{seed}:order"), self._before_step)

    # --- the time of faults

    def go(self) -> None:
        """From the beginning to the end, or until something does not hold."""
        try:
            self._faults()
            self._settle()
        except InvariantBroken:
            return
        except Exception as error:  # any error is a finding of the run
            self.world.invariants.require(False, _told(error))
        finally:
            self.scheduler.close()

    def _faults(self) -> None:
        customers = list(self._customers())
        background_actors = list(self._background_actors())
        for actor in (*customers, *background_actors):
            self.scheduler.spawn(actor.name, actor.run())
        names = {customer_actor.name for customer_actor in customers}
        while any(task.name in names for task in self.scheduler.tasks):
            self._step()
        for background in background_actors:
            background.stopped = True
        self.may_jump_back = False
        self.world.faults.heal()
        self.world.jumped_back = timedelta(0)
        self.world.tell("world", "is healed")
        self.crash_rate = 0.0
        while self.scheduler.tasks:
            self._step()

    def _step(self) -> None:
        self.scheduler.step()
        self.world.invariants.require(self.scheduler.steps <= MAX_STEPS, "no end in sight")
        if self.world.invariants.broken:
            raise InvariantBroken

    def _before_step(self) -> None:
        self.world.time.advance(_STEPS[int(self.random.random() * len(_STEPS))])
        self.world.arrive()
        if self.may_jump_back and self.random.random() < 0.01:
            self.may_jump_back = False
            self.world.jump_back(timedelta(hours=1))
        if self.random.random() < self.crash_rate:
            self.world.crash(self.random.choice(self.world.processes))

    def _amending(self, profile: RunProfile) -> RunProfile:
        """The profile with only the actions of the scenario, and its own ones more often."""
        actions = {name: weight for name, weight in profile.actions.items() if name in self.scenario.actions}
        own = [name for name in self.scenario.actions if name in AMENDMENTS]
        first = self.random.choice(("pay", "start", *own[:1]))
        return attrs.evolve(
            profile, first=first, actions={**actions, **{name: 0.3 + self.random.random() for name in own}}
        )

    def _customers(self) -> Iterator[CustomerActor]:
        if self.scenario.amends:
            yield from self._customers_of_amended()
            return
        for number in range(self.random.randint(1, 2)):
            booking_id = register(self.world, self.random, number)
            places = self.random.randint(1, 2)
            for place in range(places):
                yield CustomerActor(
                    self.world,
                    self.profile,
                    Random(self.random.random()),
                    f"customer {number}.{place}",
                    booking_id=booking_id,
                    turns=self.random.randint(2, 6),
                    alone=places == 1,
                )

    def _customers_of_amended(self) -> Iterator[CustomerActor]:
        scenario = self.scenario
        for number in range(self.random.randint(2, 4) if scenario.of_event else self.random.randint(1, 2)):
            booking_id = register_amendable(
                self.world, self.random, number, of_event=scenario.of_event, items=scenario.items
            )
            for place in range(1 if scenario.of_event else self.random.randint(1, 2)):
                profile = self.profile
                if not place and "hesitate" in scenario.actions and self.random.random() < 0.5:
                    profile = attrs.evolve(profile, first="hesitate")
                yield self._amending_actor(f"customer {number}.{place}", booking_id, profile)
        if scenario.of_event:
            actions = {"cancel event": 1.0, "move event": 0.7, "register another": 0.7, "time": 0.5}
            first = self.random.choice(("time", "move event", "register another"))
            profile = attrs.evolve(self.profile, actions=actions, first=first)
            yield self._amending_actor("organizer", booking_id, profile)

    def _amending_actor(self, name: str, booking_id: str, profile: RunProfile) -> CustomerActor:
        return CustomerActor(
            self.world,
            profile,
            Random(self.random.random()),
            name,
            booking_id=booking_id,
            turns=self.random.randint(2, 6),
            more_actions=AMENDMENTS,
        )

    def _background_actors(self) -> Iterator[WebhookCarrier | Resolver]:
        repairs = self.scenario.repairs
        if repairs.webhooks:
            yield WebhookCarrier(self.world, self.profile, Random(self.random.random()), "webhook sender")
        if repairs.resolver:
            for number in range(self.random.randint(1, 2)):
                yield Resolver(self.world, self.profile, Random(self.random.random()), f"resolver {number}")

    def _settle(self) -> None:
        settling = Settling(self.world, self.profile, self.random)
        settling.go()
        for each in (*settling.left(), *settling.left_of_amended(exact="refund" not in self.scenario.actions)):
            self.world.invariants.require(False, each)


def _told(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"


SCENARIOS: Final = {
    "full": FULL,
    "client only": CLIENT_ONLY,
    "webhooks only": WEBHOOKS_ONLY,
    "resolver only": RESOLVER_ONLY,
    "disputes": DISPUTES,
    "obligations": OBLIGATED,
    "second methods": SECOND,
    "second methods refused": SECOND_REFUSED,
    "amendments": AMENDED,
    "amendments refused": AMENDED_REFUSED,
    "items": ITEMS,
    "events": EVENTS,
    "stored errors": STORED,
    "stored errors, resolver only": STORED_RESOLVER_ONLY,
    "skewed clocks": SKEWED,
    "clock jumps back": JUMPS_BACK,
    "skewed and set back": SKEWED_AND_SET_BACK,
}
"""All scenarios, by the name that the command line knows them by."""


def replay(result: Result, scenario: Scenario) -> str:
    """How a run is repeated: one command."""
    name = next(name for name, each in SCENARIOS.items() if attrs.evolve(each, sql=scenario.sql) == scenario)
    sql = " --sql" if scenario.sql else ""
    return f'python -m tests.simulation --seed {result.seed} --scenario "{name}"{sql} --log'


def explain(result: Result, scenario: Scenario) -> str:
    """Return the report of a failed run: the violated invariants, the command that repeats it, and its log."""
    broken = "\n".join(f"  {each}" for each in result.broken)
    return f"seed {result.seed} broke:\n{broken}\nrepeat it with:\n  {replay(result, scenario)}\n{result.log}"
