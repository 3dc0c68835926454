"""The result of a round: what members vote on. Its digest is the output of their votes.

Protocol page: protocol/round-vote.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from p2pverify.core.contract.history.training import CONTRIBUTORS_MAX
from p2pverify.core.encoding.canon import Value, as_array, as_bool, as_bytes, as_uint, check_sorted, digest
from p2pverify.core.errors import DecodeError

ROUND_RESULT_DOMAIN = "p2pverify/round-result/1"
#: Micronats of a gain or a credit, up or down: 1,000 nats, far above the greatest loss of a row.
MICRONATS_MAX = 10**9


class UpdateFinding(IntEnum):
    """What a voter found about an update."""

    RIGHT = 0
    FALSE = 1  # mode 0: training over the shown rows gives another update
    UNSEEN = 2  # its bytes could not be had from anybody
    BROKEN = 3  # its bytes break a rule: another digest or number of weights, a norm above the clip, other rows


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One contributor. Only a right update has credit (micronats) and can be a mark against its author."""

    author: bytes
    finding: UpdateFinding
    credit: int = 0
    is_marked: bool = False

    def to_value(self) -> list[object]:
        return [self.author, int(self.finding), signed_value(self.credit), self.is_marked]


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What a round gives. `closing` is the cut (id, 32 B) that closed the opening, and so says which updates counted.

    `weights` and `manifest` are digests (32 B) of the new version, or those of the base if the `gain` (micronats) is
    below the least gain of the rule.
    """

    closing: bytes
    rows: tuple[ResultRow, ...]
    gain: int
    weights: bytes
    manifest: bytes

    def to_value(self) -> list[object]:
        rows = [row.to_value() for row in self.rows]
        return [self.closing, rows, signed_value(self.gain), self.weights, self.manifest]

    @property
    def digest(self) -> bytes:
        """The output (32 B) that is voted on."""
        return digest([ROUND_RESULT_DOMAIN, self.to_value()])


def signed_value(number: int) -> int:
    """An integer that may be negative, as an unsigned one: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    return 2 * number if number >= 0 else -2 * number - 1


def read_signed(value: Value, name: str) -> int:
    """A number of micronats. Raises DecodeError."""
    number = as_uint(value, name, 2 * MICRONATS_MAX)
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def read_result(value: Value) -> RoundResult:
    """Raises DecodeError."""
    closing, rows, gain, weights, manifest = as_array(value, "result", length=5)
    found = RoundResult(
        as_bytes(closing, "closing cut", size=32),
        tuple(map(read_result_row, as_array(rows, "result rows", length_max=CONTRIBUTORS_MAX))),
        read_signed(gain, "gain"),
        as_bytes(weights, "weights", size=32),
        as_bytes(manifest, "manifest", size=32),
    )
    check_sorted([row.author for row in found.rows], "result rows")
    return found


def read_result_row(value: Value) -> ResultRow:
    """Raises DecodeError."""
    author, finding, credit, mark = as_array(value, "result row", length=4)
    row = ResultRow(
        as_bytes(author, "author", size=32),
        UpdateFinding(as_uint(finding, "finding", UpdateFinding.BROKEN)),
        read_signed(credit, "credit"),
        as_bool(mark, "mark"),
    )
    if row.finding is not UpdateFinding.RIGHT and (row.credit or row.is_marked):
        raise DecodeError("an update that is not right has credit or a mark")
    return row


def unseen_in(result: RoundResult) -> frozenset[bytes]:
    """The authors whose bytes a voter could not get."""
    return frozenset(row.author for row in result.rows if row.finding is UpdateFinding.UNSEEN)


def authors_of(rows: Sequence[ResultRow]) -> tuple[bytes, ...]:
    """The authors of the updates that a result has rows of, sorted."""
    return tuple(row.author for row in rows)
