"""The exact engine behind the node's port: a class of its own, and the referee between all others.

Tokenising is llama.cpp's, over the vocabulary alone: that part of it is integers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine import llamacpp, template, weights
from p2pverify.engine.causal import CONTEXT_TOKENS, CausalEngine
from p2pverify.engine.errors import EngineUnavailable, WeightsError
from p2pverify.engine.exact import loading
from p2pverify.engine.exact.model import Model, Weights
from p2pverify.engine.gguf import Head, read_head
from p2pverify.node.ports import GENERATE, LOGITS, SCORE, WRITE, ModelInfo

ENGINE, NUMERIC_PATH = "exact/1", "integer"


class ExactEngine(CausalEngine):
    """Fulfils the node's `Engine` port. Not thread-safe: one call at a time."""

    def __init__(
        self,
        path: Path,
        *,
        expect_sha256: bytes | None = None,
        progress: weights.Progress | None = None,
        cache: Path | None = None,
    ) -> None:
        """Check and load weights; packed ones are kept in the folder `cache`, by default one of the user's.

        The first time takes seconds. Raises EngineUnavailable or its subclass WeightsError.
        """
        self.path = path
        digest = weights.check(path, expect_sha256, progress)
        head = read_head(path)
        loaded = loading.load(path, head, digest, cache or loading.default_cache(), progress)
        info = _info(head, digest, loaded)
        special = head.special_tokens()
        self.path = path
        self._model: Model | None = Model(loaded)
        self._held: list[int] = []
        tokeniser = llamacpp.Model(llamacpp.load(), path, vocab_only=True)
        if tokeniser.vocab_tokens != info.vocab_tokens:
            tokeniser.close()
            raise WeightsError(f"the model gives {info.vocab_tokens} logits for {tokeniser.vocab_tokens} tokens")
        super().__init__(info, tokeniser, special)

    def forget(self) -> None:
        """Drop the keys and values in memory, so that the next call starts from nothing."""
        self._held.clear()

    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Logits that follow each of tokens[first:]: see `CausalEngine`."""
        if self._model is None:
            raise EngineUnavailable("the engine is closed")
        kept = 0
        for mine, theirs in zip(self._held, tokens[:first], strict=False):
            if mine != theirs:
                break
            kept += 1
        del self._held[kept:]
        hidden = self._model.forward(tokens[kept:], kept)
        self._held += tokens[kept:]
        yield from self._model.logits(hidden[first - kept :])

    def close(self) -> None:
        self._model = None
        super().close()


def _info(head: Head, digest: bytes, loaded: Weights) -> ModelInfo:
    named = head.text("general.name", "unnamed")
    return ModelInfo(
        model=weights.NAME if digest == weights.SHA256 else f"{named} {head.quantisation}",
        weights_sha256=digest,
        tokenizer_sha256=head.tokenizer_sha256(),
        template_sha256=template.SHA256,
        engine=ENGINE,
        numeric_path=NUMERIC_PATH,
        quantisation=head.quantisation,
        licence=head.text("general.license", "unknown"),
        context_tokens=min(CONTEXT_TOKENS, loaded.shape.context_tokens),
        vocab_tokens=loaded.output.outputs,
        can=frozenset((GENERATE, LOGITS, SCORE, WRITE)),
    )
