"""The invariants of every simulation.

Always:

- Certified cuts are nested, at every honest peer and between all honest peers.
- No final view convicts an honest peer.
- Cuts advance while two thirds of the weight are honest and reach each other.
- The size of a final state is bounded by the number of its rows. Every 16th cut of one honest peer is measured, and the
  newest state of every honest peer at rest.

At rest: all honest peers hold the same records and the same final view.

The fates of hostile peers are compared with `liars.expectations`.
"""

from collections.abc import Mapping, Sequence

from p2pverify.core.contract.network import Network
from p2pverify.core.events import Finalised
from p2pverify.core.state.state import State
from p2pverify.core.state.view import view_root
from p2pverify.testnet.world.liars.expectations import FATES, audits_until_conviction, shows
from p2pverify.testnet.world.links import Links
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.plan import HONEST, Identity
from p2pverify.testnet.world.state_size import bytes_max, part_bytes

#: A new cut must be final after this many epochs with two thirds of the weight available.
ADVANCE_EPOCHS = 8
REST_ROUNDS_MAX = 120
#: After this many cuts, the marks of a kind that is not convicted must be visible.
SETTLED_CUTS = 12
#: The probability that a cheater is convicted within the allowed number of judged answers.
CERTAINTY_PPM = 999_900
#: Kinds that are wrong at their rate in all roles. The other kinds are right in some of their roles.
LIARS = frozenset(("always-wrong", "wrong", "sleeper", "long-only"))
FAULTS_MAX = 20
#: One in so many final cuts of a peer is measured, because measuring costs as much as a step of the fold.
MEASURED_CUTS = 16


