"""The journal: what the node needs from a disk, as a port, and the bytes of a stored answer.

An adapter over the database fulfils it; which tables it uses is its own affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2pverify.core.canon import as_array, as_text, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import StoredAnswer
from p2pverify.core.question import ANSWER_TOKENS_MAX, FINISHES, RESPONSE_BYTES_MAX, TOKEN_MAX
from p2pverify.core.records import Record


@dataclass(frozen=True, slots=True)
class Kept:
    """A record to keep. `received` says that it came from another peer, also if we are its author."""

    record: Record
    received: bool


class Journal(Protocol):
    """Durable memory of a node."""

    async def persist(self, records: Sequence[Kept], answers: Sequence[StoredAnswer]) -> None:
        """Keep all or nothing; on return it is on disk. Raises the adapter's error if it cannot."""
        ...

    def statistics(self) -> dict[str, int]: ...


def encode_output(answer: StoredAnswer) -> bytes:
    """Bytes of an answer's tokens and finish, beside which requester and question are stored."""
    return encode([list(answer.tokens), answer.finish])


def decode_output(requester: bytes, question: bytes, data: bytes) -> StoredAnswer:
    """Read a stored answer. Raises DecodeError: the disk is outside too."""
    tokens, finish = as_array(decode(data, size_max=RESPONSE_BYTES_MAX, depth_max=2), "answer", length=2)
    ids = as_array(tokens, "tokens", length_max=ANSWER_TOKENS_MAX)
    text = as_text(finish, "finish", 8)
    if text not in FINISHES:
        raise DecodeError("unknown finish")
    return StoredAnswer(requester, question, tuple(as_uint(token, "token", TOKEN_MAX) for token in ids), text)
