"""Proposing and signing cuts: how a set of records becomes final.

A member signs a cut if it holds all of it, if the cut stands on the newest certified cut, contains every cut that the
member signed before, its record and those signatures included, and if its own fold gives the proposed view.
"""

import itertools

from p2pverify.core import draw, vrf
from p2pverify.core.canon import sha256
from p2pverify.core.context import Context
from p2pverify.core.fold import NEW_AUTHORS_MAX
from p2pverify.core.records import (
    HEADS_MAX,
    Cut,
    CutSignature,
    Head,
    Kind,
    Record,
    decode_cut,
    decode_cut_signature,
    decode_join,
)
from p2pverify.core.rules import vrf_holds
from p2pverify.core.state import State

PROPOSE_AT_PERMILLE = 400
PROPOSE_SPREAD_PERMILLE = 400
SIGN_WAIT_PERMILLE = 50
EPOCHS_KEPT = 4
#: A join stands among an author's first records.
INTRODUCTION_MAX = 4


class Cutter:
    """This peer's part in making cuts."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._proposals: dict[int, dict[bytes, tuple[Cut, bytes, int]]] = {}  # epoch -> id -> cut, author, seen
        self._proposed: set[tuple[int, bytes]] = set()
        self._signed: set[bytes] = set()
        self._last_signed: tuple[bytes, int] | None = None  # cut id, seq of our signature
        self._not_before_epoch = 0
        self._proofs: dict[bytes, bytes] = {}

    def resume(self, now_ms: int) -> None:
        """Find in the own log what was proposed and signed; sign nothing of epochs that began before this start."""
        for record in self._context.ledger.chain(self._context.key):
            self._note_own(record)
        if self._last_signed is not None:
            self._not_before_epoch = self._context.params.epoch_at(now_ms) + 1

    def _note_own(self, record: Record) -> None:
        if record.kind == Kind.CUT_SIGNATURE:
            cut_id = decode_cut_signature(record.payload).cut
            self._signed.add(cut_id)
            self._last_signed = (cut_id, record.seq)
        elif record.kind == Kind.CUT:
            cut = decode_cut(record.payload)
            self._proposed.add((cut.epoch, cut.base))

    def take(self, record: Record, now_ms: int) -> None:
        """Note a proposal that arrived with its whole prefix."""
        epoch = self._context.params.epoch_at(now_ms)
        if record.kind == Kind.CUT and epoch - EPOCHS_KEPT <= record.epoch <= epoch + 1:
            cut = decode_cut(record.payload)
            self._proposals.setdefault(record.epoch, {})[record.id] = (cut, record.author, now_ms)

    def tick(self, now_ms: int) -> None:
        context = self._context
        if not context.may_write(now_ms):
            return
        epoch = context.params.epoch_at(now_ms)
        for old in [e for e in self._proposals if e < epoch - EPOCHS_KEPT]:
            del self._proposals[old]
        self._propose(epoch, now_ms)
        self._sign(epoch, now_ms)

    def next_wake_ms(self, now_ms: int) -> int:
        params = self._context.params
        epoch = params.epoch_at(now_ms)
        times = [self._propose_at(epoch)[0], self._propose_at(epoch + 1)[0]]
        times += [seen + self._wait_ms for _, _, seen in self._proposals.get(epoch, {}).values()]
        return min(t for t in [*times, params.epoch_start_ms(epoch + 1)] if t > now_ms)

    # ------------------------------------------------------------ proposing

    def _propose_at(self, epoch: int) -> tuple[int, bytes, bytes]:
        """When this peer would propose, its proof, and its beta: the lower the output, the earlier."""
        context = self._context
        latest = context.fold.latest
        alpha = draw.propose_alpha(context.network_id, epoch, latest.beacon)
        proof = self._proofs.get(alpha)
        if proof is None:
            while len(self._proofs) >= EPOCHS_KEPT:
                del self._proofs[next(iter(self._proofs))]
            proof = self._proofs[alpha] = vrf.prove(context.vrf_seed, alpha)
        beta = vrf.proof_to_beta(proof)
        rank = int.from_bytes(draw.proposal_rank(beta)[:4], "big")
        members = max(1, latest.total_weight)
        spread = min(PROPOSE_SPREAD_PERMILLE, rank * members * (PROPOSE_SPREAD_PERMILLE // 4) >> 32)
        start = context.params.epoch_start_ms(epoch)
        return start + context.params.epoch_ms * (PROPOSE_AT_PERMILLE + spread) // 1000, proof, beta

    def _propose(self, epoch: int, now_ms: int) -> None:
        context = self._context
        latest = context.fold.latest
        member = latest.members.get(context.key)
        if member is None or not member.weight or (epoch, latest.id) in self._proposed:
            return
        if latest.epoch >= epoch and latest is not context.fold.genesis:
            return
        at_ms, proof, beta = self._propose_at(epoch)
        if now_ms < at_ms or self._is_outbid(epoch, latest.id, beta):
            return
        heads = self._heads(latest)
        if context.key not in {head[0] for head in heads} or len(heads) > HEADS_MAX:
            return
        cut = Cut(epoch, latest.id, context.vrf_key, proof, heads, bytes(32), bytes(32))
        filled = context.fold.propose(cut, context.key)
        if filled is None:
            return
        self._proposed.add((epoch, latest.id))
        self.take(context.write(Kind.CUT, filled.encode(), now_ms), now_ms)

    def _is_outbid(self, epoch: int, base: bytes, beta: bytes) -> bool:
        own = draw.proposal_rank(beta)
        return any(self._rank(cut) < own for cut, _, _ in self._standing(epoch, base))

    def _standing(self, epoch: int, base: bytes) -> list[tuple[Cut, bytes, int]]:
        """Proposals of an epoch on a base whose proposer has weight there and whose proof holds."""
        latest = self._context.fold.latest
        found = []
        for cut, author, seen in self._proposals.get(epoch, {}).values():
            member = latest.members.get(author)
            alpha = draw.propose_alpha(self._context.network_id, cut.epoch, latest.beacon)
            stands = cut.base == base and member is not None and member.weight
            stands = stands and cut.vrf_key == self._vrf_key(author, latest)
            if stands and vrf_holds(cut.vrf_key, alpha, cut.proof):
                found.append((cut, author, seen))
        return found

    def _vrf_key(self, author: bytes, latest: State) -> bytes | None:
        """The key that a proposer must use: a member's, or that of a founder's join which no cut holds yet."""
        member = latest.members[author]
        if member.active:
            return member.vrf_key
        join = self._join_of(author)
        return None if join is None else decode_join(join.payload).vrf_key

    def _join_of(self, author: bytes) -> Record | None:
        """The join among an author's first records."""
        first = itertools.islice(self._context.ledger.chain(author), INTRODUCTION_MAX)
        return next((record for record in first if record.kind == Kind.JOIN), None)

    def _heads(self, latest: State) -> tuple[Head, ...]:
        """What a proposal holds: everything of known authors, and a few that join. So free keys cannot fill a cut."""
        ledger = self._context.ledger
        heads = ledger.heads()
        known = [head for head in heads if head[0] in latest.heads]
        joining = [head for head in heads if head[0] not in latest.heads]
        founders = [head for head in joining if head[0] in latest.members]
        others = [h for h in joining if h[0] not in latest.members and self._join_of(h[0]) is not None]
        others.sort(key=lambda head: sha256(latest.beacon + head[0]))
        room = max(0, min(NEW_AUTHORS_MAX, HEADS_MAX - len(known) - len(founders)))
        return tuple(sorted([*known, *founders, *others[:room]]))

    @staticmethod
    def _rank(cut: Cut) -> bytes:
        return draw.proposal_rank(vrf.proof_to_beta(cut.proof))

    # ------------------------------------------------------------ signing

    def _sign(self, epoch: int, now_ms: int) -> None:
        context = self._context
        latest = context.fold.latest
        member = latest.members.get(context.key)
        if member is None or not member.weight:
            return
        for proposed in (epoch, epoch - 1):
            standing = self._standing(proposed, latest.id)
            if proposed < self._not_before_epoch or not standing:
                continue
            if now_ms < min(seen for _, _, seen in standing) + self._wait_ms:
                continue
            ids = {cut: cut_id for cut_id, (cut, _, _) in self._proposals[proposed].items()}
            for cut, _, _ in sorted(standing, key=lambda s: self._rank(s[0])):
                cut_id = ids[cut]
                if cut_id in self._signed:
                    break
                if self._may_sign(cut_id, cut):
                    self._signed.add(cut_id)
                    record = context.write(Kind.CUT_SIGNATURE, CutSignature(cut_id).encode(), now_ms)
                    self._last_signed = (cut_id, record.seq)
                    return

    @property
    def _wait_ms(self) -> int:
        """A moment for a better proposal to arrive."""
        return self._context.params.epoch_ms * SIGN_WAIT_PERMILLE // 1000

    def _may_sign(self, cut_id: bytes, cut: Cut) -> bool:
        context = self._context
        heads = {head[0]: head for head in cut.heads}
        if self._last_signed is not None:
            signed_id, seq = self._last_signed
            own = heads.get(context.key)
            if own is None or own[1] < seq:
                return False
            before = context.ledger.get(signed_id)
            if before is None or not context.ledger.covers(cut.heads):
                return False
            proposer = heads.get(before.author)
            if proposer is None or proposer[1] < before.seq:
                return False  # that cut itself must be inside, or its convictions would not be carried on
            if not context.ledger.extends(heads, decode_cut(before.payload).heads):
                return False
        return context.fold.state(cut_id) is not None
