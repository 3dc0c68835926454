"""Questions, requests and receipts: a peer asks a question in a request, and the other signs a receipt in return.

A question is everything that can change a token. A receipt is a salted commitment: it hides the answer from anybody
who does not know the answer already.
"""

from dataclasses import dataclass

from p2pverify.core.contract.network import Params
from p2pverify.core.contract.output import Ask, Output, read_output
from p2pverify.core.contract.shapes import TEMPERATURE_MILLI_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bytes,
    as_text,
    as_uint,
    begin_array,
    decode,
    digest,
    encode,
    encode_bytes,
    encode_uint,
    read_tokens,
    sha256,
)
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import Measures

QUESTION = "p2pverify/question/1"
REQUEST = "p2pverify/request/1"
RECEIPT = "p2pverify/receipt/1"
ANSWER = "p2pverify/answer/1"
OPEN = "p2pverify/open/1"
SAMPLER = "p2pverify/sampler/1"

#: Epochs after which a request need not be answered any more.
EXPIRY_EPOCHS = 4
#: Of a prompt and its answer together. A peer allows less: what its engine can hold.
CONTEXT_TOKENS_MAX = 131_072
TOKEN_BYTES_MAX = 5
#: Of a request without its prompt, and of a response without its tokens.
REST_BYTES_MAX = 1024
REQUEST_BYTES_MAX = RESPONSE_BYTES_MAX = REST_BYTES_MAX + TOKEN_BYTES_MAX * CONTEXT_TOKENS_MAX
NO_OUTPUT = bytes(32)  # for a challenger that gives no answer of its own


@dataclass(frozen=True, slots=True)
class Question:
    """Token ids of the prompt, and everything else on which the answer depends."""

    manifest: bytes
    prompt: tuple[int, ...]
    tokens_max: int
    temperature_milli: int
    seed: bytes  # 16 B
    requester: bytes

    def to_value(self) -> list[object]:
        return [
            QUESTION,
            self.manifest,
            list(self.prompt),
            self.tokens_max,
            self.temperature_milli,
            self.seed,
            self.requester,
        ]

    @property
    def id(self) -> bytes:
        return digest(self.to_value())

    @property
    def size(self) -> int:
        """The tokens of the prompt and of the longest answer together."""
        return len(self.prompt) + self.tokens_max

    @property
    def sampler_key(self) -> bytes:
        """Key of the sampler (32 B). It depends on the requester, so another requester gets another answer."""
        return digest([SAMPLER, self.seed, self.requester])

    @property
    def ask(self) -> Ask:
        """This question, as an engine gets it."""
        return Ask(self.prompt, self.tokens_max, self.temperature_milli, self.sampler_key)


