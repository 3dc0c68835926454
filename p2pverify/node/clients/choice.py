"""The choice of the peers that answer a client: by the newest final view, and by what this node has seen of them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from p2pverify.core.limits import BoundedDict
from p2pverify.core.machine import Machine
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import State

#: Standings whose peers are asked, the best first.
ASKED = (Standing.TRUSTED, Standing.PROBATION)
FAILED_PEERS_MAX = 1024
SPEEDS_KEPT = 1024
#: Lower ends of intervals in one such step are equal here. Otherwise the best peer of all would get all requests.
LOW_STEP_PPM = 50_000
#: Epochs after which a peer's speed is forgotten, so that a peer that was slow once is tried again.
SPEED_EPOCHS = 2
START_TOKENS = 8  # the start of an answer takes about as long as so many tokens


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
        self._speeds: BoundedDict[bytes, tuple[int, int]] = BoundedDict(SPEEDS_KEPT)  # peer -> epoch, us for a token
        self._busy: Counter[bytes] = Counter()  # requests of this node that a peer is answering
        self._view: tuple[bytes, tuple[view.Score, ...]] = (b"", ())

    def candidates(self, epoch: int, panel: int = 1) -> list[AnswerPeer]:
        """The peers that may be asked in this epoch, in the order in which to ask them; this node is not among them.

        The first one is the best: by standing, lower end of the interval, this node's class, connection, and wait.
        Equals come in random order, so that load is spread. Among those of a standing, peers of one class come first,
        because their answers can be compared and one can go on with the answer of another: the class of the best peer,
        or for a `panel` a class that can fill it.
        """
        state, linked = self._machine.fold.latest, self._linked()
        scores = (score for score in self._scores(state) if self._rank(score) is not None)
        found = [score for score in scores if self._may_answer(state, score.peer, epoch)]
        found.sort(key=lambda score: (self._rank(score) or 0, *self._preference(state, score, epoch, linked)))
        classes = [state.members[score.peer].class_index for score in found]
        first = self._class_of_panel(classes, panel) if panel > 1 else next(iter(classes), None)
        found.sort(key=lambda score: (self._rank(score) or 0, state.members[score.peer].class_index != first))
        return [_candidate(state, score, is_own=False) for score in found]

    def own(self) -> AnswerPeer:
        """This node itself."""
        state, key = self._machine.fold.latest, self._machine.key
        found = self._find(state, key)
        if found is None:
            return AnswerPeer(
                key, True, self._machine.context.class_index, None, 0, 1_000_000, 0, state.id, state.epoch
            )
        return found

    def named(self, peer: bytes) -> AnswerPeer | None:
        """A peer that a client has named, whatever its standing. None if it is no member with this node's model."""
        if peer == self._machine.key:
            return self.own()
        state = self._machine.fold.latest
        return self._find(state, peer) if peer in state.members and self._has_model(state, peer) else None

    def serving(self) -> Counter[bytes]:
        """How many peers of good standing serve each model, by its manifest, in the newest final view."""
        state, classes = self._machine.fold.latest, self._machine.network.classes
        return Counter(
            classes[state.members[score.peer].class_index].manifest
            for score in self._scores(state)
            if score.standing in ASKED
        )

    def note_failed(self, peer: bytes, epoch: int) -> None:
        """Leave a peer out until this epoch is over."""
        self._failed[peer] = epoch

    @contextmanager
    def asking(self, peer: bytes) -> Iterator[None]:
        """Count a request to a peer while it is being answered."""
        self._busy[peer] += 1
        try:
            yield
        finally:
            self._busy[peer] -= 1
            if not self._busy[peer]:
                del self._busy[peer]

    def note_speed(self, peer: bytes, epoch: int, elapsed_ms: int, tokens: int) -> None:
        """Note how long a peer took for an answer of so many tokens. Newer answers count more."""
        found = 1000 * elapsed_ms // (tokens + START_TOKENS)
        known = self._speed(peer, epoch)
        self._speeds[peer] = (epoch, found if known is None else (3 * known + found) // 4)

    def _rank(self, score: view.Score) -> int | None:
        """The rank of a standing, 0 for the best. None: never asked.

        A convicted peer comes last if this node itself contests the conviction, because it has computed the decisions
        again. The word of other members is not enough, because a cheater may have a friend.
        """
        if score.standing in ASKED:
            return ASKED.index(score.standing)
        return len(ASKED) if self._machine.key in score.contested_by else None

    def _may_answer(self, state: State, peer: bytes, epoch: int) -> bool:
        return peer != self._machine.key and self._failed.get(peer) != epoch and self._has_model(state, peer)

    def _has_model(self, state: State, peer: bytes) -> bool:
        classes = self._machine.network.classes
        own = classes[self._machine.context.class_index]
        return classes[state.members[peer].class_index].manifest == own.manifest

    def _preference(
        self, state: State, score: view.Score, epoch: int, linked: frozenset[bytes]
    ) -> tuple[int, bool, bool, int, int, float]:
        """What decides among peers of one rank; less is better. Waits count in powers of two."""
        busy = self._busy[score.peer]
        wait_us = (self._speed(score.peer, epoch) or 0) * (1 + busy)
        return (
            -(score.low_ppm // LOW_STEP_PPM),
            state.members[score.peer].class_index != self._machine.context.class_index,
            score.peer not in linked,
            wait_us.bit_length(),
            busy,
            self._dice.random(),
        )

    def _speed(self, peer: bytes, epoch: int) -> int | None:
        noted = self._speeds.get(peer)
        return None if noted is None or epoch - noted[0] >= SPEED_EPOCHS else noted[1]

    def _class_of_panel(self, indices: Sequence[int], panel: int) -> int:
        """The class of which a panel is taken: this node's if it has enough peers, else the one with the most."""
        own, counts = self._machine.context.class_index, Counter(indices)
        if counts[own] >= panel:
            return own
        return max(counts, key=lambda index: (counts[index], index == own, -index), default=own)

    def _find(self, state: State, peer: bytes) -> AnswerPeer | None:
        is_own = peer == self._machine.key
        found = (_candidate(state, score, is_own=is_own) for score in self._scores(state) if score.peer == peer)
        return next(found, None)

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
