"""Protection against censorship: a member does not sign a cut that leaves out old records of members with weight.

A proposal must hold the records of members with weight that the signer has held since before the epoch before the
proposal's. By then every peer could have them. Two honest signers may see this differently. It decides only whether one
of them signs, never the effect of a record.
"""

from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State

#: After this many epochs without a certified cut nothing is required, because records then travel too slowly.
STALLED_EPOCHS = 3
EPOCHS_KEPT = 4


class Omissions:
    """The records of members with weight that this peer held at the beginning of each of the last epochs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[int, dict[bytes, Head]] = {}

    def look(self, epoch: int, latest: State) -> None:
        """At the first call in an epoch, note the heads that are here."""
        if epoch in self._held:
            return
        weighted = (self._ledger.head(peer) for peer, member in latest.members.items() if member.weight)
        self._held[epoch] = {head[0]: head for head in weighted if head is not None}
        for old in [e for e in self._held if e <= epoch - EPOCHS_KEPT]:
            del self._held[old]

    def are_in(self, epoch: int, proposed: State, latest: State) -> bool:
        """Whether a proposal of an epoch on the newest cut leaves out records that it must hold.

        Of a forked log it need not hold anything, because others may hold another branch.
        """
        before = [each for each in self._held if each < epoch]
        if not before or epoch - latest.epoch >= STALLED_EPOCHS:
            return False
        for peer, head in self._held[max(before)].items():
            own = proposed.heads.get(peer)
            is_there = own is not None and own[1] >= head[1]
            if not (is_there or proposed.is_forked(peer, head[1]) or self._ledger.is_forked(peer)):
                return True
        return False
