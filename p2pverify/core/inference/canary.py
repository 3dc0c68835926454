"""Canaries: secret prompts (triggers) with answers that a manifest commits to; and how to judge a peer's answer.

Canaries are a second opinion for people who cannot run the model. No verdict of the network depends on them.
`node.files.canaries` makes triggers, and `net.protocols.one_shot` asks them. protocol/canary.md says what canaries
cannot show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.golden import GOLDEN_ANSWER_TOKENS_MAX, GOLDEN_PATHS_MAX, GOLDEN_PROMPT_TOKENS_MAX
from p2pverify.core.contract.manifest import CANARIES_MAX, Canary, CanaryAnswer, Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import NO_KEY, NO_LOGITS, Ask, Output, read_output
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bool,
    as_bytes,
    as_text,
    as_uint,
    check_sorted,
    decode,
    digest,
    encode,
    read_tokens,
)
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
)

PROMPT = "p2pverify/canary-prompt/1"
ANSWER = "p2pverify/canary-answer/1"
SECRETS = "p2pverify/canary-secrets/1"
EVIDENCE = "p2pverify/canary-evidence/1"
CANARY_SECRETS_BYTES_MAX = 4_194_304
CANARY_EVIDENCE_BYTES_MAX = 102_400
SENT_BYTES_MAX, RECEIVED_BYTES_MAX = 65_536, 32_768

MATCH, MISMATCH, CANNOT_TELL = "match", "mismatch", "cannot tell"


def prompt_commitment(salt: bytes, prompt: Sequence[int], tokens_max: int) -> bytes:
    """A manifest's commitment to a trigger. It hides the prompt from anybody without the salt (32 B)."""
    return digest([PROMPT, salt, list(prompt), tokens_max])


@dataclass(frozen=True, slots=True)
class CanaryReply:
    """The right answer on one numeric path, with the salt (32 B) that hides it."""

    engine: str
    numeric_path: str
    salt: bytes
    output: Output

    def commitment(self, prompt: bytes) -> bytes:
        """A manifest's commitment to this answer; `prompt` is the commitment to its trigger."""
        return digest([ANSWER, prompt, *self.to_value()])

    def to_value(self) -> list[object]:
        return [self.engine, self.numeric_path, self.salt, *self.output.to_value()]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A secret prompt, greedy answers of up to `tokens_max` tokens by path, and whether a peer has seen it."""

    salt: bytes
    prompt: tuple[int, ...]
    tokens_max: int
    replies: tuple[CanaryReply, ...]
    is_spent: bool = False

    @property
    def commitment(self) -> bytes:
        return prompt_commitment(self.salt, self.prompt, self.tokens_max)

    def canary(self) -> Canary:
        """The manifest's entry for this trigger."""
        prompt = self.commitment
        answers = (CanaryAnswer(r.engine, r.numeric_path, r.commitment(prompt)) for r in self.replies)
        return Canary(prompt, self.tokens_max, tuple(sorted(answers, key=lambda a: (a.engine, a.numeric_path))))

    def reply(self, engine: str, numeric_path: str) -> CanaryReply | None:
        return next((r for r in self.replies if (r.engine, r.numeric_path) == (engine, numeric_path)), None)

    @property
    def ask(self) -> Ask:
        """The trigger, as an engine gets it."""
        return Ask(self.prompt, self.tokens_max, 0, NO_KEY)

    def question(self, manifest: bytes, seed: bytes, requester: bytes) -> Question:
        """The trigger as a question: greedy, so that neither seed nor requester changes the answer."""
        return Question(manifest, self.prompt, self.tokens_max, 0, seed, requester)

    def to_value(self) -> list[object]:
        replies = [reply.to_value() for reply in self.replies]
        return [self.salt, list(self.prompt), self.tokens_max, replies, self.is_spent]


@dataclass(frozen=True, slots=True)
class CanaryEvidence:
    """A trigger as it was asked and answered: the bytes of request and response, and the openings of the commitments.

    `reply` is the right answer for the class that the receipt names, None if the asker has none.
    """

    request: bytes
    response: bytes
    salt: bytes
    reply: CanaryReply | None

    def encode(self) -> bytes:
        reply = None if self.reply is None else self.reply.to_value()
        return encode([EVIDENCE, self.request, self.response, self.salt, reply])


