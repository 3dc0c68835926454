"""The recall: publishers, or members with two thirds of the weight, take a version back.

Protocol page: protocol/recall.md.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2pverify.core.contract.history.release import RELEASE_LINE_MAX, RELEASE_NUMBER_MAX
from p2pverify.core.encoding.canon import as_uint, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.lines.signatures import (
    SIGNED_CHECKS,
    Signatures,
    check_statement,
    read_signatures,
    signatures_value,
)

DOMAIN = "p2pverify/recall/1"


class Reason(IntEnum):
    """Why a version is recalled. `TWO_BODIES` is the fold's own reason, and stands in no record."""

    TWO_BODIES = 0
    DEFECTIVE = 1
    VULNERABLE = 2
    STOLEN_KEY = 3
    DATA_ERASED = 4
    LICENCE = 5
    OTHER = 6


@dataclass(frozen=True, slots=True)
class Recall:
    """A version of a line that nobody should serve, and with it all versions above `back_to`, which is below it.

    Without `signatures` it is the author's own vote for this recall.
    """

    line: int
    number: int
    reason: Reason
    back_to: int
    signatures: Signatures = ()

    def _statement_value(self) -> list[object]:
        return [self.line, self.number, int(self.reason), self.back_to]

    def statement(self, network: bytes) -> bytes:
        """What the publishers sign, in the network of this id (32 B)."""
        return encode([DOMAIN, network, *self._statement_value()])

    def encode(self) -> bytes:
        return encode([*self._statement_value(), signatures_value(self.signatures)])


def decode_recall(payload: bytes) -> Recall:
    """Read the payload of a recall. Raises DecodeError."""
    line, number, reason, back_to, signatures = read_fields(payload, "recall", 5)
    code = as_uint(reason, "reason", max(Reason))
    found = Recall(
        as_uint(line, "line", RELEASE_LINE_MAX),
        as_uint(number, "number", RELEASE_NUMBER_MAX),
        Reason(code),
        as_uint(back_to, "back_to", RELEASE_NUMBER_MAX),
        read_signatures(signatures),
    )
    if found.reason is Reason.TWO_BODIES:
        raise DecodeError("no recall has this reason")
    if found.back_to >= found.number:
        raise DecodeError("a recall goes back to an earlier version")
    return found


def _check(recall: Recall, _record: Record, rules: Rules) -> None:
    check_statement(recall.line, recall.statement(rules.network_id), recall.signatures, rules)


RECALL_RULE = KindRule(
    Kind.RECALL, lambda _header, payload: decode_recall(payload), _check, checks=lambda _size: SIGNED_CHECKS
)
