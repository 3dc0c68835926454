"""Exact arithmetic on small random models: right, equal for every split, and refused if it would not be exact."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import loader
from p2pverify.engine.exact.model import Model
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama import bindings
from p2pverify.engine.llama.context import LanePiece, LlamaContext
from tests.support.tiny_model import Tiny, write
from tests.support.tiny_reference import Reference

DIGEST = bytes(32)
TOKENS = [int(token) for token in np.random.default_rng(1).integers(0, 160, 100)]
GEMMA = Tiny("gemma3", heads=2, key_heads=1, head_width=64, kind=Kind.Q5_0, window=16, layers=7)
WIDE = Tiny("qwen3", width=256, heads=2, head_width=128, hidden=256, scale=0.1, embedding_kind=Kind.Q6_K)
MODELS = {
    "q4_1": Tiny(),
    "q4_0-untied": Tiny(kind=Kind.Q4_0, tied=False),
    "q8_0": Tiny(kind=Kind.Q8_0, embedding_kind=Kind.Q4_1, key_heads=4),
    "one-head": Tiny(width=128, heads=1, key_heads=1, vocab=157, layers=1),
    "slow-rotation": Tiny(rope_factors=True, changes={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "qwen2": Tiny("qwen2", width=128, kind=Kind.Q5_1, values_kind=Kind.Q8_0, tied=False),
    "qwen2-large-bias": Tiny("qwen2", width=128, bias=300.0),
    "qwen3": Tiny("qwen3", head_width=32, kind=Kind.Q5_0),
    "gemma3": GEMMA,
    "gemma3-k": Tiny(
        "gemma3", 256, 2, 1, 256, 512, kind=Kind.Q4_K, values_kind=Kind.Q6_K, window=8, layers=6, scale=0.1
    ),
    "f16": Tiny("qwen3", head_width=32, kind=Kind.F16, embedding_kind=Kind.BF16),
    "f32": Tiny(kind=Kind.F32, embedding_kind=Kind.F32),
    "q2_k": Tiny(**{**vars(WIDE), "kind": Kind.Q2_K}),
    "q3_k": Tiny(**{**vars(WIDE), "kind": Kind.Q3_K}),
    "q5_k": Tiny(**{**vars(WIDE), "kind": Kind.Q5_K}),
}


def load(path: Path, cache: Path) -> Model:
    weights = loader.load(path, read_head(path), DIGEST, cache)
    return Model(weights, weights.shape.context_tokens)


def logits(model: Model, tokens: list[int], splits: list[int]) -> bytes:
    """The bytes of all logits, if the sequence is run in parts that end at `splits`."""
    found, start = [], 0
    for end in [*splits, len(tokens)]:
        found += [row.tobytes() for row in model.logits(model.forward(tokens[start:end], start))]
        start = end
    return b"".join(found)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The root mean square difference, relative to the spread of the logits."""
    assert found.shape == expected.shape
    return float(np.sqrt(((found - expected) ** 2).mean()) / expected.std())


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_nearer_to_the_reference_than_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    """The logits equal float64 results on the dequantised weights, up to the rounding of activations.

    llama.cpp reads the same file as the same model. It rounds activations to 8 bits, so its logits are farther away,
    unless the weights are in single precision.
    """
    tiny = MODELS[name]
    path = write(tmp_path / "tiny.gguf", tiny)
    model = load(path, tmp_path / "cache")
    tokens = [token % tiny.vocab for token in TOKENS]
    ours = np.stack(list(model.logits(model.forward(tokens, 0))))
    exact = Reference(path).logits(tokens)
    assert error(ours, exact) < 0.003
    assert (0 if tiny.kind == Kind.F32 else error(ours, exact)) < error(llama_cpp(path, tokens), exact) < 0.15


def llama_cpp(path: Path, tokens: list[int]) -> np.ndarray:
    """Its logits, with keys and values in single precision."""
    model = bindings.LlamaModel(bindings.load(), path)
    context = LlamaContext(model, tokens_max=256, lanes=1, batch_tokens=128, threads=1, kv_type=0)
    (rows,) = context.evaluate([LanePiece(0, tokens, 0)])
    found = np.stack(rows)
    context.close()
    model.close()
    return found


@settings(max_examples=25, deadline=None)
@given(
    splits=st.lists(st.integers(1, 99), unique=True, max_size=12).map(sorted), name=st.sampled_from(["llama", "gemma3"])
)
def test_no_split_changes_a_bit(splits: list[int], name: str, tiny_models: dict[str, Model]) -> None:
    """Prefill in one part, in any parts, and one token at a time give equal bytes."""
    model = tiny_models[name]
    whole = logits(model, TOKENS, [])
    assert logits(model, TOKENS, splits) == whole
    assert logits(model, TOKENS, list(range(90, 100))) == whole


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("tiny")
    models = {"llama": Tiny(), "gemma3": GEMMA}
    return {name: load(write(folder / f"{name}.gguf", tiny), folder / name) for name, tiny in models.items()}


