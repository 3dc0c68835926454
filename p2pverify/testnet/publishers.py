"""The publishers of a testnet's model: keys that follow from the seed of the run, and what they sign."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.history.release import Release
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.signatures import Signatures, sign_statement

COUNT, THRESHOLD = 3, 2


class TestPublishers:
    """Three keys, two of which sign. `domain` tells the runs of one kind from those of another."""

    __test__ = False  # its name begins like that of a test

    def __init__(self, domain: str, seed: int) -> None:
        self._seeds = [sha256(f"{domain}/publisher/{seed}/{number}".encode()).digest() for number in range(COUNT)]

    def line(self, name: str, genesis: bytes, epochs: tuple[int, int, int]) -> ModelLine:
        """The line of a model. `genesis` is the digest of its manifest (32 B).

        `epochs` are notice, overlap, and the time after a recall.
        """
        keys = tuple(sorted(map(public_key, self._seeds)))
        return ModelLine(name, genesis, Publishers(keys, THRESHOLD), *epochs)

    def release(self, network: Network, made: Release, signers: Sequence[int] = range(THRESHOLD)) -> bytes:
        """The payload of a release. `signers` are the places of those who sign."""
        return SignedRelease(made, self._signed(made.statement(network.id), signers)).encode()

    def recall(self, network: Network, number: int) -> bytes:
        """The payload of a recall of a version, back to the one before."""
        made = Recall(0, number, Reason.DEFECTIVE, number - 1)
        return replace(made, signatures=self._signed(made.statement(network.id), range(THRESHOLD))).encode()

    def _signed(self, statement: bytes, signers: Sequence[int]) -> Signatures:
        return sign_statement(statement, [self._seeds[place] for place in signers])
