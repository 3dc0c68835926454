"""The architectures that the exact engine runs, and a model's sizes and constants from the metadata of its file."""

import math
from dataclasses import dataclass

import numpy as np

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import attention, norms
from p2pverify.engine.gguf.reader import FileHead

LAYERS_MAX = 1024
CONTEXT_MAX = 2**17
ROPE_BASE, LOCAL_ROPE_BASE = 10_000.0, 10_000.0


@dataclass(frozen=True, slots=True)
class Architecture:
    """What distinguishes the models of an architecture from those of llama.

    - `apart`: rotary embedding turns entry i of a head with entry i + half, instead of with its neighbour.
    - `biases`: queries, keys and values have a bias.
    - `head_norms`: every head's query and key is normed.
    - `post_norms`: the outputs of attention and feed-forward are normed.
    - `gelu`: the gate is GELU in its approximation with tanh, instead of SiLU.
    - `scaled_embedding`: embeddings are multiplied by the root of the width.
    - `local_of`: of so many layers, all but the last see only a window of positions and have a rotary base of their
      own, if the file has a window; 0 if all layers see everything.
    """

    apart: bool = True
    biases: bool = False
    head_norms: bool = False
    post_norms: bool = False
    gelu: bool = False
    scaled_embedding: bool = False
    local_of: int = 0


ARCHITECTURES = {
    "llama": Architecture(apart=False),
    "qwen2": Architecture(biases=True),
    "qwen3": Architecture(head_norms=True),
    "gemma3": Architecture(head_norms=True, post_norms=True, gelu=True, scaled_embedding=True, local_of=6),
}

# What these entries ask for is not in `model`, unless they have the value that stands here.
NEUTRAL: dict[str, tuple[int | float | str | bool, ...]] = {
    "rope.scaling.type": ("none", "linear"),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.scale": (0.0,),
    "expert_count": (0,),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The model's sizes and constants."""

    architecture: Architecture
    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    context_tokens: int
    epsilon: float
    rope_base: float
    rope_factor: float  # the angles of layers that see all positions are divided by it
    local_rope_base: float
    window: int  # positions that a local layer sees; 0 if no layer is local
    local_of: int

    @property
    def embedding_scale(self) -> float:
        """llama.cpp computes the root in single precision."""
        return float(np.sqrt(np.float32(self.width))) if self.architecture.scaled_embedding else 1.0

    def local(self, layer: int) -> bool:
        return self.window > 0 and layer % self.local_of < self.local_of - 1


def read_shape(head: FileHead) -> Shape:
    """Raises WeightsError if `model` cannot run such a model, or not exactly. The message names what is unsupported."""
    entries = _Entries(head)
    _check_neutral(entries)
    width, heads = entries.number("embedding_length"), entries.number("attention.head_count")
    head_width = entries.number("attention.key_length", width // heads if heads > 0 else 0)
    # llama.cpp reads a factor of 0 as no scaling, and scales linearly if no type is given.
    factor = entries.real("rope.scaling.factor", entries.real("rope.scale_linear", 0.0)) or 1.0
    local_of = entries.number("attention.sliding_window_pattern", entries.architecture.local_of)
    shape = Shape(
        architecture=entries.architecture,
        layers=entries.number("block_count"),
        width=width,
        heads=heads,
        key_heads=entries.number("attention.head_count_kv", heads),
        head_width=head_width,
        context_tokens=min(CONTEXT_MAX, entries.number("context_length")),
        epsilon=entries.real("attention.layer_norm_rms_epsilon"),
        rope_base=entries.real("rope.freq_base", ROPE_BASE),
        rope_factor=1.0 if entries.text("rope.scaling.type", "linear") == "none" else factor,
        local_rope_base=entries.real("rope.freq_base_swa", LOCAL_ROPE_BASE),
        window=entries.number("attention.sliding_window", 0) if entries.architecture.local_of else 0,
        local_of=local_of,
    )
    _check_sizes(shape)
    for key in ("attention.value_length", "rope.dimension_count"):
        if entries.number(key, head_width) != head_width:
            raise WeightsError(f"the exact engine runs heads with equal sizes only, and {key} is not {head_width}")
    return shape


class _Entries:
    """The metadata of the file's architecture. Raises WeightsError for an unknown architecture."""

    def __init__(self, head: FileHead) -> None:
        self._head = head
        self.name = head.text("general.architecture", "")
        if self.name not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise WeightsError(f"the exact engine runs models of the architectures {known}, not {self.name!r}")
        self.architecture = ARCHITECTURES[self.name]

    def has(self, key: str) -> bool:
        return f"{self.name}.{key}" in self._head.entries

    def scalar(self, key: str) -> int | float | bool | str:
        return self._head.scalar(f"{self.name}.{key}")

    def number(self, key: str, default: int | None = None) -> int:
        if default is not None and not self.has(key):
            return default
        return self._head.number(f"{self.name}.{key}")

    def real(self, key: str, default: float | None = None) -> float:
        if default is not None and not self.has(key):
            return default
        value = self.scalar(key)
        if isinstance(value, (bool, str)) or not math.isfinite(value):
            raise WeightsError(f"{self.name}.{key} in the GGUF file is not a finite number")
        return float(value)

    def text(self, key: str, default: str) -> str:
        return self._head.text(f"{self.name}.{key}", default)


def _check_neutral(entries: _Entries) -> None:
    for key, neutral in NEUTRAL.items():
        if entries.has(key) and (value := entries.scalar(key)) not in neutral:
            raise WeightsError(f"the exact engine does not know {entries.name}.{key} = {value!r}")


def _check_sizes(shape: Shape) -> None:
    """Raises WeightsError naming the first size that does not fit."""
    head = shape.head_width
    ranges: list[tuple[str, bool]] = [
        (f"{shape.layers} layers", 0 < shape.layers <= LAYERS_MAX),
        (f"a width of {shape.width}", 0 < shape.width <= norms.WIDTH_MAX),
        (f"heads of {head}", 1 < head <= attention.HEAD_MAX and head & (head - 1) == 0),
        (
            f"{shape.heads} heads for {shape.key_heads} of keys",
            0 < shape.key_heads <= shape.heads and shape.heads % shape.key_heads == 0,
        ),
        (f"{shape.heads} heads of {head}", shape.heads * head <= norms.WIDTH_MAX),
        (f"a context of {shape.context_tokens}", shape.context_tokens > 0),
        (f"an epsilon of {shape.epsilon}", shape.epsilon > 0),
        (f"a rotary base of {shape.rope_base}", shape.rope_base > 1 and shape.local_rope_base > 1),
        (f"a rotary factor of {shape.rope_factor}", shape.rope_factor >= 1),
        (f"a window of {shape.window}", shape.window >= 0),
        (f"one layer in {shape.local_of} without a window", shape.window == 0 or 0 < shape.local_of <= LAYERS_MAX),
    ]
    for size, fits in ranges:
        if not fits:
            raise WeightsError(f"the exact engine does not run models with these sizes: the file has {size}")
