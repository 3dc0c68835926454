"""The network definition: canonical, within its ranges, and the time that follows from it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.canon import encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.network import (
    CLASSES_MAX,
    FOUNDERS_MAX,
    NETWORK_BYTES_MAX,
    PARAM_BOUNDS,
    DeterminismClass,
    Network,
    Params,
    decode_network,
)

MANIFEST = sha256(b"manifest")
PARAMS = replace(Params(**{name: low for name, low, _ in PARAM_BOUNDS}), cheat_ppm=100_000)
CLASS = DeterminismClass("avx2", MANIFEST, "engine 1", "x86-64", 1_000)
NETWORK = Network("test", (sha256(b"founder"),), (MANIFEST,), (CLASS,), PARAMS)

keys = st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=5).map(lambda found: tuple(sorted(found)))
params = st.tuples(*(st.integers(low, high) for _, low, high in PARAM_BOUNDS)).map(
    lambda numbers: replace(Params(*numbers), cheat_ppm=max(numbers[15], 1001))
)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=16), keys, params)
@settings(deadline=None, max_examples=100)
def test_round_trip(name: str, founders: tuple[bytes, ...], numbers: Params) -> None:
    """A definition is read back equal, and its id is the hash of its bytes."""
    network = replace(NETWORK, name=name, founders=founders, params=numbers)
    assert decode_network(network.encode()) == network
    assert network.id == sha256(network.encode())


@pytest.mark.parametrize(("name", "low", "high"), PARAM_BOUNDS)
def test_bounds(name: str, low: int, high: int) -> None:
    """Both ends of each range are taken, and one beyond is refused by name."""
    others = {"cheat_ppm": 2_000} if name != "cheat_ppm" else {}
    for value in (low, high):
        rate = replace(CLASS, honest_ppm=1)
        numbers = replace(PARAMS, **{**others, name: max(value, 2) if name == "cheat_ppm" else value})
        network = replace(NETWORK, classes=(rate,), params=numbers)
        assert decode_network(network.encode()) == network
    with pytest.raises(DecodeError, match=rf"^{name}: above {high}$"):
        decode_network(replace(NETWORK, params=replace(PARAMS, **{name: high + 1})).encode())
    with pytest.raises(DecodeError, match=rf"^{name}"):
        decode_network(replace(NETWORK, params=replace(PARAMS, **{name: low - 1})).encode())


def test_params_stand_in_wire_order() -> None:
    """The bounds name the fields of the parameters, in their order."""
    assert [name for name, _, _ in PARAM_BOUNDS] == list(Params.__dataclass_fields__)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=200)
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no definition raise DecodeError, and nothing else."""
    with pytest.raises(DecodeError):
        decode_network(data)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_mutated_definitions(data: st.DataObject) -> None:
    """Bytes near a definition are another definition with another id, or refused."""
    good = NETWORK.encode()
    at = data.draw(st.integers(0, len(good) - 1))
    mutated = good[:at] + data.draw(st.binary(max_size=2)) + good[at + data.draw(st.integers(0, 2)) :]
    try:
        found = decode_network(mutated)
    except DecodeError:
        pass
    else:
        assert found.encode() == mutated
        assert (found.id == NETWORK.id) == (mutated == good)


def test_largest_definition() -> None:
    """As many founders and classes as allowed fit into the limit of bytes, and one more of either does not pass."""
    founders = tuple(number.to_bytes(32, "big") for number in range(FOUNDERS_MAX))
    classes = tuple(replace(CLASS, name=f"class {number}") for number in range(CLASSES_MAX))
    network = replace(NETWORK, founders=founders, classes=classes)
    assert len(network.encode()) <= NETWORK_BYTES_MAX
    assert decode_network(network.encode()) == network
    for more in (
        replace(network, founders=(*founders, b"\xff" * 32)),
        replace(network, classes=(*classes, replace(CLASS, name="one more"))),
    ):
        with pytest.raises(DecodeError, match="more than"):
            decode_network(more.encode())


@given(st.integers(0, 2**40), st.integers(200, 86_400_000), st.integers(-(2**40), 2**41))
@settings(deadline=None, max_examples=100)
def test_epochs(genesis: int, length: int, now: int) -> None:
    """Every moment is in one epoch, and the epoch before genesis is negative."""
    numbers = replace(PARAMS, genesis_ms=genesis, epoch_ms=length)
    epoch = numbers.epoch_at(now)
    assert numbers.epoch_start_ms(epoch) <= now < numbers.epoch_start_ms(epoch + 1)
    assert (epoch < 0) == (now < genesis)


def test_not_a_definition() -> None:
    """A value of another domain is refused."""
    with pytest.raises(DecodeError, match=r"^not a network definition$"):
        decode_network(encode(["p2pverify/manifest/1", *NETWORK.to_value()[1:]]))
