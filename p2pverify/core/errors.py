"""Errors that say whose fault it was.

`RemoteProtocolError` is another peer's fault, `LocalProtocolError` is ours. Gossip judgements are exceptions
because a rule ends at its first failed check; an audit's outcome, by contrast, is data. `GossipVerdict` is what
follows for a whole message.
"""

from enum import StrEnum


class ProtocolError(Exception):
    """Base class of both sides' faults; it is never raised itself."""

    def __init__(self, reason: str) -> None:
        if type(self) is ProtocolError:
            raise TypeError("raise LocalProtocolError or RemoteProtocolError")
        super().__init__(reason)
        self.reason = reason


class LocalProtocolError(ProtocolError):
    """We were about to do something that the protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """Another peer did something that the protocol forbids."""


class DecodeError(RemoteProtocolError):
    """The bytes are not the canonical form of the expected value."""


class GossipIgnore(RemoteProtocolError):
    """The record is not taken, and its forwarder is not blamed."""


class GossipReject(RemoteProtocolError):
    """The record is wrong in every context, so its forwarder is to blame."""


class GossipVerdict(StrEnum):
    """What becomes of a gossip message: a neighbour passes on what it accepts, and blames the sender of what it
    rejects.
    """

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"
