"""The base of a fold: where it begins if it does not begin with the network's first record.

A base is the newest cuts of a path with their states. A later state never asks for more than these (`NEAR_CARRY`), so a
fold that begins here needs only records above the heads of the oldest state.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import State


@dataclass(frozen=True, slots=True)
class Base:
    """The ids of the newest cuts of a path, oldest first, and the canonical bytes of their states.

    There are NEAR_CARRY of them, and fewer only near the beginning of the network, which has no cut.
    """

    cuts: tuple[bytes, ...]
    states: tuple[bytes, ...]

    @property
    def newest(self) -> bytes:
        return self.cuts[-1]

    @property
    def oldest(self) -> bytes:
        return self.cuts[0]


def decode_base(network_id: bytes, base: Base, cuts: Mapping[bytes, Record]) -> tuple[State, ...]:
    """The states of a base, oldest first. Raises DecodeError.

    The states must be of one path of this network. `cuts` are the records of the base's cuts that are at hand. Each
    names the root of its state. The caller trusts the newest cut, and each state names the cuts before it.
    """
    if not base.cuts or len(base.cuts) > NEAR_CARRY or len(base.cuts) != len(base.states):
        raise DecodeError("base: not the states of a few cuts")
    found: list[State] = []
    for cut_id, written in zip(base.cuts, base.states, strict=True):
        read = decode_state(written)
        record = cuts.get(cut_id)
        if read.network_id != network_id:
            raise DecodeError("base: a state of another network")
        if record is not None and (record.id != cut_id or decode_cut(record.payload).state_root != read.root):
            raise DecodeError("base: a state has not the root that its cut names")
        found.append(read.state.named(cut_id))
    newest = found[-1]
    if newest.path[-len(found) :] != base.cuts or newest.index - len(found) != found[0].index - 1:
        raise DecodeError("base: not the newest cuts of one path")
    if len(found) < NEAR_CARRY and newest.path[-len(found) - 1] != network_id:
        raise DecodeError("base: too few states")
    return tuple(found)


def floors_of(state: State) -> dict[bytes, Floor]:
    """The heads of a cut, as floors for a ledger."""
    return {author: Floor(seq, found, *state.tails[author]) for author, (_, seq, found) in state.heads.items()}
