"""How a newcomer comes to a state that it may believe: whom it asks, which cut it trusts, and what it refuses.

It asks its first peers which states they serve. From the cut that it trusts it goes to the newest served one, and
fetches its states. Peers that show another certified cut which contradicts it end all that.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.proofs.passport import Certificate, Refuted
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.base import Base, decode_base
from p2pverify.core.replica.logs.named import NamedRecords
from p2pverify.core.snapshot.contradiction import Branches
from p2pverify.core.snapshot.messages import (
    CERTIFICATE,
    NEWEST,
    RECORD,
    NewestStates,
    StateRequest,
    decode_newest,
)
from p2pverify.core.snapshot.trust import (
    GROUPS_MIN,
    ToldStates,
    TrustedCut,
    agreed,
    decode_certificate,
    follows,
    given,
    old_after,
)
from p2pverify.core.state.state import State
from p2pverify.node.ports import AskError
from p2pverify.node.snapshot.fetching import ReportParts, StateError, StateFetcher
from p2pverify.node.snapshot.kept import KeptContradiction, KeptTrust, SnapshotHome
from p2pverify.node.user_error import UserError

#: Requests for records that a state names, at the same time.
NAMED_AT_ONCE = 4
_NAME_ONE = "name a cut that somebody you trust sees in 'p2pverify status' as its checkpoint, with --trust CUT"

log = logging.getLogger(__name__)


class ContradictionError(UserError):
    """Two certified cuts contradict each other: no state can be believed."""

    def __init__(self, found: KeptContradiction) -> None:
        super().__init__(
            found.reason,
            "ask several people which of both cuts their nodes hold, and start again with --trust CUT",
        )


@dataclass(frozen=True, slots=True)
class JoinWish:
    """What a newcomer trusts: the id of a cut, or one of its own earlier states, or nothing.

    With `old` a trusted cut may be of any age.
    """

    cut: bytes | None = None
    own: TrustedCut | None = None
    old: bool = False


@dataclass(frozen=True, slots=True)
class FetchedState:
    """What was fetched: the base, why it is believed, its epoch, and how many epochs ago that was by the clock.

    `named` are the records that its newest state names, as far as peers have them.
    """

    base: Base
    trust: KeptTrust
    epoch: int
    age: int
    named: tuple[Record, ...] = ()


class Newcomer:
    """One home that begins with a state. `groups` has the address group of each first peer (its key)."""

    def __init__(
        self,
        network: Network,
        home: SnapshotHome,
        fetcher: StateFetcher,
        groups: Mapping[bytes, str],
        clock: Callable[[], int],
        progress: ReportParts,
    ) -> None:
        self._network = network
        self._home = home
        self._fetcher = fetcher
        self._groups = groups
        self._clock = clock
        self._progress = progress
        self._told: dict[bytes, NewestStates] = {}
        self._proofs: dict[bytes, bytes] = {}  # certificates that hold, as they came, by cut

    async def fetch(self, wish: JoinWish, others: Sequence[bytes] = ()) -> FetchedState | None:
        """Fetch the newest state that may be believed. `others` are peers that serve states too.

        None if nobody vouches for any state: neither the wish nor enough first peers. Raises StateError,
        ContradictionError, KeptError.
        """
        await self._hear()
        trusted, trust = await self._trusted(wish)
        if trusted is None or trust is None:
            return None
        self._check_age(trusted, wish)
        targets, certified = await self._newest(trusted)
        base = await self._first(targets, others)
        try:
            state = (await trio.to_thread.run_sync(decode_base, self._network.id, base, {}))[-1]
        except DecodeError as error:
            raise StateError(
                f"the state at the trusted cut cannot be read ({error.reason})",
                "the network may run a newer version of p2pverify: upgrade this one",
            ) from None
        await self._compare(certified, state)
        kept = KeptTrust(trust.cut, trust.by, base.newest.hex(), state.epoch, trust.peers, trust.asked, trust.groups)
        named = await self._named(state, [*self._serving(base.newest), *others])
        return FetchedState(base, kept, state.epoch, self._age(state.epoch), named)

    # ------------------------------------------------------------ whom to believe

    async def _hear(self) -> None:
        """Ask all first peers which states they serve."""
        async with trio.open_nursery() as nursery:
            for peer in self._groups:
                nursery.start_soon(self._hear_one, peer)

    async def _hear_one(self, peer: bytes) -> None:
        try:
            self._told[peer] = decode_newest(await self._fetcher.ask(peer, StateRequest(NEWEST)))
        except AskError as error:
            log.info("a first peer says nothing of its states: %s", error.detail)
        except DecodeError:
            self._fetcher.drop(peer)

    async def _trusted(self, wish: JoinWish) -> tuple[TrustedCut | None, KeptTrust | None]:
        if wish.cut is not None:
            trust = KeptTrust(wish.cut.hex(), "operator", "", 0)
            return await self._by_id(wish.cut, list(self._told)), trust
        if wish.own is not None:
            before = await trio.to_thread.run_sync(self._home.trust)
            return wish.own, before or KeptTrust(wish.own.cut.hex(), "own", "", 0)
        told = [ToldStates(self._groups[peer], newest) for peer, newest in self._told.items()]
        cut = agreed(told)
        if cut is None:
            return None, None
        holding = [one for one in told if cut in one.newest.on_path()]
        groups = len({one.group for one in holding if one.group})
        trust = KeptTrust(cut.hex(), "bootstrap", "", 0, len(holding), len(told), groups)
        return await self._by_id(cut, list(self._told)), trust

    async def _by_id(self, cut: bytes, peers: Sequence[bytes]) -> TrustedCut:
        """A cut that is trusted by its id. Raises StateError if nobody knows its weights."""
        for peer in peers:
            found = await self._certificate(peer, cut)
            if found is not None:
                try:
                    known = given(self._network, cut, found[0])
                except Refuted:
                    self._fetcher.drop(peer)
                else:
                    self._proofs[cut] = found[1]
                    return known
        raise StateError(f"none of {len(self._told)} first peers has a certificate of the trusted cut", _NAME_ONE)

    def _check_age(self, trusted: TrustedCut, wish: JoinWish) -> None:
        age, most = self._age(trusted.epoch), old_after(self._network.params)
        if age > most and not wish.old:
            raise StateError(
                f"the trusted cut is {age} epochs old, and after {most} epochs keys that have left may have signed "
                "another past",
                f"{_NAME_ONE}; or add --trust-old if you are sure",
            )

    def _age(self, epoch: int) -> int:
        return max(0, self._network.params.epoch_at(self._clock()) - epoch)

    # ------------------------------------------------------------ from there to the newest state

    async def _newest(self, trusted: TrustedCut) -> tuple[list[bytes], list[TrustedCut]]:
        """The served cuts that follow from the trusted one, newest first, and all that are known to be certified.

        All served cuts are looked at, so that contradictions between them are noticed. Raises StateError.
        """
        served = {(each.index, each.cut) for one in self._told.values() for each in one.served}
        found: list[bytes] = []
        certified = [trusted]
        for index, cut in sorted(served, reverse=True):
            if cut == trusted.cut:
                found.append(cut)
            elif index > trusted.index and (known := await self._skip(trusted, cut)) is not None:
                certified.append(known)
                found.append(cut)
        if not found:
            raise StateError(
                "no first peer serves a state that follows from the trusted cut",
                "wait until the network has made 16 more cuts, or name other peers with --bootstrap",
            )
        return found, certified

    async def _first(self, targets: Sequence[bytes], others: Sequence[bytes]) -> Base:
        """The states at the first of these cuts of which they can be had. Raises StateError."""
        for cut in targets[:-1]:
            try:
                return await self._fetcher.fetch(cut, [*self._serving(cut), *others], self._progress)
            except StateError as error:
                log.warning("the states at cut %s cannot be had: %s", cut.hex()[:16], error.reason)
        last = targets[-1]
        return await self._fetcher.fetch(last, [*self._serving(last), *others], self._progress)

    async def _skip(self, trusted: TrustedCut, cut: bytes) -> TrustedCut | None:
        """The cut if it follows from the trusted one by the certificates of one of the peers that serve it."""
        for peer in self._serving(cut):
            found = await self._certificate(peer, cut)
            if found is not None:
                try:
                    known = await self._skip_with(peer, trusted, found[0])
                except Refuted as refuted:
                    self._fetcher.counters.count("states_refuted")
                    log.warning("cut %s does not follow from the trusted one: %s", cut.hex()[:16], refuted.reason)
                else:
                    self._proofs[cut] = found[1]
                    return known
        return None

    async def _skip_with(self, peer: bytes, trusted: TrustedCut, last: Certificate) -> TrustedCut:
        """The last cut, if it follows. Where the weights have changed too much, over checkpoints that the peer keeps.

        Raises Refuted.
        """
        current, limit = trusted, last.head.index
        while True:
            try:
                return follows(self._network, current, last)
            except Refuted as refuted:
                failure = refuted
            between = [(index, cut) for index, cut in self._told[peer].kept if current.index < index < limit]
            if not between:
                raise failure
            limit, middle = between[len(between) // 2]
            found = await self._certificate(peer, middle)
            if found is not None:
                with suppress(Refuted):
                    current, limit = follows(self._network, current, found[0]), last.head.index

    def _serving(self, cut: bytes) -> list[bytes]:
        dropped = self._fetcher.dropped
        return [p for p, told in self._told.items() if p not in dropped and cut in told.on_path()]

    async def _certificate(self, peer: bytes, cut: bytes) -> tuple[Certificate, bytes] | None:
        """A peer's certificate of a cut, and its bytes. Whether it holds is not checked."""
        try:
            data = await self._fetcher.ask(peer, StateRequest(CERTIFICATE, cut))
            certificate = decode_certificate(data)
        except AskError:
            return None
        except DecodeError:
            self._fetcher.drop(peer)
            return None
        if certificate.cut.id(certificate.head) != cut:
            self._fetcher.drop(peer)
            return None
        return certificate, data

    # ------------------------------------------------------------ records that the state names

    async def _named(self, state: State, peers: Sequence[bytes]) -> tuple[Record, ...]:
        """The releases, data sets and results that a state names. What nobody has is left out."""
        named, rules = NamedRecords(state), Rules(self._network, self._network.id, FAR_FUTURE)
        found: dict[bytes, Record] = {}
        limiter = trio.CapacityLimiter(NAMED_AT_ONCE)

        async def fetch(name: bytes) -> None:
            async with limiter:
                record = await self._named_one(named, rules, name, peers)
                if record is not None:
                    found[record.id] = record

        async with trio.open_nursery() as nursery:
            for name in sorted(named.wanted):
                nursery.start_soon(fetch, name)
        return tuple(found[record_id] for record_id in sorted(found))

    async def _named_one(self, named: NamedRecords, rules: Rules, name: bytes, peers: Sequence[bytes]) -> Record | None:
        for peer in dict.fromkeys(peers):
            if peer in self._fetcher.dropped:
                continue
            try:
                record = judge(await self._fetcher.ask(peer, StateRequest(RECORD, name)), rules)
            except AskError:
                continue
            except (GossipReject, GossipIgnore):
                self._fetcher.drop(peer)
                continue
            if named.name_of(record) == name:
                return record
            self._fetcher.drop(peer)
        log.warning("no peer has the record %s, which the state names", name.hex()[:16])
        return None

    # ------------------------------------------------------------ contradictions

    async def _compare(self, certified: Sequence[TrustedCut], state: State) -> None:
        """Hold all cuts that were seen to be certified against the path of a state. Raises ContradictionError."""
        forked = frozenset(peer for peer, member in state.members.items() if member.forks)
        for other in certified:
            own = state.at_index(other.index)
            if own is None or own == other.cut:
                continue
            branches = Branches(self._network.id, own, other.cut)
            await self._follow(branches)
            if branches.are_nested(forked) is False:
                proofs = [self._proofs.get(cut, b"").hex() for cut in (state.id, other.cut)]
                found = KeptContradiction(state.id.hex(), other.cut.hex(), *proofs)
                await trio.to_thread.run_sync(self._home.keep_contradiction, found)
                raise ContradictionError(found)

    async def _follow(self, branches: Branches) -> None:
        """Get the records of cuts until both sides meet, or nobody has the next one."""
        while (cut_id := branches.missing()) is not None:
            for peer in self._told:
                try:
                    record = decode_record(await self._fetcher.ask(peer, StateRequest(RECORD, cut_id)))
                    if record.id == cut_id:
                        branches.take(cut_id, decode_cut(record.payload))
                        break
                except (AskError, DecodeError):
                    continue
            else:
                return


def nobody_agrees(asked: int) -> str:
    """Why a newcomer without a trusted cut fetches no state, for people."""
    return (
        f"no state is fetched: {asked} first peers do not hold one cut in {GROUPS_MIN} address groups, and nobody was "
        "trusted with --trust"
    )
