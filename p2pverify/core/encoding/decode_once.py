"""A cache of decoded payloads, because the fold reads a payload again soon after judgement has read it.

It is bounded in entries and in bytes, because non-members choose what is decoded. Only small payloads are cached;
nearly all payloads are small.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

REMEMBERED_BYTES_MAX = 4096

P = ParamSpec("P")
T = TypeVar("T")
_forgetters: list[Callable[[], None]] = []


def remembered(count: int) -> Callable[[Callable[Concatenate[bytes, P], T]], Callable[Concatenate[bytes, P], T]]:
    """Cache the last `count` results of a decoder. Nobody may change a result; errors are not cached."""

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
    """Empty all caches; for measurements."""
    for forgetter in _forgetters:
        forgetter()
