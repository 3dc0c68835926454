"""A ledger with its fold, into which test peers write whatever they are told to, and the cases made from it."""

from collections.abc import Iterable

from p2pverify.core import draw, sign, vrf
from p2pverify.core.canon import encode
from p2pverify.core.fold import Fold
from p2pverify.core.ledger import Ledger
from p2pverify.core.network import Network
from p2pverify.core.records import NO_PREV, Cut, CutSignature, Head, Kind, Record, make_record
from p2pverify.core.verify import VerificationFailed, verify
from p2pverify.core.view import view_value
from vectorgen.case import Case


class Book:
    """Authors are named by their identity seeds."""

    def __init__(self, network: Network, records: Iterable[Record] = ()) -> None:
        self.network = network
        self.ledger = Ledger()
        self.fold = Fold(network, self.ledger)
        self.order: list[Record] = []
        for each in records:
            self.take(each)

    def take(self, record: Record) -> None:
        self.order.append(record)
        for added in self.ledger.add(record):
            self.fold.take(added)
        self.fold.settle()

    def say(self, seed: bytes, kind: Kind, payload: bytes, epoch: int) -> Record:
        """The next record of a log."""
        key = sign.public_key(seed)
        head = self.ledger.head(key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        made = make_record(seed, key, self.network.id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload)
        self.take(made)
        return made

    def proposal(
        self, seed: bytes, epoch: int, *, moved: tuple[Head, ...] | None = None, vrf_seed: bytes | None = None
    ) -> Cut:
        """A proposal on top of the newest certified cut, of all that is here; with true roots, if it would hold."""
        own = vrf_seed or vrf.derive_seed(seed)
        base = self.fold.latest
        proof = vrf.prove(own, draw.propose_alpha(self.network.id, epoch, base.beacon))
        chosen = tuple(self.ledger.moved(base.heads)) if moved is None else moved
        empty = Cut(epoch, base.id, vrf.public_key(own), proof, chosen, bytes(32), bytes(32))
        return self.fold.propose(empty, sign.public_key(seed)) or empty

    def certify(self, seed: bytes, cut: Cut, signers: Iterable[bytes]) -> Record:
        """The proposal, whether it holds or not, with signatures of these."""
        made = self.say(seed, Kind.CUT, cut.encode(), cut.epoch)
        for each in signers:
            self.say(each, Kind.CUT_SIGNATURE, CutSignature(made.id).encode(), cut.epoch)
        return made

    def step(self, seed: bytes, epoch: int, signers: Iterable[bytes], **changes: tuple[Head, ...]) -> Record:
        """A true cut, certified by these."""
        made = self.certify(seed, self.proposal(seed, epoch, **changes), signers)
        assert self.fold.latest.id == made.id
        return made

    def case(
        self,
        comment: str,
        cut_id: bytes,
        reason: str | None = None,
        *,
        records: list[Record] | None = None,
        like: tuple[str, list[Record]] | None = None,
        network_id: bytes | None = None,
    ) -> Case:
        """The case of a cut among some or all records. Those of a case that it is `like` are not repeated."""
        chosen = self.order if records is None else records
        inputs: dict[str, object] = {
            "network_id": (network_id or self.network.id).hex(),
            "network": self.network.encode().hex(),
            "cut": cut_id.hex(),
        }
        own = chosen
        if like is not None:
            name, known = like
            kept = [each for each in known if each in chosen]
            own = chosen[len(kept) :]
            assert chosen[: len(kept)] == kept
            inputs["like"] = name
            inputs["without"] = [number for number, each in enumerate(known) if each not in chosen]
        inputs["records"] = [each.data.hex() for each in own]
        expect, found = self._verify(cut_id, [each.data for each in chosen], network_id or self.network.id)
        assert found == reason, f"{comment}: {found}"
        return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}

    def _verify(self, cut_id: bytes, data: list[bytes], network_id: bytes) -> tuple[object, str | None]:
        try:
            found = verify(network_id, self.network.encode(), cut_id, data)
        except VerificationFailed as failed:
            return "fail", failed.reason
        state = self.fold.state(cut_id)
        assert state is not None
        return {
            "cut": cut_id.hex(),
            "index": found.cuts,
            "records": found.records,
            "records_after": found.records_after,
            "ledger_root": found.cut.ledger_root.hex(),
            "view_root": found.cut.view_root.hex(),
            "standings": {score.peer.hex(): str(score.standing) for score in found.scores},
            "counters": dict(found.totals),
            "view": encode(view_value(self.network, state)).hex(),
        }, None
