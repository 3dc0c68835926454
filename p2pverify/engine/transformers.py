"""PyTorch behind the node's port: Hugging Face transformers over the same GGUF weights, in float32. An extra.

The weights are dequantised when they are loaded, so the numbers are llama.cpp's but the arithmetic is not. Sums depend
on how many tokens are run at once: decoding and one pass over the same tokens differ in their last bits. So this engine
gives no digest of logits and is in no class of equal bits; its peers are judged across classes. Each call starts with
an empty cache, so that equal questions get equal answers.
"""

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.output import NO_LOGITS, Ask
from p2pverify.core.inference.compare import TokenScores
from p2pverify.engine.errors import EngineUnavailable, WeightsError
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.modelinfo import model_info
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama.causal import CONTEXT_TOKENS, CausalEngine, open_tokeniser
from p2pverify.node.ports import GENERATE, SCORE, WRITE, Generated, Hear, unheard

ENGINE = "transformers"
SETTINGS = "float32/eager"
GET_IT = "run `pip install 'p2pverify[transformers]'`"
THREADS = 1


class TransformersEngine(CausalEngine):
    """Fulfils the node's `Engine` port. Not thread-safe: one call at a time."""

    def __init__(
        self,
        path: Path,
        *,
        expect_sha256: bytes | None = None,
        progress: weights.Progress | None = None,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        """Check, dequantise and load weights, 4 bytes per parameter. Raises EngineUnavailable or WeightsError.

        Sets PyTorch's number of threads and turns deterministic algorithms on, for the whole process.
        """
        torch, transformers = _import()
        digest = weights.check(path, expect_sha256, progress)
        head = read_head(path)
        if progress is not None:
            progress("loading model", 0, 1)
        torch.set_num_threads(THREADS)
        torch.use_deterministic_algorithms(True)
        self._torch, self._cache_class = torch, transformers.DynamicCache
        self._model: Any = _load(torch, transformers, path)
        self._held: tuple[int, ...] = ()
        self._cache: Any = None
        info = model_info(
            head,
            digest,
            engine=f"{ENGINE}/{transformers.__version__}-torch-{torch.__version__}",
            numeric_path=SETTINGS,
            context_tokens=min(context_tokens, head.context_tokens()),
            vocab_tokens=int(self._model.config.vocab_size),
            can=(GENERATE, SCORE, WRITE),
        )
        super().__init__(info, open_tokeniser(path, info.vocab_tokens), head)
        if progress is not None:
            progress("loading model", 1, 1)

    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Logits after each token of tokens[first:]: see `CausalEngine`.

        If `tokens` is the last call's tokens and one more, only that token is run.
        """
        if self._model is None:
            raise EngineUnavailable("the engine is closed")
        wanted = tuple(tokens)
        if self._cache is None or wanted[:-1] != self._held or first != len(self._held):
            self._forget()
            self._cache = self._cache_class()
        torch = self._torch
        with torch.inference_mode():
            run = torch.tensor([wanted[len(self._held) :]], dtype=torch.long)
            kept = len(wanted) - first
            found = self._model(run, past_key_values=self._cache, use_cache=True, logits_to_keep=kept)
        self._held = wanted
        yield from found.logits[0].numpy()

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """See `CausalEngine`."""
        self._forget()
        return super().write_prompt(seed, tokens_max)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """See `CausalEngine`; without a digest of logits."""
        self._forget()
        made = super().answer(ask, hear)
        return replace(made, output=replace(made.output, logits=NO_LOGITS))

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """See `CausalEngine`; without a digest of logits."""
        self._forget()
        return replace(super().score(ask, tokens), logits=NO_LOGITS)

    def close(self) -> None:
        self._forget()
        self._model = None
        super().close()

    def _forget(self) -> None:
        self._held, self._cache = (), None


def _import() -> tuple[Any, Any]:
    """PyTorch and transformers, set to use no network and to draw no progress bars. Raises EngineUnavailable."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    try:
        return importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError as error:
        raise EngineUnavailable(f"PyTorch and transformers are not installed ({error}): {GET_IT}") from None


def _load(torch: Any, transformers: Any, path: Path) -> Any:
    """The model with dequantised weights, ready to run. Raises WeightsError."""
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"transformers does not load {path}: {reason}") from None
    return model.eval()
