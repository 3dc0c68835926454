"""Publishing proofs of forked logs (equivocations): one or two members with weight do it, not all of them.

Every peer that sees a fork could prove it, and one proof is enough. So the members with weight take turns, by a rank
that nobody can choose. A member that holds another's proof at its turn stays silent, unless no cut takes in that proof.
The fold decides the effect of a proof.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import digest
from p2pverify.core.events import Effects, Note
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.kinds import conflict_kind
from p2pverify.core.records.payloads.conflict import Conflict, Evidence, decode_conflict
from p2pverify.core.roles.context import Context, Part

EVIDENCE_PAYLOAD_MAX = 16_384
#: The time between two turns, in thousandths of an epoch: enough for a record to reach everybody.
TURN_PERMILLE = 125
#: A cut may take this long to hold another's proof. Each member can cause this wait once.
PATIENCE_EPOCHS = 2
#: Most forked logs that wait for their turn here, and most forked logs with remembered proofs.
SUSPECTS_MAX = 4096

#: An author, and whether the proof convicts it.
_Charge = tuple[bytes, bool]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """Two records that exclude each other, and the Unix ms since which both are here."""

    conflict: Conflict
    seq: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class _Proof:
    """Others' proofs that are here: the lowest record number they prove, their authors, and when the last one came."""

    seq: int
    accusers: frozenset[bytes]
    at_ms: int


class Accuser(Part):
    """This peer's part in proving forks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._suspects: dict[_Charge, _Suspect] = {}  # the fork with the lowest number of each author
        self._proofs: dict[_Charge, _Proof] = {}
        self._wake_ms: int | None = None

    def take(self, record: Record, now_ms: int) -> None:
        """Note a proof by a member with weight. Its whole prefix is here, so a cut can hold it."""
        if record.header.kind == Kind.CONFLICT and record.author in self._weighted(b""):
            self._note(record.author, decode_conflict(record.payload), now_ms)

    def tick(self, now_ms: int) -> Effects[None]:
        """Publish the proofs whose turn has come."""
        if self._context.ledger.has_forks:
            self._look(now_ms)
        if self._wake_ms is None or now_ms < self._wake_ms:
            return
        times: list[int] = []
        for charge in sorted(self._suspects):
            suspect = self._suspects[charge]
            if self._is_settled(charge, suspect.seq):
                del self._suspects[charge]
                continue
            at_ms = self._turn_ms(charge, suspect, now_ms)
            if not self._context.may_write(now_ms):  # for example, its record quota is used up
                at_ms = now_ms + self._context.params.epoch_ms
            if at_ms > now_ms:
                times.append(at_ms)
            else:
                del self._suspects[charge]
                yield from self._accuse(charge, suspect, now_ms)
        self._wake_ms = min(times, default=None)

    def next_wake_ms(self, now_ms: int) -> int | None:  # noqa: ARG002  # its turns are known
        """When the next turn may come, or None."""
        return self._wake_ms

    # ------------------------------------------------------------ what is known

    def _look(self, now_ms: int) -> None:
        """Take the new forks of the ledger. The lowest fork of an author proves as much as all later ones."""
        for one, two in self._context.ledger.take_forks():
            first, second = sorted((_evidence(one), _evidence(two)), key=lambda side: side.id)
            charge = one.author, conflict_kind(first, second) == "slot"
            known = self._suspects.get(charge)
            is_new = known is None and len(self._suspects) < SUSPECTS_MAX
            if one.author != self._context.key and (is_new or (known is not None and one.seq < known.seq)):
                self._suspects[charge] = _Suspect(Conflict(first, second), one.seq, now_ms)
                self._wake_ms = now_ms

    def _note(self, accuser: bytes, conflict: Conflict, now_ms: int) -> None:
        one, two = conflict.first, conflict.second
        author, seq = one.header.author, one.header.seq
        charges = [(author, False)] if seq == two.header.seq else []
        if conflict_kind(one, two) == "slot":
            charges.append((author, True))
        for charge in charges:
            known = self._proofs.get(charge)
            if known is None and len(self._proofs) < SUSPECTS_MAX:
                self._proofs[charge] = _Proof(seq, frozenset((accuser,)), now_ms)
            elif known is not None and accuser not in known.accusers:
                self._proofs[charge] = _Proof(min(seq, known.seq), known.accusers | {accuser}, now_ms)

    def _is_settled(self, charge: _Charge, seq: int) -> bool:
        """Whether a certified cut already contains the effect of this proof."""
        author, convicts = charge
        latest = self._context.fold.latest
        member = latest.members.get(author)
        if member is None or (convicts and not member.is_convicted):
            return False
        return seq in member.forks or (latest.epoch <= member.fork_until and latest.is_forked(author, seq))

    # ------------------------------------------------------------ turns

    def _weighted(self, accused: bytes) -> list[bytes]:
        members = self._context.fold.latest.members
        return [peer for peer, member in members.items() if member.weight and peer != accused]

    def _turn_ms(self, charge: _Charge, suspect: _Suspect, now_ms: int) -> int:
        """When this peer would publish its proof. A peer without weight looks again after an epoch."""
        params, key = self._context.params, self._context.key
        weighted = self._weighted(charge[0])
        if key not in weighted:
            return now_ms + params.epoch_ms
        ranked = sorted(weighted, key=lambda peer: digest([charge[0], suspect.seq, peer]))
        at_ms = suspect.since_ms
        proof = self._proofs.get(charge)
        if proof is not None and proof.seq <= suspect.seq:
            at_ms = max(at_ms, proof.at_ms + PATIENCE_EPOCHS * params.epoch_ms)
        return at_ms + ranked.index(key) * params.epoch_ms * TURN_PERMILLE // 1000

    def _accuse(self, charge: _Charge, suspect: _Suspect, now_ms: int) -> Effects[None]:
        context = self._context
        self._note(context.key, suspect.conflict, now_ms)
        yield from context.write(Kind.CONFLICT, suspect.conflict.encode(), now_ms)
        yield Note("warning", f"peer {charge[0].hex()[:16]} forked its log")


def _evidence(record: Record) -> Evidence:
    payload = record.payload if len(record.payload) <= EVIDENCE_PAYLOAD_MAX else None
    return Evidence(record.header, record.signature, payload)
