"""Committees: a few members of a large electorate vote first, and all of it only if they do not decide.

Each voter draws a lottery ticket from its VRF over the dispute, the stage, and the beacon of the cut after the one that
opened the stage. A ticket below the limit volunteers. Among the voters that sealed an answer in time, the lowest
tickets take the seats. This module says which tickets are drawn, which voters sit, and what their votes decide. The
records and the cuts are left to `state/disputes`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from p2pverify.core.contract.sortition import vrf_output
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX

STAGE_MAX = 2  # the last stage of a dispute in which a committee votes


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
#: An electorate of at most this size votes at once, without committees.
EVERYONE_MAX = 31
#: Volunteers per seat, on average; more than one, because some voters are away.
LOTS_PER_SEAT = 2


@dataclass(frozen=True, slots=True)
class Committee:
    """The number of seats, and the number of equal votes that decides."""

    seats: int
    equal: int


#: The committees by stage. In the last stage the whole electorate votes.
COMMITTEES = {1: Committee(9, 9), 2: Committee(31, 26)}
EVERYONE = 3
#: Stands for the stage in the work that an objector shows.
OBJECTION = 4


def first_stage(electorate: int, voters: int) -> int:
    """The stage in which a dispute begins. `voters`: how many of the electorate are not parties to the dispute."""
    return EVERYONE if electorate <= EVERYONE_MAX else next_stage(0, voters)


def next_stage(stage: int, voters: int) -> int:
    """The stage after one that did not decide. `voters`: how many have not sealed an answer yet.

    A committee is left out if nearly all of these voters would volunteer for it.
    """
    later = range(stage + 1, EVERYONE)
    return next((each for each in later if LOTS_PER_SEAT * COMMITTEES[each].seats < voters), EVERYONE)


def lot_alpha(network: bytes, dispute: DisputeKey, stage: int, beacon: bytes) -> bytes:
    """The VRF input of a lottery ticket for a committee."""
    return encode([DOMAIN, network, dispute.to_value(), stage, beacon])


def shown_work(network: bytes, dispute: DisputeKey, stage: int, work: bytes) -> bytes:
    """Proof (32 B) that a voter that seals after others have opened did the work itself.

    It follows only from `work`, a digest of the computed answer that is never published. It holds for one stage.
    """
    return digest([WORK, network, dispute.to_value(), stage, work])


def is_drawn(beta: bytes, stage: int, voters: int) -> bool:
    """Whether a ticket (`beta`, 64 bytes) volunteers. Of all `voters` on average LOTS_PER_SEAT per seat do."""
    return int.from_bytes(beta[:8], "big") * voters < LOTS_PER_SEAT * COMMITTEES[stage].seats << 64


def take_seats(lots: Mapping[bytes, bytes], stage: int) -> frozenset[bytes]:
    """The voters that take the seats: the lowest tickets of those that sealed (voter -> beta); none if too few."""
    seats = COMMITTEES[stage].seats
    ranked = sorted(lots, key=lambda voter: (lots[voter], voter))
    return frozenset(ranked[:seats]) if len(ranked) >= seats else frozenset()


def decides(stage: int, equal: int) -> bool:
    """Whether this number of equal votes of a committee decides."""
    return equal >= COMMITTEES[stage].equal


def may_still_decide(stage: int, equal: Iterable[int]) -> bool:
    """Whether a committee could still decide. `equal`: the sizes of the groups of equal votes opened so far."""
    counts = sorted(equal)
    most, opened = (counts[-1] if counts else 0), sum(counts)
    return decides(stage, most + COMMITTEES[stage].seats - opened)


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
