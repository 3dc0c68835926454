"""Rotary position embedding: pairs of a head's entries are turned by angles that grow with the position."""

import numpy as np

from p2pverify.engine.exact.blocks import Floats
from p2pverify.engine.portable import rotations


class Rope:
    """The turns of the positions of a context.

    With `apart`, entry i is turned with entry i + head_width / 2, as in the files of qwen and gemma; without it, with
    its neighbour, as in those of llama. `slower` (head_width / 2,) divides the angles of the pairs.
    """

    def __init__(self, base: float, head_width: int, positions: int, *, apart: bool, slower: Floats) -> None:
        self._cos, self._sin = rotations(base, head_width // 2, positions, slower)
        self._half = head_width // 2
        self._apart = apart

    def turn(self, x: Floats, start: int) -> Floats:
        """Rows of heads (rows, heads, head_width); the first row has position `start`."""
        cos, sin = self._cos[start : start + len(x), None], self._sin[start : start + len(x), None]
        turned = np.empty_like(x)
        if self._apart:
            first, second = slice(None, self._half), slice(self._half, None)
        else:
            first, second = slice(0, None, 2), slice(1, None, 2)
        turned[..., first] = x[..., first] * cos - x[..., second] * sin
        turned[..., second] = x[..., first] * sin + x[..., second] * cos
        return turned
