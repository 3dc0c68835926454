"""Exact arithmetic on small random models: right, equal for every split, and refused if it would not be exact."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import loader
from p2pverify.engine.exact.blocks import UNIT, Blocks
from p2pverify.engine.exact.linear import FLOAT32_MAX, FLOAT64_MAX, pack
from p2pverify.engine.exact.model import FIXED_MAX, Model, fixed
from p2pverify.engine.gguf.reader import read_head
from tests.support.tiny_llama import Tiny, reference, write

DIGEST = bytes(32)
TOKENS = [int(token) for token in np.random.default_rng(1).integers(0, 160, 100)]


def load(path: Path, cache: Path) -> Model:
    return Model(loader.load(path, read_head(path), DIGEST, cache))


def logits(model: Model, tokens: list[int], splits: list[int]) -> bytes:
    """The bytes of all logits, if the sequence is run in parts that end at `splits`."""
    found, start = [], 0
    for end in [*splits, len(tokens)]:
        found += [row.tobytes() for row in model.logits(model.forward(tokens[start:end], start))]
        start = end
    return b"".join(found)


@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(),
        Tiny(kind=Kind.Q4_0, tied=False),
        Tiny(kind=Kind.Q8_0, embedding_kind=Kind.Q4_1, key_heads=4),
        Tiny(width=128, heads=1, key_heads=1, vocab=157, layers=1),
    ],
    ids=["q4_1", "q4_0-untied", "q8_0", "one-head"],
)
def test_logits_are_those_of_the_reference(tiny: Tiny, tmp_path: Path) -> None:
    """The logits equal float64 results on the dequantised weights, up to the rounding of activations."""
    path = write(tmp_path / "tiny.gguf", tiny)
    model = load(path, tmp_path / "cache")
    tokens = [token % tiny.vocab for token in TOKENS]
    ours = np.stack(list(model.logits(model.forward(tokens, 0))))
    theirs = reference(path, tiny, tokens)
    assert ours.shape == theirs.shape == (100, tiny.vocab)
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.005 * theirs.std()


@settings(max_examples=25, deadline=None)
@given(splits=st.lists(st.integers(1, 99), unique=True, max_size=12).map(sorted))
def test_no_split_changes_a_bit(splits: list[int], tiny_model: Model) -> None:
    """Prefill in one part, in any parts, and one token at a time give equal bytes."""
    whole = logits(tiny_model, TOKENS, [])
    assert logits(tiny_model, TOKENS, splits) == whole
    assert logits(tiny_model, TOKENS, list(range(90, 100))) == whole


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("tiny")
    return load(write(folder / "tiny.gguf", Tiny()), folder)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), number_max=st.sampled_from([8, 128]), largest=st.sampled_from([1, 2**11, 2**20]))
def test_products_are_exact(seed: int, number_max: int, largest: int) -> None:
    """Products equal Python's integers for the largest numbers and activations within the bounds, all of one sign."""
    rng = np.random.default_rng(seed)
    rows, blocks = 5, 3
    sign = rng.choice([-1, 1], (rows, blocks))
    numbers = np.where(
        rng.random((rows, blocks, 32)) < 0.5, -number_max, rng.integers(-number_max, number_max, (rows, blocks, 32))
    ).astype(np.int8)
    scales, minima = (sign * rng.integers(largest // 2, largest + 1, (rows, blocks)).astype(np.float64) for _ in "sm")
    matrix = pack([Blocks(numbers, scales, minima, number_max)])
    assert 32 * number_max * matrix.activation_max <= FLOAT32_MAX
    bound = matrix.activation_max
    x = np.where(rng.random((4, 96)) < 0.7, -bound, rng.integers(-bound, bound + 1, (4, 96))).astype(np.float64)
    x[:, 0] = bound  # so that activations are not scaled
    found = matrix.apply(x, np.empty(4 * matrix.products, np.float32)) / UNIT
    entries = numbers.astype(object) * scales.astype(object)[..., None] + minima.astype(object)[..., None]
    whole = np.vectorize(int)(entries).astype(object).reshape(rows, 96)
    exact = np.vectorize(int)(x).astype(object) @ whole.T
    assert abs(exact).max() <= FLOAT64_MAX
    assert found.astype(object).tolist() == [[float(value) for value in row] for row in exact]


def test_weights_without_headroom_are_refused() -> None:
    """Rows are refused if their sums exceed 2^53 with activations of 11 bits."""
    large = np.full((2, 3), 2.0**33)
    with pytest.raises(WeightsError, match="too large"):
        pack([Blocks(np.ones((2, 3, 32), np.int8), large, large, 128)])


def test_what_does_not_fit_saturates() -> None:
    """Keys and values beyond the fixed point's range are cut equally on every machine."""
    assert fixed(np.array([1e12, -1e12, 0.25])).tolist() == [FIXED_MAX, -FIXED_MAX, 4096.0]


def test_an_all_zero_row_gives_zeros(tiny_model: Model) -> None:
    """A row whose largest entry is 0 is not divided by it."""
    matrix = tiny_model.weights.output
    scratch = np.empty(2 * matrix.products, np.float32)
    assert not matrix.apply(np.zeros((2, 64)), scratch).any()


@pytest.mark.parametrize(
    ("tiny", "why"),
    [
        (Tiny(architecture="gemma3"), "gemma3"),
        (Tiny(kind=Kind.F16), "Q4_0, Q4_1 and Q8_0"),
        (Tiny(width=96, heads=2, key_heads=1), "sizes"),
        (Tiny(key_heads=3, changes={"attention.head_count_kv": 3}), "sizes"),
        (Tiny(changes={"rope.dimension_count": 8}), "sizes"),
        (Tiny(changes={"attention.head_count": 0}), "sizes"),
        (Tiny(changes={"attention.head_count_kv": 1}), "do not fit"),
        (Tiny(changes={"block_count": 3}), r"lacks blk\.2"),
        (Tiny(changes={"embedding_length": 32, "rope.dimension_count": 8}), "do not fit"),
    ],
    ids=["architecture", "type", "head-width", "grouping", "partial-rotation", "no-heads", "keys", "layers", "width"],
)
def test_other_models_are_refused(tiny: Tiny, why: str, tmp_path: Path) -> None:
    """A model that the engine cannot run exactly is refused with a reason."""
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
