"""Members that obstruct or attack cuts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.events import Effect, Effects
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head
from p2pverify.core.state.state import State
from p2pverify.testnet.world.liars.base import BentActor, BentContext
from p2pverify.testnet.world.peer.actor import ActorArgs, PublishTo, WorldEffect


class NonSigner(BentActor):
    """Never signs or proposes a cut."""

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        return None if kind in {Kind.CUT, Kind.CUT_SIGNATURE} and self.is_awake(now_ms) else payload


class DoubleSigner(BentActor):
    """Signs every proposal that it sees, even if it does not contain the cuts that it signed before. After
    BESIDE_AFTER_EPOCHS it also signs its own cut that conflicts with the newest certified cut.
    """

    BESIDE_AFTER_EPOCHS = 4

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._signed: set[bytes] = set()
        self._seen = 0
        self._went_beside = False
        self._tried_epoch = -1

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        return None if kind == Kind.CUT_SIGNATURE and self.is_awake(now_ms) else payload

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        ledger = self.context.ledger
        if not self.is_awake(now_ms) or len(ledger) == self._seen:
            return
        self._seen = len(ledger)
        for author in self.args.network.founders:
            head = ledger.head(author)
            for record in ledger.chain_from(author, max(0, head[1] - 16) if head else 0):
                if record.kind == Kind.CUT and record.id not in self._signed:
                    yield from self._sign(record.id, now_ms)
        if not self._went_beside and self.epoch(now_ms) >= self.args.onset_epoch + self.BESIDE_AFTER_EPOCHS:
            yield from self._go_beside(now_ms)

    def _sign(self, cut_id: bytes, now_ms: int) -> Effects[None]:
        self._signed.add(cut_id)
        yield from self.context.write_dated(Kind.CUT_SIGNATURE, CutSignature(cut_id).encode(), self.epoch(now_ms))

    def _go_beside(self, now_ms: int) -> Effects[None]:
        """Propose and sign a cut on the base of the newest certified cut, without the new records of one author."""
        fold, latest, epoch = self.machine.fold, self.machine.fold.latest, self.epoch(now_ms)
        base = fold.state(latest.path[-2]) if len(latest.path) > 2 else None
        if base is None or latest.id not in self._signed or epoch <= max(base.epoch, self._tried_epoch):
            return
        self._tried_epoch = epoch
        news = [author for author, head in sorted(latest.heads.items()) if base.heads.get(author) != head]
        for omitted in news[epoch % 4 :: 4][:4]:
            moved = [head for head in self.context.ledger.moved(base.heads) if head[0] in latest.heads]
            cut = self._propose_on(base, epoch, [head for head in moved if head[0] != omitted])
            if cut is not None and omitted != self.key:
                self._went_beside = True
                beside = yield from self.context.write_dated(Kind.CUT, cut.encode(), epoch)
                yield from self._sign(beside.id, now_ms)
                return

    def _propose_on(self, base: State, epoch: int, moved: Iterable[Head]) -> Cut | None:
        fold, latest = self.machine.fold, self.machine.fold.latest
        fold.latest = base
        try:
            return fold.propose(bare_cut(self.context, epoch, base, moved), self.key)
        finally:
            fold.latest = latest


class LateSupport(DoubleSigner):
    """The first of its gang contradicts itself like a double signer. The others sign no cut, until they know one beside
    the path whose view convicts somebody whom the newest final view does not convict. They sign this cut when the path
    has grown by LATE_CUTS cuts, so that its conviction is supported only then.
    """

    LATE_CUTS = 6

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if self.key == min(self.args.gang.keys):
            yield from super().act(now_ms)
            return
        fold, latest = self.machine.fold, self.machine.fold.latest
        if not self.is_awake(now_ms) or latest.index == self._seen:
            return
        self._seen = latest.index
        for cut_id in sorted(latest.cuts.keys() - set(latest.path) - self._signed):
            base, beside = fold.state(latest.cuts[cut_id].base), fold.state(cut_id)
            is_late = base is not None and latest.index >= base.index + self.LATE_CUTS
            if is_late and beside is not None and beside.convicted - latest.convicted:
                yield from self._sign(cut_id, now_ms)


def bare_cut(context: BentContext, epoch: int, base: State, moved: Iterable[Head]) -> Cut:
    """A cut with a valid proof and without roots."""
    proof = vrf.prove(context.vrf_seed, sortition.propose_alpha(context.network_id, epoch, base.beacon))
    return Cut(epoch, base.id, context.vrf_key, proof, tuple(sorted(moved)), bytes(32), bytes(32), bytes(32))


class HostileProposer(BentActor):
    """Proposes a harmful cut in every epoch, before every other proposer and regardless of its own rank.

    It takes turns with these cuts:

    - without the new records of half of the authors;
    - with a view root that does not follow from the records;
    - with a head that does not exist;
    - with a head that goes back;
    - with a hidden branch of its own log;
    - in turn FINAL_TURN, two different proposals for one epoch, each for half of the peers.
    """

    FINAL_TURN = 6
    LEFT_OUT_MAX = 16

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._proposed_epoch = -1
        self._turn = 0

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        return None if kind == Kind.CUT and self.is_awake(now_ms) else payload

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch, latest = self.epoch(now_ms), self.machine.fold.latest
        member = latest.members.get(self.key)
        ready = self.is_awake(now_ms) and epoch > self._proposed_epoch and epoch > latest.epoch
        if not ready or member is None or not member.weight or not member.active:
            return
        self._proposed_epoch = epoch
        self._turn += 1
        if self._turn % self.FINAL_TURN == 0:
            yield from self._propose_two(epoch, latest)
            return
        ways: Sequence[Callable[[int, State], Cut | None]] = (
            self._omitting, self._with_false_view, self._with_invented_head, self._going_back, self._with_hidden_branch,
        )  # fmt: skip
        cut = ways[(self._turn - 1) % len(ways)](epoch, latest)
        if cut is not None:
            yield from self._propose(cut)

    def wake_ms(self, now_ms: int) -> int | None:
        return self.args.network.params.epoch_start_ms(self.epoch(now_ms) + 1) + 1

    def _propose(self, cut: Cut) -> Effects[None]:
        """Propose and sign a cut."""
        record = yield from self.context.write_dated(Kind.CUT, cut.encode(), cut.epoch)
        yield from self.context.write_dated(Kind.CUT_SIGNATURE, CutSignature(record.id).encode(), cut.epoch)

    # ------------------------------------------------------------ proposals

    def _cut(self, epoch: int, latest: State, moved: Iterable[Head]) -> Cut | None:
        """A cut with a valid proof and correct roots; None if these heads have no roots."""
        return self.machine.fold.propose(bare_cut(self.context, epoch, latest, moved), self.key)

    def _moved(self, latest: State) -> list[Head]:
        """The heads of an honest proposal."""
        return [head for head in self.context.ledger.moved(latest.heads) if head[0] in latest.members]

    def _omitting(self, epoch: int, latest: State) -> Cut | None:
        """A cut without the new records of half of the other peers. The records that certify the base must stay."""
        omitted = set(self.halves()[0])
        moved = self._moved(latest)
        few = [head for head in moved if head[0] not in omitted]
        return self._cut(epoch, latest, few) or self._cut(epoch, latest, moved[1:])

    def _with_false_view(self, epoch: int, latest: State) -> Cut | None:
        cut = self._cut(epoch, latest, self._moved(latest))
        return None if cut is None else replace(cut, view_root=sha256(cut.view_root))

    def _with_invented_head(self, epoch: int, latest: State) -> Cut | None:
        moved = [(author, seq + 1, sha256(head)) for author, seq, head in self._moved(latest)]
        return bare_cut(self.context, epoch, latest, moved)

    def _going_back(self, epoch: int, latest: State) -> Cut | None:
        moved = []
        for author, seq, head in sorted(latest.heads.values()):
            if seq > 0:
                record = self.context.ledger.get(head)
                moved.append((author, seq - 1, record.header.prev if record else bytes(32)))
        return bare_cut(self.context, epoch, latest, moved)

    def _with_hidden_branch(self, epoch: int, latest: State) -> Cut | None:
        """A cut with a record of the own log that is never published."""
        hidden = self.context.sign_next(Kind.LEAVE, encode([]), epoch)
        moved = [head for head in self._moved(latest) if head[0] != self.key]
        return bare_cut(self.context, epoch, latest, [*moved, (self.key, hidden.seq, hidden.id)])

    def _propose_two(self, epoch: int, latest: State) -> Iterable[Effect | WorldEffect]:
        """Two cuts for one epoch and base. The first goes to all peers, the second to one half of them."""
        moved = self._moved(latest)
        one = self._cut(epoch, latest, moved)
        others = [head for head in moved if head[0] != self.key][: self.LEFT_OUT_MAX]
        # Without some of these heads the cut would not hold its base's certificate.
        fewer = (self._cut(epoch, latest, [head for head in moved if head != left_out]) for left_out in others)
        two = next((cut for cut in fewer if cut is not None), None)
        if one is None or two is None:
            return
        yield from self._propose(one)
        second = yield from self.context.write_dated(Kind.CUT, two.encode(), epoch)
        yield PublishTo((second.data,), self.halves()[1])