class Invariants:
    """Watches a world. `faults` are sentences; it is empty if all invariants held."""

    def __init__(self, network: Network, peers: Sequence[Peer], identities: Sequence[Identity], links: Links) -> None:
        self._network = network
        self._peers = peers
        self._by_key: Mapping[bytes, Peer] = {peer.key: peer for peer in peers}
        self._honest = [peer for peer in peers if peer.kind == HONEST]
        self._identities = identities
        self._links = links
        self.faults: list[str] = []
        self.rest_rounds_max = REST_ROUNDS_MAX
        self._chain: list[tuple[int, State]] = []  # distinct final cuts, ordered by the number of their records
        self._known: set[bytes] = set()
        self._newest: dict[int, bytes] = {}  # the newest final cut of each peer
        self._pairs: set[tuple[bytes, bytes]] = set()
        self._quiet_epochs = 0
        self._best_index = 0
        self.stalled_epochs = 0
        self._at_onset: dict[int, tuple[int, int]] = {}  # audits and path index at the onset of each hostile peer

    def fail(self, what: str) -> None:
        if len(self.faults) < FAULTS_MAX and what not in self.faults:
            self.faults.append(what)

    # ------------------------------------------------------------ always

    def finalised(self, peer: Peer, effect: Finalised) -> None:
        """Check a cut that became final at a peer: it is nested with all others, and it convicts no honest peer."""
        if peer.kind != HONEST:
            return
        state = peer.machine.fold.state(effect.cut)
        assert state is not None  # it has just been folded
        if effect.cut not in self._known:
            self._known.add(effect.cut)
            self._insert(peer, state)
            self._wronged(state)
        if peer is self._honest[0] and state.index % MEASURED_CUTS == 0:
            self._measure(state)
        before = self._newest.get(peer.number)
        self._newest[peer.number] = effect.cut
        if before is not None and (before, effect.cut) not in self._pairs:
            self._pairs.add((before, effect.cut))
            older = next(found for _, found in self._chain if found.id == before)
            if not peer.machine.fold.contains(state, older):
                self.fail(f"peer {peer.number}: final cut {_short(state.id)} does not contain {_short(before)}")

    def forget(self, peer: Peer) -> None:
        """Forget the newest cut of a peer that restarts, because old cuts will become final there again."""
        self._newest.pop(peer.number, None)

    def _insert(self, peer: Peer, state: State) -> None:
        """Insert a cut into the chain. Nested cuts are ordered by size, so only the two neighbours are compared."""
        size = sum(head[1] + 1 for head in state.heads.values())
        place = sum(1 for other, _ in self._chain if other < size)
        for index, later, earlier in ((place - 1, state, None), (place, None, state)):
            if not 0 <= index < len(self._chain):
                continue
            big = later or self._chain[index][1]
            small = earlier or self._chain[index][1]
            if not peer.machine.fold.contains(big, small):
                self.fail(f"final cuts {_short(big.id)} and {_short(small.id)} are not nested")
        self._chain.insert(place, (size, state))

    def _wronged(self, state: State) -> None:
        for key, member in state.members.items():
            peer = self._by_key.get(key)
            if member.is_convicted and peer is not None and peer.kind == HONEST:
                self.fail(
                    f"honest peer {peer.number} is convicted in epoch {member.convicted_epoch}: {member.conviction}"
                )

    def _measure(self, state: State) -> None:
        sizes = part_bytes(state)
        if sum(sizes.values()) > bytes_max(state):
            largest = max(sizes, key=sizes.__getitem__)
            self.fail(f"final cut {_short(state.id)}: the state is too large, most of all its {largest}")

    def after_epoch(self, epoch: int) -> None:
        """Check that cuts advance. The count starts at the last epoch with a new cut or without the needed weight."""
        self._note_onsets(epoch)
        best = max((state.index for _, state in self._chain), default=0)
        if best > self._best_index or not self._may_advance():
            self._best_index = max(best, self._best_index)
            self._quiet_epochs = 0
            return
        self._quiet_epochs += 1
        self.stalled_epochs += 1
        if self._quiet_epochs == ADVANCE_EPOCHS:
            self.fail(f"no cut became final in {ADVANCE_EPOCHS} epochs until {epoch}, with two thirds at hand")

    def _may_advance(self) -> bool:
        """Whether one side of the partition has two thirds of the weight in honest peers that run."""
        state = self.newest or self._honest[0].machine.fold.genesis
        total, sides = 0, {0: 0, 1: 0}
        for key, member in state.members.items():
            weight = member.weight
            total += weight
            peer = self._by_key.get(key)
            if peer is not None and peer.kind == HONEST and peer.is_up and peer.held is None:
                sides[self._links.sides.get(peer.number, 0)] += weight
        return 3 * max(sides.values()) >= 2 * total

    @property
    def newest(self) -> State | None:
        """The largest final cut of any honest peer."""
        return self._chain[-1][1] if self._chain else None

    def _note_onsets(self, epoch: int) -> None:
        """Note the audits and the path index of each hostile peer at its onset, because earlier audits do not count.

        For a peer with a late onset this is noted only when its earlier answers have been counted.
        """
        lag = self._network.params.duty_reach
        for identity in self._identities:
            onset = 0 if identity.actor is None else identity.actor.onset_epoch
            if identity.actor is not None and epoch == (onset + lag if onset else 0):
                state = self.newest
                member = None if state is None else state.members.get(identity.key)
                self._at_onset[identity.number] = (member.audits if member else 0, state.index if state else 0)

    # ------------------------------------------------------------ at rest

    def is_equal(self) -> bool:
        """Whether all honest peers hold the same records, apart from what some have forgotten."""
        return len({_content(peer) for peer in self._honest}) == 1

    def at_rest(self) -> None:
        """Check that honest peers have equal records, cuts and views after the world has come to rest."""
        honest = self._honest
        for state in {peer.actor.machine.fold.latest.id: peer.actor.machine.fold.latest for peer in honest}.values():
            self._measure(state)
        if not self.is_equal():
            counts = sorted({len(peer.machine.context.ledger) for peer in honest})
            self.fail(f"honest peers do not come to hold the same records: {counts[0]} to {counts[-1]}")
            return
        latest = {peer.machine.fold.latest.id for peer in honest}
        if len(latest) > 1:
            self.fail(f"{len(latest)} different cuts are the newest final one, with the same records")
        network = self._network
        roots = {view_root(network, peer.machine.fold.latest) for peer in honest[:: max(1, len(honest) // 8)]}
        if len(latest) == 1 and len(roots) > 1:
            self.fail("honest peers have different views of the same cut")

        for number, why in sorted(self.missed().items()):
            self.fail(f"{self._peers[number].kind} peer {number} {why}")

    # ------------------------------------------------------------ fates

    def missed(self) -> dict[int, str]:
        """Hostile peers that did not meet their expected fate in time, by number, and the missing mark."""
        state = self._honest[0].machine.fold.latest
        ledger = self._honest[0].machine.context.ledger
        forked = {record.author for record in ledger.branches()}
        found: dict[int, str] = {}
        for identity in self._identities:
            if identity.actor is None or identity.number not in self._at_onset:
                continue
            rule = FATES[identity.kind]
            member = state.members.get(identity.key)
            audits, index = self._at_onset[identity.number]
            why = None
            if member is None:
                continue  # no cut holds it, so its records do not count
            if rule.needs_weight and not member.was_weighted:
                continue
            if rule.by == "dissent" and rule.must_convict and not member.is_convicted:
                why = self._beyond_audits(identity.kind, identity.actor.rate_ppm, member.audits - audits)
            elif rule.must_fork and identity.key not in forked:
                continue  # no honest peer got the other branch
            elif state.index - index >= (rule.epochs or SETTLED_CUTS) and rule.by != "dissent":
                why = None if shows(rule, member) else f"does not show that it is {rule.fate}"
            if why is not None:
                found[identity.number] = why
        return found

    def _beyond_audits(self, kind: str, scenario_ppm: int, audits: int) -> str | None:
        rate_ppm = FATES[kind].rate_ppm(scenario_ppm)
        if kind not in LIARS:
            rate_ppm //= 4
        is_long = FATES[kind].rate == "long"
        bound = audits_until_conviction(self._network, 0, rate_ppm, certainty_ppm=CERTAINTY_PPM, is_long=is_long)
        if bound is None or audits <= bound:
            return None
        return f"is not convicted after {audits} judged answers, more than {bound}"


def _content(peer: Peer) -> tuple[bytes, int]:
    """What identifies the records of a peer: the root of its newest cut, and the sum of the ids above this cut."""
    context = peer.machine.context
    above = context.ledger.above(context.fold.latest.heads)
    return context.fold.latest.ledger_root, sum(int.from_bytes(record_id, "little") for _, record_id in above)


def _short(cut: bytes) -> str:
    return cut.hex()[:12]
