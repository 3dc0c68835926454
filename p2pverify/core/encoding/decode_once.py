"""Remembering what was decoded: judgement reads a payload, and the fold reads it again soon after.

Bounded in number and in bytes, since strangers choose what is decoded: only small payloads are remembered, which
nearly all are.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

REMEMBERED_BYTES_MAX = 4096

P = ParamSpec("P")
T = TypeVar("T")
_forgetters: list[Callable[[], None]] = []


def remembered(count: int) -> Callable[[Callable[Concatenate[bytes, P], T]], Callable[Concatenate[bytes, P], T]]:
    """Let a decoder remember its last `count` results. They must never be changed; errors are not remembered."""

    def decorate(decoder: Callable[Concatenate[bytes, P], T]) -> Callable[Concatenate[bytes, P], T]:
        known = lru_cache(maxsize=count)(decoder)
        _forgetters.append(known.cache_clear)

        @wraps(decoder)
        def decode(payload: bytes, /, *args: P.args, **kwargs: P.kwargs) -> T:
            read = known if len(payload) <= REMEMBERED_BYTES_MAX else decoder
            return read(payload, *args, **kwargs)  # type: ignore[arg-type]

        return decode

    return decorate


def forget() -> None:
    """Forget everything; for measurements."""
    for forgetter in _forgetters:
        forgetter()
