"""The exchange of a cheque: the message of a debtor, the creditor's answer, and the events and effects around them.

Protocol page: protocol/cheque.md.
"""

from dataclasses import dataclass
from typing import Literal

from p2pverify.core.encoding.canon import as_array, as_text, as_uint, decode, encode
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.settle.cheques import SignedCheque, read_signed_cheque

CHEQUE_BYTES_MAX = 256
CHEQUE_ANSWER_BYTES_MAX = 512
#: Why a cheque is not taken.
REFUSED_WORDS = frozenset({"own", "over", "series", "known", "nothing owed", "signature", "no tariff", "busy"})
_WORD_BYTES_MAX = 32


def encode_cheque(cheque: SignedCheque) -> bytes:
    """What a debtor sends to its creditor."""
    return encode(cheque.to_value())


def decode_sent_cheque(data: bytes) -> SignedCheque:
    """What a debtor has sent. Raises RemoteProtocolError, because the debtor is to blame."""
    try:
        return read_signed_cheque(decode(data, size_max=CHEQUE_BYTES_MAX))
    except DecodeError as error:
        raise RemoteProtocolError(f"malformed cheque: {error.reason}") from None


@dataclass(frozen=True, slots=True)
class ChequeAnswer:
    """What the creditor says: "" or a word why it did not take the cheque, its newest cheque of the series if it has
    one, and what it counts as not covered (millionths)."""

    refused: str
    newest: SignedCheque | None
    uncovered: int

    def encode(self) -> bytes:
        newest = None if self.newest is None else self.newest.to_value()
        return encode([self.refused, newest, self.uncovered])


#: The answer of a creditor that has too much to do.
BUSY_CREDITOR = ChequeAnswer("busy", None, 0).encode()


def decode_cheque_answer(data: bytes) -> ChequeAnswer:
    """Read a creditor's answer. Raises DecodeError."""
    refused, newest, uncovered = as_array(decode(data, size_max=CHEQUE_ANSWER_BYTES_MAX), "cheque answer", length=3)
    word = as_text(refused, "refused", _WORD_BYTES_MAX)
    if word and word not in REFUSED_WORDS:
        raise DecodeError("refused: no such word")
    cheque = None if newest is None else read_signed_cheque(newest)
    return ChequeAnswer(word, cheque, as_uint(uncovered, "uncovered"))


@dataclass(frozen=True, slots=True)
class ChequeArrived:
    """The debtor `source` (key, 32 B) sent a cheque. `ticket` names the waiting stream."""

    ticket: int
    cheque: SignedCheque
    source: bytes


@dataclass(frozen=True, slots=True)
class AnswerTaken:
    """A client of this node took an answer of a peer (key, 32 B), which has its price."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Pay:
    """Send a cheque to a creditor (key, 32 B), and give up at a deadline."""

    ask: int
    peer: bytes
    data: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class StoredCredit:
    """What a peer must store before it answers or pays: the tab of a client, or the bill of a creditor (key, 32 B).

    Empty `data` deletes it.
    """

    side: Literal["tab", "bill"]
    peer: bytes
    data: bytes
