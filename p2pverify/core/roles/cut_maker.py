"""Proposing and signing cuts: how a set of records becomes final.

A member signs a cut if all of these hold:

- It holds all records of the cut, and its own fold gives the proposed view.
- The base of the cut is the newest certified cut.
- The cut contains every cut that the member signed before, with that cut's record and the member's signature. Branches
  of logs that the cut proves to be forked are excepted.
- The cut leaves out nothing that all peers could have (`omissions`).
- The member objects to no decision on which a conviction in the view rests (`objector`).
  It does not propose such a cut either, because all members would have to fold it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Params
from p2pverify.core.contract.sortition import vrf_holds
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effects
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import HEADS_MAX, Cut, CutSignature, Head, decode_cut, decode_cut_signature
from p2pverify.core.records.payloads.membership import decode_join
from p2pverify.core.replica.states import new_authors_max
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.disputes.objector import Objector
from p2pverify.core.roles.omissions import Omissions
from p2pverify.core.state.state import State

PROPOSE_AT_PERMILLE = 400
PROPOSE_SPREAD_PERMILLE = 400
SIGN_WAIT_PERMILLE = 50
EPOCHS_KEPT = 4
#: Own proposals, and own signatures, that are remembered: those of the newest cuts decide what may be signed.
OWN_CUTS_KEPT = 1024
#: Most proposals of one epoch that are remembered of one author, and of all authors without weight in the newest view.
PROPOSALS_PER_AUTHOR_MAX = 4
PROPOSALS_BESIDE_MAX = 64
#: A join is among this many first records of an author.
INTRODUCTION_MAX = 4


@dataclass(frozen=True, slots=True)
class _Seen:
    """A proposal, and the Unix ms of its arrival."""

    record: Record
    at_ms: int

    @property
    def cut(self) -> Cut:
        return decode_cut(self.record.payload)

    @property
    def rank(self) -> bytes:
        return _rank(self.cut.proof)


def cut_due_ms(params: Params, epoch: int, spread_permille: int = 0) -> int:
    """Unix ms from which an epoch's cut may be proposed: `spread_permille` of an epoch after the first turn."""
    return params.epoch_start_ms(epoch) + params.epoch_ms * (PROPOSE_AT_PERMILLE + spread_permille) // 1000


@lru_cache(maxsize=1024)
def _rank(proof: bytes) -> bytes:
    """The rank of a proposal whose proof was verified: the lowest goes first."""
    return sortition.proposal_rank(vrf.proof_to_beta(proof))


def _lot(latest: State, head: Head) -> bytes:
    return sha256(latest.beacon + head[0])


