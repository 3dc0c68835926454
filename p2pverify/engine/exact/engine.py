"""The exact engine behind the node's port: its own determinism class, and the referee between all other classes.

llama.cpp tokenises, with the vocabulary only. Tokenising uses integers only, so it is exact too.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact import loader
from p2pverify.engine.exact.devices import open_device
from p2pverify.engine.exact.model import Model
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.modelinfo import model_info
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama.causal import CONTEXT_TOKENS, CausalEngine, open_tokeniser
from p2pverify.engine.llama.lanes import common_prefix
from p2pverify.node.ports import GENERATE, LOGITS, SCORE, WRITE

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
        context_tokens: int = CONTEXT_TOKENS,
        variant: str = "",
    ) -> None:
        """Check and load weights. Packed weights are kept in the folder `cache` (default: in the user's cache folder).

        `variant` is the device that computes the large sums: see `devices`. It changes no bit and no name of the class.
        The first load takes seconds. Raises EngineUnavailable or its subclass WeightsError.
        """
        device = open_device(variant)
        digest = weights.check(path, expect_sha256, progress)
        head = read_head(path)
        loaded = loader.load(path, head, digest, cache or loader.default_cache(), progress)
        info = model_info(
            head,
            digest,
            engine=ENGINE,
            numeric_path=NUMERIC_PATH,
            context_tokens=min(context_tokens, loaded.shape.context_tokens),
            vocab_tokens=loaded.vocab_tokens,
            can=(GENERATE, LOGITS, SCORE, WRITE),
        )
        self.path = path
        self._model: Model | None = Model(loaded, info.context_tokens, device)
        self._held: list[int] = []
        super().__init__(info, open_tokeniser(path, info.vocab_tokens), head)

    def forget(self) -> None:
        """Drop the keys and values in memory, so that the next call starts from nothing."""
        self._held.clear()

    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Logits after each token of tokens[first:]: see `CausalEngine`."""
        if self._model is None:
            raise EngineUnavailable("the engine is closed")
        kept = common_prefix(self._held, tokens[:first])
        del self._held[kept:]
        hidden = self._model.forward(tokens[kept:], kept)
        self._held += tokens[kept:]
        yield from self._model.logits(hidden[first - kept :])

    def close(self) -> None:
        self._model = None
        super().close()
