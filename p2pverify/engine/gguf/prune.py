"""Makes another model from a GGUF file, for the testnet's cheats: some layers are left out or reordered.

Layers are renumbered and the block count is adjusted. Nothing else changes, so the result loads like any model.
"""

import mmap
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.reader import FileHead, Tensor, read_head
from p2pverify.engine.gguf.writer import NewTensor, read_tensor, write_gguf

LAYER = re.compile(r"blk\.(\d+)\.(.+)")


def prune(source: Path, target: Path, layers: Collection[int]) -> None:
    """Write `source` without the given layers to `target`. The target appears complete or not at all.

    Raises WeightsError if the source is not a GGUF file, lacks one of the layers, or would have none left.
    """
    head = read_head(source)
    count = layer_count(head)
    if not set(layers) < set(range(count)):
        raise WeightsError(f"cannot leave out layers {sorted(layers)} of a model with {count}")
    _write(source, target, head, [layer for layer in range(count) if layer not in set(layers)])


def reverse(source: Path, target: Path, layers: range) -> None:
    """Write `source` to `target` with the range `layers` in reverse order: the same tensors, but another model.

    Raises WeightsError if the source is not a GGUF file or lacks one of the layers.
    """
    head = read_head(source)
    count = layer_count(head)
    if not 0 <= layers.start < layers.stop <= count:
        raise WeightsError(f"cannot reverse layers {layers.start} to {layers.stop - 1} of a model with {count}")
    order = [*range(layers.start), *reversed(layers), *range(layers.stop, count)]
    _write(source, target, head, order)


def layer_count(head: FileHead) -> int:
    """The number of layers of a model. Raises WeightsError if its metadata does not say it."""
    return head.number(_count_key(head))


def _count_key(head: FileHead) -> str:
    return f"{head.text('general.architecture', 'llama')}.block_count"


def _write(source: Path, target: Path, head: FileHead, order: Sequence[int]) -> None:
    """Write the model that has the layers `order` of `source`, in this order."""
    number_of = {layer: number for number, layer in enumerate(order)}
    kept = [(tensor, name) for tensor in head.tensors if (name := _renamed(tensor, number_of)) is not None]
    places = [NewTensor(name, tensor.dimensions, tensor.kind, tensor.size) for tensor, name in kept]
    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            contents = (read_tensor(data, head, tensor) for tensor, _ in kept)
            write_gguf(target, head, places, contents, {_count_key(head): len(order)})
    except OSError as error:
        raise WeightsError(f"cannot read {source}: {error}") from None


def _renamed(tensor: Tensor, number_of: dict[int, int]) -> str | None:
    """The tensor's name in the new model, or None if its layer is left out."""
    found = LAYER.fullmatch(tensor.name)
    if found is None:
        return tensor.name
    number = number_of.get(int(found[1]))
    return None if number is None else f"blk.{number}.{found[2]}"
