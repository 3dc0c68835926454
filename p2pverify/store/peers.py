"""The address book in the node's database."""

import logging
from collections.abc import Sequence

from p2pverify.node.endpoints.shelf import KeptPeer
from p2pverify.store.errors import StoreError
from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutPeers

log = logging.getLogger(__name__)


class StoredPeers:
    """The shelf of one node's address book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Sequence[KeptPeer]:
        """See the port. Without them the node finds its peers by its bootstrap addresses, so no error is raised."""
        try:
            return self._store.load_peers()
        except StoreError as error:
            log.warning("the addresses of peers cannot be read: %s", error.reason)
            return ()

    async def save(self, rows: Sequence[KeptPeer]) -> bool:
        """See the port. The journal reports a failed disk; an address book is not worth another report."""
        try:
            await self._store.append([PutPeers(tuple(rows))])
        except StoreError as error:
            log.debug("the addresses of peers were not written: %s", error.reason)
            return False
        return True
