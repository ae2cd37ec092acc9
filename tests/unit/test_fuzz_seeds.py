"""The fuzzers' harness over its seeds and simple mutations of them: the same ones in every run."""

import random

import pytest

from fuzz import corpus
from fuzz.harness import TARGETS

MUTATIONS = 300


def mutated(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice((b'"', b"{", b"[", b"\\", b"\n", b"@", b"\xff", b"1e999", b"null"))
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                data[at:at] = data[at : at + rng.randint(1, 16)]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_neighbours(name: str) -> None:
    """Nothing but typed refusals comes out of any of them."""
    run, seeds = TARGETS[name]
    rng = random.Random(4)
    for seed in getattr(corpus, seeds):
        run(seed)
        for _ in range(MUTATIONS):
            run(mutated(seed, rng))


@pytest.mark.parametrize("raw", [b"", b"\n" * 9, b"\x00", b"[" * 5000, bytes(range(256))])
def test_odd_inputs(raw: bytes) -> None:
    """What a fuzzer tries first."""
    for run, _ in TARGETS.values():
        run(raw)
