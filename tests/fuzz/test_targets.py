"""The fuzzer's targets, on random bytes and on seeds that were nibbled at. ``make nightly`` fuzzes in earnest."""

from random import Random

import pytest

from tests.fuzz.targets import SEEDS, TARGETS

RUNS = 1_000


def nibbled(seed: bytes, chance: Random) -> bytes:
    """``seed`` with a few bytes changed, taken out, put in or repeated."""
    content = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content) + 1)
        content[place : place + chance.randrange(3)] = chance.choice(
            [b"", chance.randbytes(1), b"\x00", b"\xff", b'"', b",", b"=", b"9" * chance.randrange(40), content[:place]]
        )
    return bytes(content)


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_of_strangers_break_nothing(name: str) -> None:
    chance = Random(11)
    for _ in range(RUNS):
        TARGETS[name](nibbled(SEEDS[name], chance))
        TARGETS[name](chance.randbytes(chance.randrange(100)))


def test_every_target_has_a_seed() -> None:
    assert set(SEEDS) == set(TARGETS)
