"""Joining and leaving the network: the records that a peer writes once about itself, and its leave.

A leave is final: a peer that left joins again only if its operator says so, not because it was started again. If a
leave cannot be signed yet, it waits.
"""

from collections.abc import Mapping

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.membership import Join
from p2pverify.core.roles.context import Context


class Membership:
    """This peer's own membership. `hardware` is its claim; with `rejoin` it joins again after a leave in its log."""

    def __init__(self, context: Context, manifest: Manifest, hardware: str, *, rejoin: bool) -> None:
        self._context = context
        self._manifest = manifest
        self._hardware = hardware
        self._rejoin = rejoin
        self._said: set[int] = set()
        self._is_joined = False

    def resume(self) -> None:
        """Find the earlier records of these kinds in the own log."""
        kinds = [record.kind for record in self._context.ledger.chain(self._context.key)]
        self._said = set(kinds)
        last = [kind for kind in kinds if kind in (Kind.JOIN, Kind.LEAVE)][-1:]
        self._is_joined = last == [Kind.JOIN]
        if last == [Kind.LEAVE]:
            self._said.discard(Kind.JOIN)
            self._context.is_leaving |= not self._rejoin

    def tick(self, now_ms: int) -> None:
        """Founders publish the contract and the model's manifest. Every peer joins, and leaves if it is told to."""
        context = self._context
        if context.is_leaving:
            if self._is_joined:
                self._is_joined = False
                context.write(Kind.LEAVE, encode([]), now_ms)
            return
        join = Join(context.class_index, context.vrf_key, self._hardware)
        payloads: Mapping[Kind, bytes] = {Kind.JOIN: join.encode()}
        if context.key in context.network.founders:
            payloads = {
                Kind.NETWORK: context.network.encode(),
                Kind.MANIFEST: self._manifest.encode(),
                **payloads,
            }
        for kind, payload in payloads.items():
            if kind not in self._said:
                self._said.add(kind)
                self._is_joined |= kind == Kind.JOIN
                context.write(kind, payload, now_ms)
