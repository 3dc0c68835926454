"""Models, updates and rows as bytes, and the forward pass."""

import numpy as np
import pytest

from p2pverify.core.data.schema import FEATURES_MAX, LABELS_MAX, SCHEMA_BYTES_MAX, DataFeature, Schema
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.tabular.model import (
    MODEL_BYTES_MAX,
    decode_model,
    decode_rows,
    initial,
    weight_count,
)
from p2pverify.engine.tabular.update import clipped, decode_update, encode_update, is_within, norm_squared
from tests.engine.tabular.examples import listed, rows_of
from tests.support import tabular
from tests.support.datasets import SCHEMA, rows

#: The greatest clip of a rule.
UPDATE_MAX = 64 << 16


@pytest.mark.parametrize("hidden", [0, 1, 64])
def test_a_model_is_read_as_it_was_written(hidden: int) -> None:
    """Its digest is that of the file; models of other shapes have other digests."""
    model = initial(SCHEMA, hidden).moved(np.arange(weight_count(SCHEMA, hidden)) * 1000 - 5)
    data = model.encode()
    found = decode_model(data)
    assert (found.encode(), found.hidden, found.schema) == (data, hidden, SCHEMA)
    assert found.digest == sha256(data) != initial(SCHEMA, hidden).digest
    assert found.weights.tolist() == model.weights.tolist()


def test_the_largest_model_fits() -> None:
    """The limit on bytes has room for any schema and any number of hidden units."""
    features = tuple(DataFeature(f"{number:03}", "", 0, 1, (0,) * 17) for number in range(FEATURES_MAX))
    schema = Schema(features, "label", tuple(f"y{number}" for number in range(LABELS_MAX)))
    for hidden in (0, 64):
        data = initial(schema, hidden).encode()
        assert len(data) + SCHEMA_BYTES_MAX - len(schema.encode()) <= MODEL_BYTES_MAX
        assert decode_model(data).encode() == data
    with pytest.raises(DecodeError, match="too long"):
        decode_model(bytes(MODEL_BYTES_MAX + 1))


def test_what_is_no_model() -> None:
    """Each fault has its reason."""
    data = initial(SCHEMA).encode()
    size = len(SCHEMA.encode())
    wrong = {
        "not a tabular model": [b"", data[:10], b"x" + data[1:]],
        "truncated": [data[:22], data[:20] + b"\xff" * 4 + data[24:], data[: 24 + size]],
        "trailing|truncated": [data[:20] + (size + 1).to_bytes(4, "big") + data[24:]],
        "at most 64": [data[: 24 + size] + b"\0\x41" + data[26 + size :]],
        "as many weights": [data + b"\0", data[:-4], data[: 24 + size] + b"\0\x01" + data[26 + size :]],
        "beyond": [data[:-4] + (2**21).to_bytes(4, "big"), data[:-4] + b"\x80\0\0\0"],
    }
    for reason, each in wrong.items():
        for one in each:
            with pytest.raises(DecodeError, match=reason):
                decode_model(one)


def test_the_first_model() -> None:
    """Without hidden units all weights are 0; with hidden units they differ, and follow from the schema."""
    assert not initial(SCHEMA).weights.any()
    model = initial(SCHEMA, 16)
    assert len(set(model.weights.tolist())) > 70
    assert np.abs(model.weights).max() < 65536 / 2**0.5
    assert model.digest == initial(SCHEMA, 16).digest
    with pytest.raises(ValueError, match="0 to 64"):
        initial(SCHEMA, 65)


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_forward_pass_is_that_of_the_second_implementation(hidden: int) -> None:
    """Logits and losses, also at the ends of the ranges."""
    drawn = np.random.Generator(np.random.Philox(key=9))
    base = initial(SCHEMA, hidden)
    data = rows_of(40, 1)
    for scale in (2**12, 2**18, 2**22):
        model = base.moved(drawn.integers(-scale, scale, len(base.weights)))
        net = tabular.Net(model.weights.tolist(), 2, hidden, 2)
        assert model.forward(data.features)[1].tolist() == [net.forward(cells)[-1] for cells, _ in listed(data)]
        assert model.losses(data).tolist() == [net.loss(row) for row in listed(data)]


def test_rows() -> None:
    """Rows are read as the schema reads them, and refused for the same reasons."""
    data = rows(6)
    assert listed(decode_rows(SCHEMA, data)) == [SCHEMA.cells(row) for row in data]
    assert len(decode_rows(SCHEMA, [])) == 0
    for wrong, reason in (
        (data[0][:-1], "not 5 bytes"),
        (b"\x80\0" + data[0][2:], "too small"),
        (data[0][:-1] + b"\x02", "no such label"),
    ):
        with pytest.raises(DecodeError, match=reason):
            decode_rows(SCHEMA, [data[0], wrong])


def test_updates() -> None:
    """An update is read as it was written, and not if its norm is above the clip."""
    update = np.array([3, -4, 0, UPDATE_MAX - 9], np.int64)
    data = encode_update(update)
    assert decode_update(data, 4, UPDATE_MAX).tolist() == update.tolist()
    assert decode_update(encode_update(update[:2]), 2, 5).tolist() == [3, -4]
    for wrong, count, clip, reason in (
        (b"", 4, 1, "not an update"),
        (data, 5, UPDATE_MAX, "not 5 numbers"),
        (data + b"\0", 4, UPDATE_MAX, "not 4 numbers"),
        (data, 4, UPDATE_MAX - 10, "above the clip"),
        (encode_update(update[:2]), 2, 4, "above the clip"),
        (encode_update(np.array([-(2**31)] * 4)), 4, UPDATE_MAX, "above the clip"),
    ):
        with pytest.raises(DecodeError, match=reason):
            decode_update(wrong, count, clip)


def test_the_norm_of_large_numbers_is_exact() -> None:
    """Adapters have up to 2^22 numbers of 32 bits, whose squares do not fit 63 bits together."""
    drawn = np.random.Generator(np.random.Philox(key=5)).integers(-(2**31), 2**31, 1000)
    assert norm_squared(drawn) == sum(each * each for each in drawn.tolist())
    assert norm_squared(np.full(2**22, -(2**31))) == 2**84
    assert norm_squared(clipped(drawn, 2**30)) <= 2**60


def test_a_clipped_update_is_within_the_clip() -> None:
    """The clip never leaves a norm above it, keeps signs, and leaves short updates as they are."""
    drawn = np.random.Generator(np.random.Philox(key=4))
    for bound in (1, 7, 1000, 2**16, UPDATE_MAX):
        update = drawn.integers(-(2**22), 2**22, 30)
        found = clipped(update, bound)
        assert is_within(found, bound)
        assert found.tolist() == tabular.shrunk(update.tolist(), bound)
        assert (found * update >= 0).all()
        assert clipped(found, bound).tolist() == found.tolist()
