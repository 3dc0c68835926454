"""The vote of a dispute: a voter seals its answer, and opens it once a certified cut holds the seals."""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import Measures, measures_value, read_measures
from p2pverify.core.records.envelope import EPOCH_MAX, read_fields

VOTE = "p2pverify/vote/1"
#: What a voter answers if the question does not follow from the slot.
UNDERIVABLE = digest(["p2pverify/underivable/1"])
ASKED_MAX = 31
STAGE_MAX = 2  # of a dispute, in which a committee votes


@dataclass(frozen=True, slots=True)
class DisputeKey:
    """A slot that was audited, as the name of the dispute about it."""

    challenger: bytes
    epoch: int
    slot: int

    def to_value(self) -> list[object]:
        return [self.challenger, self.epoch, self.slot]

    def sort_key(self) -> tuple[int, bytes, int]:
        return (self.epoch, self.challenger, self.slot)


@dataclass(frozen=True, slots=True)
class Lot:
    """By what its owner volunteers for a committee: the VRF proof over the dispute, the stage, and that beacon."""

    stage: int
    beacon: bytes
    vrf_key: bytes
    proof: bytes

    def to_value(self) -> list[object]:
        return [self.stage, self.beacon, self.vrf_key, self.proof]


@dataclass(frozen=True, slots=True)
class Commit:
    """A voter's sealed answer to a disputed question. `certificate` holds the audit and the duty.

    `lot` is there where a committee votes.
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
    """The opening of a commit, or of the challenger's nonces: then with one salt per asked peer.

    `certificate` holds what is opened. A vote of `UNDERIVABLE` says that the question does not follow from the slot.
    In a dispute across classes `output` is otherwise the digest of `measures`. `shown` is by what whoever sealed after
    others had opened shows that it did not copy them.
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
        None if lot is None else _lot(lot),
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


def _lot(value: Value) -> Lot:
    number, beacon, key, proof = as_array(value, "lot", length=4)
    stage = as_uint(number, "stage", STAGE_MAX)
    if stage == 0:
        raise DecodeError("stages count from 1")
    return Lot(
        stage,
        as_bytes(beacon, "beacon", size=32),
        as_bytes(key, "VRF key", size=32),
        as_bytes(proof, "VRF proof", size=80),
    )


def dispute_from_value(value: Value) -> DisputeKey:
    challenger, epoch, slot = as_array(value, "dispute", length=3)
    return DisputeKey(
        as_bytes(challenger, "challenger", size=32),
        as_uint(epoch, "epoch", EPOCH_MAX),
        as_uint(slot, "slot", 255),
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
    """What a voter commits to: useless to anybody else, since the voter is inside."""
    return digest([VOTE, network, dispute.to_value(), voter, class_index, output, shown, salt])
