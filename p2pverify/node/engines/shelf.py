"""The engines of one node, by role and model: those with which it started, and those of later versions.

A version's engine is opened with its first job, and the least recently used one is closed when there are too many.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from p2pverify.core.events import REFEREE
from p2pverify.node.engines.referee import Referee
from p2pverify.node.engines.refusals import ModelUnavailable
from p2pverify.node.ports import Engine

#: Engines of later versions that stay open in each role.
VERSIONS_KEPT = 2
OpenVersion = Callable[[str, bytes], Engine]
"""Opens the engine of a role for a model, by the digest of its manifest (32 B). Blocks."""


@dataclass(slots=True, eq=False)
class _Opened:
    engine: Engine
    users: int = 0


class Shelf:
    """The engines that a worker's jobs use. `own` and `referee` are those of the model with the digest `model` (32 B).

    It closes only the engines that it opened by `open_version`.
    """

    def __init__(self, own: Engine, model: bytes, referee: Referee, open_version: OpenVersion | None) -> None:
        self._own = own
        self._model = model
        self._referee = referee
        self._open_version = open_version
        self._opened: dict[tuple[str, bytes], _Opened] = {}  # the least recently used first
        self._lock = threading.Lock()

    @contextmanager
    def use(self, role: str, model: bytes) -> Iterator[Engine]:
        """The engine of a role for a model, which stays open until the end. Blocks if it has to be opened.

        Raises RefereeUnavailable, ModelUnavailable, and what opening raises.
        """
        if model == self._model:
            yield self._referee.get() if role == REFEREE else self._own
            return
        with self._lock:
            opened = self._take(role, model)
            opened.users += 1
        try:
            yield opened.engine
        finally:
            with self._lock:
                opened.users -= 1
                self._close_unused(role)

    def close(self) -> None:
        """Close the engines of later versions. No job may run."""
        with self._lock:
            for opened in self._opened.values():
                opened.engine.close()
            self._opened.clear()

    def _take(self, role: str, model: bytes) -> _Opened:
        found = self._opened.pop((role, model), None)
        if found is None:
            if self._open_version is None:
                raise ModelUnavailable("this node does not have the weights of that version")
            found = _Opened(self._open_version(role, model))
        self._opened[role, model] = found
        return found

    def _close_unused(self, role: str) -> None:
        kept = [key for key in self._opened if key[0] == role]
        for key in kept[: max(0, len(kept) - VERSIONS_KEPT)]:
            if not self._opened[key].users:
                self._opened.pop(key).engine.close()
