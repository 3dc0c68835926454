"""A part of the machine: a role that acts by itself whenever something has happened, or its time has come."""

from p2pverify.core.events import Effects


class Part:
    """What the machine calls of each role. A role overrides what it needs."""

    def resume(self) -> None:
        """Find what the own log says of this role, after the silence of a start."""

    def tick(self, now_ms: int) -> Effects[None]:  # noqa: ARG002  # for the roles that override it
        """Do what is due."""
        yield from ()

    def next_wake_ms(self, now_ms: int) -> int | None:  # noqa: ARG002  # for the roles that override it
        """The time of the next tick if nothing happens before it, or None."""
        return None
