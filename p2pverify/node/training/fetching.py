"""Fetches the blobs of rounds from other members. Nothing is believed but the SHA-256 that a counted record names."""

from collections.abc import Sequence

import trio

from p2pverify.core.blobs.messages import PIECE_BYTES_MAX
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.canon import sha256 as digest_of
from p2pverify.core.machine import Machine
from p2pverify.node.ports import AskError, BlobPort
from p2pverify.node.training.blobs import RoundBlobs

#: The peers that are asked for one blob, beside its author.
OTHERS_MAX = 8
#: A peer has this part of the whole time for a piece.
_PIECE_PART = 4
_AGAIN_S = 0.1
_FALSE = ("malformed", "too-large")


class RoundFetcher:
    """Gets blobs from this machine or over a network."""

    def __init__(self, machine: Machine, port: BlobPort, blobs: RoundBlobs, counters: Counters) -> None:
        self._machine = machine
        self._port = port
        self._blobs = blobs
        self.counters = counters

    async def get(self, sha256: bytes, size: int, author: bytes | None, seconds: float) -> bytes | None:
        """A blob of `size` bytes; None if it could not be had in time.

        Its author is asked first, then other members in turn, and all of them again while time is left. A fetched blob
        is not kept: see `RoundBlobs.keep`. Raises UserError if the disk cannot be read.
        """
        here = await trio.to_thread.run_sync(self._blobs.get, sha256)
        if here is not None:
            return here
        peers = self._sources(sha256, author)
        with trio.move_on_after(seconds):
            while peers:
                for peer in list(peers):
                    data, is_false = await self._ask(peer, sha256, size, seconds / _PIECE_PART)
                    if data is not None and digest_of(data) == sha256:
                        self.counters.count("blobs_fetched")
                        return data
                    if data is not None or is_false:
                        self.counters.count("blobs_false")
                        peers.remove(peer)
                await trio.sleep(_AGAIN_S)
        self.counters.count("blobs_unseen")
        return None

    def _sources(self, sha256: bytes, author: bytes | None) -> list[bytes]:
        """The peers to ask. Those beside the author come in an order that is random to each blob and each node."""
        machine, state = self._machine, self._machine.fold.latest
        others = [
            peer
            for peer, member in state.members.items()
            if member.active and not member.is_convicted and peer not in (machine.key, author)
        ]
        others.sort(key=lambda peer: machine.context.secret("source", sha256, peer))
        first: Sequence[bytes] = () if author in (None, machine.key) else (author,)
        return [*first, *others[:OTHERS_MAX]]

    async def _ask(self, peer: bytes, sha256: bytes, size: int, seconds: float) -> tuple[bytes | None, bool]:
        """The bytes that one peer sends, None if it sends none; and whether what it sent was no answer at all."""
        data = b""
        try:
            for at in range(0, size, PIECE_BYTES_MAX):
                with trio.fail_after(seconds):
                    data += await self._port.fetch_blob(peer, sha256, at, min(PIECE_BYTES_MAX, size - at))
        except AskError as error:
            return None, error.reason in _FALSE
        except trio.TooSlowError:
            return None, False
        return data, False
