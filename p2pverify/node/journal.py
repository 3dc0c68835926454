"""The journal: a port for what the node needs from a disk, and the encoding of stored answers and evidence.

The database adapter implements the port, and decides which tables it uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from p2pverify.core.contract.output import read_output
from p2pverify.core.encoding.canon import as_array, decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import StoredAnswer, StoredEvidence
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX, RESPONSE_BYTES_MAX
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Prune
from p2pverify.core.roles.disputes.evidence import decode_evidence, encode_evidence
from p2pverify.core.settle.exchange import StoredCredit
from p2pverify.node.user_error import UserError

History = Literal["window", "all"]
"""Which records a node keeps: those above its horizon, or all."""
_MARK = b"\x01"  # before a digest; a canonical array never begins with this byte


@dataclass(frozen=True, slots=True)
class Kept:
    """A record to keep. `received` says that it came from another peer, even if this peer is its author."""

    record: Record
    received: bool


class JournalStalled(UserError):
    """The disk accepts no writes at the moment; retry later. `reason` says why, `hint` says what to do."""


class Journal(Protocol):
    """The durable memory of a node. `history` says which records it keeps."""

    history: History

    async def persist(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence] = (),
        evidence_from: int = 0,
        credit: Sequence[StoredCredit] = (),
        prune: Prune | None = None,
    ) -> None:
        """Keep all of it or nothing; after the return it is on disk.

        Evidence of epochs before `evidence_from` is deleted, and what `prune` lets go. Raises JournalStalled if the
        disk accepts no writes at the moment, and the adapter's error if it never will.
        """
        ...

    def statistics(self) -> dict[str, int]: ...


def encode_output(answer: StoredAnswer | StoredEvidence) -> bytes:
    """The bytes of an answer's tokens, finish and logits digest; the other fields have columns of their own.

    The bytes begin with a digest over all fields, because no signature covers them: a changed token would be another
    answer.
    """
    data = encode_evidence(answer.output)
    return _MARK + _digest(_place(answer), data) + data


def decode_output(requester: bytes, question: bytes, data: bytes, epoch: int = 0) -> StoredAnswer:
    """Read a stored answer. Raises DecodeError, because the content of a disk is untrusted input."""
    checked = _checked([requester, question, epoch], data)
    fields = as_array(decode(checked, size_max=RESPONSE_BYTES_MAX), "answer", length=3)
    return StoredAnswer(requester, question, read_output(fields, CONTEXT_TOKENS_MAX), epoch)


def decode_stored_evidence(epoch: int, slot: int, responder: bytes, data: bytes) -> StoredEvidence:
    """Read stored evidence. Raises DecodeError."""
    output = decode_evidence(_checked([epoch, slot, responder], data))
    if output is None:
        raise DecodeError("stored evidence is empty")
    return StoredEvidence(epoch, slot, responder, output)


def encode_credit(kept: StoredCredit) -> bytes:
    """The bytes of a tab or a bill, with a digest before them; nothing, if it is to be deleted."""
    return _MARK + _digest([kept.side, kept.peer], kept.data) + kept.data if kept.data else b""


def decode_credit(side: str, peer: bytes, data: bytes) -> StoredCredit:
    """Read a stored tab or bill. Raises DecodeError."""
    if side not in ("tab", "bill"):
        raise DecodeError("it is not what was written")
    return StoredCredit("tab" if side == "tab" else "bill", peer, _checked([side, peer], data))


def _place(answer: StoredAnswer | StoredEvidence) -> list[object]:
    if isinstance(answer, StoredAnswer):
        return [answer.requester, answer.question, answer.epoch]
    return [answer.epoch, answer.slot, answer.responder]


def _digest(place: list[object], data: bytes) -> bytes:
    return sha256(encode([*place, data]))


def _checked(place: list[object], data: bytes) -> bytes:
    """The bytes of an answer, held against their digest. Raises DecodeError."""
    digest, content = data[1:33], data[33:]
    if not data.startswith(_MARK) or digest != _digest(place, content):
        raise DecodeError("it is not what was written")
    return content
