"""Errors that say whose fault it was.

`RemoteProtocolError` is a stranger's fault, `LocalProtocolError` is ours. Gossip judgements are exceptions
because a rule ends at its first failed check; an audit's outcome, by contrast, is data.
"""


class ProtocolError(Exception):
    """Base of both sides' faults; never raised itself."""

    def __init__(self, reason: str) -> None:
        if type(self) is ProtocolError:
            raise TypeError("raise LocalProtocolError or RemoteProtocolError")
        super().__init__(reason)
        self.reason = reason


class LocalProtocolError(ProtocolError):
    """We were about to do something that the protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """A stranger did something that the protocol forbids."""


class DecodeError(RemoteProtocolError):
    """Bytes that are not the canonical form of what they should be."""


class GossipIgnore(RemoteProtocolError):
    """The record is not taken and its forwarder is not blamed."""


class GossipReject(RemoteProtocolError):
    """The record is wrong whatever the context, and its forwarder should have known."""
