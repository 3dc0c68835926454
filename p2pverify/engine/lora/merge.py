"""The file that is served after a round: the file of version 0 with the adapter added to its matrices.

It follows from the two, to the byte and on every machine. A matrix without change keeps its bytes. Otherwise its
numbers are those of the file as doubles plus the change, each rounded once, then written as Q8_0: with it llama.cpp
evaluates as many tokens at once as with the Q4 formats, without changing a bit (`llama/steady`). Numbers in half
precision would cost that.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.formats import FORMATS, Rows, numbers
from p2pverify.engine.gguf.reader import Tensor, read_head
from p2pverify.engine.gguf.writer import NewTensor, read_tensor, write_gguf
from p2pverify.engine.lora.adapter import ONE_Q24, SCALE, Adapter
from p2pverify.engine.tabular.numbers import Ints

FORM = FORMATS["q8_0"]


def merge_adapter(source: Path, adapter: Adapter, target: Path) -> None:
    """Write the merge of a file, whose digest the caller has checked, to `target`; it appears whole or not at all.

    Raises WeightsError if the file cannot be read or written, or is not one of the adapter's shape.
    """
    head = read_head(source)
    changed = {name: (a, b) for name, a, b in adapter.matrices() if b.any()}
    if unknown := changed.keys() - {tensor.name for tensor in head.tensors}:
        raise WeightsError(f"the file has no tensor {min(unknown)}")
    places = [
        FORM.place(tensor.name, tensor.dimensions)
        if tensor.name in changed
        else NewTensor(tensor.name, tensor.dimensions, tensor.kind, tensor.size)
        for tensor in head.tensors
    ]

    def contents(data: mmap.mmap) -> Iterator[bytes]:
        for tensor in head.tensors:
            raw = read_tensor(data, head, tensor)
            found = changed.get(tensor.name)
            yield raw if found is None else FORM.bytes_of(tensor.name, _sum(raw, tensor, adapter.change(*found)))

    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            write_gguf(target, head, places, contents(data), {})
    except OSError as error:
        raise WeightsError(f"cannot read {source}: {error}") from None


def _sum(raw: bytes, tensor: Tensor, change: Ints) -> Rows:
    """The numbers of a tensor plus a change in Q48, times SCALE."""
    base = numbers(raw, tensor.name, tensor.kind, tensor.dimensions)
    if base.shape != change.shape:
        raise WeightsError(f"{tensor.name} has another size than its adapter")
    found: Rows = (base.astype(np.float64) + change.astype(np.float64) * (SCALE / ONE_Q24**2)).astype(np.float32)
    return found
