"""The part of llama.cpp's C API that this package uses, taken from the shared library in the xllamacpp wheel.

The wheel's Python extension exports the whole C API. cffi opens it in ABI mode, so nothing is compiled. Struct layouts
change between llama.cpp releases, so each supported release is pinned as a `Build`. Calls release the GIL. `context`
holds the memory of sequences, `engine` chooses the canonical settings, `causal` builds prompts, and `variants` finds
builds other than the wheel's.
"""

import functools
import importlib.util
from collections import deque
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cffi import FFI

from p2pverify.engine.errors import EngineUnavailable, WeightsError

PACKAGE = "xllamacpp"
VERSION = "2026.10.11549"

GGML_F16, GGML_Q8_0 = 1, 8
FLASH_ATTENTION_AUTO, FLASH_ATTENTION_ON = -1, 1
LOAD_MMAP = 1
LOG_ERROR = 4
PIECE_BYTES = 512

DECLARATIONS = """
typedef struct {
    void *devices; void *tensor_buft_overrides;
    int32_t n_gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
    float *tensor_split; void *progress_callback; void *progress_callback_user_data; void *kv_overrides;
    bool vocab_only, check_tensors, use_extra_bufts, no_host, no_alloc, load_mtp;
} model_params;
typedef struct {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
    int32_t n_threads, n_threads_batch;
    int32_t ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type;
    float rope_freq_base, rope_freq_scale;
    float yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
    uint32_t yarn_orig_ctx; float defrag_thold;
    void *cb_eval; void *cb_eval_user_data;
    int32_t type_k, type_v;
    MOE_CACHE_SIZE
    void *abort_callback; void *abort_callback_data;
    bool embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
    void *samplers; size_t n_samplers; void *ctx_other;
} context_params;
typedef struct {
    int32_t n_tokens; int32_t *token; float *embd; int32_t *pos;
    int32_t *n_seq_id; int32_t **seq_id; int8_t *logits;
} batch;
void llama_log_set(void (*callback)(int32_t, const char *, void *), void *user);
void llama_backend_init(void);
void *ggml_backend_load(const char *path);
const char *llama_print_system_info(void);
model_params llama_model_default_params(void);
context_params llama_context_default_params(void);
void *llama_model_load_from_file(const char *path, model_params params);
void llama_model_free(void *model);
void *llama_model_get_vocab(void *model);
int32_t llama_model_n_ctx_train(void *model);
int32_t llama_vocab_n_tokens(void *vocab);
bool llama_vocab_is_eog(void *vocab, int32_t token);
int32_t llama_tokenize(void *vocab, const char *text, int32_t size, int32_t *tokens, int32_t room,
                       bool add_special, bool parse_special);
int32_t llama_token_to_piece(void *vocab, int32_t token, char *piece, int32_t room, int32_t strip, bool special);
void *llama_init_from_model(void *model, context_params params);
void llama_free(void *context);
uint32_t llama_n_ctx(void *context);
void *llama_get_memory(void *context);
bool llama_memory_seq_rm(void *memory, int32_t sequence, int32_t from, int32_t to);
batch llama_batch_init(int32_t tokens, int32_t embedding, int32_t sequences);
void llama_batch_free(batch b);
int32_t llama_decode(void *context, batch b);
float *llama_get_logits_ith(void *context, int32_t index);
"""


@dataclass(frozen=True, slots=True)
class Build:
    """One build of llama.cpp: its id in determinism classes, and how its structs differ from those of other builds."""

    id: str
    has_moe_cache: bool

    @property
    def declarations(self) -> str:
        return DECLARATIONS.replace("MOE_CACHE_SIZE", "size_t moe_cache_size;" if self.has_moe_cache else "")


WHEEL = Build(f"llama.cpp/{PACKAGE}-{VERSION}", has_moe_cache=True)


