"""Fetches a state for a home that begins with one, before its node starts.

A home begins with a state if its operator names a cut to trust, or if the newest record that it holds is older than
what peers keep. Otherwise it reads the ledger from other peers, from its beginning on. Page: protocol/state-sync.md.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import trio

from p2pverify.app import NodeSettings
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.horizon import horizon_cuts
from p2pverify.core.replica.silence import RECENT_EPOCHS
from p2pverify.core.snapshot.trust import TrustedCut
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.core.state.weights import weighted_peers
from p2pverify.net.border.host import DialError
from p2pverify.net.discovery.dnsaddr import DnsSeeds
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.node.clock import unix_ms
from p2pverify.node.endpoints.address import DNSADDR, Address, bootstrap_address
from p2pverify.node.snapshot.fetching import StateError, StateFetcher
from p2pverify.node.snapshot.joining import ContradictionError, FetchedState, JoinWish, Newcomer, nobody_agrees
from p2pverify.node.snapshot.kept import SnapshotHome
from p2pverify.store.reading import newest_epoch, stored_authors, stored_cuts
from p2pverify.store.sqlite import Store
from p2pverify.store.window.base import first_base
from p2pverify.store.writes import PutRecord

DIAL_S = 10.0
MEGABYTE = 10**6

log = logging.getLogger(__name__)


async def fetch_state(settings: NodeSettings) -> FetchedState | None:
    """Fetch a state if this home begins with one, and keep it there. None if it goes on with what it has.

    Raises StateError, ContradictionError, KeptError, HomeError.
    """
    with settings.home.lock():
        home = SnapshotHome(settings.home)
        wish = await trio.to_thread.run_sync(_wish, settings, home)
        if wish is None:
            return None
        try:
            found = await _visit(settings, home, wish)
        except StateError as error:
            if wish.cut is not None:
                raise
            log.warning("no state is fetched: %s; %s", error.reason, error.hint)
            return None
        if found is not None:
            await _keep(settings, home, found)
    if found is not None:
        _tell_age(found)
    return found


async def _keep(settings: NodeSettings, home: SnapshotHome, found: FetchedState) -> None:
    """Write a fetched base into the database, and why it is believed into the home. Raises StoreError, OSError."""
    await trio.to_thread.run_sync(home.keep_trust, found.trust)
    path, own = settings.home.database_path, public_key(settings.home.load_identity())
    opening = partial(Store.open, path, settings.network.id, own)
    store = await trio.to_thread.run_sync(opening)
    with closing(store):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            authors = await trio.to_thread.run_sync(stored_authors, path)
            named = [PutRecord(r.id, r.author, r.seq, r.kind, r.epoch, r.data, received=True) for r in found.named]
            await store.append([*named, first_base(found.base, authors, (record.id for record in found.named))])
            nursery.cancel_scope.cancel()
    await trio.to_thread.run_sync(home.end_download)


def _wish(settings: NodeSettings, home: SnapshotHome) -> JoinWish | None:
    """What this home trusts, if it begins with a state. Raises ContradictionError, KeptError, StoreError."""
    params, path = settings.network.params, settings.home.database_path
    base = stored_cuts(path)
    kept = home.trust() if base is not None else None  # else it was killed before the base was written
    is_new_cut = settings.trust is not None and (kept is None or kept.cut != settings.trust.hex())
    contradiction = home.contradiction()
    if contradiction is not None and not is_new_cut:
        raise ContradictionError(contradiction)
    home.settle_contradiction()
    if is_new_cut:
        return JoinWish(settings.trust, old=settings.trust_old)
    own = None if base is None else _own_cut(base)
    newest = max(0 if own is None else own.epoch, newest_epoch(path) or 0)
    if params.epoch_at(unix_ms()) - newest <= horizon_cuts(params):
        return None
    return JoinWish(own=own, old=settings.trust_old)


def _own_cut(base: Base) -> TrustedCut:
    """The cut at which this home would begin."""
    state = decode_state(base.states[-1]).state.named(base.newest)
    return TrustedCut(state.id, state.index, state.epoch, frozenset(weighted_peers(state)))


async def _visit(settings: NodeSettings, home: SnapshotHome, wish: JoinWish) -> FetchedState | None:
    failure: Exception
    visitor = Visitor(os.urandom(32), settings.network.id)
    async with trio.open_nursery() as nursery:
        await nursery.start(visitor.run)
        try:
            return await _fetch(settings, home, wish, visitor)
        except Exception as error:  # noqa: BLE001  # raised again without the nursery's group around it
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    raise failure


async def _fetch(settings: NodeSettings, home: SnapshotHome, wish: JoinWish, visitor: Visitor) -> FetchedState | None:
    _tell(settings, "asking first peers for their states", 0, 0)
    groups = await _meet(visitor, settings.bootstrap)
    if not groups:
        raise StateError("no first peer can be reached", "name others with --bootstrap")
    fetcher = StateFetcher(settings.network.id, visitor, home, Counters())
    progress = partial(_tell_parts, settings)
    newcomer = Newcomer(settings.network, home, fetcher, groups, unix_ms, progress)
    found = await newcomer.fetch(wish, visitor.known())
    if found is None:
        log.warning("%s", nobody_agrees(len(groups)))
    log.info("fetching a state: %s", ", ".join(f"{name} {count}" for name, count in sorted(fetcher.counters.items())))
    return found


async def _meet(visitor: Visitor, bootstrap: Sequence[str]) -> dict[bytes, str]:
    """Connect to all first peers. Returns the address group of each that answers."""
    groups: dict[bytes, str] = {}

    async def meet(address: Address) -> None:
        try:
            with trio.fail_after(DIAL_S):
                peer, _ = await visitor.meet(address)
        except DialError as error:
            log.info("cannot ask %s: %s", address, error)
        except trio.TooSlowError:
            log.info("cannot ask %s: it does not answer", address)
        else:
            groups[peer] = visitor.group(peer)

    async with trio.open_nursery() as nursery:
        for address in await _resolved(bootstrap):
            nursery.start_soon(meet, address)
    return groups


async def _resolved(bootstrap: Sequence[str]) -> list[Address]:
    """The addresses, with the peers that DNS has for those of the form /dnsaddr/NAME."""
    addresses = [bootstrap_address(text) for text in bootstrap]
    found = [address for address in addresses if address.kind != DNSADDR]
    for seed in (address for address in addresses if address.kind == DNSADDR):
        found += await DnsSeeds((seed,), Counters(), loopback=False).find(seed)
    return found


def _tell_parts(settings: NodeSettings, epoch: int | None, done: int, total: int) -> None:
    if epoch is None:
        return
    size = f": {done / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MB" if total else ""
    _tell(settings, f"fetching the state of epoch {epoch:,}{size}", done, total)


def _tell(settings: NodeSettings, what: str, done: int, total: int) -> None:
    if settings.on_progress is not None:
        settings.on_progress(what, done, total)


def _tell_age(found: FetchedState) -> None:
    if found.age > RECENT_EPOCHS:
        log.warning(
            "the newest state that peers serve is %d epochs old: what follows from it is provisional until this node "
            "sees a cut of the last %d epochs",
            *(found.age, RECENT_EPOCHS),
        )
    if found.trust.by == "bootstrap":
        log.warning(
            "this node trusts the state of epoch %d because %d of %d first peers hold it on their paths; 'p2pverify "
            "status' says so for good",
            *(found.epoch, found.trust.peers, found.trust.asked),
        )