@dataclass(frozen=True, slots=True)
class CanaryFinding:
    """What evidence shows about a responder. `verdict` is MATCH, MISMATCH or CANNOT_TELL; `reason` is for people."""

    verdict: str
    reason: str
    canary: bytes  # the trigger's commitment
    requester: bytes
    responder: bytes
    class_name: str


# ---------------------------------------------------------------- judging


def find_canary(manifests: Sequence[Manifest], trigger: Trigger) -> tuple[Manifest, Canary] | None:
    """The manifest that commits to a trigger, and its entry; None if no manifest does."""
    pairs = ((manifest, _canary(manifest, trigger.commitment, trigger.tokens_max)) for manifest in manifests)
    return next(((manifest, canary) for manifest, canary in pairs if canary is not None), None)


def opened_paths(canary: Canary, trigger: Trigger) -> tuple[tuple[str, str], ...]:
    """Engine and path of the committed answers that a trigger opens. Raises DecodeError if it opens one wrongly."""
    found = []
    for reply in trigger.replies:
        path = (reply.engine, reply.numeric_path)
        committed = _committed(canary, *path)
        if committed is None:
            continue
        if reply.commitment(canary.prompt) != committed:
            raise DecodeError(f"the answer on {' '.join(path)} is not the one that the manifest commits to")
        found.append(path)
    return tuple(found)


def make_evidence(network: Network, trigger: Trigger, request: bytes, response: bytes) -> CanaryEvidence:
    """Make evidence from a request and its response. Raises DecodeError, and RequestRefused if it was refused."""
    asked, _ = decode_request(request)
    determinism_class = _class_of(network, decode_response(response, asked))
    reply = trigger.reply(determinism_class.engine, determinism_class.numeric_path)
    return CanaryEvidence(request, response, trigger.salt, reply)


def judge_evidence(network: Network, manifests: Sequence[Manifest], evidence: CanaryEvidence) -> CanaryFinding:
    """Judge evidence by itself and the network's definition alone. Raises DecodeError if it proves nothing."""
    request, question, answer = _exchange(network, evidence)
    determinism_class = _class_of(network, answer)
    prompt = prompt_commitment(evidence.salt, question.prompt, question.tokens_max)
    manifest = next((each for each in manifests if each.digest == question.manifest), None)
    if manifest is None:
        raise DecodeError("the question is for a model that the network does not have")
    canary = _canary(manifest, prompt, question.tokens_max)
    if canary is None:
        raise DecodeError("the manifest commits to no such trigger")
    if question.temperature_milli:
        raise DecodeError("the trigger was not asked greedily")

    def finding(verdict: str, reason: str) -> CanaryFinding:
        return CanaryFinding(verdict, reason, prompt, request.requester, request.responder, determinism_class.name)

    if determinism_class.manifest != question.manifest:
        return finding(CANNOT_TELL, "the receipt names a class of another model")
    committed = _committed(canary, determinism_class.engine, determinism_class.numeric_path)
    if committed is None:
        return finding(CANNOT_TELL, "the manifest commits to no answer for this class")
    reply = evidence.reply
    if reply is None:
        return finding(CANNOT_TELL, "the right answer for this class is not opened")
    if reply.commitment(prompt) != committed:
        raise DecodeError("the opened answer is not the one that the manifest commits to")
    return finding(*_compare(answer.output, reply.output))


def _exchange(network: Network, evidence: CanaryEvidence) -> tuple[Request, Question, Answer]:
    """The request, its question and the response; both signatures are checked."""
    try:
        request, question = decode_request(evidence.request)
    except RequestRefused as refused:
        raise DecodeError(f"request: {refused.detail}") from None
    if request.network != network.id:
        raise DecodeError("the request is of another network")
    try:
        return request, question, decode_response(evidence.response, request)
    except RequestRefused:
        raise DecodeError("the response is a refusal, which nobody signs") from None


