"""The working memory of llama.cpp: lanes, each with the keys and values of one sequence of tokens.

Lanes have separate memory ("streams" in llama.cpp), so the logits of a lane have the same bits whatever the others do.
With one memory for all lanes (`kv_unified`), bits depend on the neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.llama.bindings import FLASH_ATTENTION_ON, LlamaModel

_CELLS = 256  # llama.cpp gives each lane a multiple of this number of tokens


@dataclass(frozen=True, slots=True)
class LanePiece:
    """Tokens that continue a lane. Their logits are kept from index `wanted` on."""

    lane: int
    tokens: Sequence[int]
    wanted: int


class LlamaContext:
    """A model's memory for `lanes` sequences of `tokens_max` tokens. Not thread-safe: `lanes` has the turns."""

    def __init__(
        self, model: LlamaModel, *, tokens_max: int, lanes: int, batch_tokens: int, threads: int, kv_type: int
    ) -> None:
        """Flash attention is on; keys and values have the type `kv_type` (GGML_...). `engine` says why."""
        self.model = model
        self._c, self._ffi = model.library.c, model.library.ffi
        params = self._c.llama_context_default_params()
        params.n_ctx = lanes * -(-tokens_max // _CELLS) * _CELLS
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_seq_max = lanes
        params.kv_unified = False
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        params.type_k = params.type_v = kv_type
        model.library.complaints.clear()
        self._handle = self._c.llama_init_from_model(model.handle, params)
        if self._handle == self._ffi.NULL:
            why = "; ".join(model.library.complaints) or "no reason given"
            raise EngineUnavailable(f"llama.cpp makes no context for this model: {why}")
        self._memory = self._c.llama_get_memory(self._handle)
        self._batch = self._c.llama_batch_init(batch_tokens, 0, 1)
        self.batch_tokens = batch_tokens
        self.tokens_max = int(self._c.llama_n_ctx(self._handle)) // lanes
        self._held: list[list[int]] = [[] for _ in range(lanes)]

    @property
    def lanes(self) -> int:
        return len(self._held)

    def held(self, lane: int) -> Sequence[int]:
        """The tokens of a lane whose keys and values are in memory."""
        return self._held[lane]

    def keep(self, lane: int, count: int) -> None:
        """Forget a lane's tokens after the first `count`. Raises EngineUnavailable if llama.cpp does not."""
        held = self._held[lane]
        if count < len(held):
            del held[count:]
            if not self._c.llama_memory_seq_rm(self._memory, lane, count, -1):
                self._forget(lane)
                raise EngineUnavailable("llama.cpp does not forget a part of its memory")

    def evaluate(self, pieces: Sequence[LanePiece]) -> list[list[NDArray[np.float32]]]:
        """Continue lanes with the tokens of `pieces`, one piece a lane and `batch_tokens` tokens in all.

        Returns for each piece the logits (vocab_tokens,) after its tokens from `wanted` on. Raises EngineUnavailable if
        llama.cpp fails; then it has forgotten these lanes.
        """
        self.model.check_open()
        batch = self._batch
        index = 0
        for piece in pieces:
            start = len(self._held[piece.lane])
            for place, token in enumerate(piece.tokens):
                batch.token[index] = token
                batch.pos[index] = start + place
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = piece.lane
                batch.logits[index] = place >= piece.wanted
                index += 1
        batch.n_tokens = index
        code = self._c.llama_decode(self._handle, batch)
        if code != 0:
            for piece in pieces:
                self._forget(piece.lane)
            raise EngineUnavailable(f"llama.cpp fails to evaluate a batch (code {code})")
        found, index = [], 0
        for piece in pieces:
            self._held[piece.lane] += piece.tokens
            found.append([self._row(index + place) for place in range(piece.wanted, len(piece.tokens))])
            index += len(piece.tokens)
        return found

    def close(self) -> None:
        """Free the memory. Closing twice is harmless."""
        if self._handle != self._ffi.NULL:
            self._c.llama_batch_free(self._batch)
            self._c.llama_free(self._handle)
            self._handle = self._ffi.NULL

    def _forget(self, lane: int) -> None:
        self._held[lane].clear()
        self._c.llama_memory_seq_rm(self._memory, lane, 0, -1)

    def _row(self, index: int) -> NDArray[np.float32]:
        pointer = self._c.llama_get_logits_ith(self._handle, index)
        return np.frombuffer(self._ffi.buffer(pointer, 4 * self.model.vocab_tokens), np.float32).copy()
