"""The forms of what a state keeps of earlier cuts: each is written as its differences from a cut that is known.

A cut of the path is written by its differences from the next one, so its leaf never changes. A cut beside the path is
written by its differences from its base.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from p2pverify.core.blind.values import VoteTurns
from p2pverify.core.encoding.canon import Value, as_array, as_bytes
from p2pverify.core.errors import DecodeError
from p2pverify.core.state.codec.forms import (
    BOOL,
    ID,
    IDS,
    SINCE,
    UINT,
    Form,
    check_ascending,
    choice,
    mapping,
    maybe,
    pair,
    plain,
    record,
    sequence,
    uint,
)
from p2pverify.core.state.codec.lines import LINE, LINE_NOTES, SERVED
from p2pverify.core.state.codec.rounds import NUMBER
from p2pverify.core.state.codec.rows import CLASS, DISPUTE_KEY, SEQ
from p2pverify.core.state.codec.rules import RULES_IN_FORCE
from p2pverify.core.state.memory import RECENT_IDS_MAX
from p2pverify.core.state.past.notes import CutIds, PastCut, PastRound, PastRow
from p2pverify.core.state.rounds.notes import TrainingPhase

#: Bytes of the ids of one author's records in a cut, at most.
IDS_BYTES_MAX = 32 * RECENT_IDS_MAX


def _read_head(value: Value) -> tuple[int, bytes, int, int]:
    seq, record_id, epoch, since = as_array(value, "head", length=4)
    found = SEQ.read(seq), ID.read(record_id), UINT.read(epoch), SEQ.read(since)
    if found[3] > found[0]:
        raise DecodeError("head: its epoch began after it")
    return found


#: A head without its author, and the tail of its log: number, id, epoch, and the number at which the epoch began.
HEAD: Form[tuple[int, bytes, int, int]] = Form(lambda head: head, _read_head)
PAST_ROW: Form[PastRow] = record(
    PastRow, active=BOOL, class_index=CLASS, vrf_key=ID, weight=uint(1), fork_until=SINCE, is_convicted=BOOL
)
TURNS: Form[VoteTurns] = record(VoteTurns, is_closed=BOOL, everybody=BOOL, voters=IDS)
PAST_ROUND: Form[PastRound] = record(PastRound, number=NUMBER, phase=choice(TrainingPhase), vote=maybe(TURNS))


class _Part(NamedTuple):
    """A mapping of a `PastCut`: its field, the forms of key and value, and the order of the keys."""

    field: str
    key: Form[Any]
    value: Form[Any]
    order: Callable[[Any], Any] = plain

    def write(self, of: Mapping[Any, Any], known: Mapping[Any, Any]) -> list[object]:
        """The entries that differ from those of a known cut; None for those that only the known one has."""
        if of is known:
            return []
        keys = {key for key, value in of.items() if known.get(key) != value} | (known.keys() - of.keys())
        return [
            [self.key.write(key), None if key not in of else self.value.write(of[key])]
            for key in sorted(keys, key=self.order)
        ]

    def read(self, written: Value, known: Mapping[Any, Any]) -> Mapping[Any, Any]:
        changed = [as_array(entry, self.field, length=2) for entry in as_array(written, self.field)]
        keys = [self.key.read(key) for key, _ in changed]
        check_ascending(map(self.order, keys))
        found = dict(known) if changed else known
        for key, (_, written_value) in zip(keys, changed, strict=True):
            value = None if written_value is None else self.value.read(written_value)
            if known.get(key) == value:
                raise DecodeError(f"{self.field}: no difference")
            if value is None:
                del found[key]  # type: ignore[attr-defined]
            else:
                found[key] = value  # type: ignore[index]
        return found


_PARTS = (
    _Part("members", ID, PAST_ROW),
    _Part("served", ID, SERVED),
    _Part("lines", LINE, LINE_NOTES),
    _Part("disputes", DISPUTE_KEY, TURNS, lambda key: key.sort_key()),
    _Part("rounds", LINE, PAST_ROUND),
    _Part("rules", UINT, RULES_IN_FORCE),
)


def write_past(cut: PastCut, known: PastCut) -> list[object]:
    """A cut by its differences from a known one. Its index is not written."""
    parts = [part.write(getattr(cut, part.field), getattr(known, part.field)) for part in _PARTS]
    return [cut.epoch, cut.beacon, *parts]


def read_past(written: Value, index: int, known: PastCut) -> PastCut:
    """A cut from its differences. Raises DecodeError."""
    epoch, beacon, *parts = as_array(written, "cut", length=2 + len(_PARTS))
    found: dict[str, Any] = {
        part.field: part.read(changes, getattr(known, part.field)) for part, changes in zip(_PARTS, parts, strict=True)
    }
    return PastCut(UINT.read(epoch), index, ID.read(beacon), **found)


def _read_ids(value: Value) -> tuple[bytes, ...]:
    joined = as_bytes(value, "ids", size_max=IDS_BYTES_MAX)
    if not joined or len(joined) % 32:
        raise DecodeError("ids: not of 32 bytes each")
    return tuple(joined[at : at + 32] for at in range(0, len(joined), 32))


CUT_IDS: Form[CutIds] = mapping(ID, pair(SEQ, Form(b"".join, _read_ids)), plain)
#: A cut that this one contains, with what is known of it once it was supported: see `read_past`.
RAW: Form[Value] = Form(lambda value: value, lambda value: value)
PATH: Form[tuple[bytes, ...]] = sequence(ID)
