"""The windows of a client: which of its next requests is a full check.

A client's requests are split into windows. In each window one request is a full check: several peers answer it, and
their answers are compared. Its place follows from a secret that is drawn when the window begins, so no peer can know
it before. A full check compares nothing if the panel is one peer; then there are no windows. `plan` has the formulas of
cost and chance. Protocol page: protocol/plan.md.
"""

from dataclasses import dataclass

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """One request in `every` is answered by a `panel` of peers, at least 1 each. A panel of 1 is no check."""

    panel: int
    every: int


#: What a node does unless it is told otherwise: one peer answers.
NO_CHECKS = CheckPolicy(panel=1, every=10)


class CheckWindow:
    """The next `every` requests. `secret` (32 random bytes) fixes the place of the one that is a full check."""

    __slots__ = ("_left", "_until_check")

    def __init__(self, every: int, secret: bytes) -> None:
        self._left = every
        self._until_check = place_of(secret, every)

    @property
    def is_over(self) -> bool:
        """Whether all requests of this window were taken."""
        return self._left == 0

    def take(self) -> bool:
        """Take the next request. Says whether it is the full check. Call it only before the window is over."""
        assert self._left > 0
        is_check = self._until_check == 0
        self._until_check -= 1
        self._left -= 1
        return is_check


def place_of(secret: bytes, every: int) -> int:
    """The place of the check in a window, from 0 to `every` - 1. All places are equally likely, up to 2^-200."""
    return int.from_bytes(secret, "big") % every
