"""The journal: what the node needs from a disk, as a port, and the bytes of stored answers and evidence.

An adapter over the database fulfils it; which tables it uses is its own affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2pverify.core.errors import DecodeError
from p2pverify.core.events import StoredAnswer, StoredEvidence
from p2pverify.core.evidence import Output, decode_evidence, encode_evidence
from p2pverify.core.records import Record


@dataclass(frozen=True, slots=True)
class Kept:
    """A record to keep. `received` says that it came from another peer, also if we are its author."""

    record: Record
    received: bool


class Journal(Protocol):
    """Durable memory of a node."""

    async def persist(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence] = (),
        evidence_from: int = 0,
    ) -> None:
        """Keep all or nothing; on return it is on disk. Raises the adapter's error if it cannot.

        Evidence of epochs before `evidence_from` is forgotten.
        """
        ...

    def statistics(self) -> dict[str, int]: ...


def encode_output(answer: StoredAnswer | StoredEvidence) -> bytes:
    """Bytes of an answer's tokens, finish and logits digest, beside which the rest is stored."""
    return encode_evidence(Output(answer.tokens, answer.finish, answer.logits))


def decode_output(requester: bytes, question: bytes, data: bytes) -> StoredAnswer:
    """Read a stored answer. Raises DecodeError: the disk is outside too."""
    output = _output(data)
    return StoredAnswer(requester, question, output.tokens, output.finish, output.logits)


def decode_stored_evidence(epoch: int, slot: int, responder: bytes, data: bytes) -> StoredEvidence:
    """Read stored evidence. Raises DecodeError."""
    output = _output(data)
    return StoredEvidence(epoch, slot, responder, output.tokens, output.finish, output.logits)


def _output(data: bytes) -> Output:
    output = decode_evidence(data)
    if output is None:
        raise DecodeError("a stored answer is empty")
    return output
