"""Admission of records from non-members ("strangers"): limited, first come first served, because keys cost nothing.

The limit cannot change a view. A view is a function of the records in one certified cut, and a member signs a cut only
if it holds all of it. Records of strangers that are named by a cut of a member with weight are always admitted, so a
full table cannot keep a cut from being signed. A cut names at most NEW_AUTHORS_MAX new authors. Every member by the
newest certified state is exempt, whatever its standing: evidence is never refused. Protocol page: protocol/limits.md.
"""

from p2pverify.core.records.judge import RecordClaim
from p2pverify.core.records.payloads.cut import Cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State

STRANGERS_MAX = 1024
#: Records of one stranger. Before it is a member it needs a join, and little else.
STRANGER_RECORDS_MAX = 16
#: Records of one stranger while the shared room lasts. A late joiner sees future members as strangers at first.
STRANGER_RECORDS_MAX_SHARED = 512
SHARED_RECORDS_MAX = 16_384
STRANGER_RECORD_BYTES_MAX = 4096


class Strangers:
    """Decides whether a stranger's record is admitted, and counts the records held of strangers."""

    def __init__(self, own: bytes, fold: Fold, ledger: Ledger) -> None:
        self._own = own
        self._fold = fold
        self._ledger = ledger
        self._state: State | None = None
        self._held: dict[bytes, int] = {}
        self._shared = 0
        self._called = fold.called

    def admits(self, claim: RecordClaim) -> bool:
        """Whether the record may be judged and held."""
        self._refresh()
        if self._is_known(claim.author) or (self._called and claim.id in self._called):
            return True
        if claim.size > STRANGER_RECORD_BYTES_MAX:
            return False
        held = self._held.get(claim.author, 0)
        if not held:
            return len(self._held) < STRANGERS_MAX
        if held < STRANGER_RECORDS_MAX:
            return True
        return held < STRANGER_RECORDS_MAX_SHARED and self._shared < SHARED_RECORDS_MAX

    def note(self, claim: RecordClaim) -> None:
        """A record with this claim was judged, and perhaps taken."""
        if self._is_known(claim.author):
            return
        if self._called:
            if claim.id in self._called:
                self._called.call(claim.prev)  # its predecessor is called for as well
            self._called.note(claim.author)
        self._recount(claim.author)

    def note_cut(self, author: bytes, cut: Cut) -> None:
        """A cut was proposed. If its author has weight, admit the strangers' records that it names."""
        member = self._fold.latest.members.get(author)
        if member is None or not member.weight:
            return
        for head in cut.moved:
            if not self._is_known(head[0]):
                self._called.call_head(head[0], head[2])

    def statistics(self) -> dict[str, int]:
        self._refresh()
        return {"strangers": len(self._held), "records of strangers": sum(self._held.values())}

    def _is_known(self, author: bytes) -> bool:
        return author == self._own or author in self._fold.latest.members

    def _refresh(self) -> None:
        """Count again after a new final cut, because some strangers are members now."""
        if self._state is self._fold.latest:
            return
        authors = [head[0] for head in self._ledger.heads()] if self._state is None else list(self._held)
        self._state = self._fold.latest
        self._called.forget(self._is_known)
        self._held.clear()
        self._shared = 0
        for author in authors:
            if not self._is_known(author):
                self._recount(author)

    def _recount(self, author: bytes) -> None:
        before, after = self._held.pop(author, 0), self._ledger.held(author)
        self._shared += max(0, after - STRANGER_RECORDS_MAX) - max(0, before - STRANGER_RECORDS_MAX)
        if after:
            self._held[author] = after
