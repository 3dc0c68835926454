"""Which cuts a newcomer believes, which checkpoints a peer keeps, and when two cuts contradict each other."""

from dataclasses import replace

import pytest

from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import PassportSet
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.records.payloads.cut import Cut, Head, decode_cut
from p2pverify.core.snapshot.checkpoints import EVERY, KEPT_OF_EACH, STEPS, Checkpoints
from p2pverify.core.snapshot.contradiction import BACK_MAX, Branches
from p2pverify.core.snapshot.messages import CHECKPOINTS_MAX, NewestStates, ServedCut
from p2pverify.core.snapshot.trust import (
    AGE_SHARE,
    OLD_EPOCHS_MIN,
    ToldStates,
    agreed,
    decode_certificate,
    follows,
    given,
    old_after,
)
from tests.support.networks import seeds
from tests.support.states import other_cut, served_network, signed_by

KNOWN = served_network()
OLD, NEW = (each.cut for each in KNOWN.served)
STRANGERS = frozenset(bytes([number]) * 32 for number in range(200))


def test_an_id_is_trusted_without_signatures() -> None:
    """And nothing but its own certificate goes with it."""
    certificate = KNOWN.certificate(OLD)
    trusted = given(KNOWN.network, OLD, replace(certificate, signatures=()))
    assert (trusted.cut, trusted.index, len(trusted.weighted)) == (OLD, 16, 4)
    with pytest.raises(Refuted, match="of another cut"):
        given(KNOWN.network, OLD, KNOWN.certificate(NEW))
    with pytest.raises(Refuted, match="not those with weight"):
        given(KNOWN.network, OLD, replace(certificate, weighted=certificate.weighted[1:]))


def test_a_newer_cut_follows_if_enough_of_the_older_weight_signed_it() -> None:
    """More than a third of the older weight, besides two thirds of its own."""
    older, newer = given(KNOWN.network, OLD, KNOWN.certificate(OLD)), KNOWN.certificate(NEW)
    assert follows(KNOWN.network, older, newer).cut == NEW
    signers = sorted(newer.signers)
    assert len(signers) == 3
    for kept, holds in ((3, True), (2, True), (1, False), (0, False)):
        others = sorted(STRANGERS)[: 4 - kept]
        old = replace(older, weighted=frozenset([*signers[:kept], *others]))
        if holds:
            assert follows(KNOWN.network, old, newer).index == 32
        else:
            with pytest.raises(Refuted, match="too few"):
                follows(KNOWN.network, old, newer)


def test_a_third_is_not_more_than_a_third() -> None:
    older, newer = given(KNOWN.network, OLD, KNOWN.certificate(OLD)), KNOWN.certificate(NEW)
    one = min(newer.signers)
    with pytest.raises(Refuted, match="1 of the 3 peers"):
        follows(KNOWN.network, replace(older, weighted=frozenset([one, *sorted(STRANGERS)[:2]])), newer)


def test_certificates_that_do_not_hold() -> None:
    """Too few signatures, false ones, those of strangers, an older cut, another network."""
    older, newer = given(KNOWN.network, OLD, KNOWN.certificate(OLD)), KNOWN.certificate(NEW)
    with pytest.raises(Refuted, match="fewer than two thirds"):
        follows(KNOWN.network, older, signed_by(KNOWN.network, newer, KNOWN.seeds[:2]))
    with pytest.raises(Refuted, match="fewer than two thirds"):
        follows(KNOWN.network, older, signed_by(KNOWN.network, newer, tuple(seeds(4, "strangers"))))
    false = replace(newer.signatures[0], signature=bytes(64))
    with pytest.raises(Refuted, match="signature does not hold"):
        follows(KNOWN.network, older, replace(newer, signatures=(false, *newer.signatures[1:])))
    with pytest.raises(Refuted, match="no newer cut"):
        follows(KNOWN.network, replace(older, index=32), newer)
    with pytest.raises(Refuted, match="another network"):
        follows(KNOWN.network, older, replace(newer, head=replace(newer.head, network=bytes(32))))


def test_a_certificate_has_no_rows() -> None:
    data = PassportSet(KNOWN.certificate(NEW), ()).encode()
    assert decode_certificate(data) == KNOWN.certificate(NEW)
    for other in (b"\xf6", data[:-1], b""):
        with pytest.raises(DecodeError):
            decode_certificate(other)


def test_the_oldest_checkpoint() -> None:
    params = KNOWN.network.params
    assert old_after(replace(params, growth_epochs=AGE_SHARE * 1000)) == 1000
    assert old_after(replace(params, growth_epochs=0)) == OLD_EPOCHS_MIN


