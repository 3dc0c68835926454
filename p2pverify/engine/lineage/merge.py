"""The merge of models of one shape: each number is a sum of the parents' numbers with rational weights.

The sums are integers, so their order does not matter. `protocol/lineage.md` defines the rounding.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.recipe import Merge
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.formats import FORMATS, Format, Rows, numbers
from p2pverify.engine.gguf.quantise import FILE_TYPE, has_rows
from p2pverify.engine.gguf.reader import FileHead, Tensor, read_head
from p2pverify.engine.gguf.weights import Progress
from p2pverify.engine.gguf.writer import read_tensor, write_gguf

#: Numbers are multiples of 2^-36 below 2^11. With numerators of 2^14 together, sums stay below 2^61.
SHIFT = 36
NUMBER_LIMIT = 2.0**11
#: Entries that may differ between the parents. The merge has those of the first one.
MAY_DIFFER = ("general.", "quantize.", "tokenizer.chat_template")
_PIECE = 1 << 22  # numbers at a time, so that eight parents fit the memory


@dataclass(frozen=True, slots=True)
class _Parent:
    data: mmap.mmap
    head: FileHead
    tensors: Mapping[str, Tensor]
    numerator: int


def merge(recipe: Merge, files: Mapping[bytes, Path], target: Path, progress: Progress | None = None) -> None:
    """Write the merge of the parents to `target`, which appears complete or not at all.

    `files` are the parents' files by their SHA-256 (32 B), which the caller has checked. Raises WeightsError if one is
    missing or not of the shape of the others, or if a number is too large.
    """
    form, vector = FORMATS[recipe.format], FORMATS["f32"]
    with ExitStack() as stack:
        parents = [_open(stack, files, weights, numerator) for weights, numerator in recipe.parts]
        head = parents[0].head
        for parent in parents[1:]:
            _check_shape(head, parent.head)
        forms = [form if has_rows(tensor) else vector for tensor in head.tensors]
        places = [one.place(tensor.name, tensor.dimensions) for one, tensor in zip(forms, head.tensors, strict=True)]
        contents = _contents(parents, recipe.denominator, forms, progress)
        write_gguf(target, head, places, contents, {FILE_TYPE: form.file_type})


def _open(stack: ExitStack, files: Mapping[bytes, Path], weights: bytes, numerator: int) -> _Parent:
    path = files.get(weights)
    if path is None:
        raise WeightsError(f"the recipe merges a file of SHA-256 {weights.hex()}, which is not one of the parents")
    head = read_head(path)
    try:
        file = stack.enter_context(path.open("rb"))
        data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error}") from None
    return _Parent(data, head, {tensor.name: tensor for tensor in head.tensors}, numerator)


def _check_shape(first: FileHead, other: FileHead) -> None:
    shapes = [{tensor.name: tensor.dimensions for tensor in head.tensors} for head in (first, other)]
    if shapes[0] != shapes[1]:
        raise WeightsError("the parents' tensors have other names or dimensions")
    if _entries(first) != _entries(other):
        raise WeightsError("the parents' metadata differ in more than their descriptions")


def _entries(head: FileHead) -> dict[str, bytes]:
    return {
        key: sha256(head.data[entry.start : entry.end]).digest()
        for key, entry in head.entries.items()
        if not key.startswith(MAY_DIFFER)
    }


def _contents(
    parents: Sequence[_Parent], denominator: int, forms: Sequence[Format], progress: Progress | None
) -> Iterator[bytes]:
    tensors = parents[0].head.tensors
    for number, (tensor, form) in enumerate(zip(tensors, forms, strict=True)):
        if progress is not None:
            progress("merging tensors", number, len(tensors))
        read = [(_rows(parent, tensor.name), parent.numerator) for parent in parents]
        step = max(1, _PIECE // tensor.dimensions[0])
        yield b"".join(
            form.bytes_of(tensor.name, merged([(rows[at : at + step], n) for rows, n in read], denominator))
            for at in range(0, len(read[0][0]), step)
        )


def _rows(parent: _Parent, name: str) -> Rows:
    tensor = parent.tensors[name]
    found = numbers(read_tensor(parent.data, parent.head, tensor), name, tensor.kind, tensor.dimensions)
    if not (np.abs(found) < NUMBER_LIMIT).all():
        raise WeightsError(f"{name} has a number that a merge cannot take: not finite, or {NUMBER_LIMIT:.0f} and more")
    return found


def merged(parts: Sequence[tuple[Rows, int]], denominator: int) -> Rows:
    """The sum of the parts' numbers times their numerators, over the denominator.

    Each number, below NUMBER_LIMIT, is rounded to a multiple of 2^-SHIFT. The quotient of the sum is rounded to a
    multiple of it, too, and then to a 32-bit float. All three round to the nearest, and halves to even.
    """
    total: NDArray[np.int64] = np.zeros(parts[0][0].shape, np.int64)
    for rows, numerator in parts:
        total += np.rint(rows.astype(np.float64) * 2.0**SHIFT).astype(np.int64) * numerator
    quotient = total // denominator
    twice = 2 * (total - quotient * denominator)
    quotient += (twice > denominator) | ((twice == denominator) & (quotient % 2 == 1))
    return quotient.astype(np.float32) * np.float32(2.0**-SHIFT)
