"""Makes a cheaper model out of a GGUF file by leaving out some of its layers, for the testnet's cheats.

What is left is renumbered and the block count adjusted; nothing else changes, so the result loads as any model.
"""

import os
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import MAGIC, VERSION, Head, Tensor, read_head

LAYER = re.compile(r"blk\.(\d+)\.(.+)")
COPY_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Move:
    """A tensor that stays: its old description, its new name and its new offset."""

    old: Tensor
    name: str
    offset: int


def prune(source: Path, target: Path, layers: Collection[int]) -> None:
    """Write `source` without the given layers to `target`, which appears complete or not at all.

    Raises WeightsError if the source is not a GGUF file, lacks one of the layers, or would have none left.
    """
    head = read_head(source)
    count_key = f"{head.text('general.architecture', 'llama')}.block_count"
    count = head.number(count_key)
    if not set(layers) < set(range(count)):
        raise WeightsError(f"cannot leave out layers {sorted(layers)} of a model with {count}")
    moves = _moves(head, layers)
    front = _front(head, count_key, count - len(set(layers)), moves)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with source.open("rb") as reader, unfinished.open("wb") as writer:
            writer.write(_padded(front, head.alignment))
            for move in moves:
                _copy(reader, writer, head.data_start + move.old.offset, move.old.size)
                writer.write(b"\0" * (-move.old.size % head.alignment))
        unfinished.replace(target)
    except OSError as error:
        raise WeightsError(f"cannot write {target}: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _moves(head: Head, layers: Collection[int]) -> list[Move]:
    moves: list[Move] = []
    offset = 0
    for tensor in head.tensors:
        name = tensor.name
        if found := LAYER.fullmatch(name):
            layer = int(found[1])
            if layer in layers:
                continue
            name = f"blk.{layer - sum(gone < layer for gone in set(layers))}.{found[2]}"
        moves.append(Move(tensor, name, offset))
        offset += tensor.size + -tensor.size % head.alignment
    return moves


def _front(head: Head, count_key: str, count: int, moves: list[Move]) -> bytes:
    """The new head: counts, the old entries with another block count, the tensors that stay."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(moves), len(head.entries))]
    for key, entry in head.entries.items():
        if key == count_key:
            parts += [head.data[entry.start : entry.value], struct.pack("<I", count)]
        else:
            parts.append(head.data[entry.start : entry.end])
    for move in moves:
        name = move.name.encode()
        shape = move.old.dimensions
        parts += [struct.pack("<Q", len(name)), name, struct.pack(f"<I{len(shape)}Q", len(shape), *shape)]
        parts.append(struct.pack("<IQ", move.old.kind, move.offset))
    return b"".join(parts)


def _padded(data: bytes, alignment: int) -> bytes:
    return data + b"\0" * (-len(data) % alignment)


def _copy(reader: BinaryIO, writer: BinaryIO, start: int, size: int) -> None:
    reader.seek(start)
    while size:
        chunk = reader.read(min(size, COPY_BYTES))
        if not chunk:
            raise WeightsError("the GGUF file became shorter while it was read")
        writer.write(chunk)
        size -= len(chunk)
