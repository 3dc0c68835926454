"""Lines: models that have later versions, and who may release them.

A line begins with a manifest of the network. Its publishers release later versions. The epochs of a line say when a
version starts, and how long the one before it is served beside it. Protocol page: protocol/line.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.history.training import TrainingRule, read_training
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted
from p2pverify.core.errors import DecodeError

LINES_MAX = 8
PUBLISHERS_MAX = 8
LINE_EPOCHS_MAX = 2**20
_ITEMS = 6  # of a line without a training rule


@dataclass(frozen=True, slots=True)
class Publishers:
    """The keys (32 B each, sorted) that release versions; `threshold` of them sign each statement."""

    keys: tuple[bytes, ...]
    threshold: int

    def to_value(self) -> list[object]:
        return [list(self.keys), self.threshold]


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One line, in wire order. `genesis` is the digest of the manifest of version 0.

    Without a training rule, a line has no item for it.
    """

    name: str
    genesis: bytes
    publishers: Publishers
    notice_epochs: int  # from the cut that holds a release until its version is current
    overlap_epochs: int  # for how long the version before is served beside it
    recall_epochs: int  # how long the peers that serve a recalled version have to leave it
    training: TrainingRule | None = None

    def to_value(self) -> list[object]:
        epochs = [self.notice_epochs, self.overlap_epochs, self.recall_epochs]
        training = [] if self.training is None else [self.training.to_value()]
        return [self.name, self.genesis, self.publishers.to_value(), *epochs, *training]


def lines_value(lines: Sequence[ModelLine]) -> list[object]:
    """Lines in wire form."""
    return [line.to_value() for line in lines]


def read_lines(value: Value, manifests: Sequence[bytes]) -> tuple[ModelLine, ...]:
    """The lines of a network that lists these manifests (32 B each). Raises DecodeError."""
    found = tuple(map(_line, as_array(value, "lines", length_max=LINES_MAX)))
    if not found:
        raise DecodeError("a definition without lines has no item for them")
    check_sorted([line.genesis for line in found], "lines")
    if len({line.name for line in found}) != len(found):
        raise DecodeError("line names repeat")
    if any(line.genesis not in manifests for line in found):
        raise DecodeError("a line begins with a manifest that the network does not list")
    return found


def read_publishers(value: Value) -> Publishers:
    """Keys and threshold. Raises DecodeError."""
    listed, threshold = as_array(value, "publishers", length=2)
    items = as_array(listed, "publisher keys", length_max=PUBLISHERS_MAX)
    keys = tuple(as_bytes(item, "publisher key", size=32) for item in items)
    check_sorted(keys, "publisher keys")
    found = Publishers(keys, as_uint(threshold, "threshold", PUBLISHERS_MAX))
    if not 1 <= found.threshold <= len(keys):
        raise DecodeError("the threshold does not fit the publisher keys")
    return found


def _line(value: Value) -> ModelLine:
    items = as_array(value, "line", length_max=_ITEMS + 1)
    if len(items) < _ITEMS:
        raise DecodeError(f"line: not {_ITEMS} items")
    name, genesis, publishers, notice, overlap, recall, *training = items
    found = ModelLine(
        as_text(name, "line name", 64),
        as_bytes(genesis, "line genesis", size=32),
        read_publishers(publishers),
        as_uint(notice, "notice_epochs", LINE_EPOCHS_MAX),
        as_uint(overlap, "overlap_epochs", LINE_EPOCHS_MAX),
        as_uint(recall, "recall_epochs", LINE_EPOCHS_MAX),
        read_training(training[0]) if training else None,
    )
    if not found.name or "@" in found.name:
        raise DecodeError("a line name is not empty, and has no @")
    if 0 in (found.notice_epochs, found.overlap_epochs):
        raise DecodeError("notice and overlap take an epoch at least")
    return found
