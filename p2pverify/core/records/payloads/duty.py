"""The duty: the slots that a challenger owed in an epoch, with the openings of the undisputed ones."""

from dataclasses import dataclass

from p2pverify.core.contract.sortition import duty_alpha, vrf_holds
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, decode, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.inference.compare import measures_value, read_measures
from p2pverify.core.inference.question import Opening
from p2pverify.core.records.envelope import EPOCH_MAX, PAYLOAD_BYTES_MAX, Kind, Record
from p2pverify.core.records.kind_rule import VRF_CHECKS, KindRule, Rules
from p2pverify.core.records.payloads.vote import ASKED_MAX, read_salts

OPENINGS_MAX = 64


@dataclass(frozen=True, slots=True)
class Duty:
    """A peer's duty in an epoch: the VRF proof that decides its slots, and the openings of the undisputed ones."""

    epoch: int
    anchor: bytes
    beacon: bytes
    vrf_key: bytes
    proof: bytes
    openings: tuple[Opening, ...]

    def encode(self) -> bytes:
        openings = [[o.slot, o.class_index, o.output, list(o.salts), measures_value(o.measures)] for o in self.openings]
        return encode([self.epoch, self.anchor, self.beacon, self.vrf_key, self.proof, openings])


@remembered(4096)
def decode_duty(payload: bytes) -> Duty:
    """Read a duty's payload. Raises DecodeError; the proof is not checked here."""
    top = as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), "duty", length=6)
    openings = tuple(_opening(item) for item in as_array(top[5], "openings", length_max=OPENINGS_MAX))
    slots = [opening.slot for opening in openings]
    if slots != sorted(set(slots)):
        raise DecodeError("openings are not sorted by distinct slots")
    return Duty(
        as_uint(top[0], "epoch", EPOCH_MAX),
        as_bytes(top[1], "anchor", size=32),
        as_bytes(top[2], "beacon", size=32),
        as_bytes(top[3], "VRF key", size=32),
        as_bytes(top[4], "VRF proof", size=80),
        openings,
    )


def _opening(value: Value) -> Opening:
    slot, index, output, salts, measures = as_array(value, "opening", length=5)
    return Opening(
        as_uint(slot, "slot", 255),
        None if index is None else as_uint(index, "class", 31),
        as_bytes(output, "output", size=32),
        read_salts(salts),
        read_measures(measures, ASKED_MAX),
    )


def _check(duty: Duty, record: Record, rules: Rules) -> None:
    # [REJECT] A duty is revealed after its epoch.
    if duty.epoch >= record.epoch:
        raise GossipReject("duty revealed before its epoch ended")
    # [REJECT] The VRF proof holds for the key, the epoch and the beacon that the duty names.
    if not vrf_holds(duty.vrf_key, duty_alpha(rules.network_id, duty.epoch, duty.beacon), duty.proof):
        raise GossipReject("VRF proof does not hold")


DUTY_RULE = KindRule(
    Kind.DUTY,
    lambda _header, payload: decode_duty(payload),
    _check,
    claim=lambda header, payload: (decode_duty(payload).epoch, header.body),
    checks=lambda _size: 1 + VRF_CHECKS,
)
