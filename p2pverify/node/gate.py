"""The gate before the machine: whose records are judged, and how many at a time.

A neighbour's gossip costs its own share of this peer's time, and what others leave idle; what goes beyond is passed
over, not rejected, and can come later by sync, which this peer asks for at its own pace. Of authors that are no
members only so much is held (`core.replica.non_members`). What the records say is judged by the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.errors import DecodeError
from p2pverify.core.limits import Rate, Shares
from p2pverify.core.machine import Machine
from p2pverify.core.records.cut import decode_cut
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.judge import RecordClaim, peek
from p2pverify.core.replica.non_members import Strangers

# In signature checks, of which a core makes 10,000 to 13,000 a second. All neighbours together get at most
# 72 * 32 + 3,000 + 1,000 a second: about half a core. An epoch of the default testnet brings 100 a second.
CHECKS = Rate(per_second=32, burst=600)  # a neighbour's own
POOL_OF_MEMBERS = Rate(per_second=3000, burst=20_000)
POOL_OF_STRANGERS = Rate(per_second=1000, burst=6000)
NEIGHBOURS_MAX = 72  # as many as there are connections


@dataclass(frozen=True, slots=True)
class Admitted:
    """Records that may be judged, and the claims of those that the gate has to look at again afterwards."""

    records: tuple[bytes, ...]
    claims: tuple[RecordClaim, ...]


class Admission:
    """Keeps the shares. One per machine."""

    def __init__(self, machine: Machine) -> None:
        context = machine.context
        self._fold = context.fold
        self._ledger = context.ledger
        self.strangers = Strangers(context.key, context.fold, context.ledger)
        self._of_members = Shares(CHECKS, POOL_OF_MEMBERS, NEIGHBOURS_MAX)
        self._of_strangers = Shares(CHECKS, POOL_OF_STRANGERS, NEIGHBOURS_MAX)
        self._counts: dict[str, int] = {}

    def affords(self, records: Sequence[bytes], source: bytes, now_ms: int) -> bool:
        """Whether the neighbour has so much of its share left; then it is used up by so much."""
        claims = (peek(data) for data in records)
        checks = sum(1 if claim is None else claim.checks for claim in claims)
        shares = self._of_members if self.is_member(source) else self._of_strangers
        if shares.take(source, checks, now_ms):
            return True
        self._count("batches beyond a neighbour's share")
        return False

    def admit(self, records: Sequence[bytes]) -> Admitted:
        """Those that may be judged: all but records of strangers beyond their bounds."""
        admitted: list[bytes] = []
        claims: list[RecordClaim] = []
        members = self._fold.latest.members
        for data in records:
            claim = peek(data)
            if claim is not None:
                if not self.strangers.admits(claim):
                    continue
                if claim.kind == Kind.CUT or claim.author not in members:
                    claims.append(claim)
            admitted.append(data)
        if len(admitted) < len(records):
            self._count("records of strangers beyond their bound", len(records) - len(admitted))
        return Admitted(tuple(admitted), tuple(claims))

    def note(self, admitted: Admitted) -> None:
        """These have been judged."""
        for claim in admitted.claims:
            self.strangers.note(claim)
            if claim.kind == Kind.CUT:
                self._note_cut(claim)

    def is_member(self, peer: bytes) -> bool:
        """Whether a peer is a member in the newest certified state, and not convicted."""
        member = self._fold.latest.members.get(peer)
        return member is not None and not member.is_convicted

    def statistics(self) -> dict[str, int]:
        return {**self._counts, **self.strangers.statistics()}

    def _note_cut(self, claim: RecordClaim) -> None:
        record = self._ledger.get(claim.id)
        if record is None:
            return  # refused, or it waits for one before it
        try:
            self.strangers.note_cut(record.author, decode_cut(record.payload))
        except DecodeError:
            return

    def _count(self, what: str, by: int = 1) -> None:
        self._counts[what] = self._counts.get(what, 0) + by
