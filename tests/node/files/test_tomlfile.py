"""Tables of TOML files as dataclasses: every fault is named with its key."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.node.files.tomlfile import Check, TableError, read_table


def see_even(number: int) -> None:
    if number % 2:
        raise ValueError(f"{number} is odd")


@dataclass(frozen=True, kw_only=True)
class Inner:
    even: Annotated[int, Check(see_even)]


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    pair: tuple[int, str] = (1, "one")
    inner: Inner | None = None
    many: tuple[Inner, ...] = field(default=(), metadata={"alias": "class"})


def test_a_table_is_read() -> None:
    found = read_table(Outer, {"name": "x", "pair": [2, "two"], "inner": {"even": 2}, "class": [{"even": 4}]})
    assert found == Outer(name="x", pair=(2, "two"), inner=Inner(even=2), many=(Inner(even=4),))
    assert read_table(Outer, {"name": "x"}) == Outer(name="x")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, "key 'name' is missing"),
        ({"name": 5}, "key 'name': it is not text"),
        ({"name": "x", "many": []}, "unknown key 'many'"),
        ({"name": "x", "pair": [1]}, "key 'pair': it has not 2 items"),
        ({"name": "x", "pair": [True, "y"]}, "key 'pair[1]': it is not a whole number"),
        ({"name": "x", "pair": [1.0, "y"]}, "key 'pair[1]': it is not a whole number"),
        ({"name": "x", "pair": 1}, "key 'pair': it is not an array"),
        ({"name": "x", "inner": []}, "key 'inner': it is not a table"),
        ({"name": "x", "inner": {"even": 3}}, "key 'inner.even': 3 is odd"),
        (
            {"name": "x", "class": [{"even": 2}, {"odd": 2}]},
            "key 'class[2].even' is missing; unknown key 'class[2].odd'",
        ),
        ({"name": "x", "class": [{"even": 1}] * 7}, "and 2 more faults"),
        ([], "it is not a table"),
    ],
)
def test_faults_are_named(table: object, reason: str) -> None:
    with pytest.raises(TableError) as found:
        read_table(Outer, table)
    assert reason in str(found.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "pair", "inner", "class", "even", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_anything_is_a_table_or_has_faults(value: object) -> None:
    """No value raises anything else. A table has fields of its types."""
    try:
        found = read_table(Outer, value)
    except TableError:
        return
    assert type(found.name) is str
    assert all(each.even % 2 == 0 for each in found.many)
