"""Where a record of a round belongs: a line that is trained, and the number of the round."""

from dataclasses import dataclass

from p2pverify.core.contract.history.lines import LINES_MAX
from p2pverify.core.encoding.canon import Value, as_bytes, as_uint
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import read_fields
from p2pverify.core.records.kind_rule import Rules

ROUND_NUMBER_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class RoundPlace:
    """The index of a line in the definition, and a round of it. Rounds count from 1, void ones too."""

    line: int
    number: int

    def to_value(self) -> list[object]:
        return [self.line, self.number]


def read_place(line: Value, number: Value) -> RoundPlace:
    """Raises DecodeError."""
    place = RoundPlace(as_uint(line, "line", LINES_MAX - 1), as_uint(number, "round", ROUND_NUMBER_MAX))
    if place.number == 0:
        raise DecodeError("rounds count from 1")
    return place


def commitment_in(payload: bytes, what: str) -> tuple[RoundPlace, bytes, bytes]:
    """The round, the certificate and the commitment (32 B each) of a payload that has nothing else.

    `what` names the payload in errors. Raises DecodeError.
    """
    line, number, certificate, commit = read_fields(payload, what, 4)
    place = read_place(line, number)
    return place, as_bytes(certificate, "certificate", size=32), as_bytes(commit, "commit", size=32)


def check_line(place: RoundPlace, rules: Rules) -> None:
    """Raises GossipReject unless the line is trained."""
    lines = rules.network.lines
    if place.line >= len(lines) or lines[place.line].training is None:
        raise GossipReject("no such line that is trained")