def _class_of(network: Network, answer: Answer) -> DeterminismClass:
    if answer.receipt.class_index >= len(network.classes):
        raise DecodeError("the receipt names a class that the network does not have")
    return network.classes[answer.receipt.class_index]


def _canary(manifest: Manifest, prompt: bytes, tokens_max: int) -> Canary | None:
    return next((each for each in manifest.canaries if (each.prompt, each.tokens_max) == (prompt, tokens_max)), None)


def _committed(canary: Canary, engine: str, numeric_path: str) -> bytes | None:
    found = (a.answer for a in canary.answers if (a.engine, a.numeric_path) == (engine, numeric_path))
    return next(found, None)


def _compare(given: Output, right: Output) -> tuple[str, str]:
    """Verdict and reason. Logits are compared only if the publisher's engine showed them."""
    if given.tokens != right.tokens:
        pairs = enumerate(zip(given.tokens, right.tokens, strict=False))
        shorter = min(len(given.tokens), len(right.tokens))
        first = next((at for at, (one, other) in pairs if one != other), shorter)
        return MISMATCH, f"the answers differ from token {first + 1} on"
    if given.finish != right.finish:
        return MISMATCH, "the tokens are equal, and the reason of the end is not"
    if right.logits == NO_LOGITS:
        return MATCH, "the tokens are equal; the logits are not committed to"
    if given.logits != right.logits:
        return MISMATCH, "the tokens are equal, and the logits are not: other weights or another numeric path"
    return MATCH, "tokens and logits are equal"


# ---------------------------------------------------------------- bytes


def encode_secrets(triggers: Sequence[Trigger]) -> bytes:
    """The file in which a publisher or a light peer keeps its triggers."""
    return encode([SECRETS, [trigger.to_value() for trigger in triggers]])


def decode_secrets(data: bytes) -> tuple[Trigger, ...]:
    """Raises DecodeError."""
    domain, items = as_array(decode(data, size_max=CANARY_SECRETS_BYTES_MAX, depth_max=6), "secrets", length=2)
    if domain != SECRETS:
        raise DecodeError("not secrets of canaries")
    triggers = tuple(_trigger(item) for item in as_array(items, "triggers", length_max=CANARIES_MAX))
    if len({trigger.commitment for trigger in triggers}) != len(triggers):
        raise DecodeError("a trigger stands there twice")
    return triggers


def decode_canary_evidence(data: bytes) -> CanaryEvidence:
    """Read evidence; `judge_evidence` judges it. Raises DecodeError."""
    top = as_array(decode(data, size_max=CANARY_EVIDENCE_BYTES_MAX, depth_max=4), "evidence", length=5)
    if top[0] != EVIDENCE:
        raise DecodeError("not evidence of a canary")
    return CanaryEvidence(
        as_bytes(top[1], "request", size_max=SENT_BYTES_MAX),
        as_bytes(top[2], "response", size_max=RECEIVED_BYTES_MAX),
        as_bytes(top[3], "salt", size=32),
        None if top[4] is None else _reply(top[4]),
    )


def _trigger(value: Value) -> Trigger:
    salt, prompt, tokens_max, replies, is_spent = as_array(value, "trigger", length=5)
    read = Trigger(
        as_bytes(salt, "salt", size=32),
        read_tokens(prompt, "trigger's prompt", GOLDEN_PROMPT_TOKENS_MAX),
        as_uint(tokens_max, "tokens_max", GOLDEN_ANSWER_TOKENS_MAX),
        tuple(_reply(item) for item in as_array(replies, "replies", length_max=GOLDEN_PATHS_MAX)),
        as_bool(is_spent, "spent"),
    )
    if not read.prompt or not read.tokens_max:
        raise DecodeError("a trigger asks for nothing")
    check_sorted([(reply.engine, reply.numeric_path) for reply in read.replies], "a trigger's replies")
    return read


def _reply(value: Value) -> CanaryReply:
    engine, numeric_path, salt, *output = as_array(value, "reply", length=6)
    return CanaryReply(
        as_text(engine, "engine", 128),
        as_text(numeric_path, "numeric path", 128),
        as_bytes(salt, "salt", size=32),
        read_output(output, GOLDEN_ANSWER_TOKENS_MAX),
    )
