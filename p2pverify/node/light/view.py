"""What a light client knows of the peers: the rows of the newest certified cut that somebody has shown it.

A reader without the ledger cannot follow how peers got their weight. So a cut counts only if peers that the network's
definition names have signed it: the founders, or for a forked network those with weight in the state with which it
begins. Otherwise a liar could show a cut of keys of its own. Protocol page: protocol/passport.md.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.proofs.exchange import decode_passports
from p2pverify.core.proofs.passport import Passport, PassportFacts, Refuted, check_passports
from p2pverify.core.state.score import LAST_RANK, Standing
from p2pverify.node.clients.choice import AnswerPeer

#: A cut that is older than both counts as stale.
STALE_EPOCHS = 32
STALE_MS = 600_000
#: Epochs that the clocks of this machine and of the signers may differ.
AHEAD_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Trust:
    """What a client takes for granted: the keys that the definition names, or the id of a cut from elsewhere.

    `keys` are those of the founders, or of the peers with weight at the start of a forked network.
    """

    keys: frozenset[bytes]
    cut: bytes | None = None
    is_fork: bool = False

    def assumes(self) -> str:
        """What a client assumes that takes it for granted, in a sentence."""
        if self.cut is not None:
            return "assumed: nothing but the cut id that you gave"
        who = "peers with weight at the fork" if self.is_fork else "founders"
        return f"assumed: fewer than a third of the {len(self.keys)} {who} lie; not proven: that no newer view exists"

    def check(self, cut_id: bytes, signers: Collection[bytes]) -> None:
        """Raise Refuted for a cut that does not follow from it."""
        if self.cut is not None:
            if cut_id != self.cut:
                raise Refuted(f"it is of cut {cut_id.hex()[:16]}, not of the trusted one")
            return
        known = len(self.keys.intersection(signers))
        if not self.keys or 3 * known < 2 * len(self.keys):
            raise Refuted(f"{known} of the {len(self.keys)} peers that the network file names signed: too few")


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A peer, what its passport shows, and the passport."""

    facts: PassportFacts
    passport: Passport


class LightView:
    """The newest cut that was shown, and its rows. It fulfils `SeenView`. `manifest` is the digest of the model's.

    If a line begins with this manifest, it stands for all versions of the line.
    """

    own_class = None

    def __init__(self, network: Network, manifest: bytes, trust: Trust) -> None:
        self._network = network
        self._manifest = manifest
        self.trust = trust
        self._cut = b""
        self._index = -1
        self.epoch = -1
        self._peers: dict[bytes, KnownPeer] = {}

    def take(self, data: bytes, now_ms: int) -> int:
        """Take a peer's answer to a request for passports. Returns how many it has. Raises DecodeError, Refuted."""
        found = decode_passports(data)
        if found is None or not found.scores:
            return 0
        shared = found.certificate
        facts = check_passports(self._network, shared, found.scores)
        cut_id, epoch, index = facts[0].cut_id, facts[0].epoch, facts[0].index
        self.trust.check(cut_id, [shared.weighted[each.place] for each in shared.signatures])
        self._check_time(epoch, now_ms)
        if index < self._index:
            return len(facts)
        if cut_id != self._cut:
            self._peers.clear()
            self._cut, self._index, self.epoch = cut_id, index, epoch
        for fact, passport in zip(facts, found.passports(), strict=True):
            if self._is_of_model(fact):
                self._peers[fact.row.peer] = KnownPeer(fact, passport)
        return len(facts)

    def find(self, peer: bytes) -> KnownPeer | None:
        """A peer whose passport was shown."""
        return self._peers.get(peer)

    def own(self) -> None:
        """A light client has no engine."""

    @property
    def model(self) -> bytes:
        """The manifest (digest, 32 B) of the version to ask for: the one that most of the shown peers serve.

        Those that are behind count only if all are. Among several versions with the same number of peers it is the one
        whose best peer is better.
        """
        peers = [self._seen(each.facts) for each in self._peers.values()]
        asked = [each for each in peers if each.rank is not None] or peers
        counts = Counter(each.model for each in asked)
        best = min(asked, key=lambda each: (-counts[each.model], each.rank or LAST_RANK, each.peer), default=None)
        return self._manifest if best is None else best.model

    def named(self, peer: bytes) -> AnswerPeer | None:
        """A peer whose passport was shown, whatever version it serves."""
        known = self._peers.get(peer)
        return None if known is None else self._seen(known.facts)

    def others(self) -> list[AnswerPeer]:
        """The peers whose passports were shown, and that serve the version to ask for."""
        model = self.model
        seen = (self._seen(each.facts) for each in self._peers.values())
        return [each for each in seen if each.model == model]

    def _is_of_model(self, facts: PassportFacts) -> bool:
        place, classes = facts.row.class_index, self._network.classes
        if place >= len(classes):
            return False
        return self._manifest in (classes[place].manifest, facts.row.manifest)

    def age_ms(self, now_ms: int) -> int:
        """How long ago the epoch of the cut began."""
        return now_ms - self._network.params.epoch_start_ms(self.epoch)

    def _check_time(self, epoch: int, now_ms: int) -> None:
        params = self._network.params
        now = params.epoch_at(now_ms)
        if epoch > now + AHEAD_EPOCHS:
            raise Refuted(f"its cut is of epoch {epoch}, and by this machine's clock it is epoch {now}")
        is_old = now - epoch > STALE_EPOCHS and now_ms - params.epoch_start_ms(epoch) > STALE_MS
        if is_old and self.trust.cut is None:
            raise Refuted(f"its cut is {now - epoch} epochs old")

    def _seen(self, facts: PassportFacts) -> AnswerPeer:
        row = facts.row
        standing = Standing(row.standing) if row.standing in set(Standing) else Standing.SUSPECT
        judged = row.agreements + row.dissents + row.inconclusive
        model = row.manifest or self._network.classes[row.class_index].manifest
        seen = (standing, row.low_ppm, row.high_ppm, judged, facts.cut_id, facts.epoch)
        return AnswerPeer(row.peer, False, row.class_index, model, *seen, is_behind=row.is_behind)
