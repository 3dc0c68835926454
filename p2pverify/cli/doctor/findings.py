"""What a check finds: a state, a sentence, and what to do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.node.user_error import explain


class Health(StrEnum):
    """How a finding looks. A fault keeps the node from its work; a warning does not yet."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """The result of one check; `todo` says what to do about a warning or a fault, or how not to skip the check."""

    check: str
    health: Health
    text: str
    todo: str = ""


SEE_MORE = "'p2pverify join' shows more"

Check = Callable[[], Iterable[HealthFinding]]


def ok(check: str, text: str) -> HealthFinding:
    return HealthFinding(check, Health.OK, text)


def warning(check: str, text: str, todo: str) -> HealthFinding:
    return HealthFinding(check, Health.WARNING, text, todo)


def fault(check: str, text: str, todo: str) -> HealthFinding:
    return HealthFinding(check, Health.FAULT, text, todo)


def skipped(check: str, text: str, todo: str = "") -> HealthFinding:
    return HealthFinding(check, Health.SKIPPED, text, todo)


def run(check: str, look: Check) -> Iterator[HealthFinding]:
    """The findings of a check. An error that is meant for people is a fault."""
    try:
        yield from look()
    except Exception as error:
        found = explain(error)
        if found is None:
            raise
        yield fault(check, found.reason, found.hint or SEE_MORE)
