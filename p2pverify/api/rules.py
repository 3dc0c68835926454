"""What each path of the API takes, for the middleware: parameters of the query, and bytes of a body."""

from collections.abc import Mapping
from dataclasses import dataclass

BODY_BYTES_MAX = 4096
NO_PARAMETERS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One path. `is_openai` says that its errors have OpenAI's shape."""

    query: frozenset[str] = NO_PARAMETERS
    body_bytes_max: int = BODY_BYTES_MAX
    is_openai: bool = False


RouteRules = Mapping[str, RouteRule]
"""Rules by path. A part of a path in braces, such as {id}, stands for any text without a slash."""


def route_of(rules: RouteRules, path: str) -> str | None:
    """The key of the rule for a path, None if there is none."""
    if path in rules:
        return path
    parts = path.split("/")
    for route in rules:
        if "{" in route:
            named = route.split("/")
            if len(named) == len(parts) and all(
                n == p or (n[:1] == "{" and p) for n, p in zip(named, parts, strict=True)
            ):
                return route
    return None
