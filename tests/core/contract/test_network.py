"""The network definition is canonical and within its ranges, and it defines the epochs."""

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.classes import ACROSS_BOUNDS, ANY, Across, DeterminismClass
from p2pverify.core.contract.network import (
    CLASSES_MAX,
    FOUNDERS_MAX,
    NETWORK_BYTES_MAX,
    PARAM_BOUNDS,
    Network,
    Params,
    decode_network,
)
from p2pverify.core.contract.pool import LINE_MAX, LINES_MAX, MILLION, Line, Pool
from p2pverify.core.contract.shapes import SHAPES_MAX, RequestShape
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError
from tests.support.networks import LOWEST

MANIFEST = sha256(b"manifest")
PARAMS = replace(Params(**LOWEST), cheat_ppm=100_000)
CLASS = DeterminismClass("avx2", MANIFEST, "engine 1", "x86-64", 1_000)
NETWORK = Network("test", (sha256(b"founder"),), (MANIFEST,), (CLASS,), PARAMS)

keys = st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=5).map(lambda found: tuple(sorted(found)))
#: Each spread with its parameter: the range reaches down from the parameter by the spread, and must end above 0.
RANGES = {"prompt_spread": "prompt_tokens", "answer_spread": "answer_tokens", "temperature_spread": "temperature_milli"}


def changed(numbers: Params, **rules: Any) -> Params:
    return replace(numbers, **rules)


def consistent(numbers: Params) -> Params:
    """The parameters, changed where they contradict each other."""
    spreads = {name: min(getattr(numbers, name), max(0, getattr(numbers, most) - 1)) for name, most in RANGES.items()}
    if numbers.long_tokens <= numbers.answer_tokens or not numbers.long_permille:
        spreads |= {"long_permille": 0, "long_tokens": 0}
    return replace(numbers, cheat_ppm=max(numbers.cheat_ppm, 1001), **spreads)


BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS}
params = st.tuples(*(st.integers(low, high) for _, low, high in PARAM_BOUNDS)).map(
    lambda numbers: consistent(Params(*numbers))
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
    """Both ends of each range are valid. A value beyond an end is refused by name."""
    others = {"cheat_ppm": 2_000} if name != "cheat_ppm" else {}
    if name in RANGES:
        others[RANGES[name]] = high + 1
    tail = {"long_permille": 1, "long_tokens": 2}
    for value in (low, high):
        rate = replace(CLASS, honest_ppm=1)
        with_tail = tail if name in tail and value else {}
        numbers = changed(PARAMS, **{**others, **with_tail, name: max(value, 2) if name == "cheat_ppm" else value})
        network = replace(NETWORK, classes=(rate,), params=numbers)
        assert decode_network(network.encode()) == network
    with pytest.raises(DecodeError, match=rf"^{name}: above {high}$"):
        decode_network(replace(NETWORK, params=changed(PARAMS, **{name: high + 1})).encode())
    with pytest.raises(DecodeError, match=rf"^{name}"):
        decode_network(replace(NETWORK, params=changed(PARAMS, **{name: low - 1})).encode())


ACROSS = Across(250_000, 20_000, 500_000, 40_000, 2_000_000, 10_000)
JUDGED = replace(NETWORK, classes=(replace(CLASS, across=ACROSS),), referee="exact/1")
UNKNOWN = DeterminismClass("any", MANIFEST, ANY, ANY, 1_000, ACROSS)


@given(st.tuples(*(st.integers(0, high) for _, high in ACROSS_BOUNDS)))
@settings(deadline=None, max_examples=100)
def test_thresholds_are_read_back(numbers: tuple[int, ...]) -> None:
    """All thresholds are read back if no match is also a mismatch and an honest peer may be wrong."""
    low, slope, high, steep, end, honest = numbers
    across = Across(min(low, high), min(slope, steep), max(low, high), max(slope, steep), end, max(honest % 1000, 1))
    network = replace(JUDGED, classes=(replace(CLASS, across=across), UNKNOWN), params=PARAMS)
    assert decode_network(network.encode()) == network


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": (replace(CLASS, across=replace(ACROSS, match_base=500_001)),)}, "would be a mismatch as well"),
        ({"classes": (replace(CLASS, across=replace(ACROSS, match_slope=40_001)),)}, "would be a mismatch as well"),
        ({"classes": (replace(CLASS, across=replace(ACROSS, end_max=2**32 - 1)),)}, "end_max: above"),
        ({"classes": (replace(CLASS, across=replace(ACROSS, honest_ppm=0)),)}, "nothing is certain"),
        ({"classes": (replace(CLASS, across=replace(ACROSS, honest_ppm=100_000)),)}, "below cheat_ppm"),
        ({"referee": ""}, "there is no referee"),
        ({"classes": (replace(UNKNOWN, numeric_path="x86-64"),)}, "both unknown or both known"),
        ({"classes": (replace(UNKNOWN, engine="engine 1"),)}, "both unknown or both known"),
        ({"classes": (replace(UNKNOWN, across=None),)}, "or not at all"),
        ({"classes": (UNKNOWN, replace(UNKNOWN, name="another"))}, "two classes of unknown engine"),
    ],
)
def test_referees_that_make_no_sense(changes: dict[str, Any], reason: str) -> None:
    """Thresholds, the referee and the class of unknown engine must fit together."""
    with pytest.raises(DecodeError, match=reason):
        decode_network(replace(JUDGED, **changes).encode())  # field names