def _told(group: str, *cuts: int) -> ToldStates:
    """A first peer that serves the states of the last two of these cuts, each with its number as index and id."""
    path = tuple((number, bytes([number]) * 32) for number in cuts)
    served = tuple(ServedCut(index, index, cut) for index, cut in path[-2:])
    return ToldStates(group, NewestStates(served, path))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([_told(group, 16, 32) for group in "abc"], 32),
        ([_told("a", 16, 32), _told("b", 16, 32), _told("c", 16)], 16),
        ([_told("a", 16, 32), _told("b", 16, 32)], None),  # two groups
        ([_told("a", 16), _told("b", 16), _told("b", 16), _told("b", 16)], None),  # a group counts once
        ([_told("a", 16), _told("", 16), _told("", 16)], None),  # loopback counts for nothing
        ([*(_told(group, 16, 32) for group in "abc"), _told("d", 17), _told("e", 17)], None),  # three of five
        ([*(_told(group, 16, 32) for group in "abcd"), _told("e", 17), _told("f", 17)], 32),  # four of six
        ([_told("a", 16), _told("b", 16), _told("c", 16, 32), _told("c", 17)], None),  # its group does not agree
        ([_told(group, 16, 32, 48) for group in "abc"] + [_told("d", 16, 32)], 48),
        ([], None),
    ],
)
def test_what_first_peers_agree_on(told: list[ToldStates], expected: int | None) -> None:
    assert agreed(told) == (None if expected is None else bytes([expected]) * 32)


def test_checkpoints_get_rarer_with_age() -> None:
    """The newest of each step are kept, whatever came before, and the one that is shown stays for long."""
    kept = Checkpoints()
    assert kept.shown() is None
    for index in range(-1, 100_000):
        kept.add(index, index.to_bytes(32, "big", signed=True), b"%d" % index)
        assert len(kept.listed()) <= CHECKPOINTS_MAX
    indices = [index for index, _ in kept.listed()]
    assert indices == sorted(indices)
    for step in STEPS:
        assert set(range(step, 100_000, step)[-KEPT_OF_EACH:]) <= set(indices)
    assert not [index for index in indices if index % EVERY]
    shown = kept.shown()
    assert shown is not None
    assert shown[0] % STEPS[1] == 0
    assert kept.get(shown[1]) == b"%d" % shown[0]
    assert kept.get(bytes(32)) is None


def _heads(*pairs: tuple[int, int]) -> tuple[Head, ...]:
    return tuple((bytes([author]) * 32, seq, bytes([author, seq]) * 16) for author, seq in pairs)


def _tree(**moved: tuple[str, tuple[Head, ...]]) -> dict[bytes, Cut]:
    """Cuts by name: each has the name of its base and its heads."""
    known = KNOWN.fold.ledger.get(NEW)
    assert known is not None
    one = decode_cut(known.payload)
    return {_named(name): replace(one, base=_named(base), moved=heads) for name, (base, heads) in moved.items()}


def _named(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def _nested(cuts: dict[bytes, Cut], one: str, other: str, forked: frozenset[bytes] = frozenset()) -> bool | None:
    branches = Branches(_named("network"), _named(one), _named(other))
    asked = 0
    while (cut_id := branches.missing()) is not None and asked < 2 * BACK_MAX + 4:
        if cut_id not in cuts:
            break
        branches.take(cut_id, cuts[cut_id])
        asked += 1
    return branches.are_nested(forked)


def test_cuts_that_contain_each_other_do_not_contradict() -> None:
    cuts = _tree(
        a=("network", _heads((1, 1), (2, 1))),
        b=("a", _heads((1, 2))),
        c=("a", _heads((1, 3), (2, 2))),
        d=("c", _heads((1, 4), (3, 1))),
        e=("a", _heads((2, 5))),
    )
    assert _nested(cuts, "b", "c")
    assert _nested(cuts, "d", "b")
    assert _nested(cuts, "a", "d")
    assert _nested(cuts, "b", "e") is False
    assert _nested(cuts, "d", "e") is False
    assert _nested(cuts, "d", "e", frozenset([bytes([2]) * 32]))  # its log is forked: no cut holds both branches
    assert _nested(cuts, "b", "unknown") is None


def test_a_fork_that_both_show_excuses_its_author() -> None:
    one = (bytes([2]) * 32, 1, bytes(32))
    cuts = _tree(a=("network", (*_heads((1, 1)), one)), b=("network", _heads((1, 2), (2, 1))))
    assert _nested(cuts, "a", "b")


def test_branches_are_followed_so_far() -> None:
    """Two long branches that do not meet are given up."""
    chains = {f"{side}{number}": (f"{side}{number + 1}", _heads((1, 1))) for side in "xy" for number in range(100)}
    assert _nested(_tree(**chains), "x0", "y0") is None


def test_a_certified_cut_beside_the_path_contradicts_it() -> None:
    record = KNOWN.fold.ledger.get(NEW)
    assert record is not None
    moved = decode_cut(record.payload).moved
    author, seq, found = moved[0]
    made, certificate = other_cut(KNOWN, NEW, ((author, seq + 1, found),))
    older = given(KNOWN.network, OLD, KNOWN.certificate(OLD))
    assert follows(KNOWN.network, older, certificate).index == 32
    branches = Branches(KNOWN.network.id, NEW, made.id)
    for each in (record, made):
        assert branches.missing() == each.id
        branches.take(each.id, decode_cut(each.payload))
    assert branches.missing() is None
    assert branches.are_nested(()) is False
