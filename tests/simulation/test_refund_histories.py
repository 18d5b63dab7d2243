"""Refunds, disputes, cancellations and the event's start in every order: nothing is lost or goes back twice."""

import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Payment
from booking_payments.ports.storage import Storage
from tests.simulation.refund_bugs import REFUND_BUGS, RefundBug
from tests.simulation.refund_histories import (
    MORE_STEPS,
    Bookmark,
    Setting,
    Wrong,
    begin,
    check_end,
    extend,
    kit_for,
    live,
    walk,
)
from tests.simulation.sizes import NIGHTLY

LENGTH, ONE_LAST_STEP_IN = (4, 1) if NIGHTLY else (3, 4)
"""How many steps are walked, and one in how many steps is tried as the last one."""
ONE_IN: Final = 20
"""Of so many walked words one ends with ``ledger check`` and ``reconcile``; of the sampled words each does."""

WORDS: Final = {
    "cancel full": {3: 54, 4: 2_050},
    "cancel none": {3: 55, 4: 2_061},
    "cancel policy": {3: 60, 4: 2_463},
    "dispute": {3: 38, 4: 1_182},
    "event starts": {3: 48, 4: 1_630},
    "inquiry": {3: 39, 4: 1_316},
    "override": {3: 60, 4: 2_463},
    "partial dispute": {3: 55, 4: 2_177},
    "partial inquiry": {3: 53, 4: 2_075},
    "prevented": {3: 25, 4: 586},
    "refund": {3: 59, 4: 2_466},
    "refund in the dashboard": {3: 63, 4: 2_466},
    "refund of another amount": {3: 60, 4: 2_464},
}
"""How many legal words of up to three and up to four steps begin with each step. Three are walked by day, with one in
four of the last steps, four at night. A number that shrinks means that something is refused that was possible, or not
tried any more; look for the reason before you change it here."""

SETTINGS: Final = (
    *(
        Setting(currency=currency, amount=amount, payer=payer, fee=fee)
        for currency, amount in ((Currency.USD, "100.00"), (Currency.JPY, "10000"), (Currency.KWD, "100.000"))
        for payer in FeePayer
        for fee in FeeOnRefund
    ),
    Setting(settles="eur"),
    Setting(settles="eur", payer=FeePayer.CUSTOMER, fee=FeeOnRefund.RETURNED),
)
"""Both payers, both values of ``PAYMENT_FEE_REFUND``, currencies with two, no and three decimals, and a settlement
in another one at moving rates."""

SAMPLED: Final = {
    "memory": 50_000 if NIGHTLY else 28,
    "sqlite": 3_000 if NIGHTLY else 14,
    "postgresql": 1_500 if NIGHTLY else 14,
}
"""Words of five and six steps, if all settings are tried. Over a database a word takes about a quarter of a second."""

SAMPLES: Final = [
    (setting, kind)
    for number, setting in enumerate(SETTINGS)
    for kind in SAMPLED
    if NIGHTLY or kind in ("memory", ("sqlite", "postgresql", None, None)[number % 4])
]
"""By day each setting is tried in memory, and half of them over one of the databases."""

IN_ONE_DATABASE: Final = 10


@pytest.mark.parametrize("first", WORDS)
async def test_every_order_of_a_few_steps_keeps_the_rules(first: str) -> None:
    words = 0
    async for history in walk(await begin(Setting()), LENGTH, first=[first], one_in=ONE_LAST_STEP_IN):
        words += 1
        if words % ONE_IN == 0:
            here = Bookmark(history)
            await check_end(history)
            here.go_back()

    print(f"{words} words begin with {first}")
    assert words == WORDS[first][LENGTH]


async def test_every_word_begins_with_a_step_that_is_legal_at_the_beginning() -> None:
    legal = [history.word[0] async for history in walk(await begin(Setting()), 1)]

    assert sorted(legal) == sorted(WORDS)


def test_at_least_twenty_thousand_words_are_walked_at_night_and_six_hundred_by_day() -> None:
    assert sum(words[4] for words in WORDS.values()) >= 20_000
    assert sum(words[3] for words in WORDS.values()) >= 600


@pytest.mark.parametrize(
    "word", [("partial dispute", "lost", "cancel full, not sent"), ("dispute", "partly lost", "cancel full, not sent")]
)
async def test_a_refund_that_was_not_sent_is_sent_though_a_dispute_took_a_part(word: tuple[str, ...]) -> None:
    history = await begin(Setting())
    for step in word:
        assert await extend(history, step)
    await check_end(history)

    assert not history.payment.owed.amount


async def test_a_restored_state_keeps_nothing_of_later_steps() -> None:
    walked: list[tuple[tuple[str, ...], Payment]] = []
    async for history in walk(await begin(Setting()), 2, MORE_STEPS, one_in=1 if NIGHTLY else 4):
        walked.append((history.word, history.payment))

    for word, payment in walked[::7]:
        alone = await begin(Setting())
        for step in word:
            assert await extend(alone, step)
        assert alone.payment == payment


# --- sampled, in databases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setting", "kind"), SAMPLES, ids=[f"{kind}-{setting.name}" for setting, kind in SAMPLES])
async def test_sampled_orders_of_five_and_six_steps_keep_the_rules(
    setting: Setting, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    random, words = Random(f"{setting.name} {kind}"), SAMPLED[kind] // len(SETTINGS)
    together = 1 if kind == "memory" else IN_ONE_DATABASE
    for begun in range(0, words, together):
        async with _storage(kind, request, tmp_path / f"{begun}.db") as storage:
            kit = kit_for(setting, storage, seed=begun)
            for number in range(begun, min(begun + together, words)):
                await live(await begin(setting, kit, f"R-{number}"), random, random.randint(5, 6))


@asynccontextmanager
async def _storage(kind: str, request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Storage]:
    """An empty storage, in memory or in a new database."""
    if kind == "memory":
        yield MemoryStorage()
        return
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), path)}"
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_copies").one())
        storage = SqlStorage.open(url)
        try:
            yield storage
        finally:
            await storage.close()


# --- what the histories see ------------------------------------------------------------------------------------


async def _lived(bug: RefundBug) -> None:
    history = await begin(bug.setting)
    for step in bug.word:
        assert await extend(history, step), f"{step} is not legal"
    await check_end(history)


@pytest.mark.parametrize("name", REFUND_BUGS)
async def test_a_bug_planted_in_the_rules_of_refunds_is_found_by_its_history(name: str) -> None:
    bug = REFUND_BUGS[name]
    await _lived(bug)

    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        with pytest.raises(Wrong):
            await _lived(bug)


def test_at_least_thirty_bugs_are_planted_in_the_rules_of_refunds() -> None:
    assert len(REFUND_BUGS) >= 30
