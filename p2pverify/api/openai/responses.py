"""The forms of OpenAI's answers, as JSON values, and the object `p2pverify` in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from p2pverify.node.clients.door import Door
from p2pverify.node.clients.models.served import ServedModel
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.receipt import ReceiptDocument

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A text, or a part of one: `finish` says why it ended, None if it goes on."""

    index: int
    text: str
    finish: str | None = None
    logprobs: Json | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens."""

    prompt: int
    completion: int

    @property
    def value(self) -> Json:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's bytes, and its log-probability in nats."""

    data: bytes
    logprob: float


class ResponseForm:
    """The form of all answers to one request. `kind` is "chat.completion" or "text_completion".

    `created_s` is a time in Unix seconds.
    """

    def __init__(self, kind: str, model: ServedModel, created_s: int, receipt_id: str) -> None:
        prefix = "chatcmpl-" if kind == "chat.completion" else "cmpl-"
        self._is_chat = kind == "chat.completion"
        self._kind = kind
        self._head: Json = {
            "id": prefix + receipt_id.removeprefix("rcpt_"),
            "created": created_s,
            "model": model.name,
            "system_fingerprint": f"fp_{model.digest.hex()[:16]}",
        }

    def whole(self, answers: Sequence[AnswerText], usage: Usage, document: ReceiptDocument) -> Json:
        """The answer to a request without a stream."""
        choices = [self._choice(one, self._message(one)) for one in answers]
        return {
            **self._head,
            "object": self._kind,
            "choices": choices,
            "usage": usage.value,
            "p2pverify": verified(document),
        }

    def first(self, index: int) -> Json:
        """The first chunk of a chat's answer: it names the role."""
        return self._chunk([self._choice(AnswerText(index, ""), {"delta": {"role": "assistant", "content": ""}})])

    def part(self, part: AnswerText) -> Json:
        """A chunk with text, or with the reason of the end."""
        shown: Json = {"text": part.text}
        if self._is_chat:
            shown = {"delta": {"content": part.text} if part.text or part.finish is None else {}}
        return self._chunk([self._choice(part, shown)])

    def logprobs(self, tokens: Sequence[TokenLogprob]) -> Json:
        """The log-probabilities of the tokens of a text. There are none of other tokens."""
        texts = [one.data.decode(errors="replace") for one in tokens]
        if self._is_chat:
            content = [
                {"token": text, "logprob": one.logprob, "bytes": list(one.data), "top_logprobs": []}
                for text, one in zip(texts, tokens, strict=True)
            ]
            return {"content": content, "refusal": None}
        offsets = [0, *accumulate(map(len, texts))][: len(texts)]
        return {
            "tokens": texts,
            "token_logprobs": [one.logprob for one in tokens],
            "top_logprobs": None,
            "text_offset": offsets,
        }

    def usage(self, usage: Usage) -> Json:
        """The chunk with the counts of tokens."""
        return {**self._chunk([]), "usage": usage.value}

    def _chunk(self, choices: list[Json]) -> Json:
        return {**self._head, "object": "chat.completion.chunk" if self._is_chat else self._kind, "choices": choices}

    def _message(self, one: AnswerText) -> Json:
        if self._is_chat:
            return {"message": {"role": "assistant", "content": one.text, "refusal": None}}
        return {"text": one.text}

    @staticmethod
    def _choice(one: AnswerText, shown: Json) -> Json:
        return {"index": one.index, **shown, "logprobs": one.logprobs, "finish_reason": one.finish}


def verified(document: ReceiptDocument) -> Json:
    """Who answered, its standing, what was checked, and which answers were compared, in short.

    The receipt has the rest.
    """
    answers = [
        {
            "index": one.index,
            "peer_id": one.peer_id,
            "own": one.own,
            "standing": one.standing,
            "low": one.low,
            "high": one.high,
            "audits": one.audits,
            "class": one.class_,
            "checked": list(one.checked),
            "returned": one.returned,
            "compared": one.compared,
        }
        for one in document.answers
    ]
    first = document.answers[0]
    return {
        "receipt": document.id,
        "network": document.network,
        "manifest": first.question.manifest,
        "cut": first.cut,
        "cut_epoch": first.cut_epoch,
        "policy": {"panel": document.panel, "every": document.every},
        "checks": [written(one) for one in document.checks],
        "answers": answers,
        "cost": None if document.cost is None else written(document.cost),
    }


def model_value(door: Door, served: ServedModel, peers: int) -> Json:
    """A model of the network, as an entry of /v1/models. `peers` of good standing serve it.

    The id of a version that is not the usual one of its line is the digest of its manifest.
    """
    manifest, version = served.manifest, door.catalog.version_of(served)
    return {
        "id": served.name if version is None or version.is_usual else served.digest.hex(),
        "object": "model",
        "created": door.created_s,
        "owned_by": "p2pverify",
        "p2pverify": {
            "manifest": served.digest.hex(),
            "model": manifest.model,
            "weights": manifest.weights.hex(),
            "tokenizer": manifest.tokenizer.hex(),
            "template": manifest.template.hex(),
            "quantisation": manifest.quantisation,
            "licence": manifest.licence,
            "prompt_tokens_max": served.prompt_tokens_max if served.is_here else None,
            "here": served.is_here,
            "peers": peers,
            "line": None if version is None else version.line,
            "version": None if version is None else version.number,
            "status": None if version is None else str(version.status),
        },
    }
