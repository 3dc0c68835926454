"""The targets of a slot: within the class, or across classes if a referee can judge."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.contract import sortition
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.state.state import Member, State, genesis
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.core.state.verdicts.targets import IN_CLASS_MIN, make_panel, voting_classes
from tests.support.across import classes, identities
from tests.support.networks import MANIFEST, params

BETA = sha256(b"beta") * 2
INSIDE = sortition.Slot(0, solo=False, greedy=False, across=False, drawn_from=b"")
ACROSS = replace(INSIDE, across=True)


def network(names: str = "ab", *, judged: str | None = None) -> Network:
    """Classes by letters. A referee judges the answers of the classes in `judged` (default: all)."""
    shown = names if judged is None else judged
    kinds = tuple(kind if kind.name in shown else replace(kind, across=None) for kind in classes(names))
    return Network(
        "panels", (sign.public_key(bytes(32)),), (MANIFEST.digest,), kinds, params(panel_size=31), "toy-exact/1"
    )


def anchor(made: Network, members: str, *, idle: str = "") -> tuple[State, list[bytes]]:
    """A state with members of the classes named by letters. The members of `idle` classes have no weight."""
    names = [kind.name for kind in made.classes]
    keys = [sign.public_key(seed) for seed in identities(len(members))]
    state = genesis(made).successor(bytes(32), 5, {})
    state.members = {
        key: Member(active=True, class_index=names.index(letter), weight=0 if letter in idle else 1)
        for key, letter in zip(keys, members, strict=True)
    }
    return state, keys


def asked(
    made: Network, members: str, slot: sortition.Slot, *, challenger: int = 0, idle: str = ""
) -> tuple[str, Panel]:
    """The classes of a slot's targets, in letters, and the panel."""
    state, keys = anchor(made, members, idle=idle)
    panel = make_panel(made, state, keys[challenger], BETA, slot)
    assert keys[challenger] not in panel.targets
    assert panel.classes == tuple(state.members[key].class_index for key in panel.targets)
    return "".join(sorted(made.classes[index].name for index in panel.classes)), panel


def test_the_draw_decides_where_both_are_possible() -> None:
    """A slot within the class asks the other members of the class. A slot across asks members of the other classes."""
    found, panel = asked(network(), "aaabb", INSIDE)
    assert (found, panel.is_across) == ("aa", False)
    found, panel = asked(network(), "aaabb", ACROSS)
    assert (found, panel.is_across) == ("bb", True)


@pytest.mark.parametrize("weighted", range(IN_CLASS_MIN + 2))
def test_a_class_without_voters_enough_asks_across(weighted: int) -> None:
    """Below three members with weight, a class cannot outvote a liar, however many other members it has."""
    made = network()
    state, keys = anchor(made, "aaaaabb")
    for number, key in enumerate(keys[:5]):
        state.members[key].weight = int(number < weighted)
    assert make_panel(made, state, keys[4], BETA, INSIDE).is_across == (weighted < IN_CLASS_MIN)


@pytest.mark.parametrize(("names", "judged"), [("ab", ""), ("ab", "a"), ("a", None)])
def test_without_anybody_to_judge_it_asks_within(names: str, judged: str | None) -> None:
    """If there is no other class, or none that a referee judges, every slot is within the class."""
    for slot in (INSIDE, ACROSS):
        found, panel = asked(network(names, judged=judged), "a" * 2 + "b" * 2 * ("b" in names), slot)
        assert (found, panel.is_across) == ("a", False)


def test_a_peer_of_unknown_class_is_judged_across_alone() -> None:
    """It asks all others, including those of unknown class, and others ask it across classes."""
    made = network("ab*")
    found, panel = asked(made, "*abb*", INSIDE)
    assert (found, panel.is_across) == ("*abb", True)
    assert asked(made, "aaa*b", ACROSS)[0] == "*b"
    assert asked(made, "aaa*b", INSIDE)[0] == "aa"


def test_a_peer_of_unknown_class_with_nobody_to_judge_asks_nobody() -> None:
    """Its answers cannot be compared with any others, so it owes nothing."""
    made = network("a*", judged="*")
    found, panel = asked(made, "*aaa", INSIDE)
    assert (found, panel) == ("", Panel((), (), False, 0, made))


def test_only_members_of_the_same_model_are_asked() -> None:
    """Members of a class of another manifest are no candidates and do not vote."""
    made = network("abc")
    other = replace(made.classes[2], manifest=Manifest(**{**_fields(), "model": "other"}).digest)
    made = replace(made, classes=(*made.classes[:2], other))
    assert asked(made, "abbcc", ACROSS)[0] == "bb"
    assert voting_classes(made, 0, is_across=True) == (0, 1)
    assert voting_classes(made, 2, is_across=True) == (2,)
    assert voting_classes(made, 0, is_across=False) == (0,)


def _fields() -> dict[str, Any]:
    return {name: getattr(MANIFEST, name) for name in MANIFEST.__dataclass_fields__}


def test_the_convicted_and_those_who_left_are_not_asked() -> None:
    """Candidates are active members that are not convicted, within a class and across classes."""
    made = network()
    state, keys = anchor(made, "aaabbbb")
    state.members[keys[3]].active = False
    state.members[keys[4]].convicted_epoch = 2
    assert set(make_panel(made, state, keys[0], BETA, ACROSS).targets) == set(keys[5:])
