"""What a cut must not leave out, for a member to sign it: so that who proposes it cannot silence others.

A proposal must hold what the signer has held of members with weight since before the epoch before the proposal's. By
then everybody could have it. Two honest signers may see this differently: it decides what one of them signs, and never
what a record counts for.
"""

from p2pverify.core.records.cut import Head
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State

#: Once nothing was certified for so many epochs, nothing is asked for any more: records then travel too slowly.
STALLED_EPOCHS = 3
EPOCHS_KEPT = 4


class Omissions:
    """What this peer held of members with weight when each of the last epochs began."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[int, dict[bytes, Head]] = {}

    def look(self, epoch: int, latest: State) -> None:
        """Note what is here, at the first look in an epoch."""
        if epoch in self._held:
            return
        weighted = (self._ledger.head(peer) for peer, member in latest.members.items() if member.weight)
        self._held[epoch] = {head[0]: head for head in weighted if head is not None}
        for old in [e for e in self._held if e <= epoch - EPOCHS_KEPT]:
            del self._held[old]

    def are_in(self, epoch: int, proposed: State, latest: State) -> bool:
        """Whether the state of a proposal of an epoch on the newest cut leaves out what it must hold.

        Of a log that forked it need hold nothing: others may hold another branch.
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
