"""What serving and fetching states need from the network."""

from typing import Protocol

from p2pverify.core.snapshot.messages import StateRequest


class StatePort(Protocol):
    """Asks other peers for states."""

    async def fetch_state(self, peer: bytes, request: StateRequest) -> bytes:
        """The body of an answer on /p2pverify/state/1, as the peer sends it.

        Raises AskError: unknown, not-served, beyond, busy, unconfirmed, or as `AskingPort.ask` does. The caller sets
        the deadline; cancelling is safe.
        """
        ...


class StateSource(Protocol):
    """The node's side of serving states."""

    async def answer(self, request: StateRequest) -> bytes:
        """The body of an answer. Raises BlobRefused."""
        ...