def patience_ms(params: Params, tokens: int) -> int:
    """How long a responder works for a question of so many tokens, prompt and answer together.

    It is the contract's deadline for questions of the lengths that are owed, and grows with longer ones.
    """
    return params.deadline_ms * max(1, tokens // (params.prompt_tokens + params.answer_tokens))


@dataclass(frozen=True, slots=True)
class Request:
    """Header of a request, without the question's content."""

    network: bytes
    requester: bytes
    responder: bytes
    question: bytes  # question id
    nonce: bytes
    expiry_epoch: int

    def to_value(self) -> list[object]:
        return [
            REQUEST,
            self.network,
            self.requester,
            self.responder,
            self.question,
            self.nonce,
            self.expiry_epoch,
        ]

    @property
    def id(self) -> bytes:
        return request_id(self.network, self.requester, self.responder, self.question, self.nonce, self.expiry_epoch)


def request_id(
    network: bytes, requester: bytes, responder: bytes, question: bytes, nonce: bytes, expiry_epoch: int
) -> bytes:
    """The id of a `Request`: SHA-256 of its encoded value."""
    return sha256(
        b"%b%b%b%b%b"
        % (
            begin_array(7, REQUEST, network, requester),
            encode_bytes(responder),
            encode_bytes(question),
            encode_bytes(nonce),
            encode_uint(expiry_epoch),
        )
    )


@dataclass(frozen=True, slots=True)
class Receipt:
    """A responder's signed answer to a request. `salted` hides the output digest; times are in milliseconds."""

    network: bytes
    responder: bytes
    request: bytes  # request id
    class_index: int
    salted: bytes
    token_count: int
    queue_ms: int
    first_token_ms: int
    total_ms: int
    signature: bytes

    def is_for(self, output: bytes) -> bool:
        """Whether the receipt was given for an answer with this output digest."""
        return self.salted == salted_digest(self.request, self.responder, self.class_index, output)

    def covers(self, output: Output, question: bytes) -> bool:
        """Whether the receipt was given for this answer to a question, which is named by its id."""
        return self.is_for(output.digest(question)) and self.token_count == len(output.tokens)

    def signed_value(self) -> list[object]:
        return [
            RECEIPT,
            self.network,
            self.responder,
            self.request,
            self.class_index,
            self.salted,
            self.token_count,
            [self.queue_ms, self.first_token_ms, self.total_ms],
        ]

    def signed_bytes(self) -> bytes:
        """The encoded `signed_value`."""
        return b"%b%b%b%b%b\x83%b%b%b" % (
            begin_array(8, RECEIPT, self.network, self.responder),
            encode_bytes(self.request),
            encode_uint(self.class_index),
            encode_bytes(self.salted),
            encode_uint(self.token_count),
            encode_uint(self.queue_ms),
            encode_uint(self.first_token_ms),
            encode_uint(self.total_ms),
        )

    def is_signed(self) -> bool:
        return sign.verify(self.responder, self.signed_bytes(), self.signature)


def salted_digest(request_id: bytes, responder: bytes, class_index: int, output: bytes) -> bytes:
    """A receipt's commitment (32 B) to an output digest. Equal answers look different until the output is known."""
    return sha256(
        b"%b%b%b%b%b"
        % (
            begin_array(5, ANSWER),
            encode_bytes(request_id),
            encode_bytes(responder),
            encode_uint(class_index),
            encode_bytes(output),
        )
    )


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of a challenger's nonces: its own answer, fixed before the receipts were signed.

    `class_index` is None if the challenger gave no answer; then `output` is 32 zero bytes. There is one salt per asked
    peer. In a slot across classes the challenger gives no answer, and `measures` are its referee's measures of the
    receipts.
    """

    slot: int
    class_index: int | None
    output: bytes
    salts: tuple[bytes, ...]
    measures: Measures = ()


def opening_nonce(
    network: bytes,
    challenger: bytes,
    responder: bytes,
    epoch: int,
    question: bytes,
    opening: Opening,
    which: int,
) -> bytes:
    """The nonce of the request to the `which`-th asked peer of a slot."""
    return sha256(
        b"%b%b%b%b%b%b%b%b"
        % (
            begin_array(10, OPEN, network, challenger),
            encode_bytes(responder),
            encode_uint(epoch),
            encode_uint(opening.slot),
            encode_bytes(question),
            encode(None) if opening.class_index is None else encode_uint(opening.class_index),
            encode_bytes(opening.output),
            encode_bytes(opening.salts[which]),
        )
    )


def encode_request(request: Request, question: Question, signature: bytes) -> bytes:
    return encode([request.to_value(), question.to_value(), signature])


def sign_request(seed: bytes, request: Request) -> bytes:
    return sign.sign(seed, encode(request.to_value()))


class RequestRefused(Exception):
    """A request is answered by an error: a short code, and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def decode_request(data: bytes) -> tuple[Request, Question]:
    """Read and verify a signed request with its question. Raises RequestRefused with the reason."""
    if len(data) > REQUEST_BYTES_MAX:
        raise RequestRefused("too-large", f"a request is at most {REQUEST_BYTES_MAX} bytes")
    try:
        head, asked, signature = as_array(decode(data, size_max=REQUEST_BYTES_MAX), "request", length=3)
        request, question = _request(head), read_question(asked)
        signed = as_bytes(signature, "signature", size=64)
    except DecodeError as error:
        raise RequestRefused("malformed", error.reason) from None
    if question.id != request.question or question.requester != request.requester:
        raise RequestRefused("malformed", "the question is not the one that the request names")
    if not sign.verify(request.requester, encode(request.to_value()), signed):
        raise RequestRefused("bad-signature", "the requester did not sign this request")
    return request, question


def _request(value: Value) -> Request:
    top = as_array(value, "request header", length=7)
    if top[0] != REQUEST:
        raise DecodeError("not a request")
    return Request(
        as_bytes(top[1], "network", size=32),
        as_bytes(top[2], "requester", size=32),
        as_bytes(top[3], "responder", size=32),
        as_bytes(top[4], "question", size=32),
        as_bytes(top[5], "nonce", size=32),
        as_uint(top[6], "expiry epoch"),
    )


def read_question(value: Value) -> Question:
    """Read a decoded question. Raises DecodeError."""
    top = as_array(value, "question", length=7)
    if top[0] != QUESTION:
        raise DecodeError("not a question")
    prompt = as_array(top[2], "prompt")
    tokens_max = as_uint(top[3], "tokens_max", CONTEXT_TOKENS_MAX)
    if not 1 <= len(prompt) <= CONTEXT_TOKENS_MAX - tokens_max:
        raise DecodeError(f"prompt and answer are not of 1 to {CONTEXT_TOKENS_MAX} tokens together")
    return Question(
        as_bytes(top[1], "manifest", size=32),
        read_tokens(top[2], "prompt", CONTEXT_TOKENS_MAX),
        tokens_max,
        as_uint(top[4], "temperature_milli", TEMPERATURE_MILLI_MAX),
        as_bytes(top[5], "seed", size=16),
        as_bytes(top[6], "requester", size=32),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that holds an answer."""

    output: Output
    receipt: Receipt


def encode_answer(answer: Answer) -> bytes:
    return encode(["ok", *answer.output.to_value(), receipt_fields(answer.receipt)])


_REFUSAL_START = encode("error")


def encode_refusal(refused: RequestRefused) -> bytes:
    return encode(["error", refused.code, refused.detail])


def is_refusal(response: bytes) -> bool:
    """Whether a response begins like a refusal."""
    return response[1:].startswith(_REFUSAL_START)


def receipt_fields(receipt: Receipt) -> list[object]:
    """The fields of a receipt that do not follow from its request."""
    return [
        receipt.class_index,
        receipt.salted,
        receipt.token_count,
        [receipt.queue_ms, receipt.first_token_ms, receipt.total_ms],
        receipt.signature,
    ]


def receipt_from_fields(value: Value, network: bytes, responder: bytes, request_id: bytes) -> Receipt:
    """Rebuild a receipt from its fields and its request. Raises DecodeError; the signature is not checked here."""
    index, salted, count, times, signature = as_array(value, "receipt", length=5)
    queue, first, total = as_array(times, "timings", length=3)
    return Receipt(
        network,
        responder,
        request_id,
        as_uint(index, "class", 31),
        as_bytes(salted, "salted digest", size=32),
        as_uint(count, "token count", CONTEXT_TOKENS_MAX),
        as_uint(queue, "queue_ms", 2**32),
        as_uint(first, "first_token_ms", 2**32),
        as_uint(total, "total_ms", 2**32),
        as_bytes(signature, "receipt signature", size=64),
    )


def decode_response(data: bytes, request: Request) -> Answer:
    """Read the response to a request. Raises RequestRefused for an error answer, DecodeError for a wrong one."""
    top = as_array(decode(data, size_max=RESPONSE_BYTES_MAX), "response")
    if len(top) == 3 and top[0] == "error":
        raise RequestRefused(as_text(top[1], "code", 64), as_text(top[2], "detail", 512))
    if len(top) != 5 or top[0] != "ok":
        raise DecodeError("not a response")
    output = read_output(top[1:4], CONTEXT_TOKENS_MAX)
    receipt = receipt_from_fields(top[4], request.network, request.responder, request.id)
    if receipt.token_count != len(output.tokens):
        raise DecodeError("the receipt counts other tokens")
    if not receipt.is_for(output.digest(request.question)):
        raise DecodeError("the receipt is for another answer")
    if not receipt.is_signed():
        raise DecodeError("the receipt's signature does not hold")
    return Answer(output, receipt)
