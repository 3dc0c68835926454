"""A tabular model: its weights with the schema of its rows, their canonical bytes, and the forward pass.

Without hidden units it is a logistic regression, or softmax regression for more than two labels. Otherwise it has one
hidden layer of rectified units. Each layer has a weight for each input, and one for a constant input of 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import HIDDEN_MAX, ONE_Q16
from p2pverify.core.data.schema import CELL_MAX, FEATURES_MAX, LABELS_MAX, SCHEMA_BYTES_MAX, Schema, decode_schema
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.tabular.numbers import (
    ACTIVATION_MAX,
    LOSS_TABLE,
    ONE_Q12,
    WEIGHT_MAX,
    Ints,
    drawn_words,
    matmul,
    softmax,
)

MAGIC = b"p2pverify/tabular/1\0"
INITIAL = b"p2pverify/tabular/initial/1\0"
_HEAD_BYTES = len(MAGIC) + 4
WEIGHTS_MAX = max((FEATURES_MAX + 1) * LABELS_MAX, (FEATURES_MAX + 1 + LABELS_MAX) * HIDDEN_MAX + LABELS_MAX)
MODEL_BYTES_MAX = _HEAD_BYTES + SCHEMA_BYTES_MAX + 2 + 4 * WEIGHTS_MAX


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a data set: features (rows, features), and the number of each row's label (rows,)."""

    features: NDArray[np.int16]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, index: NDArray[np.integer] | slice) -> "Rows":
        """Some of the rows."""
        return Rows(self.features[index], self.labels[index])


@dataclass(frozen=True, eq=False)
class TabularModel:
    """Weights in Q16, flat and in order of the layers: all weights of the first input first. Never change the array."""

    schema: Schema
    hidden: int
    weights: Ints

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each layer. The constant input comes last."""
        return shapes_of(self.schema, self.hidden)

    def encode(self) -> bytes:
        """The canonical bytes, which are also the file of the model."""
        schema = self.schema.encode()
        head = MAGIC + len(schema).to_bytes(4, "big") + schema + self.hidden.to_bytes(2, "big")
        return head + self.weights_bytes()

    def weights_bytes(self) -> bytes:
        """The weights alone, as big-endian integers of 32 bits."""
        return self.weights.astype(">i4").tobytes()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 (32 B) of the canonical bytes: the name of the weights everywhere."""
        return sha256(self.encode())

    def moved(self, update: Ints) -> "TabularModel":
        """The model with an update added to its weights, cut at ±WEIGHT_MAX."""
        return replace(self, weights=np.clip(self.weights + update, -WEIGHT_MAX, WEIGHT_MAX))

    def layers(self) -> list[Ints]:
        """The weights of each layer (inputs, outputs)."""
        found, at = [], 0
        for inputs, outputs in self.shapes:
            found.append(self.weights[at : at + inputs * outputs].reshape(inputs, outputs))
            at += inputs * outputs
        return found

    def forward(self, features: NDArray[np.int16]) -> tuple[list[Ints], Ints]:
        """The inputs of each layer in Q12 (rows, inputs), with the constant, and the logits in Q12 (rows, labels)."""
        inputs = [_with_constant(features.astype(np.int64))]
        layers = self.layers()
        for layer in layers[:-1]:
            inputs.append(_with_constant(np.clip(_outputs(inputs[-1], layer), 0, ACTIVATION_MAX)))
        return inputs, _outputs(inputs[-1], layers[-1])

    def losses(self, rows: Rows) -> Ints:
        """The cross entropy of each row (rows,), in micronats."""
        shares = softmax(self.forward(rows.features)[1])
        return LOSS_TABLE[shares[np.arange(len(rows)), rows.labels]]


def _outputs(inputs: Ints, layer: Ints) -> Ints:
    return (matmul(inputs, layer, term_max=ACTIVATION_MAX * WEIGHT_MAX) + ONE_Q16 // 2) >> 16


def _with_constant(inputs: Ints) -> Ints:
    return np.concatenate([inputs, np.full((len(inputs), 1), ONE_Q12, np.int64)], axis=1)


def shapes_of(schema: Schema, hidden: int) -> tuple[tuple[int, int], ...]:
    """Inputs and outputs of each layer of a model with so many hidden units."""
    inputs, labels = len(schema.features) + 1, len(schema.labels)
    return ((inputs, hidden), (hidden + 1, labels)) if hidden else ((inputs, labels),)


def weight_count(schema: Schema, hidden: int) -> int:
    """The number of weights of a model with so many hidden units."""
    return sum(inputs * outputs for inputs, outputs in shapes_of(schema, hidden))


def initial(schema: Schema, hidden: int = 0) -> TabularModel:
    """The model with which a line begins: all weights 0; with hidden units drawn from the schema's digest.

    Drawn weights are even between ±1 / sqrt(features), so that hidden units differ from each other.
    """
    if not 0 <= hidden <= HIDDEN_MAX:
        raise ValueError(f"a model has 0 to {HIDDEN_MAX} hidden units")
    count = weight_count(schema, hidden)
    if not hidden:
        return TabularModel(schema, 0, np.zeros(count, np.int64))
    drawn = [(word >> 40) - 2**23 for word in drawn_words(INITIAL, schema.id, hidden, count)]
    spread = isqrt(ONE_Q16**2 // len(schema.features))
    return TabularModel(schema, hidden, np.array([number * spread // 2**23 for number in drawn], np.int64))


def decode_model(data: bytes) -> TabularModel:
    """Read a model from its canonical bytes. Raises DecodeError."""
    if len(data) > MODEL_BYTES_MAX:
        raise DecodeError("a model: too long")
    if not data.startswith(MAGIC):
        raise DecodeError("not a tabular model")
    end = _HEAD_BYTES + int.from_bytes(data[len(MAGIC) : _HEAD_BYTES], "big")
    if len(data) < max(end, _HEAD_BYTES) + 2:
        raise DecodeError("a model: truncated")
    schema = decode_schema(data[_HEAD_BYTES:end])
    hidden = int.from_bytes(data[end : end + 2], "big")
    if hidden > HIDDEN_MAX:
        raise DecodeError(f"a model has at most {HIDDEN_MAX} hidden units")
    if len(data) != end + 2 + 4 * weight_count(schema, hidden):
        raise DecodeError("a model: not as many weights as its shape has")
    weights = np.frombuffer(data, ">i4", offset=end + 2).astype(np.int64)
    if np.abs(weights).max() > WEIGHT_MAX:
        raise DecodeError(f"a weight is beyond {WEIGHT_MAX}")
    return TabularModel(schema, hidden, weights)


def decode_rows(schema: Schema, rows: Sequence[bytes]) -> Rows:
    """Read the canonical bytes of rows. Raises DecodeError if one is no row of the schema."""
    if any(len(row) != schema.row_bytes for row in rows):
        raise DecodeError(f"row: not {schema.row_bytes} bytes")
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), schema.row_bytes)
    features = np.ascontiguousarray(data[:, :-1]).view(">i2").astype(np.int16).reshape(len(rows), len(schema.features))
    labels = data[:, -1].copy()
    if (features < -CELL_MAX).any():
        raise DecodeError("row: a number is too small")
    if (labels >= len(schema.labels)).any():
        raise DecodeError("row: no such label")
    return Rows(features, labels)