class Library:
    """A loaded shared library. `load` and `variants.load` create it, once per library and process."""

    def __init__(self, path: Path, build: Build, *, loader: Path | None = None, backend: Path | None = None) -> None:
        """If ggml's library `loader` is given, it loads the code path `backend`. Raises EngineUnavailable."""
        self.build = build
        self.ffi: Any = FFI()
        self.ffi.cdef(build.declarations)
        self.c: Any = self._open(path)
        self.complaints: deque[str] = deque(maxlen=4)
        # llama.cpp keeps the pointer, so the callback lives as long as the library does.
        self._log = self.ffi.callback("void(int32_t, const char *, void *)", self._take_log_line)
        self.c.llama_log_set(self._log, self.ffi.NULL)
        if loader is not None:
            self._ggml = self._open(loader)
            if self._ggml.ggml_backend_load(str(backend).encode()) == self.ffi.NULL:
                raise EngineUnavailable("; ".join(self.complaints) or f"this processor cannot run {backend}")
        self.c.llama_backend_init()
        self._check_layout()

    def _open(self, path: Path) -> Any:
        try:
            return self.ffi.dlopen(str(path), self.ffi.RTLD_NOW)
        except OSError as error:
            raise EngineUnavailable(f"llama.cpp's library does not load: {error}") from None

    def _take_log_line(self, level: int, line: Any, _user: Any) -> None:
        if level == LOG_ERROR:
            self.complaints.append(self.ffi.string(line, 500).decode(errors="replace").strip())

    def _check_layout(self) -> None:
        """Compare fields at both ends of the structs with known defaults, so that a wrong layout is noticed.

        Raises EngineUnavailable if they differ.
        """
        context, model = self.c.llama_context_default_params(), self.c.llama_model_default_params()
        as_known = (
            (context.n_ctx, context.n_batch, context.n_ubatch) == (512, 2048, 512)
            and context.flash_attn_type == FLASH_ATTENTION_AUTO
            and (context.type_k, context.type_v) == (GGML_F16, GGML_F16)
            and (context.embeddings, context.offload_kqv, context.no_perf) == (False, True, True)
            and (context.samplers, context.n_samplers) == (self.ffi.NULL, 0)
            and (model.vocab_only, model.check_tensors, model.use_extra_bufts) == (False, False, True)
        )
        if not as_known:
            raise EngineUnavailable(f"{self.build.id} has other struct layouts than those declared for it")

    @property
    def features(self) -> dict[str, bool]:
        """The build's instruction sets, e.g. {"AVX2": True}. On x86-64, compiling the library fixes them."""
        text = self.ffi.string(self.c.llama_print_system_info()).decode(errors="replace")
        pairs = (part.rpartition(":")[2].split("=") for part in text.split("|") if "=" in part)
        return {name.strip(): value.strip() == "1" for name, value in pairs}


@functools.cache
def load() -> Library:
    """The library of the pinned wheel. Raises EngineUnavailable if it is absent or has another version."""
    hint = f"run `uv sync`, or `pip install {PACKAGE}=={VERSION}`"
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        raise EngineUnavailable(f"{PACKAGE} is not installed: {hint}") from None
    if version != VERSION:
        raise EngineUnavailable(f"{PACKAGE} is {version}, and only {VERSION} is known to this build: {hint}")
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        for path in sorted(Path(folder).glob(f"{PACKAGE}*.so")):
            return Library(path, WHEEL)
    raise EngineUnavailable(f"{PACKAGE} is installed without its shared library: {hint}")


class LlamaModel:
    """Weights and vocabulary. The file is memory-mapped, so that processes share its pages."""

    def __init__(self, library: Library, path: Path, *, vocab_only: bool = False, repack: bool = True) -> None:
        """With `vocab_only`, the model can tokenise but cannot have a context. Raises WeightsError.

        With `repack`, llama.cpp copies some matrices into a layout for faster kernels, which have other bits.
        """
        self.library = library
        params = library.c.llama_model_default_params()
        params.n_gpu_layers = 0
        params.load_mode = LOAD_MMAP
        params.vocab_only = vocab_only
        params.use_extra_bufts = repack
        library.complaints.clear()
        self.handle = library.c.llama_model_load_from_file(str(path).encode(), params)
        if self.handle == library.ffi.NULL:
            raise WeightsError(f"llama.cpp does not load {path}: {'; '.join(library.complaints) or 'no reason given'}")
        self.vocab = library.c.llama_model_get_vocab(self.handle)
        self.vocab_tokens = int(library.c.llama_vocab_n_tokens(self.vocab))
        self.trained_tokens = int(library.c.llama_model_n_ctx_train(self.handle))
        self._piece = library.ffi.new("char[]", PIECE_BYTES)

    def tokenise(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Token ids of a text. With `special`, the name of a special token becomes that token. Raises ValueError."""
        self.check_open()
        data = text.encode()
        room = len(data) + 8
        tokens = self.library.ffi.new("int32_t[]", room)
        count = self.library.c.llama_tokenize(self.vocab, data, len(data), tokens, room, False, special)
        if count < 0:
            raise ValueError("the text cannot be tokenised")
        return tuple(tokens[0:count])

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a special token. The token must be in the vocabulary."""
        size = self.library.c.llama_token_to_piece(self.vocab, token, self._piece, PIECE_BYTES, 0, False)
        return bytes(self.library.ffi.buffer(self._piece, size)) if size > 0 else b""

    def name(self, token: int) -> bytes:
        """The bytes of a token, and of a special token its name, such as <|im_end|>."""
        size = self.library.c.llama_token_to_piece(self.vocab, token, self._piece, PIECE_BYTES, 0, True)
        return bytes(self.library.ffi.buffer(self._piece, size)) if size > 0 else b""

    def ends(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(self.library.c.llama_vocab_is_eog(self.vocab, token))

    def check_open(self) -> None:
        """Raises EngineUnavailable if the model is closed, because llama.cpp would read freed memory."""
        if self.handle == self.library.ffi.NULL:
            raise EngineUnavailable("the engine is closed")

    def close(self) -> None:
        """Free the weights. Close every context that uses them first. Closing twice is harmless."""
        if self.handle != self.library.ffi.NULL:
            self.library.c.llama_model_free(self.handle)
            self.handle = self.library.ffi.NULL
