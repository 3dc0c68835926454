"""What a record claims to be, read at its fixed places before anything is decoded or checked.

Only for deciding whether a record is worth a judgement at all: nothing here is verified, and what does not look like
a record is left to `rules`, which says what is wrong with it.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.fast_path import AUTHOR, BYTES_32, NUMBERS, START

_RECEIPT_BYTES = 240  # about what an audit spends on each peer that it asked
_SEAL_BYTES_MAX = 400  # a commit without a lot for a committee
_VRF_CHECKS = 6  # a VRF proof costs as much as so many signatures (measured: 0.48 ms against 0.08)

#: Signature checks that a record costs beside those inside an audit; a join's new key is a point to check.
CHECKS: dict[int, int] = {
    Kind.JOIN: 2,
    Kind.DUTY: 1 + _VRF_CHECKS,
    Kind.CUT: 1 + _VRF_CHECKS,
    Kind.CONFLICT: 3,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """An author (32 B), a kind, the id of the record that it says is before it, its header, and its whole size."""

    author: bytes
    kind: int
    prev: bytes
    header: bytes
    size: int

    @property
    def id(self) -> bytes:
        """The id that a record with this header has."""
        return sha256(self.header)

    @property
    def checks(self) -> int:
        """About how many signature checks a judgement costs."""
        if self.kind == Kind.AUDIT:
            return 1 + self.size // _RECEIPT_BYTES
        if self.kind == Kind.VOTE_COMMIT and self.size > _SEAL_BYTES_MAX:
            return 1 + _VRF_CHECKS
        return CHECKS.get(self.kind, 1)


def peek(data: bytes) -> Claim | None:
    """The claim of a record's bytes, or None if they do not begin like one."""
    if not data.startswith(START) or data[AUTHOR - 2 : AUTHOR] != BYTES_32:
        return None
    at = NUMBERS
    for _ in range(2):  # epoch and seq
        at = _after_uint(data, at)
    prev_at = at + 2
    kind_at = prev_at + 32
    end = _after_uint(data, kind_at) + 34
    if data[at:prev_at] != BYTES_32 or end > len(data):
        return None
    kind = data[kind_at] if data[kind_at] < 24 else data[kind_at + 1]
    return Claim(data[AUTHOR:NUMBERS], kind, data[prev_at:kind_at], data[1:end], len(data))


def _after_uint(data: bytes, at: int) -> int:
    """Where the next item begins after an unsigned integer; nonsense leads beyond the end at worst."""
    if at >= len(data) or data[at] < 24:
        return at + 1
    return at + 1 + (1 << (data[at] & 3))
