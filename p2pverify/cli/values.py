"""Reads JSON values of unknown shape: an unexpected value becomes an empty one, never an error."""

from collections.abc import Mapping


def mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def documents(value: object) -> list[dict[str, object]]:
    return [item for item in items(value) if isinstance(item, dict)]


def number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def kind(audit: Mapping[str, object]) -> str:
    """Which peers an audit asked."""
    return "across" if audit.get("across") is True else "in class"
