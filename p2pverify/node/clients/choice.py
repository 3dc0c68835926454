"""The choice of the peers that answer a client: by the newest final view, and by what this node has seen of them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from p2pverify.core.limits import BoundedDict
from p2pverify.core.state.score import LAST_RANK, Standing, rank_of

if TYPE_CHECKING:
    from p2pverify.core.machine import Machine
    from p2pverify.core.state.view import Score

FAILED_PEERS_MAX = 1024
SPEEDS_KEPT = 1024
CONTEXTS_KEPT = 1024
#: Epochs after which a peer's speed is forgotten, so that a peer that was slow once is tried again.
SPEED_EPOCHS = 2
#: Epochs for which a peer's word counts that its context is too small for a question.
CONTEXT_EPOCHS = 64
START_TOKENS = 8  # the start of an answer takes about as long as so many tokens


@dataclass(frozen=True, slots=True)
class AnswerPeer:
    """A peer that can answer, as the newest final view shows it. Rates are in parts per million.

    `model` is the digest of the manifest (32 B) of the model that it serves. `is_behind` says that this version is
    retired or recalled.

    `standing` is None and the rates are 0 and 1,000,000 for a peer that is in no view. `cut` is the view's cut.
    `is_contested` says that this node itself contests its conviction.
    """

    peer: bytes
    is_own: bool
    class_index: int
    model: bytes
    standing: Standing | None
    low_ppm: int
    high_ppm: int
    audits: int
    cut: bytes
    epoch: int
    is_contested: bool = False
    is_behind: bool = False

    @property
    def rank(self) -> tuple[int, int] | None:
        """The rank by its standing and the lower end of its interval, less is better. None: asked only by name.

        A convicted peer comes last if this node itself contests the conviction, because it has computed the decisions
        again. The word of other members is not enough, because a cheater may have a friend.
        """
        if self.standing is None or self.is_behind:
            return None
        return rank_of(self.standing, self.low_ppm) or (LAST_RANK if self.is_contested else None)


class SeenView(Protocol):
    """The newest final view of the peers of one model, as far as a choice needs it."""

    @property
    def own_class(self) -> int | None:
        """The class of this node; None if it cannot run the model."""
        ...

    def own(self) -> AnswerPeer | None:
        """This node itself; None if it cannot run the model."""
        ...

    def others(self) -> Sequence[AnswerPeer]:
        """The other members that run the model."""
        ...


class NodeView:
    """The view of a node, which holds the ledger. Its `peers` serve several models; `ModelView` has those of one."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._known: tuple[bytes, tuple[AnswerPeer, ...]] = (b"", ())

    @property
    def own_class(self) -> int:
        return self._machine.context.class_index

    @property
    def own_manifest(self) -> bytes:
        """The digest of the manifest of the model that this node serves; before it is a member, that of its class."""
        own = self.own()
        first = self._machine.network.classes[self.own_class].manifest
        return own.model if own.class_index == self.own_class else first

    def is_held(self, manifest: bytes) -> bool:
        """Whether this node can compute with the model of a manifest (digest, 32 B)."""
        return manifest in self._machine.context.held

    def own(self) -> AnswerPeer:
        """This node itself, which may be in no view yet."""
        found = next((each for each in self.peers() if each.is_own), None)
        if found is not None:
            return found
        state, first = self._machine.fold.latest, self._machine.network.classes[self.own_class].manifest
        seen = (self.own_class, first, None, 0, 1_000_000, 0, state.id, state.epoch)
        return AnswerPeer(self._machine.key, True, *seen)

    def serving(self) -> Counter[bytes]:
        """How many peers that may be asked serve each model, by its manifest."""
        return Counter(each.model for each in self.peers() if each.rank is not None)

    def peers(self) -> tuple[AnswerPeer, ...]:
        from p2pverify.core.state import view  # noqa: PLC0415 - slow to load, and a client without a ledger has none

        state = self._machine.fold.latest
        if self._known[0] != state.id:
            found = view.scores(self._machine.network, state)
            self._known = (state.id, tuple(map(self._peer, found)))
        return self._known[1]

    def _peer(self, score: "Score") -> AnswerPeer:
        from p2pverify.core.state.lines.versions import model_of  # noqa: PLC0415 - as above

        state, key = self._machine.fold.latest, self._machine.key
        return AnswerPeer(
            score.peer,
            score.peer == key,
            state.members[score.peer].class_index,
            model_of(self._machine.network, state, score.peer),
            score.standing,
            score.low_ppm,
            score.high_ppm,
            score.audits,
            state.id,
            state.epoch,
            key in score.contested_by,
            score.is_behind,
        )


