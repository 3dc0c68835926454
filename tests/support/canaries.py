"""A trigger with its manifest and network, and the evidence of a peer's answer to it."""

from dataclasses import dataclass, replace

from p2pverify.core.contract.classes import ANY, DeterminismClass
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.inference.canary import CanaryEvidence, CanaryReply, Trigger
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Receipt,
    Request,
    encode_answer,
    encode_request,
    salted_digest,
    sign_request,
)

ENGINE, FIRST, SECOND, THIRD = "apache-2.0/1", "avx2", "avx512", "sse"
LOGITS = sha256(b"rows of logits")
TOKENS = (17, 4093, 2)
ASKER, RESPONDER = sha256(b"a light peer"), sha256(b"a peer that answers")  # seeds

#: The committed answers on two paths. On the second path the engine shows no logits.
TRIGGER = Trigger(
    sha256(b"salt of the prompt"),
    (1, 4093, 198, 77),
    8,
    (
        CanaryReply(ENGINE, FIRST, sha256(b"salt of one answer"), Output(TOKENS, "stop", LOGITS)),
        CanaryReply(ENGINE, SECOND, sha256(b"salt of another"), Output((17, 4093, 5), "length", bytes(32))),
    ),
)


def canary_manifest(plain: Manifest) -> Manifest:
    return replace(plain, canaries=(TRIGGER.canary(),))


def canary_network(manifest: Manifest, base: Network) -> Network:
    """The classes are: the first path, the second path, a path without a committed answer, and unknown paths."""
    names = ((ENGINE, FIRST), (ENGINE, SECOND), (ENGINE, THIRD), (ANY, ANY))
    across = next(kind.across for kind in base.classes if kind.across is not None)
    classes = (DeterminismClass(path if path != ANY else "any", manifest.digest, engine, path, 1_000, across)
               for engine, path in names)  # fmt: skip
    return replace(base, manifests=(manifest.digest,), classes=tuple(classes))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. By default the answer is right and comes from a peer of the first class."""

    network: Network
    manifest: Manifest
    trigger: Trigger = TRIGGER
    tokens: tuple[int, ...] = TOKENS
    finish: str = "stop"
    logits: bytes = LOGITS
    class_index: int = 0
    reply: int | None = 0
    temperature_milli: int = 0

    @property
    def request(self) -> tuple[Request, Question]:
        requester = sign.public_key(ASKER)
        question = self.trigger.question(self.manifest.digest, bytes(16), requester)
        question = replace(question, temperature_milli=self.temperature_milli)
        key = sign.public_key(RESPONDER)
        return Request(self.network.id, requester, key, question.id, sha256(b"nonce"), 16), question

    @property
    def request_bytes(self) -> bytes:
        request, question = self.request
        return encode_request(request, question, sign_request(ASKER, request))

    @property
    def response(self) -> bytes:
        request, _ = self.request
        output = Output(self.tokens, self.finish, self.logits)
        digest = output.digest(request.question)
        salted = salted_digest(request.id, request.responder, self.class_index, digest)
        unsigned = Receipt(
            request.network, request.responder, request.id, self.class_index, salted, len(self.tokens), 3, 41, 187,
            bytes(64),
        )  # fmt: skip
        receipt = replace(unsigned, signature=sign.sign(RESPONDER, encode(unsigned.signed_value())))
        return encode_answer(Answer(output, receipt))

    def evidence(self) -> CanaryEvidence:
        reply = None if self.reply is None else self.trigger.replies[self.reply]
        return CanaryEvidence(self.request_bytes, self.response, self.trigger.salt, reply)
