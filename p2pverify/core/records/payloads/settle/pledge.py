"""The pledge record: the author pays for training rounds of a line.

Protocol page: protocol/pledge.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.lines import LINES_MAX
from p2pverify.core.encoding.canon import as_uint, encode
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.settle.cheques import read_amount

#: The greatest number of a training round.
ROUND_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class PledgeOffer:
    """The author pays up to `bounty` (millionths) for each round of a line, from number `first` to `last`."""

    line: int
    bounty: int
    first: int
    last: int

    def encode(self) -> bytes:
        return encode([self.line, self.bounty, self.first, self.last])


def decode_pledge(payload: bytes) -> PledgeOffer:
    """Read the payload of a pledge. Raises DecodeError."""
    line, bounty, first, last = read_fields(payload, "pledge", 4)
    found = PledgeOffer(
        as_uint(line, "line", LINES_MAX - 1),
        read_amount(bounty, "bounty"),
        as_uint(first, "first", ROUND_MAX),
        as_uint(last, "last", ROUND_MAX),
    )
    if found.first > found.last:
        raise DecodeError("the last round is before the first")
    return found


def _check(pledge: PledgeOffer, _record: Record, rules: Rules) -> None:
    # [REJECT] The network has the line.
    if pledge.line >= len(rules.network.lines):
        raise GossipReject("no such line")


PLEDGE_RULE = KindRule(Kind.PLEDGE, lambda _header, payload: decode_pledge(payload), _check)
