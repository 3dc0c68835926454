"""What an amendment may change: the grammar of changes, the corridor, and the rules that come of it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.network import PARAM_BOUNDS, decode_network
from p2pverify.core.contract.rules.amend import AmendmentRefused, RuleSet, amend, feature_numbers
from p2pverify.core.contract.rules.changes import (
    Change,
    ClassChange,
    ManifestChange,
    ParamChange,
    RefereeChange,
    RetireChange,
    UnknownChange,
    read_change,
)
from p2pverify.core.contract.rules.corridor import FIXED, LIVE, refuse_param
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from tests.support.networks import MANIFEST, make_network, seeds

NETWORK = make_network(seeds(4))
RULES = RuleSet(NETWORK)
INDEX = {name: index for index, (name, _, _) in enumerate(PARAM_BOUNDS)}
OTHER = sha256(b"another model")
KIND = DeterminismClass("later", MANIFEST.digest, "toy", "later path", 1_000)


def param(name: str, value: int) -> ParamChange:
    return ParamChange(INDEX[name], value)


def refused(*changes: Change, rules: RuleSet = RULES) -> str:
    with pytest.raises(AmendmentRefused) as found:
        amend(rules, changes, 0, 100)
    return found.value.reason


CHANGES: tuple[Change, ...] = (
    param("slots_milli", 2_000),
    ClassChange(KIND),
    RetireChange(3),
    ManifestChange(OTHER),
    RefereeChange("toy-exact/2"),
    UnknownChange(("curve", 5, [1, b"x"])),
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_read_as_it_was_written(change: Change) -> None:
    value = decode(encode(change.to_value()), size_max=1_000)
    assert encode(read_change(value).to_value()) == encode(change.to_value())
    assert type(read_change(value)) is type(change)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [5],
        ["param", 1],
        ["param", 256, 1],
        ["param", 1, -1],
        ["class", [1, 2]],
        ["retire", 32],
        ["manifest", bytes(31)],
        ["referee", "x" * 129],
        ["x" * 17],
        ["later", *range(16)],
    ],
)
def test_malformed_changes_are_refused(value: list[Any]) -> None:
    with pytest.raises(DecodeError):
        read_change(value)


def test_every_parameter_is_in_one_of_the_two_tables() -> None:
    assert not LIVE.keys() & FIXED.keys()
    assert LIVE.keys() | FIXED.keys() == {name for name, _, _ in PARAM_BOUNDS}


@given(st.sampled_from(sorted(LIVE)), st.data())
def test_no_value_moves_further_than_its_corridor(name: str, data: st.DataObject) -> None:
    """The factor bounds both directions; only the first step away from 0, or the last one to it, is another."""
    _, low, high = PARAM_BOUNDS[INDEX[name]]
    old, new = data.draw(st.integers(low, high)), data.draw(st.integers(low, high))
    corridor = LIVE[name]
    if refuse_param(INDEX[name], old, new) is None:
        assert low <= new <= high
        assert new != old
        assert max(old, new) <= max(corridor.factor * min(old, new), corridor.first)
    elif new != old:
        assert max(old, new) > max(corridor.factor * min(old, new), corridor.first)


@pytest.mark.parametrize("name", FIXED)
def test_some_parameters_never_change(name: str) -> None:
    assert "never changes" in refused(param(name, 4_096))


def test_amended_rules_keep_the_id_and_are_a_definition_again() -> None:
    found = amend(
        RULES, [param("slots_milli", 2_000), ManifestChange(OTHER), ClassChange(replace(KIND, manifest=OTHER))], 5, 100
    )
    assert found.network.id == NETWORK.id
    assert found.root != RULES.root
    assert found.network.params == replace(NETWORK.params, slots_milli=2_000)
    assert found.network.classes[: len(NETWORK.classes)] == NETWORK.classes
    assert found.features == 5
    assert feature_numbers(found.features) == (0, 2)
    assert replace(decode_network(found.network.encode()), first=NETWORK) == found.network
    again = amend(found, [param("slots_milli", 1_000)], 8, 200)
    assert again.network.first is NETWORK
    assert again.features == 13
    assert again.root != RULES.root  # the classes and features stay


def test_a_retired_class_keeps_its_number() -> None:
    two = amend(RULES, [ClassChange(KIND)], 0, 50)
    found = amend(two, [RetireChange(0)], 0, 100)
    assert found.retired == {0: 100}
    assert found.network.classes == two.network.classes
    assert found.root != two.root
    assert "retired" in refused(RetireChange(0), rules=found)
    assert refused(RetireChange(1), rules=found) == "no class is left"
    assert refused(RetireChange(0)) == "no class is left"


def test_what_is_not_allowed_says_why() -> None:
    across = make_network(seeds(4), classes=2)
    assert "factor 2" in refused(param("slots_milli", 2_001))
    assert "factor 10" in refused(param("conviction_odds", 99_999))
    assert "outside its bounds" in refused(param("panel_size", 32))
    assert "already" in refused(param("panel_size", 2))
    assert "there is no parameter 200" in refused(ParamChange(200, 1))
    assert "changes twice" in refused(param("panel_size", 3), param("panel_size", 4))
    assert "there is a class" in refused(ClassChange(replace(KIND, name="exact")))
    assert "does not list" in refused(ClassChange(replace(KIND, manifest=OTHER)))
    assert "listed already" in refused(ManifestChange(MANIFEST.digest))
    assert "there is or would be none" in refused(RefereeChange("toy-exact/2"))
    assert "does not know" in refused(UnknownChange(("curve",)))
    assert "none" in refused(RetireChange(7))
    assert amend(RuleSet(across), [RefereeChange("toy-exact/2")], 0, 9).network.referee == "toy-exact/2"


def test_values_that_contradict_each_other_are_refused() -> None:
    spread = RuleSet(replace(NETWORK, params=replace(NETWORK.params, prompt_spread=8)))
    assert "leaves nothing" in refused(param("prompt_tokens", 8), rules=spread)
    assert "below cheat_ppm" in refused(
        param("cheat_ppm", 1_000), rules=RuleSet(replace(NETWORK, params=replace(NETWORK.params, cheat_ppm=2_000)))
    )


def test_a_table_of_shapes_has_no_ranges_to_change() -> None:
    shaped = replace(NETWORK, params=replace(NETWORK.params, shapes=(RequestShape(1, 4, 8, 4, 8, 0),)))
    assert "table of shapes" in refused(param("answer_tokens", 32), rules=RuleSet(shaped))
    assert amend(RuleSet(shaped), [param("panel_size", 3)], 0, 9).network.params.panel_size == 3


def test_too_many_classes_are_no_rules() -> None:
    kinds = [ClassChange(replace(KIND, name=f"later-{n}", numeric_path=f"path {n}")) for n in range(32)]
    assert "would not hold" in refused(*kinds)