def test_large_models_are_packed_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of weights a weight takes one byte instead of four. No bit of the logits changes."""
    path = write(tmp_path / "tiny.gguf", GEMMA)
    wide = load(path, tmp_path / "wide")
    monkeypatch.setattr(loader, "FLOAT_WEIGHTS_MAX", 1000)
    small = load(path, tmp_path / "small")
    assert {matrix.small for matrix in wide.weights.matrices} == {False}
    assert {matrix.small for matrix in small.weights.matrices} == {True}
    assert logits(small, TOKENS, [50]) == logits(wide, TOKENS, [])


def test_matrices_of_equal_form_are_one(tmp_path: Path) -> None:
    """Mixed quantisations of queries, keys and values stay apart, so that none loses precision to another."""
    mixed = load(write(tmp_path / "mixed.gguf", MODELS["qwen2"]), tmp_path / "mixed").weights.layers[0]
    equal = load(write(tmp_path / "equal.gguf", MODELS["qwen3"]), tmp_path / "equal").weights.layers[0]
    assert (len(mixed.query_key_value), len(equal.query_key_value)) == (2, 1)


@pytest.mark.parametrize(
    ("tiny", "why"),
    [
        (Tiny("gemma2"), "llama, qwen2, qwen3, gemma3, not 'gemma2'"),
        (Tiny(kind=Kind.MXFP4), "Q4_K.*ggml's type 39"),
        (Tiny(width=96, heads=2, key_heads=1), "heads of 48"),
        (Tiny(key_heads=3, changes={"attention.head_count_kv": 3}), "4 heads for 3 of keys"),
        (Tiny(changes={"rope.dimension_count": 8}), "rope.dimension_count is not 16"),
        (Tiny("qwen3", changes={"attention.value_length": 8}), "attention.value_length is not 16"),
        (Tiny(changes={"attention.head_count": 0}), "0 heads|heads of 0"),
        (Tiny(changes={"attention.head_count_kv": 1}), "attn_k.weight.* does not fit"),
        (Tiny(changes={"block_count": 3}), r"lacks blk\.2"),
        (Tiny(changes={"block_count": 1}), r"the tensor blk\.1"),
        (Tiny(changes={"embedding_length": 32, "rope.dimension_count": 8}), "token_embd.weight.* does not fit"),
        (Tiny(changes={"embedding_length": 16_384}), "a width of 16384"),
        (Tiny(changes={"context_length": 0}), "a context of 0"),
        (Tiny(changes={"attention.layer_norm_rms_epsilon": 0.0}), "an epsilon of 0"),
        (Tiny(changes={"attention.layer_norm_rms_epsilon": float("nan")}), "not a finite number"),
        (Tiny(changes={"rope.freq_base": 0.5}), "a rotary base of 0.5"),
        (Tiny(changes={"rope.scaling.factor": 0.25}), "a rotary factor of 0.25"),
        (Tiny(changes={"rope.scaling.type": "yarn"}), "rope.scaling.type = 'yarn'"),
        (Tiny("gemma3", changes={"final_logit_softcapping": 30.0}), "softcapping = 30"),
        (Tiny(changes={"expert_count": 8}), "expert_count = 8"),
        (Tiny(changes={"attention.head_count_kv": [2, 1]}), "head_count_kv in the GGUF file is a list"),
        (Tiny("qwen2", bias=1e6), "a bias of"),
        (Tiny(extra=("blk.0.attn_q.bias",)), r"the tensor blk\.0\.attn_q\.bias"),
        (Tiny(extra=("blk.1.attn_sinks.weight",)), r"the tensor blk\.1\.attn_sinks"),
    ],
    ids=lambda value: None if isinstance(value, Tiny) else value[:24],
)
def test_other_models_are_refused(tiny: Tiny, why: str, tmp_path: Path) -> None:
    """A model that the engine cannot run exactly is refused, and the message names what is unsupported."""
    path = write(tmp_path / "tiny.gguf", tiny)
    with pytest.raises(WeightsError, match=why):
        load(path, tmp_path / "cache")


def test_scales_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """A block with an infinite scale is an error, and gives no NaN logits."""
    path = write(tmp_path / "tiny.gguf", Tiny())
    head = read_head(path)
    start = head.data_start + next(one.offset for one in head.tensors if one.name == "blk.1.attn_q.weight")
    data = bytearray(path.read_bytes())
    data[start : start + 2] = b"\x00\x7c"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="finite"):
        load(path, tmp_path / "cache")
