"""Boxes: the question of a private report, sealed to one seat of its dispute, and what makes it the reported one.

A record of a private report names the request alone. The box has the question and the two values that open the request.
So a seat sees for itself that the responder signed an answer to this question, in this epoch, for a report.
Protocol page: protocol/private.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding import box
from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import Question, read_question, request_id
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.report import sealed_nonce
from p2pverify.core.roles.disputes.evidence import EVIDENCE_BYTES_MAX, NO_EVIDENCE

BOXED = "p2pverify/boxed-question/1"


@dataclass(frozen=True, slots=True)
class BoxedQuestion:
    """The content of a box: a question, and the expiry and salt (32 B) of the request that asked it."""

    question: Question
    expiry_epoch: int
    salt: bytes

    def opens(self, audit: Audit, network: bytes) -> bool:
        """Whether this is what a private report reported."""
        asked = audit.asked[0].responder
        said = (network, audit.challenger, asked)
        nonce = sealed_nonce(*said, audit.epoch, self.question.id, self.salt)
        return request_id(*said, self.question.id, nonce, self.expiry_epoch) == audit.question

    def encode(self) -> bytes:
        return encode([BOXED, self.question.to_value(), self.expiry_epoch, self.salt])


def decode_boxed(content: bytes) -> BoxedQuestion:
    """Read the content of a box. Raises DecodeError."""
    domain, question, expiry, salt = as_array(
        decode(content, size_max=EVIDENCE_BYTES_MAX, depth_max=4), "boxed question", length=4
    )
    if domain != BOXED:
        raise DecodeError("not a boxed question")
    return BoxedQuestion(read_question(question), as_uint(expiry, "expiry epoch"), as_bytes(salt, "salt", size=32))


def encode_box(sealed: bytes | None) -> bytes:
    """The answer to a seat that asks for its box; None if this peer shows it none."""
    return NO_EVIDENCE if sealed is None else encode([sealed])


def decode_box(data: bytes) -> bytes | None:
    """Read the answer of a reporter: a sealed box, or None if it shows none. Raises DecodeError."""
    top = as_array(decode(data, size_max=EVIDENCE_BYTES_MAX, depth_max=2), "box", length_max=1)
    return as_bytes(top[0], "box", size_max=EVIDENCE_BYTES_MAX) if top else None


def open_box(data: bytes, secret: bytes, audit: Audit, network: bytes) -> BoxedQuestion | str:
    """The question of a private report from the answer of its reporter, or why there is none.

    `secret` is the reader's secret box key.
    """
    try:
        sealed = decode_box(data)
        content = None if sealed is None else box.unseal(sealed, secret)
        if content is None:
            return NOT_SHOWN if sealed is None else "the reporter's box does not open"
        boxed = decode_boxed(content)
    except DecodeError as error:
        return f"the reporter's box is malformed: {error.reason}"
    return boxed if boxed.opens(audit, network) else "the reporter's box has another question than the reported one"


NOT_SHOWN = "the reporter does not show the question"
