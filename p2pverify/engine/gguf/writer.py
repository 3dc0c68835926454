"""Writes a GGUF file with the metadata of another one, for models that are made from the promised model.

The callers decide which tensors are pruned, moved or requantised. This module lays the tensors out and writes the head.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.reader import MAGIC, VERSION, FileHead, Tensor


@dataclass(frozen=True, slots=True)
class NewTensor:
    """A tensor of the new file: its name, dimensions (fastest first), ggml type and size in bytes."""

    name: str
    dimensions: tuple[int, ...]
    kind: int
    size: int


def read_tensor(data: mmap.mmap, head: FileHead, tensor: Tensor) -> bytes:
    """A tensor's bytes, with the padding that follows them."""
    start = head.data_start + tensor.offset
    return data[start : start + tensor.size]


def write_gguf(
    target: Path, head: FileHead, places: Sequence[NewTensor], contents: Iterable[bytes], numbers: Mapping[str, int]
) -> None:
    """Write a file with the entries of `head` and these tensors. `numbers` replaces 32-bit integers of the entries.

    `contents` are the tensors' bytes in the order of `places`. `target` appears complete or not at all. Raises
    WeightsError if it cannot be written or if a content does not have the size of its place.
    """
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as writer:
            front = _front(head, places, numbers)
            writer.write(front + b"\0" * (-len(front) % head.alignment))
            for place, content in zip(places, contents, strict=True):
                if len(content) != place.size:
                    raise WeightsError(f"tensor {place.name} has {len(content)} bytes and not {place.size}")
                writer.write(content + b"\0" * (-place.size % head.alignment))
        unfinished.replace(target)
    except OSError as error:
        raise WeightsError(f"cannot write {target}: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _front(head: FileHead, places: Sequence[NewTensor], numbers: Mapping[str, int]) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(places), len(head.entries))]
    for key, entry in head.entries.items():
        if key in numbers:
            parts += [head.data[entry.start : entry.value], struct.pack("<I", numbers[key])]
        else:
            parts.append(head.data[entry.start : entry.end])
    offset = 0
    for place in places:
        name, shape = place.name.encode(), place.dimensions
        parts += [struct.pack("<Q", len(name)), name, struct.pack(f"<I{len(shape)}Q", len(shape), *shape)]
        parts.append(struct.pack("<IQ", place.kind, offset))
        offset += place.size + -place.size % head.alignment
    return b"".join(parts)
