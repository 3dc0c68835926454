"""The writes of the store, as small frozen dataclasses.

The core decides what the bytes mean. Only sizes are checked here, so that a mistake fails its own append and not the
whole batch.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from p2pverify.core.encoding.canon import UINT_MAX
from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX
from p2pverify.node.endpoints.shelf import KEPT_PEERS_MAX, STATEMENT_BYTES_MAX, KeptPeer

DATA_BYTES_MAX = 1 << 20  # of one value; far above the size of any record or response
QUESTION_BYTES_MAX = 256  # of a question's identifier, commonly its 32-byte digest


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Keep a verified record: `data` is its encoded bytes; the other fields come from its header.

    `received` says that an own record came from another peer. If we signed twice after a restored backup, the other
    branch is stored, because every view needs it as evidence. A record that we are about to publish is refused if its
    sequence number is taken.
    """

    id: bytes  # 32 B
    author: bytes  # 32 B
    seq: int
    kind: int
    epoch: int
    data: bytes
    received: bool = False


@dataclass(frozen=True, slots=True)
class PutAnswer:
    """Keep the response to a requester's question, given in `epoch`. The first response stays."""

    requester: bytes  # 32 B
    question: bytes
    response: bytes
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class PutEvidence:
    """Keep the answer of an asked peer of one of our slots. The first answer stays."""

    epoch: int
    slot: int
    responder: bytes  # 32 B
    answer: bytes


@dataclass(frozen=True, slots=True)
class DropEvidence:
    """Delete the evidence of epochs before `before_epoch`."""

    before_epoch: int


class HorizonRow(NamedTuple):
    """The last record of an author that is no longer needed: key (32 B), number, id (32 B) and epoch.

    `since` is the number at which that epoch began in the author's log.
    """

    author: bytes
    seq: int
    id: bytes
    epoch: int
    since: int


@dataclass(frozen=True, slots=True)
class PutBase:
    """Start from these cuts from now on: ids (32 B) and bytes of states, oldest first.

    Records up to the `horizon` are deleted, all records of the authors `gone`, and answers of epochs before `epoch`.
    The `named` records (ids) stay, and with `keeps_all` every record.
    """

    cuts: tuple[bytes, ...]
    states: tuple[bytes, ...]
    horizon: tuple[HorizonRow, ...]
    epoch: int
    named: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    keeps_all: bool = False


@dataclass(frozen=True, slots=True)
class PutPeers:
    """Replace the address book by these rows."""

    rows: tuple[KeptPeer, ...]


@dataclass(frozen=True, slots=True)
class PutCredit:
    """Keep what a client owes ("tab") or what a creditor gets ("bill"), in place of what was kept. Empty: delete it."""

    side: str
    peer: bytes  # 32 B
    data: bytes


Write: TypeAlias = PutRecord | PutAnswer | PutEvidence | DropEvidence | PutBase | PutPeers | PutCredit


def check_write(write: Write) -> None:
    """Raise LocalProtocolError for a write whose fields are out of range."""
    if isinstance(write, PutRecord):
        _require(len(write.id) == 32, "record id is not 32 bytes")
        _require(len(write.author) == 32, "author is not 32 bytes")
        _require(
            all(0 <= number <= UINT_MAX for number in (write.seq, write.kind, write.epoch)),
            "a record's number is out of range",
        )
        _require(0 < len(write.data) <= DATA_BYTES_MAX, "record is empty or too long to store")
    elif isinstance(write, PutAnswer):
        _require(len(write.requester) == 32, "requester is not 32 bytes")
        _require(0 < len(write.question) <= QUESTION_BYTES_MAX, "question is empty or too long to store")
        _require(len(write.response) <= DATA_BYTES_MAX, "response is too long to store")
        _require(0 <= write.epoch <= UINT_MAX, "an epoch is out of range")
    elif isinstance(write, PutEvidence):
        _require(len(write.responder) == 32, "responder is not 32 bytes")
        _require(all(0 <= number <= UINT_MAX for number in (write.epoch, write.slot)), "a slot is out of range")
        _require(len(write.answer) <= DATA_BYTES_MAX, "answer is too long to store")
    elif isinstance(write, PutBase):
        _check_base(write)
    elif isinstance(write, PutPeers):
        _require(len(write.rows) <= KEPT_PEERS_MAX, "there are too many peers to keep")
        for row in write.rows:
            _require(len(row.peer) == 32, "a peer's key is not 32 bytes")
            _require(len(row.statement) <= STATEMENT_BYTES_MAX, "a peer's addresses are too long to store")
            numbers = (row.met_ms, row.failures, row.linked_ms, row.reach_least)
            _require(all(0 <= number <= UINT_MAX for number in numbers), "a number of a peer is out of range")
    elif isinstance(write, PutCredit):
        _require(write.side in ("tab", "bill"), "neither a tab nor a bill")
        _require(len(write.peer) == 32, "peer is not 32 bytes")
        _require(len(write.data) <= DATA_BYTES_MAX, "tab or bill is too long to store")
    else:
        _require(0 <= write.before_epoch <= UINT_MAX, "an epoch is out of range")


def _check_base(base: PutBase) -> None:
    _require(0 < len(base.cuts) == len(base.states), "a base has one state for each of its cuts")
    _require(all(len(cut) == 32 for cut in base.cuts), "a cut's id is not 32 bytes")
    _require(all(0 < len(state) <= STATE_BYTES_MAX for state in base.states), "a state is empty or too long to store")
    _require(0 <= base.epoch <= UINT_MAX, "an epoch is out of range")
    _require(all(len(name) == 32 for name in (*base.named, *base.gone)), "an id or a key is not 32 bytes")
    for row in base.horizon:
        _require(len(row.author) == len(row.id) == 32, "a key or an id of the horizon is not 32 bytes")
        numbers = (row.seq, row.epoch, row.since)
        _require(all(0 <= number <= UINT_MAX for number in numbers), "a number of the horizon is out of range")


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise LocalProtocolError(reason)
