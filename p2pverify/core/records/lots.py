"""Committees: a few of a large electorate vote first, and all of it only if they do not settle the matter.

Whoever may vote draws its lot from its VRF over the dispute, the stage, and the beacon of the cut after the one that
opened the stage. A lot below the bar volunteers; of those who sealed an answer in time the lowest lots take the seats.
Here is who is drawn, who sits, and what their votes decide; the records and the cuts are left to `disputes`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from p2pverify.core.contract.sortition import vrf_output
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX

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


DOMAIN = "p2pverify/committee/1"
WORK = "p2pverify/work/1"
#: An electorate of so many votes at once.
EVERYONE_MAX = 31
#: How many volunteer for each seat, on average: some are away.
LOTS_PER_SEAT = 2


@dataclass(frozen=True, slots=True)
class Committee:
    """So many seats, and so many equal votes that decide."""

    seats: int
    equal: int


#: The committees by stage. The last stage is everybody's.
COMMITTEES = {1: Committee(9, 9), 2: Committee(31, 26)}
EVERYONE = 3


def first_stage(electorate: int, voters: int) -> int:
    """The stage in which a dispute begins. `voters`: those of the electorate that are not parties to it."""
    return EVERYONE if electorate <= EVERYONE_MAX else next_stage(0, voters)


def next_stage(stage: int, voters: int) -> int:
    """The stage after one that has not settled the matter. `voters`: those who have not sealed an answer yet.

    A committee for which nearly all of them would volunteer is left out.
    """
    later = range(stage + 1, EVERYONE)
    return next((each for each in later if LOTS_PER_SEAT * COMMITTEES[each].seats < voters), EVERYONE)


def lot_alpha(network: bytes, dispute: DisputeKey, stage: int, beacon: bytes) -> bytes:
    """VRF input of a lot for a committee."""
    return encode([DOMAIN, network, dispute.to_value(), stage, beacon])


def shown_work(network: bytes, dispute: DisputeKey, stage: int, work: bytes) -> bytes:
    """What a voter shows who seals after others have opened: of no use in another stage, and to be had only from the
    work itself, of which `work` is a digest that nobody publishes.
    """
    return digest([WORK, network, dispute.to_value(), stage, work])


def is_drawn(beta: bytes, stage: int, voters: int) -> bool:
    """Whether a lot (64 bytes) is one that volunteers: on average two per seat do, of so many voters."""
    return int.from_bytes(beta[:8], "big") * voters < LOTS_PER_SEAT * COMMITTEES[stage].seats << 64


def take_seats(lots: Mapping[bytes, bytes], stage: int) -> frozenset[bytes]:
    """The seats: the lowest lots among those who sealed (voter -> beta); nobody if there are fewer than seats."""
    seats = COMMITTEES[stage].seats
    ranked = sorted(lots, key=lambda voter: (lots[voter], voter))
    return frozenset(ranked[:seats]) if len(ranked) >= seats else frozenset()


def decides(stage: int, equal: int) -> bool:
    """Whether so many equal votes of a committee decide."""
    return equal >= COMMITTEES[stage].equal


def may_still_decide(stage: int, equal: Iterable[int]) -> bool:
    """Whether a committee could still decide, with these numbers of equal votes opened so far."""
    counts = sorted(equal)
    most, opened = (counts[-1] if counts else 0), sum(counts)
    return decides(stage, most + COMMITTEES[stage].seats - opened)


def lot_output(network_id: bytes, dispute: DisputeKey, lot: Lot) -> bytes | None:
    """The output of a lot for a committee, if its proof verifies."""
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