class ModelView:
    """The peers that serve one model in a node's view; `manifest` is the digest of its manifest. It fulfils `SeenView`.

    This node takes part if it can compute with the model, also if it serves another version of it.
    """

    def __init__(self, view: NodeView, manifest: bytes) -> None:
        self._view = view
        self._manifest = manifest

    @property
    def own_class(self) -> int | None:
        return self._view.own_class if self._view.is_held(self._manifest) else None

    def own(self) -> AnswerPeer | None:
        return None if self.own_class is None else self._view.own()

    def others(self) -> list[AnswerPeer]:
        return [each for each in self._view.peers() if not each.is_own and each.model == self._manifest]


class Choice:
    """Chooses among the peers of one model, for one client or node.

    `linked` tells who is connected now, `dice` decides among equals.
    """

    def __init__(self, view: SeenView, linked: Callable[[], frozenset[bytes]], dice: random.Random) -> None:
        self._view = view
        self._linked = linked
        self._dice = dice
        self._failed: BoundedDict[bytes, int] = BoundedDict(FAILED_PEERS_MAX)  # peer -> epoch
        self._speeds: BoundedDict[bytes, tuple[int, int]] = BoundedDict(SPEEDS_KEPT)  # peer -> epoch, us for a token
        self._contexts: BoundedDict[bytes, tuple[int, int]] = BoundedDict(CONTEXTS_KEPT)  # peer -> epoch, tokens
        self._busy: Counter[bytes] = Counter()  # requests of this node that a peer is answering

    def candidates(self, epoch: int, panel: int = 1, tokens: int = 0) -> list[AnswerPeer]:
        """The peers that may be asked in this epoch, in the order in which to ask them; this node is not among them.

        The first one is the best: by standing, lower end of the interval, this node's class, connection, and wait.
        Equals come in random order, so that load is spread. Among those of a standing, peers of one class come first,
        because their answers can be compared and one can go on with the answer of another: the class of the best peer,
        or for a `panel` a class that can fill it. Peers that have said that `tokens` of prompt and answer are too many
        for them are left out.
        """
        linked = self._linked()
        free = (each for each in self._view.others() if self._failed.get(each.peer) != epoch)
        ranked = [(each.rank, each) for each in free if self._context(each.peer, epoch, tokens) >= tokens]
        found = [(rank, each) for rank, each in ranked if rank is not None]
        found.sort(key=lambda one: (one[0], *self._preference(one[1], epoch, linked)))
        classes = [each.class_index for _, each in found]
        first = self._class_of_panel(classes, panel) if panel > 1 else next(iter(classes), None)
        found.sort(key=lambda one: (one[0][0], one[1].class_index != first))
        return [each for _, each in found]

    def own(self) -> AnswerPeer | None:
        """This node itself; None if it does not run the model."""
        return self._view.own()

    def named(self, peer: bytes) -> AnswerPeer | None:
        """A peer that a client has named, whatever its standing. None if it is no member with the model."""
        own = self.own()
        if own is not None and own.peer == peer:
            return own
        return next((each for each in self._view.others() if each.peer == peer), None)

    def note_failed(self, peer: bytes, epoch: int) -> None:
        """Leave a peer out until this epoch is over."""
        self._failed[peer] = epoch

    def note_context(self, peer: bytes, epoch: int, tokens: int) -> None:
        """Note that a peer can hold only so many tokens of prompt and answer."""
        self._contexts[peer] = (epoch, tokens)

    def usual_context(self, epoch: int, unknown: int) -> int:
        """What at least half of the candidates can hold; `unknown` stands for those that have refused nothing.

        A few peers with a small context must not shorten the answers of all.
        """
        known = (self._context(each.peer, epoch, unknown) for each in self.candidates(epoch))
        found = sorted((min(unknown, each) for each in known), reverse=True)
        return found[len(found) // 2] if found else unknown

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

    def _preference(self, each: AnswerPeer, epoch: int, linked: frozenset[bytes]) -> tuple[bool, bool, int, int, float]:
        """What decides among peers of one rank; less is better. Waits count in powers of two."""
        busy = self._busy[each.peer]
        wait_us = (self._speed(each.peer, epoch) or 0) * (1 + busy)
        return (
            each.class_index != self._view.own_class,
            each.peer not in linked,
            wait_us.bit_length(),
            busy,
            self._dice.random(),
        )

    def _context(self, peer: bytes, epoch: int, unknown: int) -> int:
        noted = self._contexts.get(peer)
        return unknown if noted is None or epoch - noted[0] >= CONTEXT_EPOCHS else noted[1]

    def _speed(self, peer: bytes, epoch: int) -> int | None:
        noted = self._speeds.get(peer)
        return None if noted is None or epoch - noted[0] >= SPEED_EPOCHS else noted[1]

    def _class_of_panel(self, indices: Sequence[int], panel: int) -> int:
        """The class of which a panel is taken: this node's if it has enough peers, else the one with the most."""
        own, counts = self._view.own_class, Counter(indices)
        if own is not None and counts[own] >= panel:
            return own
        return max(counts, key=lambda index: (counts[index], index == own, -index), default=own or 0)
