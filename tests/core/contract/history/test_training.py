"""The training rule of a line: what is read, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.contract.history.lora import LORA, LORA_BOUNDS
from p2pverify.core.contract.history.training import (
    KRUM,
    MEAN,
    REPLAY,
    RULE_BOUNDS,
    read_training,
)
from p2pverify.core.contract.network import decode_network
from p2pverify.core.errors import DecodeError
from tests.core.contract.history.test_lines import LINE, LINED
from tests.support.training import ADAPTED, KEYS, NOISE, RULE


def test_an_item_of_a_line() -> None:
    """A line with a training rule has a seventh item; one without has six, as it always had."""
    for rule in (
        RULE,
        replace(RULE, **NOISE),
        replace(RULE, **ADAPTED),
        replace(RULE, contributors=(), erasure_policy=REPLAY),
        replace(RULE, mode=2, held_rows=0),
    ):
        trained = replace(LINE, training=rule)
        assert trained.to_value() == [*LINE.to_value(), rule.to_value()]
        network = replace(LINED, lines=(trained,))
        assert decode_network(network.encode()) == network


def test_houses() -> None:
    """A contributor's key has the house that the rule says; another key has none."""
    assert [RULE.house_of(key) for key in KEYS[:6]] == [0, 1, 2, 3, 4, None]


@pytest.mark.parametrize(("at", "name"), [(4 + at, name) for at, (name, _, _) in enumerate(RULE_BOUNDS)])
def test_bounds(at: int, name: str) -> None:
    """Numbers beyond their bounds are refused by name."""
    _, low, high = RULE_BOUNDS[at - 4]
    for wrong in (high + 1, low - 1, None):
        value: list[Any] = RULE.to_value()
        value[at] = wrong
        with pytest.raises(DecodeError, match=name):
            read_training(value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trainer": "tabular-sgd/2"}, "unknown trainer"),
        ({"mode": 3}, "training mode"),
        ({"schema": bytes(31)}, "schema"),
        ({"contributors": RULE.contributors[::-1]}, "sorted"),
        ({"contributors": ((KEYS[0], 2**16), *RULE.contributors[1:])}, "house"),
        ({"contributors": tuple((key, 0) for key in KEYS)}, "more than 32"),
        ({"contributors": (*RULE.contributors[:4], (KEYS[4], 3))}, "too few houses"),
        ({"contributors": RULE.contributors[:1], "aggregate": MEAN, "f": 0}, "too few houses"),
        ({"contributors": RULE.contributors[:4], "aggregate": KRUM}, "too few houses"),
        ({"f": 0}, "f is 0"),
        ({"aggregate": MEAN}, "f is 0"),
        ({"held_rows": 0}, "held_rows"),
        ({"mode": 2}, "held_rows"),
        ({"mode": 2, "held_rows": 0, "contributors": ()}, "at most 8 houses"),
        ({"mode": 2, "held_rows": 0, "contributors": tuple((bytes([at]) * 32, at) for at in range(9))}, "8 houses"),
        ({"erasure_policy": REPLAY, "rounds": 33}, "at most 32 rounds"),
        ({"batch": 0}, "has a batch"),
        ({"sigma": 1}, "no noise"),
        ({**NOISE, "mode": 0}, "mode 0"),
        ({**NOISE, "batch": 1}, "has noise"),
        ({**NOISE, "delta_exponent": 0}, "has noise"),
        ({"gain_min": 20_001}, "gain_full"),
        ({"trainer": LORA}, "an item of its own"),
        ({"lora": ADAPTED["lora"]}, "an item of its own"),
        ({**ADAPTED, "hidden": 1}, "no hidden units"),
        ({**ADAPTED, "mode": 2, "held_rows": 0}, "no mode 2"),
        ({**ADAPTED, "erasure_policy": REPLAY}, "no replay"),
        ({**ADAPTED, "batch": 0}, "has a batch"),
        ({**ADAPTED, "sigma": 1}, "no noise"),
    ],
)
def test_contradictions(change: dict[str, Any], reason: str) -> None:
    """Each fault is refused with its reason."""
    value: list[Any] = replace(RULE, **change).to_value()
    with pytest.raises(DecodeError, match=reason):
        read_training(value)


def test_the_number_of_items() -> None:
    """A rule has all of its fields, and no more."""
    values: list[Any] = [RULE.to_value()[:-1], [*RULE.to_value(), 0], None]
    for value in values:
        with pytest.raises(DecodeError, match="training"):
            read_training(value)


@pytest.mark.parametrize(("at", "name"), [(at, name) for at, (name, _, _) in enumerate(LORA_BOUNDS)])
def test_bounds_of_a_language_model(at: int, name: str) -> None:
    """Numbers beyond their bounds are refused by name."""
    _, low, high = LORA_BOUNDS[at]
    for wrong in (high + 1, low - 1, None):
        value: list[Any] = replace(RULE, **ADAPTED).to_value()
        value[-1][at] = wrong
        with pytest.raises(DecodeError, match=name):
            read_training(value)


@pytest.mark.parametrize(("at", "wrong"), [(3, ""), (3, "a" * 65), (3, "a\nb"), (4, bytes(31)), (4, None)])
def test_the_class_of_a_language_model(at: int, wrong: object) -> None:
    """The path has a printable name, and the proof 32 bytes."""
    value: list[Any] = replace(RULE, **ADAPTED).to_value()
    value[-1][at] = wrong
    with pytest.raises(DecodeError):
        read_training(value)
    value[-1] = value[-1][:4]
    with pytest.raises(DecodeError):
        read_training(value)
