"""The choice of the peer that answers a client: by its standing in the newest final view, and by what failed lately."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2pverify.core.limits import BoundedDict
from p2pverify.core.machine import Machine
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import State

#: Standings whose peers are asked, the best first. Peers of another standing are never asked for a client.
ASKED = (Standing.TRUSTED, Standing.PROBATION)
FAILED_PEERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class AnswerPeer:
    """A peer that can answer, as the newest final view shows it. Rates are in parts per million.

    `standing` is None and the rates are 0 and 1,000,000 for a peer that is in no view. `cut` is the view's cut.
    """

    peer: bytes
    is_own: bool
    class_index: int
    standing: Standing | None
    low_ppm: int
    high_ppm: int
    audits: int
    cut: bytes
    epoch: int


class Choice:
    """Chooses for one node. `linked` tells whether a peer is connected now, `dice` decides among equals."""

    def __init__(self, machine: Machine, linked: Callable[[], frozenset[bytes]], dice: random.Random) -> None:
        self._machine = machine
        self._linked = linked
        self._dice = dice
        self._failed: BoundedDict[bytes, int] = BoundedDict(FAILED_PEERS_MAX)  # peer -> epoch
        self._view: tuple[bytes, tuple[view.Score, ...]] = (b"", ())

    def candidates(self, epoch: int) -> list[AnswerPeer]:
        """The peers that may be asked in this epoch, in the order in which to ask them; this node is not among them.

        Better standings come first, then peers of the own class, whose answers are equal, then connected peers. The
        order is random otherwise, so that load is spread. A policy that asks several peers takes them from the front.
        """
        machine, state = self._machine, self._machine.fold.latest
        own = machine.context.class_index
        manifest = machine.network.classes[own].manifest
        linked = self._linked()

        def class_of(score: view.Score) -> int:
            return state.members[score.peer].class_index

        found = [
            (ASKED.index(score.standing), class_of(score) != own, score.peer not in linked, self._dice.random(), score)
            for score in self._scores(state)
            if score.standing in ASKED
            and score.peer != machine.key
            and self._failed.get(score.peer) != epoch
            and machine.network.classes[class_of(score)].manifest == manifest
        ]
        return [_candidate(state, score, is_own=False) for *_, score in sorted(found, key=lambda each: each[:4])]

    def own(self) -> AnswerPeer:
        """This node itself."""
        state, key = self._machine.fold.latest, self._machine.key
        score = next((score for score in self._scores(state) if score.peer == key), None)
        if score is None:
            return AnswerPeer(
                key, True, self._machine.context.class_index, None, 0, 1_000_000, 0, state.id, state.epoch
            )
        return _candidate(state, score, is_own=True)

    def note_failed(self, peer: bytes, epoch: int) -> None:
        """Leave a peer out until this epoch is over."""
        self._failed[peer] = epoch

    def _scores(self, state: State) -> Sequence[view.Score]:
        if self._view[0] != state.id:
            self._view = (state.id, view.scores(self._machine.network, state))
        return self._view[1]


def _candidate(state: State, score: view.Score, *, is_own: bool) -> AnswerPeer:
    return AnswerPeer(
        score.peer,
        is_own,
        state.members[score.peer].class_index,
        score.standing,
        score.low_ppm,
        score.high_ppm,
        score.audits,
        state.id,
        state.epoch,
    )
