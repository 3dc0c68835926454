"""Any bytes give a value or a decode error, and a value is encoded to the bytes that were read."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS

EXAMPLES = 40  # other ones in each run; `run_atheris` goes on for as long as you like
RELAXED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
LARGE = 40_000


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with flipped bits, with removed, repeated or inserted bytes, or with the end of another seed."""
    data = bytearray(draw(st.sampled_from(seeds))[:4096])
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(1, 40))
        how = draw(st.sampled_from(("flip", "cut", "repeat", "insert", "truncate", "splice", "extend")))
        if how == "flip" and data:
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[start : start + size]
        elif how == "repeat":
            data[start:start] = data[start : start + size]
        elif how == "insert":
            data[start:start] = draw(st.binary(min_size=1, max_size=9))
        elif how == "truncate":
            del data[start:]
        elif how == "splice":
            other = draw(st.sampled_from(seeds))
            data[start:] = other[start : start + 4096]
        else:
            data += draw(st.binary(min_size=1, max_size=40))
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
def test_arbitrary_bytes(name: str) -> None:
    """The invariant holds for arbitrary bytes."""

    @RELAXED
    @given(st.binary(max_size=600))
    def run(data: bytes) -> None:
        DECODERS[name].check(data)

    run()


@pytest.mark.parametrize("name", DECODERS)
def test_changed_vectors(name: str) -> None:
    """The invariant holds for vectors with a few changes."""
    seeds = DECODERS[name].seeds()

    @RELAXED
    @given(mutations(seeds))
    def run(data: bytes) -> None:
        DECODERS[name].check(data)

    run()


@pytest.mark.parametrize("name", DECODERS)
def test_vectors(name: str) -> None:
    """The invariant holds for every vector, whole and cut off at each of its first bytes."""
    for seed in DECODERS[name].seeds():
        DECODERS[name].check(seed)
        for end in range(min(len(seed), 64)):
            DECODERS[name].check(seed[:end])


HOSTILE = {
    "zeros": bytes(LARGE),
    "high bits": b"\xff" * LARGE,
    "arrays in arrays": b"\x81" * LARGE,
    "maps in maps": b"\xa1\x00" * (LARGE // 2),
    "an array of as many items as fit": b"\x9a" + (LARGE - 5).to_bytes(4, "big") + b"\x80" * (LARGE - 5),
    "an array of 2**63 items": b"\x9b\x80" + bytes(LARGE),
    "a string of 2**62 bytes": b"\x5b\x40" + bytes(LARGE),
    "tags": b"\xc0" * LARGE,
    "protobuf groups": b"\x0b" * LARGE,
    "many empty parts": b"\x0a\x00" * (LARGE // 2),
    "digits": b"1" * LARGE,
    "brackets": b"[" * LARGE,
    "slashes": b"/" * LARGE,
    "equal signs": b"a=" * (LARGE // 2),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_large_and_hostile_shapes(shape: str) -> None:
    """Each decoder quickly refuses or reads inputs that are made to take long or to nest deep."""
    for decoder in DECODERS.values():
        decoder.check(HOSTILE[shape])
        for seed in decoder.seeds()[:1]:
            decoder.check(seed + HOSTILE[shape])
            decoder.check(seed[: len(seed) // 2] + HOSTILE[shape])