def test_thresholds_stand_in_wire_order() -> None:
    """The limits name the fields of the thresholds in wire order."""
    assert [*(name for name, _ in ACROSS_BOUNDS), "pool"] == list(Across.__dataclass_fields__)


@pytest.mark.parametrize("name", RANGES)
def test_a_range_leaves_something(name: str) -> None:
    """A range reaches down to 1 but not to 0. Without a range, the number may be anything."""
    numbers = changed(PARAMS, **{RANGES[name]: 7, name: 6})
    assert decode_network(replace(NETWORK, params=numbers).encode()).params == numbers
    with pytest.raises(DecodeError, match=rf"^{name} leaves nothing$"):
        decode_network(replace(NETWORK, params=changed(numbers, **{name: 7})).encode())


@pytest.mark.parametrize(("share", "longest"), [(0, 8), (1, 0), (1, 7), (0, 7)])
def test_a_tail_has_a_share_and_longer_answers(share: int, longest: int) -> None:
    numbers = replace(PARAMS, answer_tokens=7)
    for good in (numbers, replace(numbers, long_permille=1, long_tokens=8)):
        assert decode_network(replace(NETWORK, params=good).encode()).params == good
    with pytest.raises(DecodeError, match=r"^long_permille and long_tokens do not fit together$"):
        decode_network(replace(NETWORK, params=replace(numbers, long_permille=share, long_tokens=longest)).encode())


def test_params_stand_in_wire_order() -> None:
    """The bounds name the fields of the parameters in wire order."""
    assert [*(name for name, _, _ in PARAM_BOUNDS), "shapes"] == list(Params.__dataclass_fields__)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no definition raise only DecodeError."""
    with pytest.raises(DecodeError):
        decode_network(data)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_definitions(data: st.DataObject) -> None:
    """Bytes near a definition are refused, or are another definition with another id."""
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
    """The largest numbers of founders and classes fit into the limit of bytes. One more of either is refused."""
    founders = tuple(number.to_bytes(32, "big") for number in range(FOUNDERS_MAX))
    lines = tuple(Line(LINE_MAX, LINE_MAX - LINES_MAX + number, MILLION) for number in range(LINES_MAX))
    pool = Pool(MILLION - 1, lines)
    widest = Across(*cast("tuple[int, int, int, int, int]", tuple(high for _, high in ACROSS_BOUNDS[:5])), 99_999, pool)
    longest = replace(CLASS, engine="e" * 128, numeric_path="p" * 128, across=widest)
    classes = tuple(replace(longest, name=f"class {number}" + "n" * 50) for number in range(CLASSES_MAX))
    manifests = tuple(sorted((MANIFEST, *(sha256(b"%d" % n) for n in range(CLASSES_MAX - 1)))))
    shapes = tuple(RequestShape(65_535, 256 - at, 256, 1024, 1024, 2000) for at in reversed(range(SHAPES_MAX)))
    network = replace(JUDGED, founders=founders, manifests=manifests, classes=classes, referee="r" * 128)
    network = replace(network, params=replace(PARAMS, shapes=shapes))
    assert len(network.encode()) <= NETWORK_BYTES_MAX
    assert decode_network(network.encode()) == network
    for more in (
        replace(network, founders=(*founders, b"\xff" * 32)),
        replace(network, classes=(*classes, replace(CLASS, name="one more"))),
    ):
        with pytest.raises(DecodeError, match="more than"):
            decode_network(more.encode())


@given(st.integers(*BOUNDS["genesis_ms"]), st.integers(*BOUNDS["epoch_ms"]), st.integers(-(2**53), 2**54))
@settings(deadline=None, max_examples=100)
def test_epochs(genesis: int, length: int, now: int) -> None:
    """Every moment is in exactly one epoch. Before genesis, epochs are negative."""
    numbers = replace(PARAMS, genesis_ms=genesis, epoch_ms=length)
    epoch = numbers.epoch_at(now)
    assert numbers.epoch_start_ms(epoch) <= now < numbers.epoch_start_ms(epoch + 1)
    assert (epoch < 0) == (now < genesis)


def test_a_table_of_shapes_comes_last() -> None:
    """A definition without one has the bytes that it always had. An empty one is refused, so that ids are unique."""
    table = (RequestShape(1, 1, 8, 0, 0, 1000),)
    network = replace(NETWORK, params=replace(PARAMS, shapes=table))
    assert decode_network(network.encode()) == network
    assert network.to_value() == [*NETWORK.to_value(), [[1, 1, 8, 0, 0, 1000]]]
    for wrong in ([], None, 0):
        with pytest.raises(DecodeError, match="shapes"):
            decode_network(encode([*NETWORK.to_value(), wrong]))
    with pytest.raises(DecodeError, match="lines"):
        decode_network(encode([*network.to_value(), []]))


def test_not_a_definition() -> None:
    """A value of another domain is refused."""
    with pytest.raises(DecodeError, match=r"^not a network definition$"):
        decode_network(encode(["p2pverify/manifest/1", *NETWORK.to_value()[1:]]))
