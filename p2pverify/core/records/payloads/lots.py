"""What records say of disputes and committees: the key of a dispute, lottery tickets, and shown work."""

from dataclasses import dataclass

from p2pverify.core.blind.committees import STAGE_MAX
from p2pverify.core.contract.sortition import vrf_output
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX


@dataclass(frozen=True, slots=True)
class DisputeKey:
    """The key of a dispute: the audited slot."""

    challenger: bytes
    epoch: int
    slot: int

    def to_value(self) -> list[object]:
        return [self.challenger, self.epoch, self.slot]

    def sort_key(self) -> tuple[int, bytes, int]:
        return (self.epoch, self.challenger, self.slot)


@dataclass(frozen=True, slots=True)
class Lot:
    """A lottery ticket for a committee seat: a VRF proof over the dispute, the stage, and the beacon."""

    stage: int
    beacon: bytes
    vrf_key: bytes
    proof: bytes

    def to_value(self) -> list[object]:
        return [self.stage, self.beacon, self.vrf_key, self.proof]


DOMAIN = "p2pverify/committee/1"
WORK = "p2pverify/work/1"
#: Stands for the stage in the work that an objector shows.
OBJECTION = 4


def lot_alpha(network: bytes, dispute: DisputeKey, stage: int, beacon: bytes) -> bytes:
    """The VRF input of a lottery ticket for a committee."""
    return encode([DOMAIN, network, dispute.to_value(), stage, beacon])


def shown_work(network: bytes, dispute: DisputeKey, stage: int, work: bytes) -> bytes:
    """Proof (32 B) that a voter that seals after others have opened did the work itself.

    It follows only from `work`, a digest of the computed answer that is never published. It holds for one stage.
    """
    return digest([WORK, network, dispute.to_value(), stage, work])


def lot_output(network_id: bytes, dispute: DisputeKey, lot: Lot) -> bytes | None:
    """The VRF output (64 bytes) of a ticket, None if its proof does not verify."""
    return vrf_output(lot.vrf_key, lot_alpha(network_id, dispute, lot.stage, lot.beacon), lot.proof)


def lot_from_value(value: Value) -> Lot:
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