class Cutter(Part):
    """This peer's part in making cuts."""

    def __init__(self, context: Context, objector: Objector) -> None:
        self._context = context
        self._objector = objector
        self._proposals: dict[int, dict[bytes, _Seen]] = {}  # epoch -> id
        self._proposed: BoundedDict[tuple[int, bytes], None] = BoundedDict(OWN_CUTS_KEPT)
        self._signed: BoundedDict[bytes, None] = BoundedDict(OWN_CUTS_KEPT)
        self._last_signed: tuple[bytes, int] | None = None  # cut id, seq of our signature
        self._proofs: BoundedDict[bytes, bytes] = BoundedDict(EPOCHS_KEPT)
        self._awaited: set[bytes] = set()  # ids of records that proposals hold and we lack
        self._omissions = Omissions(context.ledger)
        self._retry_ms = 0
        #: Whether a record came that `tick` should handle now.
        self.is_due = False

    def resume(self) -> None:
        """Find the earlier proposals and signatures in the own log."""
        for record in self._context.ledger.chain(self._context.key):
            self._note_own(record)

    def _note_own(self, record: Record) -> None:
        if record.kind == Kind.CUT_SIGNATURE:
            cut_id = decode_cut_signature(record.payload).cut
            self._signed[cut_id] = None
            self._last_signed = (cut_id, record.seq)
        elif record.kind == Kind.CUT:
            cut = decode_cut(record.payload)
            self._proposed[cut.epoch, cut.base] = None

    def take(self, record: Record, now_ms: int) -> None:
        """Note a proposal that arrived with its whole prefix, or a record that a proposal waits for."""
        if record.id in self._awaited:
            self.is_due = True
        if record.header.kind != Kind.CUT:
            return
        epoch = self._context.params.epoch_at(now_ms)
        if epoch - EPOCHS_KEPT <= record.epoch <= epoch + 1:
            proposals = self._proposals.setdefault(record.epoch, {})
            if self._has_room(record.author, [seen.record.author for seen in proposals.values()]):
                proposals[record.id] = _Seen(record, now_ms)
                self.is_due = True

    def _has_room(self, author: bytes, seen: list[bytes]) -> bool:
        """Whether one more proposal of an author is remembered. `seen`: the authors of the remembered ones."""
        if seen.count(author) >= PROPOSALS_PER_AUTHOR_MAX:
            return False
        members = self._context.fold.latest.members
        beside = sum(other not in members or not members[other].weight for other in seen)
        return beside < PROPOSALS_BESIDE_MAX or (author in members and members[author].weight > 0)

    @property
    def _has_weight(self) -> bool:
        return self._context.fold.latest.weight_of((self._context.key,)) > 0

    def tick(self, now_ms: int) -> Effects[None]:
        context = self._context
        if not context.may_write(now_ms):
            return
        epoch = context.params.epoch_at(now_ms)
        for old in [e for e in self._proposals if e < epoch - EPOCHS_KEPT]:
            del self._proposals[old]
        if self._has_weight:
            self._omissions.look(epoch, context.fold.latest)
            self._awaited.clear()
            yield from self._propose(epoch, now_ms)
            yield from self._sign(epoch, now_ms)
        self.is_due = False

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When to tick again at the latest. None without weight, because there is nothing to do then."""
        if not self._has_weight:
            return None
        epoch = self._context.params.epoch_at(now_ms)
        times = [self._retry_ms]
        if self._may_propose(epoch):
            times.append(self._propose_at(epoch)[0])
        for near in (epoch, epoch - 1):
            for seen in self._standing(near, self._context.fold.latest):
                times += [seen.at_ms + self._wait_ms, self._turn_ms(near, seen.rank)]
        return min((t for t in times if t > now_ms), default=None)

    # ------------------------------------------------------------ proposing

    def _may_propose(self, epoch: int) -> bool:
        latest = self._context.fold.latest
        is_new = latest.epoch < epoch or latest is self._context.fold.genesis
        return is_new and self._context.may_sign_of(epoch) and (epoch, latest.id) not in self._proposed

    def _propose_at(self, epoch: int) -> tuple[int, bytes]:
        """When this peer would propose, and its VRF proof. A lower rank of the VRF output is earlier."""
        context = self._context
        latest = context.fold.latest
        alpha = sortition.propose_alpha(context.network_id, epoch, latest.beacon)
        proof = self._proofs.get(alpha)
        if proof is None:
            proof = self._proofs[alpha] = vrf.prove(context.vrf_seed, alpha)
        return self._turn_ms(epoch, _rank(proof)), proof

    def _turn_ms(self, epoch: int, rank: bytes) -> int:
        """When a proposal of this rank may be made, and may be signed. So being early does not win an epoch."""
        params = self._context.params
        members = max(1, self._context.fold.latest.total_weight)
        share = int.from_bytes(rank[:4], "big")
        spread = min(PROPOSE_SPREAD_PERMILLE, share * members * (PROPOSE_SPREAD_PERMILLE // 4) >> 32)
        return cut_due_ms(params, epoch, spread)

    def _propose(self, epoch: int, now_ms: int) -> Effects[None]:
        context = self._context
        latest = context.fold.latest
        if not self._may_propose(epoch) or now_ms < self._retry_ms:
            return
        at_ms, proof = self._propose_at(epoch)
        if now_ms < at_ms or not self._may_be_certified(latest) or self._is_outbid(epoch, latest, proof):
            return
        self._retry_ms = now_ms + self._wait_ms  # if these records give no cut that holds, later ones may
        moved = self._moved(latest, epoch)
        if context.key not in latest.heads and all(head[0] != context.key for head in moved):
            return
        cut = Cut(epoch, latest.id, context.vrf_key, proof, moved, bytes(32), bytes(32), bytes(32))
        filled = context.fold.propose(cut, context.key)
        if filled is None:
            return
        self._retry_ms = 0
        self._proposed[epoch, latest.id] = None
        if not self._objector.refuses(context.fold.proposed):
            proposal = yield from context.write(Kind.CUT, filled.encode(), now_ms)
            self.take(proposal, now_ms)

    def _is_outbid(self, epoch: int, latest: State, proof: bytes) -> bool:
        """Whether there is a better proposal that this peer could sign."""
        better = (seen for seen in self._standing(epoch, latest) if seen.rank < _rank(proof))
        return any(self._is_eligible(seen, latest) for seen in better)

    def _is_eligible(self, seen: _Seen, latest: State) -> bool:
        """Whether this peer has signed a proposal, can sign it, or could sign it when it has all records."""
        fold, cut_id = self._context.fold, seen.record.id
        if cut_id in self._signed or self._may_sign(cut_id, latest):
            return True
        return fold.state(cut_id) is None and fold.fault(cut_id) is None

    def _standing(self, epoch: int, latest: State) -> Iterator[_Seen]:
        """Proposals of an epoch on the newest cut whose proposer has weight there and whose proof holds."""
        alpha = sortition.propose_alpha(self._context.network_id, epoch, latest.beacon)
        for seen in self._proposals.get(epoch, {}).values():
            author = seen.record.author
            member = latest.members.get(author)
            if member is None or not member.weight:
                continue
            cut = seen.cut
            if cut.base != latest.id or cut.vrf_key != self._vrf_key(author, latest):
                continue
            if vrf_holds(cut.vrf_key, alpha, cut.proof):
                yield seen

    def _vrf_key(self, author: bytes, latest: State) -> bytes | None:
        """The VRF key that a proposer must use: a member's key, or that of a founder's join that no cut holds yet."""
        member = latest.members[author]
        if member.active:
            return member.vrf_key
        join = self._join_of(author)
        return None if join is None else decode_join(join.payload).vrf_key

    def _join_of(self, author: bytes) -> Record | None:
        """The join among an author's first records."""
        first = itertools.islice(self._context.ledger.chain(author), INTRODUCTION_MAX)
        return next((record for record in first if record.kind == Kind.JOIN), None)

    def _moved(self, latest: State, epoch: int) -> tuple[Head, ...]:
        """The heads that a proposal moves: known authors, and a few newcomers, so that free keys cannot fill a cut.

        If there is not room for all, the order is:

        1. members with weight, because the cut needs their signatures;
        2. newcomers in the cut that this peer signed last;
        3. newcomers in cuts that others signed, the earliest first;
        4. other authors, by how long their oldest record has waited.

        Two halves that admitted different newcomers thus meet when there is room for all of them, however many more
        keys join.
        """
        context = self._context
        moved = context.ledger.moved(latest.heads)
        weighted = [head for head in moved if (m := latest.members.get(head[0])) is not None and m.weight]
        joining = [h for h in moved if h[0] not in latest.heads and h[0] not in latest.members]
        joining = [head for head in joining if context.fold.may_come_in(latest, head)]
        signed = self._signed_cut
        bound = () if signed is None else {head[0] for head in decode_cut(signed.payload).moved}
        since = self._taken_in(latest)
        joining.sort(key=lambda head: (head[0] not in bound, since.get(head[0], epoch), _lot(latest, head)))
        first = [*weighted, *joining[: new_authors_max(latest.epoch, epoch)]]
        taken = {head[0] for head in first}
        others = [h for h in moved if h[0] not in taken and (h[0] in latest.heads or h[0] in latest.members)]
        room = max(0, HEADS_MAX - len(first))
        if len(others) > room:
            others.sort(key=lambda head: (self._waits_since(latest, head), _lot(latest, head)))
        return tuple(sorted([*first, *others[:room]][:HEADS_MAX]))

    @property
    def _signed_cut(self) -> Record | None:
        return None if self._last_signed is None else self._context.ledger.get(self._last_signed[0])

    def _taken_in(self, latest: State) -> dict[bytes, int]:
        """New authors in signed proposals on the newest cut, each with the epoch of the first such proposal.

        Only one proposal per proposer and epoch counts, so that a proposer cannot put many keys before all others.
        """
        since: dict[bytes, int] = {}
        seen: set[tuple[bytes, int]] = set()
        for record in self._context.fold.signed_on(latest):
            cut = decode_cut(record.payload)
            if (record.author, cut.epoch) not in seen:
                seen.add((record.author, cut.epoch))
                for author, _, _ in cut.moved:
                    if author not in latest.heads:
                        since[author] = min(cut.epoch, since.get(author, cut.epoch))
        return since

    def _waits_since(self, latest: State, head: Head) -> int:
        """The epoch of an author's first record that the newest cut lacks."""
        before = latest.heads.get(head[0])
        return next(self._context.ledger.chain_from(head[0], 0 if before is None else before[1] + 1)).epoch

    # ------------------------------------------------------------ signing

    def _may_be_certified(self, latest: State) -> bool:
        """Whether a new proposal may become certified although the cut that this peer signed last did not.

        That needs two thirds of the weight from the signers of that cut and from members with a new record. So members
        without a quorum sign once and wait, instead of signing a cut in every epoch.

        They cannot wait for each other: of the cuts that the members of a quorum signed last, take one that contains
        none of the other signatures. It lacks a record of each member of the quorum that did not sign it, so its
        signers may propose.
        """
        missing = self._missing(latest)
        if missing is None:
            return True
        silent = [peer for peer in missing if not self._is_newer(missing[peer], self._context.ledger.head(peer))]
        return 3 * (latest.total_weight - latest.weight_of(silent)) >= 2 * latest.total_weight

    def _shows_more(self, state: State, record: Record, latest: State) -> bool:
        """Whether a proposal holds a new record of a member that did not sign the cut that this peer signed last.

        The proposal itself counts as such a record.
        """
        missing = self._missing(latest)
        if missing is None or record.author in missing:
            return True
        return any(self._is_newer(head, state.heads.get(peer)) for peer, head in missing.items())

    def _missing(self, latest: State) -> dict[bytes, Head | None] | None:
        """Members with weight that have not signed the cut that this peer signed last, with their heads in that cut.

        None if this peer has signed no cut on the newest certified one.
        """
        fold = self._context.fold
        signed = self._signed_cut
        before = None if signed is None or decode_cut(signed.payload).base != latest.id else fold.state(signed.id)
        if signed is None or before is None:
            return None
        signers = fold.signers(signed.id)
        weighted = (peer for peer, member in latest.members.items() if member.weight)
        return {peer: before.heads.get(peer) for peer in weighted if peer not in signers}

    @staticmethod
    def _is_newer(before: Head | None, head: Head | None) -> bool:
        """Whether a log has grown. A fork of the same length shows nothing new."""
        return head is not None and (before is None or head[1] > before[1])

    def _sign(self, epoch: int, now_ms: int) -> Effects[None]:
        context = self._context
        latest = context.fold.latest
        for proposed in (epoch, epoch - 1):
            standing = [s for s in self._standing(proposed, latest) if now_ms >= self._turn_ms(proposed, s.rank)]
            if not context.may_sign_of(proposed) or not standing:
                continue
            if now_ms < min(seen.at_ms for seen in standing) + self._wait_ms:
                continue
            for seen in sorted(standing, key=lambda s: s.rank):
                cut_id = seen.record.id
                if cut_id in self._signed:
                    break
                if self._may_sign(cut_id, latest):
                    self._signed[cut_id] = None
                    record = yield from context.write(Kind.CUT_SIGNATURE, CutSignature(cut_id).encode(), now_ms)
                    self._last_signed = (cut_id, record.seq)
                    return

    @property
    def _wait_ms(self) -> int:
        """The time in ms for a better proposal to arrive."""
        return self._context.params.epoch_ms * SIGN_WAIT_PERMILLE // 1000

    def _may_sign(self, cut_id: bytes, latest: State) -> bool:
        """Whether a cut on the newest one holds, leaves nothing out, and contains the cuts that this peer signed."""
        fold = self._context.fold
        state = fold.state(cut_id)
        if state is None:
            lacking = None if fold.fault(cut_id) is not None else fold.lacks(cut_id)
            if lacking is not None:
                self._awaited.add(lacking)
            return False
        proposal = self._context.ledger.get(cut_id)
        assert proposal is not None
        leaves_out = self._omissions.are_in(state.epoch, state, latest)
        if leaves_out or not self._shows_more(state, proposal, latest) or self._objector.refuses(state):
            return False
        if self._last_signed is None:
            return True
        (signed_id, seq), record, own = self._last_signed, self._signed_cut, state.heads.get(self._context.key)
        if own is None or own[1] < seq:
            return False
        final = latest.heads.get(self._context.key)
        is_forgotten = signed_id not in latest.noted and final is not None and final[1] >= seq
        if record is None:
            return is_forgotten  # it lies below the horizon
        head = state.heads.get(record.author)
        if not state.is_forked(record.author, record.seq) and (head is None or head[1] < record.seq):
            return False  # that cut itself must be inside, so that its convictions are carried on
        return signed_id in latest.path or is_forgotten or fold.contains_cut(state, signed_id)
