"""The default engine: llama.cpp in canonical settings, one determinism class per code path.

With flash attention over a q8_0 key-value cache, and with batches of a size that `steady` knows, decoding gives the
same bits as evaluating a prompt. So a prefix that is still in memory can be reused without changing an answer. The
beginning of the chat template is such a prefix of nearly all questions, so each of them costs its own tokens only. A
challenger that wrote a prompt therefore answers it without evaluating it again, and a claimed answer is scored in one
pass with the bits that its author had. Several answers are written at a time, with the bits of single ones. `bindings`
and `variants` load the library; `causal` writes prompts, samples and scores; `lanes` lets threads share the context.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.modelinfo import model_info
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama import bindings, variants
from p2pverify.engine.llama.causal import CONTEXT_TOKENS, CausalEngine
from p2pverify.engine.llama.context import LlamaContext
from p2pverify.engine.llama.lanes import Lanes, Rows
from p2pverify.engine.llama.steady import TOKENS_MAX, steady_tokens
from p2pverify.engine.llama.variants import CANONICAL, WHEEL, Settings
from p2pverify.node.ports import GENERATE, LOGITS, SCORE, WRITE

THREADS = 1

X86_PATHS = ("AVX512", "AVX2", "AVX", "SSE3")
ARM_PATHS = ("NEON", "DOTPROD", "MATMUL_INT8", "SVE", "SME")
MACHINES = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}


def numeric_path(features: Mapping[str, bool], machine: str, settings: Settings = CANONICAL) -> str:
    """The code path's name, e.g. "x86-64-avx2/fa1/kv-q8_0", from the instruction sets that the build reports.

    On x86-64 the name holds the widest vector extension of the build and, below AVX2, whether it uses fused
    multiply-add. On other machines it holds every extension that changes sums.
    """
    name = MACHINES.get(machine.lower(), machine.lower())
    used = [feature.lower() for feature in (*X86_PATHS, *ARM_PATHS) if features.get(feature)]
    if name == "x86-64":
        used = used[:1]
        if used == ["avx"] and features.get("FMA"):
            used.append("fma")
    return "/".join(["-".join([name, *(used or ["generic"])]), settings.name])


class LlamaEngine(CausalEngine):
    """Fulfils the node's `Engine` port. As many threads as `lanes` may call it at a time."""

    def __init__(
        self,
        path: Path,
        *,
        expect_sha256: bytes | None = None,
        progress: weights.Progress | None = None,
        variant: str = WHEEL,
        variants_folder: Path | None = None,
        context_tokens: int = CONTEXT_TOKENS,
        lanes: int = 1,
    ) -> None:
        """Check the weights and load them with a variant of llama.cpp (see `variants`).

        Each of the `lanes` has memory for `context_tokens`.

        Raises EngineUnavailable or its subclass WeightsError.
        """
        build, settings = variants.parse(variant)
        digest = weights.check(path, expect_sha256, progress)
        library = variants.load(build, variants_folder)
        head = read_head(path)
        if progress is not None:
            progress("loading model", 0, 1)
        self.path = path
        self.variant, self.variants_folder = variant, variants_folder
        together = steady_tokens(head.tensors)
        model = bindings.LlamaModel(library, path, repack=together == TOKENS_MAX)
        context_tokens = min(context_tokens, model.trained_tokens)
        try:
            info = model_info(
                head,
                digest,
                engine=library.build.id,
                numeric_path=numeric_path(library.features, platform.machine(), settings),
                context_tokens=context_tokens,
                vocab_tokens=model.vocab_tokens,
                can=(GENERATE, LOGITS, SCORE, WRITE),
                lanes=lanes,
            )
            self.context = LlamaContext(
                model,
                tokens_max=context_tokens,
                lanes=lanes,
                batch_tokens=min(settings.batch_tokens, together),
                threads=THREADS,
                kv_type=settings.kv_type,
            )
        except EngineUnavailable:
            model.close()
            raise
        self._lanes = Lanes(self.context)
        super().__init__(info, model, head)
        if progress is not None:
            progress("loading model", 1, 1)

    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Logits after each token of tokens[first:]: see `CausalEngine`."""
        with self.lane(tokens) as rows:
            yield from rows(tokens, first)

    def lane(self, tokens: Sequence[int]) -> AbstractContextManager[Rows]:
        """A lane of the context: see `CausalEngine`."""
        return self._lanes.taken(tokens)

    def close(self) -> None:
        self.context.close()
        super().close()
