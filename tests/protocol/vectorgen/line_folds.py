"""Cases of the fold of a line: releases, members that move, audits of two versions side by side, recalls, new keys.

Six founders of one class. Three of them move to version 1, and one of these still answers with version 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vectorgen import lines
from vectorgen.book import Book
from vectorgen.case import Case
from vectorgen.lines import PUBLISHERS, STRANGER, publishers_of

from p2pverify.core.contract import sortition
from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Opening, Question, Receipt, Request, opening_nonce, salted_digest
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.rotation import Rotation
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from p2pverify.core.state.lines.versions import Status, is_behind, notes_of, status_of
from p2pverify.core.state.verdicts.targets import make_panel
from tests.support.networks import MANIFEST, make_network, seeds

PEERS = 6
NOTICE, OVERLAP, RECALL = 2, 16, 2
ANNOUNCED, CURRENT, OVERLAPPING, _, RECALLED = Status
SALT = sha256(b"vote")


class LineTale:
    """The founders' records. `cuts` are the cases' cuts, by comment."""

    def __init__(self) -> None:
        self.seeds = seeds(PEERS, "lines")
        self.movers, self.others = self.seeds[:3], self.seeds[3:]
        self.liar = self.movers[2]
        line = ModelLine("story", MANIFEST.digest, publishers_of(PUBLISHERS, 2), NOTICE, OVERLAP, RECALL)
        self.network = replace(make_network(self.seeds), lines=(line,))
        self.book = Book(self.network)
        self.epoch = 1
        self.cuts: dict[str, Record] = {}
        for seed in self.seeds:
            self.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode())
        self.cut()

    def say(self, seed: bytes, kind: Kind, payload: bytes) -> Record:
        return self.book.say(seed, kind, payload, self.epoch + 1)

    def cut(self, comment: str = "") -> None:
        """A cut of the next epoch, which four of six sign."""
        self.epoch += 1
        made = self.book.step(self.seeds[0], self.epoch, self.seeds[:4])
        if comment:
            self.cuts[comment] = made

    # ------------------------------------------------------------ publishers and members

    def release(self, number: int, by: Sequence[bytes], body: str = "") -> bytes:
        """The digest of the manifest of a release."""
        manifest = replace(MANIFEST, weights=sha256(b"weights %d%s" % (number, body.encode())))
        made = Release(0, number, manifest.encode(), (MANIFEST.digest,), How.FINE_TUNE)
        self.say(self.others[0], Kind.RELEASE, lines.signed_release(made, by, self.network).encode())
        return made.manifest_digest

    def rotate(self, number: int, to: Sequence[bytes], by: Sequence[bytes]) -> None:
        made = Rotation(0, number, publishers_of(to, 2), ())
        self.say(self.others[0], Kind.ROTATION, lines.signed_rotation(made, by, self.network).encode())

    def recall(self, seed: bytes, number: int, back_to: int, by: Sequence[bytes] = ()) -> None:
        made = Recall(0, number, Reason.VULNERABLE, back_to)
        self.say(seed, Kind.RECALL, lines.signed_recall(made, by, self.network).encode())

    def statuses(self) -> list[Status]:
        """The status of each version, version 0 first."""
        state = self.book.fold.latest
        notes = notes_of(self.network, state, 0)
        numbers = [0, *(version.number for version in notes.versions)]
        return [status_of(self.network.lines[0], notes, number, state.epoch) for number in numbers]

    # ------------------------------------------------------------ audits and votes

    def audit(self) -> dict[bytes, tuple[Audit, Opening]]:
        """All but the liar audit in the next epoch, and show their duties in the epoch after it."""
        anchor, at = self.book.fold.latest, self.epoch + 1
        made = {}
        for seed in self.seeds:
            if seed != self.liar:
                audit, opening, proof = self._slot(seed, at)
                self.say(seed, Kind.AUDIT, audit.encode())
                made[seed] = (audit, opening, proof)
        self.epoch += 1
        for seed, (audit, opening, proof) in made.items():
            shown = () if audit.differ else (opening,)
            key = vrf.public_key(vrf.derive_seed(seed))
            self.say(seed, Kind.DUTY, Duty(at, anchor.id, anchor.beacon, key, proof, shown).encode())
        return {seed: (audit, opening) for seed, (audit, opening, _) in made.items()}

    def _slot(self, seed: bytes, at: int) -> tuple[Audit, Opening, bytes]:
        """The one slot that a member owes in an epoch, as its audit and opening, and the proof of the draw."""
        anchor, own, network = self.book.fold.latest, sign.public_key(seed), self.network.id
        proof = vrf.prove(vrf.derive_seed(seed), sortition.duty_alpha(network, at, anchor.beacon))
        beta = vrf.proof_to_beta(proof)
        (slot,) = sortition.slots(beta, self.network.params)
        panel = make_panel(self.network, anchor, own, beta, slot)
        model = panel.contract.classes[0].manifest
        question = Question(model, (1, 2, 3), 16, 800, slot.sample_seed, own)
        salts = tuple(sha256(seed + target) for target in panel.targets)
        opening = Opening(0, 0, _answer(model, question.id), salts)
        asked = []
        for which, target in enumerate(panel.targets):
            nonce = opening_nonce(network, own, target, at, question.id, opening, which)
            request = Request(network, own, target, question.id, nonce, at + 4)
            asked.append(AskedPeer(target, nonce, self._receipt(request, model), 10))
        differ = sign.public_key(self.liar) in panel.targets
        return Audit(own, at, 0, anchor.id, question.id, at + 4, differ, tuple(asked)), opening, proof

    def _receipt(self, request: Request, model: bytes) -> Receipt:
        """The liar answers with version 0, whatever it was asked for."""
        (seed,) = (each for each in self.seeds if sign.public_key(each) == request.responder)
        output = _answer(MANIFEST.digest if seed == self.liar else model, request.question)
        fields = (
            *(self.network.id, request.responder, request.id, 0),
            *(salted_digest(request.id, request.responder, 0, output), 3, 0, 1, 2),
        )
        return Receipt(*fields, sign.sign(seed, Receipt(*fields, bytes(64)).signed_bytes()))

    def vote(self, seed: bytes, audit: Audit, opening: Opening) -> None:
        """The dispute about an audit from the first seal to the last vote but for its last cut.

        Of the two that serve the version, the challenger has sealed its answer in the nonces, and the other one votes.
        """
        voter = next(each for each in self.movers if each not in (seed, self.liar))
        key, cited = audit.key, self.book.fold.latest.id
        sealed = vote_commit(self.network.id, key, sign.public_key(voter), 0, opening.output, SALT)
        self.say(voter, Kind.VOTE_COMMIT, Commit(key, cited, sealed).encode())
        self.cut()
        cited = self.book.fold.latest.id
        self.say(voter, Kind.VOTE, Vote(key, cited, 0, opening.output, (SALT,)).encode())
        self.say(seed, Kind.VOTE, Vote(key, cited, 0, opening.output, opening.salts).encode())


def _answer(model: bytes, question: bytes) -> bytes:
    """The digest of the answer that a model gives."""
    return sha256(model + question)


def told() -> LineTale:
    """The whole story, with a cut for each case."""
    tale = LineTale()
    first = tale.release(1, PUBLISHERS[:2])
    tale.cut("a release that two of three publishers signed is announced")
    assert tale.statuses() == [CURRENT, ANNOUNCED]
    tale.cut()
    tale.cut("after its notice it is current, and the version before is served beside it")
    assert tale.statuses() == [OVERLAPPING, CURRENT]
    for seed in tale.movers:
        tale.say(seed, Kind.SERVE, Serve(first).encode())
    tale.cut("three of six members serve version 1")
    tale.cut()
    audits = tale.audit()
    tale.cut("each version is audited by its own members; one claims version 1 and answers with version 0")
    state = tale.book.fold.latest
    (dispute,) = state.disputes.values()
    assert dispute.electorate == {sign.public_key(seed) for seed in tale.movers}
    challenger = next(seed for seed in audits if sign.public_key(seed) == dispute.key.challenger)
    tale.vote(challenger, *audits[challenger])
    tale.cut("the members that serve version 1 decide: a dissent")
    members = tale.book.fold.latest.members
    assert [members[sign.public_key(seed)].dissents for seed in tale.seeds] == [0, 0, 1, 0, 0, 0]
    assert all(members[sign.public_key(seed)].agreements for seed in (*tale.movers[:2], *tale.others))
    tale.release(2, PUBLISHERS[:2])
    tale.release(2, PUBLISHERS[:1], "of a thief")
    tale.cut("one key signed two bodies: it is struck, and the body that enough publishers signed counts")
    assert tale.statuses() == [OVERLAPPING, CURRENT, ANNOUNCED]
    for seed in tale.seeds[:4]:
        tale.recall(seed, 2, 1)
    tale.cut("four of six members recall version 2")
    assert tale.statuses() == [OVERLAPPING, CURRENT, RECALLED]
    tale.recall(tale.seeds[0], 1, 0, PUBLISHERS[1:])
    tale.cut("the two publishers that are left recall version 1: version 0 is current again")
    assert tale.statuses() == [CURRENT, RECALLED, RECALLED]
    tale.say(tale.movers[0], Kind.SERVE, Serve(MANIFEST.digest).encode())
    tale.cut()
    tale.cut("one of three went back to version 0, the others are behind")
    state = tale.book.fold.latest
    assert [is_behind(tale.network, state, sign.public_key(seed)) for seed in tale.movers] == [False, True, True]
    tale.rotate(1, (PUBLISHERS[2], STRANGER), PUBLISHERS[1:])
    tale.cut("the publishers name a new key, and nobody is struck any more")
    tale.release(3, (PUBLISHERS[2], STRANGER))
    tale.release(3, (PUBLISHERS[2], STRANGER), "other")
    tale.cut("two bodies that enough publishers signed: neither counts, and the number is used")
    assert tale.statuses() == [CURRENT, RECALLED, RECALLED]
    return tale


def cases() -> dict[Path, list[Case]]:
    tale = told()
    (first, opened), *others = tale.cuts.items()
    later = [tale.book.case(comment, cut.id, like=(first, tale.book.order)) for comment, cut in others]
    return {Path("fold/lines.json"): [tale.book.case(first, opened.id), *later]}
