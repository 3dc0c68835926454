"""Evidence: the answers behind an audit's receipts, for the voters of a dispute across classes.

An audit holds only salted digests. In a dispute across classes voters must see the claimed tokens. Challenger and
responder serve them, and the receipt's digest proves that they are the right ones. A reporter serves the question of
its report, whose id is in the record, to the seats of the dispute. This module has the bytes, and the
evidence that a challenger keeps. `evidence_fetch` and `voter` request and use it.
"""

from p2pverify.core.contract.output import Output, read_output
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.encoding.canon import as_array, as_uint, decode, encode
from p2pverify.core.events import StoredEvidence
from p2pverify.core.inference.question import Question, read_question
from p2pverify.core.records.payloads.lots import DisputeKey, dispute_from_value
from p2pverify.core.records.payloads.vote import ASKED_MAX

EVIDENCE_REQUEST_BYTES_MAX = 256
EVIDENCE_BYTES_MAX = 24_576
NO_EVIDENCE = encode([])
#: The most evidence that a challenger keeps, in answers; beyond it the oldest is dropped.
EVIDENCE_KEPT = 65_536


def encode_evidence_request(key: DisputeKey, which: int) -> bytes:
    """Ask for the answer of the `which`-th asked peer of a disputed slot."""
    return encode([key.to_value(), which])


def decode_evidence_request(data: bytes) -> tuple[DisputeKey, int]:
    """Raises DecodeError."""
    key, which = as_array(decode(data, size_max=EVIDENCE_REQUEST_BYTES_MAX, depth_max=3), "evidence request", length=2)
    return dispute_from_value(key), as_uint(which, "index", ASKED_MAX - 1)


def encode_evidence(output: Output | None) -> bytes:
    return NO_EVIDENCE if output is None else encode(output.to_value())


def decode_evidence(data: bytes) -> Output | None:
    """Read evidence; None if the peer does not have it. Raises DecodeError."""
    top = as_array(decode(data, size_max=EVIDENCE_BYTES_MAX, depth_max=3), "evidence")
    return read_output(as_array(top, "evidence", length=3), ANSWER_TOKENS_MAX) if top else None


def encode_shown_question(question: Question | None) -> bytes:
    return NO_EVIDENCE if question is None else encode(question.to_value())


def decode_shown_question(data: bytes) -> Question | None:
    """Read the question of a report; None if the peer does not show it. Raises DecodeError."""
    top = as_array(decode(data, size_max=EVIDENCE_BYTES_MAX, depth_max=3), "question")
    return read_question(top) if top else None


class EvidenceBox:
    """The answers that a challenger got in its slots across classes, by epoch and slot."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], dict[bytes, Output]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def keep(self, found: StoredEvidence) -> None:
        slot = self._kept.setdefault((found.epoch, found.slot), {})
        self._count += found.responder not in slot
        slot[found.responder] = found.output
        while self._count > EVIDENCE_KEPT:
            self._drop(min(self._kept))

    def of(self, epoch: int, slot: int) -> dict[bytes, Output]:
        """The answers of the asked peers of a slot, by key."""
        return dict(self._kept.get((epoch, slot), {}))

    def drop_before(self, epoch: int) -> None:
        """Forget evidence of epochs before `epoch`, because no dispute can need it."""
        for key in sorted(k for k in self._kept if k[0] < epoch):
            self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self._count -= len(self._kept.pop(key))
