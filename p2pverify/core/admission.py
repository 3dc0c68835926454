"""Admission: which arriving records are judged, and how many at a time.

Each neighbour has its own share of this peer's time for gossip, and can use a pool that neighbours share. A message
beyond both is ignored and not rejected, because its records can come later by sync, which this peer requests at its own
pace. The number of records held from authors that are not members is bounded (`core.replica.strangers`). This module
does not read the content of records.
"""

from collections.abc import Iterable, Sequence

from p2pverify.core.counters import Counters
from p2pverify.core.limits import Rate, Shares
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.judge import RecordClaim
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.strangers.non_members import Strangers

# In signature checks. A core makes 10,000 to 13,000 of them a second. All neighbours together get at most
# 72 * 32 + 3,000 + 1,000 a second: about half a core. An epoch of the default testnet needs 100 a second.
CHECKS = Rate(per_second=32, burst=600)  # of each neighbour
POOL_OF_MEMBERS = Rate(per_second=3000, burst=20_000)
POOL_OF_STRANGERS = Rate(per_second=1000, burst=6000)
NEIGHBOURS_MAX = 72  # the number of connections

#: The result of `peek` for the bytes of a record: None if they do not begin like a record.
Claim = RecordClaim | None


class Admission:
    """The shares of the neighbours, and the table of authors that are not members. One per machine.

    `key` is this peer's own key. Its records are always admitted.
    """

    def __init__(self, key: bytes, fold: Fold) -> None:
        self._fold = fold
        self.strangers = Strangers(key, fold, fold.ledger)
        self._of_members = Shares(CHECKS, POOL_OF_MEMBERS, NEIGHBOURS_MAX)
        self._of_strangers = Shares(CHECKS, POOL_OF_STRANGERS, NEIGHBOURS_MAX)
        self._counters = Counters()

    def affords(self, claims: Sequence[Claim], source: bytes, now_ms: int) -> bool:
        """Whether the neighbour's share covers a message with these records. If so, the share is charged."""
        checks = sum(1 if claim is None else claim.checks for claim in claims)
        shares = self._of_members if self.is_member(source) else self._of_strangers
        if shares.take(source, checks, now_ms):
            return True
        self._counters.count("batches beyond a neighbour's share")
        return False

    def admits(self, claim: Claim) -> bool:
        """Whether a record may be judged. A stranger's record beyond the bounds may not."""
        if claim is None or claim.author in self._fold.latest.members or self.strangers.admits(claim):
            return True
        self._counters.count("records of strangers beyond their bound")
        return False

    def note(self, claim: RecordClaim, added: Iterable[Record]) -> None:
        """An admitted record was judged; `added` are the records that the ledger took because of it."""
        if claim.author not in self._fold.latest.members:
            self.strangers.note(claim)
        for record in added:
            if record.kind == Kind.CUT:
                self.strangers.note_cut(record.author, decode_cut(record.payload))

    def is_member(self, peer: bytes) -> bool:
        """Whether a peer is a member in the newest certified state, and not convicted."""
        member = self._fold.latest.members.get(peer)
        return member is not None and not member.is_convicted

    def statistics(self) -> dict[str, int]:
        return {**self._counters, **self.strangers.statistics()}
