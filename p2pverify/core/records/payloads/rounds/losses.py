"""The losses that an owner reports in mode 2: sealed, so that nobody copies those of others, and then opened.

Protocol pages: protocol/loss-seal.md, loss-report.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, digest, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.rounds.place import RoundPlace, check_line, commitment_in, read_place
from p2pverify.core.training.losses import LOSS_MICRONATS_MAX, REPORTED_LOSSES_MAX, LossTable

LOSS_SEAL_DOMAIN = "p2pverify/loss-seal/1"


@dataclass(frozen=True, slots=True)
class LossSeal:
    """An owner's sealed losses. `certificate` is a certified cut that closed the opening of updates."""

    place: RoundPlace
    certificate: bytes
    commit: bytes

    def encode(self) -> bytes:
        return encode([*self.place.to_value(), self.certificate, self.commit])


@dataclass(frozen=True, slots=True)
class LossReport:
    """An owner's opened losses. `certificate` is a certified cut after which no losses can be sealed."""

    place: RoundPlace
    certificate: bytes
    losses: LossTable
    salt: bytes

    def encode(self) -> bytes:
        return encode([*self.place.to_value(), self.certificate, list(self.losses), self.salt])


def loss_seal(network: bytes, place: RoundPlace, author: bytes, losses: LossTable, salt: bytes) -> bytes:
    """The commitment (32 B) to an owner's losses. It contains the author's key, so that nobody else can use it."""
    return digest([LOSS_SEAL_DOMAIN, network, *place.to_value(), author, list(losses), salt])


def decode_loss_seal(payload: bytes) -> LossSeal:
    """Read the payload of a loss seal. Raises DecodeError."""
    return LossSeal(*commitment_in(payload, "loss-seal"))


def decode_loss_report(payload: bytes) -> LossReport:
    """Read the payload of a loss report. Raises DecodeError."""
    line, number, certificate, losses, salt = read_fields(payload, "loss-report", 5)
    items = as_array(losses, "losses", length_max=REPORTED_LOSSES_MAX)
    found = LossReport(
        read_place(line, number),
        as_bytes(certificate, "certificate", size=32),
        tuple(as_uint(item, "loss", LOSS_MICRONATS_MAX) for item in items),
        as_bytes(salt, "salt", size=32),
    )
    if not found.losses:
        raise DecodeError("losses: empty")
    return found


def _claim(header: Header, payload: bytes) -> tuple[object, bytes]:
    seal = decode_loss_seal(payload)
    return (header.kind, seal.place), seal.commit


def _check_seal(seal: LossSeal, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(seal.place, rules)


def _check_report(report: LossReport, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(report.place, rules)


LOSS_SEAL_RULE = KindRule(Kind.LOSS_SEAL, lambda _header, payload: decode_loss_seal(payload), _check_seal, claim=_claim)
LOSS_REPORT_RULE = KindRule(Kind.LOSS_REPORT, lambda _header, payload: decode_loss_report(payload), _check_report)
