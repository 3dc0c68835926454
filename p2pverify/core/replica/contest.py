"""Contested cuts: the cuts of a ledger in whose views a conviction is contested by members that a reader believes.

A reader that leaves a network with a hostile majority goes on from the newest cut before them (protocol/fork.md).
"""

from collections.abc import Collection

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut, decode_cut_signature
from p2pverify.core.replica.fold import Fold
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.objections import contesting


def contested_convictions(fold: Fold, state: State, believed: Collection[bytes]) -> list[bytes]:
    """The peers of a view whose convictions a believed member contests, sorted."""
    network, members = fold.network, state.members
    return [
        peer
        for peer in sorted(state.convicted)
        if not set(believed).isdisjoint(contesting(network, state, members[peer]))
    ]


def last_uncontested(fold: Fold, believed: Collection[bytes]) -> bytes | None:
    """The id of the newest certified cut of the path before the first contested conviction. None if none is held.

    All records held are looked at, because an objection often comes after the conviction. A conviction has its epoch.
    """
    held = fold.provisional(fold.latest.epoch + 1)
    contested = contested_convictions(fold, held, believed)
    first = min((held.members[peer].convicted_epoch for peer in contested), default=held.epoch)
    cut_id = fold.latest.id
    while cut_id != fold.network_id:
        record = fold.ledger.get(cut_id)
        if record is None:
            return None  # it lies below the horizon
        cut = decode_cut(record.payload)
        if cut.epoch < first:
            return cut_id
        cut_id = cut.base
    return None


def contested_signers(fold: Fold, origin: State, believed: Collection[bytes]) -> frozenset[bytes]:
    """The members of a cut that signed a contested cut of a later epoch, certified or not.

    Who signs a cut has seen the objections in it. So only a conviction counts that is contested inside the cut.
    """
    signatures = [
        (record.epoch, record.id, record.author, decode_cut_signature(record.payload).cut)
        for record in fold.ledger.records()
        if record.kind == Kind.CUT_SIGNATURE and record.epoch > origin.epoch and record.author in origin.members
    ]
    judged: dict[bytes, bool] = {}
    found: set[bytes] = set()
    for _, _, author, cut_id in sorted(signatures):  # so that each state is computed once, on the one before
        if author not in found and cut_id not in judged:
            state = fold.state(cut_id)
            judged[cut_id] = state is not None and bool(contested_convictions(fold, state, believed))
        if judged.get(cut_id):
            found.add(author)
    return frozenset(found)
