"""The vote of a dispute: a voter seals its answer, and opens it once a certified cut holds the seals."""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import GossipReject
from p2pverify.core.inference.compare import Measures, measures_value, read_measures
from p2pverify.core.records.envelope import Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import VRF_CHECKS, KindRule, Rules
from p2pverify.core.records.payloads.lots import DisputeKey, Lot, dispute_from_value, lot_from_value, lot_output

VOTE = "p2pverify/vote/1"
#: A voter's answer if the question does not follow from the slot.
UNDERIVABLE = digest(["p2pverify/underivable/1"])
ASKED_MAX = 31
_SEAL_BYTES_MAX = 400  # a commit without a lot for a committee


@dataclass(frozen=True, slots=True)
class Commit:
    """A voter's sealed answer to a disputed question. `certificate` is a certified cut with the audit and the duty.

    `lot` is present if a committee votes.
    """

    dispute: DisputeKey
    certificate: bytes
    commit: bytes
    lot: Lot | None = None

    def encode(self) -> bytes:
        lot = None if self.lot is None else self.lot.to_value()
        return encode([self.dispute.to_value(), self.certificate, self.commit, lot])


@dataclass(frozen=True, slots=True)
class Vote:
    """The opening of a voter's commit, or of the challenger's nonces, with one salt per asked peer.

    `certificate` is a certified cut with the commit or the audit. The output `UNDERIVABLE` says that the question does
    not follow from the slot. Otherwise `output` in a dispute across classes is the digest of `measures`. `shown` is a
    late voter's proof that it did not copy (see `shown_work`); None in the first stage.
    """

    dispute: DisputeKey
    certificate: bytes
    class_index: int
    output: bytes
    salts: tuple[bytes, ...]
    measures: Measures = ()
    shown: bytes | None = None

    def encode(self) -> bytes:
        said = [self.class_index, self.output, list(self.salts), measures_value(self.measures), self.shown]
        return encode([self.dispute.to_value(), self.certificate, *said])


@remembered(4096)
def decode_commit(payload: bytes) -> Commit:
    key, certificate, commit, lot = read_fields(payload, "vote-commit", 4)
    return Commit(
        dispute_from_value(key),
        as_bytes(certificate, "certificate", size=32),
        as_bytes(commit, "commit", size=32),
        None if lot is None else lot_from_value(lot),
    )


@remembered(4096)
def decode_vote(payload: bytes) -> Vote:
    key, certificate, index, output, salts, measures, shown = read_fields(payload, "vote", 7)
    return Vote(
        dispute_from_value(key),
        as_bytes(certificate, "certificate", size=32),
        as_uint(index, "class", 31),
        as_bytes(output, "output", size=32),
        read_salts(salts),
        read_measures(measures, ASKED_MAX),
        None if shown is None else as_bytes(shown, "shown", size=32),
    )


def read_salts(value: Value) -> tuple[bytes, ...]:
    salts = as_array(value, "salts", length_max=ASKED_MAX)
    return tuple(as_bytes(salt, "salt", size=32) for salt in salts)


def vote_commit(
    network: bytes,
    dispute: DisputeKey,
    voter: bytes,
    class_index: int,
    output: bytes,
    salt: bytes,
    shown: bytes | None = None,
) -> bytes:
    """A voter's commitment (32 B). It contains the voter's key, so that nobody else can use it."""
    return digest([VOTE, network, dispute.to_value(), voter, class_index, output, shown, salt])


def _after_slot(epoch: int, record: Record) -> None:
    # [REJECT] The disputed slot is of an epoch before the record's.
    if epoch >= record.epoch:
        raise GossipReject("vote on a slot of its own or a later epoch")


def _check_commit(commit: Commit, record: Record, rules: Rules) -> None:
    _after_slot(commit.dispute.epoch, record)
    # [REJECT] A challenger votes by its opening, never by a commit.
    if commit.dispute.challenger == record.author:
        raise GossipReject("a challenger committed in its own dispute")
    # [REJECT] The lot's VRF proof holds for its key, and for the dispute, the stage and the beacon that it names.
    if commit.lot is not None and lot_output(rules.network_id, commit.dispute, commit.lot) is None:
        raise GossipReject("lot does not hold")


def _check_vote(vote: Vote, record: Record, _rules: Rules) -> None:
    _after_slot(vote.dispute.epoch, record)
    # [REJECT] A voter's opening has one salt.
    if vote.dispute.challenger != record.author and len(vote.salts) != 1:
        raise GossipReject("a vote opens one commit")


def _claim_of_commit(header: Header, payload: bytes) -> tuple[object, bytes]:
    """An author may seal once in each stage of a dispute. A repeat may cite a later certificate."""
    commit = decode_commit(payload)
    stage = None if commit.lot is None else commit.lot.stage
    return (header.kind, commit.dispute, stage), commit.commit


def _claim_of_vote(header: Header, payload: bytes) -> tuple[object, bytes]:
    vote = decode_vote(payload)
    return (header.kind, vote.dispute), vote.output


COMMIT_RULE = KindRule(
    Kind.VOTE_COMMIT,
    lambda _header, payload: decode_commit(payload),
    _check_commit,
    claim=_claim_of_commit,
    checks=lambda size: 1 + VRF_CHECKS if size > _SEAL_BYTES_MAX else 1,
)
VOTE_RULE = KindRule(Kind.VOTE, lambda _header, payload: decode_vote(payload), _check_vote, claim=_claim_of_vote)
